// Lanes: one direction of one captured connection whose packets need no thought any more. JavaScript
// (src/lab/lane) opens a lane when a packet of it was understood in full, and closes it when
// something happens to its connection; in between its packets are timed, counted, told from copies
// of themselves, and laid down for the engine here.
//
// Where nobody asks for more than counts, and the packet's connection is held by the one engine of
// the run, it is settled: moved where it stands (engine/settled.hh). Packets stay in order: none is
// settled while others are laid down.
//
// The first packet that is not for a lane, or not as its lane expects, stops the run with nothing
// of it done. Tables are sized once; a flow that finds no room simply has no lane.
#pragma once

#include "../engine/memory.hh"
#include "../engine/settled.hh"
#include "sightings.hh"
#include "strangers.hh"
#include "walk.hh"

namespace wiretrial::lane {

constexpr uint32_t kMaxLink = 26;
constexpr uint32_t kNone = 0xffffffff;
// In the place of a flow: it may be a stranger's.
constexpr uint32_t kPerhaps = 0xfffffffe;

// What good decisions make of their packets, besides nothing that is known: they arrive or leave.
constexpr uint8_t kArrives = 1;

// What becomes of a packet by its checksum.
enum Treat : uint8_t { kByHand, kAsIs, kOffloaded };

// What a packet of it is asked by comes first, in one line of the cache.
struct alignas(64) Lane {
  bool is_open;
  // Its packets are judged elsewhere: here they only say that their connection goes on.
  bool is_silent : 1;
  bool rewrites : 1;
  // Its packets may be settled; and their course is named.
  bool settles : 1;
  bool has_course : 1;
  // `Packet::flags` of its segments.
  uint8_t flags;
  uint8_t ttl;
  // With which the sender sent it.
  uint8_t sent_ttl;
  uint8_t link_length;
  // By `Verdict`.
  uint8_t treat[4];
  uint8_t link[kMaxLink];
  Sightings::Sole sole;
  uint32_t iface;
  uint32_t entry;
  uint64_t whose;
  uint64_t vantage;
  // Ends to send it with, as the sender made it.
  uint8_t src[16];
  uint8_t dst[16];
  Course course;
};
static_assert(offsetof(Lane, src) == 64 && sizeof(Lane) == 128);

struct alignas(64) Flow {
  FlowName name;
  uint32_t next;
  bool is_taken;
  bool is_dirty;
  // Idle time after which a packet begins another connection.
  double lifetime_ns;
  double last_ns;
  Lane lanes[2];
};
static_assert(offsetof(Flow, lanes) == 64);

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

// Packets laid down for the engine, by column, and which lane and record each is of.
struct Staged {
  uint8_t* packets;
  uint32_t room;
  uint32_t* offsets;
  uint32_t* lengths;
  uint32_t* entries;
  double* times;
  uint8_t* offloaded;
  uint32_t* lane;
  uint32_t* record;
  uint32_t* lane_packets;
  double* lane_bytes;
  double* flow_nows;
  uint32_t* dirty;
  uint32_t capacity;
};

class Lanes {
 public:
  explicit Lanes(uint32_t flows)
      : capacity_(flows), mask_(power_at_least(flows * 2ull) - 1),
        heads_(static_cast<uint32_t*>(take_memory((mask_ + 1ull) * 4))),
        flows_(static_cast<Flow*>(take_memory(static_cast<size_t>(flows) * sizeof(Flow)))),
        sightings_(flows) {
    for (uint32_t i = 0; is_whole() && i <= mask_; i++) heads_[i] = kNone;
  }
  ~Lanes() {
    give_back(heads_, (mask_ + 1ull) * 4);
    give_back(flows_, static_cast<size_t>(capacity_) * sizeof(Flow));
  }
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  bool is_whole() const {
    return heads_ != nullptr && flows_ != nullptr && sightings_.is_whole();
  }

  uint32_t find(const FlowName& name) const {
    return find_from(heads_[slot_of(hash_of(name))], name);
  }

  // The flow's place, made when it has none; kNone when there is no room.
  uint32_t make(const FlowName& name) {
    const uint32_t known = find(name);
    if (known != kNone) return known;
    uint32_t at = free_;
    if (at != kNone) free_ = flows_[at].next;
    else if (used_ < capacity_) at = used_++;
    else return kNone;
    uint32_t& head = heads_[slot_of(hash_of(name))];
    flows_[at] = Flow{};
    flows_[at].name = name;
    flows_[at].next = head;
    flows_[at].is_taken = true;
    head = at;
    return at;
  }

  // Precondition: the flow is not dirty.
  void forget(uint32_t flow) {
    if (flow >= used_ || !flows_[flow].is_taken) return;
    uint32_t* link = &heads_[slot_of(hash_of(flows_[flow].name))];
    while (*link != flow) link = &flows_[*link].next;
    *link = flows_[flow].next;
    flows_[flow].is_taken = false;
    flows_[flow].next = free_;
    free_ = flow;
  }

  Flow& at(uint32_t flow) { return flows_[flow]; }
  Sightings& sightings() { return sightings_; }
  Strangers& strangers() { return strangers_; }
  // Who settles packets, if anybody does.
  Settled& settled() { return settled_; }

  // What is known of each interface of the records at hand: its link type.
  struct Source {
    const uint8_t* window;
    Records records;
    const uint32_t* link_types;
    const uint32_t* iface_ids;
    int64_t start_ns;
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
        step = place == kNone      ? Step::kStopped
               : place == kPerhaps ? follow(r, record, packets[i], words)
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

  uint32_t slot_of(uint64_t hash) const { return static_cast<uint32_t>(hash) & mask_; }

  uint32_t find_from(uint32_t at, const FlowName& name) const {
    while (at != kNone && !(flows_[at].name == name)) at = flows_[at].next;
    return at;
  }

  // Read the packets of a block, and find their flows, with the memory fetched meanwhile.
  void look_ahead(const Source& s, uint32_t start, uint32_t count, Packet* packets,
                  uint32_t* places, Fingerprint* prints) {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t r = start + i;
      const uint8_t* at = s.window + s.records.at[r];
      const uint32_t captured = s.records.captured[r];
      const uint32_t link_type = s.link_types[s.records.iface[r]];
      if (read_packet(at, captured, link_type, packets[i])) {
        places[i] = 0;
        __builtin_prefetch(&heads_[slot_of(packets[i].hash)]);
        if (strangers_.is_used()) strangers_.prefetch(packets[i].hash);
      } else {
        const bool is_read =
            strangers_.is_used() && read_packet(at, captured, link_type, packets[i], For::kLook);
        places[i] = is_read ? kPerhaps : kNone;
      }
    }
    for (uint32_t i = 0; i < count; i++) {
      if (places[i] >= kPerhaps) continue;
      places[i] = heads_[slot_of(packets[i].hash)];
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
      if (places[i] >= kPerhaps) continue;
      places[i] = find_from(places[i], packets[i].name);
      if (places[i] == kNone && strangers_.is_used()) places[i] = kPerhaps;
      if (places[i] >= kPerhaps) continue;
      const Lane& lane = flows_[places[i]].lanes[packets[i].turned];
      if (lane.is_silent) continue;
      judge(packets[i]);
      prints[i] = print_of(packets[i], lane);
      if (!sightings_.is_alone(lane.sole)) sightings_.prefetch(prints[i]);
      if (lane.settles && lane.has_course) settled_.prefetch(lane.course);
    }
  }

  // A packet that no lane knows: one of a stranger, or one that is not for here.
  Step follow(Run& r, uint32_t record, const Packet& p, double* words) {
    const auto at = static_cast<double>(r.s.records.time_ns[record] - r.s.start_ns);
    const bool is_back = at < r.now;
    const double now = is_back ? r.now : at;
    if (now - r.now > kLongestTimeoutNs || now >= r.sweep_at) return Step::kStopped;
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

  Step take(Run& r, uint32_t record, const Packet& p, const Fingerprint& print, uint32_t place) {
    Flow& flow = flows_[place];
    Lane& lane = flow.lanes[p.turned];
    const uint32_t room = (p.length + 7) & ~7u;
    if (r.staged == r.out.capacity || r.out.room - r.used < room) return Step::kFull;
    if (lane.settles && r.waiting >= patience_) return Step::kFull;
    if (!lane.is_open || lane.flags != p.flags) return Step::kStopped;
    if (!lane.is_silent && !is_for(r.s, record, p, lane)) return Step::kStopped;
    const auto at = static_cast<double>(r.s.records.time_ns[record] - r.s.start_ns);
    const bool is_back = at < r.now;
    const double now = is_back ? r.now : at;
    // What ends connections is not for here: long silence, and the look for those that are over.
    if (now - r.now > kLongestTimeoutNs || now >= r.sweep_at) return Step::kStopped;
    if (now - flow.last_ns > flow.lifetime_ns) return Step::kStopped;
    if (!lane.is_silent) {
      const Seen seen = sightings_.note(print, lane.whose, lane.vantage | p.ttl, now, lane.sole);
      if (seen == Seen::kNoMemory) return Step::kNoMemory;
      if (seen != Seen::kFirst) return Step::kStopped;
    }
    r.now = now;
    if (is_back) r.backward_steps += 1;
    flow.last_ns = now;
    count(r, flow, place, p);
    if (lane.is_silent) {
      r.followed += 1;
      return Step::kFollowed;
    }
    if (lane.settles) {
      if (r.staged == 0 && settle(r, record, p, lane)) return Step::kSettled;
      r.waiting += 1;
    }
    const uint32_t index = r.staged++;
    r.out.offsets[index] = r.used;
    r.out.lengths[index] = p.length;
    r.out.entries[index] = lane.entry;
    r.out.times[index] = now;
    r.out.offloaded[index] = lane.treat[p.verdict] == kOffloaded;
    r.out.lane[index] = place * 2 + p.turned;
    r.out.record[index] = record;
    lay_down(r.out.packets + r.used, p, lane);
    r.used += room;
    return Step::kTaken;
  }

  // Move a packet where it stands; false, with nothing done, when it is to be laid down.
  bool settle(Run& r, uint32_t record, const Packet& p, Lane& lane) {
    if (!settled_.is_used() || (!lane.has_course && !name_course(p, lane))) return false;
    const bool v4 = p.name.family == 4;
    const bool is_offloaded = lane.treat[p.verdict] == kOffloaded;
    const Passing packet{p.ip,
                         p.length,
                         p.l4,
                         lane.entry,
                         p.name.protocol,
                         static_cast<uint8_t>(v4 ? p.ip[ipv4::kTos] : ipv6::traffic_class(p.ip, 0)),
                         lane.sent_ttl,
                         is_offloaded,
                         r.now};
    const uint8_t good = settled_.move(lane.course, packet);
    if (good == 0) return false;
    (good == kArrives ? r.tallies.delivered : r.tallies.exited).add(record);
    if (is_offloaded) r.tallies.offloaded.add(record);
    return true;
  }

  // Of packets of a lane, whose ends never change, which connection they are of; from now on, if
  // they are plain.
  bool name_course(const Packet& p, Lane& lane) {
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
    return lane.settles;
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
    if (lane.ttl != p.ttl || lane.treat[p.verdict] == kByHand) return false;
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
  static void count(Run& r, Flow& flow, uint32_t place, const Packet& p) {
    if (!flow.is_dirty) {
      flow.is_dirty = true;
      r.out.dirty[r.dirty++] = place;
      r.out.lane_packets[place] = 0;
      r.out.lane_bytes[place] = 0;
    }
    r.out.lane_packets[place] += 1;
    r.out.lane_bytes[place] += p.length;
    r.out.flow_nows[place] = flow.last_ns;
  }

  // The packet as its sender made it (`withTtl`, `withEnds`).
  static void lay_down(uint8_t* to, const Packet& p, const Lane& lane) {
    std::memcpy(to, p.ip, p.length);
    if (lane.rewrites) rewrite(to, p, lane);
    if (lane.sent_ttl == p.ttl) return;
    if (p.name.family == 4) ipv4::set_ttl(to, 0, lane.sent_ttl);
    else set_u8(to, ipv6::kHopLimit, lane.sent_ttl);
  }

  // Other addresses, with the checksums that cover them.
  static void rewrite(uint8_t* to, const Packet& p, const Lane& lane) {
    const bool v4 = p.name.family == 4;
    const uint32_t size = v4 ? 4 : 16;
    const uint32_t from = v4 ? ipv4::kSource : ipv6::kSource;
    const uint64_t before = sum_words(to, from, from + 2 * size);
    std::memcpy(to + from, lane.src, size);
    std::memcpy(to + from + size, lane.dst, size);
    const uint64_t after = sum_words(to, from, from + 2 * size);
    if (v4) update(to, ipv4::kChecksum, before, after, false);
    const bool is_partial = p.verdict == kPartial;
    if (p.name.protocol == kTcp) {
      update(to, p.l4 + tcp::kChecksum, before, after, is_partial);
    } else if (p.name.protocol == kUdp) {
      if (udp::checksum(to, p.l4) != 0) update(to, p.l4 + udp::kChecksum, before, after, is_partial);
    } else if (!v4) {
      update(to, p.l4 + icmp::kChecksum, before, after, is_partial);
    }
  }

  // A checksum over changed words (RFC 1624); a partial one is the sum itself.
  static void update(uint8_t* b, uint32_t at, uint64_t before, uint64_t after, bool is_partial) {
    uint16_t stored;
    std::memcpy(&stored, b + at, 2);
    const uint64_t sum = is_partial ? stored : static_cast<uint16_t>(~stored);
    const auto minus = static_cast<uint16_t>(~fold(before));
    const uint32_t now = fold(sum + minus + fold(after));
    const auto result = static_cast<uint16_t>(is_partial ? now : ~now);
    std::memcpy(b + at, &result, 2);
  }

  static constexpr double kLongestTimeoutNs = 432'000e9;

  uint32_t capacity_;
  uint32_t mask_;
  uint32_t* heads_;
  Flow* flows_;
  uint32_t used_ = 0;
  uint32_t free_ = kNone;
  Sightings sightings_;
  Strangers strangers_;
  Settled settled_;
  uint32_t patience_ = kLeastPatience;
};

}  // namespace wiretrial::lane
