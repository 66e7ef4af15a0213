// Decisions that are looked up by the vector must be those that are looked up one by one. The same
// drawn facts, found by `Engine::find_opening` and by `decide_wide` of both widths: a wrong key there
// would only send a packet the slow way, which no result tells. Built with the sanitizers:
// decisions [BLOCKS] [SEED].
#include <array>
#include <cstdio>
#include <cstdlib>

#include "../src/engine/block.hh"
#include "../src/engine/engine.hh"
#include "../src/engine/run-paths.hh"
#include "drawn.hh"

#define WIRETRIAL_WIDTH 4
namespace wiretrial::portable {
#include "../src/engine/wide.hh"
#include "../src/engine/wide-classes.hh"
#include "../src/engine/wide-facts.hh"
#include "../src/engine/wide-decisions.hh"
}  // namespace wiretrial::portable
#undef WIRETRIAL_WIDTH

namespace {

using namespace wiretrial;

constexpr uint32_t kDecisions = 2048;

Facts draw_facts(Random& r, AddressBook& book) {
  Facts f{};
  const uint8_t flags[] = {0x02, 0x12, 0x10, 0x18, 0x04, 0x14, 0x11, 0x42};
  f.family = r.one_in(3) ? 6 : 4;
  f.protocol = r.one_in(2) ? kTcp : kUdp;
  for (uint32_t* end : {&f.src, &f.dst}) {
    *end = 0x0a000001 + r.below(6) + (r.one_in(4) ? 0x100 : 0);
    if (f.family == 4) continue;
    uint8_t address[16]{};
    address[12] = 0xfd;
    address[15] = static_cast<uint8_t>(1 + r.below(6));
    *end = book.number_of(address);
  }
  f.sport = r.one_in(2) ? 80 : r.below(65536);
  f.dport = r.one_in(2) ? 80 : r.below(9) * 1000;
  f.tos = static_cast<uint8_t>(r.one_in(5) ? 16 : 0);
  f.tcp_flags = f.protocol == kTcp ? flags[r.below(8)] : 0;
  f.offloaded = r.one_in(6);
  f.ttl = 64;
  return f;
}

// Make a decision known of such packets, by any facts.
void decide(Engine& e, Random& r, const Facts& f, uint32_t entry) {
  if (!e.decisions().has_room()) e.clear_decisions();
  if (e.find_opening(f, entry) != DecisionTable::kNone) return;
  Decision d{};
  const bool is_syn = conntrack::tcp_index(f.tcp_flags) == conntrack::kIndexSyn;
  d.state = f.protocol == kUdp || is_syn ? FlowState::kOpening : FlowState::kStray;
  d.entry = entry;
  d.by = static_cast<uint8_t>(r.one_in(2) ? r.below(128) : r.one_in(2) ? kByDport : kByFlags);
  e.enter(f, OtherEnds{}, d, e.decisions().add(d));
}

void put_facts(Block& k, uint32_t i, const Facts& f) {
  k.src[i] = f.src;
  k.dst[i] = f.dst;
  k.ports[i] = f.sport | f.dport << 16;
  k.rest[i] = static_cast<uint64_t>(f.protocol | static_cast<uint32_t>(f.family) << 8) << 32;
  k.traits[i] = f.tos | static_cast<uint32_t>(f.offloaded) << 11;
  k.tcp_flags[i] = f.tcp_flags;
}

using Decide = void (*)(Engine&, Block&, uint32_t, const uint32_t*, uint32_t);

// The number of packets that were found, or -1 where one was not as it is found alone.
int64_t check_block(Engine& e, Random& r, Decide decide_lanes, uint32_t width) {
  Block k{};
  Facts facts[kBlock];
  uint32_t entries[kBlock];
  int64_t known = 0;
  for (uint32_t i = 0; i < kBlock; i++) {
    facts[i] = draw_facts(r, e.book());
    entries[i] = r.one_in(5) ? 1 : 0;
    put_facts(k, i, facts[i]);
    if (r.one_in(3)) decide(e, r, facts[i], entries[i]);
  }
  for (uint32_t i = 0; i < kBlock; i += width) {
    const uint32_t wanted = r.next() & ((1u << width) - 1);
    if (wanted != 0) decide_lanes(e, k, i, entries + i, wanted);
    for (uint32_t lane = 0; lane < width; lane++) {
      if (!(wanted >> lane & 1)) continue;
      const uint32_t alone = e.find_opening(facts[i + lane], entries[i + lane]);
      if (k.decision[i + lane] != alone) return -1;
      known += alone != DecisionTable::kNone;
    }
  }
  return known;
}

}  // namespace

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,movbe,popcnt")
#define WIRETRIAL_WIDTH 8
namespace wiretrial::avx2 {
#include "../src/engine/wide.hh"
#include "../src/engine/wide-classes.hh"
#include "../src/engine/wide-facts.hh"
#include "../src/engine/wide-decisions.hh"
}  // namespace wiretrial::avx2
#pragma GCC pop_options
constexpr Decide kWidest = avx2::decide_wide;
#else
constexpr Decide kWidest = portable::decide_wide;
#endif

int main(int argc, char** argv) {
  const long blocks = argc > 1 ? std::atol(argv[1]) : 3000;
  Random r(static_cast<uint64_t>(argc > 2 ? std::atol(argv[2]) : 1));
  const bool has_wide = has_avx2();
  if (!has_wide) std::printf("this processor has no AVX2: its path is NOT MEASURED\n");
  const Tables tables;
  int64_t known = 0;
  for (const bool has_classes : {true, false}) {
    Engine engine(EngineSizes{64, kDecisions, 64, 4, 8});
    if (has_classes) engine.classes().use(tables.shown());
    for (long block = 0; block < blocks; block++) {
      const bool is_wide = has_wide && block % 2 == 0;
      const int64_t found = check_block(engine, r, is_wide ? kWidest : portable::decide_wide, is_wide ? 8 : 4);
      if (found < 0) {
        std::printf("block %ld, %s: a decision differs\n", block, is_wide ? "AVX2" : "portable");
        return 1;
      }
      known += found;
    }
  }
  const long long packets = 2ll * blocks * kBlock;
  std::printf("%lld packets drawn, %lld decisions found: no difference\n", packets,
              static_cast<long long>(known));
  return known > packets / 10 ? 0 : 1;
}
