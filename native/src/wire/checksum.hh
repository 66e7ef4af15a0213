// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Mirrors
// src/wire/checksum.ts.
//
// Where the two differ: sums run over 32-bit words as they lie in memory. One's complement sums do
// not care for byte order (RFC 1071 section 2 (B)), so the folded sum is turned once at the end; it
// is a third of the work.
#pragma once

#include "bytes.hh"

namespace wiretrial {

// Fold a running sum of 16-bit words to 16 bits (end-around carry).
inline uint32_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum);
}

// A running sum of the words of `b[off, end)` as they lie in memory, right but for multiples of
// 0xffff, and 0 only of zeros; what is left at the end counts as if zeros followed. Sums of parts
// that start at even places may be added.
inline uint64_t sum_words(const uint8_t* b, uint32_t off, uint32_t end) {
  uint64_t sum = 0, carries = 0;
  const auto add = [&](uint64_t word) {
    sum += word;
    carries += sum < word;
  };
  uint32_t at = off;
  for (; at + 8 <= end; at += 8) {
    uint64_t word;
    std::memcpy(&word, b + at, 8);
    add(word);
  }
  const uint32_t left = end - at;
  if (left > 0 && at > off) {
    // The last bytes, from the end: what stands before them is read and shifted away.
    uint64_t word;
    std::memcpy(&word, b + end - 8, 8);
    add(word >> (64 - 8 * left));
  } else {
    uint64_t word = 0;
    for (uint32_t n = 0; n < left; n++) word |= uint64_t{b[at + n]} << 8 * n;
    add(word);
  }
  // What a carry stands for is one more, but for multiples of 0xffff.
  return (sum & 0xffffffff) + (sum >> 32) + carries;
}

// The folded sum of the 16-bit words of `b[off, end)`; an odd last byte is the high half of a word.
inline uint32_t sum_bytes(const uint8_t* b, uint32_t off, uint32_t end) {
  return __builtin_bswap16(static_cast<uint16_t>(fold(sum_words(b, off, end))));
}

// A number of 16 bits as it lies in memory in network order, to be added to such a sum.
inline uint64_t in_memory(uint32_t value) {
  return __builtin_bswap16(static_cast<uint16_t>(value));
}

// The checksum to store: complement of the folded sum. Over data with its checksum it is 0 if
// right.
inline uint32_t checksum(const uint8_t* b, uint32_t off, uint32_t end) {
  return ~sum_bytes(b, off, end) & 0xffff;
}

// What a checksum that covers one changed 16-bit word becomes (RFC 1624 equation 3).
inline uint32_t update16(uint32_t old, uint32_t from, uint32_t to) {
  return ~fold((~old & 0xffff) + (~from & 0xffff) + to) & 0xffff;
}

}  // namespace wiretrial
