// Words mixed into numbers that tell what they were made of.
#pragma once

#include <cstdint>

namespace wiretrial::lane {

// Both halves of a product, folded: each bit depends on all bits of both factors.
inline uint64_t fold_product(uint64_t x, uint64_t y) {
  const auto wide = static_cast<unsigned __int128>(x) * y;
  return static_cast<uint64_t>(wide) ^ static_cast<uint64_t>(wide >> 64);
}

constexpr uint64_t kMix[4] = {0x9e3779b97f4a7c15ull, 0xc2b2ae3d27d4eb4full, 0xd6e8feb86659fd93ull,
                              0xa0761d6478bd642full};

}  // namespace wiretrial::lane
