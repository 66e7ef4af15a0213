/**
 * The first pass over a capture in bulk: native code adds up what ordinary packets say
 * (native/src/lane/look.hh), everything else is surveyed as it always is (traffic/survey.ts).
 *
 * In bulk only for a capture of one file: clocks of several are compared packet by packet.
 * @module
 */
import type { PacketRecord } from '../../capture/record.ts';
import { frameAt, recordOf, type Slab } from '../../capture/slab.ts';
import { ENTRY_BYTES, LaneWord, LookMode, LookStop } from '../../engine/compiled/lane-door.ts';
import { type Address, readIpv4, readIpv6, writeAddress } from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Ends } from '../datagram/rewrite.ts';
import { Survey, type SurveyOptions, type SurveyPart } from '../traffic/survey.ts';
import {
  type Attention,
  COMPARED,
  type ContentSightings,
  type Join,
} from '../traffic/translations.ts';
import { uniteBits } from '../traffic/tuple-census.ts';
import type { LaneWalker } from './columns.ts';
import { headOf, payloadOf } from './sightings.ts';

const NO_IFACE = 0xffffffff;
/** Places in an entry of ends, senders and pairs. */
const At = { src: 0, dst: 16, sport: 32, dport: 34, family: 36 } as const;
const SenderAt = { family: 16, iface: 20, right: 24, wrong: 28 } as const;
const PairAt = { high: 16, family: 32, packets: 36 } as const;

/** Packets by their contents, in native code. */
class NativeContents implements ContentSightings {
  readonly #walker: LaneWalker;
  readonly #ends = new Uint8Array(ENTRY_BYTES.ends);
  readonly #view = new DataView(this.#ends.buffer);

  constructor(walker: LaneWalker) {
    this.#walker = walker;
  }

  drop(): void {
    this.#walker.native.contents(false);
  }

  turn(): void {
    this.#walker.native.contents(true);
  }

  note(d: Datagram, ends: Ends, timeNs: bigint, attention: Attention): Ends | null {
    const { native, columns } = this.#walker;
    this.#ends.fill(0);
    writeAddress(this.#ends, At.src, ends.src);
    writeAddress(this.#ends, At.dst, ends.dst);
    this.#view.setUint16(At.sport, ends.sport ?? 0, true);
    this.#view.setUint16(At.dport, ends.dport ?? 0, true);
    this.#view.setUint32(At.family, ends.src.family, true);
    const payload = payloadOf(d);
    const kind = d.icmpReply === undefined ? 0n : d.icmpReply ? 2n : 1n;
    const compared = d.bytes.subarray(0, payload + COMPARED);
    const head = headOf(d);
    const mode = modeOf(attention);
    const isOther = native.noteContent(compared, payload, head, kind, this.#ends, timeNs, mode);
    return isOther ? readEnds(columns.ends, 0) : null;
  }
}

function modeOf({ isLookedAt, isKeptInMind }: Attention): number {
  return (isLookedAt ? LookMode.lookAt : 0) | (isKeptInMind ? LookMode.ahead : 0);
}

/** What a survey saw of its chunks, and what native code saw of them. */
export interface BulkPart extends SurveyPart {
  readonly tuples: Uint32Array;
  readonly joins: readonly Join[];
}

export class BulkSurvey {
  readonly survey: Survey;
  /** Packets that were seen under several ends, where others look at parts of the capture, too. */
  readonly joins: Join[] = [];
  readonly #walker: LaneWalker;

  /** `claim`: which chunks are looked at, where others look, too; absent: all. */
  constructor(walker: LaneWalker, { claim, sizes }: Pick<SurveyOptions, 'claim' | 'sizes'> = {}) {
    this.#walker = walker;
    const log = claim === undefined ? null : this.joins;
    this.survey = new Survey({ contents: new NativeContents(walker), log, claim, sizes });
  }

  /** What was seen, for whoever joins it. */
  part(): BulkPart {
    return { ...this.survey.part(), tuples: this.#walker.columns.census, joins: this.joins };
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

  /** Take a part of the capture, which is of one file or not. */
  take(part: readonly PacketRecord[] | Slab, isOneFile: boolean): void {
    if (!('window' in part)) for (const record of part) this.survey.add(record);
    else if (isOneFile) this.#slab(part);
    else for (let n = 0; n < part.count; n++) this.survey.add(recordOf(part, n));
  }

  #slab(slab: Slab): void {
    const { native, columns } = this.#walker;
    const { window, count, interfaces } = slab;
    const linkTypes = Uint32Array.from(interfaces, ({ linkType }) => linkType);
    const ifaces = Uint32Array.from(interfaces, ({ id }) => (id < 0 ? NO_IFACE : id));
    for (let at = 0; at < count; ) {
      const attention = this.survey.chunks.at(frameAt(slab, at) - 1);
      const to = placeOf(slab, at, attention.until);
      const mode = modeOf(attention);
      if (mode === 0) {
        at = to;
        continue;
      }
      const why = native.look(window, at, to, linkTypes, ifaces, mode);
      at = columns.words[LaneWord.stop] ?? to;
      if (why === LookStop.byHand) this.survey.add(recordOf(slab, at));
      else if (why === LookStop.otherEnds) this.#join(slab, at);
      if (why !== LookStop.end) at++;
      if (!attention.isLookedAt) continue;
      this.#senders();
      this.#pairs();
      this.survey.census.elsewhere = columns.words[LaneWord.tuples] ?? 0;
    }
  }

  #join(slab: Slab, at: number): void {
    const { ends, words, times } = this.#walker.columns;
    this.survey.translations.join({
      frame: frameAt(slab, at),
      protocol: words[LaneWord.protocol] ?? 0,
      first: readEnds(ends, 0),
      other: readEnds(ends, ENTRY_BYTES.ends),
      timeNs: times[at] ?? 0n,
    });
  }

  #senders(): void {
    const { senders, words } = this.#walker.columns;
    const view = new DataView(senders.buffer);
    const count = words[LaneWord.senders] ?? 0;
    for (let n = 0, at = 0; n < count; n++, at += ENTRY_BYTES.sender) {
      const address = readAddress(senders, at, view.getUint32(at + SenderAt.family, true));
      const iface = view.getUint32(at + SenderAt.iface, true);
      const { checksums } = this.survey;
      checksums.add(iface, address, 'right', view.getUint32(at + SenderAt.right, true));
      checksums.add(iface, address, 'wrong', view.getUint32(at + SenderAt.wrong, true));
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
      this.survey.addPair(low, high, view.getUint32(at + PairAt.packets, true));
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
