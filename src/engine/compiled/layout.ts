/**
 * What JavaScript and the compiled engine tell each other: numbers in one shared array, by place.
 * The only definition; native/src/layout.gen.hh is written from it (`layoutHeader`), and
 * test/native/layout.test.ts fails when that is stale.
 * @module
 */

/** Changes with every change of what crosses the door; an addon of another version is refused. */
export const LAYOUT_VERSION = 15;

/** Places in the shared array of 64-bit floats. */
export const Word = {
  // A tuple, as conntrack/tuple.ts has it: IPv4 addresses in the last of four words.
  family: 0,
  protocol: 1,
  src: 2,
  dst: 6,
  sport: 10,
  dport: 11,

  // A connection. The tuple above is the first that its opener's packets have on their way.
  order: 12,
  /** By group of hosts: those of a set may time connections in two ways. */
  expiresNs: 13,
  streamNs: 15,
  bytes: 16,
  packets: 18,
  flags: 20,
  hostSet: 21,
  /** How many tuples its packets have on their way; those behind the first follow below. */
  names: 22,
  /** Number of all their addresses, when there is more than one; else 0. */
  ends: 23,

  // Its TCP tracking; sides of six words each: end, maxEnd, maxWindow, maxAck, scale, bits.
  state: 24,
  lastIndex: 25,
  lastDirection: 26,
  lastSeq: 27,
  lastAck: 28,
  lastEnd: 29,
  lastWindow: 30,
  retransmissions: 31,
  lastScale: 32,
  trackingBits: 33,
  side: 34,

  // A decision; its key is taken from the packet that was moved last.
  entry: 46,
  flowState: 47,
  hostSetBefore: 48,
  hostSetAfter: 49,
  by: 50,
  decisionFlags: 51,
  tosAfter: 52,
  ttlChange: 53,
  ttlRoom: 54,
  mtu: 55,
  linkHeader: 56,
  hostSetOpened: 70,

  // Settings of a tracker; timeouts in seconds, of TCP by state.
  settings: 72,

  // A decision about packets of a translated connection: the ports that they end with.
  otherSport: 94,
  otherDport: 95,

  // Tuples of a connection behind its first.
  otherNames: 96,
} as const;

export const TUPLE_WORDS = 12;
/** Tuples that one connection may have (`kMaxNames` of native/src/engine/translation.hh). */
export const MAX_NAMES = 4;
export const SIDE_WORDS = 6;
export const SCRATCH_WORDS = 160;

/** Bits of a connection's `flags`; `original swapped` and `translated` are the addon's own. */
export const ConnectionFlag = {
  seenReply: 1,
  assured: 2,
  originalSwapped: 4,
  uncounted: 8,
  isTcp: 16,
  translated: 32,
} as const;

export const SideBit = {
  windowScale: 1,
  sackPermitted: 2,
  closeInit: 4,
  beLiberal: 8,
  dataUnacknowledged: 16,
  maxAckSet: 32,
} as const;

export const TrackingBit = {
  lastWindowScale: 1,
  lastSackPermitted: 2,
  expectChallengeAck: 4,
  simultaneousOpen: 8,
} as const;

/** What the connection table says of a packet before any rule does. */
export const FlowState = { opening: 0, stray: 1, unreplied: 2, established: 3, reply: 4 } as const;
export type FlowState = (typeof FlowState)[keyof typeof FlowState];

/**
 * Facts that a decision may hang on besides those that every key holds: TCP flags, the classes of
 * the ports, and addresses and ports themselves instead of their classes.
 */
export const By = {
  flags: 1,
  sport: 2,
  dport: 4,
  source: 8,
  destination: 16,
  sourcePort: 32,
  destinationPort: 64,
} as const;

export const DecisionFlag = {
  leaves: 1,
  completesChecksum: 2,
  dead: 4,
  translates: 8,
  special: 32,
} as const;

/** Why a packet was not moved. */
export const Slow = {
  notPlain: -1,
  foreignFlow: -2,
  newFacts: -3,
  tooExtreme: -4,
  trackerAsks: -5,
  noRoom: -6,
  specialOpening: -7,
} as const;

/** The C++ header that says the same. */
export function layoutHeader(): string {
  const words = Object.entries(Word).map(
    ([name, place]) => `constexpr uint32_t ${k(name)} = ${place};`,
  );
  const bits = Object.entries(By).map(
    ([name, bit]) => `constexpr uint32_t ${k('by')}${k(name).slice(1)} = ${bit};`,
  );
  return [
    '// Written from src/engine/compiled/layout.ts by bench/layout.ts; do not edit.',
    '#pragma once',
    '',
    '#include <cstdint>',
    '',
    'namespace wiretrial::layout {',
    '',
    `constexpr uint32_t kVersion = ${LAYOUT_VERSION};`,
    `constexpr uint32_t kScratchWords = ${SCRATCH_WORDS};`,
    `constexpr uint32_t kTupleWords = ${TUPLE_WORDS};`,
    `constexpr uint32_t kSideWords = ${SIDE_WORDS};`,
    ...words,
    ...bits,
    '',
    '}  // namespace wiretrial::layout',
    '',
  ].join('\n');
}

function k(name: string): string {
  return `k${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
}
