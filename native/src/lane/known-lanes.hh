// What an index (index.hh) is to lanes: which one takes packets that it says are as usual, so that
// they need not be read.
#pragma once

#include "index.hh"
#include "lane.hh"

namespace wiretrial::lane {

class KnownLanes {
 public:
  KnownLanes() = default;
  ~KnownLanes() { give_back(lane_of_, accepts_ * sizeof(uint32_t)); }
  KnownLanes(const KnownLanes&) = delete;
  KnownLanes& operator=(const KnownLanes&) = delete;

  // Rows stay where they are. False when there is no memory.
  bool use(const Row* rows, uint32_t count) {
    give_back(lane_of_, accepts_ * sizeof(uint32_t));
    rows_ = rows;
    accepts_ = 2 * (size_t{count} + 1);
    lane_of_ = static_cast<uint32_t*>(take_memory(accepts_ * sizeof(uint32_t)));
    return lane_of_ != nullptr;
  }

  // The number of the lane that took such a packet, from 1; 0 when none did, or it is not as usual.
  // That lane may be another's by now: `Lane::known` says of what it knows packets.
  uint32_t lane_of(uint32_t entry) const {
    const uint32_t whose = entry::whose(entry);
    return entry::is_usual(entry) && whose < accepts_ ? lane_of_[whose] : 0;
  }

  // A lane of the flow at `place` took a packet with this entry.
  void know(uint32_t entry, const Packet& p, Lane& lane, uint32_t place) {
    const uint32_t whose = entry::whose(entry), number = entry::number(entry);
    if (!entry::is_usual(entry) || number == 0 || whose >= accepts_) return;
    lane.known = whose;
    lane.verdict = p.verdict;
    const uint32_t flags = rows_[number - 1].flags;
    lane.is_at_one_place = lane.has_own_name && (flags & Row::kOnePlace[p.turned]) != 0;
    lane_of_[whose] = place * 2 + p.turned + 1;
  }

 private:
  // By number.
  const Row* rows_ = nullptr;
  // By `entry::whose`.
  uint32_t* lane_of_ = nullptr;
  size_t accepts_ = 0;
};

}  // namespace wiretrial::lane
