// The express way of a packet: one whose connection stands under the name that was found, whose
// decision is that of the packet before it, and of which the tracker finds what it mostly finds. All
// of that is looked at before anything is changed; whoever is not of that kind is moved by
// `Engine::move`, to the same end.
//
// Included once for each kind of processor (run-*.cc), after wide-facts.hh.

using Times = double __attribute__((vector_size(16)));

// Of what packets that were moved here are counted by the engine at the end of a run.
struct Moved {
  uint64_t packets = 0;
  uint64_t translated = 0;
};

// The connection behind a place, as one direction of it sees it.
struct Course {
  conntrack::Connection* connection;
  // Null where nobody rewrites its packets.
  const Rewrite* rewrite;
  uint32_t way;
  uint32_t decision;
};

// False where the reference engine holds the connection, its packets come by another name, or what
// the last of this direction did is not known.
inline bool find_course(Engine& e, uint32_t place, bool swapped, Course& course) {
  FlowTable& flows = e.flows();
  conntrack::Head& head = flows.head(place);
  const uint32_t way = swapped != ((head.flags & conntrack::kOriginalSwapped) != 0);
  course.way = way;
  if (head.generation != e.generation()) return false;
  if (head.host_set == kOtherName) {
    const Translation& t = flows.translation(place);
    course.connection = &flows.record(t.connection);
    course.rewrite = &t.rewrite[conntrack::kReply];
    course.decision = t.decision;
    return way == conntrack::kReply && t.ends != 0 && t.decision != DecisionTable::kNone;
  }
  conntrack::Connection& c = flows.record(place);
  course.connection = &c;
  course.rewrite = nullptr;
  course.decision = c.decision[way];
  if (head.host_set == kForeign || course.decision == DecisionTable::kNone) return false;
  if (!(head.flags & conntrack::kTranslated)) return true;
  if (way != conntrack::kOriginal) return false;
  const Translation& t = flows.translation(c.decision[conntrack::kReply]);
  course.rewrite = &t.rewrite[conntrack::kOriginal];
  return t.ends != 0;
}

// Track an everyday segment of a connection that is established and stays so: `track_tcp` for one
// that it accepts. False, with nothing changed, for any other. `bits` says how long it lives now.
inline bool track_segment(conntrack::TcpTracking& t, const Block& k, uint32_t i, uint32_t way,
                          const HostTimers& timers, uint32_t& bits) {
  using namespace conntrack;
  TcpSide& sender = t.seen[way];
  TcpSide& receiver = t.seen[way ^ 1];
  const uint32_t seq = k.seq[i], ack = k.ack[i], end = k.seq_end[i], window = k.window[i];
  if (!k.ordinary[i] || t.state != kES || timers.is_split) return false;
  if (t.bits & (kSimultaneousOpen | kExpectChallengeAck)) return false;
  if (sender.max_window == 0 || receiver.max_window == 0) return false;
  const uint32_t ack_window = std::max(kMaxAckWindow, sender.max_window);
  const bool accepted = before(seq, sender.max_end + 1) & before(ack, receiver.end + 1) &
                        after(end, sender.end - receiver.max_window - 1) &
                        after(ack, receiver.end - ack_window - 1);
  if (!accepted) return false;

  const uint32_t scaled = window << sender.scale;
  sender.max_window = std::max(sender.max_window, scaled);
  uint32_t seen = sender.bits;
  const bool is_new = after(end, sender.end);
  sender.end = is_new ? end : sender.end;
  seen |= is_new ? kDataUnacknowledged : 0;
  const bool acks_more = !(seen & kMaxAckSet) | after(ack, sender.max_ack);
  sender.max_ack = acks_more ? ack : sender.max_ack;
  sender.bits = static_cast<uint8_t>(seen | kMaxAckSet);
  receiver.max_window += after(end, sender.max_end) ? end - sender.max_end : 0;
  const bool opens = after(ack + scaled, receiver.max_end - 1);
  receiver.max_end = opens ? ack + scaled + (scaled == 0 ? 1 : 0) : receiver.max_end;
  const uint32_t kept = ack == receiver.end ? ~uint32_t{kDataUnacknowledged} : ~0u;
  receiver.bits = static_cast<uint8_t>(receiver.bits & kept);

  const uint32_t differs = (t.last_seq ^ seq) | (t.last_ack ^ ack) | (t.last_end ^ end) |
                           (t.last_window ^ window) | (t.last_direction ^ way);
  const uint32_t again = std::min<uint32_t>(t.retransmissions + 1u, 255);
  t.retransmissions = static_cast<uint8_t>(differs == 0 ? again : 0);
  t.last_seq = seq;
  t.last_ack = ack;
  t.last_end = end;
  t.last_window = static_cast<uint16_t>(window);
  t.last_index = kIndexAck;
  t.last_direction = static_cast<uint8_t>(way);
  bits = ((t.seen[0].bits | t.seen[1].bits) & kDataUnacknowledged ? kUnacknowledged : 0) |
         (window == 0 ? kWindowClosed : 0) |
         (t.retransmissions >= timers.max_retransmissions ? kTooManyRetransmissions : 0);
  return true;
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

// `write_packet`: with room for kHeadRoom bytes and a link header, and nothing to fill in.
inline void write_express(const Batch& b, uint32_t at, const Block& k, uint32_t i,
                          const Decision& d, const Rewrite* r) {
  const uint8_t* bytes = k.bytes[i];
  uint8_t* out = b.out + static_cast<size_t>(at & (b.ring - 1)) * b.stride;
  // Overwritten at once where there is none.
  std::memcpy(out, d.link_header, 16);
  out += d.flags & kLeaves ? sizeof d.link_header : 0;
  std::memcpy(out, bytes, kHeadRoom);
  const uint32_t length = b.lengths[at];
  if (length > kHeadRoom) {
    const uint32_t room = b.stride - (d.flags & kLeaves ? sizeof d.link_header : 0);
    std::memcpy(out + kHeadRoom, bytes + kHeadRoom, std::min(length, room) - kHeadRoom);
  }
  const uint32_t life = k.life[i];
  const uint32_t ttl = (life + static_cast<uint32_t>(static_cast<int32_t>(d.ttl_change))) & 0xff;
  if (k.rest[i] >> 40 != 4) {
    out[ipv6::kHopLimit] = static_cast<uint8_t>(ttl);
    return;
  }
  // TTL and ends change the header's sum in one step: RFC 1624 equation 3 with all differences.
  uint32_t sum = (~life >> 16) + 0xffff + ttl - (life & 0xff) + (r == nullptr ? 0 : r->header);
  sum = (sum & 0xffff) + (sum >> 16);
  sum += sum >> 16;
  const uint32_t now = ttl | (life & 0xff00) | ~sum << 16;
  std::memcpy(out + ipv4::kTtl, &now, 4);
  if (r != nullptr) {
    write_ends(out, bytes, *r, (life >> 8 & 0xff) == kTcp, k.traits[i] >> 11 != 0);
  }
}

// Move the packet at `i` of the block, at `at` of the batch; false, with nothing changed, when it is
// none for here.
inline bool move_express(Engine& e, const Batch& b, uint32_t at, const Block& k, uint32_t i,
                         Moved& moved) {
  using namespace conntrack;
  Course course;
  if (!find_course(e, k.place[i], k.swapped[i] != 0, course)) return false;
  if (course.rewrite != nullptr && k.rest[i] >> 40 != 4) return false;
  Connection& c = *course.connection;
  const uint32_t way = course.way, flags = c.flags, length = b.lengths[at];
  Decision& d = e.decisions().at(course.decision);
  const auto unreplied = static_cast<uint32_t>(FlowState::kUnreplied);
  static_assert(static_cast<uint32_t>(FlowState::kEstablished) == 3);
  static_assert(static_cast<uint32_t>(FlowState::kReply) == 4);
  const uint32_t state = unreplied + 2 * way + (flags & ~way & kSeenReply);
  const uint64_t traits = k.traits[i] | state << 8;
  if (d.follower != (b.entries[at] | static_cast<uint64_t>(c.host_set) << 32 | traits << 48)) {
    return false;
  }
  if (length > d.mtu || (k.life[i] & 0xff) + d.ttl_room > 255) return false;
  if ((d.by & kByFlags) && d.tcp_flags != k.tcp_flags[i]) return false;
  const double now_ns = b.times[at];
  if (c.expires_ns[0] <= now_ns || c.expires_ns[1] <= now_ns || (flags & kUncounted)) return false;

  const HostTimers& timers = e.timers(c.host_set);
  const Times* lives = nullptr;
  uint32_t assured = 0;
  if (flags & kIsTcp) {
    if (!(flags & kSeenReply)) return false;
    uint32_t bits = 0;
    TcpTracking& tracking = e.flows().tracking(e.flows().place_of(c));
    if (!track_segment(tracking, k, i, way, timers, bits)) return false;
    lives = reinterpret_cast<const Times*>(timers.tcp[bits]);
    assured = kAssured;
  } else {
    if ((k.rest[i] >> 32 & 0xff) != kUdp) return false;
    const bool is_stream = (flags & kSeenReply) && now_ns > c.stream_ns;
    lives = reinterpret_cast<const Times*>(timers.udp[is_stream]);
    assured = is_stream ? kAssured : 0;
  }
  const Times until = *lives + now_ns;
  std::memcpy(c.expires_ns, &until, sizeof until);
  c.flags = static_cast<uint8_t>(flags | assured | (way == kReply ? kSeenReply : 0));
  c.packets[way] += 1;
  c.bytes[way] += length;

  d.packets += 1;
  d.bytes += length;
  moved.packets += 1;
  const bool translates = (d.flags & kTranslates) != 0;
  moved.translated += translates;
  if (b.stride != 0) write_express(b, at, k, i, d, translates ? course.rewrite : nullptr);
  b.results[at] = static_cast<int32_t>(course.decision);
  return true;
}
