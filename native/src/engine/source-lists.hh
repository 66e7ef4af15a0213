// The names of connections by who sends under them: NAT asks for earlier connections of a source
// whenever it opens one (`find_appropriate_src`). Lists by hash, linked through the places of the
// flow table; nothing is listed before somebody asks.
#pragma once

#include "memory.hh"

namespace wiretrial {

// Who sends by the tuple of a name, as the opener's packets have it. `kind` is protocol and family
// as the upper half of a flow's key has them.
struct Source {
  uint64_t kind;
  uint32_t src;
  uint32_t sport;
  bool operator==(const Source&) const = default;
};

class SourceLists {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  explicit SourceLists(uint32_t places)
      : places_(places),
        size_(power_at_least(places)),
        heads_(static_cast<uint32_t*>(take_memory(size_ * 4ull))),
        links_(static_cast<Link*>(take_memory(places_ * sizeof(Link)))) {}
  ~SourceLists() {
    give_back(heads_, size_ * 4ull);
    give_back(links_, places_ * sizeof(Link));
  }
  SourceLists(const SourceLists&) = delete;
  SourceLists& operator=(const SourceLists&) = delete;

  bool is_whole() const { return heads_ != nullptr && links_ != nullptr; }
  bool is_on() const { return is_on_; }
  void turn_on() { is_on_ = true; }

  // Precondition: the place is in no list.
  void add(const Source& s, uint32_t place) {
    uint32_t& head = heads_[list_of(s)];
    links_[place] = Link{0, head};
    if (head != 0) links_[head - 1].before = place + 1;
    head = place + 1;
  }

  // Precondition: the place is in the list of this source.
  void remove(const Source& s, uint32_t place) {
    const Link link = links_[place];
    if (link.before != 0) links_[link.before - 1].after = link.after;
    else heads_[list_of(s)] = link.after;
    if (link.after != 0) links_[link.after - 1].before = link.before;
  }

  // The places in the list of a source; of other sources, too. kNone behind the last.
  uint32_t first(const Source& s) const { return heads_[list_of(s)] - 1; }
  uint32_t after(uint32_t place) const { return links_[place].after - 1; }

 private:
  // Places plus one, so that memory as it comes is empty lists.
  struct Link {
    uint32_t before;
    uint32_t after;
  };

  uint32_t list_of(const Source& s) const {
    uint64_t h = (static_cast<uint64_t>(s.src) << 16 | s.sport) * 0x9e3779b97f4a7c15ull;
    h = (h ^ (h >> 29) ^ s.kind) * 0x165667b19e3779f9ull;
    return static_cast<uint32_t>(h ^ (h >> 32)) & (size_ - 1);
  }

  uint64_t places_;
  uint32_t size_;
  uint32_t* heads_;
  Link* links_;
  bool is_on_ = false;
};

}  // namespace wiretrial
