// The first look at a capture: what every sender's checksums are like, who talks with whom, and
// which packets were seen under several pairs of ends. Mirrors src/lab/traffic/survey.ts and
// translations.ts for ordinary packets; and leaves an index of the capture (index.hh).
//
// Packets are counted by their voices; what is said of senders and pairs is made of these counts
// when it is asked for. When tables are full they begin anew, and so do the index's numbers.
#pragma once

#include "findings.hh"
#include "glance.hh"
#include "walk.hh"

namespace wiretrial::lane {

class Look {
 public:
  enum class Stop : uint8_t { kEnd, kByHand, kFull, kNoMemory };

  // What is done with records: they are looked at, or only kept in mind for those behind
  // (src/lab/traffic/chunks.ts).
  enum class Mode : uint8_t { kLookAt = 1, kAhead = 2 };

  explicit Look(const Findings& out)
      : joins_(out.joins), most_joins_(out.most_joins), senders_(out.senders), pairs_(out.pairs),
        tuples_(out.census) {}

  bool is_whole() const { return contents_.is_whole(); }

  struct Source {
    const uint8_t* window;
    Records records;
    const uint32_t* link_types;
    const uint32_t* iface_ids;
    // The first record's place in the capture, from 0; or all records' frame numbers, from 1.
    uint64_t place;
    const double* frames;

    uint64_t place_of(uint32_t record) const {
      return frames == nullptr ? place + record : static_cast<uint64_t>(frames[record]) - 1;
    }
  };

  // Where entries of the index go, by the records' places, and for how many there is room.
  void write_index(uint32_t* entries, uint64_t room) {
    entries_ = entries;
    room_ = room;
  }

  // How many records two sightings of one packet may be apart.
  void reach(uint32_t records) { contents_.reach(records); }

  // Look at records from `from` on. `stopped` is where it ended: at `to`, at one that is not
  // ordinary, or at one for which there is no room before joins were read and tables turned.
  Stop run(const Source& s, uint32_t from, uint32_t to, Mode mode, uint32_t& stopped) {
    joined_ = 0;
    Heard heard[kBlock];
    Met met[kBlock];
    for (uint32_t start = from; start < to; start += kBlock) {
      stopped = start;
      if (is_full() || most_joins_ - joined_ < kBlock) return Stop::kFull;
      const uint32_t count = std::min(kBlock, to - start);
      listen_ahead(s, start, count, heard);
      uint32_t known = 0;
      Stop why = Stop::kEnd;
      for (; known < count && why == Stop::kEnd; known++) {
        why = meet(s, start + known, heard[known], mode, met[known]);
      }
      if (why != Stop::kEnd) known -= 1;
      for (uint32_t i = 0; i < known; i++) note(s, start + i, met[i], mode);
      stopped = start + known;
      if (why != Stop::kEnd) return why;
    }
    stopped = to;
    return Stop::kEnd;
  }

  uint32_t joins() const { return joined_; }

  // Note the content of a packet that was read by hand: `first` becomes the ends under which it was
  // seen shortly before, where they are others. False when there is no memory.
  bool note(const ContentHead& head, uint64_t content, const Ends& ends, int64_t time_ns,
            uint64_t place, bool& is_other, Ends& first) {
    // Who only ever notes has no voices to be counted first.
    if (is_full() && voices_.size() == 0) turn();
    bool turned;
    const FlowName name = name_of(ends, head.protocol, head.kind, turned);
    Row* row = row_of(name, hash_of(name));
    if (row == nullptr) return false;
    row->see(turned, Row::kSeveral);
    const uint32_t speaker = speaker_of(*row, turned);
    const Contents::Sighting* known = contents_.note(content, time_ns, place, speaker);
    is_other = known != nullptr && is_elsewhere(*known, speaker, first);
    return true;
  }

  // Count what the voices from `from` on have said, as far as there is room: the place of the next
  // one, or 0 behind the last.
  uint32_t count(uint32_t from) {
    senders_.begin();
    pairs_.begin();
    const uint32_t to = std::min(voices_.size() - from, Tallied<Pair>::kMost) + from;
    for (uint32_t at = from; at < to; at++) {
      Voice& voice = voices_[at];
      if (voice.packets != 0) tally(voice);
      voice.packets = 0;
    }
    return to < voices_.size() ? to : 0;
  }

  uint32_t senders() const { return senders_.count(); }
  uint32_t pairs() const { return pairs_.count(); }
  // Of the places of the census of tuples, how many are taken since the first look.
  uint32_t tuples() const { return tuples_.taken(); }

  const Growing<Row>& rows() const { return rows_; }

  // Begin anew; what was counted and numbered is read.
  void turn() {
    numbers_ = std::min(numbers_ + rows_.size(), entry::kMostNumbers);
    older_rows_.swap(rows_);
    rows_.clear();
    voices_.clear();
    round_ ^= kOlder;
  }

 private:
  static constexpr uint32_t kBlock = 32;
  static constexpr uint32_t kMostRows = Voices::kMost;
  // Of a speaker: the row's table, one of two.
  static constexpr uint32_t kOlder = 1u << 31;
  static_assert(kMostRows > Contents::kMost);

  bool is_full() const {
    return voices_.size() > Voices::kMost - kBlock || rows_.size() > kMostRows - kBlock;
  }

  // What is to be noted of a packet.
  struct Met {
    uint64_t content;
    uint64_t place;
    uint32_t speaker;
  };

  // Fetch the memory that a block's packets will need.
  void listen_ahead(const Source& s, uint32_t start, uint32_t count, Heard* heard) const {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t r = start + i;
      Heard& h = heard[i];
      if (listen(s.window + s.records.at[r], s.records.captured[r],
                 s.link_types[s.records.iface[r]], h)) {
        voices_.prefetch(h.hash);
      } else {
        h.ip = nullptr;
      }
    }
  }

  // A packet's voice, by its words if it was heard before, and what is counted and said of it.
  [[gnu::always_inline]] inline Stop meet(const Source& s, uint32_t r, const Heard& h, Mode mode,
                                          Met& met) {
    const uint32_t iface = s.iface_ids[s.records.iface[r]];
    Voice* voice = nullptr;
    if (h.ip != nullptr) {
      voice = voices_.find_by(
          h.hash, [&](const Voice& known) __attribute__((always_inline)) {
            return hear(known, h, iface, met.content);
          });
    }
    if (voice == nullptr) [[unlikely]] {
      const Stop why = meet_at_leisure(s, r, voice, met.content);
      if (why != Stop::kEnd) return why;
    }
    met.speaker = voice->speaker;
    met.place = s.place_of(r);
    contents_.prefetch(met.content);
    if (mode == Mode::kLookAt) {
      voice->packets += 1;
      if (met.place < room_) entries_[met.place] = voice->entry;
    }
    return Stop::kEnd;
  }

  // One that may be of a voice that is not plain, or of a new one.
  [[gnu::noinline]] Stop meet_at_leisure(const Source& s, uint32_t r, Voice*& voice,
                                         uint64_t& content) {
    const uint32_t iface = s.records.iface[r];
    Glance g;
    if (!glance(s.window + s.records.at[r], s.records.captured[r], s.link_types[iface],
                s.iface_ids[iface], g)) {
      return Stop::kByHand;
    }
    content = g.content;
    voice = voices_.find(g);
    if (voice == nullptr) voice = add_voice(s, r, g);
    return voice == nullptr ? Stop::kNoMemory : Stop::kEnd;
  }

  [[gnu::always_inline]] inline void note(const Source& s, uint32_t r, const Met& met, Mode mode) {
    const Contents::Sighting* known =
        contents_.note(met.content, s.records.time_ns[r], met.place, met.speaker);
    if (known == nullptr) [[likely]] return;
    if (known->speaker >> 1 != met.speaker >> 1 && mode == Mode::kLookAt) {
      join(*known, met.speaker, r);
    }
  }

  // A packet that may have been seen under other ends.
  [[gnu::noinline]] void join(const Contents::Sighting& known, uint32_t speaker, uint32_t r) {
    Join& join = joins_[joined_];
    if (!is_elsewhere(known, speaker, join.first)) return;
    const FlowName& name = name_of_speaker(speaker);
    join.other = ends_of(name, (speaker & 1) != 0);
    join.protocol = name.protocol;
    join.record = r;
    joined_ += 1;
  }

  // A voice's first packet.
  Voice* add_voice(const Source& s, uint32_t r, const Glance& g) {
    Packet p;
    const uint32_t place = s.records.iface[r];
    const uint32_t iface = s.iface_ids[place];
    if (!read_packet(s.window + s.records.at[r], s.records.captured[r], s.link_types[place], p,
                     For::kLook)) {
      return nullptr;
    }
    judge(p);
    Row* row = row_of(p.name, p.hash);
    Voice* voice = row == nullptr ? nullptr : voices_.add(g);
    if (voice == nullptr) return nullptr;
    const uint64_t link = fold_product(g.head[0] ^ kMix[0], g.head[1] ^ kMix[1]);
    const uint64_t longer = g.is_long ? fold_product(g.rest[3] ^ kMix[2], g.rest[4] ^ kMix[3]) : 0;
    row->see(p.turned, fold_product(link ^ longer, (uint64_t{iface} << 8 | p.ttl) ^ kMix[0]) | 2);
    voice->iface = iface;
    voice->verdict = p.verdict;
    voice->flags = static_cast<uint8_t>(p.flags);
    const bool is_hearable = p.name.family == 4 && p.verdict == kRight &&
                             p.link_length == usual_offset(s.link_types[place]);
    const uint8_t protocol = p.name.protocol;
    voice->plain = is_hearable && (protocol == kTcp || protocol == kUdp) ? protocol : 0;
    voice->speaker = speaker_of(*row, p.turned);
    const uint32_t number = numbers_ + (voice->speaker & ~kOlder) / 2 + 1;
    if (number > entry::kMostNumbers) return voice;
    voice->entry = number << entry::kShift | (p.turned ? entry::kTurned : 0);
    const bool is_plain = p.flags == 0 || p.flags == segment_flags(0);
    if (is_plain && (row->flags & Row::kKnown[p.turned]) == 0) {
      row->flags |= Row::kKnown[p.turned];
      voice->entry |= entry::kUsual;
    }
    return voice;
  }

  // Found, or made; null when there is no memory.
  Row* row_of(const FlowName& name, uint64_t hash) {
    Row* row = rows_.find(name, hash);
    return row != nullptr ? row : rows_.add(name);
  }

  uint32_t speaker_of(const Row& row, bool turned) const {
    return static_cast<uint32_t>(&row - &rows_[0]) << 1 | turned | round_;
  }

  const FlowName& name_of_speaker(uint32_t speaker) const {
    const Growing<Row>& rows = (speaker & kOlder) == round_ ? rows_ : older_rows_;
    return rows[(speaker & ~kOlder) >> 1].key;
  }

  // Whether a sighting was under other ends than the speaker's; `first` becomes these.
  bool is_elsewhere(const Contents::Sighting& known, uint32_t speaker, Ends& first) const {
    const Ends ends = ends_of(name_of_speaker(speaker), (speaker & 1) != 0);
    first = ends_of(name_of_speaker(known.speaker), (known.speaker & 1) != 0);
    return !(first == ends) && !(inverse(first) == ends);
  }

  void tally(const Voice& voice) {
    const FlowName& name = name_of_speaker(voice.speaker);
    const Ends ends = ends_of(name, (voice.speaker & 1) != 0);
    const auto packets = static_cast<double>(voice.packets);
    if (voice.verdict == kRight || voice.verdict == kWrong) {
      Sender& sender = sender_of(ends, voice.iface);
      (voice.verdict == kRight ? sender.right : sender.wrong) += packets;
    }
    pair_of(ends).packets += packets;
    tuples_.note(hash_of(name));
  }

  Sender& sender_of(const Ends& ends, uint32_t iface) {
    return senders_.at(
        hash16(ends.src) ^ (iface * 0x27d4eb2f165667c5ull) ^ ends.family,
        [&](const Sender& known) {
          return known.iface == iface && known.family == ends.family &&
                 std::memcmp(known.address, ends.src, 16) == 0;
        },
        [&](Sender& fresh) {
          std::memcpy(fresh.address, ends.src, 16);
          fresh.family = ends.family;
          fresh.iface = iface;
          fresh.right = fresh.wrong = 0;
        });
  }

  Pair& pair_of(const Ends& ends) {
    const bool turned = std::memcmp(ends.src, ends.dst, 16) > 0;
    const uint8_t* low = turned ? ends.dst : ends.src;
    const uint8_t* high = turned ? ends.src : ends.dst;
    return pairs_.at(
        hash16(low) ^ std::rotl(hash16(high), 23) ^ ends.family,
        [&](const Pair& known) {
          return known.family == ends.family && std::memcmp(known.low, low, 16) == 0 &&
                 std::memcmp(known.high, high, 16) == 0;
        },
        [&](Pair& fresh) {
          std::memcpy(fresh.low, low, 16);
          std::memcpy(fresh.high, high, 16);
          fresh.family = ends.family;
          fresh.packets = 0;
        });
  }

  Contents contents_;
  Voices voices_;
  Growing<Row> rows_;
  // Of the table before: packets that are compared may be of it.
  Growing<Row> older_rows_;
  uint32_t round_ = 0;
  // The index's numbers of tables before.
  uint32_t numbers_ = 0;
  uint32_t* entries_ = nullptr;
  uint64_t room_ = 0;
  Join* joins_;
  uint32_t most_joins_;
  uint32_t joined_ = 0;
  Tallied<Sender> senders_;
  Tallied<Pair> pairs_;
  Census tuples_;
};

}  // namespace wiretrial::lane
