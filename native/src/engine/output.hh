// The packet as it ends: ends, link header, class, TTL, and the checksums that go with them.
#pragma once

#include <algorithm>

#include "batch.hh"
#include "decisions.hh"
#include "translation.hh"

namespace wiretrial {

// Copy a packet's headers: short ones without a call.
inline void copy_packet(uint8_t* to, const uint8_t* from, uint32_t length) {
  if (length < 32 || length > 64) {
    std::memcpy(to, from, length);
    return;
  }
  std::memcpy(to, from, 32);
  std::memcpy(to + length - 32, from + length - 32, 32);
}

// Compute the transport checksum anew (`fillSegment`), of a packet that ends as `r` says or, where
// that is null, with the ends that it came with.
inline void fill_checksum(uint8_t* out, const Facts& f, const Rewrite* r) {
  const bool is_icmp4 = f.protocol == kIcmp && f.family == 4;
  const uint32_t field = checksum_field(f);
  // Summed over the packet as it came: of what the sum covers, the field itself and the ends
  // differ, and by how much the ends do is known.
  const uint64_t old = in_memory(u16(f.bytes, field));
  const uint32_t with = is_icmp4 ? fold(sum_words(f.bytes, f.l4, f.length)) : transport_sum(f);
  const uint32_t sum = fold(with + (~old & 0xffff) + (r == nullptr ? 0u : r->transport));
  const uint32_t stored = ~__builtin_bswap16(static_cast<uint16_t>(sum)) & 0xffff;
  set_u16(out, field, f.protocol == kUdp && stored == 0 ? 0xffff : stored);
}

// Write the first bytes of the packet into `a.out`; `r` is what its connection's translation makes
// of it, null where it has none or ends before.
inline void write_packet(const Arrival& a, const Facts& f, const Decision& d, const Rewrite* r,
                         const AddressBook& book) {
  uint8_t* out = a.out;
  uint32_t room = a.room;
  if (d.flags & kLeaves) {
    std::memcpy(out, d.link_header, sizeof d.link_header);
    out += sizeof d.link_header;
    room -= sizeof d.link_header;
  }
  copy_packet(out, f.bytes, std::min(f.length, room));
  if (r != nullptr) rewrite_ends(out, f, *r, book);
  const uint32_t ttl = f.ttl + static_cast<uint32_t>(static_cast<int32_t>(d.ttl_change));
  if (f.family == 4) {
    if (d.tos_after != f.tos) ipv4::set_tos(out, 0, d.tos_after);
    if (d.ttl_change != 0) ipv4::set_ttl(out, 0, ttl);
  } else {
    if (d.tos_after != f.tos) ipv6::set_traffic_class(out, 0, d.tos_after);
    set_u8(out, ipv6::kHopLimit, ttl);
  }
  if (d.flags & kCompletesChecksum) fill_checksum(out, f, r);
}

}  // namespace wiretrial
