/**
 * Drawn traffic that is let through and goes on: connections that talk for long, with silences
 * around every timeout of theirs, and packets that are not as those before them.
 * @module
 */
import { LinkType } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { Dice } from './drawn-traffic.ts';
import { type PacketBuilder, tcp, udp } from './packets.ts';

export interface SettledOptions {
  readonly seed: number;
  readonly packets: number;
  readonly clients: readonly string[];
  readonly servers: readonly (readonly [address: string, port: number])[];
  /** Connections at a time. */
  readonly talks: number;
}

interface Talk {
  readonly isTcp: boolean;
  readonly client: string;
  readonly server: string;
  readonly sport: number;
  readonly dport: number;
  /** Of TCP: the next number of each side. */
  readonly seq: [number, number];
  readonly isOffloaded: boolean;
  /** Both sides may send timestamps. */
  readonly isTimed: boolean;
  readonly ttl: number;
  /** Nothing odd is sent. */
  readonly isCalm: boolean;
  step: number;
}

const NS_PER_S = 1e9;
/** Seconds: around a stream's beginning, and the timeouts of UDP and TCP. */
const SILENCES = [1.9, 2.1, 29.9, 30.1, 119.9, 120.1, 179.9, 180.1, 299.9, 300.1];
/** Seldom, as they end everything. */
const LONG_SILENCES = [431_990, 432_010];
const TIMESTAMP = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2);
const SACK = Uint8Array.of(1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 99);

/** Draw packets and when they come, and write them as a capture. */
export async function writeSettled(path: string, options: SettledOptions): Promise<void> {
  const dice = new Dice(options.seed);
  const writer = await PcapWriter.create(openSink(path), { linkType: LinkType.ethernet });
  const talks: Talk[] = [];
  let timeNs = 1_700_000_000_000_000_000n;
  for (let written = 0; written < options.packets; written++) {
    if (talks.length < options.talks) talks.push(opened(dice, options));
    const at = dice.below(talks.length);
    const talk = talks[at];
    if (talk === undefined) continue;
    if (talk.step > 6 && dice.oneIn(300)) talks.splice(at, 1);
    timeNs += BigInt(Math.round(gapNs(dice)));
    const built = talk.isTcp ? segment(talk, dice) : datagram(talk, dice);
    const plain = built.id(written & 0xffff).ttl(talk.ttl);
    const packet = talk.isCalm ? plain : disturbed(plain, dice);
    const data = (talk.isOffloaded ? packet.offloaded() : packet).frame();
    await writer.write({ timeNs, data, wireLength: data.length });
    if (!dice.oneIn(200)) continue;
    // Seen once more, behind a router.
    const again = packet.ttl(talk.ttl - 1).frame();
    await writer.write({ timeNs: timeNs + 1000n, data: again, wireLength: again.length });
  }
  await writer.close();
}

function gapNs(dice: Dice): number {
  if (dice.oneIn(6000)) return dice.pick(LONG_SILENCES) * NS_PER_S;
  if (dice.oneIn(500)) return dice.pick(SILENCES) * NS_PER_S;
  if (dice.oneIn(100)) return -dice.below(1e6);
  return dice.below(3e6);
}

function opened(dice: Dice, { clients, servers }: SettledOptions): Talk {
  const client = dice.pick(clients);
  const others = servers.filter(([s]) => s !== client && s.includes(':') === client.includes(':'));
  const [server, dport] = dice.pick(others);
  return {
    ...{ client, server, dport },
    isTcp: dice.below(5) < 3,
    sport: 40_000 + dice.below(60),
    // Some begin where numbers wrap.
    seq: dice.oneIn(3) ? [0xffff_ff00, 0xffff_fff0] : [dice.next(), 5000],
    isOffloaded: dice.oneIn(4),
    isTimed: dice.oneIn(2),
    ttl: dice.oneIn(20) ? 34 : 64,
    isCalm: dice.below(4) > 0,
    step: 0,
  };
}

/** Now and then a packet is not like those before it. */
function disturbed(packet: PacketBuilder, dice: Dice): PacketBuilder {
  switch (dice.below(150)) {
    case 0:
      return packet.ttl(33 + dice.below(3));
    case 1:
      return packet.tos(0x20);
    case 2:
      return packet.badChecksum();
    case 3:
      return packet.payload(1400 + dice.below(200));
    case 4:
      return packet.noChecksum();
    case 5:
      return packet.dontFragment(false);
    default:
      return packet;
  }
}

function datagram(talk: Talk, dice: Dice): PacketBuilder {
  const request = udp().from(talk.client, talk.sport).to(talk.server, talk.dport);
  const isAnswer = talk.step > 0 && dice.oneIn(2);
  talk.step += 1;
  return (isAnswer ? request.reversed() : request).payload(1 + dice.below(60));
}

function segment(talk: Talk, dice: Dice): PacketBuilder {
  const { client, server, sport, dport, seq, isTimed } = talk;
  const there = tcp().from(client, sport).to(server, dport);
  const step = talk.step++;
  const plus = (side: 0 | 1, n: number) => {
    seq[side] = (seq[side] + n) >>> 0;
  };
  if (step === 0) return there.syn().seq(seq[0]);
  if (step === 1) {
    plus(0, 1);
    return there.reversed().syn().ack(seq[0]).seq(seq[1]);
  }
  if (step === 2) {
    plus(1, 1);
    return there.ack(seq[1]).seq(seq[0]);
  }
  const side = dice.below(2) as 0 | 1;
  const way = side === 1 ? there.reversed() : there;
  const own = seq[side];
  const other = seq[side === 0 ? 1 : 0];
  const timed = (packet: PacketBuilder) => (isTimed ? packet.tcpOptions(TIMESTAMP) : packet);
  switch (talk.isCalm ? 7 + dice.below(60) : dice.below(120)) {
    case 0:
      return way.ack(other).seq((own + 200_000) >>> 0);
    case 1:
      return way.ack((other + 70_000) >>> 0).seq(own);
    case 2:
      return way.ack((other - 100_000) >>> 0).seq(own);
    case 3:
      return way.ack(other).seq(own).window(0);
    case 4:
      return way.ack(other).seq(own).tcpOptions(SACK);
    case 5:
      return dice.oneIn(4) ? way.rst().seq(own) : way.ack(other).seq((own - 1) >>> 0);
    case 6:
      return dice.oneIn(4) ? way.fin().ack(other).seq(own) : way.psh().ack(other).seq(own);
    case 7:
    case 8:
    case 9:
    case 10:
      // The same again and again.
      return timed(way.ack(other).seq(own)).payload(0);
  }
  const size = dice.oneIn(2) ? 0 : dice.below(60);
  plus(side, size);
  const window = dice.oneIn(10) ? dice.below(65_536) : 60_000;
  return timed(way.ack(other).seq(own).window(window)).payload(size);
}
