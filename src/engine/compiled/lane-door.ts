/**
 * What crosses the door to native code for whole captures: records walked out of a window of a
 * file, and the packets of lanes laid down for the engine (native/src/lane-door.cc).
 *
 * Columns are made once and written by native code; numbers that both sides keep stand in `words`.
 * @module
 */
import type { NativeEngine } from './native-door.ts';

/** Places in `words`. */
export const LaneWord = {
  /** The run's clock, in nanoseconds from its first frame. */
  nowNs: 0,
  backwardSteps: 1,
  longGaps: 2,
  /** From when on the conversations that are over must be looked for. */
  sweepAtNs: 3,
  /** Where a walk or a run stopped. */
  stop: 4,
  /** Packets that the run laid down. */
  staged: 5,
  /** Flows that have counted something. */
  dirty: 6,
  /** The run stopped because no more could be laid down, not at a packet that no lane expects. */
  full: 7,
  /** Of a first look: how many senders and pairs it counted, and joins it found. */
  senders: 8,
  pairs: 9,
  joins: 10,
  /** Packets of silent lanes, since the beginning. */
  followed: 11,
  /** Of the places of the census of tuples, those that are taken. */
  tuples: 12,
  /** The number of the next conversation. */
  nextId: 13,
  /** Conversations of others that another on the same ends has ended, and those that are open. */
  strangersClosed: 14,
  strangersOpen: 15,
  /** Packets that the run settled, by what became of them; behind each the record of the first. */
  delivered: 16,
  firstDelivered: 17,
  exited: 18,
  firstExited: 19,
  /** Of those, the ones whose checksums were left to a device. */
  offloaded: 20,
  firstOffloaded: 21,
} as const;
const WORDS = 32;

/** What a first look does with records (`Look::Mode`): one of the two. */
export const LookMode = { lookAt: 1, ahead: 2 } as const;

/** Words of a first look's census of tuples. */
const CENSUS_WORDS = 2 ** 16;

/** Why a first look stopped (`Look::Stop`). */
export const LookStop = { end: 0, byHand: 1, full: 2 } as const;

/** Bytes of what a first look lays down (native/src/lane/findings.hh), and of rows (index.hh). */
export const ENTRY_BYTES = { sender: 40, pair: 48, ends: 40, join: 88, row: 64 } as const;

/** Most senders and pairs of one count (`Tallied::kMost`), and joins of one look. */
const MOST_COUNTED = 8192;
const MOST_JOINS = 1024;

/** What a packet's sightings say (`Seen` of native/src/lane/sightings.hh). */
export const Seen = { first: 0, repeat: 1, repeatBeyond: 2 } as const;

/** What becomes of a packet by its checksum (`Treat`). */
export const Treat = { byHand: 0, asIs: 1, offloaded: 2 } as const;

/** What becomes of packets that are settled. */
export const Settles = { delivered: 1, exited: 2 } as const;

/** Whose packets of a pair of ends are (`Strangers::Kind`); own: they are for JavaScript. */
export const StrangerKind = { unknown: 0, own: 1, stranger: 2 } as const;

/** Bytes of an end that Services translate: address, family and protocol, port. */
export const TRANSLATED_BYTES = 24;

/** Verdicts on checksums in the order of native code's `Verdict`. */
export const VERDICTS = ['none', 'right', 'partial', 'wrong'] as const;

/** How a file writes its numbers; `swaps`: its lengths may stand in the other order. */
export interface FileShape {
  readonly pcapng: boolean;
  readonly little: boolean;
  readonly swaps: boolean;
}

/** A lane as it is opened whose packets are judged elsewhere, and here only followed. */
export interface SilentTerms {
  readonly silent: true;
  readonly lifetimeNs: number;
  readonly lastNs: number;
}

/** A lane as it is opened. */
export interface LaneTerms extends Omit<SilentTerms, 'silent'> {
  readonly silent: false;
  /** The capture interface, by its number over the whole input. */
  readonly iface: number;
  readonly entry: number;
  readonly sentTtl: number;
  /** Whether its packets may be moved where they stand, by the engine that is used. */
  readonly settles: boolean;
  /** No packets with other ends than these are of its connection and direction. */
  readonly hasOwnName: boolean;
  /** `Treat` by verdict. */
  readonly treat: readonly number[];
  readonly whose: bigint;
  /** Place and direction; the lowest eight bits are free for the TTL. */
  readonly vantage: bigint;
  /** Addresses to send it with; null when they are those that were captured. */
  readonly src: Uint8Array | null;
  readonly dst: Uint8Array | null;
}

/** Methods as native/src/lane-door.cc has them. */
export interface NativeLanes {
  /** How the file at hand is written; units and offsets of its interfaces' clocks. */
  shape(shape: FileShape, nsPerUnit: Float64Array, offsetsNs: BigInt64Array): void;
  /** Take whole, ordinary records before a time; how many. `words[stop]`: the first other one. */
  walk(window: Uint8Array, from: number, limit: number, untilNs: bigint): number;
  /**
   * Take the records `from..to` as far as lanes expect them. `place`: of the slab's first record in
   * the capture, from 0; -1 where not all records of the capture are in slabs.
   */
  run(
    window: Uint8Array,
    from: number,
    to: number,
    linkTypes: Uint32Array,
    ifaces: Uint32Array,
    startNs: bigint,
    place: number,
  ): void;
  /** The index of the capture that `run` goes through. */
  useIndex(entries: Uint32Array, rows: Uint8Array): void;
  /** The number of the lane of packets like this frame; -1 when they can have none. */
  open(frame: Uint8Array, linkType: number, terms: LaneTerms | SilentTerms): number;
  close(lane: number): void;
  forget(flow: number): void;
  settle(): void;
  /**
   * Who moves packets of lanes where they stand, and by number of decision what becomes of its
   * packets: 0 when each is to be looked at, `Settles` else; read in place until the next call.
   */
  useEngine(engine: NativeEngine | null, good: Uint8Array | null): void;
  /** Note a packet that was not for a lane; head: protocol, id, length, seq, ack, flags. */
  note(
    bytes: Uint8Array,
    payload: number,
    head: Float64Array,
    whose: bigint,
    fragment: bigint,
    vantage: bigint,
    nowNs: number,
  ): number;
  /**
   * The first look at the records `from..to`; why it stopped. `place`: of the slab's first record
   * in the capture, from 0; -1 where frame numbers stand in the columns.
   */
  look(
    window: Uint8Array,
    from: number,
    to: number,
    linkTypes: Uint32Array,
    ifaces: Uint32Array,
    mode: number,
    place: number,
  ): number;
  /** Note a packet that was not looked at; whether it was seen under other ends. */
  noteContent(
    bytes: Uint8Array,
    payload: number,
    head: Float64Array,
    kind: number,
    ends: Uint8Array,
    timeNs: bigint,
    place: number,
  ): boolean;
  /** Count what was looked at, from a place on; the next place, or 0 when all is counted. */
  count(from: number): number;
  /** Rows of the index's numbers since the last turn. */
  rows(): Uint8Array;
  /** Begin anew: what was counted and numbered is read. */
  turn(): void;
  /** Where the index's entries go; how many records two sightings of a packet may be apart. */
  index(entries: Uint32Array | null, reach: number): void;
  /** Rows of one conversation say what the whole capture says of it. */
  unite(rows: Uint8Array): void;
  /** Follow conversations of others from their opening on; translated ends as entries. */
  beginStrangers(translated: Uint8Array, synAckAnswers: boolean): void;
  kindOf(ends: Uint8Array, protocol: number): number;
  setKind(ends: Uint8Array, protocol: number, kind: number): void;
  /** A stranger's packet; TCP's flags, and whether it answers, should its conversation begin. */
  meet(ends: Uint8Array, protocol: number, flags: number, answers: boolean, nowNs: number): void;
  /** An error that quotes a stranger's packet. */
  quoted(ends: Uint8Array, protocol: number, nowNs: number): void;
  /** Numbers of strangers that are over, in order; they are forgotten. */
  expire(nowNs: number): Float64Array;
}

export type MakeNativeLanes = new (flows: number, columns: LaneColumns) => NativeLanes;

/** Records by column, packets laid down by column, and what flows counted. */
export interface LaneColumns {
  readonly words: Float64Array;
  readonly at: Uint32Array;
  readonly captured: Uint32Array;
  readonly wire: Uint32Array;
  /** The record's interface, by its place in the file or section. */
  readonly iface: Uint32Array;
  readonly times: BigInt64Array;
  readonly frames: Float64Array;
  readonly packets: Uint8Array;
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  readonly entries: Uint32Array;
  readonly nows: Float64Array;
  readonly offloaded: Uint8Array;
  readonly lane: Uint32Array;
  readonly record: Uint32Array;
  /** Packets and bytes by flow, for the `dirty` ones. */
  readonly lanePackets: Uint32Array;
  readonly laneBytes: Float64Array;
  /** When they last had one. */
  readonly flowNows: Float64Array;
  readonly dirty: Uint32Array;
  /** What a first look found, as entries of `ENTRY_BYTES`; one entry of ends. */
  readonly senders: Uint8Array;
  readonly pairs: Uint8Array;
  readonly joins: Uint8Array;
  readonly ends: Uint8Array;
  /** Bits of a first look's census of tuples. */
  readonly census: Uint32Array;
}

export interface LaneSizes {
  readonly records: number;
  readonly staged: number;
  readonly stagedBytes: number;
  readonly flows: number;
}

/** Columns of these sizes. */
export function makeColumns({ records, staged, stagedBytes, flows }: LaneSizes): LaneColumns {
  return {
    words: new Float64Array(WORDS),
    at: new Uint32Array(records),
    captured: new Uint32Array(records),
    wire: new Uint32Array(records),
    iface: new Uint32Array(records),
    times: new BigInt64Array(records),
    frames: new Float64Array(records),
    packets: new Uint8Array(stagedBytes),
    offsets: new Uint32Array(staged),
    lengths: new Uint32Array(staged),
    entries: new Uint32Array(staged),
    nows: new Float64Array(staged),
    offloaded: new Uint8Array(staged),
    lane: new Uint32Array(staged),
    record: new Uint32Array(staged),
    lanePackets: new Uint32Array(flows),
    laneBytes: new Float64Array(flows),
    flowNows: new Float64Array(flows),
    dirty: new Uint32Array(flows),
    senders: new Uint8Array(MOST_COUNTED * ENTRY_BYTES.sender),
    pairs: new Uint8Array(MOST_COUNTED * ENTRY_BYTES.pair),
    joins: new Uint8Array(MOST_JOINS * ENTRY_BYTES.join),
    ends: new Uint8Array(ENTRY_BYTES.ends),
    census: new Uint32Array(CENSUS_WORDS),
  };
}
