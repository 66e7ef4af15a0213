// Packets read by the vector: `read_facts` for kWidth packets at a time, TCP or UDP, with the same
// answer (native/fuzz/blocks.cc). Headers are turned on their side, so that each of their 32-bit
// words is a column; what is not plain here is read alone.
//
// Included once for each kind of processor (run-*.cc), after wide.hh.

// Each word of `low` with the one of `high` above it.
inline void store_pairs(uint64_t* to, Words low, Words high) {
#if WIRETRIAL_WIDTH == 8
  const Words a = __builtin_shufflevector(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
  const Words b = __builtin_shufflevector(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  const Words a = __builtin_shufflevector(low, high, 0, 4, 1, 5);
  const Words b = __builtin_shufflevector(low, high, 2, 6, 3, 7);
#endif
  std::memcpy(to, &a, sizeof a);
  std::memcpy(to + kWidth / 2, &b, sizeof b);
}

// By packet: 1 where its checksum was left to a device.
inline Words offloaded_of(const Batch& b, uint32_t from) {
#if WIRETRIAL_WIDTH == 8
  using Bytes = char __attribute__((vector_size(16)));
  using Pair = int64_t __attribute__((vector_size(16)));
  const auto bytes = (Bytes)Pair{load_as<int64_t>(b.offloaded + from), 0};
  const auto given = (Words)__builtin_ia32_pmovzxbd256(bytes);
#else
  using Bytes = uint8_t __attribute__((vector_size(kWidth)));
  const Words given = __builtin_convertvector(load_as<Bytes>(b.offloaded + from), Words);
#endif
  return mask_of(given != 0) & 1;
}

// One bit for each way of the bucket that holds this flow.
inline uint32_t ways_of(const FlowTable::Bucket& bucket, uint64_t ends, uint64_t rest) {
#if WIRETRIAL_WIDTH == 8
  using Keys = uint64_t __attribute__((vector_size(8 * FlowTable::kWays)));
  using Doubles = double __attribute__((vector_size(8 * FlowTable::kWays)));
  const auto same = (load_as<Keys>(bucket.ends) == ends) & (load_as<Keys>(bucket.rest) == rest);
  return static_cast<uint32_t>(__builtin_ia32_movmskpd256((Doubles)same));
#else
  uint32_t ways = 0;
  for (uint32_t way = 0; way < FlowTable::kWays; way++) {
    const uint64_t other = (bucket.rest[way] ^ rest) | (bucket.ends[way] ^ ends);
    ways |= static_cast<uint32_t>(other == 0) << way;
  }
  return ways;
#endif
}

// Words in the other byte order.
inline Words turned(Words w) {
#if WIRETRIAL_WIDTH == 8
  using Bytes = uint8_t __attribute__((vector_size(32)));
  const Bytes b = (Bytes)w;
  return (Words)__builtin_shufflevector(b, b, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
                                        19, 18, 17, 16, 23, 22, 21, 20, 27, 26, 25, 24, 31, 30, 29,
                                        28);
#else
  w = (w & 0x00ff00ff) << 8 | (w >> 8 & 0x00ff00ff);
  return w << 16 | w >> 16;
#endif
}

// The last two of each word's bytes as a number in network order.
inline Words last_two(Words w) { return turned(w) & 0xffff; }

// Sum of both halves of each word.
inline Words halves(Words w) { return (w & 0xffff) + (w >> 16); }

// Whether sums of some sixteen words, none of them 0, are 0xffff when folded. One fold will do: what
// is left is below twice that.
inline Words is_right(Words sum) { return mask_of(halves(sum) == 0xffff); }

// Bytes that count of a packet's first kHeadRoom ones stand from `kHeadRoom - length` on.
alignas(64) inline constexpr auto kCounted = [] {
  std::array<uint8_t, 2 * kHeadRoom> bytes{};
  for (uint32_t i = 0; i < kHeadRoom; i++) bytes[i] = 0xff;
  return bytes;
}();

// Words 4q to 4q+3 of every packet, by column. Rows of eight packets hold a quarter of one packet
// in each half.
template <typename Row>
inline void turn_quarter(const Row& row, Words out[4]) {
#if WIRETRIAL_WIDTH == 8
  const Words a = row(0), b = row(1), c = row(2), d = row(3);
  const Words ab = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
  const Words cd = __builtin_shufflevector(c, d, 0, 8, 1, 9, 4, 12, 5, 13);
  const Words ab2 = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
  const Words cd2 = __builtin_shufflevector(c, d, 2, 10, 3, 11, 6, 14, 7, 15);
  out[0] = __builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13);
  out[1] = __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
  out[2] = __builtin_shufflevector(ab2, cd2, 0, 1, 8, 9, 4, 5, 12, 13);
  out[3] = __builtin_shufflevector(ab2, cd2, 2, 3, 10, 11, 6, 7, 14, 15);
#else
  const Words a = row(0), b = row(1), c = row(2), d = row(3);
  const Words ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Words cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Words ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Words cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  out[0] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  out[1] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  out[2] = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
  out[3] = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
#endif
}

// The first 64 bytes of kWidth packets, zeros behind their ends, as sixteen columns.
inline void turn_heads(const uint8_t* const* packets, const uint32_t* lengths, Words w[16]) {
#if WIRETRIAL_WIDTH == 8
  for (uint32_t half = 0; half < 2; half++) {
    Words row[8];
    for (uint32_t i = 0; i < 8; i++) {
      row[i] = load_as<Words>(packets[i] + half * 32) &
               load_as<Words>(kCounted.data() + kHeadRoom - lengths[i] + half * 32);
    }
    const auto low = [&](uint32_t i) {
      return __builtin_shufflevector(row[i], row[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    };
    const auto high = [&](uint32_t i) {
      return __builtin_shufflevector(row[i], row[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    };
    turn_quarter(low, w + half * 8);
    turn_quarter(high, w + half * 8 + 4);
  }
#else
  for (uint32_t quarter = 0; quarter < 4; quarter++) {
    const auto row = [&](uint32_t i) {
      return load_as<Words>(packets[i] + quarter * 16) &
             load_as<Words>(kCounted.data() + kHeadRoom - lengths[i] + quarter * 16);
    };
    turn_quarter(row, w + quarter * 4);
  }
#endif
}

// Folded sum of `b[from, to)` as it lies in memory.
inline uint32_t sum_far(const uint8_t* b, uint32_t from, uint32_t to) {
  Words sums{};
  uint32_t at = from;
  for (; at + sizeof(Words) <= to; at += sizeof(Words)) sums += halves(load_as<Words>(b + at));
  uint64_t sum = sum_words(b, at, to);
  for (uint32_t i = 0; i < kWidth; i++) sum += sums[i];
  return fold(sum);
}

// What the fixed headers of kWidth packets say, by column, whichever family each is of.
struct Heads {
  // All ones: the network header is whole and plain.
  Words ok;
  Words protocol;
  // Bytes behind the network header.
  Words body;
  // Sum of the pseudo header but for protocol and length, and of all that is read of the segment.
  Words sum;
  Words src;
  Words dst;
  Words traffic_class;
  Words life;
  // The segment's words 0 to 3, and 5, where options begin.
  Words ports;
  Words second;
  Words third;
  Words fourth;
  Words options;
};

inline Heads heads_of_ipv4(const Words w[16], Words length) {
  Heads h;
  h.ok = mask_of(length >= ipv4::kMinHeaderLength + udp::kHeaderLength);
  h.ok &= mask_of((w[0] & 0xff) == 0x45) & mask_of(last_two(w[0]) == length);
  // No fragment, and a checksum that is not negative zero (`ipv4::is_plain`).
  h.ok &= mask_of((w[1] & 0xffbf0000) == 0) & mask_of(w[2] >> 16 != 0xffff);
  h.ok &= mask_of((w[2] & 0xff) >= kSafeTtl);
  const Words addresses = halves(w[3]) + halves(w[4]);
  h.ok &= is_right(halves(w[0]) + halves(w[1]) + halves(w[2]) + addresses);
  h.protocol = w[2] >> 8 & 0xff;
  h.body = length - ipv4::kMinHeaderLength;
  h.sum = addresses;
  for (uint32_t i = 5; i < 16; i++) h.sum += halves(w[i]);
  h.src = turned(w[3]);
  h.dst = turned(w[4]);
  h.traffic_class = w[0] >> 8 & 0xff;
  h.life = w[2];
  h.ports = w[5];
  h.second = w[6];
  h.third = w[7];
  h.fourth = w[8];
  h.options = w[10];
  return h;
}

// Put the IPv6 packets among them, `six`, into their columns. Not inlined: it is rarely both.
[[gnu::noinline]] inline void add_ipv6(Heads& h, const Words w[16], Words length, Words six,
                                       const uint8_t* const* bytes, AddressBook& book) {
  const auto choose = [&](Words& column, Words value) { column ^= (column ^ value) & six; };
  six &= mask_of(length >= ipv6::kHeaderLength);
  six &= mask_of(last_two(w[1] << 16) == length - ipv6::kHeaderLength);
  // Numbers of addresses are looked up one by one, of the same packets in the same order as there.
  alignas(64) uint32_t src[kWidth]{}, dst[kWidth]{};
  for (uint32_t left = bits_of(six); left != 0; left &= left - 1) {
    const auto i = static_cast<uint32_t>(__builtin_ctz(left));
    src[i] = book.number_of(bytes[i] + ipv6::kSource);
    dst[i] = book.number_of(bytes[i] + ipv6::kDestination);
  }
  const Words from = load_as<Words>(src), to = load_as<Words>(dst);
  six &= mask_of(from != AddressBook::kNone) & mask_of(to != AddressBook::kNone);
  six &= mask_of(length >= ipv6::kHeaderLength + udp::kHeaderLength);
  six &= mask_of(w[1] >> 24 >= kSafeTtl);
  choose(h.ok, six);
  choose(h.protocol, w[1] >> 16 & 0xff);
  choose(h.body, length - ipv6::kHeaderLength);
  Words sum{};
  for (uint32_t i = ipv6::kSource / 4; i < 16; i++) sum += halves(w[i]);
  choose(h.sum, sum);
  choose(h.src, from);
  choose(h.dst, to);
  choose(h.traffic_class, turned(w[0]) >> 20 & 0xff);
  choose(h.life, w[1] >> 24 | (w[1] >> 8 & 0xff00));
  choose(h.ports, w[10]);
  choose(h.second, w[11]);
  choose(h.third, w[12]);
  choose(h.fourth, w[13]);
  choose(h.options, w[15]);
}

// By packet: what of a TCP header is asked for later.
inline void put_segments(Block& k, uint32_t at, const Heads& h, Words header) {
  const Words flags = h.fourth >> 8 & 0xff;
  const Words usual = mask_of(header == tcp::kMinHeaderLength) |
                      mask_of((header == kTimestampHeader) &
                              (h.options == __builtin_bswap32(kTimestampOption)));
  const Words seq = turned(h.second);
  store(k.tcp_flags + at, flags);
  store(k.ordinary + at, usual & mask_of((flags & kKindFlags) == tcp::kAck));
  store(k.seq + at, seq);
  store(k.ack + at, turned(h.third));
  store(k.seq_end + at, seq + h.body - header);
  store(k.window + at, last_two(h.fourth));
}

// Read kWidth packets from `from` on into the columns from `at` on; one bit for each that is plain.
inline uint32_t read_wide(const Batch& b, uint32_t from, Block& k, uint32_t at, AddressBook& book) {
  const Words length = load_as<Words>(b.lengths + from);
  const Words offset = load_as<Words>(b.offsets + from);
  // The last bytes of all may be less than what is read of a packet.
  const Words roomy = mask_of(offset < b.roomy_end);
  alignas(64) uint32_t offsets[kWidth], lengths[kWidth];
  store(offsets, offset & roomy);
  store(lengths, length < kHeadRoom ? length : all(kHeadRoom));
  for (uint32_t i = 0; i < kWidth; i++) k.bytes[at + i] = b.packets + offsets[i];
  Words w[16];
  turn_heads(k.bytes + at, lengths, w);

  Heads h = heads_of_ipv4(w, length);
  const Words six = roomy & mask_of((w[0] & 0xf0) == 0x60);
  const bool has_ipv6 = bits_of(six) != 0;
  if (has_ipv6) [[unlikely]] add_ipv6(h, w, length, six, k.bytes + at, book);
  Words ok = roomy & h.ok;

  const Words is_tcp = mask_of(h.protocol == kTcp), is_udp = mask_of(h.protocol == kUdp);
  const Words size = turned(h.second) >> 16;
  Words whole = is_udp & mask_of(size >= udp::kHeaderLength) & mask_of(size <= h.body);
  Words sum = h.sum + (h.protocol << 8) + (turned(h.body) >> 16);
  if (const uint32_t far = bits_of(ok & mask_of(length > kHeadRoom)); far != 0) {
    for (uint32_t i = 0; i < kWidth; i++) {
      if (far >> i & 1) sum[i] += sum_far(k.bytes[at + i], kHeadRoom, length[i]);
    }
  }
  const Words offloaded = offloaded_of(b, from);
  Words right = is_right(sum) | mask_of(offloaded != 0);
  right |= is_udp & mask_of(h.second >> 16 == 0);
  if (bits_of(is_tcp) != 0) {
    const Words header = (h.fourth >> 4 & 0xf) * 4;
    const Words flags = h.fourth >> 8 & 0xff;
    const Words packed = (flags & 7) | (flags >> 1 & 0x18);
    whole |= is_tcp & mask_of(header >= tcp::kMinHeaderLength) & mask_of(header <= h.body) &
             mask_of(h.body >= tcp::kMinHeaderLength) &
             mask_of((all(conntrack::kValidFlags) >> packed & 1) != 0);
    put_segments(k, at, h, header);
  }
  store(k.tcp_flags + at, h.fourth >> 8 & 0xff & is_tcp);
  ok &= whole & right;

  const Words src = h.src, dst = h.dst, ports = turned(h.ports);
  const Words sport = ports >> 16, dport = ports & 0xffff;
  const Words same = mask_of(src == dst);
  const Words swapped = mask_of(src > dst) | (same & mask_of(sport > dport));
  ok &= ~(same & mask_of(sport == dport));
  const Words between = (src ^ dst) & swapped;
  const Words low = src ^ between, high = dst ^ between;
  const Words both = sport | dport << 16;
  const Words named = ((ports ^ both) & swapped) ^ both;
  const Words family = has_ipv6 ? (six & (4 ^ 6)) ^ 4 : all(4);
  const Words kind = h.protocol | family << 8;
  Words hash = low * kFlowMix[0] + high * kFlowMix[1] + named * kFlowMix[2] + kind * kFlowMix[3];
  hash = (hash ^ hash >> 15) * kFlowLast;
  hash ^= hash >> 13;
  store(k.hash + at, hash);
  store_pairs(k.ends + at, low, high);
  store_pairs(k.rest + at, named, kind);
  store(k.src + at, src);
  store(k.dst + at, dst);
  store(k.ports + at, both);
  store(k.swapped + at, swapped);
  const Words traits = h.traffic_class | offloaded << 11;
  store(k.traits + at, traits);
  store_pairs(k.follows + at, load_as<Words>(b.entries + from), traits << 16);
  store(k.life + at, h.life);
  store(k.ready + at, ok);
  store(k.plain + at, ok);
  return bits_of(ok);
}
