/**
 * Drawn traffic of which most is not let through: packets sent again and again to closed ports,
 * connections that some network let through and ours does not, from and to places known and unknown.
 * @module
 */
import { LinkType } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { Dice } from './drawn-traffic.ts';
import { icmpEcho, icmpEchoReply, type PacketBuilder, tcp, udp } from './packets.ts';

export interface RefusedOptions {
  readonly seed: number;
  readonly packets: number;
  /** Who talks; some of them twice, who then talk more. */
  readonly clients: readonly string[];
  readonly servers: readonly string[];
  readonly ports: readonly number[];
}

const KINDS = ['silent', 'udp', 'syn', 'syn', 'tcp', 'tcp', 'midway', 'ping', 'echo'] as const;

interface Talk {
  readonly kind: (typeof KINDS)[number];
  readonly client: string;
  readonly server: string;
  readonly sport: number;
  readonly dport: number;
  readonly length: number;
  readonly isFrom6: boolean;
  /** Of TCP: where the client's and the server's numbers are. */
  seq: [number, number];
  step: number;
}

/** Draw packets and when they come, and write them as a capture. */
export async function writeRefused(path: string, options: RefusedOptions): Promise<void> {
  const dice = new Dice(options.seed);
  const talks: Talk[] = [];
  const writer = await PcapWriter.create(openSink(path), { linkType: LinkType.ethernet });
  let timeNs = 1_700_000_000_000_000_000n;
  let written = 0;
  const write = async (packet: PacketBuilder, ns: bigint) => {
    const data = packet.frame();
    await writer.write({ timeNs: ns, data, wireLength: data.length });
    written += 1;
  };
  while (written < options.packets) {
    if (talks.length < 10) talks.push(opened(dice, options));
    const at = dice.below(talks.length);
    const talk = talks[at];
    if (talk === undefined) continue;
    // Packets of one talk come in bursts, too.
    for (let n = dice.oneIn(3) ? 1 + dice.below(9) : 1; n > 0 && talk.step < talk.length; n--) {
      timeNs += gapNs(dice);
      const packet = disturbed(next(talk, dice), dice).id(written & 0xffff);
      await write(packet, timeNs);
      // Seen once more, behind a router.
      if (dice.oneIn(50)) await write(packet.ttl(62), timeNs + 1000n);
    }
    if (talk.step >= talk.length) talks.splice(at, 1);
  }
  await writer.close();
}

function gapNs(dice: Dice): bigint {
  if (dice.oneIn(400)) return BigInt(20 + dice.below(200)) * 1_000_000_000n;
  return BigInt(1 + dice.below(4_000_000));
}

function opened(dice: Dice, { clients, servers, ports }: RefusedOptions): Talk {
  const client = dice.pick(clients);
  const same = servers.filter((s) => s !== client && s.includes(':') === client.includes(':'));
  return {
    kind: dice.pick(KINDS),
    client,
    server: dice.pick(same),
    sport: 40_000 + dice.below(40),
    dport: dice.pick(ports),
    length: 1 + dice.below(dice.oneIn(4) ? 60 : 12),
    isFrom6: client.includes(':'),
    // Some begin where numbers wrap.
    seq: dice.oneIn(4) ? [0xffff_ff00, 0xffff_fff0] : [100, 5000],
    step: 0,
  };
}

/** Now and then a packet is not like those before it. */
function disturbed(packet: PacketBuilder, dice: Dice): PacketBuilder {
  switch (dice.below(60)) {
    case 0:
      return packet.ttl(1 + dice.below(3));
    case 1:
    case 2:
      return packet.tos(0x20);
    case 3:
      return packet.badChecksum();
    case 4:
      return packet.offloaded();
    default:
      return packet;
  }
}

function next(talk: Talk, dice: Dice): PacketBuilder {
  const { kind, client, server, sport, dport, isFrom6: v6 } = talk;
  const step = talk.step++;
  switch (kind) {
    case 'silent':
      return udp()
        .from(client, sport)
        .to(server, dport)
        .payload(1 + dice.below(40));
    case 'udp': {
      const request = udp().from(client, sport).to(server, dport);
      return (step % 2 === 0 ? request : request.reversed()).payload(1 + dice.below(40));
    }
    case 'syn':
      return tcp().from(client, sport).to(server, dport).syn().seq(talk.seq[0]);
    case 'ping':
      return icmpEcho(sport, step, { v6 }).from(client).to(server);
    case 'echo':
      return step % 2 === 0
        ? icmpEcho(sport, step, { v6 }).from(client).to(server)
        : icmpEchoReply(sport, step, { v6 }).from(server).to(client);
    case 'tcp':
    case 'midway':
      return segment(talk, step + (kind === 'midway' ? 3 : 0), dice);
  }
}

/** A segment of a connection that somebody let through, with what is sent again. */
function segment(talk: Talk, step: number, dice: Dice): PacketBuilder {
  const { client, server, sport, dport, seq } = talk;
  const there = tcp().from(client, sport).to(server, dport);
  if (step === 0) return there.syn().seq(seq[0]);
  if (step === 1)
    return there
      .reversed()
      .syn()
      .ack(seq[0] + 1)
      .seq(seq[1]);
  if (dice.oneIn(25)) return there.syn().seq(seq[0]);
  if (dice.oneIn(50)) return there.rst().seq(seq[0] + 1);
  const isAnswer = dice.oneIn(2);
  const [own, other] = isAnswer ? [seq[1], seq[0]] : seq;
  const size = dice.oneIn(3) ? 0 : dice.below(30);
  const ack = (isAnswer ? there.reversed() : there).ack(other + 1);
  if (dice.oneIn(40)) return ack.fin().seq(own + 1);
  // One in five was sent before.
  if (dice.below(5) > 0) talk.seq = isAnswer ? [seq[0], own + size] : [own + size, seq[1]];
  return ack.seq(own + 1).payload(size);
}
