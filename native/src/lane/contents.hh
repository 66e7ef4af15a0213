// Packets by what every sighting of them has in common, whatever ends it had: who was seen with the
// same content shortly before. Mirrors `Contents` of src/lab/traffic/translations.ts; contents are
// told apart by a fingerprint of 64 bits.
//
// The latest packets stand in a ring, in the order in which they came, and chains go through it from
// later to earlier ones: nothing is ever taken out. Most contents were never seen before, and a filter
// (Bloom 1970, four bits of one word) says so of nearly all of them without a look into the ring.
#pragma once

#include <algorithm>
#include <bit>

#include "../engine/memory.hh"
#include "mix.hh"
#include "packet.hh"

namespace wiretrial::lane {

// Bytes of a payload that are compared (`COMPARED`).
constexpr uint32_t kCompared = 64;

struct ContentHead {
  uint32_t protocol;
  uint32_t id;
  uint32_t length;
  // `Packet::flags`.
  uint32_t flags;
  // Of an echo: 1 when it asks, 2 when it answers.
  uint32_t kind;
  // TCP's sequence and acknowledgment number.
  uint64_t numbers;
};

// `contentOf`: the head, and the bytes of a packet from its payload on; what is left of a word counts
// as if zeros followed. `see` is given all words of these bytes, for who sums them.
template <typename See>
inline uint64_t content_of(const ContentHead& h, const uint8_t* bytes, uint32_t from, uint32_t to,
                           See see) {
  const uint64_t first = h.protocol | static_cast<uint64_t>(h.id) << 8 |
                         static_cast<uint64_t>(h.length) << 40 |
                         static_cast<uint64_t>(h.flags & 7) << 58 |
                         static_cast<uint64_t>(h.kind) << 61;
  uint32_t at = from;
  const auto next = [&] {
    uint64_t word;
    std::memcpy(&word, bytes + at, sizeof word);
    at += sizeof word;
    see(word);
    return word;
  };
  // Of TCP its numbers; of others their first bytes stand in that place.
  const bool has_numbers = h.protocol == kTcp;
  uint64_t second = h.numbers;
  if (!has_numbers && at + 8 <= to) second = next();
  uint64_t mixed = fold_product(first ^ kMix[0], second ^ kMix[1]);
  while (at + 16 <= to) {
    const uint64_t word = next();
    mixed = fold_product(mixed ^ word, next() ^ kMix[2]);
  }
  if (at >= to || to < 8) return mixed;
  const uint64_t word = at + 8 <= to ? next() : 0;
  uint64_t last = 0;
  if (at < to) {
    // The last bytes, from the end: what stands before them is read and shifted away.
    std::memcpy(&last, bytes + to - sizeof last, sizeof last);
    last >>= 64 - 8 * (to - at);
    see(last);
  }
  return fold_product(mixed ^ word, last ^ kMix[3]);
}

inline uint64_t content_of(const ContentHead& h, const uint8_t* bytes, uint32_t from, uint32_t to) {
  return content_of(h, bytes, from, to, [](uint64_t) {});
}

class Contents {
 public:
  // Records that two sightings of one packet may be apart, at most.
  static constexpr uint32_t kMost = 1u << 15;

  struct Sighting {
    uint64_t content;
    int64_t time_ns;
    // The record's place in the capture: its lowest bits.
    uint32_t place;
    // Who spoke: what the caller says of it.
    uint32_t speaker;
    // The one before it in its chain.
    uint32_t before;
  };

  Contents() : memory_(static_cast<Memory*>(take_memory(sizeof(Memory)))) {}
  ~Contents() { give_back(memory_, sizeof(Memory)); }
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  bool is_whole() const { return memory_ != nullptr; }

  // How far apart sightings of one packet may be: at most `kMost`.
  void reach(uint32_t records) { reach_ = std::min(records, kMost); }

  void prefetch(uint64_t content) const {
    __builtin_prefetch(&memory_->words[content >> kWordShift], 1);
    __builtin_prefetch(&memory_->heads[content & kMask], 1);
  }

  // Note a packet; the latest one of the same content, if there was one shortly before. Valid until
  // the next.
  const Sighting* note(uint64_t content, int64_t time_ns, uint64_t place, uint32_t speaker) {
    if (next_ == turn_at_) [[unlikely]] turn();
    Word& word = memory_->words[content >> kWordShift];
    const uint64_t bits = bit(content) | bit(content >> 6) | bit(content >> 12) | bit(content >> 18);
    const bool may_be = (bits & ~word.recent) == 0 || (bits & ~word.older) == 0;
    word.recent |= bits;
    const Sighting* found = nullptr;
    if (may_be) [[unlikely]] found = find(content, time_ns, static_cast<uint32_t>(place));
    uint32_t& head = memory_->heads[content & kMask];
    Sighting& fresh = memory_->ring[next_ & kMask];
    fresh.content = content;
    fresh.time_ns = time_ns;
    fresh.place = static_cast<uint32_t>(place);
    fresh.speaker = speaker;
    fresh.before = head;
    head = next_++;
    return found;
  }

 private:
  static constexpr uint32_t kMask = kMost - 1;
  // What heads begin with is not there yet.
  static constexpr uint32_t kFirst = kMost + 1;
  static constexpr uint32_t kWords = kMost / 2;
  static constexpr uint32_t kWordShift = 64 - std::countr_zero(kWords);

  // Of the filter: contents since the last turn, and those of the one before.
  struct Word {
    uint64_t recent;
    uint64_t older;
  };
  struct Memory {
    Sighting ring[kMost];
    uint32_t heads[kMost];
    Word words[kWords];
  };

  static uint64_t bit(uint64_t which) { return uint64_t{1} << (which & 63); }

  [[gnu::noinline]] void turn() {
    turn_at_ = next_ + kMost;
    for (Word& word : memory_->words) word = {0, word.recent};
  }

  [[gnu::noinline]] const Sighting* find(uint64_t content, int64_t time_ns, uint32_t place) {
    for (uint32_t at = memory_->heads[content & kMask], age = next_ - at; age - 1 < kMost;) {
      const Sighting& s = memory_->ring[at & kMask];
      if (s.content == content) {
        latest_ = s;
        return is_near(s, time_ns, place) ? &latest_ : nullptr;
      }
      at = s.before;
      const uint32_t older = next_ - at;
      if (older <= age) break;
      age = older;
    }
    return nullptr;
  }

  // Places of a capture do not go back; times may.
  bool is_near(const Sighting& s, int64_t time_ns, uint32_t place) const {
    constexpr uint64_t kWindowNs = 1'000'000'000;
    if (place - s.place > reach_) return false;
    return time_ns <= s.time_ns ||
           static_cast<uint64_t>(time_ns) - static_cast<uint64_t>(s.time_ns) <= kWindowNs;
  }

  Memory* memory_;
  uint32_t next_ = kFirst;
  uint32_t turn_at_ = kFirst + kMost;
  uint32_t reach_ = kMost;
  Sighting latest_{};
};

}  // namespace wiretrial::lane
