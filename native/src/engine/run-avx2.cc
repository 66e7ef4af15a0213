// Batches on processors that have AVX2. What is shared with others is included before the compiler
// is told of them: it must not become theirs.
#include "block.hh"
#include "engine.hh"
#include "run-paths.hh"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <array>
#pragma GCC target("avx2,bmi,bmi2,lzcnt,movbe,popcnt")
#define WIRETRIAL_ISA avx2
#define WIRETRIAL_WIDTH 8
#include "run-block.hh"

namespace wiretrial {

uint32_t run_avx2(Engine& e, const Batch& b, uint32_t from, uint32_t to) {
  return avx2::Runner(e, b).run(from, to);
}

}  // namespace wiretrial

#else

namespace wiretrial {

uint32_t run_avx2(Engine& e, const Batch& b, uint32_t from, uint32_t to) {
  return run_portable(e, b, from, to);
}

}  // namespace wiretrial

#endif
