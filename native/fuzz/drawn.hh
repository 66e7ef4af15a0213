// What targets that compare draw by: numbers that a seed gives, and tables of classes.
#pragma once

#include <cstdint>
#include <vector>

#include "../src/engine/classes.hh"

namespace wiretrial {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull | 1) { next(); }
  uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<uint32_t>(state_ >> 20);
  }
  uint32_t below(uint32_t n) { return next() % n; }
  bool one_in(uint32_t n) { return below(n) == 0; }
  // The same, of what keeps packets from the everyday way: rarer in calm worlds.
  bool odd(uint32_t n) { return below(n * calm_) == 0; }
  void calm(uint32_t times) { calm_ = times; }

 private:
  uint64_t state_;
  uint32_t calm_ = 1;
};

// Classes that tell some of the drawn ends apart, others not, at all three steps of a table: of
// addresses in 10.0.0.0/24, and of IPv6 addresses that end in what follows fd00:0.
struct Tables {
  std::vector<uint32_t> direct[2], trie[2];
  std::vector<uint16_t> tcp[2], udp[2];

  Tables() {
    for (uint32_t side = 0; side < 2; side++) {
      direct[side].assign(65536 + 512, 1);
      direct[side][0x0a00] = 0x80000000;
      direct[side][65536] = side == 0 ? 0x80000001 : 7;
      for (uint32_t i = 0; i < 256; i++) direct[side][65536 + 256 + i] = 2 + i / 3;
      // Addresses that end in 4 and more, and those below.
      trie[side] = {0, 0, 0, 0,          0,   1, 0, 1 + side,  //
                    0, 0, 0, 0xfd000000, 125, 0, 2, 2 + side,  //
                    0, 0, 0, 0xfd000004, 126, 0, 0, 3 + side};
      tcp[side].resize(65536);
      udp[side].resize(65536);
      for (uint32_t i = 0; i < 65536; i++) {
        tcp[side][i] = static_cast<uint16_t>(i / (7 + side));
        udp[side][i] = static_cast<uint16_t>(i == 80 ? 5 : i / 1050);
      }
    }
  }
  ClassTables shown() const {
    return {{direct[0].data(), direct[1].data()},
            {trie[0].data(), trie[1].data()},
            {tcp[0].data(), tcp[1].data()},
            {udp[0].data(), udp[1].data()}};
  }
};

}  // namespace wiretrial
