/**
 * Strangers as native code follows them (native/src/lane/strangers.hh): JavaScript says of each
 * pair of ends, when it is first met, whose it is.
 * @module
 */
import {
  ENTRY_BYTES,
  LaneWord,
  StrangerKind,
  TRANSLATED_BYTES,
} from '../../engine/compiled/lane-door.ts';
import { type Address, writeAddress } from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Strangers, StrangerTuple } from '../traffic/strangers.ts';
import type { Views } from '../traffic/translations.ts';
import type { LaneWalker } from './columns.ts';

/** Places in an entry of ends, and of an end that Services translate. */
const At = { src: 0, dst: 16, sport: 32, dport: 34, family: 36 } as const;
const EndAt = { family: 16, protocol: 17, port: 18 } as const;
/** Bits of TCP's flags. */
const Flag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

/** An address and port that Services translate. */
export interface TranslatedEnd {
  readonly protocol: number;
  readonly address: Address;
  readonly port: number;
}

export interface StrangersInput {
  readonly walker: LaneWalker;
  /**
   * Whether packets of these ends are judged here: a function of both addresses, and of ports only
   * where these are translated.
   */
  readonly isOwn: (tuple: StrangerTuple) => boolean;
  readonly translated: Iterable<TranslatedEnd>;
  /** Connections seen under several ends: several names of one, and so never strangers. */
  readonly views: readonly Views[];
  /** An answer goes against its conversation, also where its opening was not captured. */
  readonly synAckAnswers: boolean;
}

export class NativeStrangers implements Strangers {
  readonly #walker: LaneWalker;
  readonly #isOwn: StrangersInput['isOwn'];
  readonly #ends = new Uint8Array(ENTRY_BYTES.ends);
  readonly #view = new DataView(this.#ends.buffer);

  constructor({ walker, isOwn, translated, views, synAckAnswers }: StrangersInput) {
    this.#walker = walker;
    this.#isOwn = isOwn;
    walker.columns.words[LaneWord.nextId] = 1;
    walker.native.beginStrangers(entriesOf([...translated]), synAckAnswers);
    for (const { protocol, ends } of views) {
      for (const end of ends) {
        walker.native.setKind(this.#endsOf({ ...end, protocol }), protocol, StrangerKind.own);
      }
    }
  }

  get open(): number {
    return this.#walker.columns.words[LaneWord.strangersOpen] ?? 0;
  }

  get closed(): number {
    return this.#walker.columns.words[LaneWord.strangersClosed] ?? 0;
  }

  takeId(): number {
    const { words } = this.#walker.columns;
    const id = words[LaneWord.nextId] ?? 0;
    words[LaneWord.nextId] = id + 1;
    return id;
  }

  isOne(tuple: StrangerTuple): boolean {
    const { native } = this.#walker;
    const { protocol } = tuple;
    const ends = this.#endsOf(tuple);
    const known = native.kindOf(ends, protocol);
    if (known !== StrangerKind.unknown) return known === StrangerKind.stranger;
    const kind = this.#isOwn(tuple) ? StrangerKind.own : StrangerKind.stranger;
    native.setKind(ends, protocol, kind);
    return kind === StrangerKind.stranger;
  }

  meet(datagram: Datagram, answers: boolean, nowNs: number): void {
    const { protocol, tcp } = datagram;
    const flags =
      tcp === null
        ? 0
        : (tcp.fin ? Flag.fin : 0) |
          (tcp.syn ? Flag.syn : 0) |
          (tcp.rst ? Flag.rst : 0) |
          (tcp.hasAck ? Flag.ack : 0);
    this.#walker.native.meet(this.#endsOf(datagram), protocol, flags, answers, nowNs);
  }

  quoted(tuple: StrangerTuple, nowNs: number): void {
    this.#walker.native.quoted(this.#endsOf(tuple), tuple.protocol, nowNs);
  }

  expire(nowNs: number): Float64Array {
    return this.#walker.native.expire(nowNs);
  }

  #endsOf({ src, dst, sport, dport }: StrangerTuple): Uint8Array {
    this.#ends.fill(0);
    writeAddress(this.#ends, At.src, src);
    writeAddress(this.#ends, At.dst, dst);
    this.#view.setUint16(At.sport, sport ?? 0, true);
    this.#view.setUint16(At.dport, dport ?? 0, true);
    this.#view.setUint32(At.family, src.family, true);
    return this.#ends;
  }
}

function entriesOf(ends: readonly TranslatedEnd[]): Uint8Array {
  const bytes = new Uint8Array(ends.length * TRANSLATED_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { protocol, address, port }] of ends.entries()) {
    const at = i * TRANSLATED_BYTES;
    writeAddress(bytes, at, address);
    bytes[at + EndAt.family] = address.family;
    bytes[at + EndAt.protocol] = protocol;
    view.setUint16(at + EndAt.port, port, true);
  }
  return bytes;
}
