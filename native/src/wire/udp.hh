// UDP header (RFC 768). Mirrors src/wire/header/udp.ts. Checksum zero means that none was made.
#pragma once

#include "bytes.hh"

namespace wiretrial::udp {

constexpr uint32_t kHeaderLength = 8;
constexpr uint32_t kChecksum = 6;

inline uint32_t sport(const uint8_t* b, uint32_t off) { return u16(b, off); }
inline uint32_t dport(const uint8_t* b, uint32_t off) { return u16(b, off + 2); }
inline uint32_t length(const uint8_t* b, uint32_t off) { return u16(b, off + 4); }
inline uint32_t checksum(const uint8_t* b, uint32_t off) { return u16(b, off + kChecksum); }

// Check header and length field (`check` and `checkLength`).
inline bool is_whole(const uint8_t* b, uint32_t off, uint32_t end) {
  if (end - off < kHeaderLength) return false;
  const uint32_t size = length(b, off);
  return size >= kHeaderLength && size <= end - off;
}

}  // namespace wiretrial::udp
