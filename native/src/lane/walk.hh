// Capture files as columns: whole, ordinary records of a window of a file. Mirrors
// src/capture/format/pcap.ts and pcapng.ts for these; the walk ends before the first record that is
// not whole, or has more to say than its bytes, and the readers there take that one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace wiretrial::lane {

// `PACKET_BYTES_MAX` of format/packet-format.ts, and the room for options beside it.
constexpr uint32_t kMaxPacket = 16u << 20;
constexpr uint32_t kMaxBlock = kMaxPacket + (1u << 20);

// Records by column: where their bytes are in the window, how many, how many there were on the
// wire, the interface's place in its file (or section), and the time in nanoseconds since 1970.
struct Records {
  uint32_t* at;
  uint32_t* captured;
  uint32_t* wire;
  uint32_t* iface;
  int64_t* time_ns;
};

// A window of a file: what is unread of it lies in `bytes[from, end)`.
struct Window {
  const uint8_t* bytes;
  uint32_t from;
  uint32_t end;
};

// How a file writes its numbers, and its interfaces' clocks: nanoseconds a unit, 0 where that is no
// whole number, and what is to be added.
struct Shape {
  bool is_pcapng;
  bool little;
  bool may_swap_lengths;
  uint32_t interfaces;
  const double* ns_per_unit;
  const int64_t* offset_ns;
};

// How far a walk goes: so many records, none from this time on.
struct Bound {
  uint32_t records;
  int64_t until_ns;
};

struct Walked {
  uint32_t records;
  uint32_t next;
};

inline uint32_t read32(const uint8_t* b, bool little) {
  uint32_t value;
  std::memcpy(&value, b, 4);
  return little ? value : __builtin_bswap32(value);
}

inline Walked walk_pcap(const Window& w, const Shape& shape, const Records& out, const Bound& bound) {
  constexpr uint32_t kHeader = 16;
  const auto unit = static_cast<int64_t>(shape.ns_per_unit[0]);
  uint32_t at = w.from;
  uint32_t n = 0;
  for (; n < bound.records && w.end - at >= kHeader; n++) {
    const uint8_t* b = w.bytes + at;
    uint32_t captured = read32(b + 8, shape.little);
    uint32_t original = read32(b + 12, shape.little);
    if (shape.may_swap_lengths) break;
    if (captured > kMaxPacket || w.end - at - kHeader < captured) break;
    const int64_t ns = int64_t{read32(b, shape.little)} * 1000000000 +
                       int64_t{read32(b + 4, shape.little)} * unit;
    if (ns >= bound.until_ns) break;
    out.at[n] = at + kHeader;
    out.captured[n] = captured;
    out.wire[n] = std::max(original, captured);
    out.iface[n] = 0;
    out.time_ns[n] = ns;
    at += kHeader + captured;
  }
  return {n, at};
}

// Whether the options of a block in `b[from, to)` say nothing.
inline bool has_no_options(const uint8_t* b, uint32_t from, uint32_t to) {
  return from >= to || to - from < 4 || (b[from] == 0 && b[from + 1] == 0);
}

inline Walked walk_pcapng(const Window& w, const Shape& shape, const Records& out, const Bound& bound) {
  constexpr uint32_t kEnhancedPacket = 6;
  constexpr uint32_t kBody = 28;     // block header and fixed fields
  constexpr uint32_t kSmallest = 32;
  const bool little = shape.little;
  uint32_t at = w.from;
  uint32_t n = 0;
  for (; n < bound.records && w.end - at >= kSmallest; n++) {
    const uint8_t* b = w.bytes + at;
    const uint32_t size = read32(b + 4, little);
    if (read32(b, little) != kEnhancedPacket || size % 4 != 0 || size < kSmallest) break;
    if (size > kMaxBlock || size > w.end - at || read32(b + size - 4, little) != size) break;
    const uint32_t iface = read32(b + 8, little);
    if (iface >= shape.interfaces || shape.ns_per_unit[iface] == 0) break;
    const uint32_t captured = read32(b + 20, little);
    if (captured > size - kSmallest) break;
    if (!has_no_options(b, kBody + ((captured + 3) & ~3u), size - 4)) break;
    const uint64_t units =
        static_cast<uint64_t>(read32(b + 12, little)) << 32 | read32(b + 16, little);
    int64_t ns;
    if (__builtin_mul_overflow(units, static_cast<int64_t>(shape.ns_per_unit[iface]), &ns)) break;
    if (__builtin_add_overflow(ns, shape.offset_ns[iface], &ns)) break;
    if (ns >= bound.until_ns) break;
    out.at[n] = at + kBody;
    out.captured[n] = captured;
    out.wire[n] = std::max(read32(b + 24, little), captured);
    out.iface[n] = iface;
    out.time_ns[n] = ns;
    at += size;
  }
  return {n, at};
}

// Take records out of a window.
inline Walked walk(const Window& w, const Shape& shape, const Records& out, const Bound& bound) {
  return shape.is_pcapng ? walk_pcapng(w, shape, out, bound) : walk_pcap(w, shape, out, bound);
}

}  // namespace wiretrial::lane
