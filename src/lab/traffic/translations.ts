/**
 * Connections that a capture shows on both sides of a translation: the same packet under several
 * pairs of ends, as the client sent it and as a backend saw it (SEMANTICS A3).
 *
 * Two sightings are one packet when everything that a translation leaves alone is equal
 * (identification, length, sequence numbers, the beginning of the payload), and they are near each
 * other, in time and in the capture: a packet is compared with the latest one like it. Which of the
 * ends the cluster could translate into each other is not asked here (traffic/faces.ts).
 * @module
 */
import type { Datagram } from '../datagram/datagram.ts';
import { type Ends, equalEnds, inverse } from '../datagram/rewrite.ts';
import { CHUNK, type ChunkPart } from './chunks.ts';
import { tupleKey } from './tuple-key.ts';

/** How far apart two sightings of one packet may be: longer is another packet. */
const WINDOW_NS = 1e9;
/** Connections of which several views are kept. */
const MOST_CONNECTIONS = 250_000;
/** Silence after which equal ends are another connection, with choices of its own. */
const SILENCE_NS = 60_000_000_000n;
/**
 * A connection has few views: its client's, a backend's, one behind each masquerade. More pairs of
 * ends than these are connections of many that send equal packets, and show no translation.
 */
const MOST_VIEWS = 8;
/** Payload bytes that are compared. */
export const COMPARED = 64;

/** Ends under which one connection was seen; all in the direction of the first. */
export interface Views {
  readonly protocol: number;
  readonly ends: readonly Ends[];
  /** When it was last seen under several ends. */
  readonly lastNs: bigint;
}

interface Episode extends Views {
  readonly ends: Ends[];
  lastNs: bigint;
  /** It had too many views, and has none any more. */
  crowded: boolean;
}

interface Sighting {
  readonly ends: Ends;
  readonly timeNs: bigint;
  readonly frame: number;
}

/** What is done with a packet of the capture's first pass. */
export type Attention = Pick<ChunkPart, 'isLookedAt' | 'isKeptInMind'>;

/** Who remembers packets by their contents. */
export interface ContentSightings {
  /**
   * Note a packet; the ends under which it was seen last, where that was shortly before and they
   * were others.
   */
  note(d: Datagram, ends: Ends, timeNs: bigint): Ends | null;
}

export class Contents implements ContentSightings {
  readonly #reach: number;
  /** Two generations, so that forgetting is a swap and not a sweep. */
  #recent = new Map<string, Sighting>();
  #older = new Map<string, Sighting>();
  #swapPlace = 0;

  /** `reach`: how many records two sightings of one packet may be apart. */
  constructor(reach: number) {
    this.#reach = reach;
  }

  note(d: Datagram, ends: Ends, timeNs: bigint): Ends | null {
    if (d.frame - this.#swapPlace > this.#reach) {
      this.#older = this.#recent;
      this.#recent = new Map();
      this.#swapPlace = d.frame;
    }
    const key = contentOf(d);
    const last = this.#recent.get(key) ?? this.#older.get(key);
    this.#recent.set(key, { ends, timeNs, frame: d.frame });
    if (last === undefined || d.frame - last.frame > this.#reach) return null;
    if (timeNs - last.timeNs > BigInt(WINDOW_NS)) return null;
    return equalEnds(last.ends, ends) || equalEnds(inverse(last.ends), ends) ? null : last.ends;
  }
}

/** One packet that was seen under two pairs of ends. */
export interface Join {
  readonly frame: number;
  readonly protocol: number;
  readonly first: Ends;
  readonly other: Ends;
  readonly timeNs: bigint;
}

/** All packets are looked at, and none is kept in mind. */
const ALWAYS: Attention = { isLookedAt: true, isKeptInMind: false };

export class SeenTranslations {
  readonly contents: ContentSightings;
  readonly #views = new Map<string, Episode>();
  readonly #all: Episode[] = [];
  /** Connections whose views found no room. */
  forgotten = 0;

  readonly #log: Join[] | null;

  /** `log`: packets under several ends are listed there, for somebody else to join. */
  constructor(contents: ContentSightings = new Contents(CHUNK.ahead), log: Join[] | null = null) {
    this.contents = contents;
    this.#log = log;
  }

  /** Note a packet as it was captured. */
  add(d: Datagram, timeNs: bigint, attention = ALWAYS): void {
    if (d.sport === null || d.dport === null || d.l4 < 0 || d.quoted !== null) return;
    const ends = { src: d.src, dst: d.dst, sport: d.sport, dport: d.dport };
    const first = this.contents.note(d, ends, timeNs);
    if (first === null || !attention.isLookedAt) return;
    this.join({ frame: d.frame, protocol: d.protocol, first, other: ends, timeNs });
  }

  /** Every connection that was seen under several ends, in order of time. */
  all(): readonly Views[] {
    return this.#all.filter(({ crowded }) => !crowded);
  }

  /** One packet was seen under two pairs of ends. */
  join(one: Join): void {
    if (this.#log !== null) {
      this.#log.push(one);
      return;
    }
    const { protocol, first, other, timeNs } = one;
    const key = keyOf(protocol, first);
    const otherKey = keyOf(protocol, other);
    const latest = this.#views.get(key) ?? this.#views.get(otherKey);
    const known = latest && timeNs - latest.lastNs <= SILENCE_NS ? latest : undefined;
    if (known === undefined && this.#all.length >= MOST_CONNECTIONS) {
      this.forgotten++;
      return;
    }
    const views = known ?? { protocol, ends: [first], lastNs: timeNs, crowded: false };
    if (known === undefined) this.#all.push(views);
    views.lastNs = timeNs;
    this.#views.set(key, views);
    this.#views.set(otherKey, views);
    if (!views.crowded) addViews(views, first, other);
  }
}

/** Add two pairs of ends that one packet had, unless they are known. */
function addViews(views: Episode, first: Ends, other: Ends): void {
  const { protocol, ends: known } = views;
  const has = (ends: Ends) => known.some((e) => keyOf(protocol, e) === keyOf(protocol, ends));
  // What is known may have been begun by an answer; then these go the other way.
  const base = known.find((e) => equalEnds(e, first) || equalEnds(e, other));
  const turn = (ends: Ends) => (base === undefined ? inverse(ends) : ends);
  for (const ends of [first, other]) if (!has(ends)) known.push(turn(ends));
  if (known.length <= MOST_VIEWS) return;
  views.crowded = true;
  known.length = 0;
}

/** The name of a connection under these ends, whichever way they go. */
export function keyOf(protocol: number, ends: Ends): string {
  const a = { address: ends.src, port: ends.sport ?? 0 };
  return tupleKey(protocol, a, { address: ends.dst, port: ends.dport ?? 0 });
}

/** Equal for all sightings of one packet, whatever ends it had. */
function contentOf(d: Datagram): string {
  const { tcp } = d;
  const numbers = tcp ? `${tcp.seq} ${tcp.ack} ${tcp.syn}${tcp.fin}${tcp.rst}` : '';
  return `${d.protocol} ${d.id} ${d.wireLength} ${numbers} ${d.icmpReply ?? ''} ${beginning(d)}`;
}

/** FNV-1a over the first bytes behind the fixed transport header. */
function beginning(d: Datagram): number {
  const start = d.l4 + (d.tcp ? 20 : 8);
  const end = Math.min(d.bytes.length, start + COMPARED);
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (d.bytes[i] ?? 0), 0x01000193);
  return hash >>> 0;
}
