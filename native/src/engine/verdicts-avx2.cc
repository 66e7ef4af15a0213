// Verdicts on processors that have AVX2. What is shared with others is included before the compiler
// is told of them: it must not become theirs.
#include "verdicts.hh"

#if WIRETRIAL_VECTORS
#pragma GCC target("avx2")
#define WIRETRIAL_ISA avx2
#define WIRETRIAL_WIDTH 8
#define WIRETRIAL_RUN run_avx2

namespace wiretrial::WIRETRIAL_ISA {

#include "wide.hh"
#include "wide-classes.hh"
#include "wide-verdicts.hh"

#else

namespace wiretrial {

uint32_t Verdicts::run_avx2(const VerdictBatch&, uint32_t from, uint32_t) const { return from; }

}  // namespace wiretrial

#endif
