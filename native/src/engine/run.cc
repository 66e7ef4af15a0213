// Batches: the same steps as for one packet, with the memory that packets ahead will need fetched
// meanwhile. Compiled for several kinds of processor, chosen when the addon is loaded.
#include "engine.hh"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(WIRETRIAL_CALLGRIND)
#define WIRETRIAL_CLONES \
  __attribute__((flatten, target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define WIRETRIAL_CLONES
#endif

namespace wiretrial {

WIRETRIAL_CLONES uint32_t Engine::run(const Batch& b, uint32_t from, uint32_t to) {
  Facts facts[kBlock];
  bool plain[kBlock];
  uint32_t places[kBlock];
  for (uint32_t start = from; start < to; start += kBlock) {
    const uint32_t count = std::min(kBlock, to - start);
    for (uint32_t i = 0; i < count; i++) {
      plain[i] = read(arrival(b, start + i), facts[i]);
      if (plain[i]) flows().prefetch_bucket(facts[i].hash);
    }
    for (uint32_t i = 0; i < count; i++) {
      if (!plain[i]) continue;
      places[i] = flows().find(facts[i].key, facts[i].hash);
      if (places[i] != FlowTable::kNone) {
        flows().prefetch_record(places[i], facts[i].protocol == kTcp);
      }
    }
    for (uint32_t i = 0; i < count; i++) {
      if (plain[i] && places[i] != FlowTable::kNone) prefetch_decisions(places[i]);
    }
    // A packet that opens or ends a connection moves what was found for those behind it.
    const uint32_t changes = flows().changes();
    for (uint32_t i = 0; i < count; i++) {
      const Arrival a = arrival(b, start + i);
      int32_t result = kNotPlain;
      if (!plain[i]) result = slow(kNotPlain);
      else if (flows().changes() == changes) result = move(a, facts[i], places[i]);
      else result = move(a, facts[i]);
      b.results[start + i] = result;
      if (result >= 0 && (b.good == nullptr || b.good[result])) continue;
      if (result >= 0) return start + i;
      last_ = facts[i];
      last_plain_ = plain[i];
      return start + i;
    }
  }
  return to;
}

}  // namespace wiretrial
