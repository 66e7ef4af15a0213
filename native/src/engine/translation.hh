// The other names of a translated connection, and what its packets are rewritten to.
//
// On its way a packet of such a connection has one tuple after another; every host that tracks it
// holds the two between which it translates. The connection's own place in the flow table stands
// under the first tuple, that of packets that open it; under the last one, which answers come by
// turned round, stands a Translation; those between, by which no packet enters the network, have a
// Translation each that only says whose they are.
//
//   name 0 (connection) ──► 1 ──► … ──► last (translation)      opener's packets
//   name 0 (connection) ◄── 1 ◄── … ◄── last (translation)      answers
#pragma once

#include "../conntrack/connection.hh"
#include "../wire/checksum.hh"
#include "../wire/ipv4.hh"
#include "../wire/ipv6.hh"
#include "../wire/tcp.hh"
#include "../wire/udp.hh"
#include "facts.hh"

namespace wiretrial {

// Tuples that a connection may have on its way.
constexpr uint32_t kMaxNames = 4;

// What packets of one direction become, and by how much that moves their checksums: one's
// complement sums of all that is replaced, to be added (RFC 1624 equation 3).
//
// Ends stand here as they lie in an IPv4 packet, one behind the other; IPv6 addresses by their number
// in the address book.
struct Rewrite {
  uint32_t src;
  uint32_t dst;
  uint16_t sport;
  uint16_t dport;
  // IPv4 header.
  uint16_t header;
  // Transport checksum, and one that was left to a device: of the pseudo header only.
  uint16_t transport;
  uint16_t partial;
  uint16_t spare;
};
static_assert(sizeof(Rewrite) == 20);

struct alignas(64) Translation : conntrack::Head {
  // The place of the connection.
  uint32_t connection;
  // Number of all addresses that its packets have on the way; 0 of a name between.
  uint32_t ends;
  // By direction; of the last name only.
  Rewrite rewrite[2];
  // Places of the names between the first and the last; kNoPlace where there is none.
  uint32_t between[kMaxNames - 2];
  // The decision that the last answer followed.
  uint32_t decision;
};
static_assert(sizeof(Translation) == 64);

constexpr uint32_t kNoPlace = 0xffffffff;

// Folded sum of an address as it lies in memory.
inline uint64_t sum_address(uint32_t address, uint32_t family, const AddressBook& book) {
  uint8_t bytes[16];
  if (family == 4) {
    set_u16(bytes, 0, address >> 16);
    set_u16(bytes, 2, address & 0xffff);
    return sum_words(bytes, 0, 4);
  }
  book.write(address, bytes);
  return sum_words(bytes, 0, 16);
}

// What turns packets with the ends of `from` into packets with those of `to`. Ports are as `Facts`
// has them: of an ICMP query, `sport` is the identifier.
inline Rewrite rewrite_between(const Facts& from, const Facts& to, const AddressBook& book) {
  const bool is_icmp = from.protocol == kIcmp || from.protocol == kIcmpv6;
  const uint64_t before = sum_address(from.src, from.family, book) +
                          sum_address(from.dst, from.family, book);
  const uint64_t after = sum_address(to.src, to.family, book) +
                         sum_address(to.dst, to.family, book);
  // Folded first: the complement of a sum is that of its 16 bits.
  const uint64_t addresses = (~fold(before) & 0xffff) + fold(after);
  const uint64_t old_ports = in_memory(from.sport) + (is_icmp ? 0 : in_memory(from.dport));
  const uint64_t new_ports = in_memory(to.sport) + (is_icmp ? 0 : in_memory(to.dport));
  const uint64_t ports = (~fold(old_ports) & 0xffff) + fold(new_ports);
  // ICMP for IPv4 has no pseudo header; what is replaced by itself moves nothing.
  const uint64_t pseudo = from.protocol == kIcmp ? 0xffff : addresses;
  const auto address = [&](uint32_t a) { return to.family == 4 ? __builtin_bswap32(a) : a; };
  return Rewrite{address(to.src),
                 address(to.dst),
                 static_cast<uint16_t>(in_memory(to.sport)),
                 static_cast<uint16_t>(in_memory(to.dport)),
                 static_cast<uint16_t>(fold(addresses)),
                 static_cast<uint16_t>(fold(pseudo + ports)),
                 static_cast<uint16_t>(fold(pseudo)),
                 0};
}

// A checksum as it lies in memory, after a replacement.
inline uint16_t moved_sum(uint16_t old, uint16_t by) {
  return static_cast<uint16_t>(~fold((~old & 0xffffu) + by));
}

inline uint16_t word_at(const uint8_t* b, uint32_t off) {
  uint16_t word;
  std::memcpy(&word, b + off, 2);
  return word;
}

inline void set_word_at(uint8_t* b, uint32_t off, uint16_t word) { std::memcpy(b + off, &word, 2); }

// Where the transport checksum of a plain packet stands.
inline uint32_t checksum_field(const Facts& f) {
  return f.l4 + (f.protocol == kTcp   ? tcp::kChecksum
                 : f.protocol == kUdp ? udp::kChecksum
                                      : icmp::kChecksum);
}

// Write the ends that `r` says into the copy `out` of the packet, checksums included (`rewrite` of
// src/conntrack/nat/translate.ts, for every host on the way at once).
inline void rewrite_ends(uint8_t* out, const Facts& f, const Rewrite& r, const AddressBook& book) {
  if (f.family == 4) {
    std::memcpy(out + ipv4::kSource, &r.src, 4);
    std::memcpy(out + ipv4::kDestination, &r.dst, 4);
    set_word_at(out, ipv4::kChecksum, moved_sum(word_at(out, ipv4::kChecksum), r.header));
  } else {
    book.write(r.src, out + ipv6::kSource);
    book.write(r.dst, out + ipv6::kDestination);
  }
  if (f.protocol == kTcp || f.protocol == kUdp) {
    set_word_at(out, f.l4, r.sport);
    set_word_at(out, f.l4 + 2, r.dport);
  } else {
    set_word_at(out, f.l4 + 4, r.sport);
  }
  const uint32_t field = checksum_field(f);
  const uint16_t old = word_at(out, field);
  if (f.offloaded) {
    set_word_at(out, field, static_cast<uint16_t>(fold(static_cast<uint64_t>(old) + r.partial)));
    return;
  }
  if (f.protocol == kUdp && old == 0) return;
  const uint16_t sum = moved_sum(old, r.transport);
  set_word_at(out, field, f.protocol == kUdp && sum == 0 ? 0xffff : sum);
}

}  // namespace wiretrial
