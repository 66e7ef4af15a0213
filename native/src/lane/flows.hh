// Flows by name, in tables that are made once: a flow that finds no room has no lanes.
#pragma once

#include "../engine/memory.hh"
#include "lane.hh"

namespace wiretrial::lane {

constexpr uint32_t kNone = 0xffffffff;

class Flows {
 public:
  explicit Flows(uint32_t flows)
      : capacity_(flows), mask_(power_at_least(flows * 2ull) - 1),
        heads_(static_cast<uint32_t*>(take_memory((mask_ + 1ull) * 4))),
        flows_(static_cast<Flow*>(take_memory(static_cast<size_t>(flows) * sizeof(Flow)))) {
    for (uint32_t i = 0; is_whole() && i <= mask_; i++) heads_[i] = kNone;
  }
  ~Flows() {
    give_back(heads_, (mask_ + 1ull) * 4);
    give_back(flows_, static_cast<size_t>(capacity_) * sizeof(Flow));
  }
  Flows(const Flows&) = delete;
  Flows& operator=(const Flows&) = delete;

  bool is_whole() const { return heads_ != nullptr && flows_ != nullptr; }

  Flow& operator[](uint32_t flow) { return flows_[flow]; }

  void prefetch(uint64_t hash) const { __builtin_prefetch(&heads_[slot_of(hash)]); }

  // The first flow in the chain of a hash; kNone when it is empty.
  uint32_t head(uint64_t hash) const { return heads_[slot_of(hash)]; }

  // The flow of a name in the chain that `at` begins.
  uint32_t find_from(uint32_t at, const FlowName& name) const {
    while (at != kNone && !(flows_[at].name == name)) at = flows_[at].next;
    return at;
  }

  uint32_t find(const FlowName& name) const {
    return find_from(head(hash_of(name)), name);
  }

  // The flow's place, made when it has none; kNone when there is no room.
  uint32_t make(const FlowName& name) {
    const uint32_t known = find(name);
    if (known != kNone) return known;
    uint32_t at = free_;
    if (at != kNone) free_ = flows_[at].next;
    else if (used_ < capacity_) at = used_++;
    else return kNone;
    uint32_t& head = heads_[slot_of(hash_of(name))];
    flows_[at] = Flow{};
    flows_[at].name = name;
    flows_[at].next = head;
    flows_[at].is_taken = true;
    head = at;
    return at;
  }

  // Precondition: the flow is not dirty.
  void forget(uint32_t flow) {
    if (flow >= used_ || !flows_[flow].is_taken) return;
    uint32_t* link = &heads_[slot_of(hash_of(flows_[flow].name))];
    while (*link != flow) link = &flows_[*link].next;
    *link = flows_[flow].next;
    for (Lane& lane : flows_[flow].lanes) lane.known = 0;
    flows_[flow].is_taken = false;
    flows_[flow].next = free_;
    free_ = flow;
  }

 private:
  uint32_t slot_of(uint64_t hash) const { return static_cast<uint32_t>(hash) & mask_; }

  uint32_t capacity_;
  uint32_t mask_;
  uint32_t* heads_;
  Flow* flows_;
  uint32_t used_ = 0;
  uint32_t free_ = kNone;
};

}  // namespace wiretrial::lane
