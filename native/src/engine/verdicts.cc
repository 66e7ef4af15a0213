// Which way verdicts are looked up is decided when the processor is known; all give the same numbers
// (test/native/verdicts.test.ts).
#include "verdicts.hh"

namespace wiretrial {

bool Verdicts::can(VerdictPath path) {
  if (path == VerdictPath::kPortable) return true;
#if WIRETRIAL_VECTORS
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

}  // namespace wiretrial
