// One tracked connection. Mirrors src/conntrack/connection.ts: what can change of a connection that
// is confirmed, has no mark, and is the same on every host that holds it, so that one record stands
// for all of its entries (SEMANTICS A12). Any other connection lives in the reference's tables. Its
// tuples need not be the same: a translated connection has more than one name (translation.hh).
//
// Two cache lines: UDP and ICMP touch the first only.
#pragma once

#include <cstdint>

namespace wiretrial::conntrack {

enum Direction : uint32_t { kOriginal = 0, kReply = 1 };

// What stands first in every record of the flow table.
struct Head {
  // The hosts that hold the connection (an index into the engine's host sets), or kForeign or
  // kOtherName of flow-table.hh.
  uint16_t host_set;
  uint8_t flags;
  // Of the decision table when a decision was written here; see Engine::clear_decisions.
  uint8_t generation;
};

struct alignas(64) Connection : Head {
  // When it was confirmed among all connections, for who lists them oldest first.
  uint32_t order;
  // By group of hosts: those of a set may time connections in two ways (HostSet::settings).
  double expires_ns[2];
  // UDP: from when on traffic in both directions counts as a stream.
  double stream_ns;
  // By direction.
  uint64_t bytes[2];
  uint32_t packets[2];
  // The decision that the last packet of each direction followed; see decisions.hh. Of a translated
  // connection, the second is the place of its other name, which has the decision for answers.
  uint32_t decision[2];
};
static_assert(sizeof(Connection) == 64);

// Bits of Connection::flags.
constexpr uint8_t kSeenReply = 1;
constexpr uint8_t kAssured = 2;
// The original tuple is the one whose ends are turned round in the key.
constexpr uint8_t kOriginalSwapped = 4;
// Open before anybody counted: no traffic is.
constexpr uint8_t kUncounted = 8;
constexpr uint8_t kIsTcp = 16;
// Somebody on the way rewrites its packets: answers come by another name (Translation).
constexpr uint8_t kTranslated = 32;

// What window tracking knows of one sender (`struct ip_ct_tcp_state`).
struct TcpSide {
  uint32_t end;
  uint32_t max_end;
  uint32_t max_window;
  uint32_t max_ack;
  uint8_t scale;
  uint8_t bits;
};

// Bits of TcpSide::bits.
constexpr uint8_t kWindowScale = 1;
constexpr uint8_t kSackPermitted = 2;
constexpr uint8_t kCloseInit = 4;
constexpr uint8_t kBeLiberal = 8;
constexpr uint8_t kDataUnacknowledged = 16;
constexpr uint8_t kMaxAckSet = 32;

struct alignas(64) TcpTracking {
  TcpSide seen[2];
  uint32_t last_seq;
  uint32_t last_ack;
  uint32_t last_end;
  uint16_t last_window;
  uint8_t state;
  uint8_t last_index;
  uint8_t last_direction;
  uint8_t last_scale;
  uint8_t bits;
  // Saturates: only its being above tcp_max_retrans is ever asked, and that is at most 255.
  uint8_t retransmissions;
};
static_assert(sizeof(TcpTracking) == 64);

// Bits of TcpTracking::bits.
constexpr uint8_t kLastWindowScale = 1;
constexpr uint8_t kLastSackPermitted = 2;
constexpr uint8_t kExpectChallengeAck = 4;
constexpr uint8_t kSimultaneousOpen = 8;

// How long a packet lets its connection live, by group of hosts, and what else it changed.
struct Refresh {
  // False: the packet does not renew the timeout, and is not counted for the connection.
  bool refreshed;
  bool assured;
  double seconds[2];
};

}  // namespace wiretrial::conntrack
