// IPv4 header (RFC 791). Mirrors src/wire/header/ipv4.ts as far as the fast path takes packets:
// headers without options, of packets that are no fragments. All others go to the reference
// engine.
#pragma once

#include "checksum.hh"

namespace wiretrial::ipv4 {

constexpr uint32_t kMinHeaderLength = 20;
constexpr uint32_t kTos = 1;
constexpr uint32_t kTotalLength = 2;
constexpr uint32_t kFragment = 6;
constexpr uint32_t kTtl = 8;
constexpr uint32_t kProtocol = 9;
constexpr uint32_t kChecksum = 10;
constexpr uint32_t kSource = 12;
constexpr uint32_t kDestination = 16;
constexpr uint32_t kDontFragment = 0x4000;

inline uint32_t total_length(const uint8_t* b, uint32_t off) { return u16(b, off + kTotalLength); }

// Whether this is a header without options, of a whole packet of exactly `length` bytes, that
// `ipv4.check` would accept.
inline bool is_plain(const uint8_t* b, uint32_t off, uint32_t length) {
  if (length < kMinHeaderLength || b[off] != 0x45) return false;
  if ((u16(b, off + kFragment) & ~kDontFragment) != 0) return false;
  if (total_length(b, off) != length) return false;
  // Negative zero: right, but whoever changes a field on the way makes it plain zero.
  if (u16(b, off + kChecksum) == 0xffff) return false;
  return fold(sum_words(b, off, off + kMinHeaderLength)) == 0xffff;
}

// Set TTL and keep the header checksum right (`ip_decrease_ttl`, xt_HL).
inline void set_ttl(uint8_t* b, uint32_t off, uint32_t value) {
  const uint32_t before = u16(b, off + kTtl);
  set_u8(b, off + kTtl, value);
  const uint32_t sum = update16(u16(b, off + kChecksum), before, u16(b, off + kTtl));
  set_u16(b, off + kChecksum, sum);
}

// Set the type of service and keep the header checksum right (xt_TOS, xt_DSCP).
inline void set_tos(uint8_t* b, uint32_t off, uint32_t value) {
  const uint32_t before = u16(b, off);
  set_u8(b, off + kTos, value);
  set_u16(b, off + kChecksum, update16(u16(b, off + kChecksum), before, u16(b, off)));
}

}  // namespace wiretrial::ipv4
