// What JavaScript gives to native code for whole captures (src/engine/compiled/lane-door.ts), with
// nothing behind its end.
#pragma once

#include <vector>

#include "../src/lane/lanes.hh"
#include "../src/lane/look.hh"

namespace wiretrial::lane {

struct ColumnSizes {
  uint32_t records;
  uint32_t staged;
  uint32_t staged_bytes;
  uint32_t flows;
};

struct Columns {
  explicit Columns(const ColumnSizes& sizes)
      : at(sizes.records), captured(at), wire(at), iface(at), time_ns(sizes.records),
        packets(sizes.staged_bytes), offsets(sizes.staged), lengths(offsets), entries(offsets),
        lane(offsets), record(offsets), times(sizes.staged), offloaded(sizes.staged),
        lane_packets(sizes.flows), dirty(lane_packets), lane_bytes(sizes.flows),
        flow_nows(lane_bytes), words(24), senders(Tallied<Sender>::kMost),
        pairs(Tallied<Pair>::kMost), joins(kJoins), census(1u << 15) {}

  Records records() {
    return {at.data(), captured.data(), wire.data(), iface.data(), time_ns.data()};
  }
  Staged staged() {
    return {packets.data(),
            static_cast<uint32_t>(packets.size()),
            offsets.data(),
            lengths.data(),
            entries.data(),
            times.data(),
            offloaded.data(),
            lane.data(),
            record.data(),
            lane_packets.data(),
            lane_bytes.data(),
            flow_nows.data(),
            dirty.data(),
            static_cast<uint32_t>(offsets.size())};
  }

  Findings findings() {
    return {senders.data(), pairs.data(), census.data(), joins.data(), kJoins};
  }

  static constexpr uint32_t kJoins = 64;
  std::vector<uint32_t> at, captured, wire, iface;
  std::vector<int64_t> time_ns;
  std::vector<uint8_t> packets;
  std::vector<uint32_t> offsets, lengths, entries, lane, record;
  std::vector<double> times;
  std::vector<uint8_t> offloaded;
  std::vector<uint32_t> lane_packets, dirty;
  std::vector<double> lane_bytes, flow_nows;
  std::vector<double> words;
  std::vector<Sender> senders;
  std::vector<Pair> pairs;
  std::vector<Join> joins;
  std::vector<uint64_t> census;
};

}  // namespace wiretrial::lane
