/**
 * Real captures as a workload: what a replay sends, recorded once and sent again as often as it
 * takes. All of a capture is in it, with its fragments, its ICMP and what is broken.
 *
 * Copies lie further apart in virtual time than any connection lives, so that each opens and ends
 * its connections anew. Addresses are given to the cluster's pods by `--map auto`'s rule.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openCaptures } from '../src/capture/reader.ts';
import { InternalError } from '../src/diagnostic/diagnostic.ts';
import { CompiledEngine, type NativeBatch } from '../src/engine/compiled.ts';
import type { Engine, Injection } from '../src/engine/engine.ts';
import { ReferenceEngine } from '../src/engine/reference.ts';
import type { BenchEngines } from '../src/lab/bench/bench-world.ts';
import { Digest, type Measured, type Sample } from '../src/lab/bench/measure.ts';
import { replay } from '../src/lab/replay.ts';
import { autoMap } from '../src/lab/traffic/auto-map.ts';
import { AddressMap } from '../src/lab/traffic/mapping.ts';
import { Survey } from '../src/lab/traffic/survey.ts';
import { Vantages } from '../src/lab/traffic/vantage.ts';
import { World, type WorldInput } from '../src/lab/world.ts';

/** The examples, and the collection beside the checkout where there is one. */
const FOLDERS = [['pcaps'], ['pcaps', 'made'], ['..', 'shared', 'data', 'captures']];
const PATTERN = /\.(p?cap(ng)?)(\.gz)?$/;
/** Longer than any timeout: five days of an idle TCP connection. */
const APART_NS = 500_000e9;
const START_NS = 1e15;
const CHECKED = 20_000;
const HEADER = 14;
const OUT = { places: 4096, stride: 128 };

export function captureFiles(): readonly string[] {
  const folders = FOLDERS.map((parts) => join(process.cwd(), ...parts)).filter(existsSync);
  return folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => PATTERN.test(name))
      .toSorted()
      .map((name) => join(folder, name)),
  );
}

/** What is sent of all captures, one capture behind the other. */
export async function recordCaptures(input: WorldInput): Promise<readonly Injection[]> {
  const sent: Injection[] = [];
  let fromNs = 0;
  for (const file of captureFiles()) {
    const injections = await recordOne(input, file);
    sent.push(...injections.map((one) => ({ ...one, nowNs: fromNs + one.nowNs })));
    fromNs = (sent.at(-1)?.nowNs ?? 0) + APART_NS;
  }
  return sent;
}

async function recordOne(input: WorldInput, file: string): Promise<readonly Injection[]> {
  const sent: Injection[] = [];
  const makeEngine: WorldInput['makeEngine'] = (topology, options) => {
    const engine = new ReferenceEngine(topology, options);
    const inject = engine.inject.bind(engine);
    engine.inject = (injection) => {
      sent.push(injection);
      return inject(injection);
    };
    return engine;
  };
  const world = new World({ ...input, makeEngine });
  const survey = new Survey();
  for await (const batch of openCaptures([file])) for (const record of batch) survey.add(record);
  await replay({
    records: openCaptures([file]),
    traffic: {
      identities: world.identities,
      map: new AddressMap(autoMap(world, survey.pairs(), [])),
      checksums: 'auto',
      survey: survey.checksums,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
    },
    stacks: [{ world, sink: { frame: () => {}, connection: () => {} } }],
    options: { openLoop: true },
  });
  // What the lab knows of choices is of the engine that it asked; draws come anew for each copy.
  return sent.map(({ choices: _, ...injection }) => injection);
}

/** Copies of all that was sent, by column; `inOrder` says which packet is which injection. */
function batchOf(sent: readonly Injection[], copies: number, engine: CompiledEngine): NativeBatch {
  const packets = sent.map((injection) => {
    if (!CompiledEngine.mayMove(injection)) return new Uint8Array(0);
    return injection.as === 'frame' ? injection.frameBytes.subarray(HEADER) : injection.packet;
  });
  const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
  const count = sent.length * copies;
  const batch = {
    packets: new Uint8Array(bytes),
    offsets: new Uint32Array(count),
    lengths: new Uint32Array(count),
    entries: new Uint32Array(count),
    times: new Float64Array(count),
    offloaded: new Uint8Array(count),
    results: new Int32Array(count),
    out: new Uint8Array(OUT.places * OUT.stride),
    stride: OUT.stride,
  };
  let at = 0;
  for (const [i, injection] of sent.entries()) {
    const packet = packets[i] ?? new Uint8Array(0);
    batch.packets.set(packet, at);
    const entry = engine.entryOf(injection);
    for (let copy = i; copy < count; copy += sent.length) {
      batch.offsets[copy] = at;
      batch.lengths[copy] = packet.length;
      batch.entries[copy] = entry;
      batch.offloaded[copy] = Number(injection.checksumOffloaded ?? false);
    }
    at += packet.length;
  }
  return batch;
}

function digestOf(engine: Engine, sent: readonly Injection[]): string {
  const digest = new Digest();
  for (const injection of sent) {
    digest.add(engine.inject({ ...injection, nowNs: START_NS + injection.nowNs }));
  }
  return digest.toString();
}

export interface CaptureOptions {
  readonly packets: number;
  readonly samples: number;
  readonly clock: () => bigint;
}

/** @throws InternalError when the engines differ: there is no figure then */
export function measureCaptures(
  make: BenchEngines,
  sent: readonly Injection[],
  { packets, samples: wanted, clock }: CaptureOptions,
): Measured {
  const asked = sent.slice(0, CHECKED);
  const digest = digestOf(make.reference(), asked);
  const got = digestOf(make.compiled(), asked);
  if (digest !== got) throw new InternalError(`reference ${digest}, compiled ${got}`);
  const engine = make.compiled();
  const batch = batchOf(sent, Math.max(1, Math.round(packets / sent.length)), engine);
  const outcomes = new Map<string, number>();
  const count = (name: string) => outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
  const samples: Sample[] = [];
  const walks = () => {
    const { moved, slow } = engine.statistics();
    return { moved, walked: Object.values(slow).reduce((sum, n) => sum + n, 0) };
  };
  let fromNs = START_NS;
  let before = walks();
  for (let round = 0; round <= wanted; round++) {
    if (round === 1) before = walks();
    for (let i = 0; i < batch.times.length; i++) {
      const injection = sent[i % sent.length];
      if (i > 0 && i % sent.length === 0) fromNs = (batch.times[i - 1] ?? 0) + APART_NS;
      batch.times[i] = fromNs + (injection?.nowNs ?? 0);
    }
    const started = clock();
    engine.injectBatch(
      batch,
      (i) => {
        const injection = sent[i % sent.length];
        if (injection === undefined) throw new InternalError('every result is of a packet');
        return { ...injection, nowNs: batch.times[i] ?? 0 };
      },
      (_, { outcome }) => count(`${outcome} walked`),
    );
    const ns = Number(clock() - started);
    if (round > 0) samples.push({ packets: batch.results.length, ns });
    fromNs = (batch.times.at(-1) ?? 0) + APART_NS;
  }
  for (const number of batch.results) {
    if (number >= 0) count(engine.decision(number)?.outcome ?? 'unknown');
  }
  const { slow, ...others } = engine.statistics();
  const after = walks();
  return {
    samples,
    digest,
    checked: asked.length,
    counters: { ...slow, ...others },
    hits: { moved: after.moved - before.moved, walked: after.walked - before.walked },
    outcomes: Object.fromEntries(outcomes),
  };
}
