// The second file that knows Node: the door to walking captures and to lanes. Columns are typed
// arrays that JavaScript gives once; numbers that both sides keep stand in one array of words
// (src/engine/compiled/lane-door.ts names them).
#include "lane-door.hh"

#include <memory>
#include <new>

#include "engine-door.hh"
#include "lane/lanes.hh"
#include "lane/look.hh"

namespace {

namespace lane = wiretrial::lane;

class LaneDoor : public Napi::ObjectWrap<LaneDoor> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Lanes",
                       {
                           InstanceMethod<&LaneDoor::Shape>("shape"),
                           InstanceMethod<&LaneDoor::Walk>("walk"),
                           InstanceMethod<&LaneDoor::Run>("run"),
                           InstanceMethod<&LaneDoor::UseIndex>("useIndex"),
                           InstanceMethod<&LaneDoor::Open>("open"),
                           InstanceMethod<&LaneDoor::Close>("close"),
                           InstanceMethod<&LaneDoor::Forget>("forget"),
                           InstanceMethod<&LaneDoor::Settle>("settle"),
                           InstanceMethod<&LaneDoor::UseEngine>("useEngine"),
                           InstanceMethod<&LaneDoor::Note>("note"),
                           InstanceMethod<&LaneDoor::Look>("look"),
                           InstanceMethod<&LaneDoor::NoteContent>("noteContent"),
                           InstanceMethod<&LaneDoor::Count>("count"),
                           InstanceMethod<&LaneDoor::Rows>("rows"),
                           InstanceMethod<&LaneDoor::Turn>("turn"),
                           InstanceMethod<&LaneDoor::Index>("index"),
                           InstanceMethod<&LaneDoor::Unite>("unite"),
                           InstanceMethod<&LaneDoor::BeginStrangers>("beginStrangers"),
                           InstanceMethod<&LaneDoor::KindOf>("kindOf"),
                           InstanceMethod<&LaneDoor::SetKind>("setKind"),
                           InstanceMethod<&LaneDoor::Meet>("meet"),
                           InstanceMethod<&LaneDoor::Quoted>("quoted"),
                           InstanceMethod<&LaneDoor::Expire>("expire"),
                       });
  }

  // (flows, columns: { words, at, captured, wire, iface, times, packets, offsets, lengths, entries,
  //  nows, offloaded, lane, record, lanePackets, laneBytes, flowNows, dirty, senders, pairs, census, joins, ends, frames })
  explicit LaneDoor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LaneDoor>(info) {
    const Napi::Object given = info[1].As<Napi::Object>();
    keep_ = Napi::Persistent(given);
    words_ = F64s(given, "words");
    records_ = {U32s(given, "at"), U32s(given, "captured"), U32s(given, "wire"),
                U32s(given, "iface"),
                reinterpret_cast<int64_t*>(given.Get("times").As<Napi::BigInt64Array>().Data())};
    limit_ = static_cast<uint32_t>(given.Get("at").As<Napi::Uint32Array>().ElementLength());
    auto packets = given.Get("packets").As<Napi::Uint8Array>();
    staged_ = {packets.Data(),
               static_cast<uint32_t>(packets.ByteLength()),
               U32s(given, "offsets"),
               U32s(given, "lengths"),
               U32s(given, "entries"),
               F64s(given, "nows"),
               given.Get("offloaded").As<Napi::Uint8Array>().Data(),
               U32s(given, "lane"),
               U32s(given, "record"),
               U32s(given, "lanePackets"),
               F64s(given, "laneBytes"),
               F64s(given, "flowNows"),
               U32s(given, "dirty"),
               static_cast<uint32_t>(given.Get("offsets").As<Napi::Uint32Array>().ElementLength())};
    lanes_.reset(new (std::nothrow) lane::Lanes(U32(info[0])));
    const auto bytes = [&](const char* name) { return given.Get(name).As<Napi::Uint8Array>(); };
    frames_ = F64s(given, "frames");
    ends_ = bytes("ends").Data();
    const lane::Findings findings{
        reinterpret_cast<lane::Sender*>(bytes("senders").Data()),
        reinterpret_cast<lane::Pair*>(bytes("pairs").Data()),
        reinterpret_cast<uint64_t*>(U32s(given, "census")),
        reinterpret_cast<lane::Join*>(bytes("joins").Data()),
        static_cast<uint32_t>(bytes("joins").ByteLength() / sizeof(lane::Join))};
    look_.reset(new (std::nothrow) lane::Look(findings));
    const bool has_look = look_ != nullptr && look_->is_whole();
    if (lanes_ == nullptr || !lanes_->is_whole() || !has_look) {
      Fail(info, "not enough memory for lanes");
    }
  }

 private:
  static uint32_t U32(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }
  static uint32_t* U32s(const Napi::Object& o, const char* name) {
    return o.Get(name).As<Napi::Uint32Array>().Data();
  }
  static double* F64s(const Napi::Object& o, const char* name) {
    return o.Get(name).As<Napi::Float64Array>().Data();
  }
  static void Fail(const Napi::CallbackInfo& info, const char* message) {
    Napi::Error::New(info.Env(), message).ThrowAsJavaScriptException();
  }

  // shape({ pcapng, little, swaps }, nsPerUnit: Float64Array, offsets: BigInt64Array): how the file
  // at hand is written.
  void Shape(const Napi::CallbackInfo& info) {
    const Napi::Object how = info[0].As<Napi::Object>();
    const auto units = info[1].As<Napi::Float64Array>();
    const auto offsets = info[2].As<Napi::BigInt64Array>();
    keep_units_ = Napi::Persistent(units.As<Napi::Object>());
    keep_offsets_ = Napi::Persistent(offsets.As<Napi::Object>());
    shape_ = {how.Get("pcapng").ToBoolean().Value(),
              how.Get("little").ToBoolean().Value(),
              how.Get("swaps").ToBoolean().Value(),
              static_cast<uint32_t>(units.ElementLength()),
              units.Data(),
              reinterpret_cast<const int64_t*>(offsets.Data())};
  }

  // walk(window, from, limit, untilNs: bigint) → how many records, all of them earlier; the words say
  // where the walk ended.
  Napi::Value Walk(const Napi::CallbackInfo& info) {
    const auto bytes = info[0].As<Napi::Uint8Array>();
    const lane::Window window{bytes.Data(), U32(info[1]), static_cast<uint32_t>(bytes.ByteLength())};
    bool lossless;
    const lane::Bound bound{std::min(limit_, U32(info[2])),
                            info[3].As<Napi::BigInt>().Int64Value(&lossless)};
    const lane::Walked found = lane::walk(window, shape_, records_, bound);
    words_[lane::kStop] = found.next;
    return Napi::Number::New(info.Env(), found.records);
  }

  // run(window, from, to, linkTypes: Uint32Array, ifaces: Uint32Array, startNs: bigint, place: the
  // first record's in the capture, or -1 where not all records of it follow)
  void Run(const Napi::CallbackInfo& info) {
    bool lossless;
    const double place = info[6].ToNumber().DoubleValue();
    const bool is_indexed = place >= 0 && place + U32(info[2]) <= indexed_;
    const lane::Lanes::Source source{info[0].As<Napi::Uint8Array>().Data(), records_,
                                     info[3].As<Napi::Uint32Array>().Data(),
                                     info[4].As<Napi::Uint32Array>().Data(),
                                     info[5].As<Napi::BigInt>().Int64Value(&lossless),
                                     is_indexed ? index_ + static_cast<size_t>(place) : nullptr};
    if (!lanes_->run(source, U32(info[1]), U32(info[2]), staged_, words_)) {
      Fail(info, "not enough memory for the packets of one second");
    }
  }

  // useIndex(entries: Uint32Array, rows: Uint8Array): the index of the capture that `run` goes through.
  void UseIndex(const Napi::CallbackInfo& info) {
    const auto entries = info[0].As<Napi::Uint32Array>();
    const auto rows = info[1].As<Napi::Uint8Array>();
    keep_index_ = Napi::Persistent(entries.As<Napi::Object>());
    keep_rows_ = Napi::Persistent(rows.As<Napi::Object>());
    index_ = entries.Data();
    indexed_ = static_cast<double>(entries.ElementLength());
    const auto count = static_cast<uint32_t>(rows.ByteLength() / sizeof(lane::Row));
    const auto* all = reinterpret_cast<const lane::Row*>(rows.Data());
    if (!lanes_->use_index(all, count)) Fail(info, "not enough memory for an index");
  }

  // open(frame, linkType, lane: { silent, lifetimeNs, lastNs }, of one that is not silent also
  //  { iface, entry, sentTtl, settles, hasOwnName, treat: number[4], whose, vantage: bigint,
  //  src, dst: Uint8Array | null }) → the lane's number, twice the flow's place and its direction;
  //  -1 when the frame can have none.
  Napi::Value Open(const Napi::CallbackInfo& info) {
    const auto frame = info[0].As<Napi::Uint8Array>();
    const Napi::Object given = info[2].As<Napi::Object>();
    lane::Packet p;
    const auto captured = static_cast<uint32_t>(frame.ByteLength());
    const bool known = lane::read_packet(frame.Data(), captured, U32(info[1]), p);
    const bool is_silent = given.Get("silent").ToBoolean().Value();
    // Of segments that open, copies count even for who only follows.
    const bool fits = known && p.link_length <= lane::kMaxLink && !(is_silent && p.flags == lane::kOpens);
    const uint32_t place = fits ? lanes_->flows().make(p.name) : lane::kNone;
    if (place == lane::kNone) return Napi::Number::New(info.Env(), -1);
    lane::Flow& flow = lanes_->flows()[place];
    flow.lifetime_ns = given.Get("lifetimeNs").ToNumber().DoubleValue();
    flow.last_ns = given.Get("lastNs").ToNumber().DoubleValue();
    lane::Lane& l = flow.lanes[p.turned];
    l = lane::Lane{};
    l.is_open = true;
    l.is_silent = is_silent;
    l.flags = static_cast<uint8_t>(p.flags);
    if (l.is_silent) return Napi::Number::New(info.Env(), place * 2 + p.turned);
    l.ttl = p.ttl;
    l.sent_ttl = static_cast<uint8_t>(U32(given.Get("sentTtl")));
    l.settles = lanes_->settling().is_used() && given.Get("settles").ToBoolean().Value();
    l.link_length = static_cast<uint8_t>(p.link_length);
    std::memcpy(l.link, frame.Data(), p.link_length);
    const auto treat = given.Get("treat").As<Napi::Array>();
    for (uint32_t i = 0; i < 4; i++) l.set_treat(i, static_cast<lane::Treat>(U32(treat.Get(i))));
    l.has_own_name = given.Get("hasOwnName").ToBoolean().Value();
    l.iface = U32(given.Get("iface"));
    l.entry = U32(given.Get("entry"));
    bool lossless;
    l.whose = given.Get("whose").As<Napi::BigInt>().Uint64Value(&lossless);
    l.vantage = given.Get("vantage").As<Napi::BigInt>().Uint64Value(&lossless);
    const Napi::Value src = given.Get("src");
    if (!src.IsNull()) {
      const auto from = src.As<Napi::Uint8Array>();
      const auto to = given.Get("dst").As<Napi::Uint8Array>();
      l.rewrites = true;
      std::memcpy(l.src, from.Data(), std::min<size_t>(16, from.ByteLength()));
      std::memcpy(l.dst, to.Data(), std::min<size_t>(16, to.ByteLength()));
    }
    return Napi::Number::New(info.Env(), place * 2 + p.turned);
  }

  // close(lane): its packets are for JavaScript again.
  void Close(const Napi::CallbackInfo& info) {
    const uint32_t number = U32(info[0]);
    lanes_->flows()[number / 2].lanes[number % 2].is_open = false;
  }

  // forget(flow): its connection is over.
  void Forget(const Napi::CallbackInfo& info) { lanes_->flows().forget(U32(info[0])); }

  // settle(): JavaScript has read what the dirty flows counted.
  void Settle(const Napi::CallbackInfo&) {
    const auto count = static_cast<uint32_t>(words_[lane::kDirty]);
    for (uint32_t i = 0; i < count; i++) lanes_->flows()[staged_.dirty[i]].is_dirty = false;
    words_[lane::kDirty] = 0;
  }

  // useEngine(engine: Engine | null, good: Uint8Array): who settles packets of lanes that are opened
  // from now on, and by which decisions; `good` is read in place until the next call.
  void UseEngine(const Napi::CallbackInfo& info) {
    if (info[0].IsNull()) {
      lanes_->settling().use(nullptr, nullptr);
      return;
    }
    keep_engine_ = Napi::Persistent(info[0].As<Napi::Object>());
    keep_good_ = Napi::Persistent(info[1].As<Napi::Object>());
    lanes_->settling().use(EngineOf(info[0].As<Napi::Object>()),
                          info[1].As<Napi::Uint8Array>().Data());
  }

  // note(bytes, payload, head: Float64Array, whose, fragment, vantage: bigint, nowNs) → `Seen`: a
  // packet that was not for a lane. Head: protocol, id, length, seq, ack, flags.
  Napi::Value Note(const Napi::CallbackInfo& info) {
    const auto bytes = info[0].As<Napi::Uint8Array>();
    const double* h = info[2].As<Napi::Float64Array>().Data();
    const auto word = [&](uint32_t i) { return static_cast<uint32_t>(h[i]); };
    bool lossless;
    const lane::Head head{word(0), word(1), word(2), word(3), word(4), word(5),
                          info[4].As<Napi::BigInt>().Uint64Value(&lossless),
                          info[3].As<Napi::BigInt>().Uint64Value(&lossless)};
    const lane::Fingerprint print = lane::fingerprint(
        head, bytes.Data(), U32(info[1]), static_cast<uint32_t>(bytes.ByteLength()));
    const uint64_t vantage = info[5].As<Napi::BigInt>().Uint64Value(&lossless);
    lane::Sightings::Sole sole = 0;
    const lane::Seen seen = lanes_->sightings().note(
        print, head.whose, vantage, info[6].As<Napi::Number>().DoubleValue(), sole);
    if (seen == lane::Seen::kNoMemory) Fail(info, "not enough memory for the packets of one second");
    return Napi::Number::New(info.Env(), static_cast<uint32_t>(seen));
  }

  // look(window, from, to, linkTypes, ifaces, mode, place: the first record's, or -1 where frame
  // numbers stand in the columns) → why it stopped; the words say where, and how many joins it found.
  Napi::Value Look(const Napi::CallbackInfo& info) {
    const double place = info[6].ToNumber().DoubleValue();
    const bool is_run = place >= 0;
    const lane::Look::Source source{info[0].As<Napi::Uint8Array>().Data(),
                                    records_,
                                    info[3].As<Napi::Uint32Array>().Data(),
                                    info[4].As<Napi::Uint32Array>().Data(),
                                    is_run ? static_cast<uint64_t>(place) : 0,
                                    is_run ? nullptr : frames_};
    uint32_t stopped = U32(info[1]);
    const auto mode = static_cast<lane::Look::Mode>(U32(info[5]));
    const lane::Look::Stop why = look_->run(source, stopped, U32(info[2]), mode, stopped);
    if (why == lane::Look::Stop::kNoMemory) Fail(info, "not enough memory for conversations");
    words_[lane::kStop] = stopped;
    words_[lane::kJoins] = look_->joins();
    return Napi::Number::New(info.Env(), static_cast<uint32_t>(why));
  }

  // count(from) → the next place to count from, or 0; the words say how many senders and pairs have
  // been laid down.
  Napi::Value Count(const Napi::CallbackInfo& info) {
    const uint32_t next = look_->count(U32(info[0]));
    words_[lane::kSenders] = look_->senders();
    words_[lane::kPairs] = look_->pairs();
    words_[lane::kTuples] = look_->tuples();
    return Napi::Number::New(info.Env(), next);
  }

  // rows() → those of the index's numbers since tables were turned.
  Napi::Value Rows(const Napi::CallbackInfo& info) {
    const auto& rows = look_->rows();
    auto bytes = Napi::Uint8Array::New(info.Env(), size_t{rows.size()} * sizeof(lane::Row));
    if (rows.size() > 0) std::memcpy(bytes.Data(), &rows[0], bytes.ByteLength());
    return bytes;
  }

  // turn(): what was counted and numbered is read.
  void Turn(const Napi::CallbackInfo&) { look_->turn(); }

  // index(entries: Uint32Array | null, reach): where entries go; how far apart sightings may be.
  void Index(const Napi::CallbackInfo& info) {
    keep_entries_.Reset();
    look_->reach(U32(info[1]));
    if (info[0].IsNull()) return look_->write_index(nullptr, 0);
    auto entries = info[0].As<Napi::Uint32Array>();
    keep_entries_ = Napi::Persistent(entries.As<Napi::Object>());
    look_->write_index(entries.Data(), entries.ElementLength());
  }

  // unite(rows: Uint8Array): of one name are those of one conversation.
  void Unite(const Napi::CallbackInfo& info) {
    auto bytes = info[0].As<Napi::Uint8Array>();
    const auto count = static_cast<uint32_t>(bytes.ByteLength() / sizeof(lane::Row));
    if (!lane::unite(reinterpret_cast<lane::Row*>(bytes.Data()), count)) {
      Fail(info, "not enough memory for conversations");
    }
  }

  // noteContent(bytes, payload, head, kind, ends: Uint8Array, timeNs: bigint, place) → whether it was
  // seen under other ends, which the shared ends then begin with.
  Napi::Value NoteContent(const Napi::CallbackInfo& info) {
    const auto bytes = info[0].As<Napi::Uint8Array>();
    const double* h = info[2].As<Napi::Float64Array>().Data();
    const auto word = [&](uint32_t i) { return static_cast<uint32_t>(h[i]); };
    const lane::ContentHead head{word(0), word(1), word(2), word(5), U32(info[3]),
                                 uint64_t{word(3)} << 32 | word(4)};
    const auto end = static_cast<uint32_t>(bytes.ByteLength());
    const uint64_t content = lane::content_of(head, bytes.Data(), U32(info[1]), end);
    lane::Ends ends;
    std::memcpy(&ends, info[4].As<Napi::Uint8Array>().Data(), sizeof ends);
    bool lossless, is_other = false;
    const int64_t time_ns = info[5].As<Napi::BigInt>().Int64Value(&lossless);
    const auto place = static_cast<uint64_t>(info[6].ToNumber().DoubleValue());
    lane::Ends first{};
    if (!look_->note(head, content, ends, time_ns, place, is_other, first)) {
      Fail(info, "not enough memory for conversations");
    }
    std::memcpy(ends_, &first, sizeof first);
    return Napi::Boolean::New(info.Env(), is_other);
  }

  // Ends that cross the door, as a name.
  static lane::FlowName NameOf(const Napi::Value& ends, const Napi::Value& protocol, bool& turned) {
    lane::Ends e;
    std::memcpy(&e, ends.As<Napi::Uint8Array>().Data(), sizeof e);
    return lane::name_of(e, U32(protocol), 0, turned);
  }

  // beginStrangers(translated: Uint8Array, synAckAnswers): follow strangers from now on. Translated
  // ends as entries of 24 bytes: address, family and protocol (8 bits each), port (16 bits).
  void BeginStrangers(const Napi::CallbackInfo& info) {
    constexpr size_t kEntry = 24;
    const auto ends = info[0].As<Napi::Uint8Array>();
    lane::Strangers& strangers = lanes_->strangers();
    strangers.begin(info[1].ToBoolean().Value());
    for (size_t at = 0; at + kEntry <= ends.ByteLength(); at += kEntry) {
      const uint8_t* e = ends.Data() + at;
      uint16_t port;
      std::memcpy(&port, e + 18, sizeof port);
      if (!strangers.add_translated(e, e[16], e[17], port)) Fail(info, "not enough memory for ends");
    }
  }

  // kindOf(ends, protocol) → `StrangerKind`
  Napi::Value KindOf(const Napi::CallbackInfo& info) {
    bool turned;
    const auto kind = lanes_->strangers().kind_of(NameOf(info[0], info[1], turned));
    return Napi::Number::New(info.Env(), static_cast<uint32_t>(kind));
  }

  // setKind(ends, protocol, kind)
  void SetKind(const Napi::CallbackInfo& info) {
    bool turned;
    const lane::FlowName name = NameOf(info[0], info[1], turned);
    const auto kind = static_cast<lane::Strangers::Kind>(U32(info[2]));
    if (!lanes_->strangers().set_kind(name, kind)) Fail(info, "not enough memory for pairs");
  }

  // meet(ends, protocol, flags, answers, nowNs): a stranger's packet; flags as in TCP's header.
  void Meet(const Napi::CallbackInfo& info) {
    bool turned;
    const lane::FlowName name = NameOf(info[0], info[1], turned);
    const lane::Segment segment = lane::segment_of(name.protocol, U32(info[2]));
    lane::Strangers& strangers = lanes_->strangers();
    const bool is_met =
        strangers.meet_by_hand(name, turned, info[3].ToBoolean().Value(), segment,
                               info[4].ToNumber().DoubleValue(), words_[lane::kNextId],
                               words_[lane::kStrangersClosed]);
    if (!is_met) Fail(info, "not enough memory for conversations");
    words_[lane::kStrangersOpen] = strangers.open_ones();
  }

  // quoted(ends, protocol, nowNs): an error quotes a stranger's packet.
  void Quoted(const Napi::CallbackInfo& info) {
    bool turned;
    const lane::FlowName name = NameOf(info[0], info[1], turned);
    lanes_->strangers().quoted(name, info[2].ToNumber().DoubleValue());
  }

  // expire(nowNs) → Float64Array of the numbers of strangers that are over, in order.
  Napi::Value Expire(const Napi::CallbackInfo& info) {
    lane::Strangers& strangers = lanes_->strangers();
    const double now = info[0].ToNumber().DoubleValue();
    auto numbers = Napi::Float64Array::New(info.Env(), strangers.over_at(now));
    strangers.expire(now, numbers.Data());
    words_[lane::kStrangersOpen] = strangers.open_ones();
    return numbers;
  }

  Napi::ObjectReference keep_;
  Napi::ObjectReference keep_units_;
  Napi::ObjectReference keep_offsets_;
  Napi::ObjectReference keep_engine_;
  Napi::ObjectReference keep_good_;
  Napi::ObjectReference keep_entries_;
  Napi::ObjectReference keep_index_;
  Napi::ObjectReference keep_rows_;
  const uint32_t* index_ = nullptr;
  double indexed_ = 0;
  double* words_ = nullptr;
  uint32_t limit_ = 0;
  lane::Records records_{};
  lane::Staged staged_{};
  lane::Shape shape_{};
  std::unique_ptr<lane::Lanes> lanes_;
  std::unique_ptr<lane::Look> look_;
  uint8_t* ends_ = nullptr;
  const double* frames_ = nullptr;
};

}  // namespace

Napi::Function DefineLanes(Napi::Env env) { return LaneDoor::Define(env); }
