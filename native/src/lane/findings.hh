// What a look writes for JavaScript (src/engine/compiled/lane-door.ts says where each field is), and the
// lists and the census that it counts in.
#pragma once

#include "ends.hh"

namespace wiretrial::lane {

// One packet that was seen under two pairs of ends.
struct Join {
  Ends first;
  Ends other;
  uint32_t protocol;
  // The record, by its place in the columns.
  uint32_t record;
};
static_assert(sizeof(Join) == 88);

// One sender at one interface: its checksums that were right, and wrong.
struct Sender {
  uint8_t address[16];
  uint32_t family;
  uint32_t iface;
  double right;
  double wrong;
};
static_assert(sizeof(Sender) == 40);

struct Pair {
  uint8_t low[16];
  uint8_t high[16];
  uint32_t family;
  uint32_t spare;
  double packets;
};
static_assert(sizeof(Pair) == 48);

// A list without repeats of at most as many entries as one look has records.
template <typename Entry>
class Tallied {
 public:
  static constexpr uint32_t kMost = 8192;

  explicit Tallied(Entry* out) : out_(out) {}

  void begin() {
    count_ = 0;
    round_ += 1;
  }

  // The entry that `is_same` names among those with this hash; made by `make` when there is none.
  template <typename Same, typename Make>
  Entry& at(uint64_t hash, Same is_same, Make make) {
    for (uint32_t at = static_cast<uint32_t>(hash ^ (hash >> 32)) & kMask;; at = (at + 1) & kMask) {
      if (rounds_[at] != round_) {
        rounds_[at] = round_;
        places_[at] = count_;
        make(out_[count_]);
        return out_[count_++];
      }
      if (is_same(out_[places_[at]])) return out_[places_[at]];
    }
  }

  uint32_t count() const { return count_; }

 private:
  static constexpr uint32_t kMask = kMost * 2 - 1;
  Entry* out_;
  uint32_t count_ = 0;
  uint64_t round_ = 0;
  uint64_t rounds_[kMask + 1]{};
  uint32_t places_[kMask + 1]{};
};

inline uint64_t hash16(const uint8_t* b) {
  uint64_t x, y;
  std::memcpy(&x, b, 8);
  std::memcpy(&y, b + 8, 8);
  uint64_t h = (x * 0x9e3779b97f4a7c15ull) ^ std::rotl(y * 0xc2b2ae3d27d4eb4full, 31);
  h ^= h >> 29;
  return h * 0x165667b19e3779f9ull;
}

// One bit of many for each tuple, whichever way its packets go (src/lab/traffic/tuple-census.ts
// counts by how many are left); in memory that JavaScript gives, to be joined with others'.
class Census {
 public:
  explicit Census(uint64_t* bits) : bits_(bits) {}

  void note(uint64_t hash) {
    uint64_t& word = bits_[hash >> 6 & (kBits / 64 - 1)];
    const uint64_t bit = uint64_t{1} << (hash & 63);
    if ((word & bit) != 0) return;
    word |= bit;
    taken_ += 1;
  }

  uint32_t taken() const { return taken_; }

 private:
  static constexpr uint32_t kBits = 1u << 21;
  uint64_t* bits_;
  uint32_t taken_ = 0;
};

// What a look writes for JavaScript: as many senders and pairs as one count has voices, bits of a
// census, and as many joins as there is room for.
struct Findings {
  Sender* senders;
  Pair* pairs;
  uint64_t* census;
  Join* joins;
  uint32_t most_joins;
};

}  // namespace wiretrial::lane
