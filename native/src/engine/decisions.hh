// The decision table (SEMANTICS C3, C9): what the reference walk found for a combination of facts,
// and what it does to a packet. Bounded; keys are compared whole.
//
// A key always holds the classes of both addresses, where the packet enters, protocol, class of
// traffic, the connection's state and which hosts hold it. Classes of ports, TCP flags, and exact
// addresses and ports are looked up only where somebody on the way looks at them: a place in the
// table may say "look again, with these facts" instead of naming a decision. That is exact: whether
// the walk comes to such a rule depends on the facts that it looked at before.
#pragma once

#include "classes.hh"
#include "facts.hh"
#include "memory.hh"

namespace wiretrial {

// What the connection table says of a packet before any rule does.
enum class FlowState : uint8_t {
  // No connection, and the packet opens one.
  kOpening,
  // No connection, and the packet can open none by itself.
  kStray,
  // A connection that nobody has answered yet, and this is no answer.
  kUnreplied,
  kEstablished,
  // The same, the other way.
  kReply,
};

// Facts that only some keys hold.
constexpr uint8_t kByFlags = 1;
constexpr uint8_t kBySport = 2;
constexpr uint8_t kByDport = 4;
// The value itself and not its class: what looked at it compared it with no constant.
constexpr uint8_t kBySource = 8;
constexpr uint8_t kByDestination = 16;
constexpr uint8_t kBySourcePort = 32;
constexpr uint8_t kByDestinationPort = 64;
constexpr uint32_t kByBits = 7;

struct DecisionKey {
  uint64_t ends;
  uint64_t place;
  uint64_t kind;
  bool operator==(const DecisionKey&) const = default;
};

// Words of a key, each half of one, are mixed by these: in 32 bits, so that eight keys are hashed at
// a time (wide-decisions.hh).
constexpr uint32_t kDecisionMix[6] = {0x9e3779b1, 0x85ebca77, 0xc2b2ae3d,
                                      0x27d4eb2f, 0xb5297a4d, 0x68e31da5};
constexpr uint32_t kDecisionLast = 0x165667b1;

inline uint32_t hash_of(const DecisionKey& key) {
  const uint64_t words[3] = {key.ends, key.place, key.kind};
  uint32_t h = 0;
  for (uint32_t i = 0; i < 3; i++) {
    h += static_cast<uint32_t>(words[i]) * kDecisionMix[2 * i] +
         static_cast<uint32_t>(words[i] >> 32) * kDecisionMix[2 * i + 1];
  }
  h = (h ^ (h >> 15)) * kDecisionLast;
  return h ^ (h >> 13);
}

// Of a packet of a translated connection: the number of all addresses that it has on its way, and
// the ports that it ends with; and what these are in classes. Of any other packet, all are 0.
struct OtherEnds {
  uint32_t addresses = 0;
  uint16_t sport = 0;
  uint16_t dport = 0;
  uint32_t address_classes = 0;
  uint32_t sport_class = 0;
  uint32_t dport_class = 0;
};

inline uint64_t two_ports(uint64_t sport, uint64_t dport) { return sport | dport << 16; }

inline DecisionKey decision_key(const Facts& f, const FactClasses& k, const OtherEnds& other,
                                uint32_t entry, FlowState state, uint16_t host_set, uint8_t by) {
  const auto port = [by](uint32_t exact, uint32_t value, uint32_t by_class, uint32_t in_class) {
    return by & exact ? value : by & by_class ? in_class : 0;
  };
  const uint64_t sport = port(kBySourcePort, f.sport, kBySport, k.sport);
  const uint64_t dport = port(kByDestinationPort, f.dport, kByDport, k.dport);
  uint64_t ends = 0;
  if (other.addresses == 0) {
    const uint64_t src = by & kBySource ? f.src : k.src;
    const uint64_t dst = by & kByDestination ? f.dst : k.dst;
    ends = src | dst << 32;
  } else {
    const bool is_exact = by & (kBySource | kByDestination);
    const uint64_t addresses = is_exact ? other.addresses : other.address_classes;
    const uint64_t far =
        two_ports(port(kBySourcePort, other.sport, kBySport, other.sport_class),
                  port(kByDestinationPort, other.dport, kByDport, other.dport_class));
    ends = addresses | far << 32;
  }
  const uint64_t flags = by & kByFlags ? f.tcp_flags : 0;
  return DecisionKey{
      ends,
      two_ports(sport, dport) | static_cast<uint64_t>(entry) << 32,
      1ull << 63 | f.protocol | static_cast<uint64_t>(f.family) << 8 |
          static_cast<uint64_t>(state) << 12 | static_cast<uint64_t>(f.tos) << 16 | flags << 24 |
          static_cast<uint64_t>(by) << 32 | static_cast<uint64_t>(f.offloaded) << 40 |
          static_cast<uint64_t>(host_set) << 44 | static_cast<uint64_t>(other.addresses != 0) << 60};
}

// What an established connection's packet must be to follow a decision as the connection's last
// one did, in one word: where it enters, who holds the connection, class of traffic, state, and
// whether its checksum was left to a device.
inline uint64_t follower(uint32_t entry, uint32_t host_set, uint32_t tos, uint32_t state,
                         uint32_t offloaded) {
  return entry | static_cast<uint64_t>(host_set) << 32 | static_cast<uint64_t>(tos) << 48 |
         static_cast<uint64_t>(state | offloaded << 3) << 56;
}

// No packet's: a decision that does more than forward what its connection's packets are.
constexpr uint64_t kNoFollower = ~0ull;

// What one decision does, and how often it was followed. One cache line.
struct alignas(64) Decision {
  uint64_t packets;
  uint64_t bytes;
  // The `follower` of established connections' packets that may take the express way (express.hh);
  // set by `add`.
  uint64_t follower;
  uint32_t entry;
  // The hosts that hold the connection before and after the packet; 0 is none.
  uint16_t host_set_before;
  uint16_t host_set_after;
  // Hosts on which the packet opens a connection, be it dropped later: a full table makes room.
  uint16_t host_set_opened;
  FlowState state;
  // kBy… bits that the walk looked at.
  uint8_t by;
  uint8_t flags;
  uint8_t tos_before;
  uint8_t tos_after;
  int8_t ttl_change;
  // The highest that rules raise the TTL over what it came with.
  uint8_t ttl_room;
  uint8_t tcp_flags;
  uint8_t link_header[14];
  bool offloaded;
  // The highest TTL that leaves this room; set by `add`.
  uint8_t ttl_most;
  // Lowest MTU of the devices on the way.
  uint16_t mtu;
};
static_assert(sizeof(Decision) == 64);

// Bits of Decision::flags.
constexpr uint8_t kLeaves = 1;              // ends with a link header of its own
constexpr uint8_t kCompletesChecksum = 2;   // fills in a checksum that was left to a device
constexpr uint8_t kDead = 4;                // something was learned since: to be found anew
constexpr uint8_t kTranslates = 8;          // ends with the ends of the connection's far side
constexpr uint8_t kPlainChange = 16;        // changes no more than TTL and ends; set by `add`
// Opens a connection that is translated: by which decision, its draws say (`Engine::open_special`).
constexpr uint8_t kSpecial = 32;

class DecisionTable {
 public:
  static constexpr uint32_t kNone = 0xffffffff;
  // Set in a value that says "look again with these facts".
  static constexpr uint32_t kLookAgain = 0x80000000;

  explicit DecisionTable(uint64_t decisions)
      : slots_count_(power_at_least(decisions * 3)), capacity_(static_cast<uint32_t>(decisions)) {
    slots_ = static_cast<Slot*>(take_memory(slots_count_ * sizeof(Slot)));
    decisions_ = static_cast<Decision*>(take_memory(static_cast<uint64_t>(capacity_) * 64));
  }
  ~DecisionTable() {
    give_back(slots_, slots_count_ * sizeof(Slot));
    give_back(decisions_, static_cast<uint64_t>(capacity_) * 64);
  }
  DecisionTable(const DecisionTable&) = delete;
  DecisionTable& operator=(const DecisionTable&) = delete;

  bool is_whole() const { return slots_ != nullptr && decisions_ != nullptr; }

  // The decision for a packet with these facts; kNone when nobody has met such a packet.
  uint32_t find(const Facts& f, const FactClasses& k, const OtherEnds& other, uint32_t entry,
                FlowState state, uint16_t host_set) const {
    uint8_t by = 0;
    for (uint32_t depth = 0; depth <= kByBits; depth++) {
      const uint32_t value = value_of(decision_key(f, k, other, entry, state, host_set, by));
      if (value == kNone || !(value & kLookAgain)) return value;
      by = static_cast<uint8_t>(value);
    }
    return kNone;
  }

  uint32_t value_of(const DecisionKey& key) const { return value_of(key, hash_of(key)); }

  // A decision, kNone, or the facts to look again with.
  uint32_t value_of(const DecisionKey& key, uint32_t hash) const {
    for (uint32_t at = hash & (slots_count_ - 1);; at = (at + 1) & (slots_count_ - 1)) {
      const Slot& slot = slots_[at];
      if (slot.key == key) return slot.value;
      if (slot.key.kind == 0) return kNone;
    }
  }

  // Whether there is room for one more decision and the places that lead to it.
  bool has_room() const { return count_ < capacity_ && used_ + kByBits + 1 <= slots_count_ / 3 * 2; }

  // Precondition: `has_room`.
  void set(const DecisionKey& key, uint32_t value) {
    for (uint32_t at = hash_of(key) & (slots_count_ - 1);; at = (at + 1) & (slots_count_ - 1)) {
      Slot& slot = slots_[at];
      if (slot.key.kind == 0) used_ += 1;
      else if (!(slot.key == key)) continue;
      slot = Slot{key, value, 0};
      return;
    }
  }

  // Make a decision known under the facts that its walk looked at. Precondition: `has_room`.
  void enter(const Facts& f, const FactClasses& k, const OtherEnds& other, const Decision& d,
             uint32_t number) {
    uint8_t by = 0;
    for (;;) {
      const DecisionKey key = decision_key(f, k, other, d.entry, d.state, d.host_set_before, by);
      const uint32_t known = value_of(key);
      const bool look_again = known != kNone && (known & kLookAgain);
      if (!look_again && (d.by & ~by) == 0) return set(key, number);
      by = look_again ? static_cast<uint8_t>(known) : static_cast<uint8_t>(by | d.by);
      if (!look_again) set(key, kLookAgain | by);
    }
  }

  // Precondition: `has_room`.
  uint32_t add(const Decision& decision) {
    Decision& d = decisions_[count_];
    d = decision;
    d.ttl_most = static_cast<uint8_t>(255 - d.ttl_room);
    if (!(d.flags & kSpecial) && is_plain_change(d)) d.flags |= kPlainChange;
    d.follower = is_express(d) ? follower_of(d) : kNoFollower;
    return count_++;
  }

  // Something was learned since: packets find their decision anew.
  void kill(uint32_t decision) {
    decisions_[decision].flags |= kDead;
    decisions_[decision].follower = kNoFollower;
  }

  // Forget every decision. Their counts must have been taken before.
  void clear() {
    std::memset(static_cast<void*>(slots_), 0, slots_count_ * sizeof(Slot));
    count_ = 0;
    used_ = 0;
  }

  const void* place_of(uint32_t decision) const { return decisions_ + decision; }

  Decision& at(uint32_t decision) { return decisions_[decision]; }
  uint32_t count() const { return count_; }

 private:
  struct Slot {
    DecisionKey key;
    uint32_t value;
    uint32_t spare;
  };

  // Whether packets change in no more than TTL and ends; nor can the TTL of a plain packet wrap.
  static bool is_plain_change(const Decision& d) {
    if (d.ttl_change > d.ttl_room || d.ttl_change < -static_cast<int32_t>(kSafeTtl)) return false;
    return d.tos_after == d.tos_before && !(d.flags & kCompletesChecksum);
  }

  // The same, of packets that leave the connection with the hosts that hold it and open none on
  // another.
  static bool is_express(const Decision& d) {
    return d.host_set_opened == 0 && d.host_set_after == d.host_set_before &&
           (d.flags & (kDead | kPlainChange)) == kPlainChange;
  }

  static uint64_t follower_of(const Decision& d) {
    return wiretrial::follower(d.entry, d.host_set_before, d.tos_before,
                               static_cast<uint32_t>(d.state), d.offloaded);
  }

  uint32_t slots_count_;
  uint32_t capacity_;
  Slot* slots_ = nullptr;
  Decision* decisions_ = nullptr;
  uint32_t count_ = 0;
  uint32_t used_ = 0;
};

}  // namespace wiretrial
