// Both ends of packets, as sender and receiver, and as the name that both directions share.
#pragma once

#include <utility>

#include "packet.hh"

namespace wiretrial::lane {

// Both ends of a packet in its direction; an echo's identifier is both its ports.
struct Ends {
  uint8_t src[16];
  uint8_t dst[16];
  uint16_t sport;
  uint16_t dport;
  uint32_t family;
  bool operator==(const Ends& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};
static_assert(sizeof(Ends) == 40);

inline Ends inverse(const Ends& e) {
  Ends turned = e;
  std::memcpy(turned.src, e.dst, 16);
  std::memcpy(turned.dst, e.src, 16);
  std::swap(turned.sport, turned.dport);
  return turned;
}

inline Ends ends_of(const FlowName& n, bool turned) {
  Ends e{};
  std::memcpy(e.src, turned ? n.high : n.low, 16);
  std::memcpy(e.dst, turned ? n.low : n.high, 16);
  e.sport = turned ? n.high_port : n.low_port;
  e.dport = turned ? n.low_port : n.high_port;
  e.family = n.family;
  return e;
}

// The name of ends, the lower one first; of an echo who asks, where its packet's `ContentHead::kind`
// is given.
inline FlowName name_of(const Ends& e, uint32_t protocol, uint32_t kind, bool& turned) {
  const int order = std::memcmp(e.src, e.dst, 16);
  turned = kind != 0 ? kind == 2 : order > 0 || (order == 0 && e.sport > e.dport);
  FlowName n{};
  std::memcpy(n.low, turned ? e.dst : e.src, 16);
  std::memcpy(n.high, turned ? e.src : e.dst, 16);
  n.low_port = turned ? e.dport : e.sport;
  n.high_port = turned ? e.sport : e.dport;
  n.protocol = static_cast<uint8_t>(protocol);
  n.family = static_cast<uint8_t>(e.family);
  return n;
}

}  // namespace wiretrial::lane
