// Numbers that both sides of the door keep (`LaneWord` of src/engine/compiled/lane-door.ts): the run's
// clock, and what a run or a look has to say.
#pragma once

#include <cstdint>

namespace wiretrial::lane {

enum Word : uint32_t {
  // Of the clock (src/lab/traffic/clock.ts).
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

}  // namespace wiretrial::lane
