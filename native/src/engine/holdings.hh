// The connections that are held here rather than in the reference engine's tables, and the names of
// those that are not: who holds what never differs between the two.
#pragma once

#include <algorithm>

#include "flow-table.hh"
#include "hosts.hh"
#include "source-lists.hh"

namespace wiretrial {

// A connection's names as they stand in the table, first to last.
struct Names {
  uint32_t count;
  Facts facts[kMaxNames];
};

class Holdings {
 public:
  Holdings(uint64_t connections, uint32_t hosts, uint32_t host_sets)
      : hosts_(hosts),
        host_sets_(host_sets),
        flows_(connections),
        sources_(flows_.places()),
        rooms_(static_cast<HostRoom*>(take_memory(hosts * sizeof(HostRoom)))),
        sets_(static_cast<HostSet*>(take_memory(host_sets * sizeof(HostSet)))) {}
  ~Holdings() {
    give_back(rooms_, hosts_ * sizeof(HostRoom));
    give_back(sets_, host_sets_ * sizeof(HostSet));
  }
  Holdings(const Holdings&) = delete;
  Holdings& operator=(const Holdings&) = delete;

  bool is_whole() const { return flows_.is_whole() && sources_.is_whole() && rooms_ && sets_; }

  FlowTable& flows() { return flows_; }
  HostRoom& room(uint32_t host) { return rooms_[host]; }
  HostSet& host_set(uint32_t set) { return sets_[set]; }
  // Marks that found no place: which flows the reference engine holds is not known then.
  bool has_unmarked() const { return unmarked_ > 0; }

  // Visit the places of all names of the connection at `place`, its own first.
  template <typename Visit>
  void each_name(uint32_t place, Visit visit) {
    const conntrack::Connection& c = flows_.record(place);
    if (!(c.flags & conntrack::kTranslated)) return visit(place);
    const uint32_t last = c.decision[conntrack::kReply];
    uint32_t between[kMaxNames - 2];
    std::copy_n(flows_.translation(last).between, kMaxNames - 2, between);
    visit(place);
    for (const uint32_t at : between) {
      if (at != kNoPlace) visit(at);
    }
    visit(last);
  }

  // Take a connection out, for its time is up. Precondition: it stands there under its first name.
  void forget(uint32_t place) {
    unlist_sources(place);
    give_up_place(place);
  }

  // The same, of one that was never opened.
  void give_up_place(uint32_t place) {
    const HostSet& set = sets_[flows_.record(place).host_set];
    for (uint32_t i = 0; i < set.count; i++) rooms_[set.hosts[i]].held -= 1;
    each_name(place, [&](uint32_t at) { flows_.erase(at); });
  }

  // Forget every connection whose time is up; returns how many.
  uint32_t expire(double now_ns) {
    uint32_t gone = 0;
    for (uint32_t place = 0; place < flows_.places(); place++) gone += drop_dead(place, now_ns);
    return gone;
  }

  bool drop_dead(uint32_t place, double now_ns) {
    if (!flows_.is_taken(place)) return false;
    const uint32_t first = flows_.connection_of(place);
    if (flows_.head(first).host_set == kForeign || !is_dead(first, now_ns)) return false;
    forget(first);
    return true;
  }

  bool is_dead(uint32_t place, double now_ns) {
    const conntrack::Connection& c = flows_.record(place);
    return std::max(c.expires_ns[0], c.expires_ns[1]) <= now_ns;
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
  uint32_t take_place(const FlowKey& key, uint32_t hash, uint16_t host_set, double now_ns) {
    uint32_t place = flows_.insert(key, hash);
    if (place == FlowTable::kNone) {
      flows_.each_place(hash, [&](uint32_t taken) { drop_dead(taken, now_ns); });
      place = flows_.insert(key, hash);
      if (place == FlowTable::kNone) return place;
    }
    hold(host_set);
    return place;
  }

  // The same at a place that is known to be free (`FlowTable::take`).
  void take_free_place(uint32_t place, const FlowKey& key, uint16_t host_set) {
    flows_.take(place, key);
    hold(host_set);
  }

  // A connection stands at `place` now, as it was opened.
  void opened(uint32_t place) {
    if (!sources_.is_on()) return;
    each_name(place, [&](uint32_t at) { sources_.add(source_of(at), at); });
  }

  // Places for a connection of these hosts under all of its names; false, with nothing taken, when
  // one of them is another's or there is no room.
  bool take_names(const Names& names, uint16_t host_set, uint32_t* places) {
    for (uint32_t i = 0; i < names.count; i++) {
      const Facts& f = names.facts[i];
      places[i] = is_free(f) ? flows_.insert(f.key, f.hash) : FlowTable::kNone;
      if (places[i] != FlowTable::kNone) continue;
      while (i > 0) flows_.erase(places[--i]);
      return false;
    }
    hold(host_set);
    return true;
  }

  // The same undone, of a connection that was begun and has its first name alone.
  void give_up_names(const Names& names, const uint32_t* places) {
    give_up_place(places[0]);
    for (uint32_t i = 1; i < names.count; i++) flows_.erase(places[i]);
  }

  // A connection stands at the first of these places now, as it was opened: its other names, too.
  void opened_under(const Names& names, const uint32_t* places, uint32_t ends,
                    const AddressBook& book) {
    conntrack::Connection& c = flows_.record(places[0]);
    name(names, places, ends, book, c.generation);
    c.flags |= conntrack::kTranslated;
    c.decision[conntrack::kReply] = places[names.count - 1];
    opened(places[0]);
  }

  bool is_free(const Facts& f) const { return flows_.find(f.key, f.hash) == FlowTable::kNone; }

  // The reference engine holds one more connection of this flow.
  void mark(const FlowKey& key, uint32_t hash) {
    uint32_t place = flows_.find(key, hash);
    if (place == FlowTable::kNone) {
      place = flows_.insert(key, hash);
      if (place == FlowTable::kNone) {
        unmarked_ += 1;
        return;
      }
      make_foreign(place, 0);
    }
    flows_.record(place).packets[0] += 1;
  }

  void unmark(const FlowKey& key, uint32_t hash) {
    const uint32_t place = flows_.find(key, hash);
    if (place == FlowTable::kNone) {
      unmarked_ -= 1;
      return;
    }
    conntrack::Connection& c = flows_.record(place);
    c.packets[0] -= 1;
    if (c.packets[0] == 0) flows_.erase(place);
  }

  // The reference engine takes over a connection that is held here, under all of its names.
  void hand_over(uint32_t place) {
    const HostSet& set = sets_[flows_.record(place).host_set];
    for (uint32_t i = 0; i < set.count; i++) {
      rooms_[set.hosts[i]].held -= 1;
      rooms_[set.hosts[i]].foreign += 1;
    }
    unlist_sources(place);
    uint32_t name = 0;
    each_name(place, [&](uint32_t at) { make_foreign(at, set.known_by[name++]); });
  }

  // The reference engine gives a connection back; false when it holds more of one of these flows
  // than the entries of the set, or keeps what it has because one of the hosts was full. `given` is the connection but for its host set and decisions.
  bool take_back(const Names& names, uint16_t host_set, uint32_t ends, const AddressBook& book,
                 const conntrack::Connection& given, const conntrack::TcpTracking& tracking) {
    const HostSet& set = sets_[host_set];
    // A mark that found no place may stand for one of these names: the marks there are another's.
    if (names.count != set.names || has_unmarked() || !has_room(host_set)) return false;
    uint32_t places[kMaxNames];
    for (uint32_t i = 0; i < names.count; i++) {
      const Facts& f = names.facts[i];
      places[i] = flows_.find(f.key, f.hash);
      if (places[i] == FlowTable::kNone) return false;
      if (std::find(places, places + i, places[i]) != places + i) return false;
      if (flows_.head(places[i]).host_set != kForeign) return false;
      if (flows_.record(places[i]).packets[0] != set.known_by[i]) return false;
    }
    for (uint32_t i = 0; i < set.count; i++) {
      rooms_[set.hosts[i]].held += 1;
      rooms_[set.hosts[i]].foreign -= 1;
    }
    conntrack::Connection& c = flows_.record(places[0]);
    c = given;
    c.host_set = host_set;
    c.decision[0] = c.decision[1] = kNoPlace;
    if (is_turned(names.facts[0])) c.flags |= conntrack::kOriginalSwapped;
    if (c.flags & conntrack::kIsTcp) flows_.tracking(places[0]) = tracking;
    if (names.count > 1) {
      name(names, places, ends, book, c.generation);
      c.flags |= conntrack::kTranslated;
      c.decision[conntrack::kReply] = places[names.count - 1];
    }
    opened(places[0]);
    return true;
  }

  // A connection that has a name with the source of `f`: the first one for `is_first`, else the next
  // behind the one that was told last. Nothing may change in between. kNone when there is none.
  uint32_t next_from(const Facts& f, bool is_first) {
    if (!sources_.is_on()) list_sources();
    const Source wanted{f.protocol | static_cast<uint64_t>(f.family) << 8, f.src, f.sport};
    for (;;) {
      if (is_first) told_ = sources_.first(wanted);
      else if (told_ != SourceLists::kNone) told_ = sources_.after(told_);
      if (told_ == SourceLists::kNone) return FlowTable::kNone;
      is_first = false;
      const uint32_t connection = flows_.connection_of(told_);
      // Several of its names may have the source; it is told by the first of them.
      uint32_t name = FlowTable::kNone;
      each_name(connection, [&](uint32_t at) {
        if (name == FlowTable::kNone && source_of(at) == wanted) name = at;
      });
      if (name == told_) return connection;
    }
  }

 private:
  void hold(uint16_t host_set) {
    const HostSet& set = sets_[host_set];
    for (uint32_t i = 0; i < set.count; i++) rooms_[set.hosts[i]].held += 1;
  }

  Source source_of(uint32_t place) {
    const FlowKey key = flows_.key_of(place);
    const bool swapped = (flows_.head(place).flags & conntrack::kOriginalSwapped) != 0;
    return Source{key.rest >> 32, static_cast<uint32_t>(swapped ? key.ends >> 32 : key.ends),
                  static_cast<uint32_t>(swapped ? key.rest >> 16 : key.rest) & 0xffff};
  }

  void unlist_sources(uint32_t place) {
    if (!sources_.is_on()) return;
    each_name(place, [&](uint32_t at) { sources_.remove(source_of(at), at); });
  }

  // From now on, sources are listed.
  void list_sources() {
    sources_.turn_on();
    for (uint32_t place = 0; place < flows_.places(); place++) {
      if (flows_.is_taken(place) && flows_.head(place).host_set < kOtherName) opened(place);
    }
  }

  void make_foreign(uint32_t place, uint32_t marks) {
    conntrack::Connection& c = flows_.record(place);
    c = conntrack::Connection{};
    c.host_set = kForeign;
    c.packets[0] = marks;
  }

  // Write the other names of a connection.
  void name(const Names& names, const uint32_t* places, uint32_t ends, const AddressBook& book,
            uint8_t generation) {
    const uint32_t last = names.count - 1;
    for (uint32_t i = 1; i <= last; i++) {
      Translation& t = flows_.translation(places[i]);
      t = Translation{};
      t.host_set = kOtherName;
      t.generation = generation;
      t.flags = is_turned(names.facts[i]) ? conntrack::kOriginalSwapped : 0;
      t.connection = places[0];
      t.decision = kNoPlace;
      std::fill_n(t.between, kMaxNames - 2, kNoPlace);
    }
    Translation& t = flows_.translation(places[last]);
    t.ends = ends;
    t.rewrite[conntrack::kOriginal] = rewrite_between(names.facts[0], names.facts[last], book);
    t.rewrite[conntrack::kReply] =
        rewrite_between(turned(names.facts[last]), turned(names.facts[0]), book);
    for (uint32_t i = 1; i < last; i++) t.between[i - 1] = places[i];
  }

  static bool is_turned(const Facts& f) {
    return f.swapped && f.protocol != kIcmp && f.protocol != kIcmpv6;
  }

  // The ends of what goes the other way.
  static Facts turned(Facts f) {
    std::swap(f.src, f.dst);
    if (f.protocol == kTcp || f.protocol == kUdp) std::swap(f.sport, f.dport);
    return f;
  }

  uint32_t hosts_;
  uint32_t host_sets_;
  FlowTable flows_;
  SourceLists sources_;
  // The name by which `next_from` told the last connection.
  uint32_t told_ = SourceLists::kNone;
  HostRoom* rooms_;
  HostSet* sets_;
  uint32_t unmarked_ = 0;
};

}  // namespace wiretrial
