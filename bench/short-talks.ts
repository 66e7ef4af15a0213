/**
 * Captures of connections that are over after a few packets, as real ones have them: TCP through a
 * Service's address from SYN to the last ACK, queries and answers through the same, and a scan.
 *
 * Captured where clients are: what answers is the Service's address. Sixty-four connections are
 * under way at a time, each of another pair of client and port than those of its time.
 * @module
 */
import { fillSegment } from '../src/packet/transport-checksum.ts';
import { type Address, ipv4 as addressOf, parseAddress } from '../src/wire/address/address.ts';
import * as ipv4 from '../src/wire/header/ipv4.ts';
import * as tcp from '../src/wire/header/tcp.ts';
import { TcpFlag } from '../src/wire/header/tcp.ts';
import * as udp from '../src/wire/header/udp.ts';
import { Protocol } from '../src/wire/protocol.ts';
import type { Framed } from './capture-file.ts';
import { SERVICE_IP, SERVICE_PORT } from './clusters.ts';

export const SHORT_TALKS = ['tcp', 'dns', 'scan'] as const;
export type ShortTalk = (typeof SHORT_TALKS)[number];

/** Pods of `generateCluster` on its first node: the first is asked, or asks all others. */
const FIRST_POD = 0x0af0000b;
const PODS = 20;
const FIRST_PORT = 1024;
const PORTS = 60_000;
const AT_A_TIME = 64;

/** One packet of a connection: who sends it, and what. */
interface Step {
  readonly isAnswer: boolean;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly size: number;
}

const { syn, ack, psh, fin } = TcpFlag;
const REQUEST = 120;
const RESPONSE = 600;
const ASKED = 1000 + 1 + REQUEST;
const TOLD = 9000 + 1 + RESPONSE;

/** A request and its response, and both ends' good-bye. */
const TCP: readonly Step[] = [
  { isAnswer: false, flags: syn, seq: 1000, ack: 0, size: 0 },
  { isAnswer: true, flags: syn | ack, seq: 9000, ack: 1001, size: 0 },
  { isAnswer: false, flags: ack, seq: 1001, ack: 9001, size: 0 },
  { isAnswer: false, flags: psh | ack, seq: 1001, ack: 9001, size: REQUEST },
  { isAnswer: true, flags: ack, seq: 9001, ack: ASKED, size: 0 },
  { isAnswer: true, flags: psh | ack, seq: 9001, ack: ASKED, size: RESPONSE },
  { isAnswer: false, flags: ack, seq: ASKED, ack: TOLD, size: 0 },
  { isAnswer: false, flags: fin | ack, seq: ASKED, ack: TOLD, size: 0 },
  { isAnswer: true, flags: fin | ack, seq: TOLD, ack: ASKED + 1, size: 0 },
  { isAnswer: false, flags: ack, seq: ASKED + 1, ack: TOLD + 1, size: 0 },
];
const DNS: readonly Step[] = [
  { isAnswer: false, flags: 0, seq: 0, ack: 0, size: 50 },
  { isAnswer: true, flags: 0, seq: 0, ack: 0, size: 120 },
];
const SCAN: readonly Step[] = [{ isAnswer: false, flags: syn, seq: 1000, ack: 0, size: 0 }];
const STEPS: Readonly<Record<ShortTalk, readonly Step[]>> = { tcp: TCP, dns: DNS, scan: SCAN };

/** A packet of a capture of such connections, by its number. */
export function shortTalk(kind: ShortTalk, index: number): Framed {
  const steps = STEPS[kind];
  const each = AT_A_TIME * steps.length;
  const group = Math.floor(index / each);
  const step = steps[Math.floor((index % each) / AT_A_TIME)];
  if (step === undefined) throw new RangeError('a connection has its packets');
  const talk = group * AT_A_TIME + (index % AT_A_TIME);
  const { src, dst, sport, dport } = endsOf(kind, talk);
  const [from, to] = step.isAnswer ? [dst, src] : [src, dst];
  const ports = step.isAnswer ? { sport: dport, dport: sport } : { sport, dport };
  const ends = { src: from, dst: to, ...ports };
  return { packet: build({ ...ends, ...step, kind, talk, index }), isAnswer: step.isAnswer };
}

interface Built extends TalkEnds, Step {
  readonly kind: ShortTalk;
  readonly talk: number;
  readonly index: number;
}

/** Its numbers and its payload are like no other's. */
function build({ kind, talk, index, ...step }: Built): Uint8Array {
  const { src, dst, flags } = step;
  const payload = new Uint8Array(step.size).fill(0x5a);
  if (step.size > 4) new DataView(payload.buffer).setUint32(0, index);
  const isn = Math.imul(talk, 0x9e3779b1) >>> 0;
  const seq = (step.seq + isn) >>> 0;
  const acked = (flags & ack) === 0 ? 0 : (step.ack + isn) >>> 0;
  const head = { window: 60_000, urgent: 0, options: new Uint8Array(0) };
  const body =
    kind === 'dns'
      ? udp.emit(step, payload)
      : tcp.emit({ ...step, ...head, seq, ack: acked }, payload);
  const protocol = kind === 'dns' ? Protocol.udp : Protocol.tcp;
  fillSegment({ bytes: body, off: 0, end: body.length, protocol, src, dst });
  const fragment = { dontFragment: true, moreFragments: false, fragmentOffset: 0 };
  const rest = { tos: 0, id: index & 0xffff, ttl: 64, options: new Uint8Array(0) };
  return ipv4.emit({ ...fragment, ...rest, protocol, src, dst }, body);
}

interface TalkEnds {
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number;
  readonly dport: number;
}

function endsOf(kind: ShortTalk, talk: number): TalkEnds {
  const pod = addressOf(FIRST_POD + 1 + (talk % (PODS - 1)));
  const port = FIRST_PORT + (Math.floor(talk / (PODS - 1)) % PORTS);
  if (kind === 'scan') return { src: addressOf(FIRST_POD), dst: pod, sport: 40_000, dport: port };
  const service = parseAddress(SERVICE_IP);
  if (service === null) throw new RangeError('an address');
  return { src: pod, dst: service, sport: port, dport: SERVICE_PORT };
}
