/**
 * A stack as a bench uses it: engines that start with nothing, and the pairs of pods whose traffic
 * is measured.
 * @module
 */
import { podHost } from '../../dataplane/dataplane.ts';
import { UserError } from '../../diagnostic/diagnostic.ts';
import {
  findNative,
  type NativeAddon,
  type NativeSizes,
} from '../../engine/compiled/native-door.ts';
import { CompiledEngine } from '../../engine/compiled.ts';
import type { Engine } from '../../engine/engine.ts';
import { ReferenceEngine } from '../../engine/reference.ts';
import type { Topology } from '../../engine/topology.ts';
import type { Family } from '../../wire/address/address.ts';
import type { World } from '../world.ts';
import type { Pairs, Party } from './talks.ts';
import { openPairs, type Progress, type WorkloadOptions } from './workload.ts';

/** More pairs than this tell nothing new, and their packets would not fit a cache of any kind. */
const MAX_PAIRS = 512;

/** Pairs of different pods of one family, spread over the cluster. */
function pairsOf(world: World, family: Family): Pairs {
  const parties = world.cluster.pods.flatMap((pod): Party[] => {
    const address = pod.addresses.find((a) => a.family === family);
    if (address === undefined || pod.hostNetwork) return [];
    return [{ address, entry: { as: 'local', host: podHost(pod) } }];
  });
  const count = Math.min(MAX_PAIRS, parties.length * (parties.length - 1));
  if (count === 0) {
    const message = `the cluster needs two pods with IPv${family} addresses to send packets between`;
    throw new UserError([{ code: 'BENCH_PODS', message }]);
  }
  return Array.from({ length: count }, (_, i) => {
    const from = i % parties.length;
    const step = 1 + (Math.floor(i / parties.length) % (parties.length - 1));
    const client = parties[from];
    const server = parties[(from + step) % parties.length];
    if (client === undefined || server === undefined) throw new RangeError('pods are counted');
    return [client, server] as const;
  });
}

/**
 * The pairs to measure: of answered connections only those that policies let through.
 * @throws UserError when there are none
 */
export function measuredPairs(
  world: World,
  engine: Engine,
  family: Family,
  options: WorkloadOptions,
  progress?: Progress,
): Pairs {
  const pairs = pairsOf(world, family);
  if (options.kind === 'new') return pairs;
  const open = openPairs(engine, pairs, options, progress);
  if (open.length > 0) return open;
  const message = 'no connection between pods gets through on these ports: nothing to measure';
  throw new UserError([{ code: 'BENCH_DENIED', field: '--port', message }]);
}

export interface BenchEngines {
  readonly addon: NativeAddon;
  readonly compiled: () => CompiledEngine;
  readonly reference: () => ReferenceEngine;
}

/**
 * Makers of engines on the world's network.
 * @throws UserError when the compiled engine is not there
 */
export function enginesOf(world: World, seed: number, sizes: Partial<NativeSizes>): BenchEngines {
  return enginesOn(world.topology, seed, sizes);
}

/** The same, on any network. */
export function enginesOn(
  topology: Topology,
  seed: number,
  sizes: Partial<NativeSizes>,
): BenchEngines {
  const native = findNative();
  if (native.addon === null) {
    const message = `the compiled engine is not there: ${native.reason}`;
    throw new UserError([{ code: 'ENGINE_MISSING', message }], 'environment');
  }
  const { addon } = native;
  return {
    addon,
    compiled: () => new CompiledEngine(topology, { seed, addon, sizes }),
    reference: () => new ReferenceEngine(topology, { seed }),
  };
}
