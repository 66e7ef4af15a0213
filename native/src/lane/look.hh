// The first look at a capture: what every sender's checksums are like, who talks with whom, and
// which packets were seen under several pairs of ends. Mirrors src/lab/traffic/survey.ts and
// translations.ts for ordinary packets; JavaScript adds up what each look found.
#pragma once

#include "sightings.hh"
#include "walk.hh"

namespace wiretrial::lane {

// Both ends of a packet in its direction; an echo's identifier is both its ports.
struct Ends {
  uint8_t src[16];
  uint8_t dst[16];
  uint16_t sport;
  uint16_t dport;
  uint32_t family;
  bool operator==(const Ends& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};
static_assert(sizeof(Ends) == 40);

inline Ends inverse(const Ends& e) {
  Ends turned = e;
  std::memcpy(turned.src, e.dst, 16);
  std::memcpy(turned.dst, e.src, 16);
  std::swap(turned.sport, turned.dport);
  return turned;
}

inline Ends ends_of(const Packet& p) {
  const FlowName& n = p.name;
  Ends e{};
  std::memcpy(e.src, p.turned ? n.high : n.low, 16);
  std::memcpy(e.dst, p.turned ? n.low : n.high, 16);
  e.sport = p.turned ? n.high_port : n.low_port;
  e.dport = p.turned ? n.low_port : n.high_port;
  e.family = n.family;
  return e;
}

struct Content {
  Fingerprint print;
  Ends ends;
  int64_t time_ns;
};

// Contents of the last second, at most so many of them.
class Contents {
 public:
  enum class Found : uint8_t { kNothing, kOtherEnds, kNoMemory };

  void prefetch(const Fingerprint& print) const {
    recent_.prefetch(print);
    older_.prefetch(print);
  }

  // Note a packet; `first` becomes its earlier ends, where it was seen under others.
  Found note(const Fingerprint& print, const Ends& ends, int64_t time_ns, Ends& first) {
    constexpr int64_t kWindowNs = 1'000'000'000;
    constexpr uint64_t kMost = 50'000;
    if (time_ns - swap_ns_ > kWindowNs || recent_.count() >= kMost) {
      older_.swap(recent_);
      recent_.clear();
      swap_ns_ = time_ns;
    }
    if (!recent_.make_room()) return Found::kNoMemory;
    const uint64_t place = recent_.probe(print);
    const Content* known = recent_.at(place);
    if (known == nullptr) known = older_.find(print);
    if (known == nullptr || time_ns - known->time_ns > kWindowNs) {
      recent_.put(place, Content{print, ends, time_ns});
      return Found::kNothing;
    }
    if (known->ends == ends || inverse(known->ends) == ends) return Found::kNothing;
    first = known->ends;
    return Found::kOtherEnds;
  }

  void clear() {
    recent_.clear();
    older_.clear();
    swap_ns_ = 0;
  }

  void swap(Contents& other) {
    recent_.swap(other.recent_);
    older_.swap(other.older_);
    std::swap(swap_ns_, other.swap_ns_);
  }

 private:
  Generation<Content> recent_;
  Generation<Content> older_;
  int64_t swap_ns_ = 0;
};

// One sender at one interface: its checksums that were right, and wrong.
struct Sender {
  uint8_t address[16];
  uint32_t family;
  uint32_t iface;
  uint32_t right;
  uint32_t wrong;
};
static_assert(sizeof(Sender) == 32);

struct Pair {
  uint8_t low[16];
  uint8_t high[16];
  uint32_t family;
  uint32_t packets;
};
static_assert(sizeof(Pair) == 40);

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

class Look {
 public:
  enum class Stop : uint8_t { kEnd, kByHand, kOtherEnds, kNoMemory };

  // What is done with records: they are looked at, they are kept in mind for those behind, or both
  // (src/lab/traffic/chunks.ts).
  enum Mode : uint32_t { kLookAt = 1, kAhead = 2 };

  Look(Sender* senders, Pair* pairs, uint64_t* census)
      : senders_(senders), pairs_(pairs), tuples_(census) {}

  struct Source {
    const uint8_t* window;
    Records records;
    const uint32_t* link_types;
    const uint32_t* iface_ids;
  };

  // Look at records from `from` on. `stopped` is where it ended: at `to`, at one that is not
  // ordinary and not looked at, or at one that was seen before under the ends of `first`.
  Stop run(const Source& s, uint32_t from, uint32_t to, uint32_t mode, uint32_t& stopped) {
    senders_.begin();
    pairs_.begin();
    constexpr uint32_t kBlock = 32;
    Packet packets[kBlock];
    Fingerprint prints[kBlock];
    for (uint32_t start = from; start < to; start += kBlock) {
      const uint32_t count = std::min(kBlock, to - start);
      const uint32_t known = read_block(s, start, count, packets, prints);
      for (uint32_t i = 0; i < known; i++) {
        stopped = start + i;
        const Stop why = take(s, start + i, packets[i], prints[i], mode);
        if (why != Stop::kEnd) return why;
      }
      stopped = start + known;
      if (known < count) return Stop::kByHand;
    }
    stopped = to;
    return Stop::kEnd;
  }

  uint32_t senders() const { return senders_.count(); }
  uint32_t pairs() const { return pairs_.count(); }
  // Of the places of the census of tuples, how many are taken since the first look.
  uint32_t tuples() const { return tuples_.taken(); }

  // Note contents as the mode says; nothing is found where they are only kept in mind.
  Contents::Found note(const Fingerprint& print, const Ends& ends, int64_t time_ns, uint32_t mode) {
    Ends unused;
    if ((mode & kAhead) != 0 &&
        ahead_.note(print, ends, time_ns, unused) == Contents::Found::kNoMemory) {
      return Contents::Found::kNoMemory;
    }
    if ((mode & kLookAt) == 0) return Contents::Found::kNothing;
    return contents_.note(print, ends, time_ns, first);
  }

  // Forget what was kept in mind.
  void drop_ahead() { ahead_.clear(); }

  // Go on with what was kept in mind, and nothing else.
  void turn() {
    contents_.swap(ahead_);
    ahead_.clear();
  }

  Ends first{};
  Ends last{};
  uint32_t last_protocol = 0;

 private:
  // Read the packets of a block up to the first that is not ordinary, with the memory fetched that
  // they will need; how many.
  uint32_t read_block(const Source& s, uint32_t start, uint32_t count, Packet* packets,
                      Fingerprint* prints) const {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t r = start + i;
      if (!read_packet(s.window + s.records.at[r], s.records.captured[r],
                       s.link_types[s.records.iface[r]], packets[i], For::kLook)) {
        return i;
      }
      judge(packets[i]);
      prints[i] = print_of(packets[i]);
      contents_.prefetch(prints[i]);
    }
    return count;
  }

  Stop take(const Source& s, uint32_t r, const Packet& p, const Fingerprint& print, uint32_t mode) {
    const Ends ends = ends_of(p);
    if ((mode & kLookAt) != 0) {
      if (p.verdict == kRight || p.verdict == kWrong) {
        weigh(ends, s.iface_ids[s.records.iface[r]], p.verdict);
      }
      pair(ends);
      tuples_.note(p.hash);
    }
    switch (note(print, ends, s.records.time_ns[r], mode)) {
      case Contents::Found::kNothing:
        return Stop::kEnd;
      case Contents::Found::kNoMemory:
        return Stop::kNoMemory;
      case Contents::Found::kOtherEnds:
        break;
    }
    last = ends;
    last_protocol = p.name.protocol;
    return Stop::kOtherEnds;
  }

  void weigh(const Ends& ends, uint32_t iface, Verdict verdict) {
    Sender& sender = senders_.at(
        hash16(ends.src) ^ (iface * 0x27d4eb2f165667c5ull) ^ ends.family,
        [&](const Sender& known) {
          return known.iface == iface && known.family == ends.family &&
                 std::memcmp(known.address, ends.src, 16) == 0;
        },
        [&](Sender& fresh) {
          std::memcpy(fresh.address, ends.src, 16);
          fresh.family = ends.family;
          fresh.iface = iface;
          fresh.right = fresh.wrong = 0;
        });
    (verdict == kRight ? sender.right : sender.wrong) += 1;
  }

  void pair(const Ends& ends) {
    const bool turned = std::memcmp(ends.src, ends.dst, 16) > 0;
    const uint8_t* low = turned ? ends.dst : ends.src;
    const uint8_t* high = turned ? ends.src : ends.dst;
    Pair& pair = pairs_.at(
        hash16(low) ^ std::rotl(hash16(high), 23) ^ ends.family,
        [&](const Pair& known) {
          return known.family == ends.family && std::memcmp(known.low, low, 16) == 0 &&
                 std::memcmp(known.high, high, 16) == 0;
        },
        [&](Pair& fresh) {
          std::memcpy(fresh.low, low, 16);
          std::memcpy(fresh.high, high, 16);
          fresh.family = ends.family;
          fresh.packets = 0;
        });
    pair.packets += 1;
  }

  // `contentOf` of traffic/translations.ts: an echo says which of the two it is.
  static Fingerprint print_of(const Packet& p) {
    constexpr uint32_t kCompared = 64;
    const bool echo = p.name.protocol == kIcmp || p.name.protocol == kIcmpv6;
    const uint64_t kind = !echo ? 0 : p.turned ? 2 : 1;
    const Head head{p.name.protocol, p.id, p.length, p.seq, p.ack, p.flags, 0, kind};
    return fingerprint(head, p.ip, p.payload, std::min(p.length, p.payload + kCompared));
  }

  Contents contents_;
  Contents ahead_;
  Tallied<Sender> senders_;
  Tallied<Pair> pairs_;
  Census tuples_;
};

}  // namespace wiretrial::lane
