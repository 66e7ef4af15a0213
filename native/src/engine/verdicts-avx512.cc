// Verdicts on processors that have AVX-512. What is shared with others is included before the compiler
// is told of them: it must not become theirs.
#include "verdicts.hh"

#if WIRETRIAL_VECTORS
#pragma GCC target("avx512f,avx512dq,prefer-vector-width=512")
#define WIRETRIAL_ISA avx512
#define WIRETRIAL_WIDTH 16
#define WIRETRIAL_RUN run_avx512

namespace wiretrial::WIRETRIAL_ISA {

#include "wide.hh"
#include "wide-classes.hh"
#include "wide-verdicts.hh"

#else

namespace wiretrial {

uint32_t Verdicts::run_avx512(const VerdictBatch&, uint32_t from, uint32_t) const { return from; }

}  // namespace wiretrial

#endif
