/**
 * The first pass over a capture in bulk: native code adds up what ordinary packets say
 * (native/src/lane/look.hh), everything else is surveyed as it always is (traffic/survey.ts).
 *
 * In bulk only for a capture of one file: clocks of several are compared packet by packet.
 * @module
 */
import type { PacketRecord } from '../../capture/record.ts';
import { recordOf, type Slab } from '../../capture/slab.ts';
import { ENTRY_BYTES, LaneWord, LookStop } from '../../engine/compiled/lane-door.ts';
import { type Address, readIpv4, readIpv6, writeAddress } from '../../wire/address.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Ends } from '../datagram/rewrite.ts';
import { Survey } from '../traffic/survey.ts';
import { COMPARED, type ContentSightings } from '../traffic/translations.ts';
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

  note(d: Datagram, ends: Ends, timeNs: bigint): Ends | null {
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
    const isOther = native.noteContent(compared, payload, headOf(d), kind, this.#ends, timeNs);
    return isOther ? readEnds(columns.ends, 0) : null;
  }
}

export class BulkSurvey {
  readonly survey: Survey;
  readonly #walker: LaneWalker;

  constructor(walker: LaneWalker) {
    this.#walker = walker;
    this.survey = new Survey(new NativeContents(walker));
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
      const why = native.look(window, at, count, linkTypes, ifaces);
      at = columns.words[LaneWord.stop] ?? count;
      this.#senders();
      this.#pairs();
      this.survey.census.elsewhere = columns.words[LaneWord.tuples] ?? 0;
      if (why === LookStop.byHand) this.survey.add(recordOf(slab, at++));
      else if (why === LookStop.otherEnds) this.#join(columns.times[at++] ?? 0n);
    }
  }

  #join(timeNs: bigint): void {
    const { ends, words } = this.#walker.columns;
    const [first, other] = [readEnds(ends, 0), readEnds(ends, ENTRY_BYTES.ends)];
    this.survey.translations.join(words[LaneWord.protocol] ?? 0, first, other, timeNs);
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
