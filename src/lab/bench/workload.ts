/**
 * Synthetic traffic for measuring an engine: connections between the pods of a cluster, and packets
 * of them in an order that no branch predictor can learn.
 *
 * Nothing of it is switched off that a replay has: checksums are right and are judged, every packet
 * is timed, tracked, counted and rewritten.
 * @module
 */
import type { Engine } from '../../engine/engine.ts';
import { injectionOf } from './batch.ts';
import { type Packets, type Pairs, type Sent, Talks } from './talks.ts';

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
  /** Packets of the sample that both engines are asked about; absent: some thousands. */
  readonly checked?: number;
}

/** `done` of `of` packets, or pairs, of a phase. */
export type Progress = (phase: string, done: number, of: number) => void;

/** Packets, and those that open the connections which they are of. */
export interface Traffic {
  /** In order; none when nothing is to be open. */
  readonly openings: Packets;
  readonly packets: readonly Sent[];
}

export interface Workload extends Traffic {
  /** Connections of it with packets of no others: what is asked of both engines. */
  readonly sample?: Traffic;
}

/** Connections of which the packets that a measurement repeats are kept. */
const KEPT = 1 << 17;
export const CHECKED = 4000;
/** Packets of the sample to each connection of it: both ways, more than once. */
const CHECKED_PACKETS = 5;
const STEP_NS = 1000;

/** The pairs whose connections come to stand on this engine: all of an opening gets through. */
export function openPairs(
  engine: Engine,
  pairs: Pairs,
  options: WorkloadOptions,
  progress?: Progress,
): Pairs {
  const talks = talksOf(pairs, options);
  let nowNs = 0;
  return pairs.filter((_, index) => {
    progress?.('finding pairs that may talk', index, pairs.length);
    return talks.opening(index).every((sent) => {
      nowNs += STEP_NS;
      return engine.inject(injectionOf(sent, 1, nowNs)).outcome === 'delivered';
    });
  });
}

function talksOf(pairs: Pairs, options: WorkloadOptions): Talks {
  return new Talks(pairs, { ...options, isOneWay: options.kind === 'new' });
}

/** Draw a workload between clients and servers; pairs repeat when there are fewer than wanted. */
export function drawWorkload(pairs: Pairs, options: WorkloadOptions): Workload {
  const talks = talksOf(pairs, options);
  const random = xorshift(options.seed);
  const all = { length: talks.length, at: (i: number) => i };
  // By itself no more are checked than are measured.
  const { checked = Math.min(CHECKED, options.packets) } = options;
  const isOneWay = options.kind === 'new';
  const chosen = sampleOf(talks.length, isOneWay ? checked : Math.ceil(checked / CHECKED_PACKETS));
  return {
    openings: talks.openings(),
    packets: drawPackets(talks, all, { count: options.packets, isOneWay, random }),
    sample: {
      openings: chosen.flatMap((talk) => talks.opening(talk)),
      packets: drawPackets(talks, chosen, { count: checked, isOneWay, random }),
    },
  };
}

/** Connections all over the workload, of either protocol. */
function sampleOf(of: number, wanted: number): readonly number[] {
  if (of <= wanted) return Array.from({ length: of }, (_, i) => i);
  const spread = Array.from({ length: wanted }, (_, i) => Math.floor((i * of) / wanted) + (i & 1));
  return [...new Set(spread.map((talk) => Math.min(talk, of - 1)))];
}

interface Draw {
  readonly count: number;
  readonly isOneWay: boolean;
  readonly random: () => number;
}

function drawPackets(
  talks: Talks,
  of: { readonly length: number; at(index: number): number | undefined },
  { count, isOneWay, random }: Draw,
): readonly Sent[] {
  const kept = new Map<number, Sent>();
  const packetOf = (talk: number, isThere: boolean) => {
    const make = () => (isThere ? talks.there(talk) : talks.back(talk));
    if (talks.length > KEPT) return make();
    const place = talk * 2 + Number(isThere);
    const sent = kept.get(place) ?? make();
    kept.set(place, sent);
    return sent;
  };
  return Array.from({ length: count }, () => {
    const talk = of.at(random() % of.length);
    if (talk === undefined) throw new RangeError('a workload has connections');
    return packetOf(talk, isOneWay || (random() & 1) === 1);
  });
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
