// Packets seen within the last second, by everything that a router leaves alone: which of them are
// the same packet further on its way. Mirrors src/lab/traffic/duplicates.ts; contents are compared
// by a fingerprint of 128 bits.
//
// Two generations, so that forgetting is a swap and not a sweep. Grows with the packets of a second
// of the capture's clock.
#pragma once

#include <cmath>

#include "../engine/memory.hh"
#include "mix.hh"
#include "packet.hh"

namespace wiretrial::lane {

struct Fingerprint {
  uint64_t a;
  uint64_t b;
  bool operator==(const Fingerprint&) const = default;
};

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
    uint64_t rest = 0;
    if (to >= sizeof rest) {
      // The last bytes, from the end: what stands before them is read and shifted away.
      std::memcpy(&rest, bytes + to - sizeof rest, sizeof rest);
      if (left % 8 != 0) rest >>= 64 - 8 * (left % 8);
    } else {
      for (uint32_t n = 0; n < left; n++) rest |= uint64_t{bytes[at + n]} << 8 * n;
    }
    const auto word = [&](uint32_t i) -> uint64_t {
      if (left <= 8 * i) return 0;
      if (left < 8 * (i + 1)) return rest;
      uint64_t whole;
      std::memcpy(&whole, bytes + at + 8 * i, sizeof whole);
      return whole;
    };
    add(word(0), word(1), word(2), word(3));
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

  // Where an entry with this fingerprint stands, or would. Precondition: `make_room`.
  uint64_t probe(const Fingerprint& print) {
    uint64_t at = place_of(print);
    for (;; at = (at + 1) & mask_) {
      const uint64_t slot = slots_[at];
      if (slot == 0 || (is_like(slot, print) && entry_of(slot).print == print)) return at;
    }
  }

  // The entry at a place that `probe` found; null when there is none yet.
  Entry* at(uint64_t place) {
    const uint64_t slot = slots_[place];
    return slot == 0 ? nullptr : &entry_of(slot);
  }

  // Put an entry where `probe` found its place.
  void put(uint64_t place, const Entry& s) {
    uint64_t& slot = slots_[place];
    if (slot == 0) {
      entries_[count_++] = s;
      slot = slot_of(s.print, count_);
    } else {
      entry_of(slot) = s;
    }
  }

  // Room for one more entry; false when there is no memory.
  bool make_room() { return count_ < capacity_ || grow(); }

  // An entry takes the place of the one with its fingerprint. False when there is no memory.
  bool set(const Entry& s) {
    if (!make_room()) return false;
    put(probe(s.print), s);
    return true;
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

// Sightings in the order in which they came, and nothing to find them by.
class Log {
 public:
  Log() = default;
  ~Log() { give_back(at_, capacity_ * sizeof(Sighting)); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  bool add(const Sighting& s) {
    if (count_ == capacity_ && !grow()) return false;
    at_[count_++] = s;
    return true;
  }

  // Hand all of them over; false when there is no memory.
  bool move_to(Generation<Sighting>& into) {
    for (uint64_t i = 0; i < count_; i++) {
      if (!into.set(at_[i])) return false;
    }
    count_ = 0;
    return true;
  }

  // Forget everything; what was mostly empty becomes smaller.
  void clear() {
    if (count_ * 8 < capacity_ && capacity_ > kFirst) {
      give_back(at_, capacity_ * sizeof(Sighting));
      at_ = nullptr;
      capacity_ = 0;
    }
    count_ = 0;
  }

  void swap(Log& other) {
    std::swap(at_, other.at_);
    std::swap(count_, other.count_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  static constexpr uint64_t kFirst = 65'536;

  bool grow() {
    const uint64_t room = capacity_ == 0 ? kFirst : capacity_ * 2;
    auto* at = static_cast<Sighting*>(take_memory(room * sizeof(Sighting)));
    if (at == nullptr) return false;
    if (count_ > 0) std::memcpy(static_cast<void*>(at), at_, count_ * sizeof(Sighting));
    give_back(at_, capacity_ * sizeof(Sighting));
    at_ = at;
    capacity_ = room;
    return true;
  }

  Sighting* at_ = nullptr;
  uint64_t count_ = 0;
  uint64_t capacity_ = 0;
};

// A packet can be a copy only of one with its connection and direction, at another place. As long as
// those were seen at one place only, their sightings are written down and not looked for: a log has
// them, and becomes a table when somebody is seen at a second place.
class Sightings {
 public:
  // Of somebody whose packets come one after the other: what `note` concluded, for the next.
  using Sole = uint32_t;

  // For about so many connections at a time; more are right, too, and slower.
  explicit Sightings(uint32_t speakers)
      : mask_(power_at_least(speakers) - 1),
        places_(static_cast<Place*>(take_memory((mask_ + 1ull) * sizeof(Place)))) {}
  ~Sightings() { give_back(places_, (mask_ + 1ull) * sizeof(Place)); }
  Sightings(const Sightings&) = delete;
  Sightings& operator=(const Sightings&) = delete;

  bool is_whole() const { return places_ != nullptr; }

  // For one who is not alone.
  void prefetch(const Fingerprint& print) const {
    recent_.prefetch(print);
    older_.prefetch(print);
  }

  // Whether one who was alone as of `sole` still is.
  bool is_alone(Sole sole) const { return sole == state_; }

  // `whose` names connection and direction, `vantage` the place; its lowest byte is the packet's TTL.
  // `sole` is kept by the caller for the same whose and vantage, 0 at first.
  Seen note(const Fingerprint& print, uint64_t whose, uint64_t vantage, double now_ns, Sole& sole) {
    if (now_ns - swap_ns_ > kWindowNs) turn(now_ns);
    const Sighting s{print, vantage, now_ns};
    if (sole == state_) return recent_log_.add(s) ? Seen::kFirst : Seen::kNoMemory;
    Place& place = places_[whose & mask_];
    if (place.round + 1 < round_) {
      place = {vantage, round_, true};
    } else {
      place.round = round_;
      if (place.is_only && place.vantage != vantage) {
        place.is_only = false;
        state_ += 1;
        if (!older_log_.move_to(older_) || !recent_log_.move_to(recent_)) return Seen::kNoMemory;
      }
    }
    if (!place.is_only) return look_up(s);
    sole = state_;
    return recent_log_.add(s) ? Seen::kFirst : Seen::kNoMemory;
  }

 private:
  // Where everybody with equal low bits was seen. Nothing that is kept is older than the round
  // before.
  struct Place {
    uint64_t vantage;
    uint32_t round;
    bool is_only;
  };

  static constexpr double kWindowNs = 1e9;

  Seen look_up(const Sighting& s) {
    const Sighting* first = recent_.find(s.print);
    if (first == nullptr) first = older_.find(s.print);
    if (first != nullptr && s.now_ns - first->now_ns <= kWindowNs && first->vantage != s.vantage) {
      return (s.vantage & 0xff) < (first->vantage & 0xff) ? Seen::kRepeatBeyond : Seen::kRepeat;
    }
    return recent_.set(s) ? Seen::kFirst : Seen::kNoMemory;
  }

  void turn(double now_ns) {
    if (now_ns - swap_ns_ > 2 * kWindowNs) {
      older_.clear();
      older_log_.clear();
      round_ += 2;
    } else {
      older_.swap(recent_);
      older_log_.swap(recent_log_);
      round_ += 1;
    }
    recent_.clear();
    recent_log_.clear();
    swap_ns_ = now_ns;
    state_ += 1;
  }

  Generation<Sighting> recent_;
  Generation<Sighting> older_;
  Log recent_log_;
  Log older_log_;
  double swap_ns_ = 0;
  // Changes when somebody who was alone may be so no longer.
  Sole state_ = 1;
  uint32_t round_ = 2;
  uint32_t mask_;
  Place* places_;
};

}  // namespace wiretrial::lane
