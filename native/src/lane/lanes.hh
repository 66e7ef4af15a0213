// Packets of lanes (lane.hh). JavaScript (src/lab/lane) opens a lane when a packet of it was
// understood in full, and closes it when something happens to its connection; in between its packets
// are timed, counted, told from copies of themselves, and laid down for the engine here.
//
// Where nobody asks for more than counts, packets are settled instead (settling.hh). They stay in
// order: none is settled while others are laid down.
//
// The first packet that is not for a lane, or not as its lane expects, stops the run with nothing
// of it done.
#pragma once

#include "flows.hh"
#include "known-lanes.hh"
#include "run-words.hh"
#include "settling.hh"
#include "staged.hh"
#include "strangers.hh"
#include "walk.hh"

namespace wiretrial::lane {

// In the place of a flow: it may be a stranger's.
constexpr uint32_t kPerhaps = 0xfffffffe;
// Added to the number of a lane: the index says that the packet is for it, and it was not read.
constexpr uint32_t kUnread = 0x80000000;
// It is a stranger's, says the index: it was not read.
constexpr uint32_t kStrange = 0xfffffffd;

class Lanes {
 public:
  explicit Lanes(uint32_t flows)
      : flows_(flows), sightings_(flows) {}
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  bool is_whole() const { return flows_.is_whole() && sightings_.is_whole(); }

  Flows& flows() { return flows_; }
  Sightings& sightings() { return sightings_; }
  Strangers& strangers() { return strangers_; }
  Settling& settling() { return settling_; }

  // The index of the capture, whose rows stay where they are. False when there is no memory.
  bool use_index(const Row* rows, uint32_t count) {
    return known_.use(rows, count) && strangers_.use_index(rows, count);
  }

  // What is known of each interface of the records at hand: its link type; and the capture's index
  // from the first of them on, or null.
  struct Source {
    const uint8_t* window;
    Records records;
    const uint32_t* link_types;
    const uint32_t* iface_ids;
    int64_t start_ns;
    const uint32_t* index;
  };

  // Take records from `from` on, until one is not for a lane, the batch is full, or `to`; the words
  // say where it stopped and how many were laid down. False when memory ran out.
  bool run(const Source& s, uint32_t from, uint32_t to, const Staged& staged, double* words) {
    constexpr uint32_t kBlock = 32;
    Packet packets[kBlock];
    uint32_t places[kBlock];
    Fingerprint prints[kBlock];
    Run r{s, staged, words[kNow], words[kBackwardSteps], words[kSweepAt], words[kFollowed],
          static_cast<uint32_t>(words[kDirty])};
    Step step = Step::kTaken;
    uint32_t record = from;
    // Few at first: where it stops soon, what was looked at ahead is looked at again.
    uint32_t block = 4;
    while (record < to && step <= Step::kFollowed) {
      const uint32_t count = std::min(block, to - record);
      block = std::min(block * 2, kBlock);
      look_ahead(s, record, count, packets, places, prints);
      for (uint32_t i = 0; i < count; i++, record++) {
        const uint32_t place = places[i];
        step = place == kNone       ? Step::kStopped
               : place == kPerhaps  ? follow(r, record, packets[i], words)
               : place == kStrange  ? pass(r, record)
               : (place & kUnread) ? take_unread(r, record, place & ~kUnread)
                                    : take(r, record, packets[i], prints[i], place);
        if (step > Step::kFollowed) break;
      }
    }
    words[kNow] = r.now;
    words[kBackwardSteps] = r.backward_steps;
    words[kFollowed] = r.followed;
    words[kDirty] = r.dirty;
    words[kStop] = record;
    words[kStaged] = r.staged;
    words[kFull] = step == Step::kFull;
    r.tallies.tell(words);
    if (step == Step::kFull) settling_.learn(r.waiting, r.tallies);
    return step != Step::kNoMemory;
  }

 private:
  enum class Step : uint8_t { kTaken, kSettled, kFollowed, kStopped, kFull, kNoMemory };

  // What a run keeps at hand of the words, and what it has laid down.
  struct Run {
    const Source s;
    const Staged out;
    double now;
    double backward_steps;
    const double sweep_at;
    double followed;
    uint32_t dirty;
    uint32_t staged = 0;
    uint32_t used = 0;
    // Of those laid down, the ones that might have been settled.
    uint32_t waiting = 0;
    Tallies tallies{};
  };

  // Read the packets of a block, and find their flows, with the memory fetched meanwhile.
  void look_ahead(const Source& s, uint32_t start, uint32_t count, Packet* packets,
                  uint32_t* places, Fingerprint* prints) {
    const uint64_t unread = s.index == nullptr ? 0 : look_up(s.index + start, count, places);
    if (unread == (uint64_t{1} << count) - 1) return;
    const bool has_index = s.index != nullptr && strangers_.is_used();
    for (uint32_t i = 0; i < count; i++) {
      if (unread >> i & 1) continue;
      const uint32_t r = start + i;
      if (has_index && is_strange(s.index[r])) {
        places[i] = kStrange;
        continue;
      }
      const uint8_t* at = s.window + s.records.at[r];
      const uint32_t captured = s.records.captured[r];
      const uint32_t link_type = s.link_types[s.records.iface[r]];
      if (read_packet(at, captured, link_type, packets[i])) {
        places[i] = 0;
        flows_.prefetch(packets[i].hash);
        if (strangers_.is_used()) strangers_.prefetch(packets[i].hash);
      } else {
        const bool is_read =
            strangers_.is_used() && read_packet(at, captured, link_type, packets[i], For::kLook);
        places[i] = is_read ? kPerhaps : kNone;
      }
    }
    for (uint32_t i = 0; i < count; i++) {
      if (places[i] >= kUnread) continue;
      places[i] = flows_.head(packets[i].hash);
      if (places[i] == kNone) {
        if (strangers_.is_used()) places[i] = kPerhaps;
        continue;
      }
      __builtin_prefetch(&flows_[places[i]]);
      const Lane& lane = flows_[places[i]].lanes[packets[i].turned];
      __builtin_prefetch(&lane);
      if (settling_.is_used()) __builtin_prefetch(&lane.course);
    }
    for (uint32_t i = 0; i < count; i++) {
      if (places[i] >= kUnread) continue;
      places[i] = flows_.find_from(places[i], packets[i].name);
      if (places[i] == kNone && strangers_.is_used()) places[i] = kPerhaps;
      if (places[i] >= kUnread) continue;
      const Lane& lane = flows_[places[i]].lanes[packets[i].turned];
      if (lane.is_silent) continue;
      judge(packets[i]);
      prints[i] = print_of(packets[i], lane);
      if (!sightings_.is_alone(lane.sole)) sightings_.prefetch(prints[i]);
      if (lane.settles) settling_.prefetch(lane);
    }
  }

  // Find the lanes of a block's usual packets of which others were taken; one bit each.
  uint64_t look_up(const uint32_t* entries, uint32_t count, uint32_t* places) {
    for (uint32_t i = 0; i < count; i++) {
      places[i] = known_.lane_of(entries[i]);
      if (places[i] == 0) continue;
      // What memory they need is fetched together.
      const Flow& flow = flows_[(places[i] - 1) / 2];
      __builtin_prefetch(&flow);
      __builtin_prefetch(&flow.lanes[(places[i] - 1) % 2]);
    }
    uint64_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (places[i] == 0) continue;
      const uint32_t number = places[i] - 1;
      const Lane& lane = flows_[number / 2].lanes[number % 2];
      if (lane.known != entry::whose(entries[i])) continue;
      settling_.prefetch(lane);
      places[i] = number | kUnread;
      found |= uint64_t{1} << i;
    }
    return found;
  }

  // A packet like one that was read and taken: but for what is its own it need not be read.
  Step take_unread(Run& r, uint32_t record, uint32_t number) {
    Flow& flow = flows_[number / 2];
    Lane& lane = flow.lanes[number % 2];
    // A packet in between that was read may be usual by another number.
    if (lane.known != entry::whose(r.s.index[record])) return Step::kStopped;
    const bool v4 = flow.name.family == 4, is_tcp = flow.name.protocol == kTcp;
    const uint32_t captured = r.s.records.captured[record];
    const uint32_t least = v4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength;
    // A file may have been written anew since it was looked at.
    const uint32_t transport = is_tcp ? tcp::kMinHeaderLength : udp::kHeaderLength;
    if (captured < lane.link_length + least + transport) return Step::kStopped;
    const uint8_t* ip = r.s.window + r.s.records.at[record] + lane.link_length;
    const uint32_t length = v4 ? ipv4::total_length(ip, 0) : least + u16(ip, ipv6::kPayloadLength);
    if (!lane.is_open || length > captured - lane.link_length) return Step::kStopped;
    if (length < least + transport) return Step::kStopped;
    if (is_tcp && (length > kEthernetMtu || !tcp::is_whole(ip, least, length))) {
      return Step::kStopped;
    }
    if (lane.is_at_one_place && lane.settles && r.staged == 0) {
      Moment m;
      if (!is_time(r, record, flow, m)) return Step::kStopped;
      const Captured packet{ip, length, record, lane.treat(lane.verdict) == kOffloaded, m.now};
      if (settling_.settle(packet, flow, lane, r.tallies)) {
        take_time(r, flow, m);
        count(r, flow, number / 2, length);
        return Step::kSettled;
      }
    }
    return take_known(r, record, number, ip, length);
  }

  // One of which there may be copies, or that is laid down.
  [[gnu::noinline]] Step take_known(Run& r, uint32_t record, uint32_t number, const uint8_t* ip,
                                    uint32_t length) {
    const Flow& flow = flows_[number / 2];
    const Lane& lane = flow.lanes[number % 2];
    const bool v4 = flow.name.family == 4, is_tcp = flow.name.protocol == kTcp;
    Packet p;
    p.ip = ip;
    p.length = length;
    p.l4 = v4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength;
    p.ttl = lane.ttl;
    p.verdict = lane.verdict;
    p.turned = number % 2;
    p.name.family = flow.name.family;
    p.name.protocol = flow.name.protocol;
    if (!has_room(r, p, lane)) return Step::kFull;
    if (lane.is_at_one_place) return go_on(r, record, p, number / 2, nullptr);
    p.id = v4 ? u16(ip, 4) : 0;
    p.seq = is_tcp ? tcp::seq(ip, p.l4) : 0;
    p.ack = is_tcp ? tcp::ack(ip, p.l4) : 0;
    p.flags = lane.flags;
    p.payload = p.l4 + (is_tcp ? tcp::kMinHeaderLength : udp::kHeaderLength);
    const Fingerprint print = print_of(p, lane);
    return go_on(r, record, p, number / 2, &print);
  }

  // A packet that no lane knows: one of a stranger, or one that is not for here.
  Step follow(Run& r, uint32_t record, const Packet& p, double* words) {
    Moment m;
    if (!is_time(r, record, m)) return Step::kStopped;
    switch (strangers_.meet(p, m.now, words[kNextId], words[kStrangersClosed])) {
      case Strangers::Met::kByHand:
        return Step::kStopped;
      case Strangers::Met::kNoMemory:
        return Step::kNoMemory;
      case Strangers::Met::kFollowed:
        break;
    }
    words[kStrangersOpen] = strangers_.open_ones();
    take_time(r, m);
    r.followed += 1;
    return Step::kFollowed;
  }

  bool is_strange(uint32_t at) {
    return entry::is_usual(at) && strangers_.knows(entry::number(at));
  }

  // A usual packet of a stranger, by what the index says of it.
  Step pass(Run& r, uint32_t record) {
    const uint32_t at = r.s.index[record];
    Moment m;
    if (!is_time(r, record, m)) return Step::kStopped;
    if (!strangers_.meet_usual(entry::number(at), entry::turned(at) != 0, m.now)) {
      return Step::kStopped;
    }
    take_time(r, m);
    r.followed += 1;
    return Step::kFollowed;
  }

  // When a packet comes, as the run's clock has it.
  struct Moment {
    double now;
    bool is_back;
  };

  // False when what ends connections comes before a record: long silence, and the look for those
  // that are over.
  static bool is_time(const Run& r, uint32_t record, Moment& m) {
    const auto at = static_cast<double>(r.s.records.time_ns[record] - r.s.start_ns);
    m.is_back = at < r.now;
    m.now = m.is_back ? r.now : at;
    return m.now - r.now <= kLongestTimeoutNs && m.now < r.sweep_at;
  }

  // The same of a packet of a flow, whose connection may have ended before it.
  static bool is_time(const Run& r, uint32_t record, const Flow& flow, Moment& m) {
    return is_time(r, record, m) && m.now - flow.last_ns <= flow.lifetime_ns;
  }

  static void take_time(Run& r, const Moment& m) {
    r.now = m.now;
    if (m.is_back) r.backward_steps += 1;
  }

  static void take_time(Run& r, Flow& flow, const Moment& m) {
    take_time(r, m);
    flow.last_ns = m.now;
  }

  Step take(Run& r, uint32_t record, const Packet& p, const Fingerprint& print, uint32_t place) {
    Lane& lane = flows_[place].lanes[p.turned];
    if (!has_room(r, p, lane)) return Step::kFull;
    if (!lane.is_open || lane.flags != p.flags) return Step::kStopped;
    if (!lane.is_silent && !is_for(r.s, record, p, lane)) return Step::kStopped;
    const Step step = go_on(r, record, p, place, lane.is_silent ? nullptr : &print);
    if (step <= Step::kSettled && r.s.index != nullptr) known_.know(r.s.index[record], p, lane, place);
    return step;
  }

  bool has_room(const Run& r, const Packet& p, const Lane& lane) const {
    if (r.staged == r.out.capacity || r.out.room - r.used < room_of(p)) return false;
    return !lane.settles || r.waiting < settling_.patience();
  }

  // A packet for its open lane, if it is the time for it. Without a print nobody looks for copies.
  Step go_on(Run& r, uint32_t record, const Packet& p, uint32_t place, const Fingerprint* print) {
    Flow& flow = flows_[place];
    Lane& lane = flow.lanes[p.turned];
    Moment m;
    if (!is_time(r, record, flow, m)) return Step::kStopped;
    if (print != nullptr) {
      const uint64_t vantage = lane.vantage | p.ttl;
      const Seen seen = sightings_.note(*print, lane.whose, vantage, m.now, lane.sole);
      if (seen == Seen::kNoMemory) return Step::kNoMemory;
      if (seen != Seen::kFirst) return Step::kStopped;
    }
    take_time(r, flow, m);
    count(r, flow, place, p.length);
    if (lane.is_silent) {
      r.followed += 1;
      return Step::kFollowed;
    }
    if (lane.settles) {
      if (!lane.has_course && settling_.is_used()) settling_.name_course(p, lane);
      const Captured packet{p.ip, p.length, record, lane.treat(p.verdict) == kOffloaded, m.now};
      if (r.staged == 0 && settling_.settle(packet, flow, lane, r.tallies)) return Step::kSettled;
      r.waiting += 1;
    }
    stage(r, record, p, lane, place);
    return Step::kTaken;
  }

  static void stage(Run& r, uint32_t record, const Packet& p, const Lane& lane, uint32_t place) {
    const uint32_t index = r.staged++;
    r.out.offsets[index] = r.used;
    r.out.lengths[index] = p.length;
    r.out.entries[index] = lane.entry;
    r.out.times[index] = r.now;
    r.out.offloaded[index] = lane.treat(p.verdict) == kOffloaded;
    r.out.lane[index] = place * 2 + p.turned;
    r.out.record[index] = record;
    lay_down(r.out.packets + r.used, p, lane);
    r.used += room_of(p);
  }

  static bool is_for(const Source& s, uint32_t record, const Packet& p, const Lane& lane) {
    if (lane.ttl != p.ttl || lane.treat(p.verdict) == kByHand) return false;
    if (lane.iface != s.iface_ids[s.records.iface[record]]) return false;
    return lane.link_length == p.link_length &&
           is_same(lane.link, p.ip - p.link_length, p.link_length);
  }

  static bool is_same(const uint8_t* a, const uint8_t* b, uint32_t length) {
    if (length < 8) return std::memcmp(a, b, length) == 0;
    const auto differ = [&](uint32_t at) {
      uint64_t x, y;
      std::memcpy(&x, a + at, 8);
      std::memcpy(&y, b + at, 8);
      return x != y;
    };
    for (uint32_t at = 0; at + 8 <= length; at += 8) {
      if (differ(at)) return false;
    }
    return !differ(length - 8);
  }

  static Fingerprint print_of(const Packet& p, const Lane& lane) {
    const Head head{p.name.protocol, p.id, p.length, p.seq, p.ack, p.flags, 0, lane.whose};
    return fingerprint(head, p.ip, p.payload, p.length);
  }

  // Packets and bytes since JavaScript last asked; a flow that has some is listed once.
  static void count(Run& r, Flow& flow, uint32_t place, uint32_t length) {
    if (!flow.is_dirty) {
      flow.is_dirty = true;
      r.out.dirty[r.dirty++] = place;
      r.out.lane_packets[place] = 0;
      r.out.lane_bytes[place] = 0;
    }
    r.out.lane_packets[place] += 1;
    r.out.lane_bytes[place] += length;
    r.out.flow_nows[place] = flow.last_ns;
  }

  static constexpr double kLongestTimeoutNs = 432'000e9;

  Flows flows_;
  Sightings sightings_;
  Strangers strangers_;
  Settling settling_;
  KnownLanes known_;
};

}  // namespace wiretrial::lane
