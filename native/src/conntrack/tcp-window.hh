// TCP window tracking. Mirrors src/conntrack/protocol/tcp-window.ts, function by function.
//
// Kernel: net/netfilter/nf_conntrack_proto_tcp.c `tcp_in_window`, `tcp_options`, `tcp_sack`, Linux
// 6.18.
#pragma once

#include <algorithm>

#include "connection.hh"
#include "tcp-states.hh"
#include "timeouts.hh"

namespace wiretrial::conntrack {

// A transport header with its payload, as the packet at hand has it (`TrackedSegment`).
struct Segment {
  const uint8_t* bytes;
  uint32_t off;
  uint32_t end;
  uint32_t direction;
  double now_ns;
};

enum class WindowVerdict : uint8_t { kAccept, kIgnore, kInvalid };

constexpr uint32_t kMaxAckWindow = 66'000;
constexpr uint32_t kMaxScale = 14;

// Modulo 2^32: whether `a` comes before `b`.
inline bool before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }
inline bool after(uint32_t a, uint32_t b) { return before(b, a); }

// Sequence number behind the segment: SYN and FIN count one each.
inline uint32_t segment_end(const Segment& s) {
  const uint32_t flags = tcp::flags(s.bytes, s.off);
  const uint32_t length = s.end - s.off - tcp::header_length(s.bytes, s.off);
  const uint32_t control = (flags & tcp::kSyn ? 1 : 0) + (flags & tcp::kFin ? 1 : 0);
  return tcp::seq(s.bytes, s.off) + length + control;
}

// Note window scale and SACK of a SYN's options; a segment without options changes nothing.
inline void read_options(const Segment& s, TcpSide& side) {
  if (tcp::header_length(s.bytes, s.off) == tcp::kMinHeaderLength) return;
  side.scale = 0;
  side.bits &= kBeLiberal;
  tcp::each_option(s.bytes, s.off, [&](uint32_t kind, uint32_t at, uint32_t length) {
    if (kind == tcp::kOptionSackPermitted && length == 2) side.bits |= kSackPermitted;
    if (kind == tcp::kOptionWindowScale && length == 3) {
      side.scale = static_cast<uint8_t>(std::min<uint32_t>(s.bytes[at + 2], kMaxScale));
      side.bits |= kWindowScale;
    }
  });
}

// The highest right edge of the first SACK option's blocks, or `ack` when none is higher.
inline uint32_t highest_sack(const Segment& s, uint32_t ack) {
  uint32_t highest = ack;
  bool seen = false;
  tcp::each_option(s.bytes, s.off, [&](uint32_t kind, uint32_t at, uint32_t length) {
    if (seen || kind != tcp::kOptionSack || length < 10 || (length - 2) % 8 != 0) return;
    seen = true;
    for (uint32_t block = at + 2; block < at + length; block += 8) {
      const uint32_t edge = u32(s.bytes, block + 4);
      if (after(edge, highest)) highest = edge;
    }
  });
  return highest;
}

inline uint32_t at_least_one(uint32_t window) { return window == 0 ? 1 : window; }

inline void init_sender(const Segment& s, TcpSide& sender, TcpSide& receiver, uint32_t end) {
  sender.end = end;
  sender.max_end = end;
  sender.max_window = at_least_one(tcp::window(s.bytes, s.off));
  read_options(s, sender);
  // RFC 7323 section 2.2: both sides must send Window Scale for either to use it.
  if (s.direction == kReply && !(sender.bits & receiver.bits & kWindowScale)) {
    sender.scale = 0;
    receiver.scale = 0;
  }
}

// The segment's numbers, after the corrections below.
struct Numbers {
  uint32_t seq;
  uint32_t ack;
  uint32_t sack;
  uint32_t end;
  uint32_t window;
};

// Learn from a sender whose opening we did not see.
inline void init_midstream(TcpSide& sender, TcpSide& receiver, const Numbers& n) {
  sender.end = n.end;
  sender.max_window = at_least_one(n.window << sender.scale);
  sender.max_end = n.end + sender.max_window;
  if (receiver.max_window == 0) {
    // Nothing from the other side yet: make III and IV hold until there is.
    receiver.end = n.sack;
    receiver.max_end = n.sack;
  } else if (n.sack == receiver.end + 1) {
    // Likely the answer to a keepalive.
    receiver.end = n.sack;
  }
}

inline WindowVerdict judge(const Numbers& n, TcpSide& sender, const TcpSide& receiver) {
  const uint32_t ack_window = std::max(kMaxAckWindow, sender.max_window);
  const bool in_receive_window = after(n.end, sender.end - receiver.max_window - 1);
  const bool ack_not_too_old = after(n.sack, receiver.end - ack_window - 1);
  const bool ack_seen = before(n.sack, receiver.end + 1);
  if (!before(n.seq, sender.max_end + 1)) {
    const uint32_t overshot = n.end - sender.max_end + 1;
    const bool mild =
        receiver.max_window != 0 && in_receive_window && overshot <= receiver.max_window;
    if (!mild || !ack_not_too_old || !ack_seen) return WindowVerdict::kInvalid;
    // Some TCPs send a little more than was allowed; the peer's ACK of it must not look wrong.
    sender.end = n.end;
    sender.bits |= kDataUnacknowledged;
    return WindowVerdict::kIgnore;
  }
  if (!ack_seen) return WindowVerdict::kInvalid;
  if (receiver.max_window != 0 && !in_receive_window) return WindowVerdict::kIgnore;
  return ack_not_too_old ? WindowVerdict::kAccept : WindowVerdict::kIgnore;
}

inline void count_retransmission(TcpTracking& tracking, const Segment& s, const Numbers& n) {
  const bool same = tracking.last_direction == s.direction && tracking.last_seq == n.seq &&
                    tracking.last_ack == n.ack && tracking.last_end == n.end &&
                    tracking.last_window == n.window;
  if (!same) tracking.retransmissions = 0;
  else if (tracking.retransmissions < 255) tracking.retransmissions += 1;
  tracking.last_direction = static_cast<uint8_t>(s.direction);
  tracking.last_seq = n.seq;
  tracking.last_ack = n.ack;
  tracking.last_end = n.end;
  tracking.last_window = static_cast<uint16_t>(n.window);
}

inline void learn(TcpTracking& tracking, TcpIndex index, const Segment& s, const Numbers& n) {
  TcpSide& sender = tracking.seen[s.direction];
  TcpSide& receiver = tracking.seen[s.direction ^ 1];
  const uint32_t flags = tcp::flags(s.bytes, s.off);
  // A SYN's own window is never scaled (RFC 7323 section 2.2).
  const uint32_t window = flags & tcp::kSyn ? n.window : n.window << sender.scale;
  const uint32_t spanned = window + (n.sack - n.ack);
  if (sender.max_window < spanned) sender.max_window = spanned;
  if (after(n.end, sender.end)) {
    sender.end = n.end;
    sender.bits |= kDataUnacknowledged;
  }
  if ((flags & tcp::kAck) && (!(sender.bits & kMaxAckSet) || after(n.ack, sender.max_ack))) {
    sender.max_ack = n.ack;
    sender.bits |= kMaxAckSet;
  }
  if (receiver.max_window != 0 && after(n.end, sender.max_end)) {
    receiver.max_window += n.end - sender.max_end;
  }
  if (after(n.sack + window, receiver.max_end - 1)) {
    receiver.max_end = n.sack + window + (window == 0 ? 1 : 0);
  }
  if (n.ack == receiver.end) receiver.bits &= static_cast<uint8_t>(~kDataUnacknowledged);
  if (index == kIndexAck) count_retransmission(tracking, s, n);
}

// Judge the segment and, when it is in the window, remember what it says. Resets are not handled
// here: they go to the reference engine.
inline WindowVerdict check_window(TcpTracking& tracking, TcpIndex index, const Segment& s,
                                  bool be_liberal) {
  TcpSide& sender = tracking.seen[s.direction];
  TcpSide& receiver = tracking.seen[s.direction ^ 1];
  const uint32_t flags = tcp::flags(s.bytes, s.off);
  const uint32_t ack = tcp::ack(s.bytes, s.off);
  Numbers n{tcp::seq(s.bytes, s.off), ack,
            receiver.bits & kSackPermitted ? highest_sack(s, ack) : ack, segment_end(s),
            tcp::window(s.bytes, s.off)};
  const bool is_syn = (flags & tcp::kSyn) != 0;
  const bool is_ack = (flags & tcp::kAck) != 0;
  if (sender.max_window == 0) {
    if (is_syn) {
      init_sender(s, sender, receiver, n.end);
      // Simultaneous open: there is nothing to compare with yet.
      if (!is_ack) return WindowVerdict::kAccept;
    } else {
      init_midstream(sender, receiver, n);
    }
  } else if (is_syn && after(n.end, sender.end) &&
             (tracking.state == kSS || tracking.state == kSR)) {
    // RFC 9293 section 3.4.3: a TCP that starts anew uses numbers above those recently used.
    init_sender(s, sender, receiver, n.end);
    if (s.direction == kReply && !is_ack) return WindowVerdict::kAccept;
  }
  if (!is_ack) {
    // No acknowledgment: pretend the right one.
    n.ack = receiver.end;
    n.sack = receiver.end;
  }
  const WindowVerdict verdict = judge(n, sender, receiver);
  if (verdict != WindowVerdict::kAccept) {
    return (sender.bits & kBeLiberal) || be_liberal ? WindowVerdict::kAccept : verdict;
  }
  learn(tracking, index, s, n);
  return WindowVerdict::kAccept;
}

}  // namespace wiretrial::conntrack
