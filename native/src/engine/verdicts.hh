// Verdicts only: what becomes of a packet that opens a connection, were it the only one there is.
// No connection is tracked, nothing is written or counted: ends and ports to classes, classes to a
// number, for many packets at once.
//
//   src ─► class ─┐
//   dst ─► class ─┼─► slot of a table ─► keys equal? ─► number
//   ports ► class ┘
//
// The table holds what the reference walk found for a combination of classes; keys are compared
// whole. What no walk has met yet is `kUnknown`, and whoever asked fills it in. All keys hold the
// same facts: those that any walk so far has looked at (a fact too many tells more apart than need
// be, never less). IPv4 only.
#pragma once

#include <algorithm>
#include <cstring>

#include "classes.hh"
#include "decisions.hh"

// Whether the compiler makes code for processors that it was not called for.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIRETRIAL_VECTORS 1
#else
#define WIRETRIAL_VECTORS 0
#endif

namespace wiretrial {

// Packets by column. Addresses in host order; `ports` is the source port, and the destination port
// in the upper half; `kinds` is the protocol, and where the packet enters in the upper 24 bits.
struct VerdictBatch {
  const uint32_t* src;
  const uint32_t* dst;
  const uint32_t* ports;
  const uint32_t* kinds;
  int32_t* results;
};

// What a key holds of the ports of one side.
enum class PortsInKey : uint32_t { kNothing, kClass, kValue };

enum class VerdictPath : uint32_t { kPortable, kAvx2, kAvx512 };

class Verdicts {
 public:
  static constexpr int32_t kUnknown = -1;

  // 16 bytes of key, then the number; one slot never crosses a cache line. A free slot has the key
  // of a protocol that there is not.
  struct Slot {
    uint32_t key[4];
    int32_t number;
    uint32_t spare[3];
    bool is_free() const { return key[3] == kFree; }
  };
  static_assert(sizeof(Slot) == 32);

  explicit Verdicts(uint64_t capacity)
      : capacity_(static_cast<uint32_t>(capacity)),
        most_slots_(power_at_least(std::max<uint64_t>(kFewest, (capacity + 1) * kRoom))),
        slots_(static_cast<Slot*>(take_memory(most_slots_ * sizeof(Slot)))),
        spare_(static_cast<Slot*>(take_memory(most_slots_ * sizeof(Slot)))) {
    if (is_whole()) forget();
  }
  ~Verdicts() {
    give_back(slots_, most_slots_ * sizeof(Slot));
    give_back(spare_, most_slots_ * sizeof(Slot));
  }
  Verdicts(const Verdicts&) = delete;
  Verdicts& operator=(const Verdicts&) = delete;

  bool is_whole() const { return slots_ != nullptr && spare_ != nullptr; }
  static bool can(VerdictPath path);

  // What was found by other classes still holds for those that kept their numbers.
  void use(const ClassTables& tables) { tables_ = tables; }

  // Keys hold these facts (kBy…) too from now on; all that was found is forgotten.
  void look_at(uint8_t by) {
    by_ |= by;
    forget();
  }

  void forget() {
    count_ = 0;
    mask_ = kFewest - 1;
    free_slots();
  }

  // What was found for the batch's packet `i`; all is forgotten first where there is no room.
  void set(const VerdictBatch& b, uint32_t i, int32_t number) {
    if (count_ >= capacity_) forget();
    if ((count_ + 1) * kRoom > slots_count()) grow();
    Slot made{};
    key_of(b, i, made.key);
    made.number = number;
    place(made);
  }

  // The numbers of packets `from` to `to`; returns the first that is unknown, or `to`.
  uint32_t run(VerdictPath path, const VerdictBatch& b, uint32_t from, uint32_t to) const;

  int32_t find(const VerdictBatch& b, uint32_t i) const {
    uint32_t key[4];
    key_of(b, i, key);
    for (uint32_t at = hash(key) & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (std::memcmp(slot.key, key, sizeof key) == 0) return slot.number;
      if (slot.is_free()) return kUnknown;
    }
  }

  uint32_t count() const { return count_; }

  // The same for several packets at a time; whole groups only, from `from` on. Ends before the
  // first group in which something is unknown.
  uint32_t run_avx2(const VerdictBatch& b, uint32_t from, uint32_t to) const;
  uint32_t run_avx512(const VerdictBatch& b, uint32_t from, uint32_t to) const;

 private:
  static constexpr uint32_t kFree = 0xffffffff;
  // Slots for each number: sparse, so that the first slot looked at is nearly always the one.
  static constexpr uint32_t kRoom = 8;
  static constexpr uint32_t kFewest = 1024;
  static constexpr uint32_t kSlotWords = sizeof(Slot) / 4;
  static constexpr uint32_t kMix[4] = {0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f};
  static constexpr uint32_t kLast = 0x165667b1;

  static uint32_t hash(const uint32_t key[4]) {
    uint32_t h = key[0] * kMix[0] + key[1] * kMix[1] + key[2] * kMix[2] + key[3] * kMix[3];
    h = (h ^ (h >> 15)) * kLast;
    return h ^ (h >> 13);
  }

  void key_of(const VerdictBatch& b, uint32_t i, uint32_t key[4]) const {
    const uint32_t src = b.src[i], dst = b.dst[i], ports = b.ports[i];
    const uint32_t protocol = b.kinds[i] & 0xff;
    const uint16_t* const* tables = protocol == kTcp ? tables_.tcp : tables_.udp;
    const bool has_ports = protocol == kTcp || protocol == kUdp;
    const uint32_t sport = port_of(tables[0], ports & 0xffff, kBySport, kBySourcePort);
    const uint32_t dport = port_of(tables[1], ports >> 16, kByDport, kByDestinationPort);
    key[0] = by_ & kBySource ? src : direct_class(tables_.direct[0], src);
    key[1] = by_ & kByDestination ? dst : direct_class(tables_.direct[1], dst);
    key[2] = has_ports ? sport | dport << 16 : 0;
    key[3] = b.kinds[i];
  }

  uint32_t port_of(const uint16_t* table, uint32_t port, uint8_t by_class, uint8_t by_value) const {
    if (by_ & by_value) return port;
    return by_ & by_class ? table[port] : 0;
  }

  PortsInKey ports_in_key(uint8_t by_class, uint8_t by_value) const {
    return by_ & by_value   ? PortsInKey::kValue
           : by_ & by_class ? PortsInKey::kClass
                            : PortsInKey::kNothing;
  }

  uint64_t slots_count() const { return mask_ + 1ull; }

  void place(const Slot& made) {
    uint32_t at = hash(made.key) & mask_;
    while (!slots_[at].is_free() && std::memcmp(slots_[at].key, made.key, sizeof made.key) != 0) {
      at = (at + 1) & mask_;
    }
    count_ += slots_[at].is_free() ? 1 : 0;
    slots_[at] = made;
  }

  // Twice the slots: every number is placed anew in the other half of the memory.
  void grow() {
    const uint64_t before = slots_count();
    std::swap(slots_, spare_);
    mask_ = mask_ * 2 + 1;
    count_ = 0;
    free_slots();
    for (uint64_t at = 0; at < before; at++) {
      if (!spare_[at].is_free()) place(spare_[at]);
    }
  }

  void free_slots() {
    std::memset(static_cast<void*>(slots_), 0xff, slots_count() * sizeof(Slot));
  }

  uint32_t capacity_;
  uint64_t most_slots_;
  Slot* slots_;
  Slot* spare_;
  ClassTables tables_{};
  uint32_t mask_ = kFewest - 1;
  uint32_t count_ = 0;
  uint8_t by_ = 0;
};

}  // namespace wiretrial
