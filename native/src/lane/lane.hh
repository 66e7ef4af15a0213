// One direction of one captured connection whose packets need no thought any more (a lane), and the
// flow with both of them: what JavaScript (src/lab/lane/lane-book.ts) knows of their packets.
#pragma once

#include "../engine/settled.hh"
#include "packet.hh"
#include "sightings.hh"

namespace wiretrial::lane {

constexpr uint32_t kMaxLink = 26;

// What becomes of a packet by its checksum.
enum Treat : uint8_t { kByHand, kAsIs, kOffloaded };

// What every packet of it is asked by comes first, in one line of the cache; in the other one what
// one is asked by that was read.
struct alignas(64) Lane {
  bool is_open : 1;
  // Its packets are judged elsewhere: here they only say that their connection goes on.
  bool is_silent : 1;
  bool rewrites : 1;
  // Its packets may be settled; and their course is named.
  bool settles : 1;
  bool has_course : 1;
  // No other ends name its connection and direction.
  bool has_own_name : 1;
  // Of `known` packets: the whole capture has them at one place only.
  bool is_at_one_place : 1;
  // `Packet::flags` of its segments.
  uint8_t flags;
  uint8_t ttl;
  // With which the sender sent it.
  uint8_t sent_ttl;
  uint8_t link_length;
  // Of `known` packets.
  Verdict verdict;
  Sightings::Sole sole;
  uint32_t entry;
  // By what the index has of usual packets of it (`entry::whose`), one of which was taken; 0 is none.
  uint32_t known;
  uint64_t whose;
  uint64_t vantage;
  Course course;

  alignas(64) uint8_t link[kMaxLink];
  // By `Verdict`, two bits each.
  uint8_t treats;
  uint32_t iface;
  // Ends to send it with, as the sender made it.
  uint8_t src[16];
  uint8_t dst[16];

  Treat treat(Verdict verdict) const { return static_cast<Treat>(treats >> 2 * verdict & 3); }
  void set_treat(uint32_t verdict, Treat treat) {
    treats = static_cast<uint8_t>((treats & ~(3 << 2 * verdict)) | treat << 2 * verdict);
  }
};
static_assert(offsetof(Lane, link) == 64 && sizeof(Lane) == 128);

struct alignas(64) Flow {
  FlowName name;
  uint32_t next;
  bool is_taken;
  bool is_dirty;
  // Idle time after which a packet begins another connection.
  double lifetime_ns;
  double last_ns;
  Lane lanes[2];
};
static_assert(offsetof(Flow, lanes) == 64);

}  // namespace wiretrial::lane
