// The only file that knows Node: the door between JavaScript and the compiled engine. Numbers cross
// in one shared array whose places src/engine/compiled/layout.ts names; bytes in views of buffers.
#include <napi.h>

#include <memory>
#include <new>

#include "engine/engine.hh"
#include "layout.gen.hh"

namespace {

namespace at = wiretrial::layout;
namespace ct = wiretrial::conntrack;
using wiretrial::Engine;
using wiretrial::FlowTable;

static_assert(ct::kSeenReply == 1 && ct::kAssured == 2 && ct::kUncounted == 8 && ct::kIsTcp == 16);

static_assert(at::kByFlags == wiretrial::kByFlags && at::kBySport == wiretrial::kBySport &&
              at::kByDport == wiretrial::kByDport && at::kBySource == wiretrial::kBySource &&
              at::kByDestination == wiretrial::kByDestination &&
              at::kBySourcePort == wiretrial::kBySourcePort &&
              at::kByDestinationPort == wiretrial::kByDestinationPort);

class Door : public Napi::ObjectWrap<Door> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "Engine",
        {
            InstanceMethod<&Door::Step>("step"),
            InstanceMethod<&Door::Run>("run"),
            InstanceMethod<&Door::IsPlain>("isPlain"),
            InstanceMethod<&Door::Decide>("decide"),
            InstanceMethod<&Door::Kill>("kill"),
            InstanceMethod<&Door::TakeCounts>("takeCounts"),
            InstanceMethod<&Door::ClearDecisions>("clearDecisions"),
            InstanceMethod<&Door::UseClasses>("useClasses"),
            InstanceMethod<&Door::Mark>("mark"),
            InstanceMethod<&Door::Unmark>("unmark"),
            InstanceMethod<&Door::Recall>("recall"),
            InstanceMethod<&Door::Put>("put"),
            InstanceMethod<&Door::Next>("next"),
            InstanceMethod<&Door::SetHost>("setHost"),
            InstanceMethod<&Door::SetHostSet>("setHostSet"),
            InstanceMethod<&Door::SetSettings>("setSettings"),
            InstanceMethod<&Door::Expire>("expire"),
            InstanceMethod<&Door::Held>("held"),
            InstanceMethod<&Door::NextOrder>("nextOrder"),
            InstanceMethod<&Door::Statistics>("statistics"),
        });
  }

  // (sizes, scratch: Float64Array, out: Uint8Array)
  explicit Door(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Door>(info) {
    const Napi::Object given = info[0].As<Napi::Object>();
    const auto size = [&](const char* name) { return given.Get(name).ToNumber().Int64Value(); };
    const wiretrial::EngineSizes sizes{
        static_cast<uint64_t>(size("connections")), static_cast<uint64_t>(size("decisions")),
        static_cast<uint64_t>(size("addresses")), static_cast<uint32_t>(size("hosts")),
        static_cast<uint32_t>(size("hostSets"))};
    engine_.reset(new (std::nothrow) Engine(sizes));
    if (engine_ == nullptr || !engine_->is_whole()) {
      engine_.reset();
      Napi::Error::New(info.Env(), "not enough memory for the tables").ThrowAsJavaScriptException();
      return;
    }
    auto scratch = info[1].As<Napi::Float64Array>();
    auto out = info[2].As<Napi::Uint8Array>();
    scratch_ = scratch.Data();
    out_ = out.Data();
    out_room_ = static_cast<uint32_t>(out.ByteLength());
    keep_scratch_ = Napi::Persistent(scratch.As<Napi::Object>());
    keep_out_ = Napi::Persistent(out.As<Napi::Object>());
  }

 private:
  static uint32_t U32(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }
  static double F64(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }
  static Napi::Value N(const Napi::CallbackInfo& info, double value) {
    return Napi::Number::New(info.Env(), value);
  }
  uint32_t word(uint32_t place) const { return static_cast<uint32_t>(scratch_[place]); }

  // step(entry, packet, nowNs, offloaded) → the decision's number, or why not
  Napi::Value Step(const Napi::CallbackInfo& info) {
    const auto packet = info[1].As<Napi::Uint8Array>();
    const wiretrial::Arrival arrival{static_cast<const uint8_t*>(packet.Data()),
                                     static_cast<uint32_t>(packet.ByteLength()),
                                     U32(info[0]),
                                     F64(info[2]),
                                     info[3].As<Napi::Boolean>().Value(),
                                     out_room_,
                                     out_};
    return N(info, engine_->step(arrival));
  }

  // run(batch, from, to) → the first packet that was not moved, or `to`. `batch` is
  // { packets: Uint8Array, offsets, lengths, entries: Uint32Array, times: Float64Array,
  //   offloaded: Uint8Array, results: Int32Array, out: Uint8Array | null, stride }.
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const Napi::Object batch = info[0].As<Napi::Object>();
    wiretrial::Batch b{};
    b.packets = batch.Get("packets").As<Napi::Uint8Array>().Data();
    b.offsets = batch.Get("offsets").As<Napi::Uint32Array>().Data();
    b.lengths = batch.Get("lengths").As<Napi::Uint32Array>().Data();
    b.entries = batch.Get("entries").As<Napi::Uint32Array>().Data();
    b.times = batch.Get("times").As<Napi::Float64Array>().Data();
    b.offloaded = batch.Get("offloaded").As<Napi::Uint8Array>().Data();
    b.results = batch.Get("results").As<Napi::Int32Array>().Data();
    const Napi::Value out = batch.Get("out");
    if (!out.IsNull()) {
      b.out = out.As<Napi::Uint8Array>().Data();
      b.stride = U32(batch.Get("stride"));
      const size_t places = out.As<Napi::Uint8Array>().ByteLength() / b.stride;
      b.ring = wiretrial::power_at_least(places / 2 + 1);
    }
    return N(info, engine_->run(b, U32(info[1]), U32(info[2])));
  }

  Napi::Value IsPlain(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), engine_->last_plain());
  }

  // decide() → the number of the decision that the scratch describes for the packet of the last
  // step; -1 when the table is full.
  Napi::Value Decide(const Napi::CallbackInfo& info) {
    const wiretrial::Facts& f = engine_->last();
    wiretrial::DecisionTable& table = engine_->decisions();
    if (!engine_->last_plain() || !table.has_room()) return N(info, -1);
    const uint32_t known = engine_->find(f, word(at::kEntry),
                                         static_cast<wiretrial::FlowState>(word(at::kFlowState)),
                                         static_cast<uint16_t>(word(at::kHostSetBefore)));
    if (known != wiretrial::DecisionTable::kNone &&
        !(table.at(known).flags & wiretrial::kDead)) {
      return N(info, known);
    }
    wiretrial::Decision d{};
    d.entry = word(at::kEntry);
    d.state = static_cast<wiretrial::FlowState>(word(at::kFlowState));
    d.host_set_before = static_cast<uint16_t>(word(at::kHostSetBefore));
    d.host_set_after = static_cast<uint16_t>(word(at::kHostSetAfter));
    d.host_set_opened = static_cast<uint16_t>(word(at::kHostSetOpened));
    d.by = static_cast<uint8_t>(word(at::kBy));
    d.flags = static_cast<uint8_t>(word(at::kDecisionFlags));
    d.tos_before = f.tos;
    d.tos_after = static_cast<uint8_t>(word(at::kTosAfter));
    d.ttl_change = static_cast<int8_t>(scratch_[at::kTtlChange]);
    d.ttl_room = static_cast<uint8_t>(word(at::kTtlRoom));
    d.tcp_flags = f.tcp_flags;
    d.offloaded = f.offloaded;
    d.mtu = static_cast<uint16_t>(word(at::kMtu));
    for (uint32_t i = 0; i < sizeof d.link_header; i++) {
      d.link_header[i] = static_cast<uint8_t>(word(at::kLinkHeader + i));
    }
    const uint32_t number = table.add(d);
    engine_->enter(f, d, number);
    return N(info, number);
  }

  void Kill(const Napi::CallbackInfo& info) {
    engine_->decisions().at(U32(info[0])).flags |= wiretrial::kDead;
  }

  // takeCounts(decision): packets and bytes since the last call into the scratch's first words.
  Napi::Value TakeCounts(const Napi::CallbackInfo& info) {
    wiretrial::Decision& d = engine_->decisions().at(U32(info[0]));
    scratch_[0] = static_cast<double>(d.packets);
    scratch_[1] = static_cast<double>(d.bytes);
    d.packets = 0;
    d.bytes = 0;
    return N(info, scratch_[0]);
  }

  void ClearDecisions(const Napi::CallbackInfo&) { engine_->clear_decisions(); }

  // useClasses([direct ×2, trie6 ×2: Uint32Array, tcp ×2, udp ×2: Uint16Array]): source first. They
  // are read in place until the next call.
  void UseClasses(const Napi::CallbackInfo& info) {
    const auto given = info[0].As<Napi::Array>();
    const auto words = [&](uint32_t i) { return given.Get(i).As<Napi::Uint32Array>().Data(); };
    const auto ports = [&](uint32_t i) { return given.Get(i).As<Napi::Uint16Array>().Data(); };
    engine_->classes().use(wiretrial::ClassTables{{words(0), words(1)},
                                                  {words(2), words(3)},
                                                  {ports(4), ports(5)},
                                                  {ports(6), ports(7)}});
    keep_classes_ = Napi::Persistent(given.As<Napi::Object>());
  }

  // The flow that the scratch's tuple is of; false when such flows are never held here.
  bool ReadTuple(wiretrial::Facts& f) {
    f = wiretrial::Facts{};
    f.family = static_cast<uint8_t>(word(at::kFamily));
    f.protocol = static_cast<uint8_t>(word(at::kProtocol));
    f.sport = word(at::kSport);
    f.dport = word(at::kDport);
    f.src = Address(at::kSrc, f.family);
    f.dst = Address(at::kDst, f.family);
    return wiretrial::name_flow(f);
  }

  uint32_t Address(uint32_t place, uint32_t family) {
    if (family == 4) return word(place + 3);
    uint8_t bytes[16];
    for (uint32_t i = 0; i < 4; i++) {
      wiretrial::set_u16(bytes, i * 4, word(place + i) >> 16);
      wiretrial::set_u16(bytes, i * 4 + 2, word(place + i) & 0xffff);
    }
    return engine_->book().number_of(bytes);
  }

  void WriteAddress(uint32_t place, uint32_t family, uint32_t address) {
    if (family == 4) {
      scratch_[place] = scratch_[place + 1] = 0;
      scratch_[place + 2] = 0xffff;
      scratch_[place + 3] = address;
      return;
    }
    uint8_t bytes[16];
    engine_->book().write(address, bytes);
    for (uint32_t i = 0; i < 4; i++) scratch_[place + i] = wiretrial::u32(bytes, i * 4);
  }

  // mark(host): the reference engine holds a connection of the scratch's tuple on this host.
  void Mark(const Napi::CallbackInfo& info) {
    wiretrial::Facts f;
    const bool known = ReadTuple(f);
    engine_->room(U32(info[0])).foreign += U32(info[1]);
    if (known) engine_->mark(f.key, f.hash);
  }

  // unmark(host, one): it does no longer.
  void Unmark(const Napi::CallbackInfo& info) {
    wiretrial::Facts f;
    const bool known = ReadTuple(f);
    engine_->room(U32(info[0])).foreign -= U32(info[1]);
    if (known) engine_->unmark(f.key, f.hash);
  }

  // recall(nowNs) → whether the flow of the scratch's tuple was held here; it is the reference
  // engine's from now on, and the scratch describes it.
  Napi::Value Recall(const Napi::CallbackInfo& info) {
    wiretrial::Facts f;
    if (!ReadTuple(f)) return Napi::Boolean::New(info.Env(), false);
    const uint32_t place = engine_->flows().find(f.key, f.hash);
    if (place == FlowTable::kNone) return Napi::Boolean::New(info.Env(), false);
    const ct::Connection& c = engine_->flows().record(place);
    if (c.host_set == wiretrial::kForeign) return Napi::Boolean::New(info.Env(), false);
    if (std::max(c.expires_ns[0], c.expires_ns[1]) <= F64(info[0])) {
      engine_->forget(place);
      return Napi::Boolean::New(info.Env(), false);
    }
    const bool original_swapped = (c.flags & ct::kOriginalSwapped) != 0;
    scratch_[at::kIsReply] = f.swapped != original_swapped ? 1 : 0;
    WriteConnection(place);
    engine_->hand_over(place);
    return Napi::Boolean::New(info.Env(), true);
  }

  // put(entries) → whether the connection that the scratch describes was taken: the marks of its
  // flow are exactly those of its `entries` entries.
  Napi::Value Put(const Napi::CallbackInfo& info) {
    wiretrial::Facts f;
    if (!ReadTuple(f)) return Napi::Boolean::New(info.Env(), false);
    const auto host_set = static_cast<uint16_t>(word(at::kHostSet));
    const uint32_t place = engine_->take_back(f.key, f.hash, U32(info[0]), host_set);
    if (place == FlowTable::kNone) return Napi::Boolean::New(info.Env(), false);
    ReadConnection(place, f);
    return Napi::Boolean::New(info.Env(), true);
  }

  // next(place) → the next place from here on that holds a connection, which the scratch then
  // describes with its original tuple; -1 at the end.
  Napi::Value Next(const Napi::CallbackInfo& info) {
    FlowTable& flows = engine_->flows();
    for (uint32_t place = U32(info[0]); place < flows.places(); place++) {
      if (!flows.is_taken(place) || flows.record(place).host_set == wiretrial::kForeign) continue;
      WriteTuple(place);
      WriteConnection(place);
      scratch_[at::kIsReply] = 0;
      return N(info, place);
    }
    return N(info, -1);
  }

  void WriteTuple(uint32_t place) {
    const wiretrial::FlowKey key = engine_->flows().key_of(place);
    const uint32_t protocol = (key.rest >> 32) & 0xff;
    const uint32_t family = (key.rest >> 40) & 0xff;
    const bool swapped = (engine_->flows().record(place).flags & ct::kOriginalSwapped) != 0;
    const bool icmp = protocol == wiretrial::kIcmp || protocol == wiretrial::kIcmpv6;
    uint32_t src = static_cast<uint32_t>(key.ends);
    uint32_t dst = static_cast<uint32_t>(key.ends >> 32);
    uint32_t sport = key.rest & 0xffff;
    uint32_t dport = (key.rest >> 16) & 0xffff;
    if (icmp) {
      const uint32_t request =
          family == 4 ? wiretrial::icmp::kEchoRequest : wiretrial::icmp::kEchoRequest6;
      dport = request << 8;
    } else if (swapped) {
      std::swap(src, dst);
      std::swap(sport, dport);
    }
    scratch_[at::kFamily] = family;
    scratch_[at::kProtocol] = protocol;
    WriteAddress(at::kSrc, family, src);
    WriteAddress(at::kDst, family, dst);
    scratch_[at::kSport] = sport;
    scratch_[at::kDport] = dport;
  }

  void WriteConnection(uint32_t place) {
    const ct::Connection& c = engine_->flows().record(place);
    scratch_[at::kOrder] = c.order;
    scratch_[at::kExpiresNs] = c.expires_ns[0];
    scratch_[at::kExpiresNs + 1] = c.expires_ns[1];
    scratch_[at::kStreamNs] = c.stream_ns;
    for (uint32_t i = 0; i < 2; i++) {
      scratch_[at::kBytes + i] = static_cast<double>(c.bytes[i]);
      scratch_[at::kPackets + i] = c.packets[i];
    }
    scratch_[at::kFlags] = c.flags;
    scratch_[at::kHostSet] = c.host_set;
    if (!(c.flags & ct::kIsTcp)) return;
    const ct::TcpTracking& t = engine_->flows().tracking(place);
    scratch_[at::kState] = t.state;
    scratch_[at::kLastIndex] = t.last_index;
    scratch_[at::kLastDirection] = t.last_direction;
    scratch_[at::kLastSeq] = t.last_seq;
    scratch_[at::kLastAck] = t.last_ack;
    scratch_[at::kLastEnd] = t.last_end;
    scratch_[at::kLastWindow] = t.last_window;
    scratch_[at::kRetransmissions] = t.retransmissions;
    scratch_[at::kLastScale] = t.last_scale;
    scratch_[at::kTrackingBits] = t.bits;
    for (uint32_t i = 0; i < 2; i++) {
      double* side = scratch_ + at::kSide + i * at::kSideWords;
      side[0] = t.seen[i].end;
      side[1] = t.seen[i].max_end;
      side[2] = t.seen[i].max_window;
      side[3] = t.seen[i].max_ack;
      side[4] = t.seen[i].scale;
      side[5] = t.seen[i].bits;
    }
  }

  void ReadConnection(uint32_t place, const wiretrial::Facts& f) {
    ct::Connection& c = engine_->flows().record(place);
    c = ct::Connection{};
    c.order = word(at::kOrder);
    c.expires_ns[0] = scratch_[at::kExpiresNs];
    c.expires_ns[1] = scratch_[at::kExpiresNs + 1];
    c.stream_ns = scratch_[at::kStreamNs];
    for (uint32_t i = 0; i < 2; i++) {
      c.bytes[i] = static_cast<uint64_t>(scratch_[at::kBytes + i]);
      c.packets[i] = word(at::kPackets + i);
      c.decision[i] = wiretrial::DecisionTable::kNone;
    }
    c.generation = engine_->generation();
    c.host_set = static_cast<uint16_t>(word(at::kHostSet));
    c.flags = static_cast<uint8_t>(word(at::kFlags));
    if (f.swapped) c.flags |= ct::kOriginalSwapped;
    if (!(c.flags & ct::kIsTcp)) return;
    ct::TcpTracking& t = engine_->flows().tracking(place);
    t = ct::TcpTracking{};
    t.state = static_cast<uint8_t>(word(at::kState));
    t.last_index = static_cast<uint8_t>(word(at::kLastIndex));
    t.last_direction = static_cast<uint8_t>(word(at::kLastDirection));
    t.last_seq = word(at::kLastSeq);
    t.last_ack = word(at::kLastAck);
    t.last_end = word(at::kLastEnd);
    t.last_window = static_cast<uint16_t>(word(at::kLastWindow));
    t.retransmissions = static_cast<uint8_t>(word(at::kRetransmissions));
    t.last_scale = static_cast<uint8_t>(word(at::kLastScale));
    t.bits = static_cast<uint8_t>(word(at::kTrackingBits));
    for (uint32_t i = 0; i < 2; i++) {
      const uint32_t side = at::kSide + i * at::kSideWords;
      t.seen[i] = ct::TcpSide{word(side),     word(side + 1),
                              word(side + 2), word(side + 3),
                              static_cast<uint8_t>(word(side + 4)),
                              static_cast<uint8_t>(word(side + 5))};
    }
  }

  // setHost(host, max)
  void SetHost(const Napi::CallbackInfo& info) { engine_->room(U32(info[0])).max = U32(info[1]); }

  // setHostSet(set, settings, otherSettings, hosts: number[])
  void SetHostSet(const Napi::CallbackInfo& info) {
    const auto hosts = info[3].As<Napi::Array>();
    wiretrial::HostSet& set = engine_->host_set(U32(info[0]));
    set.settings[0] = U32(info[1]);
    set.settings[1] = U32(info[2]);
    set.count = hosts.Length();
    for (uint32_t i = 0; i < set.count; i++) set.hosts[i] = U32(hosts.Get(i));
  }

  // setSettings(index): from the scratch.
  void SetSettings(const Napi::CallbackInfo& info) {
    ct::Settings& s = engine_->settings(U32(info[0]));
    const double* given = scratch_ + at::kSettings;
    for (uint32_t i = 0; i < 10; i++) s.tcp[i] = given[i];
    s.tcp_retrans = given[10];
    s.tcp_unack = given[11];
    s.udp_unreplied = given[12];
    s.udp_stream = given[13];
    s.icmp = given[14];
    s.icmpv6 = given[15];
    s.tcp_max_retrans = given[16];
    s.tcp_loose = given[17] != 0;
    s.tcp_be_liberal = given[18] != 0;
    s.tcp_ignore_invalid_rst = given[19] != 0;
  }

  // expire(nowNs) → how many connections were forgotten because their time was up
  Napi::Value Expire(const Napi::CallbackInfo& info) {
    return N(info, engine_->expire(F64(info[0])));
  }

  Napi::Value Held(const Napi::CallbackInfo& info) {
    return N(info, engine_->room(U32(info[0])).held);
  }

  Napi::Value NextOrder(const Napi::CallbackInfo& info) { return N(info, engine_->next_order()); }

  // statistics(): packets not moved by reason (words 1–6), places and memory of the flow table.
  void Statistics(const Napi::CallbackInfo&) {
    for (int32_t i = 1; i < wiretrial::kSlowReasons; i++) {
      scratch_[i] = static_cast<double>(engine_->slow_count(-i));
    }
    scratch_[0] = static_cast<double>(engine_->moved());
    scratch_[8] = engine_->flows().count();
    scratch_[9] = static_cast<double>(engine_->flows().memory_bytes());
    scratch_[10] = engine_->decisions().count();
  }

  std::unique_ptr<Engine> engine_;
  double* scratch_ = nullptr;
  uint8_t* out_ = nullptr;
  uint32_t out_room_ = 0;
  Napi::ObjectReference keep_scratch_;
  Napi::ObjectReference keep_out_;
  Napi::ObjectReference keep_classes_;
};

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("layoutVersion", Napi::Number::New(env, at::kVersion));
  exports.Set("Engine", Door::Define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(wiretrial, Init)
