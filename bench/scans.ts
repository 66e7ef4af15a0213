/**
 * Workloads in which no packet is like another: scans, and combinations of classes that never met.
 * @module
 */
import type { EntryPlace } from '../src/engine/compiled.ts';
import type { Pairs, Party } from '../src/lab/bench/talks.ts';
import type { World } from '../src/lab/world.ts';
import { ipv4 } from '../src/wire/address/address.ts';
import { FIRST_UNUSED_PORT, OPEN_PORT, UNUSED_PORTS } from './clusters.ts';
import type { Scan } from './trials.ts';

const PORTS = 65_536;
/** 11.0.0.0 and what follows: addresses that are nobody's in a generated cluster. */
const OUTSIDE = 0x0b000000;
const CLIENTS = 1 << 17;
/** Decisions that the engine may hold when it is to forget: fewer than packets between two alike. */
export const FEW_DECISIONS = 256;

/** The ports that a scan of a cluster with so many policies asks for. */
export function portsOf(scan: Scan | undefined, policies: number): readonly number[] {
  if (scan === 'ports') return Array.from({ length: PORTS - 1 }, (_, i) => i + 1);
  if (scan === 'combinations') return combinations(policies);
  return [OPEN_PORT];
}

/**
 * By turns a port that one of the policies opens, the first as often as the last and any other, each
 * a class of its own; and one that none opens, so that all policies are passed by.
 */
function combinations(policies: number): readonly number[] {
  const opening = Math.min(policies - 1, UNUSED_PORTS);
  return Array.from({ length: COMBINED }, (_, i) => {
    if (i % 2 === 1) return FIRST_UNUSED_PORT + UNUSED_PORTS + ((i * 37) % OPENED_BY_NONE);
    return FIRST_UNUSED_PORT + Math.floor((i * opening) / COMBINED);
  });
}

const COMBINED = 4096;
const OPENED_BY_NONE = 5000;

/** Who sends to whom: pairs of pods, or addresses outside and pods. */
export function scanPairs(world: World, scan: Scan | undefined, pods: Pairs): Pairs {
  if (scan !== 'outside') return pods;
  const { host, device } = world.edge();
  const entry: EntryPlace = { as: 'received', host, device };
  return Array.from({ length: CLIENTS }, (_, i): readonly [Party, Party] => {
    const server = pods[i % pods.length]?.[1];
    if (server === undefined) throw new RangeError('a scan has servers');
    // Odd factors visit all addresses below 2^24 in an order of no use to a cache.
    return [{ address: ipv4(OUTSIDE + ((i * 0x9e3779b1) & 0xffffff)), entry }, server];
  });
}

/** Room for the flows of one-way packets, and for decisions. */
export function sizesOf(
  scan: Scan | undefined,
  places: number,
): { readonly connections: number; readonly decisions?: number } {
  const room = { connections: Math.max(1024, places) };
  return scan === 'combinations' ? { ...room, decisions: FEW_DECISIONS } : room;
}
