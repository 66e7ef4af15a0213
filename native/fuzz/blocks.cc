// A batch must do what its packets do one by one. The same drawn conversations go through three
// engines, packet by packet, in blocks, and in blocks by the widest vectors of this processor; after
// every batch all results, all packets as they end and everything that the engines hold must be the
// same. Built with the sanitizers: blocks [BATCHES] [SEED].
//
// What a batch may stumble over is drawn on purpose: a connection twice in a block, one that opens,
// dies, changes its hosts or is erased between two of its packets, decisions that are forgotten,
// packets that end where memory ends.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../src/engine/block.hh"
#include "../src/engine/engine.hh"
#include "../src/engine/run-paths.hh"
#include "drawn.hh"

namespace {

using namespace wiretrial;

constexpr uint32_t kDecisions = 2048;

// One conversation: who speaks with whom, and where a TCP sender is in its numbers.
struct Talk {
  uint8_t kind;
  bool v6;
  uint32_t ends[2];
  uint16_t ports[2];
  uint32_t seq[2];
  // Of TCP: segments of the opening that were said.
  uint32_t opened;
};

Talk draw_talk(Random& r) {
  const uint8_t kinds[] = {kTcp, kTcp, kTcp, kUdp, kUdp, kUdp, kIcmp};
  Talk t{};
  t.kind = kinds[r.below(7)];
  t.v6 = r.one_in(4);
  if (t.v6 && t.kind == kIcmp) t.kind = kIcmpv6;
  for (uint32_t side = 0; side < 2; side++) {
    t.ends[side] = 0x0a000001 + r.below(6);
    t.ports[side] = static_cast<uint16_t>(r.one_in(2) ? 80 : 1024 + r.below(90));
    t.seq[side] = r.next();
  }
  return t;
}

// The segment that `t` says next, mostly one that its window takes.
void add_segment(Random& r, Talk& t, uint32_t side, std::vector<uint8_t>& p, uint32_t l4,
                 uint32_t payload) {
  static const uint8_t timestamp[12] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
  static const uint8_t sack[12] = {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9};
  static const uint8_t opening[12] = {2, 4, 5, 180, 4, 2, 3, 3, 7, 1, 1, 0};
  const bool opens = t.opened < 2 || r.odd(60);
  const uint8_t* options = opens ? opening : r.odd(5) ? sack : timestamp;
  const uint32_t header = r.one_in(3) ? 20 : 32;
  p.resize(l4 + header + payload);
  uint8_t* s = p.data() + l4;
  if (header == 32) std::memcpy(s + 20, options, 12);
  const uint8_t kinds[] = {0x11, 0x14, 0x02, 0x12, 0x30, 0x18, 0x00, 0x29};
  uint8_t flags = r.one_in(4) ? 0x18 : 0x10;
  if (opens) flags = side == 0 ? 0x02 : 0x12;
  if (r.odd(40)) flags = kinds[r.below(8)];
  t.opened += opens;
  uint32_t seq = t.seq[side], ack = t.seq[side ^ 1];
  if (!opens && r.odd(10)) seq += r.next() >> (4 + r.below(24));
  if (!opens && r.odd(10)) ack -= r.next() >> (4 + r.below(24));
  if (opens || !r.one_in(3)) t.seq[side] += payload + (flags & 3 ? 1 : 0);
  set_u16(s, 4, seq >> 16), set_u16(s, 6, seq);
  set_u16(s, 8, ack >> 16), set_u16(s, 10, ack);
  s[12] = static_cast<uint8_t>((header / 4) << 4);
  s[13] = flags;
  set_u16(s, 14, r.one_in(12) ? 0 : 500 + r.below(4) * 20000);
}

// Make the checksums right, or leave one wrong.
void finish(Random& r, std::vector<uint8_t>& p, const Talk& t, uint32_t l4) {
  Facts f{};
  f.bytes = p.data();
  f.length = static_cast<uint32_t>(p.size());
  f.l4 = l4;
  f.family = t.v6 ? 6 : 4;
  f.protocol = t.kind;
  const uint32_t field = checksum_field(f);
  set_word_at(p.data(), field, 0);
  const bool no_pseudo = t.kind == kIcmp;
  const uint32_t sum = no_pseudo ? fold(sum_words(p.data(), l4, f.length)) : transport_sum(f);
  const auto stored = static_cast<uint16_t>(~sum & 0xffff);
  set_word_at(p.data(), field, stored == 0 && t.kind == kUdp ? 0xffff : stored);
  if (t.kind == kUdp && r.one_in(8)) set_word_at(p.data(), field, 0);
  if (!t.v6) set_u16(p.data(), ipv4::kChecksum, checksum(p.data(), 0, 20));
  // Harm: any one byte.
  if (r.odd(15)) p[r.below(f.length)] ^= static_cast<uint8_t>(1u << r.below(8));
}

std::vector<uint8_t> draw_packet(Random& r, Talk& t, uint32_t side) {
  const uint32_t l4 = t.v6 ? 40 : 20;
  const uint32_t sizes[] = {0, 1, 12, r.below(40), r.below(200), r.below(1500)};
  const uint32_t payload = sizes[r.below(6)];
  std::vector<uint8_t> p(l4 + 8 + payload);
  for (uint8_t& byte : p) byte = static_cast<uint8_t>(r.next());
  if (t.kind == kTcp) add_segment(r, t, side, p, l4, payload);
  uint8_t* b = p.data();
  const uint32_t ttls[] = {64, 64, 64, 33, 32, 250};
  const auto ttl = static_cast<uint8_t>(r.odd(4) ? ttls[r.below(6)] : 64);
  const uint32_t tos = r.odd(9) ? r.below(3) << 4 : 0;
  std::memset(b, 0, l4);
  if (t.v6) {
    set_u16(b, 0, 0x6000 | tos << 4);
    set_u16(b, 4, static_cast<uint32_t>(p.size()) - l4);
    b[6] = t.kind;
    b[7] = ttl;
    b[20] = b[36] = 0xfd;
    b[23] = static_cast<uint8_t>(t.ends[side]);
    b[39] = static_cast<uint8_t>(t.ends[side ^ 1]);
  } else {
    b[0] = 0x45;
    b[1] = static_cast<uint8_t>(tos);
    set_u16(b, 2, static_cast<uint32_t>(p.size()));
    set_u16(b, 4, r.next());
    if (!r.one_in(3)) b[6] = 0x40;
    if (r.odd(60)) b[6] = 0x20;
    b[8] = ttl;
    b[9] = t.kind;
    const uint32_t src = __builtin_bswap32(t.ends[side]), dst = __builtin_bswap32(t.ends[side ^ 1]);
    std::memcpy(b + 12, &src, 4);
    std::memcpy(b + 16, &dst, 4);
  }
  if (t.kind == kTcp || t.kind == kUdp) {
    set_u16(b, l4, t.ports[side]);
    set_u16(b, l4 + 2, t.ports[side ^ 1]);
    if (t.kind == kUdp) set_u16(b, l4 + 4, 8 + (r.odd(20) ? r.below(40) : payload));
  } else {
    b[l4] = t.v6 ? (side == 0 ? 128 : 129) : (side == 0 ? 8 : 0);
    b[l4 + 1] = 0;
    set_u16(b, l4 + 4, t.ports[0]);
  }
  finish(r, p, t, l4);
  return p;
}

// Packets of one batch, and its columns.
struct Drawn {
  std::unique_ptr<uint8_t[]> bytes;
  size_t size = 0;
  std::vector<uint32_t> offsets, lengths, entries;
  std::vector<double> times;
  std::vector<uint8_t> offloaded;
  std::vector<uint8_t> good;
  uint32_t stride = 128;
  uint32_t ring = 512;
  bool has_good = false;
};

Drawn draw_batch(Random& r, std::vector<Talk>& talks, double& now) {
  Drawn d;
  std::vector<std::vector<uint8_t>> packets(1 + r.below(r.one_in(2) ? 40 : 300));
  const uint32_t few = 1 + r.below(static_cast<uint32_t>(talks.size()));
  for (std::vector<uint8_t>& p : packets) {
    Talk& t = talks[r.below(few)];
    if (r.odd(300)) t = draw_talk(r);
    const uint32_t side = t.kind == kTcp && t.opened < 2 ? t.opened : r.below(2);
    // Answers come by the connection's last name where it was given more than one (`translate`).
    Talk said = t;
    const bool is_far = side == 1 && r.one_in(3);
    if (is_far && !t.v6) said.ends[1] ^= 2;
    if (is_far) said.ports[0] = static_cast<uint16_t>(t.ports[0] + 1 + r.below(2));
    p = draw_packet(r, said, side);
    std::memcpy(t.seq, said.seq, sizeof t.seq);
    t.opened = said.opened;
    d.offsets.push_back(static_cast<uint32_t>(d.size));
    d.lengths.push_back(static_cast<uint32_t>(p.size()));
    d.size += p.size() + (&p == &packets.back() ? 0 : r.below(30));
    d.entries.push_back(r.odd(40) ? 2 : side);
    now += r.one_in(400) ? 10e9 * r.below(20) : 1e6 * r.below(3);
    d.times.push_back(now);
    d.offloaded.push_back(r.one_in(6));
  }
  // Of exactly this size: a read behind it is seen.
  d.bytes = std::make_unique<uint8_t[]>(d.size);
  for (size_t i = 0; i < packets.size(); i++) {
    std::memcpy(d.bytes.get() + d.offsets[i], packets[i].data(), packets[i].size());
  }
  d.has_good = r.one_in(3);
  for (uint32_t i = 0; i < kDecisions; i++) d.good.push_back(!r.one_in(9));
  const uint32_t strides[] = {128, 128, 128, 80, 64, 0};
  d.stride = strides[r.below(6)];
  if (r.one_in(8)) d.ring = 32;
  return d;
}

// An engine, and what it said of the last batch.
class Side {
 public:
  Side(RunPath path, bool has_classes)
      : path_(path), engine_(EngineSizes{64, kDecisions, 64, 4, 8}) {
    static const Tables tables;
    if (has_classes) engine_.classes().use(tables.shown());
    conntrack::Settings s{};
    for (uint32_t i = 0; i < 10; i++) s.tcp[i] = 100 + i;
    s.tcp[conntrack::kES] = 432000;
    s.tcp_retrans = s.tcp_unack = 300;
    s.udp_unreplied = s.icmp = s.icmpv6 = 30;
    s.udp_stream = 120;
    s.tcp_max_retrans = 3;
    engine_.set_settings(0, s);
    s.tcp[conntrack::kES] = 250;
    s.tcp_unack = 200;
    s.udp_stream = 50;
    s.tcp_be_liberal = true;
    engine_.set_settings(1, s);
    s.tcp_max_retrans = 1;
    engine_.set_settings(2, s);
    engine_.set_host_set(1, HostSet{1, {0, 0}, {0}, 1, {1}});
    engine_.set_host_set(2, HostSet{1, {0, 1}, {0}, 2, {1, 1}});
    engine_.set_host_set(3, HostSet{2, {1, 1}, {0, 1}, 3, {1, 1, 1}});
    engine_.set_host_set(4, HostSet{2, {1, 2}, {0, 1}, 1, {2}});
    engine_.room(0).max = 50;
    static const uint32_t ends_classes[] = {0, 1};
    engine_.use_ends(ends_classes);
  }

  void move(const Drawn& d, uint64_t seed, uint32_t calm) {
    const auto count = static_cast<uint32_t>(d.offsets.size());
    results.assign(count, 0);
    out.assign(static_cast<size_t>(d.ring) * d.stride + 1, 0);
    Random r(seed);
    r.calm(calm);
    const Batch b{d.bytes.get(),   d.offsets.data(), d.lengths.data(), d.entries.data(),
                  d.times.data(),  d.offloaded.data(), results.data(), out.data(),
                  d.stride,        d.ring,           d.has_good ? d.good.data() : nullptr,
                  roomy_end(d.size)};
    for (uint32_t at = 0; at < count; at++) {
      const uint32_t stopped = path_ == nullptr ? one_by_one(b, at, count) : path_(engine_, b, at, count);
      for (; at < stopped; at++) keep_packet(b, at);
      if (at == count) break;
      if (results[at] >= 0) keep_packet(b, at);
      else learn(arrival(b, at), results[at], r);
    }
    if (r.odd(50)) engine_.holdings().expire(d.times.back());
    if (r.odd(60)) engine_.clear_decisions();
    if (engine_.decisions().count() != 0 && r.odd(10)) {
      engine_.decisions().kill(r.below(engine_.decisions().count()));
    }
  }

  // Everything that is held, as words.
  std::vector<uint64_t> state() {
    std::vector<uint64_t> w;
    FlowTable& flows = engine_.flows();
    for (uint32_t place = 0; place < flows.places(); place++) {
      if (!flows.is_taken(place)) continue;
      const FlowKey key = flows.key_of(place);
      w.insert(w.end(), {place, key.ends, key.rest});
      for (uint32_t i = 0; i < 8; i++) {
        uint64_t word;
        std::memcpy(&word, reinterpret_cast<const char*>(&flows.head(place)) + i * 8, 8);
        w.push_back(word);
      }
      if (flows.head(place).host_set < kOtherName && (flows.head(place).flags & conntrack::kIsTcp)) {
        add_tracking(w, flows.tracking(place));
      }
    }
    for (uint32_t i = 0; i < engine_.decisions().count(); i++) {
      w.insert(w.end(), {engine_.decisions().at(i).packets, engine_.decisions().at(i).bytes});
    }
    w.insert(w.end(), {engine_.moved(), engine_.translated()});
    for (int32_t why = 1; why < kSlowReasons; why++) w.push_back(engine_.slow_count(-why));
    return w;
  }

  std::vector<int32_t> results;
  // Packets as they ended, one behind the other.
  std::vector<uint8_t> ended;
  std::vector<uint8_t> out;
  uint64_t moved() const { return engine_.moved(); }
  uint64_t translated() const { return engine_.translated(); }

 private:
  static void add_tracking(std::vector<uint64_t>& w, const conntrack::TcpTracking& t) {
    for (const conntrack::TcpSide& s : t.seen) {
      w.insert(w.end(), {s.end, s.max_end, s.max_window, s.max_ack, s.scale, s.bits});
    }
    w.insert(w.end(), {t.last_seq, t.last_ack, t.last_end, t.last_window, t.state, t.last_index,
                       t.last_direction, t.last_scale, t.bits, t.retransmissions});
  }

  uint32_t one_by_one(const Batch& b, uint32_t from, uint32_t to) {
    for (uint32_t at = from; at < to; at++) {
      const int32_t result = engine_.step(arrival(b, at));
      b.results[at] = result;
      if (result < 0 || (b.good != nullptr && !b.good[result])) return at;
    }
    return to;
  }

  // Only the ring's last round is still there.
  void keep_packet(const Batch& b, uint32_t at) {
    const Arrival a = arrival(b, at);
    const Decision& d = engine_.decisions().at(static_cast<uint32_t>(results[at]));
    const uint32_t length = a.length + (d.flags & kLeaves ? 14 : 0);
    if (b.ring < results.size()) return;
    ended.insert(ended.end(), a.out, a.out + std::min(length, a.room));
  }

  void decide(FlowState state, uint16_t before, Random& r) {
    Engine& e = engine_;
    if (!e.decisions().has_room()) return e.clear_decisions();
    const Facts& f = e.last();
    Decision d{};
    d.entry = entry_;
    d.state = state;
    d.host_set_before = before;
    d.host_set_after = before == 0 ? (r.one_in(3) ? 4 : 1) : r.odd(6) ? 5 - before : before;
    if (before > 1 && before < 4) d.host_set_after = before;
    if (state == FlowState::kStray || (before == 0 && r.odd(12))) d.host_set_after = 0;
    d.host_set_opened = r.odd(10) ? 1 : 0;
    d.by = static_cast<uint8_t>(r.odd(12) ? r.below(128) : r.one_in(9) ? kByFlags : 0);
    d.flags = static_cast<uint8_t>(r.below(2) | (f.offloaded && r.one_in(2) ? kCompletesChecksum : 0));
    if (before == 2 || before == 3) d.flags |= kTranslates;
    d.tos_before = f.tos;
    d.tos_after = r.odd(6) ? static_cast<uint8_t>(r.next()) : f.tos;
    d.ttl_change = static_cast<int8_t>(r.one_in(3) ? static_cast<int32_t>(r.below(20)) - 10 : -1);
    d.ttl_room = static_cast<uint8_t>(r.below(10));
    d.tcp_flags = f.tcp_flags;
    for (uint8_t& byte : d.link_header) byte = static_cast<uint8_t>(r.next());
    d.offloaded = f.offloaded;
    d.mtu = r.odd(6) ? 100 : 1500;
    e.enter(f, other_, d, e.decisions().add(d));
  }

  // What the reference engine would do with a packet that was not moved.
  void learn(const Arrival& a, int32_t why, Random& r) {
    Engine& e = engine_;
    if (!e.last_plain()) return;
    const Facts f = e.last();
    if (why == kForeignFlow) {
      const uint32_t place = e.flows().find(f.key, f.hash);
      if (place != FlowTable::kNone && e.flows().head(place).host_set == kForeign && r.one_in(2)) {
        e.holdings().unmark(f.key, f.hash);
      }
    }
    if (why == kNewFacts || why == kTooExtreme) {
      entry_ = a.entry;
      other_ = OtherEnds{};
      decide(FlowState::kOpening, 0, r);
      decide(FlowState::kStray, 0, r);
      for (const FlowState state : {FlowState::kUnreplied, FlowState::kEstablished, FlowState::kReply}) {
        for (uint16_t set = 1; set <= 4; set++) {
          other_ = set == 2 || set == 3 ? far_ends(f) : OtherEnds{};
          decide(state, set, r);
        }
      }
    }
    if (why == kNewFacts) e.step(a);
    const uint32_t place = e.flows().find(f.key, f.hash);
    if (place != FlowTable::kNone && e.flows().head(place).host_set != kForeign && r.one_in(4)) {
      if (r.odd(3)) e.holdings().hand_over(e.flows().connection_of(place));
      else translate(f, place, 2 + r.below(2));
    }
  }

  // What a packet of a translated connection ends with.
  OtherEnds far_ends(const Facts& f) {
    FlowTable& flows = engine_.flows();
    const uint32_t place = flows.find(f.key, f.hash);
    if (place == FlowTable::kNone || flows.head(place).host_set == kForeign) return {};
    const uint32_t first = flows.connection_of(place);
    if (!(flows.head(first).flags & conntrack::kTranslated)) return {};
    const Translation& t = flows.translation(flows.record(first).decision[1]);
    const Rewrite& r = t.rewrite[place == first ? 0 : 1];
    return {.addresses = 1,
            .sport = static_cast<uint16_t>(in_memory(r.sport)),
            .dport = static_cast<uint16_t>(in_memory(r.dport))};
  }

  // Give a connection of one name `count` names, as the reference engine does that opened it.
  void translate(const Facts& last, uint32_t place, uint32_t count) {
    Engine& e = engine_;
    if (e.flows().head(place).host_set != 1) return;
    const conntrack::Connection c = e.flows().record(place);
    const conntrack::TcpTracking tracking = e.flows().tracking(place);
    Names names{count, {}};
    for (uint32_t i = 0; i < count; i++) {
      Facts& f = names.facts[i];
      f = last;
      const bool is_turned = last.swapped != ((c.flags & conntrack::kOriginalSwapped) != 0);
      if (f.protocol == kIcmp || f.protocol == kIcmpv6) {
        f.dport = (f.family == 4 ? icmp::kEchoRequest : icmp::kEchoRequest6) << 8;
      } else if (is_turned) {
        std::swap(f.src, f.dst);
        std::swap(f.sport, f.dport);
      }
      f.sport += i;
      if (i != 0 && f.family == 4) f.dst ^= 2;
      if (!name_flow(f) || (i != 0 && e.flows().find(f.key, f.hash) != FlowTable::kNone)) return;
    }
    e.holdings().hand_over(place);
    for (uint32_t i = 1; i < count; i++) e.holdings().mark(names.facts[i].key, names.facts[i].hash);
    e.holdings().take_back(names, static_cast<uint16_t>(count), 1, e.book(), c, tracking);
  }

  RunPath path_;
  Engine engine_;
  uint32_t entry_ = 0;
  OtherEnds other_{};
};

const char* difference(Side& a, Side& b) {
  if (a.results != b.results) return "results";
  if (a.ended != b.ended) return "packets as they end";
  if (a.state() != b.state()) return "what is held";
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const auto batches = static_cast<uint64_t>(argc > 1 ? std::atol(argv[1]) : 3000);
  const auto first = static_cast<uint64_t>(argc > 2 ? std::atol(argv[2]) : 1);
  constexpr uint32_t kLives = 50;
  uint64_t packets = 0, moved = 0, translated = 0;
  if (!has_avx2()) std::printf("this processor has no AVX2: its path is NOT MEASURED\n");
  for (uint64_t done = 0, seed = first; done < batches; seed++) {
    const bool has_classes = seed % 4 != 0;
    auto one = std::make_unique<Side>(nullptr, has_classes);
    auto portable = std::make_unique<Side>(run_portable, has_classes);
    auto wide = std::make_unique<Side>(best_path(), has_classes);
    Random r(seed);
    const uint32_t calm = 1 + seed % 3 * 9;
    r.calm(calm);
    std::vector<Talk> talks(1 + r.below(60));
    for (Talk& t : talks) t = draw_talk(r);
    double now = 1e15;
    for (uint32_t life = 0; life < kLives && done < batches; life++, done++) {
      const Drawn drawn = draw_batch(r, talks, now);
      const uint64_t choices = r.next();
      for (Side* side : {one.get(), portable.get(), wide.get()}) {
        side->ended.clear();
        side->move(drawn, choices, calm);
      }
      packets += drawn.offsets.size();
      for (Side* side : {portable.get(), wide.get()}) {
        const char* what = difference(*one, *side);
        if (what == nullptr) continue;
        std::printf("seed %llu, batch %u: %s differ\n", static_cast<unsigned long long>(seed), life, what);
        return 1;
      }
    }
    moved += one->moved();
    translated += one->translated();
  }
  std::printf("%llu packets in %llu batches, %llu moved, %llu of them translated: no difference\n",
              static_cast<unsigned long long>(packets), static_cast<unsigned long long>(batches),
              static_cast<unsigned long long>(moved), static_cast<unsigned long long>(translated));
  return moved > packets / 4 && translated > 0 ? 0 : 1;
}
