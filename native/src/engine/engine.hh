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

#include <algorithm>

#include "../conntrack/tcp.hh"
#include "../conntrack/udp.hh"
#include "decisions.hh"
#include "flow-table.hh"

namespace wiretrial {

// Why a packet was handed to the reference engine; results of `step` below zero.
enum Slow : int32_t {
  kNotPlain = -1,       // no facts
  kForeignFlow = -2,    // the reference engine holds its connection
  kNewFacts = -3,       // nobody has met this combination
  kTooExtreme = -4,     // longer, or with a higher TTL, than the decision is good for
  kTrackerAsks = -5,    // the tracker would do more than accept
  kNoRoom = -6,         // no place in the flow table, or a host's own table is nearly full
  kSlowReasons = 7,
};

constexpr uint32_t kMaxHostsInSet = 8;

// The hosts that hold a connection. Their trackers judge alike, and time connections in at most two
// ways; where there is one way only, both settings are the same.
struct HostSet {
  uint32_t count;
  uint32_t settings[2];
  uint32_t hosts[kMaxHostsInSet];
};

// How many connections a host holds here and in the reference's table, and may hold.
struct HostRoom {
  uint32_t held;
  uint32_t foreign;
  uint32_t max;
};

struct EngineSizes {
  uint64_t connections;
  uint64_t decisions;
  uint64_t addresses;
  uint32_t hosts;
  uint32_t host_sets;
};

// A packet to move. `out` takes the first `room` bytes of the packet as it ends, link header in
// front when it leaves: all that a way can change stands in the first 128.
struct Arrival {
  const uint8_t* bytes;
  uint32_t length;
  uint32_t entry;
  double now_ns;
  bool offloaded;
  uint32_t room;
  uint8_t* out;
};

// Packets to move, by column. `out` is a ring of places of `stride` bytes each, a power of two of
// them; a stride of 0 writes nothing.
struct Batch {
  const uint8_t* packets;
  const uint32_t* offsets;
  const uint32_t* lengths;
  const uint32_t* entries;
  const double* times;
  const uint8_t* offloaded;
  int32_t* results;
  uint8_t* out;
  uint32_t stride;
  uint32_t ring;
};

class Engine {
 public:
  explicit Engine(const EngineSizes& sizes)
      : sizes_(sizes),
        flows_(sizes.connections),
        decisions_(sizes.decisions),
        book_(sizes.addresses),
        classes_(sizes.addresses),
        rooms_(static_cast<HostRoom*>(take_memory(sizes.hosts * sizeof(HostRoom)))),
        sets_(static_cast<HostSet*>(take_memory(sizes.host_sets * sizeof(HostSet)))) {}
  ~Engine() {
    give_back(rooms_, sizes_.hosts * sizeof(HostRoom));
    give_back(sets_, sizes_.host_sets * sizeof(HostSet));
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  bool is_whole() const {
    return flows_.is_whole() && decisions_.is_whole() && book_.is_whole() && classes_.is_whole() &&
           rooms_ && sets_;
  }

  // Read the packet's facts into `f`; false when it is not plain.
  bool read(const Arrival& a, Facts& f) {
    f.bytes = a.bytes;
    f.length = a.length;
    f.offloaded = a.offloaded;
    return read_facts(f, book_);
  }

  // Move one packet. Returns the number of the decision it followed, or why it was not moved.
  int32_t step(const Arrival& a) {
    last_plain_ = read(a, last_);
    if (!last_plain_) return slow(kNotPlain);
    return move(a, last_);
  }

  int32_t move(const Arrival& a, const Facts& f) {
    return move(a, f, flows_.find(f.key, f.hash));
  }

  // The same, for who has looked up the packet's flow already.
  int32_t move(const Arrival& a, const Facts& f, uint32_t place) {
    if (place == FlowTable::kNone) return open(a, f);
    conntrack::Connection& c = flows_.record(place);
    if (c.host_set == kForeign) return slow(kForeignFlow);
    const bool dead = c.expires_ns[0] <= a.now_ns;
    const bool dead_elsewhere = c.expires_ns[1] <= a.now_ns;
    if (dead && dead_elsewhere) {
      forget(place);
      return open(a, f);
    }
    if (dead || dead_elsewhere) return slow(kTrackerAsks);
    return follow(a, f, place, c);
  }

  FlowTable& flows() { return flows_; }
  DecisionTable& decisions() { return decisions_; }
  AddressBook& book() { return book_; }
  Classes& classes() { return classes_; }
  HostRoom& room(uint32_t host) { return rooms_[host]; }
  HostSet& host_set(uint32_t set) { return sets_[set]; }
  conntrack::Settings& settings(uint32_t index) { return settings_[index]; }
  const EngineSizes& sizes() const { return sizes_; }
  const Facts& last() const { return last_; }
  bool last_plain() const { return last_plain_; }
  uint32_t next_order() { return ++order_; }
  uint64_t moved() const { return moved_; }
  uint64_t slow_count(int32_t why) const { return slow_[-why]; }

  // Take a connection out of the flow table: its time is up, or the reference engine takes it.
  void forget(uint32_t place) {
    const conntrack::Connection& c = flows_.record(place);
    const HostSet& set = sets_[c.host_set];
    for (uint32_t i = 0; i < set.count; i++) rooms_[set.hosts[i]].held -= 1;
    flows_.erase(place);
  }

  // Forget every connection whose time is up; returns how many.
  uint32_t expire(double now_ns) {
    uint32_t gone = 0;
    for (uint32_t place = 0; place < flows_.places(); place++) gone += drop_dead(place, now_ns);
    return gone;
  }

  bool drop_dead(uint32_t place, double now_ns) {
    if (!flows_.is_taken(place)) return false;
    const conntrack::Connection& c = flows_.record(place);
    if (c.host_set == kForeign || std::max(c.expires_ns[0], c.expires_ns[1]) > now_ns) return false;
    forget(place);
    return true;
  }

  // Whether no host of the set is so full that one more connection would make it look for room.
  bool has_room(uint16_t host_set) const {
    const HostSet& set = sets_[host_set];
    for (uint32_t i = 0; i < set.count; i++) {
      const HostRoom& room = rooms_[set.hosts[i]];
      if (room.max != 0 && room.held + room.foreign + 1 >= room.max) return false;
    }
    return true;
  }

  // A place for a connection of these hosts; kNone when there is no room. Where all places that
  // the flow may have are taken, those of connections whose time is up are not.
  uint32_t take_place(const FlowKey& key, uint64_t hash, uint16_t host_set, double now_ns) {
    const HostSet& set = sets_[host_set];
    uint32_t place = flows_.insert(key, hash);
    if (place == FlowTable::kNone) {
      flows_.each_place(hash, [&](uint32_t taken) { drop_dead(taken, now_ns); });
      place = flows_.insert(key, hash);
      if (place == FlowTable::kNone) return place;
    }
    for (uint32_t i = 0; i < set.count; i++) rooms_[set.hosts[i]].held += 1;
    return place;
  }

  // The reference engine holds one more connection of this flow.
  void mark(const FlowKey& key, uint64_t hash) {
    uint32_t place = flows_.find(key, hash);
    if (place == FlowTable::kNone) {
      place = flows_.insert(key, hash);
      if (place == FlowTable::kNone) {
        unmarked_ += 1;
        return;
      }
      flows_.record(place) = conntrack::Connection{};
      flows_.record(place).host_set = kForeign;
    }
    flows_.record(place).packets[0] += 1;
  }

  void unmark(const FlowKey& key, uint64_t hash) {
    const uint32_t place = flows_.find(key, hash);
    if (place == FlowTable::kNone) {
      unmarked_ -= 1;
      return;
    }
    conntrack::Connection& c = flows_.record(place);
    c.packets[0] -= 1;
    if (c.packets[0] == 0) flows_.erase(place);
  }

  // The reference engine takes over a connection that is held here.
  void hand_over(uint32_t place) {
    conntrack::Connection& c = flows_.record(place);
    const HostSet& set = sets_[c.host_set];
    for (uint32_t i = 0; i < set.count; i++) {
      rooms_[set.hosts[i]].held -= 1;
      rooms_[set.hosts[i]].foreign += 1;
    }
    c = conntrack::Connection{};
    c.host_set = kForeign;
    c.packets[0] = set.count;
  }

  // The reference engine gives a connection back, of which it held `entries` entries; kNone when
  // it holds more of the flow than those.
  uint32_t take_back(const FlowKey& key, uint64_t hash, uint32_t entries, uint16_t host_set) {
    const uint32_t place = flows_.find(key, hash);
    if (place == FlowTable::kNone) return place;
    const conntrack::Connection& c = flows_.record(place);
    if (c.host_set != kForeign || c.packets[0] != entries) return FlowTable::kNone;
    const HostSet& set = sets_[host_set];
    for (uint32_t i = 0; i < set.count; i++) {
      rooms_[set.hosts[i]].held += 1;
      rooms_[set.hosts[i]].foreign -= 1;
    }
    return place;
  }

  // The decision for a packet with these facts; kNone when nobody has met such a packet.
  uint32_t find(const Facts& f, uint32_t entry, FlowState state, uint16_t host_set) {
    return decisions_.find(f, classes_.of(f, book_), entry, state, host_set);
  }

  // Make a decision known under the facts that its walk looked at.
  void enter(const Facts& f, const Decision& d, uint32_t number) {
    const FactClasses k = classes_.of(f, book_);
    uint8_t by = 0;
    for (;;) {
      const DecisionKey key = decision_key(f, k, d.entry, d.state, d.host_set_before, by);
      const uint32_t known = decisions_.value_of(key);
      const bool look_again = known != DecisionTable::kNone && (known & DecisionTable::kLookAgain);
      if (!look_again && (d.by & ~by) == 0) return decisions_.set(key, number);
      by = look_again ? static_cast<uint8_t>(known) : static_cast<uint8_t>(by | d.by);
      if (!look_again) decisions_.set(key, DecisionTable::kLookAgain | by);
    }
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
    for (uint32_t place = 0; place < flows_.places(); place++) {
      flows_.record(place).decision[0] = DecisionTable::kNone;
      flows_.record(place).decision[1] = DecisionTable::kNone;
    }
  }

  uint8_t generation() const { return generation_; }

  static constexpr uint32_t kMaxSettings = 16;

 private:
  // Fetch what the packets of a connection did last.
  void prefetch_decisions(uint32_t place) {
    const conntrack::Connection& c = flows_.record(place);
    decisions_.prefetch(c.decision[0]);
    decisions_.prefetch(c.decision[1]);
  }

  int32_t slow(Slow why) {
    slow_[-why] += 1;
    return why;
  }

  static Arrival arrival(const Batch& b, uint32_t i) {
    uint8_t* out = b.out + static_cast<size_t>(i & (b.ring - 1)) * b.stride;
    return Arrival{b.packets + b.offsets[i], b.lengths[i],        b.entries[i],
                   b.times[i],               b.offloaded[i] != 0, b.stride, out};
  }

  static constexpr uint32_t kBlock = 64;

  // The packet of a flow that has no connection.
  int32_t open(const Arrival& a, const Facts& f) {
    if (unmarked_ > 0) return slow(kNoRoom);
    const FlowState state = opens(f) ? FlowState::kOpening : FlowState::kStray;
    const uint32_t number = find(f, a.entry, state, 0);
    if (number == DecisionTable::kNone) return slow(kNewFacts);
    Decision& d = decisions_.at(number);
    if (d.flags & kDead) return slow(kNewFacts);
    if (!fits(d, f)) return slow(kTooExtreme);
    if (!has_room(d.host_set_opened)) return slow(kNoRoom);
    if (d.host_set_after != 0) {
      const uint32_t place = take_place(f.key, f.hash, d.host_set_after, a.now_ns);
      if (place == FlowTable::kNone) return slow(kNoRoom);
      if (!begin(a, f, place, d.host_set_after)) {
        forget(place);
        return slow(kTrackerAsks);
      }
      flows_.record(place).decision[0] = number;
    }
    return finish(a, f, d, number);
  }

  static bool opens(const Facts& f) {
    if (f.protocol == kTcp) return conntrack::tcp_index(f.tcp_flags) == conntrack::kIndexSyn;
    return f.protocol == kUdp || !f.swapped;
  }

  // Make the record of a connection that this packet opens (`init_conntrack` and the tracker's
  // first look, then confirmation).
  bool begin(const Arrival& a, const Facts& f, uint32_t place, uint16_t host_set) {
    conntrack::Connection& c = flows_.record(place);
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
      flows_.tracking(place) = tracking;
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
  int32_t follow(const Arrival& a, const Facts& f, uint32_t place, conntrack::Connection& c) {
    const bool original_swapped = (c.flags & conntrack::kOriginalSwapped) != 0;
    const bool is_reply = f.swapped != original_swapped;
    const uint32_t direction = is_reply ? conntrack::kReply : conntrack::kOriginal;
    const FlowState state = direction == conntrack::kReply          ? FlowState::kReply
                            : (c.flags & conntrack::kSeenReply) != 0 ? FlowState::kEstablished
                                                                     : FlowState::kUnreplied;
    uint32_t number = c.generation == generation_ ? c.decision[direction] : DecisionTable::kNone;
    if (number == DecisionTable::kNone || !holds(decisions_.at(number), a, f, state, c.host_set)) {
      number = find(f, a.entry, state, c.host_set);
      if (number == DecisionTable::kNone) return slow(kNewFacts);
    }
    Decision& d = decisions_.at(number);
    if (d.flags & kDead) return slow(kNewFacts);
    if (!fits(d, f)) return slow(kTooExtreme);
    if (!has_room(d.host_set_opened)) return slow(kNoRoom);
    if (!track(a, f, place, c, direction)) return slow(kTrackerAsks);
    if (c.generation != generation_) {
      c.decision[direction ^ 1] = DecisionTable::kNone;
      c.generation = generation_;
    }
    c.decision[direction] = number;
    c.host_set = d.host_set_after;
    return finish(a, f, d, number);
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
  bool track(const Arrival& a, const Facts& f, uint32_t place, conntrack::Connection& c,
             uint32_t direction) {
    const conntrack::Settings* const settings[2] = {&settings_of(c.host_set, 0),
                                                    &settings_of(c.host_set, 1)};
    conntrack::Refresh refresh{true, (c.flags & conntrack::kAssured) != 0, {0, 0}};
    if (f.protocol == kTcp) {
      const conntrack::Segment s{f.bytes, f.l4, f.length, direction, a.now_ns};
      conntrack::TcpTracking tracking = flows_.tracking(place);
      if (!conntrack::track_tcp(tracking, c.flags, s, settings, refresh)) return false;
      flows_.tracking(place) = tracking;
    } else if (f.protocol == kUdp) {
      refresh = conntrack::track_udp(c.flags, c.stream_ns, a.now_ns, settings);
    } else {
      refresh = conntrack::track_icmp(c.flags, f.family, settings);
    }
    if (refresh.assured) c.flags |= conntrack::kAssured;
    if (direction == conntrack::kReply) c.flags |= conntrack::kSeenReply;
    if (!refresh.refreshed) return true;
    renew(c, refresh, a.now_ns);
    count(c, direction, f.length);
    return true;
  }

  const conntrack::Settings& settings_of(uint16_t host_set, uint32_t group) const {
    return settings_[sets_[host_set].settings[group]];
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

  int32_t finish(const Arrival& a, const Facts& f, Decision& d, uint32_t number) {
    moved_ += 1;
    d.packets += 1;
    d.bytes += f.length;
    if (a.room != 0) write(a, f, d);
    return static_cast<int32_t>(number);
  }

  // The packet as it ends: link header, class, TTL, and checksums that go with them.
  static void write(const Arrival& a, const Facts& f, const Decision& d) {
    uint8_t* out = a.out;
    uint32_t room = a.room;
    if (d.flags & kLeaves) {
      std::memcpy(out, d.link_header, sizeof d.link_header);
      out += sizeof d.link_header;
      room -= sizeof d.link_header;
    }
    copy(out, f.bytes, std::min(f.length, room));
    const uint32_t ttl = f.ttl + static_cast<uint32_t>(static_cast<int32_t>(d.ttl_change));
    if (f.family == 4) {
      if (d.tos_after != f.tos) ipv4::set_tos(out, 0, d.tos_after);
      if (d.ttl_change != 0) ipv4::set_ttl(out, 0, ttl);
    } else {
      if (d.tos_after != f.tos) ipv6::set_traffic_class(out, 0, d.tos_after);
      set_u8(out, ipv6::kHopLimit, ttl);
    }
    if (d.flags & kCompletesChecksum) fill_checksum(out, f);
  }

  // Copy a packet's headers: short ones without a call.
  static void copy(uint8_t* to, const uint8_t* from, uint32_t length) {
    if (length < 32 || length > 64) {
      std::memcpy(to, from, length);
      return;
    }
    std::memcpy(to, from, 32);
    std::memcpy(to + length - 32, from + length - 32, 32);
  }

  // Compute the transport checksum anew (`fillSegment`).
  static void fill_checksum(uint8_t* out, const Facts& f) {
    const bool is_icmp4 = f.protocol == kIcmp && f.family == 4;
    const uint32_t field = f.l4 + (f.protocol == kTcp   ? tcp::kChecksum
                                   : f.protocol == kUdp ? udp::kChecksum
                                                        : icmp::kChecksum);
    // Summed over the packet as it came: of what the sum covers, only the field itself differs.
    const uint64_t old = in_memory(u16(f.bytes, field));
    const uint32_t with = is_icmp4 ? fold(sum_words(f.bytes, f.l4, f.length)) : transport_sum(f);
    const uint32_t sum = fold(with + (~old & 0xffff));
    const uint32_t stored = ~__builtin_bswap16(static_cast<uint16_t>(sum)) & 0xffff;
    set_u16(out, field, f.protocol == kUdp && stored == 0 ? 0xffff : stored);
  }

  EngineSizes sizes_;
  FlowTable flows_;
  DecisionTable decisions_;
  AddressBook book_;
  Classes classes_;
  HostRoom* rooms_;
  HostSet* sets_;
  conntrack::Settings settings_[kMaxSettings]{};
  Facts last_{};
  bool last_plain_ = false;
  uint32_t order_ = 0;
  uint8_t generation_ = 1;
  uint64_t slow_[kSlowReasons]{};
  uint64_t moved_ = 0;
  // Marks that found no place: which flows the reference engine holds is not known then.
  uint32_t unmarked_ = 0;
};

}  // namespace wiretrial
