// A captured frame as the first look has it: by few wide loads. Takes the frames that `read_packet`
// takes for a look, but for those with a very long header in front or of very many interfaces, and
// says of their checksums what `judge` says.
#pragma once

#include "contents.hh"
#include "voices.hh"

namespace wiretrial::lane {

inline uint64_t load64(const uint8_t* b) {
  uint64_t word;
  std::memcpy(&word, b, sizeof word);
  return word;
}

inline uint64_t low32(uint64_t word) { return word & 0xffffffff; }

inline uint32_t swapped16(uint64_t word) {
  return __builtin_bswap16(static_cast<uint16_t>(word));
}

// Interfaces and headers in front that a voice's words have room for.
constexpr uint32_t kMostIface = 0xfffffe;
constexpr uint32_t kMostLink = 32;
constexpr uint32_t kNoIface = 0xffffffff;

// What of a voice stands in no header: what its checksums say, TCP's flags, where it was seen.
inline uint64_t meta(uint32_t verdict, uint32_t flags, uint32_t link_length, uint32_t iface) {
  return static_cast<uint64_t>(verdict) << 8 | static_cast<uint64_t>(flags) << 10 |
         static_cast<uint64_t>(link_length) << 14 | static_cast<uint64_t>(iface & 0xffffff) << 20;
}

// Whether a sum of words as they lie in memory is that of data with its right checksum.
inline bool is_right(uint64_t sum) { return sum != 0 && sum % 0xffff == 0; }

// What stands in front of the transport header.
struct Front {
  uint64_t first;      // the header's first word
  uint64_t addresses;  // the sum of both
  uint32_t length;
  uint32_t protocol;
  uint32_t id;
};

// The transport header and what follows; `flags` and `ports` are what the voice has of them.
template <bool v4>
inline bool glance_transport(const uint8_t* ip, const Front& f, uint32_t& flags, uint64_t& ports,
                             uint32_t& verdict, uint64_t& content) {
  constexpr uint32_t l4 = v4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength;
  const uint64_t word = load64(ip + l4);
  const uint32_t size = f.length - l4;
  uint64_t numbers = 0;
  uint32_t kind = 0, payload = l4 + 8, stored;
  bool is_summed = true;
  ports = low32(word);
  flags = 0;
  if (f.protocol == kTcp) {
    if (!tcp::is_whole(ip, l4, f.length)) return false;
    flags = segment_flags(tcp::flags(ip, l4));
    numbers = __builtin_bswap64(load64(ip + l4 + 4));
    payload = l4 + tcp::kMinHeaderLength;
    std::memcpy(&stored, ip + l4 + tcp::kChecksum, 4);
    stored &= 0xffff;
  } else if (f.protocol == kUdp) {
    const uint32_t said = swapped16(word >> 32);
    if (said < udp::kHeaderLength || said > size) return false;
    stored = static_cast<uint32_t>(word >> 48);
    is_summed = stored != 0;
  } else {
    if (f.protocol != (v4 ? kIcmp : kIcmpv6)) return false;
    const uint32_t type = word & 0xff;
    const bool is_reply = type == (v4 ? icmp::kEchoReply : icmp::kEchoReply6);
    if (!is_reply && type != (v4 ? icmp::kEchoRequest : icmp::kEchoRequest6)) return false;
    kind = is_reply ? 2 : 1;
    ports = type | (word >> 32 & 0xffff) << 16;
    stored = word >> 16 & 0xffff;
  }
  if (is_summed) {
    const uint64_t pseudo =
        v4 && f.protocol == kIcmp ? 0 : f.addresses + in_memory(f.protocol) + in_memory(size);
    const bool right = is_right(sum_words(ip, l4, f.length) + pseudo);
    verdict = right ? kRight : pseudo != 0 && stored == fold(pseudo) ? kPartial : kWrong;
  } else {
    verdict = v4 ? kUnjudged : kWrong;
  }
  const ContentHead head{f.protocol, f.id, f.length, flags, kind, numbers};
  content = content_of(head, ip, payload, std::min(f.length, payload + kCompared));
  return true;
}

// The IP packet; what stands in front of it is in the glance already, and in `seen`.
template <bool v4>
inline bool glance_packet(const uint8_t* ip, uint32_t left, uint32_t link_length, uint32_t iface,
                          Glance& g) {
  constexpr uint32_t kLeast = (v4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength) + 8;
  if (left < kLeast) return false;
  Front f;
  f.first = load64(ip);
  uint64_t w1, w2;
  if constexpr (v4) {
    w1 = load64(ip + 8);
    w2 = load64(ip + 16);
    f.length = swapped16(f.first >> 16);
    // A header without options, of no fragment, and no negative zero (ipv4.hh).
    if ((f.first & 0xffbf'0000'0000'00ff) != 0x45 || (w1 & 0xffff0000) == 0xffff0000) return false;
    if (!is_right(low32(f.first) + (f.first >> 32) + low32(w1) + (w1 >> 32) + low32(w2))) return false;
    f.protocol = w1 >> 8 & 0xff;
    f.id = swapped16(f.first >> 32);
    f.addresses = (w1 >> 32) + low32(w2);
  } else {
    f.length = ipv6::kHeaderLength + swapped16(f.first >> 32);
    if ((f.first & 0xf0) != 0x60) return false;
    f.protocol = f.first >> 48 & 0xff;
    f.id = 0;
    f.addresses = 0;
    for (uint32_t i = 0; i < 4; i++) {
      const uint64_t word = load64(ip + ipv6::kSource + 8 * i);
      f.addresses += low32(word) + (word >> 32);
    }
  }
  if (f.length > left || f.length < kLeast) return false;
  uint32_t flags, verdict;
  uint64_t ports;
  if (!glance_transport<v4>(ip, f, flags, ports, verdict, g.content)) return false;
  const uint64_t said = meta(verdict, flags, link_length, iface);
  if constexpr (v4) {
    g.head[2] = (f.first & 0x0040'0000'0000'00ff) | said;
    g.head[3] = w1 & 0xffffffff'0000ffff;
    g.head[4] = low32(w2) | ports << 32;
    if (g.is_long) std::memset(g.rest, 0, 3 * sizeof(uint64_t));
  } else {
    g.head[2] = (f.first & 0xffff'0000'0000'00f0) | said;
    g.head[3] = ports;
    g.head[4] = load64(ip + ipv6::kSource);
    std::memcpy(g.rest, ip + ipv6::kSource + 8, 3 * sizeof(uint64_t));
  }
  const uint64_t link = g.head[0] ^ std::rotl(g.head[1], 17);
  g.hash = fold_product(g.head[3] ^ kMix[0], g.head[4] ^ kMix[1]);
  g.hash = fold_product(g.hash ^ g.head[2], link ^ kMix[2]);
  if (!v4) {
    g.hash = fold_product(g.hash ^ g.rest[0], g.rest[1] ^ kMix[3]);
    g.hash = fold_product(g.hash ^ g.rest[2], kMix[0]);
  }
  return true;
}

// Read a captured frame, of an interface that the run knows as `iface`; false when it is to be read
// by hand.
inline bool glance(const uint8_t* b, uint32_t captured, uint32_t link_type, uint32_t iface,
                   Glance& g) {
  constexpr uint32_t kEthernet = 14;
  if (iface > kMostIface && iface != kNoIface) return false;
  uint32_t type, offset;
  if (link_type == 1 && captured > kEthernet && u16(b, 12) == kEtherIpv4) {
    type = kEtherIpv4;
    offset = kEthernet;
  } else {
    type = read_link(b, captured, link_type, offset);
    if ((type != kEtherIpv4 && type != kEtherIpv6) || offset > kMostLink) return false;
  }
  g.is_long = type != kEtherIpv4 || offset > 16;
  if (offset == 0) {
    g.head[0] = g.head[1] = 0;
  } else {
    g.head[0] = load64(b);
    g.head[1] = load64(b + offset - 8);
  }
  if (g.is_long) {
    g.rest[3] = offset > 16 ? load64(b + 8) : 0;
    g.rest[4] = offset > 16 ? load64(b + std::min(16u, offset - 8)) : 0;
  }
  const uint8_t* ip = b + offset;
  return type == kEtherIpv4 ? glance_packet<true>(ip, captured - offset, offset, iface, g)
                            : glance_packet<false>(ip, captured - offset, offset, iface, g);
}

}  // namespace wiretrial::lane
