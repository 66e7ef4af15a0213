/**
 * The connections of a workload: what opens each, and one packet of it each way.
 *
 * Packets of connections between the same two ends are equal but for the client's port. So each is
 * the copy of a template, with that port and what it moves the checksum by: millions of connections
 * are made in seconds, each when it is asked for, and none is kept.
 * @module
 */
import type { EntryPlace } from '../../engine/compiled.ts';
import type { Address } from '../../wire/address/address.ts';
import { setU16, u16 } from '../../wire/bytes.ts';
import { update16 } from '../../wire/checksum.ts';
import { TcpFlag } from '../../wire/header/tcp.ts';
import { buildPacket } from './segment.ts';

/** One side of a connection. */
export interface Party {
  readonly address: Address;
  readonly entry: EntryPlace;
}

export type Pairs = readonly (readonly [Party, Party])[];

/** A packet, and where it enters. */
export interface Sent {
  readonly packet: Uint8Array;
  readonly entry: EntryPlace;
}

/** Packets in order, each made when it is asked for; an array of them will do. */
export interface Packets extends Iterable<Sent> {
  readonly length: number;
  at(index: number): Sent | undefined;
}

export interface TalksOptions {
  readonly connections: number;
  /** Ports that servers listen on. */
  readonly ports: readonly number[];
  readonly protocol: 'tcp' | 'udp' | 'both';
  readonly payload: number;
  /** One packet each, which opens a connection that nobody answers. */
  readonly isOneWay: boolean;
}

const FIRST_PORT = 1024;
const PORTS = 64_000;
/** Header lengths; where the checksum stands behind the IP header. */
const V4 = 20;
const V6 = 40;
const CHECKSUM = { tcp: 16, udp: 6 } as const;

const { syn, ack, psh } = TcpFlag;
/** The packets of a connection; `carries` says whether the payload is in it. */
const Step = {
  syn: { back: false, flags: syn, seq: 100, ack: 0, carries: false },
  synAck: { back: true, flags: syn | ack, seq: 900, ack: 101, carries: false },
  ack: { back: false, flags: ack, seq: 101, ack: 901, carries: false },
  there: { back: false, flags: ack | psh, seq: 101, ack: 901, carries: true },
  back: { back: true, flags: ack | psh, seq: 901, ack: 101, carries: true },
} as const;
type Step = (typeof Step)[keyof typeof Step];

const ORDER = Object.values(Step);
const TCP_OPENING = [Step.syn, Step.synAck, Step.ack, Step.there, Step.back];
const UDP_OPENING_LENGTH = 4;

export class Talks {
  readonly length: number;
  readonly #pairs: Pairs;
  readonly #options: TalksOptions;
  readonly #templates = new Map<number, Uint8Array>();

  constructor(pairs: Pairs, options: TalksOptions) {
    if (pairs.length === 0) throw new RangeError('a workload has pairs');
    this.length = options.connections;
    this.#pairs = pairs;
    this.#options = options;
  }

  /** A packet of the client's, and of the server's. */
  there(talk: number): Sent {
    return this.#packet(talk, this.#options.isOneWay ? Step.syn : Step.there);
  }

  back(talk: number): Sent {
    return this.#packet(talk, Step.back);
  }

  /** All that is sent until both sides have answered each other. */
  opening(talk: number): readonly Sent[] {
    if (this.#options.isOneWay) return [];
    if (this.#isTcp(talk)) return TCP_OPENING.map((step) => this.#packet(talk, step));
    const [there, back] = [this.there(talk), this.back(talk)];
    return [there, back, there, back];
  }

  /** The openings of the connections `from..to`, one after the other. */
  openings(from = 0, to = this.length): Packets {
    return new Openings(this, from, to);
  }

  /** Packets before the opening of this connection. */
  before(talk: number): number {
    const [tcp, udp] = [TCP_OPENING.length, UDP_OPENING_LENGTH];
    const { isOneWay, protocol } = this.#options;
    if (isOneWay) return 0;
    if (protocol !== 'both') return talk * (protocol === 'tcp' ? tcp : udp);
    return (talk >>> 1) * (tcp + udp) + (talk & 1) * tcp;
  }

  #isTcp(talk: number): boolean {
    const { protocol } = this.#options;
    return protocol === 'tcp' || (protocol === 'both' && talk % 2 === 0);
  }

  #packet(talk: number, step: Step): Sent {
    const at = talk % this.#pairs.length;
    const pair = this.#pairs[at];
    if (pair === undefined) throw new RangeError(`talk ${talk}`);
    const { entry } = pair[step.back ? 1 : 0];
    const sport = FIRST_PORT + (Math.floor(talk / this.#pairs.length) % PORTS);
    const { ports } = this.#options;
    const dport = ports[talk % ports.length] ?? 80;
    const isTcp = this.#isTcp(talk);
    const key = ((at * 0x10000 + dport) * 2 + Number(isTcp)) * ORDER.length + ORDER.indexOf(step);
    let template = this.#templates.get(key);
    if (template === undefined) {
      template = this.#make(pair, dport, isTcp, step);
      this.#templates.set(key, template);
    }
    const packet = template.slice();
    if (sport !== FIRST_PORT) movePort(packet, sport, step.back, isTcp);
    return { packet, entry };
  }

  #make([client, server]: readonly [Party, Party], dport: number, isTcp: boolean, step: Step) {
    const size = step.carries ? this.#options.payload : 0;
    const rest = { isTcp, flags: step.flags, seq: step.seq, ack: step.ack, size };
    const ends = { sport: FIRST_PORT, dport };
    const turned = { sport: dport, dport: FIRST_PORT };
    return step.back
      ? buildPacket(server.address, client.address, { ...turned, ...rest })
      : buildPacket(client.address, server.address, { ...ends, ...rest });
  }
}

/** Give a template its client's port. */
function movePort(packet: Uint8Array, port: number, isBack: boolean, isTcp: boolean): void {
  const l4 = (packet[0] ?? 0) >>> 4 === 6 ? V6 : V4;
  setU16(packet, l4 + (isBack ? 2 : 0), port);
  const at = l4 + (isTcp ? CHECKSUM.tcp : CHECKSUM.udp);
  const sum = update16(u16(packet, at), FIRST_PORT, port);
  // A UDP checksum of zero says that there is none.
  setU16(packet, at, sum === 0 && !isTcp ? 0xffff : sum);
}

class Openings implements Packets {
  readonly length: number;
  readonly #talks: Talks;
  readonly #from: number;
  readonly #to: number;

  constructor(talks: Talks, from: number, to: number) {
    this.#talks = talks;
    this.#from = from;
    this.#to = to;
    this.length = talks.before(to) - talks.before(from);
  }

  at(index: number): Sent | undefined {
    const wanted = this.#talks.before(this.#from) + index;
    // Openings have four or five packets.
    let talk = Math.floor(wanted / TCP_OPENING.length);
    while (talk < this.#to && this.#talks.before(talk + 1) <= wanted) talk += 1;
    return talk < this.#to
      ? this.#talks.opening(talk)[wanted - this.#talks.before(talk)]
      : undefined;
  }

  *[Symbol.iterator](): Generator<Sent> {
    for (let talk = this.#from; talk < this.#to; talk++) yield* this.#talks.opening(talk);
  }
}
