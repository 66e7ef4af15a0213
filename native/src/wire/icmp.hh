// ICMP and ICMPv6 echo (RFC 792, RFC 4443). Mirrors src/wire/header/icmp.ts and icmpv6.ts as far
// as the fast path takes messages: echo requests and replies with code 0.
#pragma once

#include "bytes.hh"

namespace wiretrial::icmp {

constexpr uint32_t kHeaderLength = 8;
constexpr uint32_t kChecksum = 2;
constexpr uint32_t kEchoReply = 0;
constexpr uint32_t kEchoRequest = 8;
constexpr uint32_t kEchoRequest6 = 128;
constexpr uint32_t kEchoReply6 = 129;

inline uint32_t type(const uint8_t* b, uint32_t off) { return b[off]; }
inline uint32_t code(const uint8_t* b, uint32_t off) { return b[off + 1]; }
inline uint32_t id(const uint8_t* b, uint32_t off) { return u16(b, off + 4); }

}  // namespace wiretrial::icmp
