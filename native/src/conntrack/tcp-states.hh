// The TCP state table. Mirrors src/conntrack/protocol/tcp-states.ts, whose rows stand here in the
// same letters; test/native/mirror.test.ts compares every cell.
//
// Source: net/netfilter/nf_conntrack_proto_tcp.c `tcp_conntracks`, Linux 6.18.
#pragma once

#include "../wire/tcp.hh"

namespace wiretrial::conntrack {

// SS SR ES FW CW LA TW CL S2, then what is no state: ignore, invalid.
enum TcpState : uint8_t { kNone, kSS, kSR, kES, kFW, kCW, kLA, kTW, kCL, kS2, kIG, kIV };

// What counts of a segment's flags: RST before SYN before FIN before ACK.
enum TcpIndex : uint8_t { kIndexSyn, kIndexSynAck, kIndexFin, kIndexAck, kIndexRst, kIndexNone };

// By direction (original, reply), kind of segment and state.
constexpr TcpState kNext[2][6][10] = {
    {
        // none SS   SR   ES   FW   CW   LA   TW   CL   S2
        {kSS, kSS, kIG, kIG, kIG, kIG, kIG, kSS, kSS, kS2},  // syn
        {kIV, kIV, kSR, kIV, kIV, kIV, kIV, kIV, kIV, kSR},  // synAck
        {kIV, kIV, kFW, kFW, kLA, kLA, kLA, kTW, kCL, kIV},  // fin
        {kES, kIV, kES, kES, kCW, kCW, kTW, kTW, kCL, kIV},  // ack
        {kIV, kCL, kCL, kCL, kCL, kCL, kCL, kCL, kCL, kCL},  // rst
        {kIV, kIV, kIV, kIV, kIV, kIV, kIV, kIV, kIV, kIV},  // none
    },
    {
        {kIV, kS2, kIV, kIV, kIV, kIV, kIV, kSS, kIV, kS2},  // syn
        {kIV, kSR, kIG, kIG, kIG, kIG, kIG, kIG, kIG, kSR},  // synAck
        {kIV, kIV, kFW, kFW, kLA, kLA, kLA, kTW, kCL, kIV},  // fin
        {kIV, kIG, kSR, kES, kCW, kCW, kTW, kTW, kCL, kIG},  // ack
        {kIV, kCL, kCL, kCL, kCL, kCL, kCL, kCL, kCL, kCL},  // rst
        {kIV, kIV, kIV, kIV, kIV, kIV, kIV, kIV, kIV, kIV},  // none
    },
};

inline TcpState next_tcp_state(uint32_t direction, TcpIndex index, TcpState state) {
  return kNext[direction][index][state];
}

// The kind of a segment by its flag bits (`get_conntrack_index`).
inline TcpIndex tcp_index(uint32_t flags) {
  if (flags & tcp::kRst) return kIndexRst;
  if (flags & tcp::kSyn) return flags & tcp::kAck ? kIndexSynAck : kIndexSyn;
  if (flags & tcp::kFin) return kIndexFin;
  return flags & tcp::kAck ? kIndexAck : kIndexNone;
}

// Whether the combination is one that TCPs send; PSH, ECE and CWR do not count. One bit for each
// combination of FIN, SYN, RST, ACK (as bit 3) and URG (as bit 4).
constexpr uint32_t kValidFlags = 1u << 2 | 1u << (2 | 16) | 1u << (2 | 8) | 1u << 4 |
                                 1u << (4 | 8) | 1u << (1 | 8) | 1u << (1 | 8 | 16) | 1u << 8 |
                                 1u << (8 | 16);

inline bool are_valid_flags(uint32_t flags) {
  const uint32_t packed = (flags & 7) | ((flags & tcp::kAck) >> 1) | ((flags & tcp::kUrg) >> 1);
  return (kValidFlags >> packed) & 1;
}

}  // namespace wiretrial::conntrack
