// Packets of a connection whose ways are known, moved where they stand: the same as the express way
// (express.hh), for who does not ask for packets as they end. Nothing is copied and no name is made:
// all that is read of a packet is what its connection, its decision and its tracker look at.
#pragma once

#include "../conntrack/ordinary-segment.hh"
#include "engine.hh"

namespace wiretrial {

// Where packets of one flow and one direction find their connection. `changes` is the flow table's
// when that was last looked at; `place` kNone that nobody looked.
struct Course {
  FlowKey key;
  uint32_t place = FlowTable::kNone;
  // The ends stand turned round in the key.
  uint32_t is_swapped : 1;
  uint32_t changes : 31;
};
static_assert(sizeof(Course) == 24);

// A packet as far as the express way looks at it: a plain one (`read_facts`), as it was sent.
struct Passing {
  const uint8_t* bytes;
  uint32_t length;
  uint32_t l4;
  uint32_t entry;
  uint8_t protocol;
  uint8_t tos;
  uint8_t ttl;
  bool is_offloaded;
  double now_ns;
};

class Settled {
 public:
  // `good` by number of decision; 0: its packets are looked at one by one.
  void use(Engine* engine, const uint8_t* good) {
    engine_ = engine;
    good_ = good;
  }

  bool is_used() const { return engine_ != nullptr; }

  // Name the flow of packets with these ends; false where none of them is plain.
  bool find_course(Facts ends, Course& course) const {
    if (ends.protocol != kTcp && ends.protocol != kUdp) return false;
    if (!name_flow(ends)) return false;
    course = Course{ends.key, FlowTable::kNone, ends.swapped, 0};
    return true;
  }

  // The number of an IPv6 address; kNone when the book is full.
  uint32_t number_of(const uint8_t* address) { return engine_->book().number_of(address); }

  void prefetch(const Course& course) const {
    if (course.place == FlowTable::kNone) return;
    engine_->flows().prefetch_record(course.place);
  }

  // Move a packet. What a good decision makes of it; 0, with nothing changed, when it is none for
  // here.
  [[gnu::always_inline]] uint8_t move(Course& course, const Passing& p) {
    using namespace conntrack;
    if (!is_there(course)) return 0;
    Engine& e = *engine_;
    FlowTable& flows = e.flows();
    const Head& head = flows.head(course.place);
    if (head.generation != e.generation()) return 0;
    const uint32_t way = (course.is_swapped ^ head.flags / kOriginalSwapped) & 1;
    uint32_t place = course.place, number;
    if (head.host_set == kOtherName) {
      const Translation& t = flows.translation(place);
      if (way != kReply || t.ends == 0) return 0;
      place = t.connection;
      number = t.decision;
    } else {
      if ((head.flags & kTranslated) && !is_openers(place, way)) return 0;
      number = flows.record(place).decision[way];
    }
    if (number == DecisionTable::kNone) return 0;
    Connection& c = flows.record(place);
    Decision& d = e.decisions().at(number);
    const uint8_t good = good_[number];
    if (good == 0 || !follows(d, c, way, p)) return 0;
    if (c.expires_ns[0] <= p.now_ns || c.expires_ns[1] <= p.now_ns || (c.flags & kUncounted)) {
      return 0;
    }
    if (!track(c, place, way, p)) return 0;
    c.packets[way] += 1;
    c.bytes[way] += p.length;
    d.packets += 1;
    d.bytes += p.length;
    e.add_moved(1, (d.flags & kTranslates) != 0);
    return good;
  }

 private:
  struct CapturedSegment {
    const uint8_t* b;
    uint32_t l4;
    uint32_t behind;
    uint32_t seq() const { return tcp::seq(b, l4); }
    uint32_t ack() const { return tcp::ack(b, l4); }
    uint32_t end() const { return seq() + behind; }
    uint32_t window() const { return tcp::window(b, l4); }
  };

  // Whether the flow is in the table, at the course's place.
  bool is_there(Course& course) const {
    FlowTable& flows = engine_->flows();
    const uint32_t changes = flows.changes() & kMostChanges;
    if (course.place != FlowTable::kNone && course.changes == changes) return true;
    const bool is_still = course.place != FlowTable::kNone && flows.key_of(course.place) == course.key;
    if (!is_still) course.place = flows.find(course.key, hash_of(course.key));
    course.changes = changes;
    return course.place != FlowTable::kNone;
  }

  static constexpr uint32_t kMostChanges = 0x7fffffff;

  // Whether packets of this direction come by the first name of a translated connection.
  bool is_openers(uint32_t place, uint32_t way) const {
    FlowTable& flows = engine_->flows();
    const uint32_t last = flows.record(place).decision[conntrack::kReply];
    return way == conntrack::kOriginal && flows.translation(last).ends != 0;
  }

  static bool follows(const Decision& d, const conntrack::Connection& c, uint32_t way,
                      const Passing& p) {
    const uint32_t state = 2 + 2 * way + (c.flags & ~way & conntrack::kSeenReply);
    if (d.follower != follower(p.entry, c.host_set, p.tos, state, p.is_offloaded)) return false;
    if (p.length > d.mtu || p.ttl > d.ttl_most) return false;
    const uint32_t flags = p.protocol == kTcp ? tcp::flags(p.bytes, p.l4) : 0;
    return !(d.by & kByFlags) || d.tcp_flags == flags;
  }

  // Renew the connection; false, with nothing changed, when the tracker would do more.
  bool track(conntrack::Connection& c, uint32_t place, uint32_t way, const Passing& p) {
    using namespace conntrack;
    const HostTimers& timers = engine_->timers(c.host_set);
    const double* lives = nullptr;
    uint32_t gained = way * kSeenReply;
    if (p.protocol == kTcp) {
      if (!(c.flags & kSeenReply) || timers.is_split) return false;
      const int32_t bits =
          track_segment(p.bytes, p.l4, p.length, place, way, timers.max_retransmissions);
      if (bits < 0) return false;
      lives = timers.tcp[bits];
      gained |= kAssured;
    } else {
      const uint32_t is_stream =
          (c.flags & kSeenReply) & static_cast<uint32_t>(p.now_ns > c.stream_ns);
      lives = timers.udp[is_stream];
      gained |= is_stream * kAssured;
    }
    c.expires_ns[0] = p.now_ns + lives[0];
    c.expires_ns[1] = p.now_ns + lives[1];
    c.flags = static_cast<uint8_t>(c.flags | gained);
    return true;
  }

  // Not inlined: datagrams keep their registers.
  [[gnu::noinline]] int32_t track_segment(const uint8_t* b, uint32_t l4, uint32_t length,
                                          uint32_t place, uint32_t way,
                                          uint32_t max_retransmissions) {
    const uint32_t header = tcp::header_length(b, l4);
    if (!conntrack::is_ordinary(b, l4, header, tcp::flags(b, l4))) return -1;
    const CapturedSegment segment{b, l4, length - l4 - header};
    conntrack::TcpTracking& tracking = engine_->flows().tracking(place);
    return conntrack::track_ordinary(tracking, segment, way, max_retransmissions);
  }

  Engine* engine_ = nullptr;
  const uint8_t* good_ = nullptr;
};

}  // namespace wiretrial
