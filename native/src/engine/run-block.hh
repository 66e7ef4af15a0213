// A run over a batch for one kind of processor: packets are read by the block, their buckets, records
// and decisions fetched meanwhile, then moved in order. WIRETRIAL_ISA is the namespace of that kind,
// of which the compiler has been told, and WIRETRIAL_WIDTH the 32-bit words in a vector of it.
// Included by run-*.cc and nobody else.
#include <array>

#include "block.hh"
#include "engine.hh"

namespace wiretrial::WIRETRIAL_ISA {

#include "wide.hh"
#include "wide-classes.hh"
#include "wide-facts.hh"
#include "wide-decisions.hh"
#include "express.hh"
#include "openings.hh"

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
    to_ = to;
    while (at < to) {
      const uint32_t count = std::min(kBlock, to - at);
      read(at, count);
      if (!express_) std::fill_n(k_.ready, count, 0);
      asked_ = 0;
      changed_ = kNothing;
      const uint64_t lost = find(count);
      if (lost != 0) {
        decide(at, count, lost);
        fetch_places(lost);
      }
      const uint32_t done = move(at, count);
      at += done;
      if (done < count) break;
    }
    return at;
  }

 private:
  void read(uint32_t from, uint32_t count) {
    uint32_t i = 0;
    wide_ = 0;
    if (b_.roomy_end != 0 && count >= kWidth) {
      for (; i < count; i += kWidth) {
        // The last ones stand in a vector with some that were read already.
        i = std::min(i, count - kWidth);
        fetch_packets(from + i + kAhead);
        const uint32_t plain = read_wide(b_, from + i, k_, i, e_.book());
        wide_ |= static_cast<uint64_t>(plain) << i;
        for (uint32_t left = ~plain & kAllLanes; left != 0; left &= left - 1) {
          read_alone(from, i + static_cast<uint32_t>(__builtin_ctz(left)));
        }
        for (uint32_t lane = i; lane < i + kWidth; lane++) {
          e_.flows().prefetch_bucket(k_.hash[lane]);
        }
      }
    }
    for (; i < count; i++) read_alone(from, i);
  }

  // Packets that will be read soon, as many at a time as are read meanwhile: processors drop such
  // wishes where they come in crowds.
  void fetch_packets(uint32_t at) {
    if (at + kWidth > to_) return;
    for (uint32_t i = at; i < at + kWidth; i++) __builtin_prefetch(b_.packets + b_.offsets[i]);
  }

  [[gnu::noinline]] void read_alone(uint32_t from, uint32_t i) {
    const Arrival a = arrival(b_, from + i);
    Facts f;
    k_.plain[i] = e_.read(a, f);
    if (!k_.plain[i]) {
      k_.hash[i] = 0;
      k_.rest[i] = kNoFlow;
      k_.ready[i] = 0;
      return;
    }
    put(k_, i, f);
    k_.bytes[i] = a.bytes;
    k_.ready[i] = b_.offsets[from + i] < b_.roomy_end;
    k_.follows[i] = b_.entries[from + i] | static_cast<uint64_t>(k_.traits[i]) << 48;
    e_.flows().prefetch_bucket(f.hash);
  }

  // Returns one bit for each packet whose flow is not in the table.
  uint64_t find(uint32_t count) {
    const FlowTable& flows = e_.flows();
    const bool is_far = flows.count() > kNear;
    uint64_t lost = 0;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t place = place_of(flows, k_, i);
      k_.place[i] = place;
      if (place == FlowTable::kNone) {
        lost |= static_cast<uint64_t>(k_.plain[i] != 0) << i;
        continue;
      }
      flows.prefetch_record(place);
      // Where it is a connection's first name: others' tracking stands elsewhere.
      if (is_far && static_cast<uint8_t>(k_.rest[i] >> 32) == kTcp) flows.prefetch_tracking(place);
    }
    if (is_far) fetch_needs(count);
    return lost;
  }

  void fetch_needs(uint32_t count) {
    // Where tables are large, processors drop wishes that come in crowds: what is read is waited for
    // all at once rather than packet by packet.
    uint32_t touched = 0;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t place = k_.place[i] == FlowTable::kNone ? 0 : k_.place[i];
      touched += *static_cast<const uint8_t*>(e_.flows().record_at(place));
    }
    asm volatile("" ::"r"(touched));
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
    for (uint32_t i = 0; i < met; i++) touched += *needs[i].next + *needs[i].tracking;
    asm volatile("" ::"r"(touched));
  }

  // Packets between those that are read and those that are fetched.
  static constexpr uint32_t kAhead = 32;

  // No flow's, and in no place of the table: what is not plain is not found.
  static constexpr uint64_t kNoFlow = 1;

  // Names of connections up to which all that is known of them is near the processor.
  static constexpr uint32_t kNear = 4096;

  // Look up the decisions of packets that no connection holds, as far as can be told; one bit each.
  // What is found holds for the block: nobody learns while a batch is moved.
  [[gnu::noinline]] void decide(uint32_t from, uint32_t count, uint64_t packets) {
    asked_ |= packets;
    for (uint32_t i = 0; i < count; i += kWidth) {
      const auto lanes = static_cast<uint32_t>(packets >> i) & kAllLanes;
      // Behind the last whole vector may be no more entries.
      const uint32_t wide = i + kWidth <= count ? lanes & static_cast<uint32_t>(wide_ >> i) : 0;
      if (wide != 0) decide_wide(e_, k_, i, b_.entries + from + i, wide);
      for (uint32_t left = lanes & ~wide; left != 0; left &= left - 1) {
        const uint32_t lane = i + static_cast<uint32_t>(__builtin_ctz(left)), at = from + lane;
        k_.decision[lane] = e_.find_opening(facts_at(k_, lane, arrival(b_, at)), b_.entries[at]);
      }
    }
  }

  // What connections will be written that these packets open.
  void fetch_places(uint64_t packets) {
    const FlowTable& flows = e_.flows();
    if (flows.count() <= kNear) return;
    for (; packets != 0; packets &= packets - 1) {
      const auto i = static_cast<uint32_t>(__builtin_ctzll(packets));
      const uint32_t number = k_.decision[i], hash = k_.hash[i];
      if (number == DecisionTable::kNone || e_.decisions().at(number).host_set_after == 0) continue;
      const uint32_t ways = free_ways(flows.first_bucket(hash));
      const uint32_t place = flows.first_place(hash) + static_cast<uint32_t>(__builtin_ctz(ways | 8));
      flows.prefetch_record(place);
      if (static_cast<uint8_t>(k_.rest[i] >> 32) == kTcp) flows.prefetch_tracking(place);
    }
  }

  // Returns how many were moved; fewer than `count` where one was not, or by a decision that is not
  // good.
  uint32_t move(uint32_t from, uint32_t count) {
    const Batch b = b_;
    uint64_t translated = 0;
    // Packets are written when those behind them can not change what that needs.
    uint32_t alone = 0, written = 0, i = 0;
    for (; i < count; i++) {
      int32_t result = -1;
      bool is_held = true;
      if (changed_ != kNothing) [[unlikely]] is_held = is_held_still(i, b.times[from + i]);
      if (k_.ready[i]) [[likely]] {
        if (is_held && k_.place[i] != FlowTable::kNone) {
          result = move_express(e_, b, from + i, k_, i, translated);
        }
        if (result < 0) [[unlikely]] result = open(b, from, i, count, translated);
      }
      if (result < 0) [[unlikely]] {
        write(b, from, written, i);
        written = i + 1;
        const uint32_t changes = e_.flows().changes();
        result = move_alone(from + i, i);
        if (e_.flows().changes() != changes) changed_ = kAny;
        alone += 1;
      }
      b.results[from + i] = result;
      if (result < 0 || (b.good != nullptr && !b.good[result])) [[unlikely]] break;
    }
    const uint32_t moved = std::min(i + 1, count);
    write(b, from, written, moved);
    e_.add_moved(moved - alone, translated);
    return i;
  }

  void write(const Batch& b, uint32_t from, uint32_t i, uint32_t end) {
    if (b.stride != 0 && i < end) write_block(e_.decisions(), b, from, k_, i, end);
  }

  // Move the packet at `i` of the block if no connection holds it. Not inlined: the everyday way is
  // to keep its registers.
  [[gnu::noinline]] int32_t open(const Batch& b, uint32_t from, uint32_t i, uint32_t count,
                                 uint64_t& translated) {
    if (!is_lost(i, b.times[from + i])) return -1;
    if (!(asked_ >> i & 1)) decide_over(from, i, count);
    const uint32_t changes = e_.flows().changes();
    const int32_t result = move_opening(e_, b, from + i, k_, i, translated);
    if (e_.flows().changes() != changes) touch(i);
    return result;
  }

  // Whether no connection holds the packet.
  [[gnu::always_inline]] bool is_lost(uint32_t i, double now_ns) {
    return k_.place[i] == FlowTable::kNone || e_.is_over(k_.place[i], now_ns);
  }

  // A packet that opens or ends a connection may move what was found for those behind it: by
  // `move_opening`, of the same flow only.
  void touch(uint32_t i) {
    if (changed_ == kNothing) {
      changed_ = kSome;
      is_touched_.fill(false);
    }
    is_touched_[k_.hash[i] % kTouched] = true;
  }

  // Look up the packet at `i` again if that may be; whether a connection holds it that is not over:
  // where one is, others are.
  [[gnu::noinline]] bool is_held_still(uint32_t i, double now_ns) {
    if (changed_ == kAny || is_touched_[k_.hash[i] % kTouched]) {
      k_.place[i] = place_of(e_.flows(), k_, i);
    }
    return !is_lost(i, now_ns);
  }

  // The same as `decide` of the packet at `i` and of those beside it whose connections' time is up.
  [[gnu::noinline]] void decide_over(uint32_t from, uint32_t i, uint32_t count) {
    uint64_t packets = uint64_t{1} << i;
    const uint32_t first = i / kWidth * kWidth, end = std::min(first + kWidth, count);
    for (uint32_t lane = first; lane < end; lane++) {
      const uint32_t place = k_.place[lane];
      const bool is_over = place != FlowTable::kNone && e_.is_over(place, b_.times[from + lane]);
      packets |= static_cast<uint64_t>(is_over) << lane;
    }
    decide(from, count, packets & ~asked_);
  }

  [[gnu::noinline]] int32_t move_alone(uint32_t at, uint32_t i) {
    const Arrival a = arrival(b_, at);
    Facts f;
    if (k_.plain[i]) f = facts_at(k_, i, a);
    else e_.read(a, f);
    return e_.move_in_batch(a, f, k_.plain[i] != 0, k_.place[i]);
  }

  Engine& e_;
  const Batch& b_;
  const bool express_;
  // Where the run ends.
  uint32_t to_ = 0;
  // One bit for each packet of the block that was read by the vector, and for each of which
  // `Block::decision` is known.
  uint64_t wide_ = 0;
  uint64_t asked_ = 0;
  // What connections the block's packets opened or ended so far: of some flows, by hash, or of any.
  enum Changed { kNothing, kSome, kAny } changed_ = kNothing;
  static constexpr uint32_t kTouched = 256;
  std::array<bool, kTouched> is_touched_;
  Block k_;
};

}  // namespace wiretrial::WIRETRIAL_ISA
