// The facts of a block of packets, by column: what reading them leaves for the steps that follow.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../conntrack/ordinary-segment.hh"
#include "batch.hh"
#include "facts.hh"
#include "translation.hh"

namespace wiretrial {

// Few enough that the columns, their packets and what these become stay in the nearest cache.
constexpr uint32_t kBlock = 32;

// A packet's first bytes are read and copied in one go, whatever its length.
constexpr uint32_t kHeadRoom = 64;

// `Batch::roomy_end` of so many bytes.
inline uint32_t roomy_end(uint64_t bytes) {
  if (bytes < kHeadRoom) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(bytes - kHeadRoom + 1, 0xffffffff));
}

struct alignas(64) Block {
  uint64_t ends[kBlock];
  uint64_t rest[kBlock];
  const uint8_t* bytes[kBlock];
  uint32_t hash[kBlock];
  // Not 0: the packet is plain, and what follows is known.
  uint32_t plain[kBlock];
  uint32_t src[kBlock];
  uint32_t dst[kBlock];
  // Source port, and the destination port 16 bits higher.
  uint32_t ports[kBlock];
  // Not 0: the ends stand turned round in the key.
  uint32_t swapped[kBlock];
  // Class of traffic, and 11 bits higher whether the packet is offloaded: see `follower`.
  uint32_t traits[kBlock];
  // TTL and protocol, and of an IPv4 packet the header checksum, as they lie in memory.
  uint32_t life[kBlock];
  uint32_t tcp_flags[kBlock];
  // Not 0: an established connection's everyday segment, with no SACK among its options.
  uint32_t ordinary[kBlock];
  uint32_t seq[kBlock];
  uint32_t ack[kBlock];
  uint32_t seq_end[kBlock];
  uint32_t window[kBlock];
  // Where it enters; 48 bits higher its `traits`: as `follower` has them.
  uint64_t follows[kBlock];
  // Not 0: plain, and kHeadRoom bytes may be read from the packet on.
  uint32_t ready[kBlock];
  uint32_t place[kBlock];
  // Of packets that no connection holds; of those known of which it was asked (wide-decisions.hh).
  uint32_t decision[kBlock];
  // Of packets that took an express way and are yet to be written: by how much their TTL changes,
  // what that and their ends add to the header's sum, and what they are rewritten to, if at all.
  uint32_t ttl_change[kBlock];
  uint32_t sum_change[kBlock];
  const Rewrite* rewrite[kBlock];
};

// The packet at `i` as one that is moved alone.
inline Facts facts_at(const Block& k, uint32_t i, const Arrival& a) {
  Facts f;
  f.bytes = a.bytes;
  f.length = a.length;
  f.protocol = static_cast<uint8_t>(k.rest[i] >> 32);
  f.family = static_cast<uint8_t>(k.rest[i] >> 40);
  f.l4 = f.family == 4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength;
  f.src = k.src[i];
  f.dst = k.dst[i];
  f.sport = k.ports[i] & 0xffff;
  f.dport = k.ports[i] >> 16;
  f.ttl = static_cast<uint8_t>(k.life[i]);
  f.tos = static_cast<uint8_t>(k.traits[i]);
  f.tcp_flags = static_cast<uint8_t>(k.tcp_flags[i]);
  f.offloaded = a.offloaded;
  f.swapped = k.swapped[i] != 0;
  f.key = FlowKey{k.ends[i], k.rest[i]};
  f.hash = k.hash[i];
  return f;
}

using conntrack::kKindFlags;
using conntrack::kTimestampHeader;
using conntrack::kTimestampOption;

// A SYN that opens: no other kind.
inline bool is_opening(uint32_t tcp_flags) { return (tcp_flags & kKindFlags) == tcp::kSyn; }

// Put a packet that was read alone into its columns.
inline void put(Block& k, uint32_t i, const Facts& f) {
  k.ends[i] = f.key.ends;
  k.rest[i] = f.key.rest;
  k.hash[i] = f.hash;
  k.src[i] = f.src;
  k.dst[i] = f.dst;
  k.ports[i] = f.sport | f.dport << 16;
  k.swapped[i] = f.swapped;
  k.traits[i] = f.tos | static_cast<uint32_t>(f.offloaded) << 11;
  k.life[i] = f.ttl | static_cast<uint32_t>(f.protocol) << 8;
  if (f.family == 4) std::memcpy(&k.life[i], f.bytes + ipv4::kTtl, 4);
  k.tcp_flags[i] = f.tcp_flags;
  k.ordinary[i] = 0;
  if (f.protocol != kTcp) return;
  const uint32_t header = tcp::header_length(f.bytes, f.l4);
  k.ordinary[i] = conntrack::is_ordinary(f.bytes, f.l4, header, f.tcp_flags);
  k.seq[i] = tcp::seq(f.bytes, f.l4);
  k.ack[i] = tcp::ack(f.bytes, f.l4);
  k.seq_end[i] = k.seq[i] + (f.length - f.l4 - header);
  k.window[i] = tcp::window(f.bytes, f.l4);
}

}  // namespace wiretrial
