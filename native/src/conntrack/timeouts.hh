// What of connection tracking sysctl(8) can set, as the tracker needs it. Mirrors
// src/conntrack/protocol/timeouts.ts; filled from there when a host is first seen.
#pragma once

#include <cstdint>

namespace wiretrial::conntrack {

// In seconds. `tcp` by state, in the order of `TcpState`; SYN_SENT2's is that of SYN_SENT.
struct Settings {
  double tcp[10];
  double tcp_retrans;
  double tcp_unack;
  double udp_unreplied;
  double udp_stream;
  double icmp;
  double icmpv6;
  double tcp_max_retrans;
  bool tcp_loose;
  bool tcp_be_liberal;
  bool tcp_ignore_invalid_rst;
};

}  // namespace wiretrial::conntrack
