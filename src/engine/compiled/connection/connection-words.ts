/**
 * Connections as numbers, for the door to the compiled engine: written there when they are given to
 * it, made again when they come back. Nothing of a connection that can be given is lost on the way
 * (test/engine/connection-words.test.ts).
 * @module
 */
import type { Connection, TcpSide, TcpTracking, Tracking } from '../../../conntrack/connection.ts';
import { TCP_STATES } from '../../../conntrack/protocol/tcp-states.ts';
import { invertTuple, isIcmpTuple, type Tuple } from '../../../conntrack/tuple.ts';
import { InternalError } from '../../../diagnostic/diagnostic.ts';
import { type Address, type Family, ipv4, ipv6 } from '../../../wire/address/address.ts';
import { Protocol } from '../../../wire/protocol.ts';
import { ConnectionFlag, SIDE_WORDS, SideBit, TrackingBit, TUPLE_WORDS, Word } from '../layout.ts';
import type { Placed } from './host-sets.ts';

const INDEXES = ['syn', 'synAck', 'fin', 'ack', 'rst', 'none'] as const;
const MAX_RETRANSMISSIONS = 255;

/** Whether a connection is of the kind that the compiled engine can hold. */
export function isSimple(c: Connection): boolean {
  if (!c.confirmed || c.dying || c.zone !== null) return false;
  return c.tracking.kind === trackingKind(c.original) && isPlainPort(c.original);
}

/** The kind of tracking that a connection of this tuple has; '' when such are never given away. */
function trackingKind(t: Tuple): Tracking['kind'] | '' {
  if (t.protocol === Protocol.tcp) return 'tcp';
  if (t.protocol === Protocol.udp) return 'udp';
  return isIcmpTuple(t) ? 'plain' : '';
}

function isPlainPort(t: Tuple): boolean {
  if (!isIcmpTuple(t)) return true;
  return t.dport === (t.src.family === 4 ? 8 : 128) * 256;
}

/** Write a tuple, the first of its connection or `base` words behind that. */
export function writeTuple(words: Float64Array, t: Tuple, base = 0): void {
  words[base + Word.family] = t.src.family;
  words[base + Word.protocol] = t.protocol;
  writeAddress(words, base + Word.src, t.src);
  writeAddress(words, base + Word.dst, t.dst);
  words[base + Word.sport] = t.sport;
  words[base + Word.dport] = t.dport;
}

export function readTuple(words: Float64Array, base = 0): Tuple {
  const family: Family = words[base + Word.family] === 4 ? 4 : 6;
  return {
    protocol: at(words, base + Word.protocol),
    src: readAddress(words, base + Word.src, family),
    dst: readAddress(words, base + Word.dst, family),
    sport: at(words, base + Word.sport),
    dport: at(words, base + Word.dport),
  };
}

/** Write the names of a connection. */
export function writeNames(words: Float64Array, names: readonly Tuple[]): void {
  words[Word.names] = names.length;
  for (const [i, name] of names.entries()) writeTuple(words, name, baseOf(i));
}

export function readNames(words: Float64Array): readonly Tuple[] {
  return Array.from({ length: at(words, Word.names) }, (_, i) => readTuple(words, baseOf(i)));
}

function baseOf(name: number): number {
  return name === 0 ? 0 : Word.otherNames + (name - 1) * TUPLE_WORDS;
}

function writeAddress(words: Float64Array, place: number, a: Address): void {
  words[place] = a.w0;
  words[place + 1] = a.w1;
  words[place + 2] = a.w2;
  words[place + 3] = a.w3;
}

function readAddress(words: Float64Array, place: number, family: Family): Address {
  const word = (i: number) => at(words, place + i);
  return family === 4 ? ipv4(word(3)) : ipv6(word(0), word(1), word(2), word(3));
}

function at(words: Float64Array, place: number): number {
  return words[place] ?? 0;
}

/** Write a connection, its names and when it ends apart. Precondition: `isSimple`. */
export function writeConnection(words: Float64Array, c: Connection): void {
  words[Word.streamNs] = c.tracking.kind === 'udp' ? c.tracking.streamNs : 0;
  words[Word.bytes] = c.traffic?.original.bytes ?? 0;
  words[Word.bytes + 1] = c.traffic?.reply.bytes ?? 0;
  words[Word.packets] = c.traffic?.original.packets ?? 0;
  words[Word.packets + 1] = c.traffic?.reply.packets ?? 0;
  words[Word.flags] =
    (c.seenReply ? ConnectionFlag.seenReply : 0) |
    (c.assured ? ConnectionFlag.assured : 0) |
    (c.traffic === null ? ConnectionFlag.uncounted : 0) |
    (c.tracking.kind === 'tcp' ? ConnectionFlag.isTcp : 0);
  if (c.tracking.kind === 'tcp') writeTracking(words, c.tracking);
}

function writeTracking(words: Float64Array, t: TcpTracking): void {
  words[Word.state] = TCP_STATES.indexOf(t.state);
  words[Word.lastIndex] = INDEXES.indexOf(t.lastIndex);
  words[Word.lastDirection] = t.lastDirection === 'reply' ? 1 : 0;
  words[Word.lastSeq] = t.lastSeq;
  words[Word.lastAck] = t.lastAck;
  words[Word.lastEnd] = t.lastEnd;
  words[Word.lastWindow] = t.lastWindow;
  words[Word.retransmissions] = Math.min(t.retransmissions, MAX_RETRANSMISSIONS);
  words[Word.lastScale] = t.lastScale;
  words[Word.trackingBits] =
    (t.lastWindowScale ? TrackingBit.lastWindowScale : 0) |
    (t.lastSackPermitted ? TrackingBit.lastSackPermitted : 0) |
    (t.expectChallengeAck ? TrackingBit.expectChallengeAck : 0) |
    (t.simultaneousOpen ? TrackingBit.simultaneousOpen : 0);
  writeSide(words, Word.side, t.seen.original);
  writeSide(words, Word.side + SIDE_WORDS, t.seen.reply);
}

function writeSide(words: Float64Array, place: number, side: TcpSide): void {
  words[place] = side.end;
  words[place + 1] = side.maxEnd;
  words[place + 2] = side.maxWindow;
  words[place + 3] = side.maxAck;
  words[place + 4] = side.scale;
  words[place + 5] =
    (side.windowScale ? SideBit.windowScale : 0) |
    (side.sackPermitted ? SideBit.sackPermitted : 0) |
    (side.closeInit ? SideBit.closeInit : 0) |
    (side.beLiberal ? SideBit.beLiberal : 0) |
    (side.dataUnacknowledged ? SideBit.dataUnacknowledged : 0) |
    (side.maxAckSet ? SideBit.maxAckSet : 0);
}

/** Make the connection that the words describe, as the entry `own` of one host. */
export function readConnection(
  words: Float64Array,
  names: readonly Tuple[],
  own: Placed,
): Connection {
  const original = names[own.from];
  const far = names[own.to];
  const reply = far === undefined ? null : invertTuple(far);
  if (original === undefined || reply === null) {
    throw new InternalError('a connection that is held has names, and an answer');
  }
  const flags = at(words, Word.flags);
  const counted = (flags & ConnectionFlag.uncounted) === 0;
  const way = (i: number) => ({
    packets: at(words, Word.packets + i),
    bytes: at(words, Word.bytes + i),
  });
  return {
    order: at(words, Word.order) + own.younger,
    original,
    reply,
    seenReply: (flags & ConnectionFlag.seenReply) !== 0,
    assured: (flags & ConnectionFlag.assured) !== 0,
    confirmed: true,
    dying: false,
    sourceNat: own.sourceNat,
    destinationNat: own.destinationNat,
    sourceNatDone: own.sourceDone,
    destinationNatDone: own.destinationDone,
    masqueradeDevice: own.masqueradeDevice,
    mark: own.mark,
    markOrigins: own.markOrigins,
    lifetimeNs: 0,
    expiresNs: at(words, Word.expiresNs + own.group),
    // Nobody asks a connection that is confirmed when it began.
    createdNs: 0,
    tracking: readTracking(words, original),
    zone: null,
    refreshed: true,
    traffic: counted ? { original: way(0), reply: way(1) } : null,
  };
}

function readTracking(words: Float64Array, original: Tuple): Tracking {
  if (original.protocol === Protocol.udp) {
    return { kind: 'udp', streamNs: at(words, Word.streamNs) };
  }
  if (original.protocol !== Protocol.tcp) return { kind: 'plain' };
  const bits = at(words, Word.trackingBits);
  return {
    kind: 'tcp',
    state: TCP_STATES[at(words, Word.state)] ?? 'none',
    seen: {
      original: readSide(words, Word.side),
      reply: readSide(words, Word.side + SIDE_WORDS),
    },
    lastDirection: at(words, Word.lastDirection) === 1 ? 'reply' : 'original',
    lastIndex: INDEXES[at(words, Word.lastIndex)] ?? 'none',
    lastSeq: at(words, Word.lastSeq),
    lastAck: at(words, Word.lastAck),
    lastEnd: at(words, Word.lastEnd),
    lastWindow: at(words, Word.lastWindow),
    retransmissions: at(words, Word.retransmissions),
    lastScale: at(words, Word.lastScale),
    lastWindowScale: (bits & TrackingBit.lastWindowScale) !== 0,
    lastSackPermitted: (bits & TrackingBit.lastSackPermitted) !== 0,
    expectChallengeAck: (bits & TrackingBit.expectChallengeAck) !== 0,
    simultaneousOpen: (bits & TrackingBit.simultaneousOpen) !== 0,
  };
}

function readSide(words: Float64Array, place: number): TcpSide {
  const bits = at(words, place + 5);
  return {
    end: at(words, place),
    maxEnd: at(words, place + 1),
    maxWindow: at(words, place + 2),
    maxAck: at(words, place + 3),
    scale: at(words, place + 4),
    windowScale: (bits & SideBit.windowScale) !== 0,
    sackPermitted: (bits & SideBit.sackPermitted) !== 0,
    closeInit: (bits & SideBit.closeInit) !== 0,
    beLiberal: (bits & SideBit.beLiberal) !== 0,
    dataUnacknowledged: (bits & SideBit.dataUnacknowledged) !== 0,
    maxAckSet: (bits & SideBit.maxAckSet) !== 0,
  };
}
