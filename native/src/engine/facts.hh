// What the fast path must know of a packet, read once: ends, protocol, and the name of its
// connection. A packet that is not plain (options, fragments, odd protocols, wrong checksums, cut,
// about to expire, larger than a link) has no facts: the reference engine takes it.
#pragma once

#include "../conntrack/tcp-states.hh"
#include "../wire/icmp.hh"
#include "../wire/ipv4.hh"
#include "../wire/ipv6.hh"
#include "../wire/udp.hh"
#include "memory.hh"

namespace wiretrial {

constexpr uint8_t kIcmp = 1;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kIcmpv6 = 58;

// Links that one packet may cross (`MAX_HOPS` of engine/execution.ts), and one more: a packet with
// this TTL left expires nowhere.
constexpr uint32_t kSafeTtl = 33;

// The name of a connection, the same for both directions: 16 bytes, compared whole.
//
//   ends   one address in the low half, the other in the high half
//   rest   their ports (or the ICMP id), the protocol, the family
//
// IPv6 addresses stand here by their number in the engine's address book.
struct FlowKey {
  uint64_t ends;
  uint64_t rest;
  bool operator==(const FlowKey&) const = default;
};

// Words of a key are mixed by these: in 32 bits, so that eight keys are hashed at a time.
constexpr uint32_t kFlowMix[4] = {0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f};
constexpr uint32_t kFlowLast = 0x165667b1;

inline uint32_t hash_of(const FlowKey& key) {
  uint32_t h = static_cast<uint32_t>(key.ends) * kFlowMix[0] +
               static_cast<uint32_t>(key.ends >> 32) * kFlowMix[1] +
               static_cast<uint32_t>(key.rest) * kFlowMix[2] +
               static_cast<uint32_t>(key.rest >> 32) * kFlowMix[3];
  h = (h ^ (h >> 15)) * kFlowLast;
  return h ^ (h >> 13);
}

struct Facts {
  const uint8_t* bytes;
  // Length of the IP packet, which starts at `bytes`.
  uint32_t length;
  uint32_t l4;
  // IPv4 addresses as numbers; IPv6 by their number in the address book.
  uint32_t src;
  uint32_t dst;
  uint32_t sport;
  uint32_t dport;
  uint8_t protocol;
  uint8_t family;
  uint8_t ttl;
  uint8_t tos;
  uint8_t tcp_flags;
  bool offloaded;
  // An ICMP reply, or a port packet whose ends stand turned round in the key.
  bool swapped;
  FlowKey key;
  uint32_t hash;
};

// The key of a flow between two ends, and whether they were turned round for it. ICMP queries are
// named by who asks, so `sport` is the id and `swapped` says that this is the answer.
inline FlowKey flow_key(const Facts& f) {
  const bool s = f.swapped;
  const uint64_t a = s ? f.dst : f.src;
  const uint64_t b = s ? f.src : f.dst;
  const uint64_t pa = s && f.protocol != kIcmp && f.protocol != kIcmpv6 ? f.dport : f.sport;
  const uint64_t pb = s ? f.sport : f.dport;
  const bool icmp = f.protocol == kIcmp || f.protocol == kIcmpv6;
  const uint64_t ports = icmp ? f.sport : pa | pb << 16;
  const uint64_t kind = static_cast<uint64_t>(f.protocol) << 32;
  return FlowKey{a | b << 32, ports | kind | static_cast<uint64_t>(f.family) << 40};
}

inline bool is_swapped(uint32_t src, uint32_t sport, uint32_t dst, uint32_t dport) {
  return (static_cast<uint64_t>(src) << 16 | sport) > (static_cast<uint64_t>(dst) << 16 | dport);
}

// Whether both directions of the flow have one tuple.
inline bool is_ambiguous(const Facts& f) {
  return f.src == f.dst && f.sport == f.dport && (f.protocol == kTcp || f.protocol == kUdp);
}

// Name the flow of a tuple (conntrack/tuple.ts): of an ICMP query, `dport` is type and code. False
// when no plain packet has such a tuple.
inline bool name_flow(Facts& f) {
  if (is_ambiguous(f)) return false;
  if (f.protocol == kTcp || f.protocol == kUdp) {
    f.swapped = is_swapped(f.src, f.sport, f.dst, f.dport);
  } else if (f.protocol == (f.family == 4 ? kIcmp : kIcmpv6)) {
    const bool v4 = f.family == 4;
    const uint32_t request = (v4 ? icmp::kEchoRequest : icmp::kEchoRequest6) << 8;
    if (f.dport != request && f.dport != (v4 ? icmp::kEchoReply : icmp::kEchoReply6) << 8) {
      return false;
    }
    f.swapped = f.dport != request;
    f.dport = 0;
  } else {
    return false;
  }
  f.key = flow_key(f);
  f.hash = hash_of(f.key);
  return true;
}

// Folded sum of pseudo header and segment, as it lies in memory; 0xffff when the checksum is right.
// The addresses stand right before the segment, so both are summed in one go.
inline uint32_t transport_sum(const Facts& f) {
  const uint32_t addresses = f.family == 4 ? ipv4::kSource : ipv6::kSource;
  const uint64_t sum = sum_words(f.bytes, addresses, f.length);
  return fold(sum + in_memory(f.protocol) + in_memory(f.length - f.l4));
}

inline bool read_tcp(Facts& f) {
  if (!tcp::is_whole(f.bytes, f.l4, f.length)) return false;
  f.tcp_flags = static_cast<uint8_t>(tcp::flags(f.bytes, f.l4));
  if (!conntrack::are_valid_flags(f.tcp_flags)) return false;
  f.sport = tcp::sport(f.bytes, f.l4);
  f.dport = tcp::dport(f.bytes, f.l4);
  f.swapped = is_swapped(f.src, f.sport, f.dst, f.dport);
  return f.offloaded || transport_sum(f) == 0xffff;
}

inline bool read_udp(Facts& f) {
  if (!udp::is_whole(f.bytes, f.l4, f.length)) return false;
  f.sport = udp::sport(f.bytes, f.l4);
  f.dport = udp::dport(f.bytes, f.l4);
  f.swapped = is_swapped(f.src, f.sport, f.dst, f.dport);
  if (f.offloaded || udp::checksum(f.bytes, f.l4) == 0) return true;
  return transport_sum(f) == 0xffff;
}

inline bool read_icmp(Facts& f) {
  if (f.length - f.l4 < icmp::kHeaderLength || icmp::code(f.bytes, f.l4) != 0) return false;
  const uint32_t type = icmp::type(f.bytes, f.l4);
  const bool v4 = f.family == 4;
  const bool request = type == (v4 ? icmp::kEchoRequest : icmp::kEchoRequest6);
  if (!request && type != (v4 ? icmp::kEchoReply : icmp::kEchoReply6)) return false;
  f.sport = icmp::id(f.bytes, f.l4);
  f.dport = 0;
  f.swapped = !request;
  if (f.offloaded) return true;
  if (v4) return fold(sum_words(f.bytes, f.l4, f.length)) == 0xffff;
  return transport_sum(f) == 0xffff;
}

// Number every IPv6 address that is met, from 1: 128 bits become 32, exactly. Sized at load.
class AddressBook {
 public:
  static constexpr uint32_t kNone = 0;

  explicit AddressBook(uint64_t addresses)
      : mask_(power_at_least(addresses * 2 + 2) - 1),
        entries_(static_cast<Entry*>(take_memory((mask_ + 1ull) * sizeof(Entry)))),
        by_number_(static_cast<uint32_t*>(take_memory((mask_ + 1ull) * 4))) {}
  ~AddressBook() {
    give_back(entries_, (mask_ + 1ull) * sizeof(Entry));
    give_back(by_number_, (mask_ + 1ull) * 4);
  }
  AddressBook(const AddressBook&) = delete;
  AddressBook& operator=(const AddressBook&) = delete;

  bool is_whole() const { return entries_ != nullptr && by_number_ != nullptr; }

  // Write the 16 bytes of the address with this number.
  void write(uint32_t number, uint8_t* out) const {
    const Entry& entry = entries_[by_number_[number]];
    std::memcpy(out, &entry.high, 8);
    std::memcpy(out + 8, &entry.low, 8);
  }

  // The number of the address at `b`; kNone when it is new and the book is full.
  uint32_t number_of(const uint8_t* b) {
    uint64_t high, low;
    std::memcpy(&high, b, 8);
    std::memcpy(&low, b + 8, 8);
    // What differs between neighbours stands highest in memory's order: twice brought down.
    uint64_t h = high * 0x9e3779b97f4a7c15ull ^ low;
    h = (h ^ h >> 32) * 0xc2b2ae3d27d4eb4full;
    h ^= h >> 32;
    for (uint32_t at = static_cast<uint32_t>(h) & mask_;; at = (at + 1) & mask_) {
      Entry& entry = entries_[at];
      if (entry.number == kNone) return add(at, high, low);
      if (entry.high == high && entry.low == low) return entry.number;
    }
  }

 private:
  struct Entry {
    uint64_t high;
    uint64_t low;
    uint32_t number;
    uint32_t spare;
  };

  uint32_t add(uint32_t at, uint64_t high, uint64_t low) {
    if (count_ >= (mask_ + 1) / 2) return kNone;
    count_ += 1;
    entries_[at] = Entry{high, low, count_, 0};
    by_number_[count_] = at;
    return count_;
  }

  uint32_t mask_;
  Entry* entries_;
  uint32_t* by_number_;
  uint32_t count_ = 0;
};

// Read the packet's facts; false when it is not plain. `bytes` and `length` are given.
inline bool read_facts(Facts& f, AddressBook& book) {
  const uint8_t* b = f.bytes;
  if (f.length < ipv4::kMinHeaderLength) return false;
  if (b[0] == 0x45) {
    if (!ipv4::is_plain(b, 0, f.length)) return false;
    f.family = 4;
    f.l4 = ipv4::kMinHeaderLength;
    f.protocol = b[ipv4::kProtocol];
    f.ttl = b[ipv4::kTtl];
    f.tos = b[ipv4::kTos];
    f.src = u32(b, ipv4::kSource);
    f.dst = u32(b, ipv4::kDestination);
  } else {
    if (!ipv6::is_plain(b, 0, f.length)) return false;
    f.family = 6;
    f.l4 = ipv6::kHeaderLength;
    f.protocol = b[ipv6::kNextHeader];
    f.ttl = b[ipv6::kHopLimit];
    f.tos = static_cast<uint8_t>(ipv6::traffic_class(b, 0));
    f.src = book.number_of(b + ipv6::kSource);
    f.dst = book.number_of(b + ipv6::kDestination);
    if (f.src == AddressBook::kNone || f.dst == AddressBook::kNone) return false;
  }
  if (f.ttl < kSafeTtl) return false;
  f.tcp_flags = 0;
  bool whole = false;
  if (f.protocol == kTcp) whole = read_tcp(f);
  else if (f.protocol == kUdp) whole = read_udp(f);
  else if (f.protocol == (f.family == 4 ? kIcmp : kIcmpv6)) whole = read_icmp(f);
  if (!whole || is_ambiguous(f)) return false;
  f.key = flow_key(f);
  f.hash = hash_of(f.key);
  return true;
}

}  // namespace wiretrial
