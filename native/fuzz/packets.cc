// Any bytes as packets, through the whole fast path: nothing may be read or written that is not
// there, whatever a packet claims of itself. Built with the address and undefined-behaviour
// sanitizers; with clang as a libFuzzer target, with any other compiler with the driver below.
//
// Input: packets one behind the other, each with one byte of length in front (and one of choices:
// bit 0 offloaded, bits 1–2 how far time moves). Whatever is met for the first time gets a decision
// at once, so that all of tracking and rewriting is reached. Checksums are made right first: a
// fuzzer does not guess them.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../src/engine/engine.hh"

namespace {

using namespace wiretrial;

void make_right(std::vector<uint8_t>& p) {
  if (p.size() < 20 || p[0] != 0x45) return;
  set_u16(p.data(), ipv4::kTotalLength, static_cast<uint32_t>(p.size()));
  set_u16(p.data(), ipv4::kFragment, u16(p.data(), ipv4::kFragment) & ipv4::kDontFragment);
  set_u16(p.data(), ipv4::kChecksum, 0);
  set_u16(p.data(), ipv4::kChecksum, checksum(p.data(), 0, 20));
}

struct Fixture {
  Fixture() : engine(std::make_unique<Engine>(EngineSizes{64, 256, 64, 4, 8})) {
    conntrack::Settings s{};
    for (double& t : s.tcp) t = 120;
    s.tcp_retrans = s.tcp_unack = 300;
    s.udp_unreplied = s.icmp = s.icmpv6 = 30;
    s.udp_stream = 120;
    s.tcp_max_retrans = 3;
    s.tcp_loose = true;
    engine->set_settings(0, s);
    engine->set_host_set(1, HostSet{1, {0, 0}, {0}, 1, {1}});
    engine->set_host_set(2, HostSet{1, {0, 0}, {0}, 2, {1, 1}});
    engine->set_host_set(3, HostSet{2, {0, 0}, {0, 1}, 3, {1, 1, 1}});
    engine->room(0).max = 50;
    static const uint32_t ends_classes[] = {0, 1};
    engine->use_ends(ends_classes);
  }
  std::unique_ptr<Engine> engine;
};

void decide(Engine& e, FlowState state, uint16_t before, uint8_t choice) {
  if (!e.last_plain()) return;
  if (!e.decisions().has_room()) return e.clear_decisions();
  Decision d{};
  d.state = state;
  d.host_set_before = before;
  d.host_set_after = 1;
  d.by = choice & 7;
  d.flags = choice & (kLeaves | kCompletesChecksum);
  d.tos_before = e.last().tos;
  d.tos_after = choice;
  d.ttl_change = -1;
  d.tcp_flags = e.last().tcp_flags;
  d.offloaded = e.last().offloaded;
  d.mtu = 1500;
  e.enter(e.last(), OtherEnds{}, d, e.decisions().add(d));
}

// Give the connection of the last packet, if it is held here under one name, `count` names: what
// the reference engine does that opened a translated one. Packets of either end follow.
void translate(Engine& e, uint32_t count) {
  const Facts& last = e.last();
  const uint32_t place = e.flows().find(last.key, last.hash);
  if (place == FlowTable::kNone || e.flows().head(place).host_set != 1) return;
  const conntrack::Connection c = e.flows().record(place);
  const conntrack::TcpTracking tracking = e.flows().tracking(place);
  Names names{count, {}};
  for (uint32_t i = 0; i < count; i++) {
    Facts& f = names.facts[i];
    f = last;
    if (f.protocol == kIcmp || f.protocol == kIcmpv6) {
      f.dport = (f.family == 4 ? icmp::kEchoRequest : icmp::kEchoRequest6) << 8;
    }
    f.sport += i;
    if (i != 0 && f.family == 4) f.dst += 1;
    if (f.sport > 0xffff || !name_flow(f)) return;
    if (i != 0 && e.flows().find(f.key, f.hash) != FlowTable::kNone) return;
  }
  e.holdings().hand_over(place);
  for (uint32_t i = 1; i < count; i++) {
    e.holdings().mark(names.facts[i].key, names.facts[i].hash);
  }
  const auto host_set = static_cast<uint16_t>(count);
  if (!e.holdings().take_back(names, host_set, 1, e.book(), c, tracking)) return;
  const Rewrite to = rewrite_between(names.facts[0], names.facts[count - 1], e.book());
  Decision d{};
  d.host_set_before = d.host_set_after = host_set;
  d.flags = kTranslates;
  d.tos_before = last.tos;
  d.mtu = 1500;
  for (const FlowState state : {FlowState::kUnreplied, FlowState::kEstablished}) {
    if (!e.decisions().has_room()) return;
    d.state = state;
    e.enter(last, OtherEnds{.addresses = 1, .sport = static_cast<uint16_t>(in_memory(to.sport)), .dport = static_cast<uint16_t>(in_memory(to.dport))}, d, e.decisions().add(d));
  }
}

// The reference engine lets go of the last packet's flow, if it holds it: what comes the wrong way
// for a translated connection is not for here either, and nobody else holds that.
void let_go(Engine& e) {
  const Facts& f = e.last();
  const uint32_t place = e.flows().find(f.key, f.hash);
  if (place == FlowTable::kNone || e.flows().head(place).host_set != kForeign) return;
  e.holdings().unmark(f.key, f.hash);
}

// Returns how many packets were moved.
uint64_t run(const uint8_t* data, size_t size) {
  Fixture fixture;
  Engine& e = *fixture.engine;
  double now = 1e15;
  for (size_t at = 0; at + 2 <= size;) {
    const uint8_t choice = data[at + 1];
    const size_t length = std::min<size_t>(data[at], size - at - 2);
    // Copied to its exact size, so that a read behind it is seen.
    std::vector<uint8_t> packet(data + at + 2, data + at + 2 + length);
    at += 2 + length;
    make_right(packet);
    now += (choice >> 1 & 3) * 20e9;
    uint8_t out[512];
    const bool offloaded = (choice & 1) != 0;
    const Arrival a{packet.data(), static_cast<uint32_t>(packet.size()), 0, now, offloaded,
                    sizeof out,    out};
    const int32_t result = e.step(a);
    if (result == kForeignFlow && e.last_plain()) let_go(e);
    if (result != kNewFacts) continue;
    decide(e, FlowState::kOpening, 0, choice);
    decide(e, FlowState::kUnreplied, 1, choice);
    decide(e, FlowState::kEstablished, 1, choice);
    decide(e, FlowState::kReply, 1, choice);
    e.step(a);
    if ((choice & 0xf0) == 0x10 && e.last_plain()) {
      const uint32_t place = e.flows().find(e.last().key, e.last().hash);
      if (place != FlowTable::kNone && e.flows().head(place).host_set != kForeign) {
        e.holdings().hand_over(e.flows().connection_of(place));
      }
    }
    if ((choice & 0xf0) == 0x20) e.holdings().expire(now);
    if ((choice & 0xf0) >= 0x80 && e.last_plain()) translate(e, 2 + (choice >> 4 & 1));
    if ((choice & 0xf0) == 0x40 && e.last_plain()) {
      uint32_t from = e.holdings().next_from(e.last(), true);
      while (from != FlowTable::kNone) from = e.holdings().next_from(e.last(), false);
    }
  }
  return e.moved();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  run(data, size);
  return 0;
}

#ifndef WIRETRIAL_LIBFUZZER
namespace {

uint64_t state = 88172645463325252ull;
uint32_t random_number() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<uint32_t>(state >> 16);
}

// A packet that is whole, to be damaged: TCP, UDP or ICMP of either family between few ends.
void add_packet(std::vector<uint8_t>& in) {
  const bool v4 = random_number() % 4 != 0;
  const uint32_t head = v4 ? 20 : 40;
  const uint32_t body = 20 + random_number() % 60;
  std::vector<uint8_t> p(head + body);
  for (uint8_t& byte : p) byte = static_cast<uint8_t>(random_number());
  const uint8_t kinds[] = {6, 6, 17, static_cast<uint8_t>(v4 ? 1 : 58)};
  const uint8_t kind = kinds[random_number() % 4];
  for (uint32_t i = v4 ? 12 : 8; i < head; i++) p[i] = 0;
  p[v4 ? 15 : 23] = static_cast<uint8_t>(1 + random_number() % 2);
  p[head - 1] = static_cast<uint8_t>(1 + random_number() % 3);
  if (v4) {
    p[0] = 0x45;
    p[8] = 64;
    p[9] = kind;
  } else {
    p[0] = 0x60;
    p[6] = kind;
    p[7] = 64;
    wiretrial::set_u16(p.data(), 4, body);
  }
  for (uint32_t i = 0; i < 4; i++) p[head + i] = static_cast<uint8_t>(random_number() % 2);
  if (kind == 6) {
    p[head + 12] = static_cast<uint8_t>((5 + random_number() % 6) << 4);
    const uint8_t flags[] = {2, 0x12, 0x10, 0x18, 0x11, 4};
    p[head + 13] = flags[random_number() % 6];
  }
  if (kind == 17) wiretrial::set_u16(p.data(), head + 4, body);
  if (random_number() % 8 == 0) {
    p[random_number() % p.size()] ^= static_cast<uint8_t>(1u << random_number() % 8);
  }
  if (random_number() % 8 == 0) p.resize(random_number() % p.size() + 1);
  in.push_back(static_cast<uint8_t>(p.size()));
  in.push_back(static_cast<uint8_t>(random_number() | (random_number() % 4 ? 1 : 0)));
  in.insert(in.end(), p.begin(), p.end());
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t moved = 0;
  const long runs = argc > 1 ? std::atol(argv[1]) : 2000;
  for (long n = 0; n < runs; n++) {
    std::vector<uint8_t> in;
    for (uint32_t i = random_number() % 60; i > 0; i--) add_packet(in);
    moved += run(in.data(), in.size());
  }
  std::printf("%ld inputs, %llu packets moved, nothing found\n", runs,
              static_cast<unsigned long long>(moved));
  return moved > 0 ? 0 : 1;
}
#endif
