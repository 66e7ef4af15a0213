// Tuples and connections as numbers, in the array that both sides of the door share. The places are
// those of src/engine/compiled/layout.ts; the other half is
// src/engine/compiled/connection/connection-words.ts.
#pragma once

#include <utility>

#include "engine/engine.hh"
#include "layout.gen.hh"

namespace wiretrial {

static_assert(conntrack::kSeenReply == 1 && conntrack::kAssured == 2 &&
              conntrack::kUncounted == 8 && conntrack::kIsTcp == 16);

class Words {
 public:
  Words(double* at, Engine& engine) : at_(at), engine_(engine) {}

  uint32_t word(uint32_t place) const { return static_cast<uint32_t>(at_[place]); }

  // Read the `i`-th tuple, as an opener's packet has it; false when no plain packet has such one.
  bool read_tuple(uint32_t i, Facts& f) {
    read_ends(i, f);
    // An address that the full book has no number for: no packet with it has facts, now or later.
    if (f.family == 6 && (f.src == AddressBook::kNone || f.dst == AddressBook::kNone)) return false;
    return name_flow(f);
  }

  void read_ends(uint32_t i, Facts& f) {
    const uint32_t at = base_of(i);
    f = Facts{};
    f.family = static_cast<uint8_t>(word(at + layout::kFamily));
    f.protocol = static_cast<uint8_t>(word(at + layout::kProtocol));
    f.sport = word(at + layout::kSport);
    f.dport = word(at + layout::kDport);
    f.src = read_address(at + layout::kSrc, f.family);
    f.dst = read_address(at + layout::kDst, f.family);
  }

  // Read all tuples of a connection.
  bool read_names(Names& names) {
    names.count = word(layout::kNames);
    if (names.count == 0 || names.count > kMaxNames) return false;
    for (uint32_t i = 0; i < names.count; i++) {
      if (!read_tuple(i, names.facts[i])) return false;
    }
    return true;
  }

  // Write the connection that stands at `place` under its first name.
  void write(uint32_t place) {
    const conntrack::Connection& c = engine_.flows().record(place);
    uint32_t names = 0;
    engine_.holdings().each_name(place, [&](uint32_t at) { write_tuple(names++, at); });
    at_[layout::kNames] = names;
    at_[layout::kOrder] = c.order;
    at_[layout::kExpiresNs] = c.expires_ns[0];
    at_[layout::kExpiresNs + 1] = c.expires_ns[1];
    at_[layout::kStreamNs] = c.stream_ns;
    for (uint32_t i = 0; i < 2; i++) {
      at_[layout::kBytes + i] = static_cast<double>(c.bytes[i]);
      at_[layout::kPackets + i] = c.packets[i];
    }
    at_[layout::kFlags] = c.flags;
    at_[layout::kHostSet] = c.host_set;
    if (c.flags & conntrack::kIsTcp) write_tracking(engine_.flows().tracking(place));
  }

  // Read a connection, but for where it stands.
  conntrack::Connection read_connection() const {
    conntrack::Connection c{};
    c.order = word(layout::kOrder);
    c.expires_ns[0] = at_[layout::kExpiresNs];
    c.expires_ns[1] = at_[layout::kExpiresNs + 1];
    c.stream_ns = at_[layout::kStreamNs];
    for (uint32_t i = 0; i < 2; i++) {
      c.bytes[i] = static_cast<uint64_t>(at_[layout::kBytes + i]);
      c.packets[i] = word(layout::kPackets + i);
    }
    c.generation = engine_.generation();
    c.flags = static_cast<uint8_t>(word(layout::kFlags));
    return c;
  }

  conntrack::TcpTracking read_tracking() const {
    conntrack::TcpTracking t{};
    t.state = static_cast<uint8_t>(word(layout::kState));
    t.last_index = static_cast<uint8_t>(word(layout::kLastIndex));
    t.last_direction = static_cast<uint8_t>(word(layout::kLastDirection));
    t.last_seq = word(layout::kLastSeq);
    t.last_ack = word(layout::kLastAck);
    t.last_end = word(layout::kLastEnd);
    t.last_window = static_cast<uint16_t>(word(layout::kLastWindow));
    t.retransmissions = static_cast<uint8_t>(word(layout::kRetransmissions));
    t.last_scale = static_cast<uint8_t>(word(layout::kLastScale));
    t.bits = static_cast<uint8_t>(word(layout::kTrackingBits));
    for (uint32_t i = 0; i < 2; i++) {
      const uint32_t side = layout::kSide + i * layout::kSideWords;
      t.seen[i] = conntrack::TcpSide{word(side),     word(side + 1),
                                     word(side + 2), word(side + 3),
                                     static_cast<uint8_t>(word(side + 4)),
                                     static_cast<uint8_t>(word(side + 5))};
    }
    return t;
  }

 private:
  // The first tuple stands alone, the others behind each other.
  static uint32_t base_of(uint32_t i) {
    return i == 0 ? 0 : layout::kOtherNames + (i - 1) * layout::kTupleWords;
  }

  uint32_t read_address(uint32_t place, uint32_t family) {
    if (family == 4) return word(place + 3);
    uint8_t bytes[16];
    for (uint32_t i = 0; i < 4; i++) {
      set_u16(bytes, i * 4, word(place + i) >> 16);
      set_u16(bytes, i * 4 + 2, word(place + i) & 0xffff);
    }
    return engine_.book().number_of(bytes);
  }

  void write_address(uint32_t place, uint32_t family, uint32_t address) {
    if (family == 4) {
      at_[place] = at_[place + 1] = 0;
      at_[place + 2] = 0xffff;
      at_[place + 3] = address;
      return;
    }
    uint8_t bytes[16];
    engine_.book().write(address, bytes);
    for (uint32_t i = 0; i < 4; i++) at_[place + i] = u32(bytes, i * 4);
  }

  void write_tuple(uint32_t i, uint32_t place) {
    const uint32_t at = base_of(i);
    const FlowKey key = engine_.flows().key_of(place);
    const uint32_t protocol = (key.rest >> 32) & 0xff;
    const uint32_t family = (key.rest >> 40) & 0xff;
    const bool swapped = (engine_.flows().head(place).flags & conntrack::kOriginalSwapped) != 0;
    const bool is_icmp = protocol == kIcmp || protocol == kIcmpv6;
    uint32_t src = static_cast<uint32_t>(key.ends);
    uint32_t dst = static_cast<uint32_t>(key.ends >> 32);
    uint32_t sport = key.rest & 0xffff;
    uint32_t dport = (key.rest >> 16) & 0xffff;
    if (is_icmp) {
      dport = (family == 4 ? icmp::kEchoRequest : icmp::kEchoRequest6) << 8;
    } else if (swapped) {
      std::swap(src, dst);
      std::swap(sport, dport);
    }
    at_[at + layout::kFamily] = family;
    at_[at + layout::kProtocol] = protocol;
    write_address(at + layout::kSrc, family, src);
    write_address(at + layout::kDst, family, dst);
    at_[at + layout::kSport] = sport;
    at_[at + layout::kDport] = dport;
  }

  void write_tracking(const conntrack::TcpTracking& t) {
    at_[layout::kState] = t.state;
    at_[layout::kLastIndex] = t.last_index;
    at_[layout::kLastDirection] = t.last_direction;
    at_[layout::kLastSeq] = t.last_seq;
    at_[layout::kLastAck] = t.last_ack;
    at_[layout::kLastEnd] = t.last_end;
    at_[layout::kLastWindow] = t.last_window;
    at_[layout::kRetransmissions] = t.retransmissions;
    at_[layout::kLastScale] = t.last_scale;
    at_[layout::kTrackingBits] = t.bits;
    for (uint32_t i = 0; i < 2; i++) {
      double* side = at_ + layout::kSide + i * layout::kSideWords;
      side[0] = t.seen[i].end;
      side[1] = t.seen[i].max_end;
      side[2] = t.seen[i].max_window;
      side[3] = t.seen[i].max_ack;
      side[4] = t.seen[i].scale;
      side[5] = t.seen[i].bits;
    }
  }

  double* at_;
  Engine& engine_;
};

}  // namespace wiretrial
