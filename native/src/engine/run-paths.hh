// The ways of moving a batch, by kind of processor.
#pragma once

#include <cstdint>

#include "batch.hh"

namespace wiretrial {

class Engine;

using RunPath = uint32_t (*)(Engine&, const Batch&, uint32_t from, uint32_t to);

uint32_t run_portable(Engine&, const Batch&, uint32_t from, uint32_t to);
uint32_t run_avx2(Engine&, const Batch&, uint32_t from, uint32_t to);

// Whether this processor can go the way of AVX2.
inline bool has_avx2() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2");  // lzcnt and movbe came with these
#else
  return false;
#endif
}

inline RunPath best_path() { return has_avx2() ? run_avx2 : run_portable; }

}  // namespace wiretrial
