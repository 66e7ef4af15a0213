// Entries that are found by the ends of a conversation, in memory that grows.
#pragma once

#include <utility>

#include "../engine/memory.hh"
#include "packet.hh"

namespace wiretrial::lane {

// Plain entries by their keys, in the order in which they came. Grows with what is added.
template <typename Entry>
class Growing {
 public:
  Growing() = default;
  ~Growing() { give_back_all(); }
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;

  Entry* find(const FlowName& key, uint64_t hash) {
    if (count_ == 0) return nullptr;
    for (uint32_t at = heads_[slot_of(hash)]; at != 0; at = entries_[at - 1].next) {
      if (entries_[at - 1].key == key) return &entries_[at - 1];
    }
    return nullptr;
  }

  Entry* find(const FlowName& key) { return find(key, hash_of(key)); }

  // Places hold until entries are taken out.
  Entry& at(uint32_t place) { return entries_[place]; }
  uint32_t place_of(const Entry* entry) const { return static_cast<uint32_t>(entry - entries_); }

  void prefetch(uint64_t hash) const {
    if (count_ != 0) __builtin_prefetch(&heads_[slot_of(hash)]);
  }

  // Null when there is no memory. Precondition: there is none of this key.
  Entry* add(const FlowName& key) {
    if (count_ == capacity_ && !grow()) return nullptr;
    Entry& fresh = entries_[count_++];
    fresh = Entry{};
    fresh.key = key;
    link(count_);
    return &fresh;
  }

  // Take out those of which `is_over` says so; it is asked once for each, in order.
  template <typename IsOver>
  void remove(IsOver is_over) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count_; i++) {
      if (!is_over(entries_[i])) entries_[kept++] = entries_[i];
    }
    if (kept == count_) return;
    count_ = kept;
    std::memset(heads_, 0, capacity_ * 2 * sizeof(uint32_t));
    for (uint32_t number = 1; number <= count_; number++) link(number);
  }

  // Forget all of them.
  void clear() { remove([](const Entry&) { return true; }); }

  void swap(Growing& other) {
    std::swap(heads_, other.heads_);
    std::swap(entries_, other.entries_);
    std::swap(capacity_, other.capacity_);
    std::swap(count_, other.count_);
  }

  uint32_t size() const { return count_; }
  const Entry& operator[](uint32_t at) const { return entries_[at]; }

 private:
  static constexpr size_t kFirst = 1024;
  static constexpr size_t kMost = size_t{1} << 30;

  size_t slot_of(uint64_t hash) const { return hash & (capacity_ * 2 - 1); }

  // Entries are numbered from 1.
  void link(uint32_t number) {
    uint32_t& head = heads_[slot_of(hash_of(entries_[number - 1].key))];
    entries_[number - 1].next = head;
    head = number;
  }

  bool grow() {
    const size_t room = capacity_ == 0 ? kFirst : capacity_ * 2;
    if (room > kMost) return false;
    auto* heads = static_cast<uint32_t*>(take_memory(room * 2 * sizeof(uint32_t)));
    auto* entries = static_cast<Entry*>(take_memory(room * sizeof(Entry)));
    if (heads == nullptr || entries == nullptr) {
      give_back(heads, room * 2 * sizeof(uint32_t));
      give_back(entries, room * sizeof(Entry));
      return false;
    }
    if (count_ > 0) std::memcpy(static_cast<void*>(entries), entries_, count_ * sizeof(Entry));
    give_back_all();
    heads_ = heads;
    entries_ = entries;
    capacity_ = room;
    for (uint32_t number = 1; number <= count_; number++) link(number);
    return true;
  }

  void give_back_all() {
    give_back(heads_, capacity_ * 2 * sizeof(uint32_t));
    give_back(entries_, capacity_ * sizeof(Entry));
  }

  uint32_t* heads_ = nullptr;
  Entry* entries_ = nullptr;
  size_t capacity_ = 0;
  uint32_t count_ = 0;
};

}  // namespace wiretrial::lane
