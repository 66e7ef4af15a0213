// Which hosts hold a connection, and how much room their tables have.
#pragma once

#include <cstdint>

#include "translation.hh"

namespace wiretrial {

constexpr uint32_t kMaxHostsInSet = 8;

// The hosts that hold a connection; one that packets cross twice under different names stands here
// twice. Their trackers judge alike, and time connections in at most two ways; where there is one
// way only, both settings are the same.
struct HostSet {
  uint32_t count;
  uint32_t settings[2];
  uint32_t hosts[kMaxHostsInSet];
  // Names of the connection, and how many of the hosts know it by each.
  uint32_t names;
  uint32_t known_by[kMaxNames];
};

// How many connections a host holds here and in the reference's table, and may hold.
struct HostRoom {
  uint32_t held;
  uint32_t foreign;
  uint32_t max;
};

}  // namespace wiretrial
