/**
 * The first pass over a capture in bulk: native code adds up what ordinary packets say
 * (native/src/lane/look.hh), everything else is surveyed as it always is (traffic/survey.ts). What
 * native code has counted is asked for when it has no room for more, and at the end.
 *
 * In bulk only for a capture of one file: clocks of several are compared packet by packet. Such a
 * capture can have an index (capture-index.ts).
 * @module
 */
import type { PacketRecord } from '../../capture/record.ts';
import { frameAt, recordOf, type Slab } from '../../capture/slab.ts';
import { ENTRY_BYTES, LaneWord, LookMode, LookStop } from '../../engine/compiled/lane-door.ts';
import { type Address, readIpv4, readIpv6, writeAddress } from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Ends } from '../datagram/rewrite.ts';
import { CHUNK } from '../traffic/chunks.ts';
import { Survey, type SurveyOptions, type SurveyPart } from '../traffic/survey.ts';
import {
  type Attention,
  COMPARED,
  type ContentSightings,
  type Join,
} from '../traffic/translations.ts';
import { uniteBits } from '../traffic/tuple-census.ts';
import { type CaptureIndex, type IndexPart, joinIndex, RowKeeper } from './capture-index.ts';
import type { LaneWalker } from './columns.ts';
import { headOf, payloadOf } from './sightings.ts';
import { viewOf } from './slab-view.ts';

/** Places in an entry of ends, senders, pairs and joins. */
const At = { src: 0, dst: 16, sport: 32, dport: 34, family: 36 } as const;
const SenderAt = { family: 16, iface: 20, right: 24, wrong: 32 } as const;
const PairAt = { high: 16, family: 32, packets: 40 } as const;
const JoinAt = { first: 0, other: 40, protocol: 80, record: 84 } as const;

/** Packets by their contents, in native code. */
class NativeContents implements ContentSightings {
  readonly #walker: LaneWalker;
  readonly #ends = new Uint8Array(ENTRY_BYTES.ends);
  readonly #view = new DataView(this.#ends.buffer);

  constructor(walker: LaneWalker) {
    this.#walker = walker;
  }

  note(d: Datagram, ends: Ends, timeNs: bigint): Ends | null {
    const { native, columns } = this.#walker;
    this.#ends.fill(0);
    writeAddress(this.#ends, At.src, ends.src);
    writeAddress(this.#ends, At.dst, ends.dst);
    this.#view.setUint16(At.sport, ends.sport ?? 0, true);
    this.#view.setUint16(At.dport, ends.dport ?? 0, true);
    this.#view.setUint32(At.family, ends.src.family, true);
    const payload = payloadOf(d);
    const kind = d.icmpReply === undefined ? 0 : d.icmpReply ? 2 : 1;
    const compared = d.bytes.subarray(0, payload + COMPARED);
    const place = d.frame - 1;
    const head = headOf(d);
    const isOther = native.noteContent(compared, payload, head, kind, this.#ends, timeNs, place);
    return isOther ? readEnds(columns.ends, 0) : null;
  }
}

function modeOf({ isLookedAt, isKeptInMind }: Attention): number {
  if (isLookedAt) return LookMode.lookAt;
  return isKeptInMind ? LookMode.ahead : 0;
}

/** What a survey saw of its chunks, and what native code saw of them. */
export interface BulkPart extends SurveyPart {
  readonly tuples: Uint32Array;
  readonly joins: readonly Join[];
  readonly index: IndexPart;
}

export interface BulkOptions extends Pick<SurveyOptions, 'claim' | 'sizes'> {
  /** Where the index goes; absent: there is none. */
  readonly entries?: Uint32Array | null;
}

export class BulkSurvey {
  /** Packets that were seen under several ends, where others look at parts of the capture, too. */
  readonly joins: Join[] = [];
  readonly #survey: Survey;
  readonly #walker: LaneWalker;
  readonly #entries: Uint32Array | null;
  readonly #rows = new RowKeeper();
  readonly #chunkRecords: number;
  /** Chunks that were looked at, in order. */
  readonly #chunks: number[] = [];

  /** `claim`: which chunks are looked at, where others look, too; absent: all. */
  constructor(walker: LaneWalker, { claim, sizes = CHUNK, entries = null }: BulkOptions = {}) {
    this.#walker = walker;
    this.#entries = entries;
    this.#chunkRecords = sizes.records;
    const log = claim === undefined ? null : this.joins;
    this.#survey = new Survey({ contents: new NativeContents(walker), log, claim, sizes });
    walker.native.index(entries, sizes.ahead);
  }

  /** All that was seen so far. */
  get survey(): Survey {
    this.#count();
    return this.#survey;
  }

  /** The chunk that is looked at now, or will be. */
  get claimed(): number {
    return this.#survey.chunks.claimed;
  }

  /** What was seen, for whoever joins it. */
  part(): BulkPart {
    const part = this.survey.part();
    return { ...part, tuples: this.#walker.columns.census, joins: this.joins, index: this.#part() };
  }

  /** All that was seen of one capture, of which these surveys saw the other chunks. */
  joined(parts: readonly BulkPart[]): Survey {
    const whole = new Survey();
    const all = [this.part(), ...parts];
    const tuples = new Uint32Array(this.#walker.columns.census.length);
    for (const part of all) {
      whole.absorb(part);
      whole.census.elsewhere = uniteBits(tuples, part.tuples);
    }
    const joins = all.flatMap((part) => part.joins).sort((a, b) => a.frame - b.frame);
    for (const join of joins) whole.translations.join(join);
    return whole;
  }

  /**
   * The index of the capture, of which these surveys saw the other chunks; null when there is none.
   * Asked once, at the end.
   */
  index(parts: readonly BulkPart[] = []): CaptureIndex | null {
    if (this.#entries === null) return null;
    const all = [this.#part(), ...parts.map((part) => part.index)];
    return joinIndex(this.#entries, all, this.#chunkRecords, this.#walker.native);
  }

  /** Take a part of the capture, which is of one file or not. */
  take(part: readonly PacketRecord[] | Slab, isOneFile: boolean): void {
    if (!('window' in part)) for (const record of part) this.#survey.add(record);
    else if (isOneFile) this.#slab(part);
    else for (let n = 0; n < part.count; n++) this.#survey.add(recordOf(part, n));
  }

  #slab(slab: Slab): void {
    const { native, columns } = this.#walker;
    const { window, count } = slab;
    const { linkTypes, ifaces, place } = viewOf(slab);
    for (let at = 0; at < count; ) {
      const here = frameAt(slab, at) - 1;
      const attention = this.#survey.chunks.at(here);
      const to = placeOf(slab, at, attention.until);
      const mode = modeOf(attention);
      if (mode === 0) {
        at = to;
        continue;
      }
      if (attention.isLookedAt) this.#noteChunk(here);
      const why = native.look(window, at, to, linkTypes, ifaces, mode, place);
      at = columns.words[LaneWord.stop] ?? to;
      this.#joins(slab);
      if (why === LookStop.full) this.#turn();
      else if (why === LookStop.byHand) this.#survey.add(recordOf(slab, at++));
    }
  }

  #noteChunk(place: number): void {
    const chunk = Math.floor(place / this.#chunkRecords);
    if (this.#chunks.at(-1) !== chunk) this.#chunks.push(chunk);
  }

  /** Rows and chunks of the index so far. */
  #part(): IndexPart {
    const { pieces } = this.#rows;
    const rows = pieces && this.#entries && [...pieces, this.#walker.native.rows()];
    return { rows, chunks: this.#chunks };
  }

  /** Packets of the last look that were seen under several ends. */
  #joins(slab: Slab): void {
    const { joins, words, times } = this.#walker.columns;
    const view = new DataView(joins.buffer);
    const count = words[LaneWord.joins] ?? 0;
    for (let n = 0, at = 0; n < count; n++, at += ENTRY_BYTES.join) {
      const record = view.getUint32(at + JoinAt.record, true);
      this.#survey.translations.join({
        frame: frameAt(slab, record),
        protocol: view.getUint32(at + JoinAt.protocol, true),
        first: readEnds(joins, at + JoinAt.first),
        other: readEnds(joins, at + JoinAt.other),
        timeNs: times[record] ?? 0n,
      });
    }
  }

  /** Native code's tables are full: they begin anew. */
  #turn(): void {
    const { native } = this.#walker;
    this.#count();
    if (this.#entries !== null) this.#rows.add(native.rows());
    native.turn();
  }

  /** Add what native code has counted since it was last asked. */
  #count(): void {
    const { native, columns } = this.#walker;
    let from = 0;
    do {
      from = native.count(from);
      this.#senders();
      this.#pairs();
    } while (from !== 0);
    this.#survey.census.elsewhere = columns.words[LaneWord.tuples] ?? 0;
  }

  #senders(): void {
    const { senders, words } = this.#walker.columns;
    const view = new DataView(senders.buffer);
    const count = words[LaneWord.senders] ?? 0;
    for (let n = 0, at = 0; n < count; n++, at += ENTRY_BYTES.sender) {
      const address = readAddress(senders, at, view.getUint32(at + SenderAt.family, true));
      const iface = view.getUint32(at + SenderAt.iface, true);
      const { checksums } = this.#survey;
      checksums.add(iface, address, 'right', view.getFloat64(at + SenderAt.right, true));
      checksums.add(iface, address, 'wrong', view.getFloat64(at + SenderAt.wrong, true));
    }
  }

  #pairs(): void {
    const { pairs, words } = this.#walker.columns;
    const view = new DataView(pairs.buffer);
    const count = words[LaneWord.pairs] ?? 0;
    for (let n = 0, at = 0; n < count; n++, at += ENTRY_BYTES.pair) {
      const family = view.getUint32(at + PairAt.family, true);
      const low = readAddress(pairs, at, family);
      const high = readAddress(pairs, at + PairAt.high, family);
      this.#survey.addPair(low, high, view.getFloat64(at + PairAt.packets, true));
    }
  }
}

/** The first record from `at` on that stands behind the records before `until`, or the end. */
function placeOf(slab: Slab, at: number, until: number): number {
  if (!slab.isSelection) return Math.min(slab.count, at + until + 1 - frameAt(slab, at));
  let to = at + 1;
  while (to < slab.count && frameAt(slab, to) - 1 < until) to++;
  return to;
}

function readAddress(b: Uint8Array, at: number, family: number): Address {
  return family === 4 ? readIpv4(b, at) : readIpv6(b, at);
}

function readEnds(b: Uint8Array, at: number): Ends {
  const view = new DataView(b.buffer, at, ENTRY_BYTES.ends);
  const family = view.getUint32(At.family, true);
  return {
    src: readAddress(b, at + At.src, family),
    dst: readAddress(b, at + At.dst, family),
    sport: view.getUint16(At.sport, true),
    dport: view.getUint16(At.dport, true),
  };
}
