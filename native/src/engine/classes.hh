// The classes of a packet's ends (src/image/classes): numbers that stand for all values which no
// constant of any host tells apart. The tables are JavaScript's and are only read here; when they
// have changed, they are shown again (`use`).
//
//   IPv4   root over the upper 16 bits ─► blocks of 256 ─► blocks of 256: at most three loads
//   IPv6   a path-compressed trie, walked once for each address of the address book
//   ports  one direct table for each protocol and side
//
// Where no tables were shown, every value is a class of its own.
#pragma once

#include "facts.hh"
#include "memory.hh"

namespace wiretrial {

struct FactClasses {
  uint32_t src;
  uint32_t dst;
  uint32_t sport;
  uint32_t dport;
};

// By side: source, destination.
struct ClassTables {
  const uint32_t* direct[2];
  const uint32_t* trie6[2];
  const uint16_t* tcp[2];
  const uint16_t* udp[2];
};

// The class of an IPv4 address (image/classes/direct-table.ts).
inline uint32_t direct_class(const uint32_t* cells, uint32_t address) {
  constexpr uint32_t kBlock = 0x80000000;
  uint32_t cell = cells[address >> 16];
  if (!(cell & kBlock)) return cell;
  const uint32_t* blocks = cells + 65536;
  cell = blocks[static_cast<size_t>(cell & ~kBlock) * 256 + ((address >> 8) & 0xff)];
  if (!(cell & kBlock)) return cell;
  return blocks[static_cast<size_t>(cell & ~kBlock) * 256 + (address & 0xff)];
}

// The class of an IPv6 address, most significant word first (image/classes/prefix-trie.ts).
inline uint32_t trie_class(const uint32_t* nodes, const uint32_t address[4]) {
  constexpr uint32_t kLength = 4, kChildren = 5, kRegion = 7, kStride = 8, kFork = 0xffffffff;
  const uint32_t* node = nodes;
  uint32_t found = node[kRegion];
  for (;;) {
    const uint32_t at = node[kLength];
    if (at >= 128) return found;
    const uint32_t side = (address[at >> 5] >> (31 - (at & 31))) & 1;
    const uint32_t next = node[kChildren + side];
    if (next == 0) return found;
    node = nodes + static_cast<size_t>(next) * kStride;
    const uint32_t length = node[kLength];
    for (uint32_t i = 0; i * 32 < length; i++) {
      const uint32_t left = length - i * 32;
      const uint32_t differs = address[i] ^ node[i];
      if (left >= 32 ? differs != 0 : (differs >> (32 - left)) != 0) return found;
    }
    if (node[kRegion] != kFork) found = node[kRegion];
  }
}

class Classes {
 public:
  // `addresses` as the address book has room for.
  explicit Classes(uint64_t addresses)
      : room_(power_at_least(addresses * 2 + 2)),
        known_(static_cast<Known*>(take_memory(room_ * sizeof(Known)))) {}
  ~Classes() { give_back(known_, room_ * sizeof(Known)); }
  Classes(const Classes&) = delete;
  Classes& operator=(const Classes&) = delete;

  bool is_whole() const { return known_ != nullptr; }

  void use(const ClassTables& tables) {
    tables_ = tables;
    generation_ += 1;
  }

  // The tables that were shown; `direct` is null where none were.
  const ClassTables& tables() const { return tables_; }

  FactClasses of(const Facts& f, const AddressBook& book) {
    if (tables_.direct[0] == nullptr) return {f.src, f.dst, f.sport, f.dport};
    FactClasses k{0, 0, 0, 0};
    if (f.family == 4) {
      k.src = direct_class(tables_.direct[0], f.src);
      k.dst = direct_class(tables_.direct[1], f.dst);
    } else {
      k.src = class6(f.src, book, 0);
      k.dst = class6(f.dst, book, 1);
    }
    // What stands in the ports' place of an ICMP query is its id, which no rule asks for.
    if (f.protocol != kTcp && f.protocol != kUdp) return k;
    const uint16_t* const* ports = f.protocol == kTcp ? tables_.tcp : tables_.udp;
    k.sport = ports[0][f.sport];
    k.dport = ports[1][f.dport];
    return k;
  }

  // The class of an IPv6 address by its number in the book. Precondition: tables were shown.
  uint32_t class6(uint32_t number, const AddressBook& book, uint32_t side) {
    Known& known = known_[number];
    if (known.generation != generation_) {
      uint8_t bytes[16];
      uint32_t words[4];
      book.write(number, bytes);
      for (uint32_t i = 0; i < 4; i++) words[i] = u32(bytes, i * 4);
      known.classes[0] = trie_class(tables_.trie6[0], words);
      known.classes[1] = trie_class(tables_.trie6[1], words);
      known.generation = generation_;
    }
    return known.classes[side];
  }

 private:
  // Of an address in the book: its classes as of a generation of the tables.
  struct Known {
    uint32_t classes[2];
    uint32_t generation;
    uint32_t spare;
  };

  uint64_t room_;
  Known* known_;
  ClassTables tables_{};
  uint32_t generation_ = 0;
};

}  // namespace wiretrial
