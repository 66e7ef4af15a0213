// A run over a batch for one kind of processor: packets are read by the block, their buckets, records
// and decisions fetched meanwhile, then moved in order. WIRETRIAL_ISA is the namespace of that kind,
// of which the compiler has been told, and WIRETRIAL_WIDTH the 32-bit words in a vector of it. Included by run-*.cc and nobody else.
#include <array>

#include "block.hh"
#include "engine.hh"

namespace wiretrial::WIRETRIAL_ISA {

// Packets that are read at a time.
constexpr uint32_t kWidth = WIRETRIAL_WIDTH;

#include "wide-facts.hh"
#include "express.hh"

class Runner {
 public:
  Runner(Engine& engine, const Batch& batch)
      : e_(engine),
        b_(batch),
        // Copies are of whole heads, and in order only in a ring that holds a block.
        express_(batch.stride == 0 ||
                 (batch.stride >= kHeadRoom + 16 && batch.ring >= kBlock)) {}

  uint32_t run(uint32_t from, uint32_t to) {
    uint32_t at = from;
    while (at < to) {
      const uint32_t count = std::min(kBlock, to - at);
      read(at, count);
      find(count);
      const uint32_t done = move(at, count);
      at += done;
      if (done < count) break;
    }
    return at;
  }

 private:
  void read(uint32_t from, uint32_t count) {
    uint32_t i = 0;
    if (b_.roomy_end != 0) {
      for (; i + kWidth <= count; i += kWidth) {
        uint32_t left = ~read_wide(b_, from + i, k_, i, e_.book()) & ((1u << kWidth) - 1);
        for (; left != 0; left &= left - 1) {
          read_alone(from, i + static_cast<uint32_t>(__builtin_ctz(left)));
        }
        for (uint32_t lane = i; lane < i + kWidth; lane++) {
          e_.flows().prefetch_bucket(k_.hash[lane]);
        }
      }
    }
    for (; i < count; i++) read_alone(from, i);
  }

  [[gnu::noinline]] void read_alone(uint32_t from, uint32_t i) {
    const Arrival a = arrival(b_, from + i);
    Facts f;
    k_.hash[i] = 0;
    k_.plain[i] = e_.read(a, f);
    if (!k_.plain[i]) return;
    put(k_, i, f);
    k_.bytes[i] = a.bytes;
    k_.roomy[i] = b_.offsets[from + i] < b_.roomy_end;
    e_.flows().prefetch_bucket(f.hash);
  }

  void find(uint32_t count) {
    const FlowTable& flows = e_.flows();
    const bool is_far = flows.count() > kNear;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t hash = k_.hash[i];
      const uint64_t ends = k_.ends[i], rest = k_.rest[i];
      const uint32_t ways = ways_of(flows.first_bucket(hash), ends, rest);
      uint32_t place = flows.first_place(hash) + static_cast<uint32_t>(__builtin_ctz(ways | 16));
      if (!k_.plain[i]) place = FlowTable::kNone;
      else if (ways == 0) place = flows.find(FlowKey{ends, rest}, hash);
      k_.place[i] = place;
      if (place == FlowTable::kNone) continue;
      flows.prefetch_record(place);
      // Where it is a connection's first name: others' tracking stands elsewhere.
      if (is_far && static_cast<uint8_t>(rest >> 32) == kTcp) flows.prefetch_tracking(place);
    }
    if (!is_far) return;
    Engine::Needs needs[kBlock];
    uint32_t met = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (k_.place[i] == FlowTable::kNone) continue;
      const bool is_tcp = static_cast<uint8_t>(k_.rest[i] >> 32) == kTcp;
      needs[met] = e_.needs_of(k_.place[i], k_.swapped[i], is_tcp);
      __builtin_prefetch(needs[met].next, 1);
      __builtin_prefetch(needs[met].tracking, 1);
      met += 1;
    }
    // Where tables are large, processors drop such wishes: what is read is waited for all at once
    // rather than packet by packet.
    uint32_t touched = 0;
    for (uint32_t i = 0; i < met; i++) touched += *needs[i].next + *needs[i].tracking;
    asm volatile("" ::"r"(touched));
  }

  // Names of connections up to which all that is known of them is near the processor.
  static constexpr uint32_t kNear = 4096;

  // Returns how many were moved; fewer than `count` where one was not, or by a decision that is not
  // good.
  uint32_t move(uint32_t from, uint32_t count) {
    const Batch b = b_;
    // A packet that opens or ends a connection moves what was found for those behind it.
    const uint32_t changes = e_.flows().changes();
    bool is_found = express_;
    uint64_t translated = 0;
    uint32_t alone = 0, i = 0;
    for (; i < count; i++) {
      int32_t result = -1;
      if (is_found && k_.roomy[i] && k_.place[i] != FlowTable::kNone) {
        result = move_express(e_, b, from + i, k_, i, translated);
      }
      if (result < 0) [[unlikely]] {
        const bool is_same = e_.flows().changes() == changes;
        result = move_alone(from + i, i, is_same);
        is_found = express_ && e_.flows().changes() == changes;
        alone += 1;
      }
      b.results[from + i] = result;
      if (result < 0 || (b.good != nullptr && !b.good[result])) [[unlikely]] break;
    }
    e_.add_moved(std::min(i + 1, count) - alone, translated);
    return i;
  }

  [[gnu::noinline]] int32_t move_alone(uint32_t at, uint32_t i, bool is_found) {
    const Arrival a = arrival(b_, at);
    Facts f;
    if (k_.plain[i]) f = facts_at(k_, i, a);
    else e_.read(a, f);
    return e_.move_in_batch(a, f, k_.plain[i] != 0, is_found ? &k_.place[i] : nullptr);
  }

  Engine& e_;
  const Batch& b_;
  const bool express_;
  Block k_;
};

}  // namespace wiretrial::WIRETRIAL_ISA
