// The flow table: connections by the name of their flow, four to a bucket of one cache line.
//
//   buckets   [ends ×4 | rest ×4]   what lookups read
//   records   Connection ×4         what a packet changes; under other names a Translation
//   tracking  TcpTracking ×4        what a TCP segment changes besides
//
// A full bucket overflows into the next, at most kProbes of them; a lookup ends at the first bucket
// with a place that was never taken. Fixed size: where no place is found the connection stays with
// the reference engine. A flow of which the reference engine holds any connection is marked here as
// foreign, so that its packets go there.
#pragma once

#include "../conntrack/connection.hh"
#include "facts.hh"
#include "memory.hh"
#include "translation.hh"

namespace wiretrial {

// In place of a host set: held by the reference engine, and a further name of a connection.
constexpr uint16_t kForeign = 0xffff;
constexpr uint16_t kOtherName = 0xfffe;

class FlowTable {
 public:
  static constexpr uint32_t kNone = 0xffffffff;
  static constexpr uint32_t kProbes = 16;
  static constexpr uint32_t kWays = 4;

  struct alignas(64) Bucket {
    uint64_t ends[kWays];
    uint64_t rest[kWays];
  };

  explicit FlowTable(uint64_t connections)
      : buckets_count_(power_at_least(connections * 10 / 7 / kWays + kProbes)) {
    const uint64_t places = static_cast<uint64_t>(buckets_count_) * kWays;
    buckets_ = static_cast<Bucket*>(take_memory(buckets_count_ * sizeof(Bucket)));
    records_ = static_cast<Record*>(take_memory(places * sizeof(Record)));
    tracking_ = static_cast<conntrack::TcpTracking*>(take_memory(places * 64));
  }

  ~FlowTable() {
    const uint64_t places = static_cast<uint64_t>(buckets_count_) * kWays;
    give_back(buckets_, buckets_count_ * sizeof(Bucket));
    give_back(records_, places * 64);
    give_back(tracking_, places * 64);
  }
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  bool is_whole() const {
    return buckets_ != nullptr && records_ != nullptr && tracking_ != nullptr;
  }

  void prefetch_bucket(uint32_t hash) const {
    __builtin_prefetch(&buckets_[hash & (buckets_count_ - 1)]);
  }

  void prefetch_record(uint32_t place) const { __builtin_prefetch(&records_[place], 1); }
  void prefetch_tracking(uint32_t place) const { __builtin_prefetch(&tracking_[place], 1); }
  const void* record_at(uint32_t place) const { return records_ + place; }

  // Where the search for a flow of this hash begins, and the first place there.
  const Bucket& first_bucket(uint32_t hash) const { return buckets_[hash & (buckets_count_ - 1)]; }
  uint32_t first_place(uint32_t hash) const { return (hash & (buckets_count_ - 1)) * kWays; }

  uint32_t find(const FlowKey& key, uint32_t hash) const {
    uint32_t at = hash & (buckets_count_ - 1);
    for (uint32_t probe = 0; probe < kProbes; probe++) {
      const Bucket& bucket = buckets_[at];
      // Without branches: which of the four it is can not be predicted.
      uint32_t hit = 0;
      for (uint32_t way = 0; way < kWays; way++) {
        const uint64_t other = (bucket.rest[way] ^ key.rest) | (bucket.ends[way] ^ key.ends);
        hit |= static_cast<uint32_t>(other == 0) << way;
      }
      if (hit != 0) return at * kWays + static_cast<uint32_t>(__builtin_ctz(hit));
      uint64_t taken = 1;
      for (uint32_t way = 0; way < kWays; way++) taken &= bucket.rest[way] != kEmpty;
      if (taken == 0) return kNone;
      at = (at + 1) & (buckets_count_ - 1);
    }
    return kNone;
  }

  // A place for a flow that is not in the table; kNone when all that it may have are taken.
  uint32_t insert(const FlowKey& key, uint32_t hash) {
    uint32_t at = hash & (buckets_count_ - 1);
    for (uint32_t probe = 0; probe < kProbes; probe++) {
      Bucket& bucket = buckets_[at];
      for (uint32_t way = 0; way < kWays; way++) {
        if (bucket.rest[way] != kEmpty && bucket.rest[way] != kErased) continue;
        take(at * kWays + way, key);
        return at * kWays + way;
      }
      at = (at + 1) & (buckets_count_ - 1);
    }
    return kNone;
  }

  // Precondition: the place is free, and no lookup of this flow would end before it.
  void take(uint32_t place, const FlowKey& key) {
    Bucket& bucket = buckets_[place / kWays];
    bucket.ends[place % kWays] = key.ends;
    bucket.rest[place % kWays] = key.rest;
    count_ += 1;
    changes_ += 1;
  }

  // Visit every place that a flow of this hash may have.
  template <typename Visit>
  void each_place(uint32_t hash, Visit visit) {
    uint32_t at = hash & (buckets_count_ - 1);
    for (uint32_t probe = 0; probe < kProbes; probe++) {
      for (uint32_t way = 0; way < kWays; way++) visit(at * kWays + way);
      at = (at + 1) & (buckets_count_ - 1);
    }
  }

  void erase(uint32_t place) {
    Bucket& bucket = buckets_[place / kWays];
    // A bucket that never overflowed needs no mark: no lookup ever went past it.
    bool overflowed = true;
    for (uint32_t way = 0; way < kWays; way++) {
      if (bucket.rest[way] == kEmpty) overflowed = false;
    }
    bucket.rest[place % kWays] = overflowed ? kErased : kEmpty;
    count_ -= 1;
    changes_ += 1;
  }

  conntrack::Head& head(uint32_t place) { return records_[place].connection; }
  // Precondition: no other name stands there.
  conntrack::Connection& record(uint32_t place) { return records_[place].connection; }
  // Precondition: another name stands there.
  Translation& translation(uint32_t place) { return records_[place].translation; }
  uint32_t place_of(const conntrack::Connection& c) const {
    return static_cast<uint32_t>(reinterpret_cast<const Record*>(&c) - records_);
  }
  // The place of the connection that has this name.
  uint32_t connection_of(uint32_t place) {
    return head(place).host_set == kOtherName ? translation(place).connection : place;
  }
  conntrack::TcpTracking& tracking(uint32_t place) { return tracking_[place]; }

  FlowKey key_of(uint32_t place) const {
    const Bucket& bucket = buckets_[place / kWays];
    return FlowKey{bucket.ends[place % kWays], bucket.rest[place % kWays]};
  }

  bool is_taken(uint32_t place) const {
    const uint64_t rest = buckets_[place / kWays].rest[place % kWays];
    return rest != kEmpty && rest != kErased;
  }

  uint32_t places() const { return buckets_count_ * kWays; }
  uint32_t count() const { return count_; }
  // Changes whenever a place is taken or freed: what was found before must be looked up again.
  uint32_t changes() const { return changes_; }
  uint64_t memory_bytes() const { return static_cast<uint64_t>(places()) * (16 + 64 + 64); }

  // In a free place, in place of the key: never taken, or taken once.
  static constexpr uint64_t kEmpty = 0;
  static constexpr uint64_t kErased = ~0ull;

 private:
  union Record {
    conntrack::Connection connection;
    Translation translation;
  };

  uint32_t buckets_count_;
  Bucket* buckets_ = nullptr;
  Record* records_ = nullptr;
  conntrack::TcpTracking* tracking_ = nullptr;
  uint32_t count_ = 0;
  uint32_t changes_ = 0;
};

}  // namespace wiretrial
