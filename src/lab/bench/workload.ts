/**
 * Synthetic traffic for measuring an engine: connections between the pods of a cluster, and packets
 * of them in an order that no branch predictor can learn.
 *
 * Nothing of it is switched off that a replay has: checksums are right and are judged, every packet
 * is timed, tracked, counted and rewritten.
 * @module
 */
import type { EntryPlace, Injection, NativeBatch } from '../../engine/compiled.ts';
import type { Engine } from '../../engine/engine.ts';
import { fillSegment } from '../../packet/transport-checksum.ts';
import type { Address } from '../../wire/address.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';
import * as tcp from '../../wire/tcp.ts';
import * as udp from '../../wire/udp.ts';

/** One side of a connection. */
export interface Party {
  readonly address: Address;
  readonly entry: EntryPlace;
}

/** `established`: both ways, answered. `new`: one way, never answered: each packet is judged. */
export type TrafficKind = 'established' | 'new';

export interface WorkloadOptions {
  readonly kind: TrafficKind;
  /** Connections that the packets are of. */
  readonly connections: number;
  readonly packets: number;
  /** Ports that servers listen on. */
  readonly ports: readonly number[];
  readonly protocol: 'tcp' | 'udp' | 'both';
  readonly payload: number;
  readonly seed: number;
}

/** A connection of the workload: its packets, one each way, and how it is opened. */
interface Talk {
  readonly opening: readonly Sent[];
  readonly there: Sent;
  readonly back: Sent;
}

/** A packet, and where it enters. */
export interface Sent {
  readonly packet: Uint8Array;
  readonly entry: EntryPlace;
}

const STRIDE = 64;
const FIRST_PORT = 1024;
const PORTS = 64_000;
const STEP_NS = 1000;

export interface Workload {
  /** Packets that open the connections, in order; none when nothing is to be open. */
  readonly openings: readonly Sent[];
  /** The packets to measure, by index. */
  readonly packets: readonly Sent[];
}

/** The pairs whose connections come to stand on this engine: all of an opening gets through. */
export function openPairs(
  engine: Engine,
  pairs: readonly (readonly [Party, Party])[],
  options: WorkloadOptions,
): readonly (readonly [Party, Party])[] {
  let nowNs = 0;
  return pairs.filter((_, index) =>
    makeTalk(pairs, index, options).opening.every((sent) => {
      nowNs += STEP_NS;
      return engine.inject(injectionOf(sent, 1, nowNs)).outcome === 'delivered';
    }),
  );
}

/** Draw a workload between clients and servers; pairs repeat when there are fewer than wanted. */
export function drawWorkload(
  pairs: readonly (readonly [Party, Party])[],
  options: WorkloadOptions,
): Workload {
  const talks = Array.from({ length: options.connections }, (_, i) => makeTalk(pairs, i, options));
  const random = xorshift(options.seed);
  const isOneWay = options.kind === 'new';
  const packets = Array.from({ length: options.packets }, () => {
    const talk = talks[random() % talks.length];
    if (talk === undefined) throw new RangeError('a workload has connections');
    return isOneWay || random() & 1 ? talk.there : talk.back;
  });
  return { openings: isOneWay ? [] : talks.flatMap((talk) => talk.opening), packets };
}

function makeTalk(
  pairs: readonly (readonly [Party, Party])[],
  index: number,
  options: WorkloadOptions,
): Talk {
  const pair = pairs[index % pairs.length];
  if (pair === undefined) throw new RangeError('a workload has pairs');
  const [client, server] = pair;
  const round = Math.floor(index / pairs.length);
  const sport = FIRST_PORT + (round % PORTS);
  const dport = options.ports[index % options.ports.length] ?? 80;
  const isTcp = options.protocol === 'tcp' || (options.protocol === 'both' && index % 2 === 0);
  const there = (flags: number, seq: number, ack: number, size: number): Sent => ({
    entry: client.entry,
    packet: buildPacket(client.address, server.address, {
      sport,
      dport,
      isTcp,
      flags,
      seq,
      ack,
      size,
    }),
  });
  const back = (flags: number, seq: number, ack: number, size: number): Sent => ({
    entry: server.entry,
    packet: buildPacket(server.address, client.address, {
      ...{ sport: dport, dport: sport },
      ...{ isTcp, flags, seq, ack, size },
    }),
  });
  const { syn, ack, psh } = tcp.TcpFlag;
  const size = options.payload;
  if (options.kind === 'new')
    return { opening: [], there: there(syn, 100, 0, 0), back: back(ack, 0, 0, 0) };
  const talkThere = there(ack | psh, 101, 901, size);
  const talkBack = back(ack | psh, 901, 101, size);
  const opening = isTcp
    ? [there(syn, 100, 0, 0), back(syn | ack, 900, 101, 0), there(ack, 101, 901, 0)]
    : [talkThere, talkBack];
  return { opening: [...opening, talkThere, talkBack], there: talkThere, back: talkBack };
}

/** What a packet of a workload carries, beside its addresses. */
export interface Segment {
  readonly sport: number;
  readonly dport: number;
  readonly isTcp: boolean;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly size: number;
}

/** An IP packet with right checksums. */
export function buildPacket(src: Address, dst: Address, s: Segment): Uint8Array {
  const payload = new Uint8Array(s.size).fill(0x5a);
  const head = { window: 60_000, urgent: 0, options: new Uint8Array(0) };
  const body = s.isTcp ? tcp.emit({ ...s, ...head }, payload) : udp.emit(s, payload);
  const protocol = s.isTcp ? Protocol.tcp : Protocol.udp;
  fillSegment({ bytes: body, off: 0, end: body.length, protocol, src, dst });
  return src.family === 4 ? in4(src, dst, protocol, body) : in6(src, dst, protocol, body);
}

function in4(src: Address, dst: Address, protocol: number, body: Uint8Array): Uint8Array {
  const flags = { dontFragment: true, moreFragments: false, fragmentOffset: 0 };
  const rest = { tos: 0, id: 0, ttl: 64, options: new Uint8Array(0) };
  return ipv4.emit({ ...flags, ...rest, protocol, src, dst }, body);
}

function in6(src: Address, dst: Address, nextHeader: number, body: Uint8Array): Uint8Array {
  return ipv6.emit({ trafficClass: 0, flowLabel: 0, nextHeader, hopLimit: 64, src, dst }, body);
}

/** A small generator: order only, nothing hangs on its quality. */
function xorshift(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state >>> 4;
  };
}

/** The n-th packet as an injection. */
export function injectionOf(sent: Sent, frame: number, nowNs: number): Injection {
  const { entry, packet } = sent;
  if (entry.as === 'frame') throw new RangeError('workloads are of IP packets');
  return { ...entry, packet, frame, nowNs };
}

/** The packets as one batch; times are filled in by `stamp`. */
export function toBatch(
  packets: readonly Sent[],
  entryOf: (place: EntryPlace) => number,
): NativeBatch {
  const longest = packets.reduce((max, { packet }) => Math.max(max, packet.length), 0);
  const stride = Math.ceil(longest / STRIDE) * STRIDE;
  const count = packets.length;
  const batch = {
    packets: new Uint8Array(count * stride),
    offsets: new Uint32Array(count),
    lengths: new Uint32Array(count),
    entries: new Uint32Array(count),
    times: new Float64Array(count),
    offloaded: new Uint8Array(count),
    results: new Int32Array(count),
    out: new Uint8Array(OUT_PLACES * OUT_STRIDE),
    stride: OUT_STRIDE,
  };
  const numbers = new Map<EntryPlace, number>();
  for (const [i, { packet, entry }] of packets.entries()) {
    batch.packets.set(packet, i * stride);
    batch.offsets[i] = i * stride;
    batch.lengths[i] = packet.length;
    let number = numbers.get(entry);
    if (number === undefined) {
      number = entryOf(entry);
      numbers.set(entry, number);
    }
    batch.entries[i] = number;
  }
  return batch;
}

const OUT_PLACES = 4096;
const OUT_STRIDE = 128;

/** Give every packet its time, from `nowNs` on; returns when the last one was. */
export function stamp(batch: NativeBatch, nowNs: number): number {
  let at = nowNs;
  for (let i = 0; i < batch.times.length; i++) {
    at += STEP_NS;
    batch.times[i] = at;
  }
  return at;
}
