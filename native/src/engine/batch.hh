// Packets on their way into the engine: one, or many by column.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wiretrial {

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
// them; a stride of 0 writes nothing. `good` says of each decision whether packets that it moves
// may be passed over; none says that all may. From offsets below `roomy_end` so many bytes may be read
// as are read of any packet by the vector, however short; 0 where that is not known.
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
  const uint8_t* good;
  uint32_t roomy_end;
};

// The packet at `i` of a batch.
inline Arrival arrival(const Batch& b, uint32_t i) {
  uint8_t* out = b.out + static_cast<size_t>(i & (b.ring - 1)) * b.stride;
  return Arrival{b.packets + b.offsets[i], b.lengths[i],        b.entries[i],
                 b.times[i],               b.offloaded[i] != 0, b.stride, out};
}

}  // namespace wiretrial
