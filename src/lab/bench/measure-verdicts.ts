/**
 * How fast verdicts alone are, by class tables (engine/verdicts.ts), and proof that they are right:
 * before any figure is taken, the reference engine is asked about the first packets.
 * @module
 */
import { InternalError } from '../../diagnostic/diagnostic.ts';
import { Slow } from '../../engine/compiled/layout.ts';
import type { NativeAddon } from '../../engine/compiled/native-door.ts';
import { ReferenceEngine } from '../../engine/reference.ts';
import type { Topology } from '../../engine/topology.ts';
import { type VerdictBatch, type VerdictKind, Verdicts } from '../../engine/verdicts.ts';
import { u16, u32 } from '../../wire/bytes.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import { Protocol } from '../../wire/protocol.ts';
import { injectionOf } from './batch.ts';
import { Digest, type Measured, type MeasureOptions, type Sample } from './measure.ts';
import type { Sent } from './talks.ts';
import type { Workload } from './workload.ts';

/** Packets that the reference engine is asked about. */
const CHECKED = 1000;
/** A plain IPv4 header. */
const HEADER = 20;

/** Packets by column. */
export function columnsOf(verdicts: Verdicts, packets: readonly Sent[]): VerdictBatch {
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

function kindOf(entry: Sent['entry'], protocol: number): VerdictKind {
  if (entry.as === 'frame') throw new RangeError('workloads are of IP packets');
  return { protocol: protocol === Protocol.tcp ? 'tcp' : 'udp', entry };
}

export interface VerdictRunOptions extends MeasureOptions {
  readonly seed: number;
  readonly addon: NativeAddon;
}

/** Verdicts on a workload of IPv4 packets that open connections, measured round by round. */
export class VerdictRun {
  readonly #options: VerdictRunOptions;
  readonly #verdicts: Verdicts;
  readonly #batch: VerdictBatch;
  readonly #digest: string;
  readonly #checked: number;
  readonly #samples: Sample[] = [];
  #walked: number;
  #rounds = 0;

  /** @throws InternalError when they differ from the reference engine's: there is no figure then */
  constructor(topology: Topology, workload: Workload, options: VerdictRunOptions) {
    const { addon, seed } = options;
    this.#options = options;
    this.#verdicts = new Verdicts(topology, { addon, seed });
    this.#batch = columnsOf(this.#verdicts, workload.packets);
    const asked = workload.sample?.packets ?? workload.packets;
    this.#checked = Math.min(CHECKED, asked.length);
    const part = asked.slice(0, this.#checked);
    this.#digest = checkedDigest(topology, this.#verdicts, part, options);
    const { progress } = options;
    const { length } = this.#batch.results;
    this.#verdicts.run(this.#batch, (at) => progress?.('walking combinations', at, length));
    this.#walked = this.#verdicts.walked;
  }

  /** All packets once. The first round only fills the tables. */
  round(): void {
    const { clock, samples, progress } = this.#options;
    const packets = this.#batch.results.length;
    progress?.(`sample ${this.#rounds} of ${samples}`, 0, packets);
    const started = clock();
    this.#verdicts.run(this.#batch);
    const ns = Number(clock() - started);
    if (this.#rounds === 0) this.#walked = this.#verdicts.walked;
    else this.#samples.push({ packets, ns });
    this.#rounds += 1;
  }

  end(): Measured {
    const { results } = this.#batch;
    const outcomes = new Map<string, number>();
    for (const number of results) {
      const { outcome } = this.#verdicts.journey(number);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    const newFacts = this.#verdicts.walked - this.#walked;
    const none = Object.fromEntries(Object.keys(Slow).map((reason) => [reason, 0]));
    const moved = results.length * this.#samples.length - newFacts;
    return {
      samples: this.#samples,
      digest: this.#digest,
      checked: this.#checked,
      counters: { moved, ...none, newFacts, connections: 0, decisions: 0, tableBytes: 0 },
      hits: { moved, walked: newFacts },
      outcomes: Object.fromEntries(outcomes),
    };
  }
}

/** A digest of what both say of these packets. */
function checkedDigest(
  topology: Topology,
  verdicts: Verdicts,
  packets: readonly Sent[],
  { seed, progress }: VerdictRunOptions,
): string {
  const batch = columnsOf(verdicts, packets);
  verdicts.run(batch);
  const reference = new ReferenceEngine(topology, { seed });
  const [want, got] = [new Digest(), new Digest()];
  for (const [i, sent] of packets.entries()) {
    progress?.('checking verdicts', i, packets.length);
    const [course] = reference.courses(injectionOf(sent, i + 1, 0), () => null).courses;
    if (course === undefined) throw new InternalError('a packet takes some course');
    // Bytes are those of the first packet of a kind.
    for (const [digest, journey] of [
      [want, course.forward],
      [got, verdicts.journey(batch.results[i] ?? -1)],
    ] as const) {
      digest.add({ ...journey, packet: null, frame: null });
    }
  }
  if (want.toString() === got.toString()) return want.toString();
  throw new InternalError(`verdicts differ on the first packets: ${want} and ${got}`);
}
