// What the first look at a capture leaves for who reads it again: a number of 32 bits for each
// record, and a row for each number that stands there.
//
// An entry is 0 where nothing is known of a record: it has to be read. Else it names a conversation
// (both ends as captured, `FlowName`), says in which direction the packet goes, and whether it is
// as usual: interface, header in front of the packet, TTL, fragment bits, what its checksum says
// and, of TCP, that it neither opens nor ends, are those of the first packet of that number and
// direction that neither opened nor ended. Length, type of service, identification, sequence numbers
// and payload are its own.
//
// Several numbers may be names of one conversation: each thread that looks has its own, and new ones
// when its tables are full.
#pragma once

#include "growing.hh"
#include "packet.hh"

namespace wiretrial::lane {

namespace entry {

constexpr uint32_t kUsual = 1;
constexpr uint32_t kTurned = 2;
// Numbers have 30 bits; 0 is none.
constexpr uint32_t kShift = 2;
constexpr uint32_t kMostNumbers = (1u << 30) - 1;

inline uint32_t number(uint32_t entry) { return entry >> kShift; }
inline uint32_t turned(uint32_t entry) { return entry >> 1 & 1; }
inline bool is_usual(uint32_t entry) { return (entry & kUsual) != 0; }
// Connection and direction.
inline uint32_t whose(uint32_t entry) { return entry >> 1; }

}  // namespace entry

// One conversation. The row of a number stands at its place, from 1.
struct Row {
  FlowName key;
  // Of the table that it is found by.
  uint32_t next;
  uint32_t flags;
  // By direction: interface, header in front and TTL of its packets as a number above 1; kNever when
  // it has none, kSeveral when they differ.
  uint64_t vantage[2];

  static constexpr uint64_t kNever = 0;
  static constexpr uint64_t kSeveral = 1;
  // Flags: the usual packet of a direction is known; all packets of a direction that the whole
  // capture has between these ends have one vantage.
  static constexpr uint32_t kKnown[2] = {1, 2};
  static constexpr uint32_t kOnePlace[2] = {4, 8};

  void see(uint32_t direction, uint64_t from) {
    uint64_t& known = vantage[direction];
    if (known != from) known = known == kNever ? from : kSeveral;
  }
};
static_assert(sizeof(Row) == 64);

// What the whole capture says of each conversation, of whose rows some have one name: which
// directions were seen at one place only. False when there is no memory.
inline bool unite(Row* rows, uint32_t count) {
  Growing<Row> whole;
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t hash = hash_of(rows[i].key);
    Row* row = whole.find(rows[i].key, hash);
    if (row == nullptr) row = whole.add(rows[i].key);
    if (row == nullptr) return false;
    for (uint32_t d = 0; d < 2; d++) {
      if (rows[i].vantage[d] != Row::kNever) row->see(d, rows[i].vantage[d]);
    }
  }
  for (uint32_t i = 0; i < count; i++) {
    const Row* row = whole.find(rows[i].key);
    for (uint32_t d = 0; d < 2; d++) {
      rows[i].vantage[d] = row->vantage[d];
      if (row->vantage[d] > Row::kSeveral) rows[i].flags |= Row::kOnePlace[d];
    }
  }
  return true;
}

}  // namespace wiretrial::lane
