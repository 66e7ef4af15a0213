// Any bytes as capture files, through everything that native code reads of them: records walked out
// of a window, the first look, lanes that are opened, closed and forgotten, packets laid down for the
// engine. Nothing may be read or written that is not there, whatever a file claims of itself.
//
// Input: one byte of choices (bit 0 pcapng, bit 1 little-endian, bit 2 lengths that may be swapped,
// bits 3–5 link types, bit 6 packets rewritten, bit 7 lanes that are only followed), then the file.
// Where a walk ends, JavaScript would read one record; here that place is passed over.
#include <cstdlib>
#include <memory>
#include <vector>

#include "../src/lane/look.hh"
#include "columns.hh"
#include "driver.hh"

namespace {

using namespace wiretrial::lane;

constexpr uint32_t kRecords = 256;
constexpr uint32_t kFlows = 32;
constexpr uint32_t kLinkTypes[] = {1, 101, 113, 276, 0, 12, 228, 229};

class Reader {
 public:
  Reader(uint8_t choices, std::vector<uint8_t> file) : choices_(choices), file_(std::move(file)) {
    for (uint32_t i = 0; i < 2; i++) {
      link_types_.push_back(kLinkTypes[(choices >> 3 & 7) ^ i]);
      ifaces_.push_back(i);
    }
    look_->write_index(entries_.data(), entries_.size());
    look_->reach(choices & 1 ? 20 : Contents::kMost);
    for (uint32_t i = 0; i < rows_.size(); i++) rows_[i].flags = i % 2 ? Row::kOnePlace[0] : 0;
    lanes_.use_index(rows_.data(), static_cast<uint32_t>(rows_.size()));
    if ((choices & 0xc0) != 0xc0) return;
    const uint8_t server[16] = {10};
    lanes_.strangers().begin((choices & 1) != 0);
    lanes_.strangers().add_translated(server, 4, kTcp, 80);
  }

  uint64_t run() {
    const std::vector<double> units = {1000, 1};
    const std::vector<int64_t> offsets = {0, -5};
    const Shape shape{(choices_ & 1) != 0, (choices_ & 2) != 0, (choices_ & 4) != 0, 2,
                      units.data(),        offsets.data()};
    const auto end = static_cast<uint32_t>(file_.size());
    uint64_t staged = 0;
    for (uint32_t at = 0; at < end;) {
      const Walked found = walk({file_.data(), at, end}, shape, columns_.records(), {kRecords, INT64_MAX});
      if (found.records > 0) {
        look(found.records);
        staged += follow(found.records);
      }
      at = found.next > at ? found.next : past(at, end);
    }
    return staged;
  }

 private:
  // Behind the block of a pcapng file at `at`, if it is one; else a little further.
  uint32_t past(uint32_t at, uint32_t end) const {
    if (end - at < 12 || !(choices_ & 1)) return at + 8;
    const uint32_t size = read32(file_.data() + at + 4, (choices_ & 2) != 0);
    return size >= 12 && size <= end - at && size % 4 == 0 ? at + size : at + 4;
  }

  void look(uint32_t count) {
    const Look::Source source{file_.data(), columns_.records(), link_types_.data(), ifaces_.data(),
                              looked_at_, nullptr};
    for (uint32_t r = 0; r < count; r++) compare(r);
    // In the middle, packets are only kept in mind.
    const uint32_t middle = count / 2;
    for (uint32_t at = 0; at < count;) {
      const uint32_t to = at < middle ? middle : count;
      const auto mode = at < middle ? Look::Mode::kAhead : Look::Mode::kLookAt;
      uint32_t stopped = at;
      const Look::Stop why = look_->run(source, at, to, mode, stopped);
      if (why == Look::Stop::kNoMemory || look_->joins() > Columns::kJoins) std::abort();
      if (mode == Look::Mode::kLookAt) {
        for (uint32_t r = at; r < stopped; r++) check_entry(r);
      }
      at = stopped;
      if (why == Look::Stop::kByHand) note(at++);
    }
    looked_at_ += count;
    if (count % 3 != 0) return;
    while (look_->count(0) != 0) {}
    std::vector<Row> rows(look_->rows().size());
    for (uint32_t i = 0; i < rows.size(); i++) rows[i] = look_->rows()[i];
    rows.insert(rows.end(), rows.begin(), rows.end());
    if (!unite(rows.data(), static_cast<uint32_t>(rows.size()))) std::abort();
    numbers_ += look_->rows().size();
    look_->turn();
  }

  // An entry's row has the packet's name.
  void check_entry(uint32_t r) const {
    if (looked_at_ + r >= entries_.size()) return;
    const uint32_t entry = entries_[looked_at_ + r];
    Packet p;
    if (!read_packet(file_.data() + columns_.at[r], columns_.captured[r],
                     link_types_[columns_.iface[r]], p, For::kLook)) {
      std::abort();
    }
    const uint32_t row = entry::number(entry) - 1 - numbers_;
    if (row >= look_->rows().size() || !(look_->rows()[row].key == p.name)) std::abort();
    if (entry::turned(entry) != p.turned) std::abort();
  }

  // A glance takes what `read_packet` takes and says what it says.
  void compare(uint32_t r) const {
    const uint8_t* frame = file_.data() + columns_.at[r];
    const uint32_t link_type = link_types_[columns_.iface[r]];
    Glance g;
    Packet p;
    const bool seen = glance(frame, columns_.captured[r], link_type, columns_.iface[r], g);
    if (!read_packet(frame, columns_.captured[r], link_type, p, For::kLook)) {
      if (seen) std::abort();
      return;
    }
    if (!seen) {
      if (p.link_length <= kMostLink) std::abort();
      return;
    }
    judge(p);
    const bool is_echo = p.name.protocol == kIcmp || p.name.protocol == kIcmpv6;
    const uint64_t numbers = uint64_t{p.seq} << 32 | p.ack;
    const ContentHead head{p.name.protocol, p.id, p.length, p.flags,
                           is_echo ? 1u + p.turned : 0, numbers};
    // From a copy that ends where the packet does.
    const uint32_t to = std::min(p.length, p.payload + kCompared);
    const std::vector<uint8_t> copy(p.ip, p.ip + to);
    if (content_of(head, copy.data(), p.payload, to) != g.content) std::abort();
    if ((g.head[2] >> 8 & 3) != p.verdict || (g.head[2] >> 10 & 15) != p.flags) std::abort();
    listen_to(r, g, p);
  }

  // What is heard of a voice is what a glance takes, and says the same.
  void listen_to(uint32_t r, const Glance& g, const Packet& p) const {
    Voice voice{};
    std::memcpy(voice.head, g.head, sizeof voice.head);
    voice.iface = columns_.iface[r];
    voice.flags = static_cast<uint8_t>(p.flags);
    voice.plain = p.name.protocol;
    const uint32_t link_type = link_types_[columns_.iface[r]];
    const bool is_hearable = p.name.family == 4 && p.verdict == kRight &&
                             p.link_length == usual_offset(link_type) &&
                             (p.name.protocol == kTcp || p.name.protocol == kUdp);
    Heard h;
    uint64_t content = 0;
    const bool is_heard =
        listen(file_.data() + columns_.at[r], columns_.captured[r], link_type, h) &&
        h.hash == g.hash && hear(voice, h, voice.iface, content);
    if (is_hearable && (!is_heard || content != g.content)) std::abort();
    if (is_heard && !g.is_long && p.verdict != kRight) std::abort();
  }

  // As JavaScript notes a packet that it has read itself.
  void note(uint32_t r) {
    const uint8_t* frame = file_.data() + columns_.at[r];
    const ContentHead head{kTcp, r, columns_.captured[r], 8, r % 3, 7};
    const uint64_t content = content_of(head, frame, r % 50, columns_.captured[r]);
    Ends ends{}, first{};
    ends.src[0] = static_cast<uint8_t>(r);
    ends.family = 4;
    bool is_other = false;
    if (!look_->note(head, content, ends, columns_.time_ns[r], looked_at_ + r, is_other, first)) {
      std::abort();
    }
  }

  // What an index says of records, be it true or not: most of it is of the first few numbers.
  const uint32_t* claims() {
    if ((choices_ & 0x30) == 0x30) return nullptr;
    for (uint32_t i = 0; i < kRecords; i++) claims_[i] = file_[i % file_.size()] & 0x1f;
    return claims_.data();
  }

  // Returns how many packets were laid down.
  uint64_t follow(uint32_t count) {
    const Lanes::Source source{file_.data(), columns_.records(), link_types_.data(), ifaces_.data(),
                               columns_.time_ns[0], claims()};
    double* words = columns_.words.data();
    words[kSweepAt] = 1e18;
    uint64_t staged = 0;
    for (uint32_t at = 0; at < count;) {
      if (!lanes_.run(source, at, count, columns_.staged(), words)) return staged;
      staged += static_cast<uint64_t>(words[kStaged]);
      at = static_cast<uint32_t>(words[kStop]);
      if (at >= count || words[kFull] != 0) continue;
      open(at++);
    }
    settle();
    std::vector<double> over(lanes_.strangers().over_at(words[kNow] + 200e9));
    lanes_.strangers().expire(words[kNow] + 200e9, over.data());
    return staged;
  }

  void settle() {
    double* words = columns_.words.data();
    for (uint32_t i = 0; i < static_cast<uint32_t>(words[kDirty]); i++) {
      lanes_.flows()[columns_.dirty[i]].is_dirty = false;
    }
    words[kDirty] = 0;
  }

  // As the door opens a lane behind a packet that was understood; now and then it closes one, or
  // forgets a flow.
  void open(uint32_t r) {
    const uint8_t* frame = file_.data() + columns_.at[r];
    const uint32_t captured = columns_.captured[r];
    Packet p;
    if (!read_packet(frame, captured, link_types_[columns_.iface[r]], p)) return;
    if (p.link_length > kMaxLink) return;
    if (lanes_.strangers().is_used() && r % 3 != 0) return follow_from_now_on(p);
    const uint32_t place = lanes_.flows().make(p.name);
    if (place == kNone) {
      settle();
      lanes_.flows().forget(r % kFlows);
      return;
    }
    Flow& flow = lanes_.flows()[place];
    flow.lifetime_ns = 30e9;
    flow.last_ns = columns_.words[kNow];
    Lane& l = flow.lanes[p.turned];
    l = Lane{};
    l.is_open = r % 7 != 3;
    l.is_silent = (choices_ & 0x80) != 0;
    l.flags = static_cast<uint8_t>(p.flags);
    l.ttl = p.ttl;
    l.sent_ttl = static_cast<uint8_t>(p.ttl + (choices_ & 1));
    l.link_length = static_cast<uint8_t>(p.link_length);
    std::memcpy(l.link, frame, p.link_length);
    for (uint32_t i = 0; i < 4; i++) l.set_treat(i, i % 2 ? kOffloaded : kAsIs);
    l.iface = columns_.iface[r];
    l.has_own_name = (choices_ & 2) != 0;
    l.whose = r;
    l.vantage = uint64_t{r} << 8;
    l.rewrites = (choices_ & 0x40) != 0;
  }

  // As the door does where somebody else judges a packet.
  void follow_from_now_on(const Packet& p) {
    Strangers& strangers = lanes_.strangers();
    double* words = columns_.words.data();
    strangers.set_kind(p.name, Strangers::Kind::kStranger);
    strangers.meet_by_hand(p.name, p.turned, false, segment_of(p), words[kNow], words[kNextId],
                           words[kStrangersClosed]);
    strangers.quoted(p.name, words[kNow]);
  }

  std::vector<uint32_t> claims_ = std::vector<uint32_t>(kRecords);
  std::vector<Row> rows_ = std::vector<Row>(6);
  uint8_t choices_;
  std::vector<uint8_t> file_;
  std::vector<uint32_t> link_types_;
  std::vector<uint32_t> ifaces_;
  Columns columns_{{kRecords, 64, 16 * 1024, kFlows}};
  Lanes lanes_{kFlows};
  std::vector<uint32_t> entries_ = std::vector<uint32_t>(3 * kRecords);
  uint64_t looked_at_ = 0;
  uint32_t numbers_ = 0;
  std::unique_ptr<Look> look_ = std::make_unique<Look>(columns_.findings());
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  // Copied to its exact size, so that a read behind it is seen.
  Reader reader(data[0], std::vector<uint8_t>(data + 1, data + size));
  wiretrial::fuzz::reached(reader.run());
  return 0;
}
