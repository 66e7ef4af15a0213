// IPv6 header (RFC 8200). Mirrors src/wire/header/ipv6.ts as far as the fast path takes packets:
// headers that are followed by TCP, UDP or ICMPv6 at once. All others go to the reference engine.
#pragma once

#include "bytes.hh"

namespace wiretrial::ipv6 {

constexpr uint32_t kHeaderLength = 40;
constexpr uint32_t kPayloadLength = 4;
constexpr uint32_t kNextHeader = 6;
constexpr uint32_t kHopLimit = 7;
constexpr uint32_t kSource = 8;
constexpr uint32_t kDestination = 24;

inline uint32_t traffic_class(const uint8_t* b, uint32_t off) { return (u16(b, off) >> 4) & 0xff; }

inline void set_traffic_class(uint8_t* b, uint32_t off, uint32_t value) {
  set_u16(b, off, (u16(b, off) & 0xf00f) | (value << 4));
}

// Whether this is the header of a packet of exactly `length` bytes.
inline bool is_plain(const uint8_t* b, uint32_t off, uint32_t length) {
  if (length < kHeaderLength || (b[off] >> 4) != 6) return false;
  return u16(b, off + kPayloadLength) == length - kHeaderLength;
}

}  // namespace wiretrial::ipv6
