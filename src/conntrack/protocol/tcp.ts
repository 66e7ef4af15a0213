/**
 * Tracking of TCP: flags, state table, resets, and what each segment does to the timeout.
 *
 * Kernel: net/netfilter/nf_conntrack_proto_tcp.c `nf_conntrack_tcp_packet`, `tcp_new`, `tcp_error`,
 * Linux 6.18 (held by test/differential/kernel/conntrack.test.ts). Left out: synproxy.
 * @module
 */
import { verifySegment } from '../../packet/transport-checksum.ts';
import * as tcp from '../../wire/header/tcp.ts';
import {
  type Connection,
  NS_PER_S,
  opposite,
  refresh,
  remainingNs,
  type TcpTracking,
} from '../connection.ts';
import type { TrackedSegment, TrackVerdict } from './segment.ts';
import {
  areValidFlags,
  nextTcpState,
  type TcpIndex,
  type TcpState,
  tcpIndex,
} from './tcp-states.ts';
import { before, checkWindow, newSide, readOptions, resetSide, segmentEnd } from './tcp-window.ts';
import type { ConntrackSettings } from './timeouts.ts';

/** Where the state machine sends a segment before its window is looked at. */
type Step =
  | { readonly verdict: TrackVerdict }
  | { readonly next: TcpState; readonly old: TcpState; readonly checkWindow: boolean };

const EARLY_DROP_STATES: ReadonlySet<TcpState> = new Set([
  'finWait',
  'lastAck',
  'timeWait',
  'close',
  'closeWait',
]);

/** Track one segment. A new connection gets its tracking state here. */
export function trackTcp(
  connection: Connection,
  s: TrackedSegment,
  settings: ConntrackSettings,
): TrackVerdict {
  const fault = checkSegment(s);
  if (fault !== null) return fault;
  if (!connection.confirmed) {
    const tracking = newTracking(s, settings);
    if (tracking === null) return 'invalid';
    connection.tracking = tracking;
  }
  const { tracking } = connection;
  if (tracking.kind !== 'tcp') return 'invalid';
  const index = tcpIndex(tcp.flags(s.bytes, s.off));
  const step = decide(connection, tracking, index, s, settings);
  if ('verdict' in step) return step.verdict;
  if (step.checkWindow) {
    const verdict = checkWindow(tracking, index, s, { beLiberal: settings.tcpBeLiberal });
    if (verdict === 'ignore') return 'accept';
    if (verdict === 'invalid') {
      shortenAfterInvalid(connection, tracking, index, s, settings);
      return 'invalid';
    }
  }
  advance(connection, tracking, index, s, step, settings);
  return 'accept';
}

function checkSegment(s: TrackedSegment): TrackVerdict | null {
  const fault = tcp.check(s.bytes, s.off, s.end) ?? tcp.checkOffset(s.bytes, s.off, s.end);
  if (fault === 'headerCut') return 'headerCut';
  if (fault !== null) return 'invalid';
  if (s.verifyChecksum && verifySegment(s) !== 'right') return 'invalid';
  return areValidFlags(tcp.flags(s.bytes, s.off)) ? null : 'invalid';
}

/** State of a connection that this segment opens, or is picked up by; null when it can not be. */
function newTracking(s: TrackedSegment, settings: ConntrackSettings): TcpTracking | null {
  const first = nextTcpState('original', tcpIndex(tcp.flags(s.bytes, s.off)), 'none');
  if (first === 'invalid' || first === 'ignore') return null;
  const opening = first === 'synSent';
  if (!opening && !settings.tcpLoose) return null;
  const tracking = emptyTracking();
  const side = tracking.seen.original;
  side.end = segmentEnd(s);
  side.maxWindow = tcp.window(s.bytes, s.off) || 1;
  if (opening) {
    side.maxEnd = side.end;
    readOptions(s, side);
    return tracking;
  }
  side.maxEnd = (side.end + side.maxWindow) >>> 0;
  beLiberal(tracking);
  return tracking;
}

function emptyTracking(): TcpTracking {
  return {
    kind: 'tcp',
    state: 'none',
    seen: { original: newSide(), reply: newSide() },
    lastDirection: 'original',
    lastIndex: 'none',
    lastSeq: 0,
    lastAck: 0,
    lastEnd: 0,
    lastWindow: 0,
    retransmissions: 0,
    lastScale: 0,
    lastWindowScale: false,
    lastSackPermitted: false,
    expectChallengeAck: false,
    simultaneousOpen: false,
  };
}

/** Scale and SACK are not known: assume SACK, and do not judge windows. */
function beLiberal(tracking: TcpTracking): void {
  for (const side of [tracking.seen.original, tracking.seen.reply]) {
    side.sackPermitted = true;
    side.beLiberal = true;
  }
}

/** State of a connection that was established before anything was seen; windows are not judged. */
export function establishedTracking(): TcpTracking {
  const tracking = emptyTracking();
  tracking.state = 'established';
  tracking.lastIndex = 'ack';
  // A zero window would shorten the timeout; that the last one was zero is not known.
  tracking.lastWindow = 1;
  beLiberal(tracking);
  return tracking;
}

function decide(
  connection: Connection,
  tracking: TcpTracking,
  index: TcpIndex,
  s: TrackedSegment,
  settings: ConntrackSettings,
): Step {
  const old = tracking.state;
  const next = nextTcpState(s.direction, index, old);
  if (next === 'invalid') return { verdict: 'invalid' };
  if (next === 'ignore') return passUnjudged(tracking, index, s, old);
  const normal = { next, old, checkWindow: true };
  switch (next) {
    case 'synSent':
      if (old !== 'timeWait' && old !== 'close') return normal;
      return reopens(tracking, s) ? { verdict: 'repeat' } : passUnjudged(tracking, index, s, old);
    case 'timeWait':
      if (isChallengeAck(tracking, index, s, old)) {
        tracking.expectChallengeAck = false;
        return { verdict: 'accept' };
      }
      return normal;
    case 'synSent2':
      tracking.simultaneousOpen = true;
      return normal;
    case 'synRecv':
      if (s.direction === 'reply' && index === 'ack' && tracking.simultaneousOpen) {
        return { ...normal, next: 'established' };
      }
      return normal;
    case 'close':
      return index === 'rst' ? judgeReset(connection, tracking, s, settings) : normal;
    default:
      return normal;
  }
}

/** RFC 9293 section 3.6.1: a SYN may reopen a connection that was closed properly, or aborted. */
function reopens(tracking: TcpTracking, s: TrackedSegment): boolean {
  return (
    tracking.seen.original.closeInit ||
    tracking.seen.reply.closeInit ||
    (tracking.lastDirection === s.direction && tracking.lastIndex === 'rst')
  );
}

/** RFC 5961: the answer to a stray SYN acknowledges no FIN. */
function isChallengeAck(
  tracking: TcpTracking,
  index: TcpIndex,
  s: TrackedSegment,
  old: TcpState,
): boolean {
  return (
    old === 'lastAck' &&
    index === 'ack' &&
    tracking.lastDirection !== s.direction &&
    tracking.lastIndex === 'syn' &&
    tracking.expectChallengeAck
  );
}

/**
 * Let a segment pass that only its receiver can judge, and note it: a SYN-ACK that answers such a
 * SYN shows that both ends agree and we were out of step.
 */
function passUnjudged(
  tracking: TcpTracking,
  index: TcpIndex,
  s: TrackedSegment,
  old: TcpState,
): Step {
  const ack = tcp.ack(s.bytes, s.off);
  if (
    index === 'synAck' &&
    tracking.lastIndex === 'syn' &&
    tracking.lastDirection !== s.direction &&
    ack === tracking.lastEnd
  ) {
    resynchronize(tracking, s);
    return { next: 'synRecv', old: 'synSent', checkWindow: true };
  }
  tracking.lastIndex = index;
  tracking.lastDirection = s.direction;
  tracking.lastSeq = tcp.seq(s.bytes, s.off);
  tracking.lastEnd = segmentEnd(s);
  tracking.lastWindow = tcp.window(s.bytes, s.off);
  if (index === 'syn' && s.direction === 'original') {
    const seen = newSide();
    readOptions(s, seen);
    tracking.lastWindowScale = seen.windowScale;
    tracking.lastScale = seen.windowScale ? seen.scale : 0;
    tracking.lastSackPermitted = seen.sackPermitted;
    tracking.simultaneousOpen = false;
    tracking.expectChallengeAck = old === 'lastAck';
  }
  if (old === 'synSent' && index === 'ack' && s.direction === 'reply') tracking.lastAck = ack;
  return { verdict: 'accept' };
}

function resynchronize(tracking: TcpTracking, s: TrackedSegment): void {
  const opener = tracking.seen[tracking.lastDirection];
  Object.assign(opener, newSide(), {
    end: tracking.lastEnd,
    maxEnd: tracking.lastEnd,
    maxWindow: tracking.lastWindow || 1,
    maxAck: opener.maxAck,
    scale: tracking.lastScale,
    windowScale: tracking.lastWindowScale,
    sackPermitted: tracking.lastSackPermitted,
  });
  tracking.expectChallengeAck = false;
  resetSide(tracking.seen[s.direction]);
}

/** A reset must come from who knows the connection: by its sequence number, or as an answer. */
function judgeReset(
  connection: Connection,
  tracking: TcpTracking,
  s: TrackedSegment,
  settings: ConntrackSettings,
): Step {
  const old = tracking.state;
  const skipWindow: Step = { next: 'close', old, checkWindow: false };
  const normal: Step = { next: 'close', old, checkWindow: true };
  // Closing anyway: the tuple may be in use again, so what we know may be out of date.
  if (EARLY_DROP_STATES.has(old)) return skipWindow;
  const seq = tcp.seq(s.bytes, s.off);
  const peer = tracking.seen[opposite(s.direction)];
  let next: TcpState = 'close';
  if (peer.maxAckSet && tracking.lastIndex !== 'syn') {
    const established = old === 'established' && connection.assured;
    // Most likely an answer to a SYN that we let through.
    if (seq === 0 && !established) return normal;
    if (before(seq, peer.maxAck) && !settings.tcpIgnoreInvalidRst) return { verdict: 'invalid' };
    if (!established || seq === peer.maxAck) return normal;
    const endsTrain =
      tracking.lastIndex === 'ack' &&
      tracking.lastDirection === s.direction &&
      seq === tracking.lastEnd;
    if (endsTrain) return normal;
    // Not the exact number: the receiver answers with a challenge ACK and stays open (RFC 5961).
    next = old;
  }
  const answersUnjudged =
    (connection.seenReply &&
      tracking.lastIndex === 'syn' &&
      tracking.lastDirection !== s.direction) ||
    (!connection.assured && tracking.lastIndex === 'ack');
  if (answersUnjudged && tcp.ack(s.bytes, s.off) === tracking.lastEnd) {
    return { next, old, checkWindow: false };
  }
  const answersChallenge =
    old === 'synSent' &&
    tracking.lastIndex === 'ack' &&
    tracking.lastDirection === 'reply' &&
    seq === tracking.lastAck;
  return { next, old, checkWindow: !answersChallenge };
}

/** Take the new state, and let the connection live as long as that state allows. */
function advance(
  connection: Connection,
  tracking: TcpTracking,
  index: TcpIndex,
  s: TrackedSegment,
  step: { readonly next: TcpState; readonly old: TcpState },
  settings: ConntrackSettings,
): void {
  const { next, old } = step;
  tracking.lastIndex = index;
  tracking.lastDirection = s.direction;
  tracking.state = next;
  if (old !== next && next === 'finWait') tracking.seen[s.direction].closeInit = true;
  let timeoutS = stateTimeout(tracking, index, next, settings);
  if (!connection.seenReply) {
    // Nobody is there: a reset as the only answer ends it at once.
    if (index === 'rst' && !settings.tcpKeepsRefused) {
      connection.dying = true;
      return;
    }
    // A client that reuses its port must not keep an old entry, and its translation, alive.
    if (index === 'syn' && old === 'synSent') return;
    if (next === 'established') timeoutS = Math.min(timeoutS, settings.tcp.unack);
  } else if (
    !connection.assured &&
    (old === 'synRecv' || old === 'established') &&
    next === 'established'
  ) {
    connection.assured = true;
  }
  refresh(connection, timeoutS, s.nowNs);
}

function stateTimeout(
  tracking: TcpTracking,
  index: TcpIndex,
  next: TcpState,
  settings: ConntrackSettings,
): number {
  const { tcp: limits } = settings;
  const plain = next === 'none' ? limits.synSent : limits[next];
  const unacknowledged =
    tracking.seen.original.dataUnacknowledged || tracking.seen.reply.dataUnacknowledged;
  if (tracking.retransmissions >= settings.tcpMaxRetrans && plain > limits.retrans) {
    return limits.retrans;
  }
  if (index === 'rst') return limits.close;
  if (unacknowledged && plain > limits.unack) return limits.unack;
  return tracking.lastWindow === 0 && plain > limits.retrans ? limits.retrans : plain;
}

/**
 * A second reset or FIN that we call INVALID, from the other side, says that we are out of step:
 * the connection shall not stay for days (`nf_tcp_handle_invalid`).
 */
function shortenAfterInvalid(
  connection: Connection,
  tracking: TcpTracking,
  index: TcpIndex,
  s: TrackedSegment,
  settings: ConntrackSettings,
): void {
  if (!connection.assured || (index !== 'rst' && index !== 'fin')) return;
  const answered =
    tracking.lastDirection !== s.direction &&
    (tracking.lastIndex === 'fin' || tracking.lastIndex === 'rst');
  if (!answered) {
    tracking.lastIndex = index;
    tracking.lastDirection = s.direction;
    return;
  }
  const leftS = remainingNs(connection, s.nowNs) / NS_PER_S;
  if (leftS >= 120 && leftS > settings.tcp.unack) {
    refresh(connection, settings.tcp.unack, s.nowNs);
  }
}

/** Whether the table may drop it to make room although it is assured (`tcp_can_early_drop`). */
export function canEarlyDropTcp(tracking: TcpTracking): boolean {
  return EARLY_DROP_STATES.has(tracking.state);
}
