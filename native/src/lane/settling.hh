// Packets of lanes that are settled: where nobody asks for more than counts, and a packet's connection
// is held by the one engine of the run, it is moved where it stands (engine/settled.hh).
#pragma once

#include <iterator>

#include "lane.hh"
#include "run-words.hh"

namespace wiretrial::lane {

// What good decisions make of their packets, besides nothing that is known: they arrive or leave.
constexpr uint8_t kArrives = 1;

// A packet of TCP or UDP as it was captured, the record that it stands in, and the run's time.
struct Captured {
  const uint8_t* ip;
  uint32_t length;
  uint32_t record;
  bool is_offloaded;
  double now;
};

// What became of the packets that a run settled.
struct Tallies {
  struct Few {
    uint32_t count = 0;
    uint32_t first = 0;
    void add(uint32_t record) {
      if (count++ == 0) first = record;
    }
  };
  Few delivered;
  Few exited;
  Few offloaded;

  void tell(double* words) const {
    const Few* const all[] = {&delivered, &exited, &offloaded};
    static_assert(kExited == kDelivered + 2 && kOffloadedOnes == kDelivered + 4);
    for (uint32_t i = 0; i < std::size(all); i++) {
      words[kDelivered + 2 * i] = all[i]->count;
      words[kDelivered + 2 * i + 1] = all[i]->first;
    }
  }
};

class Settling {
 public:
  // Who settles packets of lanes that are opened from now on, and by which decisions; null: nobody.
  void use(Engine* engine, const uint8_t* good) { settled_.use(engine, good); }

  bool is_used() const { return settled_.is_used(); }

  void prefetch(const Lane& lane) const {
    if (lane.has_course) settled_.prefetch(lane.course);
  }

  // Of packets of a lane, whose ends never change, which connection they are of; from now on, if
  // they are plain. Precondition: somebody settles them.
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

  // Move a packet where it stands; false, with nothing done, when it is to be laid down.
  [[gnu::always_inline]] bool settle(const Captured& p, const Flow& flow, Lane& lane, Tallies& t) {
    if (!settled_.is_used() || !lane.has_course) return false;
    const bool v4 = flow.name.family == 4;
    const Passing packet{p.ip,
                         p.length,
                         v4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength,
                         lane.entry,
                         flow.name.protocol,
                         static_cast<uint8_t>(v4 ? p.ip[ipv4::kTos] : ipv6::traffic_class(p.ip, 0)),
                         lane.sent_ttl,
                         p.is_offloaded,
                         p.now};
    const uint8_t good = settled_.move(lane.course, packet);
    if (good == 0) return false;
    (good == kArrives ? t.delivered : t.exited).add(p.record);
    if (p.is_offloaded) t.offloaded.add(p.record);
    return true;
  }

  // So many packets that might have been settled are laid down before a batch ends for them.
  uint32_t patience() const { return patience_; }

  // A batch that ended with so many of them: whether that was worth it. It was if as many could be
  // settled behind it as make up for the batch.
  void learn(uint32_t waiting, const Tallies& t) {
    if (waiting < patience_) return;
    const uint32_t settled = t.delivered.count + t.exited.count;
    patience_ = settled >= patience_ ? std::max(kLeastPatience, patience_ / 2)
                                     : std::min(kMostPatience, patience_ * 2);
  }

 private:
  // As many as make up for a batch, and no more than one has.
  static constexpr uint32_t kLeastPatience = 32, kMostPatience = 1024;

  Settled settled_;
  uint32_t patience_ = kLeastPatience;
};

}  // namespace wiretrial::lane
