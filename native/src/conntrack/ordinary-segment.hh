// Everyday segments of established connections: `track_tcp` for those that it accepts and that
// change no state, in fewer steps.
#pragma once

#include "tcp-window.hh"

namespace wiretrial::conntrack {

// Options that real segments have: none, or a timestamp behind two fillers (RFC 7323 appendix A).
constexpr uint32_t kTimestampOption = 0x0101080a;
constexpr uint32_t kTimestampHeader = 32;

// Flags that say what kind of segment this is; ACK alone is everyday's.
constexpr uint32_t kKindFlags = tcp::kFin | tcp::kSyn | tcp::kRst | tcp::kAck;

// Whether a whole segment with this header length and these flags is of that kind: it has no SACK
// among its options.
inline bool is_ordinary(const uint8_t* b, uint32_t l4, uint32_t header, uint32_t flags) {
  const bool is_usual =
      header == tcp::kMinHeaderLength ||
      (header == kTimestampHeader && u32(b, l4 + tcp::kMinHeaderLength) == kTimestampOption);
  return is_usual && (flags & kKindFlags) == tcp::kAck;
}

// What such a segment finds out of its connection: bits of how long that lives now.
constexpr uint32_t kUnacknowledged = 1;
constexpr uint32_t kWindowClosed = 2;
constexpr uint32_t kTooManyRetransmissions = 4;

// Track an ordinary segment, of which `s` tells seq(), ack(), end() and window(). Below 0, with
// nothing changed, for one that the tracker does more with than accept; else bits of those above.
template <typename Numbered>
[[gnu::always_inline]] inline int32_t track_ordinary(TcpTracking& t, const Numbered& s,
                                                     uint32_t way, uint32_t max_retransmissions) {
  TcpSide& sender = t.seen[way];
  TcpSide& receiver = t.seen[way ^ 1];
  if (t.state != kES || (t.bits & (kSimultaneousOpen | kExpectChallengeAck))) return -1;
  const uint32_t seq = s.seq(), ack = s.ack(), end = s.end(), window = s.window();
  const uint32_t sent = sender.end, allowed = sender.max_end, most = sender.max_window;
  const uint32_t answered = receiver.end, taken = receiver.max_window;
  const uint32_t ack_window = std::max(kMaxAckWindow, most);
  if (most == 0 || taken == 0 || !before(seq, allowed + 1) || !before(ack, answered + 1) ||
      !after(end, sent - taken - 1) || !after(ack, answered - ack_window - 1)) {
    return -1;
  }
  const uint32_t scaled = window << sender.scale;
  uint32_t bits = sender.bits | kMaxAckSet;
  const bool acks_more = !(sender.bits & kMaxAckSet) || after(ack, sender.max_ack);
  if (acks_more) sender.max_ack = ack;
  if (most < scaled) sender.max_window = scaled;
  if (after(end, sent)) {
    sender.end = end;
    bits |= kDataUnacknowledged;
  }
  sender.bits = static_cast<uint8_t>(bits);
  if (after(end, allowed)) receiver.max_window = taken + (end - allowed);
  if (after(ack + scaled, receiver.max_end - 1)) {
    receiver.max_end = ack + scaled + (scaled == 0 ? 1 : 0);
  }
  uint32_t unacknowledged = receiver.bits;
  if (ack == answered) unacknowledged &= ~uint32_t{kDataUnacknowledged};
  receiver.bits = static_cast<uint8_t>(unacknowledged);
  unacknowledged |= bits;

  const uint32_t differs = (t.last_seq ^ seq) | (t.last_ack ^ ack) | (t.last_end ^ end) |
                           (t.last_window ^ window) | (t.last_direction ^ way);
  const uint32_t again = std::min<uint32_t>(t.retransmissions + 1u, 255);
  const uint32_t retransmissions = differs == 0 ? again : 0;
  t.retransmissions = static_cast<uint8_t>(retransmissions);
  t.last_seq = seq;
  t.last_ack = ack;
  t.last_end = end;
  t.last_window = static_cast<uint16_t>(window);
  t.last_index = kIndexAck;
  t.last_direction = static_cast<uint8_t>(way);
  return static_cast<int32_t>(
      (unacknowledged & kDataUnacknowledged ? kUnacknowledged : 0) |
      (window == 0 ? kWindowClosed : 0) |
      (retransmissions >= max_retransmissions ? kTooManyRetransmissions : 0));
}

}  // namespace wiretrial::conntrack
