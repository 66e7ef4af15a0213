// The express way of a packet: one whose connection stands under the name that was found, whose
// decision is that of the packet before it, and of which the tracker finds what it mostly finds. All
// of that is looked at before anything is changed; whoever is not of that kind is moved by
// `Engine::move`, to the same end.
//
// Included once for each kind of processor (run-*.cc), after wide-facts.hh.

using Times = double __attribute__((vector_size(16)));

// The connection behind a place, as one direction of it sees it.
struct Course {
  conntrack::Connection* connection;
  // Null where nobody rewrites its packets.
  const Rewrite* rewrite;
  uint32_t decision;
};

// Of a connection with more than one name. False where packets of this direction come by another.
inline bool find_translated(Engine& e, uint32_t place, uint32_t way, Course& course) {
  FlowTable& flows = e.flows();
  if (flows.head(place).host_set == kOtherName) {
    const Translation& t = flows.translation(place);
    course.connection = &flows.record(t.connection);
    course.rewrite = &t.rewrite[conntrack::kReply];
    course.decision = t.decision;
    return way == conntrack::kReply && t.ends != 0;
  }
  if (way != conntrack::kOriginal) return false;
  const Translation& t = flows.translation(course.connection->decision[conntrack::kReply]);
  course.rewrite = &t.rewrite[conntrack::kOriginal];
  return t.ends != 0;
}

// The packet at `i` of a block as `track_ordinary` asks of it.
struct BlockSegment {
  const Block& k;
  uint32_t i;
  uint32_t seq() const { return k.seq[i]; }
  uint32_t ack() const { return k.ack[i]; }
  uint32_t end() const { return k.seq_end[i]; }
  uint32_t window() const { return k.window[i]; }
};

// Track an everyday segment of a connection that is established and stays so. Below 0, with nothing
// changed, for any other; else how long it lives now, by the bits of HostTimers. Not inlined: the
// packet's own numbers fill all registers.
[[gnu::noinline]] inline int32_t track_segment(conntrack::TcpTracking& t, const Block& k, uint32_t i,
                                               uint32_t way, const HostTimers& timers) {
  if (!k.ordinary[i] || timers.is_split) return -1;
  return conntrack::track_ordinary(t, BlockSegment{k, i}, way, timers.max_retransmissions);
}

// Write the ends that `r` says into the copy `out` of an IPv4 packet (`rewrite_ends`).
inline void write_ends(uint8_t* out, const uint8_t* bytes, const Rewrite& r, bool is_tcp,
                       bool offloaded) {
  std::memcpy(out + ipv4::kSource, &r, 12);
  const uint32_t field =
      ipv4::kMinHeaderLength + (is_tcp ? tcp::kChecksum : udp::kChecksum);
  const uint32_t old = word_at(bytes, field);
  if (offloaded) {
    set_word_at(out, field, static_cast<uint16_t>(fold(old + r.partial)));
    return;
  }
  const uint32_t sum = moved_sum(static_cast<uint16_t>(old), r.transport);
  const uint32_t made = sum == 0 ? 0xffff : sum;
  set_word_at(out, field, static_cast<uint16_t>(is_tcp ? sum : old == 0 ? 0 : made));
}

// The first kHeadRoom bytes, in as few steps as the processor has.
inline void copy_head(uint8_t* to, const uint8_t* from) {
  for (uint32_t at = 0; at < kHeadRoom; at += sizeof(Words)) {
    const auto part = load_as<Words>(from + at);
    std::memcpy(to + at, &part, sizeof part);
  }
}

// What of a packet is written when the block's are (`write_block`).
inline void put_change(Block& k, uint32_t i, const Decision& d, const Rewrite* r) {
  const auto change = static_cast<uint32_t>(static_cast<int32_t>(d.ttl_change));
  k.ttl_change[i] = change;
  k.sum_change[i] = 0xffff + change;
  k.rewrite[i] = r;
  if (r != nullptr) k.sum_change[i] += r->header;
}

// `write_packet` of the packets from `i` to `end` of the block, of which the first stands at `from`
// of the batch: with room for kHeadRoom bytes and a link header, and nothing to fill in.
[[gnu::noinline]] inline void write_block(DecisionTable& decisions, const Batch& b, uint32_t from,
                                          const Block& k, uint32_t i, uint32_t end) {
  alignas(64) uint32_t lives[kBlock];
  for (uint32_t at = i / kWidth * kWidth; at < end; at += kWidth) {
    const Words life = load_as<Words>(k.life + at), change = load_as<Words>(k.ttl_change + at);
    // TTL and ends change the header's sum in one step: RFC 1624 equation 3 with all differences.
    // The TTL, which stands lowest, does not wrap (`DecisionTable::is_plain_change`).
    const Words sum = halves(halves((~life >> 16) + load_as<Words>(k.sum_change + at)));
    store(lives + at, ((life & 0xffff) + change) | ~sum << 16);
  }
  uint32_t place = (from + i) & (b.ring - 1);
  for (; i < end; i++, place = (place + 1) & (b.ring - 1)) {
    const Decision& d = decisions.at(static_cast<uint32_t>(b.results[from + i]));
    const uint8_t* bytes = k.bytes[i];
    uint8_t* out = b.out + static_cast<size_t>(place) * b.stride;
    // Overwritten at once where there is none.
    std::memcpy(out, d.link_header, 16);
    static_assert(kLeaves == 1);
    const uint32_t link = (d.flags & kLeaves) * sizeof d.link_header;
    out += link;
    copy_head(out, bytes);
    const uint32_t length = b.lengths[from + i];
    if (length > kHeadRoom) [[unlikely]] {
      const uint32_t room = std::min(length, b.stride - link);
      std::memcpy(out + kHeadRoom, bytes + kHeadRoom, room - kHeadRoom);
    }
    const uint64_t kind = k.rest[i] >> 32;
    if (kind >> 8 != 4) [[unlikely]] {
      out[ipv6::kHopLimit] = static_cast<uint8_t>(lives[i]);
      continue;
    }
    std::memcpy(out + ipv4::kTtl, &lives[i], 4);
    const Rewrite* r = k.rewrite[i];
    if (r != nullptr) write_ends(out, bytes, *r, (kind & 0xff) == kTcp, k.traits[i] >> 11 != 0);
  }
}

// Move the packet at `i` of the block, at `at` of the batch, but for writing it: its decision; below
// 0, with nothing changed, when it is none for here.
[[gnu::always_inline]] inline int32_t move_express(Engine& e, const Batch& b, uint32_t at,
                                                   Block& k, uint32_t i,
                                                   uint64_t& translated) {
  using namespace conntrack;
  constexpr int32_t kNot = -1;
  const uint32_t place = k.place[i];
  const Head& head = e.flows().head(place);
  if (head.generation != e.generation()) return kNot;
  const uint32_t way = (k.swapped[i] ^ head.flags / kOriginalSwapped) & 1;
  // What stands at the place may have another name: its first bytes alone are of both kinds.
  Course course{&e.flows().record(place), nullptr, 0};
  if (head.host_set == kOtherName || (head.flags & kTranslated)) {
    course.decision = course.connection->decision[kOriginal];
    if (!find_translated(e, place, way, course)) return kNot;
    if (k.rest[i] >> 40 != 4) return kNot;
  } else {
    course.decision = course.connection->decision[way];
  }
  if (course.decision == DecisionTable::kNone) return kNot;
  Connection& c = *course.connection;
  Decision& d = e.decisions().at(course.decision);
  const uint32_t flags = c.flags, length = b.lengths[at];
  static_assert(static_cast<uint32_t>(FlowState::kUnreplied) == 2);
  static_assert(static_cast<uint32_t>(FlowState::kEstablished) == 3);
  static_assert(static_cast<uint32_t>(FlowState::kReply) == 4);
  const uint64_t state = 2 + 2 * way + (flags & ~way & kSeenReply);
  // The foreign hosts' number is no decision's.
  if (d.follower != (k.follows[i] | static_cast<uint64_t>(c.host_set) << 32 | state << 56)) {
    return kNot;
  }
  if (length > d.mtu || static_cast<uint8_t>(k.life[i]) > d.ttl_most) return kNot;
  if ((d.by & kByFlags) && d.tcp_flags != k.tcp_flags[i]) return kNot;
  const double now_ns = b.times[at];
  if (c.expires_ns[0] <= now_ns || c.expires_ns[1] <= now_ns || (flags & kUncounted)) return kNot;

  const HostTimers& timers = e.timers(c.host_set);
  const double* lives = nullptr;
  uint32_t gained = way * kSeenReply;
  if (flags & kIsTcp) {
    TcpTracking& tracking = e.flows().tracking(e.flows().place_of(c));
    if (!(flags & kSeenReply)) return kNot;
    const int32_t bits = track_segment(tracking, k, i, way, timers);
    if (bits < 0) return kNot;
    lives = timers.tcp[bits];
    gained |= kAssured;
  } else {
    if (static_cast<uint8_t>(k.rest[i] >> 32) != kUdp) return kNot;
    const uint32_t is_stream = (flags & kSeenReply) & static_cast<uint32_t>(now_ns > c.stream_ns);
    lives = timers.udp[is_stream];
    gained |= is_stream * kAssured;
  }
  const Times until = load_as<Times>(lives) + now_ns;
  std::memcpy(c.expires_ns, &until, sizeof until);
  c.flags = static_cast<uint8_t>(flags | gained);
  c.packets[way] += 1;
  c.bytes[way] += length;

  d.packets += 1;
  d.bytes += length;
  const bool translates = (d.flags & kTranslates) != 0;
  translated += translates;
  put_change(k, i, d, translates ? course.rewrite : nullptr);
  return static_cast<int32_t>(course.decision);
}
