// Tracking of TCP. Mirrors src/conntrack/protocol/tcp.ts as far as packets take the fast path:
// segments that the tracker accepts as a plain part of their connection. What it would ignore, call
// INVALID, reset or reopen is left to the reference engine, with the connection as it was.
//
// Kernel: net/netfilter/nf_conntrack_proto_tcp.c `nf_conntrack_tcp_packet`, `tcp_new`, Linux 6.18.
#pragma once

#include "tcp-window.hh"

namespace wiretrial::conntrack {

// `newTracking` for a SYN. Precondition: its flags are valid and its kind is `kIndexSyn`.
inline void new_tcp_tracking(TcpTracking& tracking, const Segment& s) {
  tracking = TcpTracking{};
  tracking.last_index = kIndexNone;
  TcpSide& side = tracking.seen[kOriginal];
  side.end = segment_end(s);
  side.max_window = at_least_one(tcp::window(s.bytes, s.off));
  side.max_end = side.end;
  read_options(s, side);
}

inline double state_timeout(const TcpTracking& tracking, TcpIndex index, TcpState next,
                            const Settings& settings) {
  const double plain = next == kNone ? settings.tcp[kSS] : settings.tcp[next];
  const bool unacknowledged =
      ((tracking.seen[0].bits | tracking.seen[1].bits) & kDataUnacknowledged) != 0;
  if (tracking.retransmissions >= settings.tcp_max_retrans && plain > settings.tcp_retrans) {
    return settings.tcp_retrans;
  }
  if (index == kIndexRst) return settings.tcp[kCL];
  if (unacknowledged && plain > settings.tcp_unack) return settings.tcp_unack;
  return tracking.last_window == 0 && plain > settings.tcp_retrans ? settings.tcp_retrans : plain;
}

// Track one segment whose checksum, header and flags are in order.
//
// Returns false when the reference engine must judge it; `tracking` is then worthless, so callers
// pass a copy.
inline bool track_tcp(TcpTracking& tracking, uint8_t flags, const Segment& s,
                      const Settings* const settings[2], Refresh& refresh) {
  const TcpIndex index = tcp_index(tcp::flags(s.bytes, s.off));
  const auto old = static_cast<TcpState>(tracking.state);
  const TcpState next = next_tcp_state(s.direction, index, old);
  if (next >= kIG || index == kIndexRst || next == kS2) return false;
  if (next == kSS && (old == kTW || old == kCL)) return false;
  if (tracking.bits & (kSimultaneousOpen | kExpectChallengeAck)) return false;
  if (check_window(tracking, index, s, settings[0]->tcp_be_liberal) != WindowVerdict::kAccept) {
    return false;
  }
  tracking.last_index = index;
  tracking.last_direction = static_cast<uint8_t>(s.direction);
  tracking.state = next;
  if (old != next && next == kFW) tracking.seen[s.direction].bits |= kCloseInit;
  for (uint32_t group = 0; group < 2; group++) {
    refresh.seconds[group] = state_timeout(tracking, index, next, *settings[group]);
  }
  refresh.assured = (flags & kAssured) != 0;
  refresh.refreshed = true;
  if (!(flags & kSeenReply)) {
    // A client that reuses its port must not keep an old entry alive.
    if (index == kIndexSyn && old == kSS) refresh.refreshed = false;
    for (uint32_t group = 0; group < 2 && next == kES; group++) {
      refresh.seconds[group] = std::min(refresh.seconds[group], settings[group]->tcp_unack);
    }
  } else if ((old == kSR || old == kES) && next == kES) {
    refresh.assured = true;
  }
  return true;
}

}  // namespace wiretrial::conntrack
