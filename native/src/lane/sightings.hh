// Packets seen within the last second, by everything that a router leaves alone: which of them are
// the same packet further on its way. Mirrors src/lab/traffic/duplicates.ts; contents are compared
// by a fingerprint of 128 bits.
//
// Two generations, so that forgetting is a swap and not a sweep. Grows with the packets of a second
// of the capture's clock.
#pragma once

#include <cmath>

#include "../engine/memory.hh"
#include "packet.hh"

namespace wiretrial::lane {

struct Fingerprint {
  uint64_t a;
  uint64_t b;
  bool operator==(const Fingerprint&) const = default;
};

// Mixes words into two states that do not follow each other.
class Mixer {
 public:
  void add(uint64_t word) {
    const auto wide = static_cast<unsigned __int128>(a_ ^ word) * 0x9e3779b97f4a7c15ull;
    a_ = static_cast<uint64_t>(wide) ^ static_cast<uint64_t>(wide >> 64);
    b_ = std::rotl(b_ ^ (word * 0xc2b2ae3d27d4eb4full), 29) * 0x165667b19e3779f9ull + 0x27d4eb2f165667c5ull;
  }

  void add_bytes(const uint8_t* bytes, uint32_t from, uint32_t to) {
    uint32_t at = from;
    for (; at + 8 <= to; at += 8) {
      uint64_t word;
      std::memcpy(&word, bytes + at, 8);
      add(word);
    }
    if (at >= to) return;
    uint64_t word = 0;
    std::memcpy(&word, bytes + at, to - at);
    add(word);
  }

  Fingerprint take() const {
    uint64_t x = a_ ^ (a_ >> 31), y = b_ ^ (b_ >> 33);
    y *= 0xff51afd7ed558ccdull;
    return Fingerprint{x * 0xd6e8feb86659fd93ull | 1, y ^ (y >> 32)};
  }

 private:
  uint64_t a_ = 0x243f6a8885a308d3ull;
  uint64_t b_ = 0x13198a2e03707344ull;
};

// What stands in front of a packet's payload, as far as sightings are compared by it.
struct Head {
  uint32_t protocol;
  uint32_t id;
  uint32_t length;
  uint32_t seq;
  uint32_t ack;
  // SYN 1, FIN 2, RST 4; 8 for TCP.
  uint32_t flags;
  uint64_t fragment;
  uint64_t whose;
};

inline Fingerprint fingerprint(const Head& h, const uint8_t* bytes, uint32_t from, uint32_t to) {
  Mixer m;
  m.add(h.protocol | static_cast<uint64_t>(h.id) << 8 | static_cast<uint64_t>(h.length) << 40);
  m.add(h.seq | static_cast<uint64_t>(h.ack) << 32);
  m.add(h.whose);
  m.add(h.flags | h.fragment << 8);
  m.add_bytes(bytes, std::min(from, to), to);
  return m.take();
}

struct Sighting {
  Fingerprint print;
  uint64_t vantage;
  double now_ns;
};
static_assert(sizeof(Sighting) == 32);

// A table of entries by the fingerprint that they begin with.
template <typename Entry>
class Generation {
 public:
  Generation() = default;
  ~Generation() { give_back(places_, bytes()); }
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  Entry* find(const Fingerprint& print) {
    if (count_ == 0) return nullptr;
    for (uint64_t at = print.a & mask_;; at = (at + 1) & mask_) {
      if (places_[at].print == print) return &places_[at];
      if (places_[at].print.a == 0) return nullptr;
    }
  }

  void prefetch(const Fingerprint& print) const {
    if (places_ != nullptr) __builtin_prefetch(&places_[print.a & mask_]);
  }

  // False when there is no memory.
  bool set(const Entry& s) {
    if ((count_ + 1) * 2 > mask_ && !grow()) return false;
    for (uint64_t at = s.print.a & mask_;; at = (at + 1) & mask_) {
      Entry& place = places_[at];
      if (place.print.a == 0) count_ += 1;
      else if (!(place.print == s.print)) continue;
      place = s;
      return true;
    }
  }

  // Forget everything; a table that was mostly empty becomes smaller.
  void clear() {
    if (places_ == nullptr) return;
    if (count_ * 16 < mask_ && mask_ > kFirst) {
      give_back(places_, bytes());
      places_ = nullptr;
      mask_ = 0;
    } else {
      std::memset(static_cast<void*>(places_), 0, (mask_ + 1) * sizeof(Entry));
    }
    count_ = 0;
  }

  uint64_t count() const { return count_; }

  void swap(Generation& other) {
    std::swap(places_, other.places_);
    std::swap(mask_, other.mask_);
    std::swap(count_, other.count_);
  }

 private:
  static constexpr uint64_t kFirst = 4096;

  size_t bytes() const { return places_ == nullptr ? 0 : (mask_ + 1) * sizeof(Entry); }

  bool grow() {
    const uint64_t size = places_ == nullptr ? kFirst : (mask_ + 1) * 2;
    auto* fresh = static_cast<Entry*>(take_memory(size * sizeof(Entry)));
    if (fresh == nullptr) return false;
    Entry* const old = places_;
    const size_t old_bytes = bytes();
    const uint64_t old_size = old == nullptr ? 0 : mask_ + 1;
    places_ = fresh;
    mask_ = size - 1;
    count_ = 0;
    for (uint64_t i = 0; i < old_size; i++) {
      if (old[i].print.a != 0) set(old[i]);
    }
    give_back(old, old_bytes);
    return true;
  }

  Entry* places_ = nullptr;
  uint64_t mask_ = 0;
  uint64_t count_ = 0;
};

// What a sighting is.
enum class Seen : uint8_t {
  kFirst,          // counts: new, or a retransmission
  kRepeat,         // the same packet at another place
  kRepeatBeyond,   // and behind a router
  kNoMemory,
};

class Sightings {
 public:
  void prefetch(const Fingerprint& print) const { recent_.prefetch(print); }

  // `vantage` names place and direction; its lowest byte is the packet's TTL.
  Seen note(const Fingerprint& print, uint64_t vantage, double now_ns) {
    constexpr double kWindowNs = 1e9;
    if (now_ns - swap_ns_ > kWindowNs) {
      if (now_ns - swap_ns_ > 2 * kWindowNs) older_.clear();
      else older_.swap(recent_);
      recent_.clear();
      swap_ns_ = now_ns;
    }
    const Sighting* first = recent_.find(print);
    if (first == nullptr) first = older_.find(print);
    if (first != nullptr && now_ns - first->now_ns <= kWindowNs && first->vantage != vantage) {
      return (vantage & 0xff) < (first->vantage & 0xff) ? Seen::kRepeatBeyond : Seen::kRepeat;
    }
    return recent_.set(Sighting{print, vantage, now_ns}) ? Seen::kFirst : Seen::kNoMemory;
  }

 private:
  Generation<Sighting> recent_;
  Generation<Sighting> older_;
  double swap_ns_ = 0;
};

}  // namespace wiretrial::lane
