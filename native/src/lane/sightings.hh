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

// Both halves of a product, folded: each bit depends on all bits of both factors.
inline uint64_t fold_product(uint64_t x, uint64_t y) {
  const auto wide = static_cast<unsigned __int128>(x) * y;
  return static_cast<uint64_t>(wide) ^ static_cast<uint64_t>(wide >> 64);
}

// Mixes words into two states that do not follow each other: two words into each at a time, so that
// the processor works on both.
class Mixer {
 public:
  void add(uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3) {
    a_ = fold_product(w0 ^ a_, w1 ^ 0x9e3779b97f4a7c15ull);
    b_ = fold_product(w2 ^ b_, w3 ^ 0xc2b2ae3d27d4eb4full);
  }

  // What is left at the end counts as if zeros followed.
  void add_bytes(const uint8_t* bytes, uint32_t from, uint32_t to) {
    uint64_t w[4];
    uint32_t at = from;
    for (; to - at >= sizeof w; at += sizeof w) {
      std::memcpy(w, bytes + at, sizeof w);
      add(w[0], w[1], w[2], w[3]);
    }
    if (at == to) return;
    const uint32_t left = to - at;
    uint32_t n = 0;
    w[0] = w[1] = w[2] = w[3] = 0;
    for (; n + 8 <= left; n += 8) std::memcpy(&w[n / 8], bytes + at + n, 8);
    uint64_t rest = 0;
    for (uint32_t bits = 0; n < left; n++, bits += 8) rest |= uint64_t{bytes[at + n]} << bits;
    w[left / 8] |= rest;
    add(w[0], w[1], w[2], w[3]);
  }

  Fingerprint take() const {
    const uint64_t x = a_ + std::rotl(b_, 23);
    return Fingerprint{x, b_ ^ fold_product(x, 0xd6e8feb86659fd93ull)};
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
  m.add(h.protocol | static_cast<uint64_t>(h.id) << 8 | static_cast<uint64_t>(h.length) << 40,
        h.seq | static_cast<uint64_t>(h.ack) << 32, h.whose, h.flags | h.fragment << 8);
  m.add_bytes(bytes, std::min(from, to), to);
  return m.take();
}

struct Sighting {
  Fingerprint print;
  uint64_t vantage;
  double now_ns;
};
static_assert(sizeof(Sighting) == 32);

// Entries in the order in which they came, found by the fingerprint that each begins with. Looking
// touches a table of words, which is small, and an entry only where it is likely to be the one.
template <typename Entry>
class Generation {
 public:
  Generation() = default;
  ~Generation() { give_back_all(); }
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  Entry* find(const Fingerprint& print) {
    if (count_ == 0) return nullptr;
    for (uint64_t at = place_of(print);; at = (at + 1) & mask_) {
      const uint64_t slot = slots_[at];
      if (slot == 0) return nullptr;
      if (is_like(slot, print) && entry_of(slot).print == print) return &entry_of(slot);
    }
  }

  void prefetch(const Fingerprint& print) const {
    if (slots_ != nullptr) __builtin_prefetch(&slots_[place_of(print)]);
  }

  // An entry takes the place of the one with its fingerprint. False when there is no memory.
  bool set(const Entry& s) {
    if (count_ == capacity_ && !grow()) return false;
    for (uint64_t at = place_of(s.print);; at = (at + 1) & mask_) {
      const uint64_t slot = slots_[at];
      if (slot == 0) {
        entries_[count_++] = s;
        slots_[at] = slot_of(s.print, count_);
        return true;
      }
      if (!is_like(slot, s.print) || !(entry_of(slot).print == s.print)) continue;
      entry_of(slot) = s;
      return true;
    }
  }

  // Forget everything; a table that was mostly empty becomes smaller.
  void clear() {
    if (slots_ == nullptr) return;
    if (count_ * 8 < capacity_ && capacity_ > kFirst) give_back_all();
    else std::memset(slots_, 0, (mask_ + 1) * sizeof(uint64_t));
    count_ = 0;
  }

  uint64_t count() const { return count_; }

  void swap(Generation& other) {
    std::swap(slots_, other.slots_);
    std::swap(entries_, other.entries_);
    std::swap(mask_, other.mask_);
    std::swap(capacity_, other.capacity_);
    std::swap(count_, other.count_);
  }

 private:
  static constexpr uint64_t kFirst = 2048;
  // Entries are numbered with 32 bits.
  static constexpr uint64_t kMost = 1ull << 31;

  // A slot has an entry's number, from 1, below a part of its fingerprint.
  static uint64_t slot_of(const Fingerprint& print, uint64_t number) {
    return (print.a & ~0xffffffffull) | number;
  }
  static bool is_like(uint64_t slot, const Fingerprint& print) {
    return (slot ^ print.a) >> 32 == 0;
  }
  uint64_t place_of(const Fingerprint& print) const { return print.b & mask_; }
  Entry& entry_of(uint64_t slot) { return entries_[(slot & 0xffffffff) - 1]; }

  // Twice the room; the table is never more than half full.
  bool grow() {
    const uint64_t room = capacity_ == 0 ? kFirst : capacity_ * 2;
    if (room > kMost) return false;
    auto* slots = static_cast<uint64_t*>(take_memory(room * 2 * sizeof(uint64_t)));
    auto* entries = static_cast<Entry*>(take_memory(room * sizeof(Entry)));
    if (slots == nullptr || entries == nullptr) {
      give_back(slots, room * 2 * sizeof(uint64_t));
      give_back(entries, room * sizeof(Entry));
      return false;
    }
    const uint64_t count = count_;
    if (count > 0) std::memcpy(static_cast<void*>(entries), entries_, count * sizeof(Entry));
    give_back_all();
    slots_ = slots;
    entries_ = entries;
    capacity_ = room;
    mask_ = room * 2 - 1;
    count_ = count;
    for (uint64_t i = 0; i < count; i++) {
      uint64_t at = place_of(entries[i].print);
      while (slots[at] != 0) at = (at + 1) & mask_;
      slots[at] = slot_of(entries[i].print, i + 1);
    }
    return true;
  }

  void give_back_all() {
    if (slots_ != nullptr) {
      give_back(slots_, (mask_ + 1) * sizeof(uint64_t));
      give_back(entries_, capacity_ * sizeof(Entry));
    }
    slots_ = nullptr;
    entries_ = nullptr;
    mask_ = capacity_ = 0;
  }

  uint64_t* slots_ = nullptr;
  Entry* entries_ = nullptr;
  uint64_t mask_ = 0;
  uint64_t capacity_ = 0;
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
  void prefetch(const Fingerprint& print) const {
    recent_.prefetch(print);
    older_.prefetch(print);
  }

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
