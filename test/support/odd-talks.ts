/**
 * Drawn captures of what everyday traffic has at its edges, through Services and past them: one way
 * of a connection, lost packets, both sides of a translation, errors about connections known and
 * unknown, pods that reach themselves, pieces out of order.
 * @module
 */
import { LinkType } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { Dice } from './drawn-traffic.ts';
import { STEPS } from './exchange.ts';
import { icmpError, type PacketBuilder, tcp, udp } from './packets.ts';

export interface OddTalksOptions {
  readonly seed: number;
  readonly talks: number;
  readonly pods: readonly string[];
  /** Addresses of Services on port 80. */
  readonly services: readonly string[];
  /** A pod that its Service leads to at `port`, and its node. */
  readonly self: Hairpin;
}

export interface Hairpin {
  readonly pod: string;
  readonly port: number;
  readonly service: string;
  readonly node: string;
}

/** A packet and where it was seen. */
interface Seen {
  readonly packet: PacketBuilder;
  readonly srcMac?: string;
}

type Talk = readonly Seen[];

const HERE = '02:00:00:00:00:11';
const THERE = '02:00:00:00:00:22';
const OUTSIDE = '203.0.113.9';
const ROUTER = '198.51.100.77';
const PORTS = [8080, 9090, 80] as const;

const KINDS = ['oneWay', 'lossy', 'service', 'self', 'error', 'midway', 'pieces', 'out'] as const;

/** Draw talks, ten at a time under way, and write them as a capture. */
export async function writeOddTalks(path: string, options: OddTalksOptions): Promise<void> {
  const dice = new Dice(options.seed);
  const waiting = Array.from({ length: options.talks }, (_, i) => {
    const draw = new Draw(dice, options, 20_000 + i);
    return [...draw.talk(dice.pick(KINDS))];
  });
  const writer = await PcapWriter.create(openSink(path), { linkType: LinkType.ethernet });
  let timeNs = 1_700_000_000_000_000_000n;
  for (let open = waiting.splice(0, 10); open.length > 0; ) {
    const talk = dice.pick(open);
    const seen = talk.shift();
    if (seen !== undefined) {
      timeNs += BigInt(1_000_000 * (1 + dice.below(20)));
      if (dice.oneIn(300)) timeNs += 131_000_000_000n;
      const data = seen.packet.frame(seen.srcMac ? { srcMac: seen.srcMac } : {});
      await writer.write({ timeNs, data, wireLength: data.length });
    }
    if (talk.length > 0) continue;
    open = open.filter((other) => other !== talk);
    open.push(...waiting.splice(0, 1));
  }
  await writer.close();
}

class Draw {
  readonly #dice: Dice;
  readonly #options: OddTalksOptions;
  readonly #port: number;
  readonly #client: string;
  readonly #server: string;
  #id = 0;

  constructor(dice: Dice, options: OddTalksOptions, port: number) {
    this.#dice = dice;
    this.#options = options;
    this.#port = port;
    this.#client = dice.pick(options.pods);
    this.#server = dice.pick(options.pods.filter((pod) => pod !== this.#client));
  }

  talk(kind: (typeof KINDS)[number]): Talk {
    const dice = this.#dice;
    switch (kind) {
      case 'oneWay':
        return this.#oneWay(dice.oneIn(3));
      case 'lossy': {
        const lost = dice.below(STEPS.length);
        return this.#steps(this.#server, dice.pick(PORTS), (i) => i !== lost && !dice.oneIn(9));
      }
      case 'service': {
        const until = dice.pick([1, 3, 8]);
        return this.#steps(dice.pick(this.#options.services), 80, (i) => i < until);
      }
      case 'self':
        return this.#self(this.#options.self);
      case 'error':
        return this.#error();
      case 'midway':
        return this.#steps(this.#server, dice.pick(PORTS), (i) => i > 2);
      case 'pieces':
        return this.#pieces();
      case 'out':
        return this.#steps(OUTSIDE, 443, () => true);
    }
  }

  #steps(server: string, port: number, isCaptured: (i: number) => boolean): Talk {
    const asked = tcp().from(this.#client, this.#port).to(server, port);
    const answer = tcp().from(server, port).to(this.#client, this.#port).ttl(62);
    return STEPS.flatMap(({ isReply, make }, i) =>
      isCaptured(i) ? [this.#next(make(isReply ? answer : asked))] : [],
    );
  }

  #oneWay(isReply: boolean): Talk {
    const port = this.#dice.pick(PORTS);
    const steps = this.#steps(this.#server, port, (i) => STEPS[i]?.isReply === isReply);
    const more = Array.from({ length: this.#dice.below(6) }, (_, i) => {
      const asked = tcp().from(this.#client, this.#port).to(this.#server, port);
      const answer = tcp().from(this.#server, port).to(this.#client, this.#port);
      const segment = isReply
        ? answer.seq(521).ack(111 + i)
        : asked.seq(112 + 9 * i).ack(521 + 1000 * i);
      return this.#next(segment.payload(9));
    });
    return [...steps.slice(0, -1), ...more];
  }

  /** Each packet goes out of the pod and comes back to it, translated. */
  #self({ pod, port, service, node }: Hairpin): Talk {
    return STEPS.flatMap(({ isReply, make }, i): Talk => {
      const client = isReply
        ? tcp().from(service, 80).to(pod, this.#port).ttl(63)
        : tcp().from(pod, this.#port).to(service, 80);
      const server = isReply
        ? tcp().from(pod, port).to(node, this.#port)
        : tcp().from(node, this.#port).to(pod, port).ttl(63);
      const [sent, taken] = isReply ? [server, client] : [client, server];
      return [
        { packet: make(sent).id(this.#port + i), srcMac: HERE },
        { packet: make(taken).id(this.#port + i), srcMac: THERE },
      ];
    });
  }

  #error(): Talk {
    const dice = this.#dice;
    const { pods, services } = this.#options;
    const target = dice.pick([...pods, ...services]);
    const about = dice.oneIn(2)
      ? udp().from(this.#client, this.#port).to(target, 53).payload(5)
      : tcp().from(this.#client, this.#port).to(target, 80).syn().seq(5);
    const error = icmpError(about.packet())
      .from(dice.pick([target, ROUTER]))
      .to(this.#client);
    const first = dice.oneIn(3) ? [] : [this.#next(about)];
    return [...first, this.#next(error), ...(dice.oneIn(2) ? [this.#next(about)] : [])];
  }

  #pieces(): Talk {
    const whole = udp().from(this.#client, this.#port).to(this.#server, 53).payload(2000);
    const cut = whole.id(this.#port);
    const pieces = [cut.fragment(0, true, 1200), cut.fragment(1200, false)];
    if (this.#dice.oneIn(2)) pieces.reverse();
    return pieces.map((packet) => ({ packet }));
  }

  #next(packet: PacketBuilder): Seen {
    this.#id += 1;
    return { packet: packet.id((this.#port * 16 + this.#id) & 0xffff) };
  }
}
