/**
 * Traffic for the comparison of connection tracking with the real kernel: a seeded mix of flows whose
 * packets are right often enough to get somewhere and wrong often enough to try every branch.
 * @module
 */
import { SctpChunk } from '../../../src/wire/header/sctp.ts';
import { TcpFlag } from '../../../src/wire/header/tcp.ts';
import {
  icmpEcho,
  icmpEchoReply,
  icmpError,
  icmpMessage,
  type PacketBuilder,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../support/packets.ts';

/** A generator of repeatable numbers (xorshift, 32 bits). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  roll(sides: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % sides;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.roll(choices.length)]!;
  }
}

type Way = 0 | 1;

interface Ends {
  readonly client: string;
  readonly server: string;
}

const ENDS4: Ends = { client: '10.2.0.5', server: '10.2.0.6' };
const ENDS6: Ends = { client: '2001:db8:2::5', server: '2001:db8:2::6' };

export const TRAFFIC_ADDRESSES = [...Object.values(ENDS4), ...Object.values(ENDS6)];

function between(packet: PacketBuilder, ends: Ends, way: Way, ports?: readonly [number, number]) {
  const directed = packet.from(ends.client, ports?.[0]).to(ends.server, ports?.[1]);
  return way === 0 ? directed : directed.reversed();
}

/** One TCP connection with both senders’ numbers. */
class TcpFlow {
  readonly #ends: Ends;
  readonly #ports: readonly [number, number];
  readonly #next: [number, number];
  #stage = 0;

  constructor(ends: Ends, sport: number, dice: Dice) {
    this.#ends = ends;
    this.#ports = [sport, 80];
    this.#next = [dice.roll(2 ** 31), dice.roll(2 ** 31)];
  }

  packet(dice: Dice): PacketBuilder {
    // Mostly what comes next in a connection's life, sometimes anything.
    return dice.roll(10) < 6 ? this.#orderly(dice) : this.#anything(dice);
  }

  #orderly(dice: Dice): PacketBuilder {
    const { syn, ack, fin, psh } = TcpFlag;
    const stage = this.#stage;
    this.#stage = (stage + 1) % 9;
    switch (stage) {
      case 0:
        return this.#make(0, syn, dice, { options: dice.roll(2) === 0 });
      case 1:
        return this.#make(1, syn | ack, dice, { options: dice.roll(2) === 0 });
      case 5:
        return this.#make(0, fin | ack, dice, {});
      case 7:
        return this.#make(1, fin | ack, dice, {});
      case 3:
      case 4:
        return this.#make(stage === 3 ? 0 : 1, psh | ack, dice, {
          length: dice.pick([1, 600, 1400]),
        });
      default:
        return this.#make(stage === 6 ? 1 : 0, ack, dice, {});
    }
  }

  #anything(dice: Dice): PacketBuilder {
    const { syn, ack, fin, psh, rst, urg } = TcpFlag;
    const flags = dice.pick([
      syn,
      syn,
      syn | ack,
      ack,
      ack,
      psh | ack,
      fin | ack,
      rst,
      rst | ack,
      0,
      syn | fin,
      fin,
      ack | urg,
    ]);
    const way: Way = dice.roll(2) === 0 ? 0 : 1;
    return this.#make(way, flags, dice, {
      length: dice.pick([0, 0, 1, 500]),
      seqShift: dice.pick([0, 0, 0, 1, -1, -700, 3000, 70_000, 5_000_000]),
      ackShift: dice.pick([0, 0, 0, 1, -1, -700, 3000, -70_000, 'zero']),
      options: dice.roll(4) === 0,
      window: dice.pick([0, 1, 64, 64_240, 64_240]),
    });
  }

  #make(
    way: Way,
    flags: number,
    dice: Dice,
    o: {
      length?: number;
      seqShift?: number;
      ackShift?: number | 'zero';
      options?: boolean;
      window?: number;
    },
  ): PacketBuilder {
    const other: Way = way === 0 ? 1 : 0;
    const isSyn = (flags & TcpFlag.syn) !== 0;
    const length = isSyn ? 0 : (o.length ?? 0);
    const seq = this.#next[way] + (o.seqShift ?? 0);
    const shift = o.ackShift ?? 0;
    const hasAck = (flags & TcpFlag.ack) !== 0;
    const ackNumber = hasAck && shift !== 'zero' ? this.#next[other] + shift : 0;
    if ((o.seqShift ?? 0) === 0) {
      this.#next[way] += length + (isSyn ? 1 : 0) + (flags & TcpFlag.fin ? 1 : 0);
    }
    const base = between(tcp(), this.#ends, way, this.#ports)
      .flags(flags & ~TcpFlag.ack)
      .seq(seq)
      .window(o.window ?? 64_240)
      .payload(length);
    const acked = hasAck ? base.ack(ackNumber) : base;
    if (o.options && isSyn) return acked.tcpOptions(synOptions(dice));
    return o.options && hasAck
      ? acked.tcpOptions(sackOption(ackNumber + dice.pick([10, 1000])))
      : acked;
  }
}

function synOptions(dice: Dice): Uint8Array {
  // MSS, SACK permitted, NOP, window scale (or NOPs in its place).
  const scale = dice.roll(3) === 0 ? [1, 1, 1] : [3, 3, dice.pick([0, 7, 15])];
  return Uint8Array.of(2, 4, 5, 180, 4, 2, 1, ...scale, 1, 1);
}

function sackOption(edge: number): Uint8Array {
  const word = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
  return Uint8Array.of(1, 1, 5, 10, ...word((edge - 5) >>> 0), ...word(edge >>> 0));
}

function udpPacket(ends: Ends, dice: Dice): PacketBuilder {
  const ports = [3000 + dice.roll(12), 53] as const;
  const way: Way = dice.roll(2) === 0 ? 0 : 1;
  const packet = between(udp(), ends, way, ports).payload(dice.roll(40));
  const luck = dice.roll(12);
  if (luck === 0) return packet.badChecksum();
  return luck === 1 ? packet.noChecksum() : packet;
}

function icmpPacket(ends: Ends, dice: Dice, flows: readonly PacketBuilder[]): PacketBuilder {
  const v6 = ends.client.includes(':');
  const way: Way = dice.roll(2) === 0 ? 0 : 1;
  const id = dice.roll(6);
  switch (dice.roll(5)) {
    case 0:
      return between(icmpEcho(id, 1, { v6 }), ends, way).payload(8);
    case 1:
      return between(icmpEchoReply(id, 1, { v6 }), ends, way).payload(8);
    case 2: {
      const types = v6 ? [128, 129, 139, 140, 5, 100, 200] : [13, 14, 15, 17, 18, 9, 10, 19, 40];
      return between(icmpMessage(dice.pick(types), 0, id * 65_536), ends, way).payload(12);
    }
    default: {
      const family = flows.filter((flow) => flow.packet()[0]! >>> 4 === (v6 ? 6 : 4));
      if (family.length === 0) return between(icmpEcho(id, 1, { v6 }), ends, way);
      const quoted = dice.pick(family.slice(-40)).packet();
      const type = v6 ? dice.pick([1, 2, 3, 4]) : dice.pick([3, 4, 5, 11, 12]);
      const quote = (v6 ? 40 : 20) + dice.pick([8, 8, 20, 4]);
      const error = icmpError(quoted, { type, code: 0, quote });
      // To the quoted sender as a rule; the source is a router's.
      const to = dice.roll(5) === 0 ? ends.server : ends.client;
      const base = error
        .from(way === 0 ? ends.server : ends.client)
        .to(way === 0 ? to : ends.server);
      return dice.roll(10) === 0 ? base.badChecksum() : base;
    }
  }
}

function sctpPacket(ends: Ends, dice: Dice): PacketBuilder {
  const flow = dice.roll(5);
  const tags = [0x1000 + flow, 0x2000 + flow] as const;
  const way: Way = dice.roll(2) === 0 ? 0 : 1;
  const other: Way = way === 0 ? 1 : 0;
  const ports = [5000 + flow, 5001] as const;
  const base = between(sctp(), ends, way, ports);
  // A packet carries the tag that its receiver announced.
  const tag = dice.roll(8) === 0 ? dice.pick([0, 7]) : tags[other];
  const chunk = (type: number, flags = 0) => ({ type, flags, body: new Uint8Array(8) });
  const kind = dice.pick([
    SctpChunk.init,
    SctpChunk.init,
    SctpChunk.initAck,
    SctpChunk.cookieEcho,
    SctpChunk.cookieAck,
    SctpChunk.data,
    SctpChunk.sack,
    SctpChunk.heartbeat,
    SctpChunk.heartbeatAck,
    SctpChunk.shutdown,
    SctpChunk.shutdownAck,
    SctpChunk.shutdownComplete,
    SctpChunk.abort,
    SctpChunk.error,
  ]);
  const init = sctpInit(tags[way]);
  if (kind === SctpChunk.init) return base.tag(dice.roll(9) === 0 ? 3 : 0).chunks(init);
  if (kind === SctpChunk.initAck) return base.tag(tag).chunks({ ...init, type: kind });
  const first = chunk(kind, dice.roll(6) === 0 ? 1 : 0);
  const more = dice.roll(4) === 0 ? [chunk(dice.pick([SctpChunk.data, SctpChunk.cookieAck]))] : [];
  return base.tag(tag).chunks(first, ...more);
}

/** GRE (plain, PPTP, neither), and protocols that are tracked by addresses alone. */
function otherPacket(ends: Ends, dice: Dice): PacketBuilder {
  const protocol = dice.pick([47, 47, 50, 99, 33]);
  const head = dice.pick([
    [0, 0, 8, 0],
    [0x30, 1, 0x88, 0x0b],
    [0, 1, 8, 0],
  ]);
  const body = Uint8Array.of(...head, 0, 4, 0, 9, 0, 0, 0, 1);
  return between(rawIp(protocol).payload(body), ends, dice.roll(2) as Way);
}

/** `count` packets of many interleaved flows of both families, in the order they are sent. */
export function conntrackTraffic(seed: number, count: number): readonly PacketBuilder[] {
  const dice = new Dice(seed);
  const flows = Array.from(
    { length: 60 },
    (_, i) => new TcpFlow(i % 4 === 3 ? ENDS6 : ENDS4, 40_000 + i, dice),
  );
  const sent: PacketBuilder[] = [];
  for (let i = 0; i < count; i++) {
    const ends = dice.roll(4) === 0 ? ENDS6 : ENDS4;
    const kind = dice.roll(20);
    if (kind < 13) sent.push(dice.pick(flows).packet(dice));
    else if (kind < 15) sent.push(udpPacket(ends, dice));
    else if (kind < 17) sent.push(icmpPacket(ends, dice, sent));
    else if (kind < 19) sent.push(sctpPacket(ends, dice));
    else sent.push(otherPacket(ends, dice));
  }
  return sent;
}
