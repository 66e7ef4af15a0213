// What native code takes of a capture file, as the two passes of a replay have it: records walked
// out of windows, the first look at them, and packets of lanes laid down for the engine. Run under
// callgrind for instructions a packet, or alone for time.
//
//   captures FILE walk|look|lanes|indexed [ROUNDS]     a pcap file of Ethernet frames in this machine's order
//
// Lanes are opened behind the first packet of each direction; `indexed` ones have the index that a first
// look leaves, which is not counted. Prints packets, those that were laid
// down, and the least nanoseconds of processor time that one took over the rounds.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "../fuzz/columns.hh"
#include "../src/lane/look.hh"

#ifdef WIRETRIAL_CALLGRIND
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#endif

using namespace wiretrial::lane;

namespace {

// As src/lab/lane/columns.ts and capture/format/byte-source.ts size them.
constexpr uint32_t kRecords = 8192, kStagedPackets = 1024, kStagedBytes = 512 * 1024;
constexpr uint32_t kFlows = 262'144, kWindow = 512 * 1024, kFileHeader = 24;
constexpr size_t kIndexed = 1u << 24;

enum class What : uint8_t { kWalk, kLook, kIndex, kLanes };

struct Counts {
  uint64_t packets = 0;
  uint64_t laid_down = 0;
};

class Reading {
 public:
  explicit Reading(What what) : what_(what) { look_->write_index(entries_.data(), entries_.size()); }

  // Look at the file first: lanes then have its index.
  void look_first(const std::vector<uint8_t>& file) {
    what_ = What::kIndex;
    read(file);
    for (uint32_t i = 0; i < look_->rows().size(); i++) rows_.push_back(look_->rows()[i]);
    const auto count = static_cast<uint32_t>(rows_.size());
    if (!unite(rows_.data(), count) || !lanes_.use_index(rows_.data(), count)) std::abort();
    indexed_ = entries_.data();
    counts_ = {};
    what_ = What::kLanes;
  }

  Counts read(const std::vector<uint8_t>& file) {
    const double units = 1000;
    const int64_t offset = 0;
    const Shape shape{false, true, false, 1, &units, &offset};
    const auto end = static_cast<uint32_t>(file.size());
    for (uint32_t at = kFileHeader; at < end;) {
      // A window of its own, as JavaScript reads it.
      const uint32_t size = std::min(kWindow, end - at);
      std::memcpy(window_.data(), file.data() + at, size);
      uint32_t from = 0;
      for (;;) {
        const Walked found =
            walk({window_.data(), from, size}, shape, columns_.records(), {kRecords, INT64_MAX});
        if (found.records == 0) break;
        from = found.next;
        counts_.packets += found.records;
        if (what_ == What::kLook || what_ == What::kIndex) look(found.records);
        else if (what_ == What::kLanes) follow(found.records);
      }
      if (from == 0) break;
      at += from;
    }
    if (what_ == What::kLook) turn();
    return counts_;
  }

 private:
  void look(uint32_t count) {
    const Look::Source source{window_.data(), columns_.records(), &link_type_, &iface_,
                              counts_.packets - count, nullptr};
    for (uint32_t at = 0; at < count;) {
      uint32_t stopped = at;
      const Look::Stop why = look_->run(source, at, count, Look::Mode::kLookAt, stopped);
      at = stopped + (why == Look::Stop::kByHand ? 1 : 0);
      if (why == Look::Stop::kFull) turn();
    }
  }

  // As JavaScript does where tables are full, and at the end.
  void turn() {
    uint32_t at = 0;
    do {
      at = look_->count(at);
    } while (at != 0);
    look_->turn();
  }

  void follow(uint32_t count) {
    if (start_ns_ == 0) start_ns_ = columns_.time_ns[0];
    const uint32_t* index = indexed_ == nullptr ? nullptr : indexed_ + counts_.packets - count;
    const Lanes::Source source{window_.data(), columns_.records(), &link_type_,
                               &iface_,        start_ns_,          index};
    double* words = columns_.words.data();
    words[kSweepAt] = 1e18;
    for (uint32_t at = 0; at < count;) {
      if (!lanes_.run(source, at, count, columns_.staged(), words)) std::abort();
      counts_.laid_down += static_cast<uint64_t>(words[kStaged]);
      at = static_cast<uint32_t>(words[kStop]);
      if (at < count && words[kFull] == 0) open(at++);
    }
    for (uint32_t i = 0; i < static_cast<uint32_t>(words[kDirty]); i++) {
      lanes_.flows()[columns_.dirty[i]].is_dirty = false;
    }
    words[kDirty] = 0;
  }

  void open(uint32_t r) {
    const uint8_t* frame = window_.data() + columns_.at[r];
    Packet p;
    if (!read_packet(frame, columns_.captured[r], link_type_, p)) return;
    const uint32_t place = lanes_.flows().make(p.name);
    if (place == kNone) return;
    Flow& flow = lanes_.flows()[place];
    flow.lifetime_ns = 180e9;
    flow.last_ns = static_cast<double>(columns_.time_ns[r] - start_ns_);
    Lane& l = flow.lanes[p.turned];
    l = Lane{};
    l.is_open = true;
    l.flags = static_cast<uint8_t>(p.flags);
    l.ttl = l.sent_ttl = p.ttl;
    l.link_length = static_cast<uint8_t>(p.link_length);
    std::memcpy(l.link, frame, p.link_length);
    for (uint32_t i = 0; i < 4; i++) l.set_treat(i, kAsIs);
    l.has_own_name = true;
    l.whose = hash_of(p.name) + p.turned;
    l.vantage = uint64_t{p.turned} << 8;
  }

  What what_;
  Counts counts_;
  std::vector<Row> rows_;
  const uint32_t* indexed_ = nullptr;
  uint32_t link_type_ = 1;
  uint32_t iface_ = 0;
  int64_t start_ns_ = 0;
  std::vector<uint8_t> window_ = std::vector<uint8_t>(kWindow);
  Columns columns_{{kRecords, kStagedPackets, kStagedBytes, kFlows}};
  Lanes lanes_{kFlows};
  std::vector<uint32_t> entries_ = std::vector<uint32_t>(kIndexed);
  std::unique_ptr<Look> look_ = std::make_unique<Look>(columns_.findings());
};

double now_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

std::vector<uint8_t> contents_of(const char* path) {
  FILE* file = std::fopen(path, "rb");
  if (file == nullptr) return {};
  std::fseek(file, 0, SEEK_END);
  std::vector<uint8_t> bytes(static_cast<size_t>(std::ftell(file)));
  std::rewind(file);
  const size_t got = std::fread(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
  return got == bytes.size() ? bytes : std::vector<uint8_t>{};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string word = argv[2];
  const What what = word == "walk" ? What::kWalk : word == "look" ? What::kLook : What::kLanes;
  const std::vector<uint8_t> file = contents_of(argv[1]);
  if (file.size() <= kFileHeader) return 2;
  double least = 1e18;
  Counts counts;
  for (int round = argc > 3 ? std::atoi(argv[3]) : 1; round > 0; round--) {
    const auto reading = std::make_unique<Reading>(what);
    if (word == "indexed") reading->look_first(file);
    const double start = now_ns();
    CALLGRIND_TOGGLE_COLLECT;
    counts = reading->read(file);
    CALLGRIND_TOGGLE_COLLECT;
    least = std::min(least, (now_ns() - start) / static_cast<double>(counts.packets));
  }
  std::printf("%llu packets, %llu laid down, %.1f ns\n",
              static_cast<unsigned long long>(counts.packets),
              static_cast<unsigned long long>(counts.laid_down), least);
  return 0;
}
