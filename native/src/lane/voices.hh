// Who speaks in a capture: packets of one conversation and direction that differ in nothing but what
// every packet has of its own (length, type of service, identification, sequence numbers, payload)
// are of one voice. A packet's voice is found by the words that its headers are made of; only the
// first of each is taken apart.
#pragma once

#include "growing.hh"
#include "index.hh"
#include "mix.hh"

namespace wiretrial::lane {

// A packet as the first look has it: the words that its voice is known by, and its content.
struct Glance {
  // Header in front (two words of it), version and what `meta` says, time to live, protocol and
  // addresses; five words for the usual ones.
  uint64_t head[5];
  // The others: of IPv6, and of a longer header in front.
  uint64_t rest[5];
  bool is_long;
  uint64_t hash;
  uint64_t content;
};

struct alignas(64) Voice {
  uint64_t head[5];
  uint64_t packets;
  // What the index says of its packets.
  uint32_t entry;
  // Its row in this table's rows, from 0, with its direction as the lowest bit.
  uint32_t speaker;
  uint32_t iface;
  uint8_t verdict;
  // Its protocol, where its packets may be told at once (`hear`); else 0.
  uint8_t plain;
  // `Packet::flags`.
  uint8_t flags;
  uint64_t rest[5];

  bool is_of(const Glance& g) const {
    uint64_t differ = 0;
    for (uint32_t i = 0; i < 5; i++) differ |= head[i] ^ g.head[i];
    if (g.is_long && differ == 0) {
      for (uint32_t i = 0; i < 5; i++) differ |= rest[i] ^ g.rest[i];
    }
    return differ == 0;
  }
};
static_assert(sizeof(Voice) == 128 && offsetof(Voice, rest) == 64);

class Voices {
 public:
  // A look has no more of them at a time.
  static constexpr uint32_t kMost = 1u << 19;

  Voices() = default;
  ~Voices() { give_back_all(); }
  Voices(const Voices&) = delete;
  Voices& operator=(const Voices&) = delete;

  void prefetch(uint64_t hash) const {
    if (count_ != 0) __builtin_prefetch(&slots_[hash & mask_]);
  }

  Voice* find(const Glance& g) {
    return find_by(g.hash, [&](const Voice& voice) { return voice.is_of(g); });
  }

  // The first voice with this hash that `is_it` says is the one; null when none is.
  template <typename IsIt>
  [[gnu::always_inline]] inline Voice* find_by(uint64_t hash, IsIt is_it) {
    if (count_ == 0) return nullptr;
    for (uint64_t at = hash & mask_;; at = (at + 1) & mask_) {
      const uint64_t slot = slots_[at];
      if (slot == 0) return nullptr;
      if ((slot ^ hash) >> 32 != 0) continue;
      Voice& voice = voices_[number_in(slot)];
      if (is_it(voice)) return &voice;
    }
  }

  // Null when there is no memory. Precondition: there is none like it.
  Voice* add(const Glance& g) {
    if (count_ == capacity_ && !grow()) return nullptr;
    link(g.hash, count_);
    Voice& fresh = voices_[count_++];
    fresh = Voice{};
    std::memcpy(fresh.head, g.head, sizeof fresh.head);
    if (g.is_long) std::memcpy(fresh.rest, g.rest, sizeof fresh.rest);
    hashes_[count_ - 1] = g.hash;
    return &fresh;
  }

  void clear() {
    if (count_ > 0) std::memset(slots_, 0, (mask_ + 1) * sizeof(uint64_t));
    count_ = 0;
  }

  uint32_t size() const { return count_; }
  Voice& operator[](uint32_t at) { return voices_[at]; }

 private:
  static constexpr uint32_t kFirst = 4096;

  // A slot has a voice's number, from 1, below a part of its hash.
  static uint32_t number_in(uint64_t slot) { return static_cast<uint32_t>(slot) - 1; }

  void link(uint64_t hash, uint32_t place) {
    uint64_t at = hash & mask_;
    while (slots_[at] != 0) at = (at + 1) & mask_;
    slots_[at] = (hash & ~0xffffffffull) | (place + 1);
  }

  // Twice the room; slots are never more than half full.
  bool grow() {
    const uint32_t room = capacity_ == 0 ? kFirst : capacity_ * 2;
    auto* slots = static_cast<uint64_t*>(take_memory(room * 2ull * sizeof(uint64_t)));
    auto* hashes = static_cast<uint64_t*>(take_memory(room * sizeof(uint64_t)));
    auto* voices = static_cast<Voice*>(take_memory(room * sizeof(Voice)));
    if (slots == nullptr || hashes == nullptr || voices == nullptr) {
      give_back(slots, room * 2ull * sizeof(uint64_t));
      give_back(hashes, room * sizeof(uint64_t));
      give_back(voices, room * sizeof(Voice));
      return false;
    }
    if (count_ > 0) {
      std::memcpy(hashes, hashes_, count_ * sizeof(uint64_t));
      std::memcpy(static_cast<void*>(voices), voices_, count_ * sizeof(Voice));
    }
    give_back_all();
    slots_ = slots;
    hashes_ = hashes;
    voices_ = voices;
    capacity_ = room;
    mask_ = room * 2ull - 1;
    for (uint32_t i = 0; i < count_; i++) link(hashes_[i], i);
    return true;
  }

  void give_back_all() {
    give_back(slots_, capacity_ * 2ull * sizeof(uint64_t));
    give_back(hashes_, capacity_ * sizeof(uint64_t));
    give_back(voices_, capacity_ * sizeof(Voice));
  }

  uint64_t* slots_ = nullptr;
  uint64_t* hashes_ = nullptr;
  Voice* voices_ = nullptr;
  uint64_t mask_ = 0;
  uint32_t capacity_ = 0;
  uint32_t count_ = 0;
};

}  // namespace wiretrial::lane
