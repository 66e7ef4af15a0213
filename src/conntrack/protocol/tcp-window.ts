/**
 * TCP window tracking: does a segment lie where its sender may be sending?
 *
 * After Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (SANE 2000). For a
 * sender S and a receiver R a segment is in the window when
 *
 *   I    seq          <= S.maxEnd                      (not past what R allowed)
 *   II   seq + length >= S.end - R.maxWindow           (not older than R's window)
 *   III  sack         <= R.end                         (acknowledges what R has sent)
 *   IV   sack         >= R.end - max(66000, S.maxWindow)
 *
 * Kernel: net/netfilter/nf_conntrack_proto_tcp.c `tcp_in_window`, `tcp_options`, `tcp_sack`, Linux
 * 6.18. Sequence numbers that a helper shifts (ftp …) are left out: no helpers are emulated.
 * @module
 */
import { u8, u32 } from '../../wire/bytes.ts';
import * as tcp from '../../wire/header/tcp.ts';
import { TcpFlag, TcpOption } from '../../wire/header/tcp.ts';
import { opposite, type TcpSide, type TcpTracking } from '../connection.ts';
import type { TrackedSegment } from './segment.ts';
import type { TcpIndex } from './tcp-states.ts';

/** `ignore`: passes as part of the connection, and only the note on it is kept. */
export type WindowVerdict = 'accept' | 'ignore' | 'invalid';

const MAX_ACK_WINDOW = 66_000;
const MAX_SCALE = 14;

/** Modulo 2^32: whether `a` comes before `b`. */
export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function after(a: number, b: number): boolean {
  return before(b, a);
}

export function newSide(): TcpSide {
  return {
    end: 0,
    maxEnd: 0,
    maxWindow: 0,
    maxAck: 0,
    scale: 0,
    windowScale: false,
    sackPermitted: false,
    closeInit: false,
    beLiberal: false,
    dataUnacknowledged: false,
    maxAckSet: false,
  };
}

/** Forget everything but the liberal mode (`nf_ct_tcp_state_reset`). */
export function resetSide(side: TcpSide): void {
  Object.assign(side, newSide(), { beLiberal: side.beLiberal });
}

/** Sequence number behind the segment: SYN and FIN count one each. */
export function segmentEnd(s: TrackedSegment): number {
  const flags = tcp.flags(s.bytes, s.off);
  const length = s.end - s.off - tcp.headerLength(s.bytes, s.off);
  const control = (flags & TcpFlag.syn ? 1 : 0) + (flags & TcpFlag.fin ? 1 : 0);
  return (tcp.seq(s.bytes, s.off) + length + control) >>> 0;
}

/** Note window scale and SACK of a SYN's options; a segment without options changes nothing. */
export function readOptions(s: TrackedSegment, side: TcpSide): void {
  if (tcp.headerLength(s.bytes, s.off) === tcp.MIN_HEADER_LENGTH) return;
  const { beLiberal } = side;
  const { end, maxEnd, maxWindow, maxAck } = side;
  Object.assign(side, newSide(), { beLiberal, end, maxEnd, maxWindow, maxAck });
  tcp.eachOption(s.bytes, s.off, (kind, at, length) => {
    if (kind === TcpOption.sackPermitted && length === 2) side.sackPermitted = true;
    if (kind === TcpOption.windowScale && length === 3) {
      side.scale = Math.min(u8(s.bytes, at + 2), MAX_SCALE);
      side.windowScale = true;
    }
  });
}

/** The highest right edge of the first SACK option's blocks, or `ack` when none is higher. */
function highestSack(s: TrackedSegment, ack: number): number {
  let highest = ack;
  let seen = false;
  tcp.eachOption(s.bytes, s.off, (kind, at, length) => {
    if (seen || kind !== TcpOption.sack || length < 10 || (length - 2) % 8 !== 0) return;
    seen = true;
    for (let block = at + 2; block < at + length; block += 8) {
      const edge = u32(s.bytes, block + 4);
      if (after(edge, highest)) highest = edge;
    }
  });
  return highest;
}

function initSender(s: TrackedSegment, sender: TcpSide, receiver: TcpSide, end: number): void {
  sender.end = end;
  sender.maxEnd = end;
  sender.maxWindow = tcp.window(s.bytes, s.off) || 1;
  readOptions(s, sender);
  // RFC 7323 section 2.2: both sides must send Window Scale for either to use it.
  if (s.direction === 'reply' && !(sender.windowScale && receiver.windowScale)) {
    sender.scale = 0;
    receiver.scale = 0;
  }
}

/** Learn from a sender whose opening we did not see. */
function initMidstream(sender: TcpSide, receiver: TcpSide, n: Numbers): void {
  sender.end = n.end;
  sender.maxWindow = (n.window << sender.scale) >>> 0 || 1;
  sender.maxEnd = (n.end + sender.maxWindow) >>> 0;
  if (receiver.maxWindow === 0) {
    // Nothing from the other side yet: make III and IV hold until there is.
    receiver.end = n.sack;
    receiver.maxEnd = n.sack;
  } else if (n.sack === (receiver.end + 1) >>> 0) {
    // Likely the answer to a keepalive.
    receiver.end = n.sack;
  }
}

/** The segment's numbers, after the corrections below. */
interface Numbers {
  seq: number;
  ack: number;
  sack: number;
  end: number;
  window: number;
}

/** Judge the segment and, when it is in the window, remember what it says. */
export function checkWindow(
  tracking: TcpTracking,
  index: TcpIndex,
  s: TrackedSegment,
  options: { readonly beLiberal: boolean },
): WindowVerdict {
  const sender = tracking.seen[s.direction];
  const receiver = tracking.seen[opposite(s.direction)];
  const flags = tcp.flags(s.bytes, s.off);
  const ack = tcp.ack(s.bytes, s.off);
  const n: Numbers = {
    seq: tcp.seq(s.bytes, s.off),
    ack,
    sack: receiver.sackPermitted ? highestSack(s, ack) : ack,
    end: segmentEnd(s),
    window: tcp.window(s.bytes, s.off),
  };
  const isSyn = (flags & TcpFlag.syn) !== 0;
  const isAck = (flags & TcpFlag.ack) !== 0;
  if (sender.maxWindow === 0) {
    if (isSyn) {
      initSender(s, sender, receiver, n.end);
      // Simultaneous open: there is nothing to compare with yet.
      if (!isAck) return 'accept';
    } else initMidstream(sender, receiver, n);
  } else if (
    isSyn &&
    after(n.end, sender.end) &&
    (tracking.state === 'synSent' || tracking.state === 'synRecv')
  ) {
    // RFC 9293 section 3.4.3: a TCP that starts anew uses numbers above those recently used.
    initSender(s, sender, receiver, n.end);
    if (s.direction === 'reply' && !isAck) return 'accept';
  }
  const isRst = (flags & TcpFlag.rst) !== 0;
  if (!isAck || (isRst && n.ack === 0)) {
    // No acknowledgment, or a broken TCP's zero in a RST: pretend the right one.
    n.ack = receiver.end;
    n.sack = receiver.end;
  }
  if (isRst && n.seq === 0 && tracking.state === 'synSent') {
    // A reset answering a SYN.
    n.seq = sender.end;
    n.end = sender.end;
  }
  const verdict = judge(n, sender, receiver);
  if (verdict !== 'accept') return sender.beLiberal || options.beLiberal ? 'accept' : verdict;
  learn(tracking, index, s, n);
  return 'accept';
}

function judge(n: Numbers, sender: TcpSide, receiver: TcpSide): WindowVerdict {
  const ackWindow = Math.max(MAX_ACK_WINDOW, sender.maxWindow);
  const inReceiveWindow = after(n.end, sender.end - receiver.maxWindow - 1);
  const ackNotTooOld = after(n.sack, receiver.end - ackWindow - 1);
  const ackSeen = before(n.sack, receiver.end + 1);
  if (!before(n.seq, sender.maxEnd + 1)) {
    const overshot = (n.end - sender.maxEnd + 1) >>> 0;
    const mild = receiver.maxWindow !== 0 && inReceiveWindow && overshot <= receiver.maxWindow;
    if (!mild || !ackNotTooOld || !ackSeen) return 'invalid';
    // Some TCPs send a little more than was allowed; the peer's ACK of it must not look wrong.
    sender.end = n.end;
    sender.dataUnacknowledged = true;
    return 'ignore';
  }
  if (!ackSeen) return 'invalid';
  if (receiver.maxWindow !== 0 && !inReceiveWindow) return 'ignore';
  return ackNotTooOld ? 'accept' : 'ignore';
}

function learn(tracking: TcpTracking, index: TcpIndex, s: TrackedSegment, n: Numbers): void {
  const sender = tracking.seen[s.direction];
  const receiver = tracking.seen[opposite(s.direction)];
  const flags = tcp.flags(s.bytes, s.off);
  const raw = n.window;
  // A SYN's own window is never scaled (RFC 7323 section 2.2).
  const window = flags & TcpFlag.syn ? raw : (raw << sender.scale) >>> 0;
  const spanned = (window + (n.sack - n.ack)) >>> 0;
  if (sender.maxWindow < spanned) sender.maxWindow = spanned;
  if (after(n.end, sender.end)) {
    sender.end = n.end;
    sender.dataUnacknowledged = true;
  }
  if (flags & TcpFlag.ack && (!sender.maxAckSet || after(n.ack, sender.maxAck))) {
    sender.maxAck = n.ack;
    sender.maxAckSet = true;
  }
  if (receiver.maxWindow !== 0 && after(n.end, sender.maxEnd)) {
    receiver.maxWindow = (receiver.maxWindow + n.end - sender.maxEnd) >>> 0;
  }
  if (after(n.sack + window, receiver.maxEnd - 1)) {
    receiver.maxEnd = (n.sack + window + (window === 0 ? 1 : 0)) >>> 0;
  }
  if (n.ack === receiver.end) receiver.dataUnacknowledged = false;
  if (index === 'ack') countRetransmission(tracking, s, n);
}

function countRetransmission(tracking: TcpTracking, s: TrackedSegment, n: Numbers): void {
  const same =
    tracking.lastDirection === s.direction &&
    tracking.lastSeq === n.seq &&
    tracking.lastAck === n.ack &&
    tracking.lastEnd === n.end &&
    tracking.lastWindow === n.window;
  tracking.retransmissions = same ? tracking.retransmissions + 1 : 0;
  tracking.lastDirection = s.direction;
  tracking.lastSeq = n.seq;
  tracking.lastAck = n.ack;
  tracking.lastEnd = n.end;
  tracking.lastWindow = n.window;
}
