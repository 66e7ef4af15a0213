// Packets by what every sighting of them has in common, whatever ends it had: who was seen with the
// same content shortly before. Mirrors `Contents` of src/lab/traffic/translations.ts; contents are
// told apart by a fingerprint of 64 bits.
//
// The latest packets stand in a ring, in the order in which they came, and chains go through it from
// later to earlier ones: nothing is ever taken out.
#pragma once

#include <algorithm>

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
// as if zeros followed.
inline uint64_t content_of(const ContentHead& h, const uint8_t* bytes, uint32_t from, uint32_t to) {
  const uint64_t first = h.protocol | static_cast<uint64_t>(h.id) << 8 |
                         static_cast<uint64_t>(h.length) << 40 |
                         static_cast<uint64_t>(h.flags & 7) << 58 |
                         static_cast<uint64_t>(h.kind) << 61;
  uint64_t mixed = fold_product(first ^ kMix[0], h.numbers ^ kMix[1]);
  uint32_t at = from;
  for (; at + 16 <= to; at += 16) {
    uint64_t w[2];
    std::memcpy(w, bytes + at, sizeof w);
    mixed = fold_product(mixed ^ w[0], w[1] ^ kMix[2]);
  }
  if (at >= to || to < 8) return mixed;
  const uint32_t left = to - at;
  uint64_t last;
  std::memcpy(&last, bytes + to - sizeof last, sizeof last);
  if (left % 8 != 0) last >>= 64 - 8 * (left % 8);
  if (left <= 8) return fold_product(mixed ^ last, kMix[3]);
  uint64_t word;
  std::memcpy(&word, bytes + at, sizeof word);
  return fold_product(mixed ^ word, last ^ kMix[3]);
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

  Contents()
      : ring_(static_cast<Sighting*>(take_memory(kMost * sizeof(Sighting)))),
        heads_(static_cast<uint32_t*>(take_memory(kHeads * sizeof(uint32_t)))) {}
  ~Contents() {
    give_back(ring_, kMost * sizeof(Sighting));
    give_back(heads_, kHeads * sizeof(uint32_t));
  }
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  bool is_whole() const { return ring_ != nullptr && heads_ != nullptr; }

  // How far apart sightings of one packet may be: at most `kMost`.
  void reach(uint32_t records) { reach_ = std::min(records, kMost); }

  void prefetch_head(uint64_t content) const { __builtin_prefetch(&heads_[content & kHeadMask]); }

  void prefetch(uint64_t content) const {
    const uint32_t head = heads_[content & kHeadMask];
    if (is_there(head)) __builtin_prefetch(&ring_[head & kMask]);
  }

  // Note a packet; the latest one of the same content, if there was one shortly before. Valid until
  // the next.
  const Sighting* note(uint64_t content, int64_t time_ns, uint64_t place, uint32_t speaker) {
    uint32_t& head = heads_[content & kHeadMask];
    const Sighting* found = nullptr;
    for (uint32_t at = head, age = next_ - at; age - 1 < kMost;) {
      const Sighting& s = ring_[at & kMask];
      if (s.content == content) {
        latest_ = s;
        found = is_near(s, time_ns, static_cast<uint32_t>(place)) ? &latest_ : nullptr;
        break;
      }
      at = s.before;
      const uint32_t older = next_ - at;
      if (older <= age) break;
      age = older;
    }
    ring_[next_ & kMask] = {content, time_ns, static_cast<uint32_t>(place), speaker, head};
    head = next_++;
    return found;
  }

  // Forget everything.
  void clear() {
    std::memset(heads_, 0, kHeads * sizeof(uint32_t));
    next_ = kFirst;
  }

 private:
  static constexpr uint32_t kMask = kMost - 1;
  static constexpr uint32_t kHeads = kMost * 2;
  static constexpr uint32_t kHeadMask = kHeads - 1;
  // What heads begin with is not there yet.
  static constexpr uint32_t kFirst = kMost + 1;

  // Places of a capture do not go back; times may.
  bool is_near(const Sighting& s, int64_t time_ns, uint32_t place) const {
    constexpr uint64_t kWindowNs = 1'000'000'000;
    if (place - s.place > reach_) return false;
    return time_ns <= s.time_ns ||
           static_cast<uint64_t>(time_ns) - static_cast<uint64_t>(s.time_ns) <= kWindowNs;
  }

  // Whether the packet of this number is in the ring still.
  bool is_there(uint32_t number) const { return next_ - number - 1 < kMost; }

  Sighting* ring_;
  uint32_t* heads_;
  uint32_t next_ = kFirst;
  uint32_t reach_ = kMost;
  Sighting latest_{};
};

}  // namespace wiretrial::lane
