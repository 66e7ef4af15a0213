/**
 * How fast verdicts alone are, by class tables (engine/verdicts.ts), and proof that they are right:
 * before any figure is taken, the reference engine is asked about the first packets.
 * @module
 */
import { InternalError } from '../../diagnostic/diagnostic.ts';
import { Slow } from '../../engine/compiled/layout.ts';
import type { NativeAddon } from '../../engine/compiled/native-door.ts';
import type { Journey } from '../../engine/engine.ts';
import { ReferenceEngine } from '../../engine/reference.ts';
import type { Topology } from '../../engine/topology.ts';
import { type VerdictBatch, type VerdictKind, Verdicts } from '../../engine/verdicts.ts';
import { u16, u32 } from '../../wire/bytes.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { Protocol } from '../../wire/protocol.ts';
import { Digest, type Measured, type MeasureOptions, type Sample } from './measure.ts';
import { injectionOf, type Workload } from './workload.ts';

/** Packets that the reference engine is asked about. */
const CHECKED = 1000;
/** A plain IPv4 header. */
const HEADER = 20;

/** The workload's packets by column. */
export function columnsOf(verdicts: Verdicts, { packets }: Workload): VerdictBatch {
  const words = () => new Uint32Array(packets.length);
  const batch = { src: words(), dst: words(), ports: words(), kinds: words() };
  const kinds = new Map<object, Map<number, number>>();
  for (const [i, { packet, entry }] of packets.entries()) {
    batch.src[i] = u32(packet, ipv4.SOURCE);
    batch.dst[i] = u32(packet, ipv4.DESTINATION);
    batch.ports[i] = (u16(packet, HEADER) | (u16(packet, HEADER + 2) << 16)) >>> 0;
    const protocol = ipv4.protocol(packet, 0);
    const ofEntry = kinds.get(entry) ?? new Map<number, number>();
    kinds.set(entry, ofEntry);
    const known = ofEntry.get(protocol);
    const kind = known ?? verdicts.kindOf(kindOf(entry, protocol));
    if (known === undefined) ofEntry.set(protocol, kind);
    batch.kinds[i] = kind;
  }
  return { ...batch, results: new Int32Array(packets.length) };
}

function kindOf(entry: Workload['packets'][number]['entry'], protocol: number): VerdictKind {
  if (entry.as === 'frame') throw new RangeError('workloads are of IP packets');
  return { protocol: protocol === Protocol.tcp ? 'tcp' : 'udp', entry };
}

/**
 * Measure verdicts on a workload of IPv4 packets that open connections.
 *
 * @throws InternalError when they differ from the reference engine's: there is no figure then
 */
export function measureVerdicts(
  topology: Topology,
  workload: Workload,
  options: MeasureOptions & { readonly seed: number; readonly addon: NativeAddon },
): Measured {
  const { addon, seed, samples: wanted, clock } = options;
  const verdicts = new Verdicts(topology, { addon, seed });
  const batch = columnsOf(verdicts, workload);
  verdicts.run(batch);
  const journeyOf = (i: number) => verdicts.journey(batch.results[i] ?? -1);
  const digest = checkedDigest(topology, seed, workload, journeyOf);
  const before = verdicts.walked;
  const samples: Sample[] = [];
  for (let round = 0; round < wanted; round++) {
    const started = clock();
    verdicts.run(batch);
    samples.push({ packets: batch.results.length, ns: Number(clock() - started) });
  }
  const outcomes = new Map<string, number>();
  for (let i = 0; i < batch.results.length; i++) {
    const { outcome } = journeyOf(i);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  const newFacts = verdicts.walked - before;
  const none = Object.fromEntries(Object.keys(Slow).map((reason) => [reason, 0]));
  const moved = batch.results.length * wanted - newFacts;
  const counters = { moved, ...none, newFacts, connections: 0, decisions: 0, tableBytes: 0 };
  const checked = Math.min(CHECKED, workload.packets.length);
  return { samples, digest, checked, counters, outcomes: Object.fromEntries(outcomes) };
}

/** A digest of what both say of the first packets. */
function checkedDigest(
  topology: Topology,
  seed: number,
  { packets }: Workload,
  said: (packet: number) => Journey,
): string {
  const reference = new ReferenceEngine(topology, { seed });
  const [want, got] = [new Digest(), new Digest()];
  for (const [i, sent] of packets.slice(0, CHECKED).entries()) {
    const [course] = reference.courses(injectionOf(sent, i + 1, 0), () => null).courses;
    if (course === undefined) throw new InternalError('a packet takes some course');
    // Bytes are those of the first packet of a kind.
    for (const [digest, journey] of [
      [want, course.forward],
      [got, said(i)],
    ] as const) {
      digest.add({ ...journey, packet: null, frame: null });
    }
  }
  if (want.toString() === got.toString()) return want.toString();
  throw new InternalError(`verdicts differ on the first packets: ${want} and ${got}`);
}
