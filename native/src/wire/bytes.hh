// Numbers in network byte order. Mirrors src/wire/bytes.ts: no bounds are checked here; `check` of
// each protocol has proved them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace wiretrial {

inline uint32_t u8(const uint8_t* b, uint32_t off) { return b[off]; }

inline uint32_t u16(const uint8_t* b, uint32_t off) {
  uint16_t value;
  std::memcpy(&value, b + off, 2);
  return __builtin_bswap16(value);
}

inline uint32_t u32(const uint8_t* b, uint32_t off) {
  uint32_t value;
  std::memcpy(&value, b + off, 4);
  return __builtin_bswap32(value);
}

inline void set_u8(uint8_t* b, uint32_t off, uint32_t value) { b[off] = static_cast<uint8_t>(value); }

inline void set_u16(uint8_t* b, uint32_t off, uint32_t value) {
  const uint16_t word = __builtin_bswap16(static_cast<uint16_t>(value));
  std::memcpy(b + off, &word, 2);
}

}  // namespace wiretrial
