// Tracking of UDP and of ICMP queries. Mirrors src/conntrack/protocol/udp.ts and `trackIcmpQuery`.
//
// Kernel: net/netfilter/nf_conntrack_proto_udp.c `nf_conntrack_udp_packet`,
// nf_conntrack_proto_icmp.c `nf_conntrack_icmp_packet`, Linux 6.18.
#pragma once

#include "connection.hh"
#include "timeouts.hh"

namespace wiretrial::conntrack {

constexpr double kNsPerS = 1e9;
// From this age on, traffic in both directions is a stream (`2 * HZ`).
constexpr double kStreamAfterNs = 2 * kNsPerS;

// Track one datagram whose header and checksum are in order; `stream_ns` is the connection's.
inline Refresh track_udp(uint8_t flags, double stream_ns, double now_ns,
                         const Settings* const settings[2]) {
  const bool is_stream = (flags & kSeenReply) != 0 && now_ns > stream_ns;
  const auto seconds = [&](const Settings& s) { return is_stream ? s.udp_stream : s.udp_unreplied; };
  return Refresh{true, is_stream || (flags & kAssured) != 0,
                 {seconds(*settings[0]), seconds(*settings[1])}};
}

// Track a query or its answer.
inline Refresh track_icmp(uint8_t flags, uint32_t family, const Settings* const settings[2]) {
  const auto seconds = [&](const Settings& s) { return family == 4 ? s.icmp : s.icmpv6; };
  return Refresh{true, (flags & kAssured) != 0, {seconds(*settings[0]), seconds(*settings[1])}};
}

}  // namespace wiretrial::conntrack
