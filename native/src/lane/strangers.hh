// Strangers: conversations that another worker judges, followed here from their opening on, because
// the numbers of conversations and the order in which they end count all of them. Mirrors
// src/lab/traffic/conversation.ts (`join`, `touch`, `expire`) for conversations of one pair of ends.
//
// Whose a conversation is hangs on its addresses, and on a port only where Services translate that
// port: `Kind` answers it, JavaScript says what is not known yet.
#pragma once

#include <algorithm>

#include "ends.hh"
#include "growing.hh"
#include "index.hh"

namespace wiretrial::lane {

// What of a segment moves a conversation.
struct Segment {
  bool is_tcp;
  bool syn;
  bool ack;
  bool fin;
  bool rst;
};

// The name of an echo's conversation: not who asks is first, but the lower address; the identifier is
// both its ports.
inline FlowName echo_of(const Packet& p, bool& turned) {
  Ends ends = ends_of(p.name, p.turned != 0);
  ends.sport = ends.dport = p.name.low_port;
  return name_of(ends, p.name.protocol, 0, turned);
}

inline Segment segment_of(uint32_t protocol, uint32_t flags) {
  if (protocol != kTcp) return Segment{};
  return Segment{true, (flags & tcp::kSyn) != 0, (flags & tcp::kAck) != 0,
                 (flags & tcp::kFin) != 0, (flags & tcp::kRst) != 0};
}

inline Segment segment_of(const Packet& p) {
  const uint32_t protocol = p.name.protocol;
  return segment_of(protocol, protocol == kTcp ? tcp::flags(p.ip, p.l4) : 0);
}

class Strangers {
 public:
  enum class Kind : uint8_t { kUnknown, kOwn, kStranger };
  // What becomes of a packet: it was followed; it is of no stranger, or JavaScript has to say so, or
  // who opened it; there is no memory.
  enum class Met : uint8_t { kFollowed, kByHand, kNoMemory };

  Strangers() = default;
  ~Strangers() { give_back(known_, size_t{numbers_} * sizeof(Known)); }
  Strangers(const Strangers&) = delete;
  Strangers& operator=(const Strangers&) = delete;

  // `syn_ack_answers`: an answer whose opening was not captured goes against its conversation.
  void begin(bool syn_ack_answers) {
    is_used_ = true;
    syn_ack_answers_ = syn_ack_answers;
  }
  bool is_used() const { return is_used_; }

  // An end that Services translate: its port decides whose a conversation is. False: no memory.
  bool add_translated(const uint8_t* address, uint32_t family, uint32_t protocol, uint32_t port) {
    const FlowName key = end_of(address, family, protocol, port);
    return translated_.find(key) != nullptr || translated_.add(key) != nullptr;
  }

  Kind kind_of(const FlowName& name) {
    const Pair* known = pairs_.find(pair_of(name));
    return known == nullptr ? Kind::kUnknown : known->kind;
  }

  // False when there is no memory.
  bool set_kind(const FlowName& name, Kind kind) {
    const FlowName key = pair_of(name);
    Pair* pair = pairs_.find(key);
    if (pair == nullptr) pair = pairs_.add(key);
    if (pair != nullptr) pair->kind = kind;
    return pair != nullptr;
  }

  void prefetch(uint64_t hash) const { talks_.prefetch(hash); }

  // The index of the capture, whose rows stay where they are. False when there is no memory.
  bool use_index(const Row* rows, uint32_t count) {
    give_back(known_, size_t{numbers_} * sizeof(Known));
    rows_ = rows;
    numbers_ = count;
    known_ = static_cast<Known*>(take_memory(size_t{count} * sizeof(Known)));
    return known_ != nullptr || count == 0;
  }

  // Whether the conversation of a number of the index is an open one of a stranger: of it a usual
  // packet need not be read.
  bool knows(uint32_t number) {
    if (number == 0 || number > numbers_) return false;
    const Known& known = known_[number - 1];
    if (known.stamp != stamp_ && known.place != kOwnPlace) recognise(number);
    if (known.stamp != stamp_ || known.place == kOwnPlace) return false;
    __builtin_prefetch(&talks_.at(known.place), 1);
    return true;
  }

  // A usual packet of a conversation that `knows` knows; false, with nothing done, when it is to be
  // read: it may begin another one.
  bool meet_usual(uint32_t number, bool turned, double now) {
    Talk& talk = talks_.at(known_[number - 1].place);
    if (is_gone(talk, now) || !is_clear(talk, turned)) return false;
    touch(talk, turned, Segment{}, now);
    return true;
  }

  // A packet at `now`. Counts conversations in `next_id` and `closed`.
  Met meet(const Packet& p, double now, double& next_id, double& closed) {
    bool turned = p.turned;
    const bool is_echo = p.name.protocol == kIcmp || p.name.protocol == kIcmpv6;
    const FlowName turned_name = is_echo ? echo_of(p, turned) : FlowName{};
    const FlowName& name = is_echo ? turned_name : p.name;
    const Segment s = segment_of(p);
    Talk* talk = talks_.find(name, is_echo ? hash_of(name) : p.hash);
    if (talk == nullptr || starts_anew(*talk, s, now)) {
      if (talk == nullptr && kind_of(name) != Kind::kStranger) return Met::kByHand;
      if (s.is_tcp && !s.syn) return Met::kByHand;
      const bool answers = s.is_tcp && s.ack && syn_ack_answers_;
      talk = open(talk, name, turned != answers, now, next_id, closed);
      if (talk == nullptr) return Met::kNoMemory;
    }
    touch(*talk, turned, s, now);
    return Met::kFollowed;
  }

  // The same of a stranger, where JavaScript has said who opens it, should it begin: whom it
  // answers. False when there is no memory.
  bool meet_by_hand(const FlowName& name, bool turned, bool answers, const Segment& s, double now,
                    double& next_id, double& closed) {
    Talk* talk = talks_.find(name);
    if (talk == nullptr || starts_anew(*talk, s, now)) {
      talk = open(talk, name, turned != answers, now, next_id, closed);
      if (talk == nullptr) return false;
    }
    touch(*talk, turned, s, now);
    return true;
  }

  // An error that quotes a packet of it: whoever made it, it is no answer of the far end.
  void quoted(const FlowName& name, double now) {
    Talk* talk = talks_.find(name);
    if (talk != nullptr) talk->last_ns = now;
  }

  uint32_t over_at(double now) const {
    uint32_t over = 0;
    for (uint32_t i = 0; i < talks_.size(); i++) over += is_gone(talks_[i], now);
    return over;
  }

  // Lay down the numbers of those that are over at `now`, in order; they are forgotten.
  void expire(double now, double* numbers) {
    double* at = numbers;
    const uint32_t before = talks_.size();
    talks_.remove([&](const Talk& talk) {
      if (!is_gone(talk, now)) return false;
      *at++ = talk.id;
      return true;
    });
    std::sort(numbers, at);
    if (talks_.size() != before) stamp_++;
  }

  uint32_t open_ones() const { return talks_.size(); }

 private:
  // In one line of the cache.
  struct alignas(64) Talk {
    FlowName key;
    uint32_t next;
    bool is_tcp : 1;
    // Who opened it is its higher end.
    bool opener : 1;
    bool answered : 1;
    bool reset : 1;
    // By direction.
    uint8_t finished : 2;
    double last_ns;
    double id;
  };
  static_assert(sizeof(Talk) == 64);
  // What is known of a number of the index: the place of its open conversation, as long as nothing
  // was taken out since; or that it is nobody's but its own.
  struct Known {
    uint32_t stamp;
    uint32_t place;
  };
  static constexpr uint32_t kOwnPlace = 0xffffffff;
  struct Pair {
    FlowName key;
    uint32_t next;
    Kind kind;
  };
  struct End {
    FlowName key;
    uint32_t next;
  };

  static constexpr double kSecond = 1e9;
  static constexpr double kLinger = 120 * kSecond;
  static constexpr double kIdle = 180 * kSecond;
  static constexpr double kTcpIdle = 432'000 * kSecond;

  static bool is_over(const Talk& t) { return t.reset || t.finished == 3; }

  static double lifetime_of(const Talk& t) {
    if (!t.is_tcp) return kIdle;
    return is_over(t) || !t.answered ? kLinger : kTcpIdle;
  }

  static bool is_gone(const Talk& t, double now) { return now - t.last_ns > lifetime_of(t); }

  static bool starts_anew(const Talk& t, const Segment& s, double now) {
    return is_gone(t, now) || (s.syn && !s.ack && is_over(t));
  }

  // Null when there is no memory.
  Talk* open(Talk* before, const FlowName& name, bool opener, double now, double& next_id,
             double& closed) {
    Talk* talk = before == nullptr ? talks_.add(name) : before;
    if (talk == nullptr) return nullptr;
    if (before != nullptr) closed += 1;
    talk->is_tcp = name.protocol == kTcp;
    talk->opener = opener;
    talk->answered = talk->reset = false;
    talk->finished = 0;
    talk->last_ns = now;
    talk->id = next_id;
    next_id += 1;
    return talk;
  }

  static void touch(Talk& talk, bool turned, const Segment& s, double now) {
    talk.last_ns = now;
    // What acknowledges was answered, whether or not the answer was captured.
    const bool acknowledges = s.ack && !s.syn;
    if (!s.rst && (turned != talk.opener || acknowledges)) talk.answered = true;
    if (s.fin) talk.finished |= 1 << turned;
    if (s.rst) talk.reset = true;
  }

  // Whether nothing hangs on what a usual segment acknowledges, which the index does not say.
  static bool is_clear(const Talk& t, bool turned) {
    return !t.is_tcp || t.answered || turned != t.opener;
  }

  void recognise(uint32_t number) {
    const FlowName& name = rows_[number - 1].key;
    // Of an echo, entries do not say who asks.
    const bool is_echo = name.protocol == kIcmp || name.protocol == kIcmpv6;
    const Kind kind = is_echo ? Kind::kOwn : kind_of(name);
    Known& known = known_[number - 1];
    if (kind == Kind::kOwn) known.place = kOwnPlace;
    if (kind != Kind::kStranger) return;
    const Talk* talk = talks_.find(name);
    if (talk != nullptr) known = {stamp_, talks_.place_of(talk)};
  }

  static FlowName end_of(const uint8_t* address, uint32_t family, uint32_t protocol, uint32_t port) {
    FlowName key;
    std::memset(&key, 0, sizeof key);
    std::memcpy(key.low, address, family == 4 ? 4 : 16);
    key.family = static_cast<uint8_t>(family);
    key.protocol = static_cast<uint8_t>(protocol);
    key.low_port = static_cast<uint16_t>(port);
    return key;
  }

  // A conversation's name without the ports that do not matter.
  FlowName pair_of(const FlowName& name) {
    FlowName key = name;
    const auto is_plain = [&](const uint8_t* address, uint32_t port) {
      return translated_.find(end_of(address, name.family, name.protocol, port)) == nullptr;
    };
    if (is_plain(name.low, name.low_port)) key.low_port = 0;
    if (is_plain(name.high, name.high_port)) key.high_port = 0;
    return key;
  }

  bool is_used_ = false;
  bool syn_ack_answers_ = true;
  const Row* rows_ = nullptr;
  Known* known_ = nullptr;
  uint32_t numbers_ = 0;
  uint32_t stamp_ = 1;
  Growing<Talk> talks_;
  Growing<Pair> pairs_;
  Growing<End> translated_;
};

}  // namespace wiretrial::lane
