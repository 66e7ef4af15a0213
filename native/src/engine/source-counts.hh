// How many names of connections come from each source, roughly: NAT asks for earlier connections of
// a source whenever it opens one (`find_appropriate_src`), and mostly there are none. Counts stand
// by hash, so that none means none, and some that it is worth going through the table. Nothing is
// counted before somebody asks.
#pragma once

#include "memory.hh"

namespace wiretrial {

class SourceCounts {
 public:
  explicit SourceCounts(uint64_t names)
      : size_(power_at_least(names)), counts_(static_cast<uint32_t*>(take_memory(size_ * 4ull))) {}
  ~SourceCounts() { give_back(counts_, size_ * 4ull); }
  SourceCounts(const SourceCounts&) = delete;
  SourceCounts& operator=(const SourceCounts&) = delete;

  bool is_whole() const { return counts_ != nullptr; }
  bool is_on() const { return is_on_; }
  void turn_on() { is_on_ = true; }

  // `kind` is protocol and family as the upper half of a flow's key has them.
  void add(uint64_t kind, uint32_t src, uint32_t sport) { counts_[place(kind, src, sport)] += 1; }
  void remove(uint64_t kind, uint32_t src, uint32_t sport) { counts_[place(kind, src, sport)] -= 1; }
  bool may_have(uint64_t kind, uint32_t src, uint32_t sport) const {
    return counts_[place(kind, src, sport)] != 0;
  }

 private:
  uint32_t place(uint64_t kind, uint32_t src, uint32_t sport) const {
    uint64_t h = (static_cast<uint64_t>(src) << 16 | sport) * 0x9e3779b97f4a7c15ull;
    h = (h ^ (h >> 29) ^ kind) * 0x165667b19e3779f9ull;
    return static_cast<uint32_t>(h ^ (h >> 32)) & (size_ - 1);
  }

  uint32_t size_;
  uint32_t* counts_;
  bool is_on_ = false;
};

}  // namespace wiretrial
