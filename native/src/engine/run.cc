// Batches: the same steps as for one packet, in stages over a block of them. Which kind of processor
// this is, is found out when the first batch is moved; all give the same (native/fuzz/blocks.cc).
#include "run-paths.hh"

#define WIRETRIAL_ISA portable
#define WIRETRIAL_WIDTH 4
#include "run-block.hh"

namespace wiretrial {

uint32_t run_portable(Engine& e, const Batch& b, uint32_t from, uint32_t to) {
  return portable::Runner(e, b).run(from, to);
}

uint32_t Engine::run(const Batch& b, uint32_t from, uint32_t to) {
  static const RunPath path = best_path();
  return path(*this, b, from, to);
}

}  // namespace wiretrial
