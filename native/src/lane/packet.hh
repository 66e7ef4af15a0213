// A captured frame read as far as a lane needs it. Mirrors src/capture/link/linktype.ts and
// src/lab/datagram/datagram.ts for whole, ordinary packets; all others are read there.
#pragma once

#include "../wire/checksum.hh"
#include "../wire/icmp.hh"
#include "../wire/ipv4.hh"
#include "../wire/ipv6.hh"
#include "../wire/tcp.hh"
#include "../wire/udp.hh"

namespace wiretrial::lane {

constexpr uint32_t kTcp = 6;
constexpr uint32_t kUdp = 17;
constexpr uint32_t kIcmp = 1;
constexpr uint32_t kIcmpv6 = 58;
// Larger ones are offload aggregates (datagram/segments.ts).
constexpr uint32_t kEthernetMtu = 1500;

// `ChecksumVerdict`.
enum Verdict : uint8_t { kUnjudged, kRight, kPartial, kWrong };

// Both ends as captured, the smaller first, so that both directions have one name.
struct FlowName {
  uint8_t low[16];
  uint8_t high[16];
  uint16_t low_port;
  uint16_t high_port;
  uint8_t protocol;
  uint8_t family;
  uint16_t spare;
  bool operator==(const FlowName& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};
static_assert(sizeof(FlowName) == 40);

inline uint64_t hash_of(const uint64_t (&word)[5]) {
  uint64_t h = (word[0] * 0x9e3779b97f4a7c15ull) ^ std::rotl(word[2] * 0xc2b2ae3d27d4eb4full, 31);
  h ^= (word[4] * 0x165667b19e3779f9ull) ^ std::rotl((word[1] ^ word[3]) * 0x27d4eb2f165667c5ull, 17);
  h ^= h >> 29;
  h *= 0x165667b19e3779f9ull;
  return h ^ (h >> 32);
}

inline uint64_t hash_of(const FlowName& name) {
  uint64_t word[5];
  std::memcpy(word, &name, sizeof word);
  return hash_of(word);
}

struct Packet {
  // The IP packet.
  const uint8_t* ip;
  uint32_t length;
  // Of the header in front of it.
  uint32_t link_length;
  uint32_t l4;
  // Of what follows the fixed transport header.
  uint32_t payload;
  // The transport checksum as it stands there.
  uint32_t stored;
  uint32_t id;
  uint32_t seq;
  uint32_t ack;
  uint32_t flags;
  uint8_t ttl;
  Verdict verdict;
  // 1 when the sender is the higher end.
  uint8_t turned;
  // `hash_of(name)`.
  uint64_t hash;
  FlowName name;
};

constexpr uint32_t kVlan = 0x8100, kQinq = 0x88a8, kQinqOld = 0x9100;
constexpr uint32_t kEtherIpv4 = 0x0800, kEtherIpv6 = 0x86dd;

// Where the network header is, and its ether type; 0 for frames that are not read here.
inline uint32_t read_link(const uint8_t* b, uint32_t captured, uint32_t link_type, uint32_t& offset) {
  uint32_t type = 0;
  switch (link_type) {
    case 1:
      if (captured < 14) return 0;
      offset = 14;
      type = u16(b, 12);
      break;
    case 113:
      if (captured < 16 || u16(b, 2) == 824) return 0;
      offset = 16;
      type = u16(b, 14);
      break;
    case 276:
      if (captured < 20 || u16(b, 8) == 824) return 0;
      offset = 20;
      type = u16(b, 0);
      break;
    case 12:
    case 14:
    case 101:
      if (captured == 0) return 0;
      offset = 0;
      return b[0] >> 4 == 4 ? kEtherIpv4 : b[0] >> 4 == 6 ? kEtherIpv6 : 0;
    default:
      return 0;
  }
  while (type == kVlan || type == kQinq || type == kQinqOld) {
    if (offset + 4 > captured) return 0;
    type = u16(b, offset + 2);
    offset += 4;
  }
  return type;
}

// Who asks: lanes take no segment that answers an opening or ends a connection, and no offload
// aggregate; the first look at a capture takes all.
enum class For : uint8_t { kLane, kLook };

// `Packet::flags` of a segment that opens a connection or answers that.
constexpr uint32_t kOpens = 9;

// SYN, FIN and RST in the order of `Head::flags`, and that it is TCP.
inline uint32_t segment_flags(uint32_t flags) {
  return 8u | (flags & tcp::kSyn ? 1u : 0u) | (flags & tcp::kFin ? 2u : 0u) |
         (flags & tcp::kRst ? 4u : 0u);
}

inline bool read_transport(Packet& p, uint32_t protocol, bool v4, For whom, uint32_t& sport,
                           uint32_t& dport) {
  const uint8_t* b = p.ip;
  p.seq = p.ack = p.flags = 0;
  if (protocol == kTcp) {
    if (!tcp::is_whole(b, p.l4, p.length)) return false;
    const uint32_t flags = tcp::flags(b, p.l4);
    p.flags = segment_flags(flags);
    const bool opens = p.flags == kOpens && !(flags & tcp::kAck);
    if (whom == For::kLane && ((p.flags != 8 && !opens) || p.length > kEthernetMtu)) return false;
    p.seq = tcp::seq(b, p.l4);
    p.ack = tcp::ack(b, p.l4);
    p.payload = p.l4 + tcp::kMinHeaderLength;
    sport = tcp::sport(b, p.l4);
    dport = tcp::dport(b, p.l4);
    p.stored = u16(b, p.l4 + tcp::kChecksum);
    return true;
  }
  p.payload = p.l4 + 8;
  if (protocol == kUdp) {
    if (!udp::is_whole(b, p.l4, p.length)) return false;
    sport = udp::sport(b, p.l4);
    dport = udp::dport(b, p.l4);
    p.stored = udp::checksum(b, p.l4);
    return true;
  }
  if (protocol != (v4 ? kIcmp : kIcmpv6) || p.length - p.l4 < icmp::kHeaderLength) return false;
  const uint32_t type = icmp::type(b, p.l4);
  if (type != (v4 ? icmp::kEchoRequest : icmp::kEchoRequest6) &&
      type != (v4 ? icmp::kEchoReply : icmp::kEchoReply6)) {
    return false;
  }
  // Of an echo, who asks is the first end whatever its address.
  sport = icmp::id(b, p.l4);
  dport = type;
  p.stored = u16(b, p.l4 + icmp::kChecksum);
  return true;
}

// An address of `kSize` bytes as the words of a name, and which of two is greater as bytes.
struct AddressWords {
  uint64_t word[2];
  bool operator==(const AddressWords&) const = default;
};

inline AddressWords address_words(const uint8_t* b, bool v4) {
  AddressWords words{};
  if (v4) {
    uint32_t four;
    std::memcpy(&four, b, 4);
    words.word[0] = four;
  } else {
    std::memcpy(words.word, b, 16);
  }
  return words;
}

inline bool is_greater(const AddressWords& a, const AddressWords& b) {
  const bool is_first = a.word[0] != b.word[0];
  const uint64_t x = is_first ? a.word[0] : a.word[1];
  const uint64_t y = is_first ? b.word[0] : b.word[1];
  return __builtin_bswap64(x) > __builtin_bswap64(y);
}

// Name the flow, put together in registers: what is stored in parts and read at once has to wait.
inline void name_flow(Packet& p, uint32_t protocol, bool v4, uint32_t sport, uint32_t dport) {
  const AddressWords src = address_words(p.ip + (v4 ? ipv4::kSource : ipv6::kSource), v4);
  const AddressWords dst = address_words(p.ip + (v4 ? ipv4::kDestination : ipv6::kDestination), v4);
  bool turned;
  if (protocol == kIcmp || protocol == kIcmpv6) {
    turned = dport == icmp::kEchoReply || dport == icmp::kEchoReply6;
    dport = sport;
  } else {
    turned = src == dst ? sport > dport : is_greater(src, dst);
  }
  const AddressWords& low = turned ? dst : src;
  const AddressWords& high = turned ? src : dst;
  const uint64_t ports = turned ? dport | sport << 16 : sport | dport << 16;
  const uint64_t kind = protocol | (v4 ? 4u : 6u) << 8;
  const uint64_t word[5] = {low.word[0], low.word[1], high.word[0], high.word[1],
                            ports | kind << 32};
  static_assert(offsetof(FlowName, low_port) == 32 && offsetof(FlowName, high_port) == 34 &&
                offsetof(FlowName, protocol) == 36 && offsetof(FlowName, family) == 37);
  std::memcpy(&p.name, word, sizeof p.name);
  p.turned = turned;
  p.hash = hash_of(word);
}

// Read a captured frame; false when it is none for whom it is asked. Its checksum is not judged yet.
inline bool read_packet(const uint8_t* b, uint32_t captured, uint32_t link_type, Packet& p,
                        For whom = For::kLane) {
  uint32_t offset = 0;
  const uint32_t type = read_link(b, captured, link_type, offset);
  if (type != kEtherIpv4 && type != kEtherIpv6) return false;
  const uint8_t* ip = b + offset;
  const uint32_t left = captured - offset;
  const bool v4 = type == kEtherIpv4;
  uint32_t protocol;
  if (v4) {
    if (left < ipv4::kMinHeaderLength) return false;
    p.length = ipv4::total_length(ip, 0);
    if (p.length > left || !ipv4::is_plain(ip, 0, p.length)) return false;
    p.l4 = ipv4::kMinHeaderLength;
    p.id = u16(ip, 4);
    p.ttl = ip[ipv4::kTtl];
    protocol = ip[ipv4::kProtocol];
  } else {
    if (left < ipv6::kHeaderLength) return false;
    p.length = ipv6::kHeaderLength + u16(ip, ipv6::kPayloadLength);
    if (p.length > left || !ipv6::is_plain(ip, 0, p.length)) return false;
    p.l4 = ipv6::kHeaderLength;
    p.id = 0;
    p.ttl = ip[ipv6::kHopLimit];
    protocol = ip[ipv6::kNextHeader];
  }
  p.ip = ip;
  p.link_length = offset;
  uint32_t sport, dport;
  if (!read_transport(p, protocol, v4, whom, sport, dport)) return false;
  name_flow(p, protocol, v4, sport, dport);
  return true;
}

// Judge the transport checksum of a packet that was read (`verifySegment`).
inline void judge(Packet& p) {
  const bool v4 = p.name.family == 4;
  const uint32_t protocol = p.name.protocol;
  if (v4 && protocol == kIcmp) {
    p.verdict = fold(sum_words(p.ip, p.l4, p.length)) == 0xffff ? kRight : kWrong;
    return;
  }
  if (protocol == kUdp && p.stored == 0) {
    p.verdict = v4 ? kUnjudged : kWrong;
    return;
  }
  const uint32_t addresses = v4 ? ipv4::kSource : ipv6::kSource;
  const uint64_t pseudo = in_memory(protocol) + in_memory(p.length - p.l4);
  if (fold(sum_words(p.ip, addresses, p.length) + pseudo) == 0xffff) {
    p.verdict = kRight;
    return;
  }
  const uint32_t partial = fold(sum_words(p.ip, addresses, p.l4) + pseudo);
  p.verdict = p.stored == __builtin_bswap16(static_cast<uint16_t>(partial)) ? kPartial : kWrong;
}

}  // namespace wiretrial::lane
