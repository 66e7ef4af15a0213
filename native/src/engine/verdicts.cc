// Verdicts by the vector: the same steps as `Verdicts::find`, for 8 or 16 packets at a time. Which
// way is taken is decided when the processor is known; all give the same numbers
// (test/native/verdicts.test.ts).
//
// A packet whose key stands in no first slot (another key's place, or unknown) is looked up alone.
#include "verdicts.hh"

#if defined(__x86_64__) && defined(__GNUC__)
#define WIRETRIAL_X86 1
// Values left open on purpose inside of the intrinsics (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#else
#define WIRETRIAL_X86 0
#endif

namespace wiretrial {

bool Verdicts::can(VerdictPath path) {
  if (path == VerdictPath::kPortable) return true;
#if WIRETRIAL_X86
  if (path == VerdictPath::kAvx2) return __builtin_cpu_supports("avx2");
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
#else
  return false;
#endif
}

uint32_t Verdicts::run(VerdictPath path, const VerdictBatch& b, uint32_t from, uint32_t to) const {
  uint32_t at = from;
  if (path == VerdictPath::kAvx512) at = run_avx512(b, from, to);
  else if (path == VerdictPath::kAvx2) at = run_avx2(b, from, to);
  for (; at < to; at++) {
    b.results[at] = find(b, at);
    if (b.results[at] == kUnknown) return at;
  }
  return to;
}

#if WIRETRIAL_X86

namespace {

// One side's ports: by what keys hold them, and the tables of their classes.
struct PortSide {
  enum By { kNothing, kClass, kValue };
  By by;
  const uint16_t* tcp;
  const uint16_t* udp;
};

#define WIRETRIAL_AVX512 __attribute__((target("avx512f,avx512dq"), always_inline)) static inline
#define WIRETRIAL_AVX2 __attribute__((target("avx2"), always_inline)) static inline

// `direct_class` of sixteen addresses.
WIRETRIAL_AVX512 __m512i classes16(const uint32_t* cells, __m512i address) {
  const __m512i low = _mm512_set1_epi32(0xff), blocks = _mm512_set1_epi32(65536);
  __m512i cell = _mm512_i32gather_epi32(_mm512_srli_epi32(address, 16), cells, 4);
  __mmask16 more = _mm512_movepi32_mask(cell);
  if (more == 0) return cell;
  __m512i in = _mm512_and_si512(_mm512_srli_epi32(address, 8), low);
  // The bit that marks a block leaves by the shift.
  __m512i at = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(cell, 8), blocks), in);
  cell = _mm512_mask_i32gather_epi32(cell, more, at, cells, 4);
  more = _mm512_movepi32_mask(cell);
  if (more == 0) return cell;
  in = _mm512_and_si512(address, low);
  at = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(cell, 8), blocks), in);
  return _mm512_mask_i32gather_epi32(cell, more, at, cells, 4);
}

// Two ports lie in each word that is loaded: no load goes past the table's end.
WIRETRIAL_AVX512 __m512i ports16(const uint16_t* table, __m512i port, __mmask16 which,
                                 __m512i otherwise) {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i words = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), which,
                                                    _mm512_srli_epi32(port, 1), table, 4);
  const __m512i shift = _mm512_slli_epi32(_mm512_and_si512(port, one), 4);
  const __m512i half = _mm512_and_si512(_mm512_srlv_epi32(words, shift), _mm512_set1_epi32(0xffff));
  return _mm512_mask_mov_epi32(otherwise, which, half);
}

WIRETRIAL_AVX512 __m512i side16(const PortSide& side, __m512i port, __mmask16 tcp, __mmask16 udp) {
  if (side.by == PortSide::kValue) return _mm512_maskz_mov_epi32(tcp | udp, port);
  __m512i found = _mm512_setzero_si512();
  if (side.by == PortSide::kNothing) return found;
  if (tcp) found = ports16(side.tcp, port, tcp, found);
  if (udp) found = ports16(side.udp, port, udp, found);
  return found;
}

WIRETRIAL_AVX512 __m512i load16(const uint32_t* at) { return _mm512_loadu_si512(at); }

WIRETRIAL_AVX2 __m256i gather8(__m256i before, __m256i which, __m256i at, const uint32_t* from) {
  return _mm256_mask_i32gather_epi32(before, reinterpret_cast<const int32_t*>(from), at, which, 4);
}

// `direct_class` of eight addresses.
WIRETRIAL_AVX2 __m256i classes8(const uint32_t* cells, __m256i address) {
  const __m256i low = _mm256_set1_epi32(0xff), blocks = _mm256_set1_epi32(65536);
  const __m256i all = _mm256_set1_epi32(-1), zero = _mm256_setzero_si256();
  __m256i cell = gather8(zero, all, _mm256_srli_epi32(address, 16), cells);
  for (int shift = 8; shift >= 0; shift -= 8) {
    // The bit that marks a block is the sign.
    const __m256i more = _mm256_srai_epi32(cell, 31);
    if (_mm256_movemask_epi8(more) == 0) return cell;
    const __m256i in = _mm256_and_si256(_mm256_srl_epi32(address, _mm_cvtsi32_si128(shift)), low);
    const __m256i at = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(cell, 8), blocks), in);
    cell = gather8(cell, more, at, cells);
  }
  return cell;
}

WIRETRIAL_AVX2 __m256i ports8(const uint16_t* table, __m256i port, __m256i which,
                              __m256i otherwise) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i words = gather8(zero, which, _mm256_srli_epi32(port, 1),
                                reinterpret_cast<const uint32_t*>(table));
  const __m256i shift = _mm256_slli_epi32(_mm256_and_si256(port, _mm256_set1_epi32(1)), 4);
  const __m256i half = _mm256_and_si256(_mm256_srlv_epi32(words, shift), _mm256_set1_epi32(0xffff));
  return _mm256_blendv_epi8(otherwise, half, which);
}

WIRETRIAL_AVX2 __m256i side8(const PortSide& side, __m256i port, __m256i tcp, __m256i udp) {
  if (side.by == PortSide::kValue) return _mm256_and_si256(_mm256_or_si256(tcp, udp), port);
  __m256i found = _mm256_setzero_si256();
  if (side.by == PortSide::kNothing) return found;
  if (_mm256_movemask_epi8(tcp)) found = ports8(side.tcp, port, tcp, found);
  if (_mm256_movemask_epi8(udp)) found = ports8(side.udp, port, udp, found);
  return found;
}

WIRETRIAL_AVX2 __m256i load8(const uint32_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

}  // namespace

__attribute__((target("avx512f,avx512dq"))) uint32_t Verdicts::run_avx512(const VerdictBatch& b,
                                                                          uint32_t from,
                                                                          uint32_t to) const {
  constexpr uint32_t kLanes = 16;
  const auto from_side = side_of<PortSide>(0, kBySport, kBySourcePort);
  const auto to_side = side_of<PortSide>(1, kByDport, kByDestinationPort);
  const __m512i zero = _mm512_setzero_si512();
  for (uint32_t i = from; i + kLanes <= to; i += kLanes) {
    const __m512i src = load16(b.src + i), dst = load16(b.dst + i);
    const __m512i ports = load16(b.ports + i), kinds = load16(b.kinds + i);
    const __m512i protocol = _mm512_and_si512(kinds, _mm512_set1_epi32(0xff));
    const __mmask16 tcp = _mm512_cmpeq_epi32_mask(protocol, _mm512_set1_epi32(kTcp));
    const __mmask16 udp = _mm512_cmpeq_epi32_mask(protocol, _mm512_set1_epi32(kUdp));
    const __m512i sport =
        side16(from_side, _mm512_and_si512(ports, _mm512_set1_epi32(0xffff)), tcp, udp);
    const __m512i dport = side16(to_side, _mm512_srli_epi32(ports, 16), tcp, udp);
    const __m512i key[4] = {
        by_ & kBySource ? src : classes16(tables_.direct[0], src),
        by_ & kByDestination ? dst : classes16(tables_.direct[1], dst),
        _mm512_or_si512(sport, _mm512_slli_epi32(dport, 16)), kinds};
    __m512i h = zero;
    for (uint32_t w = 0; w < 4; w++) {
      h = _mm512_add_epi32(
          h, _mm512_mullo_epi32(key[w], _mm512_set1_epi32(static_cast<int32_t>(kMix[w]))));
    }
    h = _mm512_mullo_epi32(_mm512_xor_si512(h, _mm512_srli_epi32(h, 15)),
                           _mm512_set1_epi32(static_cast<int32_t>(kLast)));
    h = _mm512_xor_si512(h, _mm512_srli_epi32(h, 13));
    const __m512i slot = _mm512_slli_epi32(
        _mm512_and_si512(h, _mm512_set1_epi32(static_cast<int32_t>(mask_))), 3);
    const int32_t* words = reinterpret_cast<const int32_t*>(slots_);
    __mmask16 same = 0xffff;
    for (uint32_t w = 0; w < 4; w++) {
      same &= _mm512_cmpeq_epi32_mask(_mm512_i32gather_epi32(slot, words + w, 4), key[w]);
    }
    const __m512i number = _mm512_i32gather_epi32(slot, words + 4, 4);
    _mm512_storeu_si512(b.results + i, number);
    for (uint32_t left = static_cast<uint16_t>(~same); left != 0; left &= left - 1) {
      const uint32_t lane = i + static_cast<uint32_t>(__builtin_ctz(left));
      b.results[lane] = find(b, lane);
      if (b.results[lane] == kUnknown) return i;
    }
  }
  return from + (to - from) / kLanes * kLanes;
}

__attribute__((target("avx2"))) uint32_t Verdicts::run_avx2(const VerdictBatch& b, uint32_t from,
                                                            uint32_t to) const {
  constexpr uint32_t kLanes = 8;
  const auto from_side = side_of<PortSide>(0, kBySport, kBySourcePort);
  const auto to_side = side_of<PortSide>(1, kByDport, kByDestinationPort);
  const __m256i zero = _mm256_setzero_si256(), all = _mm256_set1_epi32(-1);
  for (uint32_t i = from; i + kLanes <= to; i += kLanes) {
    const __m256i src = load8(b.src + i), dst = load8(b.dst + i);
    const __m256i ports = load8(b.ports + i), kinds = load8(b.kinds + i);
    const __m256i protocol = _mm256_and_si256(kinds, _mm256_set1_epi32(0xff));
    const __m256i tcp = _mm256_cmpeq_epi32(protocol, _mm256_set1_epi32(kTcp));
    const __m256i udp = _mm256_cmpeq_epi32(protocol, _mm256_set1_epi32(kUdp));
    const __m256i sport =
        side8(from_side, _mm256_and_si256(ports, _mm256_set1_epi32(0xffff)), tcp, udp);
    const __m256i dport = side8(to_side, _mm256_srli_epi32(ports, 16), tcp, udp);
    const __m256i key[4] = {
        by_ & kBySource ? src : classes8(tables_.direct[0], src),
        by_ & kByDestination ? dst : classes8(tables_.direct[1], dst),
        _mm256_or_si256(sport, _mm256_slli_epi32(dport, 16)), kinds};
    __m256i h = zero;
    for (uint32_t w = 0; w < 4; w++) {
      h = _mm256_add_epi32(
          h, _mm256_mullo_epi32(key[w], _mm256_set1_epi32(static_cast<int32_t>(kMix[w]))));
    }
    h = _mm256_mullo_epi32(_mm256_xor_si256(h, _mm256_srli_epi32(h, 15)),
                           _mm256_set1_epi32(static_cast<int32_t>(kLast)));
    h = _mm256_xor_si256(h, _mm256_srli_epi32(h, 13));
    const __m256i slot = _mm256_slli_epi32(
        _mm256_and_si256(h, _mm256_set1_epi32(static_cast<int32_t>(mask_))), 3);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(slots_);
    __m256i same = all;
    for (uint32_t w = 0; w < 4; w++) {
      same = _mm256_and_si256(
          same, _mm256_cmpeq_epi32(gather8(zero, all, slot, words + w), key[w]));
    }
    const __m256i number = gather8(zero, all, slot, words + 4);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b.results + i), number);
    const uint32_t found = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(same)));
    for (uint32_t left = ~found & 0xff; left != 0; left &= left - 1) {
      const uint32_t lane = i + static_cast<uint32_t>(__builtin_ctz(left));
      b.results[lane] = find(b, lane);
      if (b.results[lane] == kUnknown) return i;
    }
  }
  return from + (to - from) / kLanes * kLanes;
}

#else

uint32_t Verdicts::run_avx2(const VerdictBatch&, uint32_t from, uint32_t) const { return from; }
uint32_t Verdicts::run_avx512(const VerdictBatch&, uint32_t from, uint32_t) const { return from; }

#endif

}  // namespace wiretrial
