// TCP header (RFC 9293 section 3.1). Mirrors src/wire/header/tcp.ts.
#pragma once

#include "bytes.hh"

namespace wiretrial::tcp {

constexpr uint32_t kMinHeaderLength = 20;
constexpr uint32_t kChecksum = 16;

constexpr uint32_t kFin = 0x01;
constexpr uint32_t kSyn = 0x02;
constexpr uint32_t kRst = 0x04;
constexpr uint32_t kAck = 0x10;
constexpr uint32_t kUrg = 0x20;

constexpr uint32_t kOptionEnd = 0;
constexpr uint32_t kOptionNop = 1;
constexpr uint32_t kOptionWindowScale = 3;
constexpr uint32_t kOptionSackPermitted = 4;
constexpr uint32_t kOptionSack = 5;

inline uint32_t sport(const uint8_t* b, uint32_t off) { return u16(b, off); }
inline uint32_t dport(const uint8_t* b, uint32_t off) { return u16(b, off + 2); }
inline uint32_t seq(const uint8_t* b, uint32_t off) { return u32(b, off + 4); }
inline uint32_t ack(const uint8_t* b, uint32_t off) { return u32(b, off + 8); }
inline uint32_t header_length(const uint8_t* b, uint32_t off) { return (b[off + 12] >> 4) * 4u; }
inline uint32_t flags(const uint8_t* b, uint32_t off) { return b[off + 13]; }
inline uint32_t window(const uint8_t* b, uint32_t off) { return u16(b, off + 14); }

// Check that the fixed header can be read, the data offset is sane and all options can be read
// (`check` and `checkOffset`).
inline bool is_whole(const uint8_t* b, uint32_t off, uint32_t end) {
  if (end - off < kMinHeaderLength) return false;
  const uint32_t length = header_length(b, off);
  return length >= kMinHeaderLength && length <= end - off;
}

// Walk the options: `visit(kind, at, length)` with `at` the offset of the kind byte. Stops at the
// end marker and at the first malformed length, as the kernel does.
template <typename Visit>
inline void each_option(const uint8_t* b, uint32_t off, Visit visit) {
  const uint32_t end = off + header_length(b, off);
  for (uint32_t at = off + kMinHeaderLength; at < end;) {
    const uint32_t kind = b[at];
    if (kind == kOptionEnd) return;
    if (kind == kOptionNop) {
      at += 1;
      continue;
    }
    if (at + 1 >= end) return;
    const uint32_t length = b[at + 1];
    if (length < 2 || at + length > end) return;
    visit(kind, at, length);
    at += length;
  }
}

}  // namespace wiretrial::tcp
