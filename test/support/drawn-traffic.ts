/**
 * Traffic drawn from a seed, to set two engines on: conversations that open, talk, fall silent,
 * close, are reset and reopened, with what real networks add: retransmissions, segments out of
 * window, errors, fragments, wrong checksums, odd flags, low TTLs, broken bytes.
 *
 * Who talks with whom, and where each packet enters, is the caller's; time runs on by itself and
 * sometimes jumps past every timeout.
 * @module
 */
import type { Injection, Journey } from '../../src/engine/engine.ts';
import { framed } from '../../src/engine/execution.ts';
import { type PacketEnds, packetEnds } from '../../src/packet/ends.ts';
import { newPacket, parseFrame } from '../../src/packet/parse.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import {
  icmpEcho,
  icmpEchoReply,
  icmpError,
  type PacketBuilder,
  sctp,
  sctpInit,
  tcp,
  udp,
} from './packets.ts';

/** A small generator of numbers below 2^32 (mulberry32): the same from the same seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(n: number): number {
    return this.next() % n;
  }

  /** True once in `n`. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    const found = from[this.below(from.length)];
    if (found === undefined) throw new RangeError('nothing to pick from');
    return found;
  }
}

/** An address that packets can come from. */
export interface Speaker {
  readonly address: string;
  /** Where its packets enter. */
  enter(packet: Uint8Array): Place;
}

/** The part of an injection that says where and what. */
export type Place =
  | { readonly as: 'local'; readonly host: string; readonly packet: Uint8Array }
  | {
      readonly as: 'received';
      readonly host: string;
      readonly device: string;
      readonly packet: Uint8Array;
    }
  | {
      readonly as: 'frame';
      readonly host: string;
      readonly device: string;
      readonly frameBytes: Uint8Array;
    };

type Kind = 'tcp' | 'udp' | 'icmp' | 'sctp';

interface Talk {
  readonly kind: Kind;
  readonly client: Speaker;
  readonly server: Speaker;
  readonly sport: number;
  readonly dport: number;
  /** Next sequence number of each side. */
  readonly seq: [number, number];
  readonly isOffloaded: boolean;
  readonly ttl: number;
  step: number;
  /** What its client sent last. */
  sent: Uint8Array | null;
  /** What of that arrived, and with which ends: somebody may have translated it. */
  arrived: Uint8Array | null;
  far: PacketEnds | null;
}

const PORTS = [80, 443, 53, 8080, 9090, 5432, 10_250, 22, 30_080];
const MAX_TALKS = 200;
const NS_PER_S = 1e9;
/** Seconds that time jumps by: around the kernel's timeouts. */
const JUMPS = [0.5, 1.9, 2.1, 9, 11, 29, 31, 59, 61, 119, 121, 299, 301, 599, 601, 432_001];

export interface DrawnOptions {
  /**
   * The caller tells what became of each packet, so that answers come from whom it reached, with
   * the ends it reached them with.
   */
  readonly heard?: boolean;
  /** What clients ask for. */
  readonly ports?: readonly number[];
  /** Ends that answer, of which half of all connections ask one. */
  readonly services?: readonly { readonly address: string; readonly port: number }[];
  /** Clients seldom have a port that another one has, too, and time seldom jumps. */
  readonly calm?: boolean;
}

export class DrawnTraffic {
  readonly #dice: Dice;
  readonly #speakers: readonly Speaker[];
  readonly #talks: Talk[] = [];
  readonly #isHeard: boolean;
  readonly #ports: readonly number[];
  readonly #services: NonNullable<DrawnOptions['services']>;
  readonly #rarely: number;
  #last: { readonly talk: Talk; readonly isForward: boolean } | null = null;
  #nowNs = 1e15;
  #frame = 0;

  constructor(seed: number, speakers: readonly Speaker[], options: DrawnOptions = {}) {
    this.#dice = new Dice(seed);
    this.#speakers = speakers;
    this.#isHeard = options.heard ?? false;
    this.#ports = options.ports ?? PORTS;
    this.#services = options.services ?? [];
    this.#rarely = options.calm ? 10 : 1;
  }

  /** What became of the last packet. */
  heard({ outcome, packet }: Journey): void {
    const arrived = outcome === 'delivered' || outcome === 'exited';
    if (this.#last === null || !this.#last.isForward || !arrived || packet === null) return;
    const parsed = newPacket({ frame: 0, bytes: framed(packet) });
    if (parseFrame(parsed) !== null || parsed.l4 < 0) return;
    const { talk } = this.#last;
    talk.arrived = packet;
    talk.far = packetEnds(parsed);
  }

  /** The next packet. */
  next(): Injection {
    const dice = this.#dice;
    this.#nowNs += dice.oneIn(400 * this.#rarely) ? dice.pick(JUMPS) * NS_PER_S : dice.below(3e6);
    this.#frame += 1;
    const isNew = this.#talks.length === 0 || dice.oneIn(25);
    const talk = isNew ? this.#begin() : dice.pick(this.#talks);
    const isReply = talk.step > 0 && dice.below(5) < 2;
    const isError = talk.sent !== null && dice.oneIn(50);
    const server = this.#serverOf(talk);
    const stranger = dice.oneIn(4) ? dice.pick(this.#speakers) : server;
    const speaker = isError ? stranger : isReply ? server : talk.client;
    const packet = isError
      ? this.#errorAbout(talk, speaker)
      : this.#spoil(this.#packetOf(talk, isReply));
    if (!isReply && !isError) talk.sent = packet;
    this.#last = { talk, isForward: !isReply && !isError };
    const offloaded = talk.isOffloaded ? { checksumOffloaded: true } : {};
    talk.step += 1;
    const at = speaker.enter(packet);
    return { frame: this.#frame, nowNs: this.#nowNs, ...offloaded, ...at };
  }

  /** Who has what the client sent; somebody else than it asked for, where that is translated. */
  #serverOf({ server, far }: Talk): Speaker {
    if (far === null) return server;
    const text = formatAddress(far.dst);
    return this.#speakers.find((speaker) => speaker.address === text) ?? server;
  }

  /** Both ends of an answer: as the client's packet got where it got. */
  #answerEnds(talk: Talk): readonly [from: [string, number], to: [string, number]] {
    const { client, server, sport, dport, far } = talk;
    if (far === null)
      return [
        [server.address, dport],
        [client.address, sport],
      ];
    return [
      [formatAddress(far.dst), far.dport],
      [formatAddress(far.src), far.sport],
    ];
  }

  #begin(): Talk {
    const dice = this.#dice;
    const client = dice.pick(this.#speakers);
    const isV6 = client.address.includes(':');
    const others = this.#speakers.filter((s) => s.address.includes(':') === isV6);
    const known = this.#services.filter((s) => s.address.includes(':') === isV6);
    const service = known.length > 0 && dice.oneIn(2) ? dice.pick(known) : null;
    const talk: Talk = {
      kind: dice.pick(['tcp', 'tcp', 'tcp', 'udp', 'udp', 'icmp', 'sctp']),
      client,
      server: others.find((s) => s.address === service?.address) ?? dice.pick(others),
      sport: this.#clientPort(),
      dport: service?.port ?? dice.pick(this.#ports),
      seq: [dice.next(), dice.next()],
      isOffloaded: dice.oneIn(6),
      ttl: dice.oneIn(8) ? dice.pick([255, 2, 1, 34, 33, 32]) : dice.pick([64, 128]),
      step: 0,
      sent: null,
      arrived: null,
      far: null,
    };
    if (this.#talks.length < MAX_TALKS) this.#talks.push(talk);
    else this.#talks[dice.below(MAX_TALKS)] = talk;
    return talk;
  }

  #clientPort(): number {
    const dice = this.#dice;
    if (dice.oneIn(20 * this.#rarely)) return dice.pick(PORTS);
    return 1024 + dice.below(dice.oneIn(2 * this.#rarely) ? 64 : 60_000);
  }

  /** Somebody on the way could not deliver what the client sent. */
  #errorAbout(talk: Talk, from: Speaker): Uint8Array {
    const same = from.address.includes(':') === talk.client.address.includes(':');
    const speaker = same ? from : talk.server;
    const known = this.#isHeard ? talk.arrived : talk.sent;
    const whole = known !== null && known.length >= 20 ? known : udp().packet();
    const isV6 = talk.client.address.includes(':');
    const quoted = (whole[0] ?? 0) >>> 4 === (isV6 ? 6 : 4) ? whole : udp().packet();
    const to = talk.far === null ? talk.client.address : formatAddress(talk.far.src);
    return icmpError(quoted).from(speaker.address).to(to).packet();
  }

  #packetOf(talk: Talk, isReply: boolean): PacketBuilder {
    const built = this.#bodyOf(talk, isReply).ttl(talk.ttl);
    const shaded = this.#dice.oneIn(12) ? built.tos(this.#dice.pick([0xb8, 0x02, 0x28])) : built;
    return talk.isOffloaded ? shaded.offloaded() : shaded;
  }

  #bodyOf(talk: Talk, isReply: boolean): PacketBuilder {
    const { client, server, sport, dport } = talk;
    const v6 = client.address.includes(':');
    const [[from, near], [to, far]] = isReply
      ? this.#answerEnds(talk)
      : [[client.address, sport] as const, [server.address, dport] as const];
    const size = this.#dice.oneIn(15) ? 1400 : this.#dice.below(40);
    switch (talk.kind) {
      case 'udp':
        return udp().from(from, near).to(to, far).payload(size);
      case 'icmp': {
        const id = isReply && talk.far !== null ? talk.far.sport : sport;
        const echo = isReply ? icmpEchoReply(id, 1, { v6 }) : icmpEcho(id, 1, { v6 });
        return echo.from(from).to(to).payload(size);
      }
      case 'sctp':
        return sctp().from(from, near).to(to, far).chunks(sctpInit(7));
      case 'tcp':
        return this.#segment(talk, isReply).from(from, near).to(to, far);
    }
  }

  #segment(talk: Talk, isReply: boolean): PacketBuilder {
    const dice = this.#dice;
    const side = isReply ? 1 : 0;
    const own = talk.seq[side];
    const other = talk.seq[side ^ 1] ?? 0;
    const advance = (count: number) => {
      talk.seq[side] = (own + count) >>> 0;
    };
    if (talk.step === 0 || dice.oneIn(30)) {
      advance(1);
      const open = tcp().seq(own).syn();
      return dice.oneIn(2) ? open.tcpOptions(OPENING_OPTIONS) : open;
    }
    if (isReply && (talk.step < 3 || dice.oneIn(40))) {
      advance(1);
      return tcp().seq(own).syn().ack(other).tcpOptions(OPENING_OPTIONS);
    }
    const plain = tcp()
      .seq(own)
      .ack(other)
      .window(dice.oneIn(30) ? 0 : 512 + dice.below(60_000));
    switch (dice.below(24)) {
      case 0:
        advance(1);
        return plain.fin();
      case 1:
        return tcp().seq(own).rst();
      case 2:
        return plain.rst();
      case 3:
        return plain.seq((own + dice.below(2 ** 20)) >>> 0).payload(8);
      case 4:
        return plain.seq((own - dice.below(2 ** 18)) >>> 0).payload(8);
      case 5:
        return plain.ack(dice.next());
      case 6:
        return plain.flags(dice.below(256));
      case 7:
      case 8:
        return plain.payload(20);
      case 9:
        return plain.tcpOptions(sackOption(other, dice.below(4000)));
      default: {
        const size = dice.oneIn(3) ? 0 : dice.below(dice.oneIn(10) ? 1400 : 60);
        advance(size);
        return size === 0 ? plain : plain.psh().payload(size);
      }
    }
  }

  /** Now and then a packet is not what its sender meant. */
  #spoil(built: PacketBuilder): Uint8Array {
    const dice = this.#dice;
    switch (dice.below(60)) {
      case 0:
        return built.badChecksum().packet();
      case 1:
        return built.fragment(0, true, 16).packet();
      case 2:
        return built.fragment(16, false).packet();
      case 3:
        return built.noChecksum().packet();
      case 4: {
        const bytes = built.packet().slice();
        bytes[dice.below(bytes.length)] = dice.below(256);
        return bytes;
      }
      case 5:
        return built.packet().slice(0, 1 + dice.below(60));
      case 6: {
        const bytes = built.packet();
        const padded = new Uint8Array(bytes.length + 1 + dice.below(8));
        padded.set(bytes);
        return padded;
      }
      default:
        return built.packet();
    }
  }
}

/** MSS 1460, SACK permitted, timestamps, no operation, window scale 7. */
const OPENING_OPTIONS = Uint8Array.of(
  ...[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
);

function sackOption(left: number, span: number): Uint8Array {
  const edges = [left >>> 0, (left + span) >>> 0];
  const bytes = edges.flatMap((n) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
  return Uint8Array.of(1, 1, 5, 10, ...bytes);
}
