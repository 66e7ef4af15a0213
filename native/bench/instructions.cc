// Instructions a packet on the fast path: the same number on every machine of a kind, whatever else
// it does. Run by native/bench/instructions.sh under callgrind.
//
//   instructions KIND CONNECTIONS PACKETS [ROUNDS]
//
//   udp, tcp           established connections, both directions
//   nat-udp, nat-tcp   the same, source and destination rewritten
//   new, new-tcp       every packet opens a connection
//   again              the same, of a connection whose time is up
//   pass               no connection holds the packets, and none is opened
//
// With ROUNDS, and not under callgrind, the packets are moved that many times, five seconds apart
// (where connections are opened, after all have died), and the median of this thread's time is printed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "../src/engine/block.hh"
#include "../src/engine/engine.hh"

#ifdef WIRETRIAL_CALLGRIND
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#endif

using namespace wiretrial;

namespace {

constexpr uint32_t kStride = 64;
constexpr uint32_t kPayload = 12;

void build(uint8_t* p, bool tcp, uint32_t a, uint32_t b, uint16_t sport, uint16_t dport,
           uint8_t flags, uint32_t seq, uint32_t ack) {
  const uint32_t length = 20 + (tcp ? 20 : 8) + kPayload;
  std::memset(p, 0, kStride);
  p[0] = 0x45;
  set_u16(p, ipv4::kTotalLength, length);
  set_u16(p, ipv4::kFragment, ipv4::kDontFragment);
  p[ipv4::kTtl] = 64;
  p[ipv4::kProtocol] = tcp ? kTcp : kUdp;
  for (uint32_t i = 0; i < 4; i++) {
    p[12 + i] = static_cast<uint8_t>(a >> (24 - 8 * i));
    p[16 + i] = static_cast<uint8_t>(b >> (24 - 8 * i));
  }
  set_u16(p, ipv4::kChecksum, checksum(p, 0, 20));
  uint8_t* t = p + 20;
  set_u16(t, 0, sport);
  set_u16(t, 2, dport);
  if (tcp) {
    set_u16(t, 4, seq >> 16), set_u16(t, 6, seq), set_u16(t, 8, ack >> 16), set_u16(t, 10, ack);
    t[12] = 0x50;
    t[13] = flags;
    set_u16(t, 14, 60000);
  } else {
    set_u16(t, 4, length - 20);
  }
  Facts f{};
  f.bytes = p;
  f.length = length;
  f.l4 = 20;
  f.family = 4;
  f.protocol = tcp ? kTcp : kUdp;
  const uint32_t sum = __builtin_bswap16(static_cast<uint16_t>(transport_sum(f)));
  set_u16(t, tcp ? 16 : 6, ~sum & 0xffff);
}

// Classes as of a small cluster: addresses of one /24 and a few ports are told apart.
struct Tables {
  std::vector<uint32_t> direct;
  std::vector<uint16_t> ports;

  Tables() : direct(65536 + 512), ports(65536) {
    direct[0x0a01] = 0x80000000;
    direct[65536] = 0x80000001;
    for (uint32_t i = 0; i < 256; i++) direct[65536 + 256 + i] = 1 + i;
    ports[80] = 1;
    ports[8080] = 2;
  }
  ClassTables shown() const {
    const uint32_t* d = direct.data();
    const uint16_t* p = ports.data();
    return {{d, d}, {nullptr, nullptr}, {p, p}, {p, p}};
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) return 2;
  const bool nat = std::strncmp(argv[1], "nat-", 4) == 0;
  const bool tcp = std::strstr(argv[1], "tcp") != nullptr;
  const bool again = std::strcmp(argv[1], "again") == 0;
  const bool pass = std::strcmp(argv[1], "pass") == 0;
  const bool fresh = std::strncmp(argv[1], "new", 3) == 0 || again;
  const uint32_t connections = static_cast<uint32_t>(std::atol(argv[2]));
  const uint32_t packets = static_cast<uint32_t>(std::atol(argv[3]));
  Engine engine(EngineSizes{connections * 4ull, 4096, 64, 4, 8});
  conntrack::Settings s{};
  for (double& t : s.tcp) t = 120;
  s.tcp_retrans = s.tcp_unack = 300;
  s.udp_unreplied = 30;
  s.udp_stream = 120;
  s.tcp_max_retrans = 3;
  engine.set_settings(0, s);
  engine.set_host_set(1, HostSet{1, {0, 0}, {0}, 1, {1}});
  engine.set_host_set(2, HostSet{1, {0, 0}, {0}, 2, {1, 1}});
  const uint32_t ends_classes[] = {0, 1};
  engine.use_ends(ends_classes);
  const Tables tables;
  engine.classes().use(tables.shown());
  std::vector<uint8_t> bytes(static_cast<size_t>(packets) * kStride);
  std::vector<uint32_t> offsets(packets), lengths(packets), entries(packets);
  std::vector<double> times(packets);
  std::vector<uint8_t> offloaded(packets), out(4096 * 128);
  std::vector<int32_t> results(packets);
  const Batch batch{bytes.data(),     offsets.data(), lengths.data(), entries.data(), times.data(),
                    offloaded.data(), results.data(), out.data(),     128,            4096,
                    nullptr,          roomy_end(bytes.size())};
  uint64_t random = 88172645463325252ull;
  // The far side of a translated connection: another client, another server port.
  const auto far_of = [](const Facts& f) {
    Facts far = f;
    far.src += 0x01000000;
    far.dport += 8000;
    return far;
  };
  bool translated = false;
  const auto fill = [&](uint32_t i, uint32_t c, bool back, uint8_t flags, uint32_t seq, uint32_t ack) {
    const bool far = translated && back;
    const uint32_t a = (far ? 0x0b000001 : 0x0a000001) + c / 50000, b = 0x0a010001;
    const uint16_t sport = static_cast<uint16_t>(1024 + c % 50000), dport = far ? 8080 : 80;
    build(bytes.data() + static_cast<size_t>(i) * kStride, tcp, back ? b : a, back ? a : b,
          back ? dport : sport, back ? sport : dport, flags, seq, ack);
    offsets[i] = i * kStride;
    lengths[i] = 20 + (tcp ? 20 : 8) + kPayload;
    times[i] = 1e15 + i * 1000.0;
  };
  // Whatever is met for the first time gets a decision, as the reference engine would give it.
  const auto move = [&](uint32_t count) {
    for (uint32_t at = 0; (at = engine.run(batch, at, count)) < count;) {
      if (results[at] != kNewFacts) std::exit(3);
      for (const FlowState state : {FlowState::kOpening, FlowState::kUnreplied,
                                    FlowState::kEstablished, FlowState::kReply}) {
        Decision d{};
        d.state = state;
        d.host_set_before = state == FlowState::kOpening ? 0 : 1;
        d.host_set_after = pass ? 0 : 1;
        d.by = nat ? 0 : kByDport;
        d.ttl_change = -1;
        d.mtu = 1500;
        engine.enter(engine.last(), OtherEnds{}, d, engine.decisions().add(d));
        d.host_set_before = d.host_set_after = 2;
        d.flags = kTranslates;
        if (nat) engine.enter(engine.last(), OtherEnds{.addresses = 1}, d, engine.decisions().add(d));
      }
    }
  };
  if (!fresh && !pass) {
    for (uint32_t c = 0; c < connections; c += packets / 4) {
      const uint32_t n = std::min(connections - c, packets / 4);
      for (uint32_t i = 0; i < n; i++) fill(i, c + i, false, 2, 100, 0);
      move(n);
      for (uint32_t i = 0; i < n; i++) fill(i, c + i, true, 0x12, 900, 101 + kPayload);
      move(n);
      for (uint32_t i = 0; i < n; i++) fill(i, c + i, false, 0x10, 101 + kPayload, 901 + kPayload);
      move(n);
    }
  }
  if (nat) {
    Holdings& holdings = engine.holdings();
    for (uint32_t c = 0; c < connections; c++) {
      Names names{2, {}};
      Facts& near = names.facts[0];
      near.family = 4;
      near.protocol = tcp ? kTcp : kUdp;
      near.src = 0x0a000001 + c / 50000;
      near.dst = 0x0a010001;
      near.sport = 1024 + c % 50000;
      near.dport = 80;
      names.facts[1] = far_of(near);
      if (!name_flow(near) || !name_flow(names.facts[1])) return 4;
      const uint32_t place = engine.flows().find(near.key, near.hash);
      if (place == FlowTable::kNone) return 4;
      const conntrack::Connection held = engine.flows().record(place);
      const conntrack::TcpTracking tracking = engine.flows().tracking(place);
      holdings.hand_over(place);
      holdings.mark(names.facts[1].key, names.facts[1].hash);
      if (!holdings.take_back(names, 2, 1, engine.book(), held, tracking)) return 4;
    }
    translated = true;
  }
  for (uint32_t i = 0; i < packets; i++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    const uint32_t c = fresh ? i : static_cast<uint32_t>((random >> 20) % connections);
    const bool back = !fresh && (random & 1);
    const uint32_t here = back ? 901 + kPayload : 101 + 2 * kPayload;
    const uint32_t there = back ? 101 + 2 * kPayload : 901 + kPayload;
    fill(i, c, back, fresh ? 0x02 : 0x10, here, there);
  }
  const auto thread_ns = [] {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
  };
  std::vector<double> rounds(argc == 5 ? static_cast<size_t>(std::atol(argv[4])) : 0);
  for (double& ns : rounds) {
    const double started = thread_ns();
    move(packets);
    ns = (thread_ns() - started) / packets;
    for (double& time : times) time += fresh ? 200e9 : 5e9;
  }
  if (!rounds.empty()) {
    std::sort(rounds.begin(), rounds.end());
    std::printf("%s, %u connections: %.1f ns a packet (least %.1f)\n", argv[1], connections,
                rounds[rounds.size() / 2], rounds[0]);
  }
  if (again) {
    move(packets);
    for (double& time : times) time += 200e9;
  }
  const uint64_t before = engine.moved();
  CALLGRIND_TOGGLE_COLLECT;
  move(packets);
  CALLGRIND_TOGGLE_COLLECT;
  std::printf("%llu of %u packets moved\n",
              static_cast<unsigned long long>(engine.moved() - before), packets);
  return engine.moved() - before == packets ? 0 : 1;
}
