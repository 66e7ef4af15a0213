// The steps of `Verdicts::find` for kWidth packets at a time. A packet whose key stands in no first
// slot (another key's place, or unknown) is looked up alone. WIRETRIAL_RUN is the member function
// that this becomes. Included by verdicts-*.cc and nobody else, after wide.hh and wide-classes.hh.

// What keys hold of one side's ports, of packets that have any.
inline Words ports_in_key(PortsInKey by, const uint16_t* tcp, const uint16_t* udp, Words port,
                          Words is_tcp, Words is_udp) {
  if (by == PortsInKey::kValue) return port & (is_tcp | is_udp);
  Words found{};
  if (by == PortsInKey::kNothing) return found;
  if (bits_of(is_tcp) != 0) found = port_classes(tcp, port, is_tcp);
  if (bits_of(is_udp) != 0) found |= port_classes(udp, port, is_udp);
  return found;
}

}  // namespace wiretrial::WIRETRIAL_ISA

namespace wiretrial {

uint32_t Verdicts::WIRETRIAL_RUN(const VerdictBatch& b, uint32_t from, uint32_t to) const {
  using namespace WIRETRIAL_ISA;
  const PortsInKey by_sport = ports_in_key(kBySport, kBySourcePort);
  const PortsInKey by_dport = ports_in_key(kByDport, kByDestinationPort);
  const uint32_t* words = reinterpret_cast<const uint32_t*>(slots_);
  for (uint32_t i = from; i + kWidth <= to; i += kWidth) {
    const Words src = load_as<Words>(b.src + i), dst = load_as<Words>(b.dst + i);
    const Words ports = load_as<Words>(b.ports + i), kinds = load_as<Words>(b.kinds + i);
    const Words protocol = kinds & 0xff;
    const Words is_tcp = mask_of(protocol == kTcp), is_udp = mask_of(protocol == kUdp);
    const Words sport = WIRETRIAL_ISA::ports_in_key(by_sport, tables_.tcp[0], tables_.udp[0],
                                                    ports & 0xffff, is_tcp, is_udp);
    const Words dport = WIRETRIAL_ISA::ports_in_key(by_dport, tables_.tcp[1], tables_.udp[1],
                                                    ports >> 16, is_tcp, is_udp);
    const Words key[4] = {by_ & kBySource ? src : direct_classes(tables_.direct[0], src),
                          by_ & kByDestination ? dst : direct_classes(tables_.direct[1], dst),
                          sport | dport << 16, kinds};
    Words h{};
    for (uint32_t w = 0; w < 4; w++) h += key[w] * kMix[w];
    h = (h ^ h >> 15) * kLast;
    const Words slot = ((h ^ h >> 13) & mask_) * kSlotWords;
    Words differs{};
    for (uint32_t w = 0; w < 4; w++) differs |= gathered(words + w, slot) ^ key[w];
    store(reinterpret_cast<uint32_t*>(b.results + i), gathered(words + 4, slot));
    for (uint32_t left = bits_of(mask_of(differs != 0)); left != 0; left &= left - 1) {
      const uint32_t lane = i + static_cast<uint32_t>(__builtin_ctz(left));
      b.results[lane] = find(b, lane);
      if (b.results[lane] == kUnknown) return i;
    }
  }
  return from + (to - from) / kWidth * kWidth;
}

}  // namespace wiretrial
