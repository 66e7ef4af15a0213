// Packets of lanes (lane.hh). JavaScript (src/lab/lane) opens a lane when a packet of it was
// understood in full, and closes it when something happens to its connection; in between its packets
// are timed, counted, told from copies of themselves, and laid down for the engine here.
//
// Where nobody asks for more than counts, and the packet's connection is held by the one engine of
// the run, it is settled: moved where it stands (engine/settled.hh). Packets stay in order: none is
// settled while others are laid down.
//
// The first packet that is not for a lane, or not as its lane expects, stops the run with nothing
// of it done.
#pragma once

#include "flows.hh"
#include "index.hh"
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

// What good decisions make of their packets, besides nothing that is known: they arrive or leave.
constexpr uint8_t kArrives = 1;

// The run's clock (src/lab/traffic/clock.ts), in the words that both sides share.
enum Word : uint32_t {
  kNow,
  kBackwardSteps,
  kLongGaps,
  kSweepAt,
  kStop,
  kStaged,
  kDirty,
  // Whether the run stopped because the batch is full, and not at a packet that is for JavaScript.
  kFull,
  // Of a first look: how many senders, pairs and joins.
  kSenders,
  kPairs,
  kJoins,
  // Packets that were only followed, and of a first look, tuples that it met.
  kFollowed,
  kTuples,
  // The number of the next conversation; those of strangers that have ended, and that are open.
  kNextId,
  kStrangersClosed,
  kStrangersOpen,
  // Packets that the run settled: those that were delivered, those that left, and those whose
  // checksums were left to a device; behind each the record of the first.
  kDelivered,
  kFirstDelivered,
  kExited,
  kFirstExited,
  kOffloadedOnes,
  kFirstOffloaded,
};

class Lanes {
 public:
  explicit Lanes(uint32_t flows)
      : flows_(flows), sightings_(flows) {}
  ~Lanes() { give_back(lane_of_, accepts_ * sizeof(uint32_t)); }
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  bool is_whole() const { return flows_.is_whole() && sightings_.is_whole(); }

  Flows& flows() { return flows_; }
  Sightings& sightings() { return sightings_; }
  Strangers& strangers() { return strangers_; }
  // Who settles packets, if anybody does.
  Settled& settled() { return settled_; }

  // The index of the capture, whose rows stay where they are. False when there is no memory.
  bool use_index(const Row* rows, uint32_t count) {
    give_back(lane_of_, accepts_ * sizeof(uint32_t));
    rows_ = rows;
    accepts_ = 2 * (size_t{count} + 1);
    lane_of_ = static_cast<uint32_t*>(take_memory(accepts_ * sizeof(uint32_t)));
    return lane_of_ != nullptr && strangers_.use_index(rows, count);
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
    tell(r.tallies, words);
    if (step == Step::kFull) learn_patience(r);
    return step != Step::kNoMemory;
  }

 private:
  enum class Step : uint8_t { kTaken, kSettled, kFollowed, kStopped, kFull, kNoMemory };

  // So many packets that might have been settled are laid down before a batch ends for them: as
  // many as make up for the batch, and no more than one has.
  static constexpr uint32_t kLeastPatience = 32, kMostPatience = 1024;

  struct Few {
    uint32_t count = 0;
    uint32_t first = 0;
    void add(uint32_t record) {
      if (count++ == 0) first = record;
    }
  };

  // What became of packets that were settled.
  struct Tallies {
    Few delivered;
    Few exited;
    Few offloaded;
  };

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
      if (settled_.is_used()) __builtin_prefetch(&lane.course);
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
      if (lane.settles && lane.has_course) settled_.prefetch(lane.course);
    }
  }

  // Find the lanes of a block's usual packets of which others were taken; one bit each.
  uint64_t look_up(const uint32_t* entries, uint32_t count, uint32_t* places) {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t whose = entry::whose(entries[i]);
      places[i] = entry::is_usual(entries[i]) && whose < accepts_ ? lane_of_[whose] : 0;
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
      if (lane.has_course) settled_.prefetch(lane.course);
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
      const bool is_offloaded = lane.treat(lane.verdict) == kOffloaded;
      if (settle(r, record, ip, length, flow, lane, is_offloaded, m.now)) {
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
    double now;
    bool is_back;
    if (!is_time(r, record, now, is_back)) return Step::kStopped;
    switch (strangers_.meet(p, now, words[kNextId], words[kStrangersClosed])) {
      case Strangers::Met::kByHand:
        return Step::kStopped;
      case Strangers::Met::kNoMemory:
        return Step::kNoMemory;
      case Strangers::Met::kFollowed:
        break;
    }
    words[kStrangersOpen] = strangers_.open_ones();
    r.now = now;
    if (is_back) r.backward_steps += 1;
    r.followed += 1;
    return Step::kFollowed;
  }

  bool is_strange(uint32_t at) {
    return entry::is_usual(at) && strangers_.knows(entry::number(at));
  }

  // A usual packet of a stranger, by what the index says of it.
  Step pass(Run& r, uint32_t record) {
    const uint32_t at = r.s.index[record];
    double now;
    bool is_back;
    if (!is_time(r, record, now, is_back)) return Step::kStopped;
    if (!strangers_.meet_usual(entry::number(at), entry::turned(at) != 0, now)) return Step::kStopped;
    r.now = now;
    if (is_back) r.backward_steps += 1;
    r.followed += 1;
    return Step::kFollowed;
  }

  // When a record is; false when what ends connections comes before it: long silence, and the look
  // for those that are over.
  static bool is_time(const Run& r, uint32_t record, double& now, bool& is_back) {
    const auto at = static_cast<double>(r.s.records.time_ns[record] - r.s.start_ns);
    is_back = at < r.now;
    now = is_back ? r.now : at;
    return now - r.now <= kLongestTimeoutNs && now < r.sweep_at;
  }

  Step take(Run& r, uint32_t record, const Packet& p, const Fingerprint& print, uint32_t place) {
    Lane& lane = flows_[place].lanes[p.turned];
    if (!has_room(r, p, lane)) return Step::kFull;
    if (!lane.is_open || lane.flags != p.flags) return Step::kStopped;
    if (!lane.is_silent && !is_for(r.s, record, p, lane)) return Step::kStopped;
    const Step step = go_on(r, record, p, place, lane.is_silent ? nullptr : &print);
    if (step <= Step::kSettled && r.s.index != nullptr) know(r.s.index[record], p, lane, place);
    return step;
  }

  bool has_room(const Run& r, const Packet& p, const Lane& lane) const {
    if (r.staged == r.out.capacity || r.out.room - r.used < room_of(p)) return false;
    return !lane.settles || r.waiting < patience_;
  }

  // Packets like this one, which was taken, need not be read.
  void know(uint32_t entry, const Packet& p, Lane& lane, uint32_t place) {
    const uint32_t whose = entry::whose(entry), number = entry::number(entry);
    if (!entry::is_usual(entry) || number == 0 || whose >= accepts_) return;
    lane.known = whose;
    lane.verdict = p.verdict;
    const uint32_t flags = rows_[number - 1].flags;
    lane.is_at_one_place = lane.has_own_name && (flags & Row::kOnePlace[p.turned]) != 0;
    lane_of_[whose] = place * 2 + p.turned + 1;
  }

  // When a packet comes, as the run's clock has it.
  struct Moment {
    double now;
    bool is_back;
  };

  // The same of a packet of a flow, whose connection may have ended before it.
  static bool is_time(const Run& r, uint32_t record, const Flow& flow, Moment& m) {
    return is_time(r, record, m.now, m.is_back) && m.now - flow.last_ns <= flow.lifetime_ns;
  }

  static void take_time(Run& r, Flow& flow, const Moment& m) {
    r.now = m.now;
    if (m.is_back) r.backward_steps += 1;
    flow.last_ns = m.now;
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
      if (!lane.has_course && settled_.is_used()) name_course(p, lane);
      const bool is_offloaded = lane.treat(p.verdict) == kOffloaded;
      if (r.staged == 0 && settle(r, record, p.ip, p.length, flow, lane, is_offloaded, m.now)) {
        return Step::kSettled;
      }
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

  // Move a packet of TCP or UDP where it stands; false, with nothing done, when it is to be laid down.
  [[gnu::always_inline]] bool settle(Run& r, uint32_t record, const uint8_t* ip, uint32_t length,
                                     const Flow& flow, Lane& lane, bool is_offloaded, double now) {
    if (!settled_.is_used() || !lane.has_course) return false;
    const bool v4 = flow.name.family == 4;
    const Passing packet{ip,
                         length,
                         v4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength,
                         lane.entry,
                         flow.name.protocol,
                         static_cast<uint8_t>(v4 ? ip[ipv4::kTos] : ipv6::traffic_class(ip, 0)),
                         lane.sent_ttl,
                         is_offloaded,
                         now};
    const uint8_t good = settled_.move(lane.course, packet);
    if (good == 0) return false;
    (good == kArrives ? r.tallies.delivered : r.tallies.exited).add(record);
    if (is_offloaded) r.tallies.offloaded.add(record);
    return true;
  }

  // Of packets of a lane, whose ends never change, which connection they are of; from now on, if
  // they are plain.
  void name_course(const Packet& p, Lane& lane) {
    const bool v4 = p.name.family == 4;
    const uint8_t* src = lane.rewrites ? lane.src : p.ip + (v4 ? ipv4::kSource : ipv6::kSource);
    const uint8_t* dst =
        lane.rewrites ? lane.dst : p.ip + (v4 ? ipv4::kDestination : ipv6::kDestination);
    Facts ends{};
    ends.protocol = p.name.protocol;
    ends.family = p.name.family;
    ends.src = v4 ? u32(src, 0) : settled_.number_of(src);
    ends.dst = v4 ? u32(dst, 0) : settled_.number_of(dst);
    ends.sport = u16(p.ip, p.l4);
    ends.dport = u16(p.ip, p.l4 + 2);
    const bool is_known = v4 || (ends.src != AddressBook::kNone && ends.dst != AddressBook::kNone);
    lane.has_course = is_known && settled_.find_course(ends, lane.course);
    lane.settles = lane.has_course && lane.sent_ttl >= kSafeTtl;
  }

  // A batch that ended for the sake of packets that can be settled: whether it was worth it.
  void learn_patience(const Run& r) {
    if (r.waiting < patience_) return;
    const uint32_t settled = r.tallies.delivered.count + r.tallies.exited.count;
    patience_ = settled >= patience_ ? std::max(kLeastPatience, patience_ / 2)
                                     : std::min(kMostPatience, patience_ * 2);
  }

  static void tell(const Tallies& t, double* words) {
    const Few* const all[] = {&t.delivered, &t.exited, &t.offloaded};
    static_assert(kExited == kDelivered + 2 && kOffloadedOnes == kDelivered + 4);
    for (uint32_t i = 0; i < std::size(all); i++) {
      words[kDelivered + 2 * i] = all[i]->count;
      words[kDelivered + 2 * i + 1] = all[i]->first;
    }
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
  Settled settled_;
  // Of the index: rows by number, and by `entry::whose` the number of the lane that took such a
  // packet, from 1. That lane may be another's by now: it says of what it knows packets.
  const Row* rows_ = nullptr;
  size_t accepts_ = 0;
  uint32_t* lane_of_ = nullptr;
  uint32_t patience_ = kLeastPatience;
};

}  // namespace wiretrial::lane
