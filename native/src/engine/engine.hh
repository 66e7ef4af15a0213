// The fast path: a packet whose connection, or whose combination of facts, has been met before.
//
//   read facts ─► find the flow ─► found: its decision ─► track, rewrite, count
//                       │
//                       └► none: the decision of a new connection ─► open it, or just the verdict
//
// There is no rule walk here (SEMANTICS C10). Whatever can not be proved to be as the reference
// engine would do it leaves everything as it was and is handed over: `step` says why. Plain C++20
// without Node, exceptions or memory of its own after construction.
#pragma once

#include "../conntrack/tcp.hh"
#include "../conntrack/udp.hh"
#include "batch.hh"
#include "decisions.hh"
#include "holdings.hh"
#include "host-timers.hh"
#include "output.hh"

namespace wiretrial {

// Why a packet was handed to the reference engine; results of `step` below zero.
enum Slow : int32_t {
  kNotPlain = -1,       // no facts
  kForeignFlow = -2,    // the reference engine holds its connection, or no host sees it so
  kNewFacts = -3,       // nobody has met this combination
  kTooExtreme = -4,     // longer, or with a higher TTL, than the decision is good for
  kTrackerAsks = -5,    // the tracker would do more than accept
  kNoRoom = -6,         // no place in the flow table, or a host's own table is nearly full
  kSpecialOpening = -7, // its connection is translated as its draws say (`open_special`)
  kSlowReasons = 8,
};

struct EngineSizes {
  uint64_t connections;
  uint64_t decisions;
  uint64_t addresses;
  uint32_t hosts;
  uint32_t host_sets;
};

class Engine {
 public:
  explicit Engine(const EngineSizes& sizes)
      : sizes_(sizes),
        holdings_(sizes.connections, sizes.hosts, sizes.host_sets),
        decisions_(sizes.decisions),
        book_(sizes.addresses),
        classes_(sizes.addresses),
        timers_(static_cast<HostTimers*>(take_memory(sizes.host_sets * sizeof(HostTimers)))) {}
  ~Engine() { give_back(timers_, sizes_.host_sets * sizeof(HostTimers)); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  bool is_whole() const {
    return holdings_.is_whole() && decisions_.is_whole() && book_.is_whole() &&
           classes_.is_whole() && timers_ != nullptr;
  }

  // Read the packet's facts into `f`; false when it is not plain.
  bool read(const Arrival& a, Facts& f) {
    f.bytes = a.bytes;
    f.length = a.length;
    f.offloaded = a.offloaded;
    return read_facts(f, book_);
  }

  // Let a packet be the last one: one of a batch, after it was moved.
  void meet(const Arrival& a) { last_plain_ = read(a, last_); }

  // Move one packet. Returns the number of the decision it followed, or why it was not moved.
  int32_t step(const Arrival& a) {
    last_plain_ = read(a, last_);
    if (!last_plain_) return slow(kNotPlain);
    return move(a, last_);
  }

  int32_t move(const Arrival& a, const Facts& f) {
    return move(a, f, flows().find(f.key, f.hash));
  }

  // The same, for who has looked up the packet's flow already.
  int32_t move(const Arrival& a, const Facts& f, uint32_t place) {
    if (place == FlowTable::kNone) return open(a, f);
    const conntrack::Head& head = flows().head(place);
    if (head.host_set == kForeign) return slow(kForeignFlow);
    const bool is_first = head.host_set != kOtherName;
    const uint32_t first = is_first ? place : flows().translation(place).connection;
    conntrack::Connection& c = flows().record(first);
    const bool dead = c.expires_ns[0] <= a.now_ns;
    const bool dead_elsewhere = c.expires_ns[1] <= a.now_ns;
    if (dead && dead_elsewhere) {
      holdings_.forget(first);
      return open(a, f);
    }
    if (dead || dead_elsewhere) return slow(kTrackerAsks);
    const bool is_original = f.swapped == ((head.flags & conntrack::kOriginalSwapped) != 0);
    if (!(c.flags & conntrack::kTranslated)) {
      const conntrack::Direction way = is_original ? conntrack::kOriginal : conntrack::kReply;
      return follow(a, f, Way{first, c, way, c.decision[way], c.generation, nullptr, {}});
    }
    // By the first name come packets of the opener, by the last one answers: whatever else has
    // these ends is of another connection, on hosts that know this one by another name.
    if (is_original != is_first) return slow(kForeignFlow);
    Translation& t = flows().translation(is_first ? c.decision[conntrack::kReply] : place);
    if (t.ends == 0) return slow(kForeignFlow);
    const conntrack::Direction way = is_first ? conntrack::kOriginal : conntrack::kReply;
    const Rewrite& r = t.rewrite[way];
    uint32_t& decision = is_first ? c.decision[conntrack::kOriginal] : t.decision;
    uint8_t& generation = is_first ? c.generation : t.generation;
    const OtherEnds other{.addresses = t.ends,
                          .sport = static_cast<uint16_t>(in_memory(r.sport)),
                          .dport = static_cast<uint16_t>(in_memory(r.dport))};
    return follow(a, f, Way{first, c, way, decision, generation, &r, other});
  }

  FlowTable& flows() { return holdings_.flows(); }
  Holdings& holdings() { return holdings_; }
  DecisionTable& decisions() { return decisions_; }
  AddressBook& book() { return book_; }
  Classes& classes() { return classes_; }
  HostRoom& room(uint32_t host) { return holdings_.room(host); }
  const HostSet& host_set(uint32_t set) { return holdings_.host_set(set); }
  const HostTimers& timers(uint32_t set) const { return timers_[set]; }

  void set_host_set(uint32_t number, const HostSet& set) {
    holdings_.host_set(number) = set;
    if (number >= host_sets_) host_sets_ = number + 1;
    time(number);
  }

  void set_settings(uint32_t index, const conntrack::Settings& settings) {
    settings_[index] = settings;
    for (uint32_t set = 0; set < host_sets_; set++) time(set);
  }

  const EngineSizes& sizes() const { return sizes_; }
  const Facts& last() const { return last_; }
  bool last_plain() const { return last_plain_; }
  uint32_t next_order() { return ++order_; }
  uint64_t moved() const { return moved_; }
  // Of those moved, the ones whose ends were rewritten.
  uint64_t translated() const { return translated_; }
  uint64_t slow_count(int32_t why) const { return slow_[-why]; }
  // Of those without room, the ones for which the flow table had no place.
  uint64_t full() const { return full_; }

  // By number of a translated connection's addresses, that of their classes; 0 is not known. Read
  // in place until the next call.
  void use_ends(const uint32_t* classes) { ends_classes_ = classes; }

  // The decision for a packet with these facts; kNone when nobody has met such a packet.
  uint32_t find(const Facts& f, const OtherEnds& other, uint32_t entry, FlowState state,
                uint16_t host_set) {
    const OtherEnds known = in_classes(f, other);
    if (known.addresses != 0 && known.address_classes == 0) return DecisionTable::kNone;
    return decisions_.find(f, classes_.of(f, book_), known, entry, state, host_set);
  }

  // The same, for one that no connection holds.
  uint32_t find_opening(const Facts& f, uint32_t entry) {
    const FlowState state = opens(f) ? FlowState::kOpening : FlowState::kStray;
    return decisions_.find(f, classes_.of(f, book_), OtherEnds{}, entry, state, 0);
  }

  // Whether what stands at a place is a connection of one name whose time is up.
  bool is_over(uint32_t place, double now_ns) {
    const conntrack::Head& head = flows().head(place);
    return head.host_set < kOtherName && !(head.flags & conntrack::kTranslated) &&
           holdings_.is_dead(place, now_ns);
  }

  // Make a decision known under the facts that its walk looked at.
  void enter(const Facts& f, const OtherEnds& other, const Decision& d, uint32_t number) {
    decisions_.enter(f, classes_.of(f, book_), in_classes(f, other), d, number);
  }

  // Move packets in order from `from` on; returns the first that was not moved, or `to`. Buckets
  // and records of packets ahead are fetched meanwhile.
  uint32_t run(const Batch& b, uint32_t from, uint32_t to);

  // Forget every decision; connections find theirs anew.
  void clear_decisions() {
    decisions_.clear();
    generation_ += 1;
    if (generation_ != 0) return;
    // The number starts over: what was written 256 times ago must not look current.
    for (uint32_t place = 0; place < flows().places(); place++) {
      if (flows().head(place).host_set == kOtherName) {
        flows().translation(place).decision = DecisionTable::kNone;
        continue;
      }
      conntrack::Connection& c = flows().record(place);
      c.decision[conntrack::kOriginal] = DecisionTable::kNone;
      if (!(c.flags & conntrack::kTranslated)) {
        c.decision[conntrack::kReply] = DecisionTable::kNone;
      }
    }
  }

  uint8_t generation() const { return generation_; }

  // What moving a packet of this direction will need besides the record at its place: what the last
  // one did or, of a translated connection, its other half; and a segment's tracking, else the same.
  // Without branches: which of them it is can not be predicted, and is not here yet.
  struct Needs {
    const uint8_t* next;
    const uint8_t* tracking;
  };
  Needs needs_of(uint32_t place, uint32_t swapped, bool is_tcp) {
    const conntrack::Head& head = flows().head(place);
    const conntrack::Connection& c = flows().record(place);
    const bool is_other_name = head.host_set == kOtherName;
    const uint32_t way = (swapped ^ head.flags / conntrack::kOriginalSwapped) & 1;
    const uint32_t half = is_other_name ? flows().translation(place).connection
                                        : c.decision[conntrack::kReply];
    const bool is_translated = is_other_name | ((head.flags & conntrack::kTranslated) != 0);
    const uint32_t last = c.decision[way] == DecisionTable::kNone ? 0 : c.decision[way];
    const void* next = is_translated ? flows().record_at(half) : decisions_.place_of(last);
    const void* tracking = &flows().tracking(is_other_name ? half : place);
    return {static_cast<const uint8_t*>(next),
            static_cast<const uint8_t*>(is_tcp ? tracking : next)};
  }

  // The decision at which a packet was handed over as `kSpecialOpening`.
  uint32_t special() const { return special_; }

  // Open the connection of such a packet, the last that was not moved, as a decision has it that no
  // key leads to: under these names. False, with nothing changed, when somebody has one of them, or
  // for any reason for which others are not moved.
  bool open_special(const Arrival& a, uint32_t number, const Names& names, uint32_t ends) {
    Facts f = last_;
    f.bytes = a.bytes;
    Decision& d = decisions_.at(number);
    if (!last_plain_ || !(names.facts[0].key == f.key) || names.count < 2) return false;
    if ((d.flags & kDead) || !fits(d, f) || holdings_.has_unmarked()) return false;
    if (!holdings_.has_room(d.host_set_opened)) return false;
    if (d.host_set_after == 0) {
      for (uint32_t i = 0; i < names.count; i++) {
        if (!holdings_.is_free(names.facts[i])) return false;
      }
    } else {
      uint32_t places[kMaxNames];
      if (!holdings_.take_names(names, d.host_set_after, places)) return false;
      if (!begin(a, f, places[0], d.host_set_after)) {
        holdings_.give_up_names(names, places);
        return false;
      }
      holdings_.opened_under(names, places, ends, book_);
    }
    slow_[-kSpecialOpening] -= 1;
    const Rewrite r = rewrite_between(names.facts[0], names.facts[names.count - 1], book_);
    finish(a, f, d, number, &r);
    return true;
  }

  // The next packet of a batch, for `run`; `place` is where its flow stands. One that is not moved
  // is the last from now on.
  int32_t move_in_batch(const Arrival& a, const Facts& f, bool plain, uint32_t place) {
    const int32_t result = plain ? move(a, f, place) : slow(kNotPlain);
    if (result >= 0) return result;
    last_ = f;
    last_plain_ = plain;
    return result;
  }

  // Packets that were moved by other means than `move`.
  void add_moved(uint64_t packets, uint64_t translated) {
    moved_ += packets;
    translated_ += translated;
  }

  static constexpr uint32_t kMaxSettings = 16;

 private:
  // One direction of a connection: where its last decision stands, and when that was written; what
  // its packets are rewritten to, where they are.
  struct Way {
    uint32_t place;
    conntrack::Connection& connection;
    conntrack::Direction direction;
    uint32_t& decision;
    uint8_t& generation;
    const Rewrite* rewrite;
    OtherEnds other;
  };

  OtherEnds in_classes(const Facts& f, OtherEnds other) {
    if (other.addresses == 0 || ends_classes_ == nullptr) return other;
    Facts far = f;
    far.sport = other.sport;
    far.dport = other.dport;
    const FactClasses k = classes_.of(far, book_);
    other.address_classes = ends_classes_[other.addresses];
    other.sport_class = k.sport;
    other.dport_class = k.dport;
    return other;
  }

  int32_t slow(Slow why) {
    slow_[-why] += 1;
    return why;
  }

  // No place in the flow table: nothing that a host would know of.
  int32_t no_place() {
    full_ += 1;
    return slow(kNoRoom);
  }

  // The packet of a flow that has no connection.
  int32_t open(const Arrival& a, const Facts& f) {
    if (holdings_.has_unmarked()) return no_place();
    const uint32_t number = find_opening(f, a.entry);
    if (number == DecisionTable::kNone) return slow(kNewFacts);
    Decision& d = decisions_.at(number);
    if (d.flags & kDead) return slow(kNewFacts);
    if (d.flags & kSpecial) {
      special_ = number;
      return slow(kSpecialOpening);
    }
    if (!fits(d, f)) return slow(kTooExtreme);
    if (!holdings_.has_room(d.host_set_opened)) return slow(kNoRoom);
    if (d.host_set_after != 0) {
      const uint32_t place = holdings_.take_place(f.key, f.hash, d.host_set_after, a.now_ns);
      if (place == FlowTable::kNone) return no_place();
      if (!begin(a, f, place, d.host_set_after)) {
        holdings_.give_up_place(place);
        return slow(kTrackerAsks);
      }
      holdings_.opened(place);
      flows().record(place).decision[0] = number;
    }
    return finish(a, f, d, number, nullptr);
  }

  static bool opens(const Facts& f) {
    if (f.protocol == kTcp) return conntrack::tcp_index(f.tcp_flags) == conntrack::kIndexSyn;
    return f.protocol == kUdp || !f.swapped;
  }

  // Make the record of a connection that this packet opens (`init_conntrack` and the tracker's
  // first look, then confirmation).
  bool begin(const Arrival& a, const Facts& f, uint32_t place, uint16_t host_set) {
    conntrack::Connection& c = flows().record(place);
    c = conntrack::Connection{};
    c.decision[0] = c.decision[1] = DecisionTable::kNone;
    c.generation = generation_;
    c.host_set = host_set;
    c.flags = f.swapped && f.protocol != kIcmp && f.protocol != kIcmpv6
                  ? conntrack::kOriginalSwapped
                  : 0;
    const conntrack::Settings* const settings[2] = {&settings_of(host_set, 0),
                                                    &settings_of(host_set, 1)};
    conntrack::Refresh refresh{true, false, {0, 0}};
    if (f.protocol == kTcp) {
      c.flags |= conntrack::kIsTcp;
      const conntrack::Segment s{f.bytes, f.l4, f.length, conntrack::kOriginal, a.now_ns};
      conntrack::TcpTracking tracking;
      conntrack::new_tcp_tracking(tracking, s);
      if (!conntrack::track_tcp(tracking, c.flags, s, settings, refresh)) return false;
      flows().tracking(place) = tracking;
    } else if (f.protocol == kUdp) {
      c.stream_ns = a.now_ns + conntrack::kStreamAfterNs;
      refresh = conntrack::track_udp(c.flags, c.stream_ns, a.now_ns, settings);
    } else {
      refresh = conntrack::track_icmp(c.flags, f.family, settings);
    }
    renew(c, refresh, a.now_ns);
    c.order = next_order();
    count(c, conntrack::kOriginal, f.length);
    return true;
  }

  // A packet of a connection that is held here.
  int32_t follow(const Arrival& a, const Facts& f, const Way& w) {
    conntrack::Connection& c = w.connection;
    const FlowState state = w.direction == conntrack::kReply         ? FlowState::kReply
                            : (c.flags & conntrack::kSeenReply) != 0 ? FlowState::kEstablished
                                                                     : FlowState::kUnreplied;
    uint32_t number = w.generation == generation_ ? w.decision : DecisionTable::kNone;
    // One that was killed since may have been found anew by others' packets.
    if (number == DecisionTable::kNone || (decisions_.at(number).flags & kDead) != 0 ||
        !holds(decisions_.at(number), a, f, state, c.host_set)) {
      number = find(f, w.other, a.entry, state, c.host_set);
      if (number == DecisionTable::kNone) return slow(kNewFacts);
    }
    Decision& d = decisions_.at(number);
    if (d.flags & kDead) return slow(kNewFacts);
    if (!fits(d, f)) return slow(kTooExtreme);
    if (!holdings_.has_room(d.host_set_opened)) return slow(kNoRoom);
    if (!track(a, f, w)) return slow(kTrackerAsks);
    if (w.generation != generation_) {
      // Both directions of a connection that is not translated are of one generation.
      if (w.rewrite == nullptr) c.decision[w.direction ^ 1] = DecisionTable::kNone;
      w.generation = generation_;
    }
    w.decision = number;
    c.host_set = d.host_set_after;
    return finish(a, f, d, number, w.rewrite);
  }

  // Whether a decision that the connection's last packet followed is this packet's too.
  static bool holds(const Decision& d, const Arrival& a, const Facts& f, FlowState state,
                    uint16_t host_set) {
    return d.entry == a.entry && d.state == state && d.host_set_before == host_set &&
           d.tos_before == f.tos && d.offloaded == f.offloaded &&
           (!(d.by & kByFlags) || d.tcp_flags == f.tcp_flags);
  }

  static bool fits(const Decision& d, const Facts& f) {
    return f.length <= d.mtu && f.ttl + d.ttl_room <= 255u;
  }

  // Renew the connection; false, with nothing changed, when the tracker would do more.
  bool track(const Arrival& a, const Facts& f, const Way& w) {
    conntrack::Connection& c = w.connection;
    const conntrack::Settings* const settings[2] = {&settings_of(c.host_set, 0),
                                                    &settings_of(c.host_set, 1)};
    conntrack::Refresh refresh{true, (c.flags & conntrack::kAssured) != 0, {0, 0}};
    if (f.protocol == kTcp) {
      const conntrack::Segment s{f.bytes, f.l4, f.length, w.direction, a.now_ns};
      conntrack::TcpTracking tracking = flows().tracking(w.place);
      if (!conntrack::track_tcp(tracking, c.flags, s, settings, refresh)) return false;
      flows().tracking(w.place) = tracking;
    } else if (f.protocol == kUdp) {
      refresh = conntrack::track_udp(c.flags, c.stream_ns, a.now_ns, settings);
    } else {
      refresh = conntrack::track_icmp(c.flags, f.family, settings);
    }
    if (refresh.assured) c.flags |= conntrack::kAssured;
    if (w.direction == conntrack::kReply) c.flags |= conntrack::kSeenReply;
    if (!refresh.refreshed) return true;
    renew(c, refresh, a.now_ns);
    count(c, w.direction, f.length);
    return true;
  }

  const conntrack::Settings& settings_of(uint16_t host_set, uint32_t group) {
    return settings_[holdings_.host_set(host_set).settings[group]];
  }

  void time(uint32_t set) {
    const auto number = static_cast<uint16_t>(set);
    const conntrack::Settings* const both[2] = {&settings_of(number, 0), &settings_of(number, 1)};
    timers_[set] = timers_of(both);
  }

  static void renew(conntrack::Connection& c, const conntrack::Refresh& refresh, double now_ns) {
    for (uint32_t group = 0; group < 2; group++) {
      c.expires_ns[group] = now_ns + refresh.seconds[group] * conntrack::kNsPerS;
    }
  }

  static void count(conntrack::Connection& c, uint32_t direction, uint32_t length) {
    if (c.flags & conntrack::kUncounted) return;
    c.packets[direction] += 1;
    c.bytes[direction] += length;
  }

  int32_t finish(const Arrival& a, const Facts& f, Decision& d, uint32_t number,
                 const Rewrite* rewrite) {
    moved_ += 1;
    d.packets += 1;
    d.bytes += f.length;
    const bool translates = (d.flags & kTranslates) != 0;
    translated_ += translates;
    if (a.room != 0) write_packet(a, f, d, translates ? rewrite : nullptr, book_);
    return static_cast<int32_t>(number);
  }

  EngineSizes sizes_;
  Holdings holdings_;
  DecisionTable decisions_;
  AddressBook book_;
  Classes classes_;
  HostTimers* timers_;
  // Above every number of a set that was given.
  uint32_t host_sets_ = 0;
  const uint32_t* ends_classes_ = nullptr;
  conntrack::Settings settings_[kMaxSettings]{};
  Facts last_{};
  bool last_plain_ = false;
  uint32_t special_ = 0;
  uint32_t order_ = 0;
  uint8_t generation_ = 1;
  uint64_t slow_[kSlowReasons]{};
  uint64_t full_ = 0;
  uint64_t moved_ = 0;
  uint64_t translated_ = 0;
};

}  // namespace wiretrial
