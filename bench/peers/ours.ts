/**
 * The compiled engine on the packets that a peer gets: judged against the reference engine first,
 * then sampled in turns with the peer.
 *
 * Time is the processor time of this process, as that of the peers is: the machine is shared.
 * @module
 */
import { podHost } from '../../src/dataplane/dataplane.ts';
import type { CompiledEngine } from '../../src/engine/compiled.ts';
import { injectionOf, stamp, toBatch } from '../../src/lab/bench/batch.ts';
import { type BenchEngines, enginesOf } from '../../src/lab/bench/bench-world.ts';
import { measureCompiled } from '../../src/lab/bench/measure.ts';
import type { Party } from '../../src/lab/bench/talks.ts';
import type { Workload } from '../../src/lab/bench/workload.ts';
import type { World } from '../../src/lab/world.ts';

const SEED = 1;
const START_NS = 1e15;
const MICROSECOND = 1000;
/** Packets of the first look: more must be moved natively than not, or a run takes hours. */
const PROBED = 1 << 14;

/** Nanoseconds that this process has spent on processors, helpers of the runtime included. */
export function processNs(): bigint {
  const { user, system } = process.cpuUsage();
  return BigInt(user + system) * BigInt(MICROSECOND);
}

/** The two pods between which packets go. */
export function endsOf(world: World, first = 0, second = 1): readonly [Party, Party] {
  const [client, server] = [first, second].map((place): Party => {
    const pod = world.cluster.pods[place];
    const address = pod?.addresses.find(({ family }) => family === 4);
    if (pod === undefined || address === undefined) throw new RangeError('two pods with IPv4');
    return { address, entry: { as: 'local', host: podHost(pod) } };
  });
  if (client === undefined || server === undefined) throw new RangeError('two pods');
  return [client, server];
}

export class Ours {
  readonly digest: string;
  readonly outcomes = new Map<string, number>();
  readonly #workload: Workload;
  readonly #engine: CompiledEngine;
  readonly #batch: ReturnType<typeof toBatch>;
  #nowNs = START_NS;

  /** @throws InternalError when the engines differ on these packets: there is no figure then */
  constructor(world: World, workload: Workload, connections: number) {
    const sizes = { connections: Math.max(1024, connections * 1.25) };
    const engines: BenchEngines = enginesOf(world, SEED, sizes);
    const options = { samples: 0, gapS: 0, clock: processNs };
    const part = { ...workload, packets: workload.packets.slice(0, PROBED) };
    const { digest, counters } = measureCompiled(engines, part, options);
    const { moved = 0 } = counters;
    if (moved < PROBED / 2) {
      const share = `${moved} of ${PROBED} packets were moved natively`;
      throw new Error(`${share}: the reference engine would be measured`);
    }
    this.digest = digest;
    this.#workload = workload;
    this.#engine = engines.compiled();
    for (const sent of workload.openings) {
      this.#nowNs += 1000;
      this.#engine.inject(injectionOf(sent, 1, this.#nowNs));
    }
    this.#batch = toBatch(workload.packets, (place) => this.#engine.entryOf(place));
    this.#round(0);
  }

  /**
   * Millions of packets a second of processor time, over rounds of the whole workload, each `gapS`
   * virtual seconds after the last: at least one, and as many as take the `seconds` of the peer.
   */
  sample(gapS: number, seconds: number): number {
    let ns = 0;
    let packets = 0;
    do {
      ns += this.#round(gapS);
      packets += this.#workload.packets.length;
    } while (ns < seconds * 1e9);
    return (packets / ns) * 1000;
  }

  #round(gapS: number): number {
    const { packets } = this.#workload;
    const batch = this.#batch;
    this.#nowNs = stamp(batch, this.#nowNs + gapS * 1e9);
    const started = processNs();
    this.#engine.injectBatch(
      batch,
      (i) => {
        const sent = packets[i];
        if (sent === undefined) throw new RangeError('an index of the batch');
        return injectionOf(sent, i + 1, batch.times[i] ?? 0);
      },
      (_, { outcome }) => this.#count(`${outcome} walked`),
    );
    return Number(processNs() - started);
  }

  #count(name: string): void {
    this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + 1);
  }

  /** Of the last round: the outcome of each packet that was moved natively, else null. */
  lastOutcomes(): readonly (string | null)[] {
    return [...this.#batch.results].map((number) =>
      number < 0 ? null : (this.#engine.decision(number)?.outcome ?? null),
    );
  }

  /** Share of all packets so far that native code moved. */
  hitRate(): number {
    const { moved, slow } = this.#engine.statistics();
    return moved / (moved + Object.values(slow).reduce((sum, n) => sum + n, 0));
  }
}
