// Packets laid down for the engine: as their senders made them, one behind the other.
#pragma once

#include "lane.hh"

namespace wiretrial::lane {

// Packets laid down for the engine, by column, and which lane and record each is of.
struct Staged {
  uint8_t* packets;
  uint32_t room;
  uint32_t* offsets;
  uint32_t* lengths;
  uint32_t* entries;
  double* times;
  uint8_t* offloaded;
  uint32_t* lane;
  uint32_t* record;
  uint32_t* lane_packets;
  double* lane_bytes;
  double* flow_nows;
  uint32_t* dirty;
  uint32_t capacity;
};

// Bytes that a packet takes there.
inline uint32_t room_of(const Packet& p) { return (p.length + 7) & ~7u; }

// A checksum over changed words (RFC 1624); a partial one is the sum itself.
inline void update_checksum(uint8_t* b, uint32_t at, uint64_t before, uint64_t after,
                            bool is_partial) {
  uint16_t stored;
  std::memcpy(&stored, b + at, 2);
  const uint64_t sum = is_partial ? stored : static_cast<uint16_t>(~stored);
  const auto minus = static_cast<uint16_t>(~fold(before));
  const uint32_t now = fold(sum + minus + fold(after));
  const auto result = static_cast<uint16_t>(is_partial ? now : ~now);
  std::memcpy(b + at, &result, 2);
}

// Other addresses, with the checksums that cover them.
inline void rewrite(uint8_t* to, const Packet& p, const Lane& lane) {
  const bool v4 = p.name.family == 4;
  const uint32_t size = v4 ? 4 : 16;
  const uint32_t from = v4 ? ipv4::kSource : ipv6::kSource;
  const uint64_t before = sum_words(to, from, from + 2 * size);
  std::memcpy(to + from, lane.src, size);
  std::memcpy(to + from + size, lane.dst, size);
  const uint64_t after = sum_words(to, from, from + 2 * size);
  if (v4) update_checksum(to, ipv4::kChecksum, before, after, false);
  const bool is_partial = p.verdict == kPartial;
  if (p.name.protocol == kTcp) {
    update_checksum(to, p.l4 + tcp::kChecksum, before, after, is_partial);
  } else if (p.name.protocol == kUdp) {
    if (udp::checksum(to, p.l4) == 0) return;
    update_checksum(to, p.l4 + udp::kChecksum, before, after, is_partial);
  } else if (!v4) {
    update_checksum(to, p.l4 + icmp::kChecksum, before, after, is_partial);
  }
}

// The packet as its sender made it (`withTtl`, `withEnds`).
inline void lay_down(uint8_t* to, const Packet& p, const Lane& lane) {
  std::memcpy(to, p.ip, p.length);
  if (lane.rewrites) rewrite(to, p, lane);
  if (lane.sent_ttl == p.ttl) return;
  if (p.name.family == 4) ipv4::set_ttl(to, 0, lane.sent_ttl);
  else set_u8(to, ipv6::kHopLimit, lane.sent_ttl);
}

}  // namespace wiretrial::lane
