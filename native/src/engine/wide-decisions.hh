// Decisions of packets that no connection holds (`Engine::find_opening`) by the vector: for kWidth
// packets beside each other in a block, ends and ports become classes, classes keys, keys hashes.
// Facts that only some keys hold are the same for all that are looked up at once: those whose place
// in the table asks for others are looked up again, as many as ask for the same.
//
// Included once for each kind of processor (run-*.cc), after wide-classes.hh.

// What keys are made of, by packet.
struct WideFacts {
  Words src;
  Words dst;
  Words sport;
  Words dport;
  Words src_class;
  Words dst_class;
  // The second half of `DecisionKey::place`, and `kind` but for facts that only some keys hold.
  Words entry;
  Words kind;
  Words more;
  Words is_tcp;
  Words tcp_flags;
};

// Each second word from the second on.
inline Words upper_words(const uint64_t* pairs) {
  const Words a = load_as<Words>(pairs), b = load_as<Words>(pairs + kWidth / 2);
#if WIRETRIAL_WIDTH == 8
  return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  return __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}

// `classes`, with those of the IPv6 addresses among `numbers` of these lanes. Not inlined: it is
// rarely both families.
[[gnu::noinline]] inline Words with_classes6(Engine& e, uint32_t side, Words numbers, Words classes,
                                             uint32_t lanes) {
  alignas(64) uint32_t number[kWidth], found[kWidth];
  store(number, numbers);
  store(found, classes);
  for (; lanes != 0; lanes &= lanes - 1) {
    const auto lane = static_cast<uint32_t>(__builtin_ctz(lanes));
    found[lane] = e.classes().class6(number[lane], e.book(), side);
  }
  return load_as<Words>(found);
}

inline WideFacts wide_facts(Engine& e, const Block& k, uint32_t i, const uint32_t* entries,
                            uint32_t wanted) {
  const ClassTables& tables = e.classes().tables();
  WideFacts f;
  f.src = load_as<Words>(k.src + i);
  f.dst = load_as<Words>(k.dst + i);
  const Words ports = load_as<Words>(k.ports + i);
  f.sport = ports & 0xffff;
  f.dport = ports >> 16;
  const bool has_classes = tables.direct[0] != nullptr;
  f.src_class = has_classes ? direct_classes(tables.direct[0], f.src) : f.src;
  f.dst_class = has_classes ? direct_classes(tables.direct[1], f.dst) : f.dst;
  const Words kind = upper_words(k.rest + i), traits = load_as<Words>(k.traits + i);
  const uint32_t six = bits_of(mask_of(kind >> 8 == 6)) & wanted;
  if (has_classes && six != 0) [[unlikely]] {
    f.src_class = with_classes6(e, 0, f.src, f.src_class, six);
    f.dst_class = with_classes6(e, 1, f.dst, f.dst_class, six);
  }
  f.entry = load_as<Words>(entries);
  f.tcp_flags = load_as<Words>(k.tcp_flags + i);
  f.is_tcp = mask_of((kind & 0xff) == kTcp);
  static_assert(static_cast<uint32_t>(FlowState::kOpening) == 0);
  static_assert(static_cast<uint32_t>(FlowState::kStray) == 1);
  constexpr uint32_t kOpens = tcp::kSyn | tcp::kRst | tcp::kAck;
  const Words stray = f.is_tcp & mask_of((f.tcp_flags & kOpens) != tcp::kSyn);
  f.kind = kind | (stray & 1) << 12 | (traits & 0xff) << 16;
  f.more = (traits >> 11) << 8 | 1u << 31;
  return f;
}

// The keys of `decision_key` with these facts, and their hashes.
struct WideKeys {
  uint64_t ends[kWidth];
  uint64_t place[kWidth];
  uint64_t kind[kWidth];
  uint32_t hash[kWidth];
};

inline Words wide_ports(const ClassTables& tables, const WideFacts& f, uint32_t side, Words port) {
  if (tables.direct[0] == nullptr) return port;
  const Words others = port_classes(tables.udp[side], port, ~f.is_tcp);
  if (bits_of(f.is_tcp) == 0) return others;
  return port_classes(tables.tcp[side], port, f.is_tcp) | others;
}

inline void make_keys(const ClassTables& tables, const WideFacts& f, uint32_t by, WideKeys& keys) {
  Words sport{}, dport{};
  if (by & kBySourcePort) sport = f.sport;
  else if (by & kBySport) sport = wide_ports(tables, f, 0, f.sport);
  if (by & kByDestinationPort) dport = f.dport;
  else if (by & kByDport) dport = wide_ports(tables, f, 1, f.dport);
  const Words words[6] = {by & kBySource ? f.src : f.src_class,
                          by & kByDestination ? f.dst : f.dst_class,
                          sport | dport << 16,
                          f.entry,
                          by & kByFlags ? f.kind | f.tcp_flags << 24 : f.kind,
                          f.more | by};
  Words h{};
  for (uint32_t i = 0; i < 6; i++) h += words[i] * kDecisionMix[i];
  h = (h ^ h >> 15) * kDecisionLast;
  store(keys.hash, h ^ h >> 13);
  store_pairs(keys.ends, words[0], words[1]);
  store_pairs(keys.place, words[2], words[3]);
  store_pairs(keys.kind, words[4], words[5]);
}

// Find the decisions of the packets at `i` and behind it whose bit is set in `wanted`: TCP or UDP.
// `entries` are theirs.
[[gnu::noinline]] inline void decide_wide(Engine& e, Block& k, uint32_t i, const uint32_t* entries,
                                          uint32_t wanted) {
  const ClassTables& tables = e.classes().tables();
  const DecisionTable& decisions = e.decisions();
  const WideFacts f = wide_facts(e, k, i, entries, wanted);
  WideKeys keys;
  uint32_t by = 0, asked = wanted, again = 0;
  while (asked != 0) {
    make_keys(tables, f, by, keys);
    for (; asked != 0; asked &= asked - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(asked));
      const DecisionKey key{keys.ends[lane], keys.place[lane], keys.kind[lane]};
      const uint32_t value = decisions.value_of(key, keys.hash[lane]);
      k.decision[i + lane] = value;
      const bool is_known = value == DecisionTable::kNone || !(value & DecisionTable::kLookAgain);
      again |= static_cast<uint32_t>(!is_known) << lane;
    }
    if (again == 0) return;
    // Next, those that ask for the same facts as the first.
    const uint32_t first = k.decision[i + static_cast<uint32_t>(__builtin_ctz(again))];
    by = static_cast<uint8_t>(first);
    for (uint32_t left = again; left != 0; left &= left - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(left));
      asked |= static_cast<uint32_t>(k.decision[i + lane] == first) << lane;
    }
    again &= ~asked;
  }
}
