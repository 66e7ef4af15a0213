// The door between JavaScript and the compiled engine. Numbers cross
// in one shared array whose places src/engine/compiled/layout.ts names; bytes in views of buffers.
#include <napi.h>

#include <memory>
#include <new>

#include "engine-door.hh"
#include "engine/block.hh"
#include "engine/engine.hh"
#include "engine/image.hh"
#include "lane-door.hh"
#include "layout.gen.hh"
#include "verdict-door.hh"
#include "words.hh"

namespace {

namespace at = wiretrial::layout;
namespace ct = wiretrial::conntrack;
using wiretrial::Engine;
using wiretrial::FlowTable;

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
            InstanceMethod<&Door::DecideSpecial>("decideSpecial"),
            InstanceMethod<&Door::Special>("special"),
            InstanceMethod<&Door::OpenSpecial>("openSpecial"),
            InstanceMethod<&Door::Kill>("kill"),
            InstanceMethod<&Door::TakeCounts>("takeCounts"),
            InstanceMethod<&Door::ClearDecisions>("clearDecisions"),
            InstanceMethod<&Door::UseClasses>("useClasses"),
            InstanceMethod<&Door::UseEnds>("useEnds"),
            InstanceMethod<&Door::Mark>("mark"),
            InstanceMethod<&Door::Unmark>("unmark"),
            InstanceMethod<&Door::Recall>("recall"),
            InstanceMethod<&Door::Put>("put"),
            InstanceMethod<&Door::Next>("next"),
            InstanceMethod<&Door::NextFrom>("nextFrom"),
            InstanceMethod<&Door::Meet>("meet"),
            InstanceMethod<&Door::NamesOfLast>("namesOfLast"),
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

  Engine& engine() { return *engine_; }

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

  // run(batch, from, to) → the first packet that was not moved, or that a decision moved which is not
  // good, or `to`. `batch` is
  // { packets: Uint8Array, offsets, lengths, entries: Uint32Array, times: Float64Array,
  //   offloaded: Uint8Array, results: Int32Array, out: Uint8Array | null, stride,
  //   good?: Uint8Array by number of decision }.
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const Napi::Object batch = info[0].As<Napi::Object>();
    wiretrial::Batch b{};
    const auto packets = batch.Get("packets").As<Napi::Uint8Array>();
    b.packets = packets.Data();
    b.roomy_end = wiretrial::roomy_end(packets.ByteLength());
    b.offsets = batch.Get("offsets").As<Napi::Uint32Array>().Data();
    b.lengths = batch.Get("lengths").As<Napi::Uint32Array>().Data();
    b.entries = batch.Get("entries").As<Napi::Uint32Array>().Data();
    b.times = batch.Get("times").As<Napi::Float64Array>().Data();
    b.offloaded = batch.Get("offloaded").As<Napi::Uint8Array>().Data();
    b.results = batch.Get("results").As<Napi::Int32Array>().Data();
    const Napi::Value good = batch.Get("good");
    if (!good.IsUndefined()) b.good = good.As<Napi::Uint8Array>().Data();
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
    const wiretrial::OtherEnds other{.addresses = word(at::kEnds),
                                     .sport = static_cast<uint16_t>(word(at::kOtherSport)),
                                     .dport = static_cast<uint16_t>(word(at::kOtherDport))};
    const uint32_t known = engine_->find(f, other, word(at::kEntry),
                                         static_cast<wiretrial::FlowState>(word(at::kFlowState)),
                                         static_cast<uint16_t>(word(at::kHostSetBefore)));
    if (known != wiretrial::DecisionTable::kNone &&
        !(table.at(known).flags & wiretrial::kDead)) {
      return N(info, known);
    }
    const wiretrial::Decision d = Described(f);
    const uint32_t number = table.add(d);
    engine_->enter(f, other, d, number);
    return N(info, number);
  }

  // decideSpecial() → the number of a decision that no key leads to; -1 when the table is full.
  Napi::Value DecideSpecial(const Napi::CallbackInfo& info) {
    wiretrial::DecisionTable& table = engine_->decisions();
    if (!engine_->last_plain() || !table.has_room()) return N(info, -1);
    return N(info, table.add(Described(engine_->last())));
  }

  // The decision that the scratch describes, of a packet with these facts.
  wiretrial::Decision Described(const wiretrial::Facts& f) {
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
    return d;
  }

  // special() → the decision at which the last packet was handed over as a special opening
  Napi::Value Special(const Napi::CallbackInfo& info) { return N(info, engine_->special()); }

  // openSpecial(decision, packet, nowNs, offloaded) → whether that packet was moved by it; the
  // scratch has the names of its connection, and the number of their addresses.
  Napi::Value OpenSpecial(const Napi::CallbackInfo& info) {
    const auto packet = info[1].As<Napi::Uint8Array>();
    const wiretrial::Arrival arrival{static_cast<const uint8_t*>(packet.Data()),
                                     static_cast<uint32_t>(packet.ByteLength()),
                                     0,
                                     F64(info[2]),
                                     info[3].As<Napi::Boolean>().Value(),
                                     out_room_,
                                     out_};
    wiretrial::Names names;
    const bool is_moved = Scratch().read_names(names) &&
                          engine_->open_special(arrival, U32(info[0]), names, word(at::kEnds));
    return Napi::Boolean::New(info.Env(), is_moved);
  }

  void Kill(const Napi::CallbackInfo& info) {
    engine_->decisions().kill(U32(info[0]));
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
    engine_->classes().use(wiretrial::class_tables(given));
    keep_classes_ = Napi::Persistent(given.As<Napi::Object>());
  }

  // useEnds(classes: Uint32Array): read in place until the next call.
  void UseEnds(const Napi::CallbackInfo& info) {
    const auto given = info[0].As<Napi::Uint32Array>();
    engine_->use_ends(given.Data());
    keep_ends_ = Napi::Persistent(given.As<Napi::Object>());
  }

  // Hosts behind those that there is room for hold nothing here.
  bool HasHost(const Napi::CallbackInfo& info) const {
    return U32(info[0]) < engine_->sizes().hosts;
  }

  wiretrial::Words Scratch() { return wiretrial::Words(scratch_, *engine_); }

  // mark(host, connections): the reference engine holds these of the scratch's tuple on this host.
  void Mark(const Napi::CallbackInfo& info) {
    wiretrial::Facts f;
    const bool known = Scratch().read_tuple(0, f);
    if (HasHost(info)) engine_->room(U32(info[0])).foreign += U32(info[1]);
    if (known) engine_->holdings().mark(f.key, f.hash);
  }

  // unmark(host, connections): it does no longer.
  void Unmark(const Napi::CallbackInfo& info) {
    wiretrial::Facts f;
    const bool known = Scratch().read_tuple(0, f);
    if (HasHost(info)) engine_->room(U32(info[0])).foreign -= U32(info[1]);
    if (known) engine_->holdings().unmark(f.key, f.hash);
  }

  // recall(nowNs) → whether a connection with the flow of the scratch's tuple was held here; it is
  // the reference engine's from now on, and the scratch describes it.
  Napi::Value Recall(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), Recalled(F64(info[0])));
  }

  bool Recalled(double now_ns) {
    wiretrial::Facts f;
    if (!Scratch().read_tuple(0, f)) return false;
    wiretrial::Holdings& holdings = engine_->holdings();
    const uint32_t found = engine_->flows().find(f.key, f.hash);
    if (found == FlowTable::kNone) return false;
    if (engine_->flows().head(found).host_set == wiretrial::kForeign) return false;
    const uint32_t place = engine_->flows().connection_of(found);
    if (holdings.is_dead(place, now_ns)) {
      holdings.forget(place);
      return false;
    }
    Scratch().write(place);
    holdings.hand_over(place);
    return true;
  }

  // put() → whether the connection that the scratch describes was taken: the marks of its flows are
  // exactly those of the entries of its host set.
  Napi::Value Put(const Napi::CallbackInfo& info) {
    wiretrial::Names names;
    wiretrial::Words words = Scratch();
    const bool taken =
        words.read_names(names) &&
        engine_->holdings().take_back(names, static_cast<uint16_t>(word(at::kHostSet)),
                                      word(at::kEnds), engine_->book(), words.read_connection(),
                                      words.read_tracking());
    return Napi::Boolean::New(info.Env(), taken);
  }

  // next(place) → the next place from here on that holds a connection, which the scratch then
  // describes; -1 at the end.
  Napi::Value Next(const Napi::CallbackInfo& info) {
    FlowTable& flows = engine_->flows();
    for (uint32_t place = U32(info[0]); place < flows.places(); place++) {
      if (!flows.is_taken(place) || flows.head(place).host_set >= wiretrial::kOtherName) continue;
      Scratch().write(place);
      return N(info, place);
    }
    return N(info, -1);
  }

  // nextFrom(isFirst): the same, of connections that some host knows by a tuple with the source of
  // the scratch's, in no order; it must be written there before each call.
  Napi::Value NextFrom(const Napi::CallbackInfo& info) {
    wiretrial::Facts f;
    Scratch().read_ends(0, f);
    const uint32_t place = engine_->holdings().next_from(f, info[0].As<Napi::Boolean>());
    if (place == FlowTable::kNone) return N(info, -1);
    Scratch().write(place);
    return N(info, place);
  }

  // meet(packet, offloaded): a packet that was moved in a batch is the last from now on.
  void Meet(const Napi::CallbackInfo& info) {
    const auto packet = info[0].As<Napi::Uint8Array>();
    engine_->meet({static_cast<const uint8_t*>(packet.Data()),
                   static_cast<uint32_t>(packet.ByteLength()), 0, 0,
                   info[1].As<Napi::Boolean>().Value(), 0, nullptr});
  }

  // namesOfLast() → whether the packet that was moved last is of a connection that is held here,
  // whose tuples are then in the scratch.
  Napi::Value NamesOfLast(const Napi::CallbackInfo& info) {
    const wiretrial::Facts& f = engine_->last();
    const uint32_t found = engine_->flows().find(f.key, f.hash);
    const bool is_held = found != FlowTable::kNone &&
                         engine_->flows().head(found).host_set != wiretrial::kForeign;
    if (is_held) Scratch().write(engine_->flows().connection_of(found));
    return Napi::Boolean::New(info.Env(), is_held);
  }

  // setHost(host, max)
  void SetHost(const Napi::CallbackInfo& info) {
    if (HasHost(info)) engine_->room(U32(info[0])).max = U32(info[1]);
  }

  // setHostSet(set, settings, otherSettings, hosts: number[], knownBy: number[])
  void SetHostSet(const Napi::CallbackInfo& info) {
    const auto hosts = info[3].As<Napi::Array>();
    wiretrial::HostSet set{};
    set.settings[0] = U32(info[1]);
    set.settings[1] = U32(info[2]);
    set.count = hosts.Length();
    for (uint32_t i = 0; i < set.count; i++) set.hosts[i] = U32(hosts.Get(i));
    const auto known_by = info[4].As<Napi::Array>();
    set.names = known_by.Length();
    for (uint32_t i = 0; i < set.names; i++) set.known_by[i] = U32(known_by.Get(i));
    engine_->set_host_set(U32(info[0]), set);
  }

  // setSettings(index): from the scratch.
  void SetSettings(const Napi::CallbackInfo& info) {
    ct::Settings s{};
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
    engine_->set_settings(U32(info[0]), s);
  }

  // expire(nowNs) → how many connections were forgotten because their time was up
  Napi::Value Expire(const Napi::CallbackInfo& info) {
    return N(info, engine_->holdings().expire(F64(info[0])));
  }

  Napi::Value Held(const Napi::CallbackInfo& info) {
    return N(info, HasHost(info) ? engine_->room(U32(info[0])).held : 0);
  }

  Napi::Value NextOrder(const Napi::CallbackInfo& info) { return N(info, engine_->next_order()); }

  // statistics(): packets not moved by reason (words 1–6), places and memory of the flow table,
  // decisions, packets whose ends were rewritten, packets for which the flow table was full.
  void Statistics(const Napi::CallbackInfo&) {
    for (int32_t i = 1; i < wiretrial::kSlowReasons; i++) {
      scratch_[i] = static_cast<double>(engine_->slow_count(-i));
    }
    scratch_[0] = static_cast<double>(engine_->moved());
    scratch_[8] = engine_->flows().count();
    scratch_[9] = static_cast<double>(engine_->flows().memory_bytes());
    scratch_[10] = engine_->decisions().count();
    scratch_[11] = static_cast<double>(engine_->translated());
    scratch_[12] = static_cast<double>(engine_->full());
  }

  std::unique_ptr<Engine> engine_;
  double* scratch_ = nullptr;
  uint8_t* out_ = nullptr;
  uint32_t out_room_ = 0;
  Napi::ObjectReference keep_scratch_;
  Napi::ObjectReference keep_out_;
  Napi::ObjectReference keep_ends_;
  Napi::ObjectReference keep_classes_;
};

// isImage(words: Uint32Array) → whether the flat image of classes can be read in place.
Napi::Value IsImage(const Napi::CallbackInfo& info) {
  const auto words = info[0].As<Napi::Uint32Array>();
  wiretrial::ClassTables tables;
  return Napi::Boolean::New(info.Env(),
                            wiretrial::read_image(words.Data(), words.ElementLength(), tables));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("layoutVersion", Napi::Number::New(env, at::kVersion));
  exports.Set("Engine", Door::Define(env));
  exports.Set("isImage", Napi::Function::New<IsImage>(env, "isImage"));
  exports.Set("Lanes", DefineLanes(env));
  exports.Set("Verdicts", wiretrial::VerdictDoor::Define(env));
  return exports;
}

}  // namespace

Engine* EngineOf(const Napi::Object& door) { return &Door::Unwrap(door)->engine(); }

NODE_API_MODULE(wiretrial, Init)
