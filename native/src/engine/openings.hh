// The express way of a packet that no connection holds: one that opens none, or a connection of UDP
// or by a SYN, and finds a free place where the search for its flow begins. All of that is looked at
// before anything is changed; whoever is not of that kind is moved by `Engine::move`, to the same end.
//
// Included once for each kind of processor (run-*.cc), after express.hh.

// One bit for each way of the bucket whose `rest` is this.
inline uint32_t ways_with(const FlowTable::Bucket& bucket, uint64_t rest) {
#if WIRETRIAL_WIDTH == 8
  using Keys = uint64_t __attribute__((vector_size(8 * FlowTable::kWays)));
  using Doubles = double __attribute__((vector_size(8 * FlowTable::kWays)));
  return static_cast<uint32_t>(
      __builtin_ia32_movmskpd256((Doubles)(load_as<Keys>(bucket.rest) == rest)));
#else
  uint32_t ways = 0;
  for (uint32_t way = 0; way < FlowTable::kWays; way++) {
    ways |= static_cast<uint32_t>(bucket.rest[way] == rest) << way;
  }
  return ways;
#endif
}

inline uint32_t free_ways(const FlowTable::Bucket& bucket) {
  return ways_with(bucket, FlowTable::kEmpty) | ways_with(bucket, FlowTable::kErased);
}

// `FlowTable::find` of the packet at `i`.
inline uint32_t place_of(const FlowTable& flows, const Block& k, uint32_t i) {
  const uint32_t hash = k.hash[i];
  const FlowTable::Bucket& bucket = flows.first_bucket(hash);
  const uint32_t ways = ways_of(bucket, k.ends[i], k.rest[i]);
  if (ways != 0) return flows.first_place(hash) + static_cast<uint32_t>(__builtin_ctz(ways));
  if (ways_with(bucket, FlowTable::kEmpty) != 0) return FlowTable::kNone;
  return flows.find(FlowKey{k.ends[i], k.rest[i]}, hash);
}

// What a SYN makes the tracker know (`new_tcp_tracking`, then `track_tcp`).
inline void begin_tracking(conntrack::TcpTracking& tracking, const Block& k, uint32_t i,
                           uint32_t length) {
  using namespace conntrack;
  const uint32_t window = k.window[i], end = k.seq_end[i] + 1;
  const uint32_t l4 =
      static_cast<uint8_t>(k.rest[i] >> 40) == 4 ? ipv4::kMinHeaderLength : ipv6::kHeaderLength;
  TcpSide opener{end, end, at_least_one(window), 0, 0, 0};
  read_options(Segment{k.bytes[i], l4, length, kOriginal, 0}, opener);
  tracking = TcpTracking{};
  tracking.seen[kOriginal] = opener;
  tracking.seen[kReply].max_end = at_least_one(window);
  tracking.state = kSS;
  tracking.last_index = kIndexSyn;
}

// Open the connection of the packet at `i` (`Engine::begin`, its tracker's part apart).
inline void begin_connection(Engine& e, conntrack::Connection& c, const Decision& d,
                             uint32_t number, const Block& k, uint32_t i, uint32_t length,
                             double now_ns) {
  using namespace conntrack;
  const bool is_tcp = static_cast<uint8_t>(k.rest[i] >> 32) == kTcp;
  const HostTimers& timers = e.timers(d.host_set_after);
  // In place: one that is put together elsewhere is read again before it has been written.
  c.host_set = d.host_set_after;
  c.flags =
      static_cast<uint8_t>((k.swapped[i] != 0 ? kOriginalSwapped : 0) | (is_tcp ? kIsTcp : 0));
  c.generation = e.generation();
  c.order = e.next_order();
  const Times until = load_as<Times>(is_tcp ? timers.tcp_opening : timers.udp[0]) + now_ns;
  std::memcpy(c.expires_ns, &until, sizeof until);
  c.stream_ns = is_tcp ? 0 : now_ns + kStreamAfterNs;
  c.bytes[kOriginal] = length;
  c.bytes[kReply] = 0;
  c.packets[kOriginal] = 1;
  c.packets[kReply] = 0;
  c.decision[kOriginal] = number;
  c.decision[kReply] = DecisionTable::kNone;
}

// Move the packet at `i` of the block, whose decision was looked for: as `move_express`. What stands
// at its place is over.
[[gnu::always_inline]] inline int32_t move_opening(Engine& e, const Batch& b, uint32_t at,
                                                   Block& k, uint32_t i,
                                                   uint64_t& translated) {
  constexpr int32_t kNot = -1;
  const uint32_t number = k.decision[i], place = k.place[i], length = b.lengths[at];
  Holdings& holdings = e.holdings();
  if (number == DecisionTable::kNone || holdings.has_unmarked()) return kNot;
  Decision& d = e.decisions().at(number);
  if ((d.flags & (kDead | kPlainChange)) != kPlainChange) return kNot;
  if (length > d.mtu || static_cast<uint8_t>(k.life[i]) > d.ttl_most) return kNot;
  if (!holdings.has_room(d.host_set_opened)) return kNot;
  if (d.host_set_after != 0) {
    FlowTable& flows = e.flows();
    const auto protocol = static_cast<uint8_t>(k.rest[i] >> 32);
    if (protocol != kUdp && !(protocol == kTcp && is_opening(k.tcp_flags[i]))) return kNot;
    const uint32_t first = flows.first_place(k.hash[i]);
    uint32_t ways = free_ways(flows.first_bucket(k.hash[i]));
    if (place - first < FlowTable::kWays) ways |= 1u << (place - first);
    if (ways == 0) return kNot;
    if (place != FlowTable::kNone) holdings.forget(place);
    const uint32_t here = first + static_cast<uint32_t>(__builtin_ctz(ways));
    holdings.take_free_place(here, FlowKey{k.ends[i], k.rest[i]}, d.host_set_after);
    if (protocol == kTcp) begin_tracking(flows.tracking(here), k, i, length);
    begin_connection(e, flows.record(here), d, number, k, i, length, b.times[at]);
    holdings.opened(here);
  } else if (place != FlowTable::kNone) {
    holdings.forget(place);
  }
  d.packets += 1;
  d.bytes += length;
  translated += (d.flags & kTranslates) != 0;
  put_change(k, i, d, nullptr);
  return static_cast<int32_t>(number);
}
