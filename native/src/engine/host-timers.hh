// How long packets let connections of a set of hosts live, ready to be added to their time: what
// `track_udp` and `state_timeout` choose from the settings of the set's two groups of hosts.
#pragma once

#include <cmath>

#include "../conntrack/ordinary-segment.hh"
#include "../conntrack/tcp.hh"
#include "../conntrack/udp.hh"

namespace wiretrial {

// In nanoseconds, of both groups beside each other.
struct alignas(64) HostTimers {
  // By whether the connection is a stream.
  double udp[2][2];
  // Of a TCP connection that stays established, by the bits of `track_ordinary`.
  double tcp[8][2];
  // Of a TCP connection that a SYN opens.
  double tcp_opening[2];
  // From so many retransmissions on there are too many.
  uint32_t max_retransmissions;
  // The groups differ in that number: segments are judged by group.
  bool is_split;
};

using conntrack::kTooManyRetransmissions;
using conntrack::kUnacknowledged;
using conntrack::kWindowClosed;

// The same as of a segment that found that out (`state_timeout`).
inline double established_timeout(const conntrack::Settings& s, uint32_t bits) {
  conntrack::TcpTracking tracking{};
  if (bits & kUnacknowledged) tracking.seen[0].bits = conntrack::kDataUnacknowledged;
  tracking.last_window = bits & kWindowClosed ? 0 : 1;
  conntrack::Settings asked = s;
  asked.tcp_max_retrans = bits & kTooManyRetransmissions ? 0 : 1;
  return state_timeout(tracking, conntrack::kIndexAck, conntrack::kES, asked);
}

// The same as of a SYN that opens a connection.
inline double opening_timeout(const conntrack::Settings& s) {
  const conntrack::TcpTracking tracking{};
  return state_timeout(tracking, conntrack::kIndexSyn, conntrack::kSS, s);
}

inline HostTimers timers_of(const conntrack::Settings* const settings[2]) {
  HostTimers timers{};
  for (uint32_t group = 0; group < 2; group++) {
    const conntrack::Settings& s = *settings[group];
    timers.tcp_opening[group] = opening_timeout(s) * conntrack::kNsPerS;
    timers.udp[0][group] = s.udp_unreplied * conntrack::kNsPerS;
    timers.udp[1][group] = s.udp_stream * conntrack::kNsPerS;
    for (uint32_t bits = 0; bits < 8; bits++) {
      timers.tcp[bits][group] = established_timeout(s, bits) * conntrack::kNsPerS;
    }
  }
  timers.is_split = settings[0]->tcp_max_retrans != settings[1]->tcp_max_retrans;
  // Counts saturate at 255.
  const double most = std::ceil(settings[0]->tcp_max_retrans);
  timers.max_retransmissions = static_cast<uint32_t>(std::min(std::max(most, 0.0), 256.0));
  return timers;
}

}  // namespace wiretrial
