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

// Equal for voices that differ only in what `meta` says and in fragment bits.
inline uint64_t hash_of_words(uint64_t link0, uint64_t link1, uint64_t w1, uint64_t w2) {
  const uint64_t link = (link0 ^ std::rotl(link1, 17)) * kMix[2];
  return fold_product(w1 ^ kMix[0], (w2 + link) ^ kMix[1]);
}

// What stands in front of the transport header.
struct Front {
  uint64_t first;      // the header's first word
  uint64_t addresses;  // the sum of both
  uint32_t length;
  uint32_t protocol;
  uint32_t id;
};

// A running sum of words as they lie in memory (`sum_words`).
struct Summed {
  uint64_t sum = 0;
  uint64_t carries = 0;
  void add(uint64_t word) {
    sum += word;
    carries += sum < word;
  }
  uint64_t take() const { return low32(sum) + (sum >> 32) + carries; }
  // Of more than zeros: whether it is that of data with its right checksum. 2^64 is one more than a
  // multiple of 0xffff.
  bool is_right() const { return (sum + carries + (sum + carries < sum)) % 0xffff == 0; }
};

// The transport header and what follows; `flags` and `ports` are what the voice has of them.
template <bool v4>
[[gnu::always_inline]] inline bool glance_transport(const uint8_t* ip, const Front& f,
                                                    uint32_t& flags, uint64_t& ports,
                                                    uint32_t& verdict, uint64_t& content) {
  constexpr uint32_t l4 = v4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength;
  const uint64_t word = load64(ip + l4);
  const uint32_t size = f.length - l4;
  ContentHead head{f.protocol, f.id, f.length, 0, 0, 0};
  Summed all;
  all.add(word);
  uint32_t payload = l4 + 8, stored;
  ports = low32(word);
  if (f.protocol == kUdp) {
    const uint32_t said = swapped16(word >> 32);
    if (said < udp::kHeaderLength || said > size) return false;
    stored = static_cast<uint32_t>(word >> 48);
  } else if (f.protocol == kTcp) {
    if (!tcp::is_whole(ip, l4, f.length)) return false;
    head.flags = segment_flags(tcp::flags(ip, l4));
    head.numbers = __builtin_bswap64(load64(ip + l4 + 4));
    payload = l4 + tcp::kMinHeaderLength;
    all.add(load64(ip + l4 + 8));
    const uint64_t end = load64(ip + l4 + 12) >> 32;
    all.add(end);
    stored = end & 0xffff;
  } else {
    if (f.protocol != (v4 ? kIcmp : kIcmpv6)) return false;
    const uint32_t type = word & 0xff;
    const bool is_reply = type == (v4 ? icmp::kEchoReply : icmp::kEchoReply6);
    if (!is_reply && type != (v4 ? icmp::kEchoRequest : icmp::kEchoRequest6)) return false;
    head.kind = is_reply ? 2 : 1;
    ports = type | (word >> 32 & 0xffff) << 16;
    stored = word >> 16 & 0xffff;
  }
  flags = head.flags;
  const uint32_t to = std::min(f.length, payload + kCompared);
  content = content_of(head, ip, payload, to, [&](uint64_t seen) { all.add(seen); });
  uint64_t sum = all.take();
  if (to < f.length) sum += sum_words(ip, to, f.length);
  const bool has_pseudo = !v4 || f.protocol != kIcmp;
  const uint64_t pseudo = has_pseudo ? f.addresses + in_memory(f.protocol) + in_memory(size) : 0;
  const bool is_summed = stored != 0 || f.protocol != kUdp;
  if (is_summed && is_right(sum + pseudo)) [[likely]] verdict = kRight;
  else if (!is_summed) verdict = v4 ? kUnjudged : kWrong;
  else verdict = has_pseudo && stored == fold(pseudo) ? kPartial : kWrong;
  return true;
}

// The IP packet; what stands in front of it is in the glance already, and in `seen`.
template <bool v4>
[[gnu::always_inline]] inline bool glance_packet(const uint8_t* ip, uint32_t left,
                                                 uint32_t link_length, uint32_t iface, Glance& g) {
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
    const uint64_t sum = low32(f.first) + (f.first >> 32) + low32(w1) + (w1 >> 32) + low32(w2);
    if (sum % 0xffff != 0) return false;
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
    if (g.is_long) g.rest[0] = g.rest[1] = g.rest[2] = 0;
  } else {
    g.head[2] = (f.first & 0xffff'0000'0000'00f0) | said;
    g.head[3] = ports;
    g.head[4] = load64(ip + ipv6::kSource);
    std::memcpy(g.rest, ip + ipv6::kSource + 8, 3 * sizeof(uint64_t));
  }
  g.hash = hash_of_words(g.head[0], g.head[1], g.head[3], g.head[4]);
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

// How long the header in front of a usual packet is; kMostLink + 1 where there is no such thing.
inline uint32_t usual_offset(uint32_t link_type) {
  switch (link_type) {
    case 1:
      return 14;
    case 113:
      return 16;
    case 12:
    case 14:
    case 101:
      return 0;
    default:
      return kMostLink + 1;
  }
}

// A frame that may be of a voice that was heard before: the words of it that its voice is known by,
// if it is one of IPv4 behind a usual header.
struct Heard {
  const uint8_t* ip;
  uint32_t left;
  uint64_t link[2];
  // Of the IP header, from its beginning.
  uint64_t word[3];
  uint64_t hash;
};

constexpr uint64_t kOfAddresses = 0xffffffff'0000ffff;
constexpr uint64_t kOfFirst = 0xffff'0000'0000'00ff;

// False when it is too short, or of another kind of link.
[[gnu::always_inline]] inline bool listen(const uint8_t* b, uint32_t captured, uint32_t link_type,
                                          Heard& h) {
  constexpr uint32_t kLeast = ipv4::kMinHeaderLength + 8;
  const uint32_t offset = usual_offset(link_type);
  if (captured < offset + kLeast) return false;
  h.ip = b + offset;
  h.left = captured - offset;
  h.link[0] = offset == 0 ? 0 : load64(b);
  h.link[1] = offset == 0 ? 0 : load64(h.ip - 8);
  for (uint32_t i = 0; i < 3; i++) h.word[i] = load64(h.ip + 8 * i);
  h.hash = hash_of_words(h.link[0], h.link[1], h.word[1] & kOfAddresses, h.word[2]);
  return true;
}

// The rest of a packet whose headers' words are a voice's: whether lengths and checksums are right
// and flags the voice's; then its content, too.
template <uint32_t protocol>
[[gnu::always_inline]] inline bool hear_out(const Voice& voice, const Heard& h, uint64_t& content) {
  constexpr uint32_t l4 = ipv4::kMinHeaderLength;
  constexpr uint32_t payload =
      l4 + (protocol == kTcp ? tcp::kMinHeaderLength : udp::kHeaderLength);
  const uint64_t first = h.word[0], second = h.word[1], addresses = low32(h.word[2]);
  const uint32_t length = swapped16(first >> 16);
  const uint32_t size = length - l4;
  if (length > h.left || length < payload) return false;
  Summed header;
  header.add(first);
  header.add(second);
  header.add(addresses);
  if (!header.is_right() || (second & 0xffff0000) == 0xffff0000) return false;
  Summed all;
  const uint64_t word = load64(h.ip + l4);
  all.add(word);
  all.add((second >> 32) + addresses + in_memory(protocol) + in_memory(size));
  ContentHead head{protocol, swapped16(first >> 32), length, 0, 0, 0};
  if constexpr (protocol == kTcp) {
    const uint64_t end = load64(h.ip + l4 + 12);
    const uint32_t offset = (end & 0xf0) >> 2;
    head.flags = segment_flags(end >> 8 & 0xff);
    if (offset < tcp::kMinHeaderLength || offset > size || head.flags != voice.flags) return false;
    head.numbers = __builtin_bswap64(load64(h.ip + l4 + 4));
    all.add(load64(h.ip + l4 + 8));
    all.add(end >> 32);
  } else {
    const uint32_t said = swapped16(word >> 32);
    if (said < udp::kHeaderLength || said > size || word >> 48 == 0) return false;
  }
  const uint32_t to = std::min(length, payload + kCompared);
  content = content_of(head, h.ip, payload, to, [&](uint64_t seen) { all.add(seen); });
  if (to < length) [[unlikely]] all.add(sum_words(h.ip, to, length));
  return all.is_right();
}

// Whether a frame with the hash of a plain voice is of it; then its content, too. What it shares
// with the voice's first packet needs no second look: headers in front, version, fragment bits, TTL,
// protocol, both ends. Where this says no, a glance may say yes.
[[gnu::always_inline]] inline bool hear(const Voice& voice, const Heard& h, uint32_t iface,
                                        uint64_t& content) {
  const uint64_t differ = (voice.head[0] ^ h.link[0]) | (voice.head[1] ^ h.link[1]) |
                          ((voice.head[2] ^ h.word[0]) & kOfFirst) |
                          (voice.head[3] ^ (h.word[1] & kOfAddresses)) |
                          (voice.head[4] ^ h.word[2]) | (voice.iface ^ iface);
  if (differ != 0) return false;
  if (voice.plain == kUdp) return hear_out<kUdp>(voice, h, content);
  return voice.plain == kTcp && hear_out<kTcp>(voice, h, content);
}

}  // namespace wiretrial::lane
