/**
 * How large the compiled engine's tables are made for so many connections (`--max-connections`).
 * They are taken once and never grow. What finds no place in them is moved by the reference engine:
 * a table that is too small costs time, and changes no result.
 *
 * Memory is taken as it is first written, so that tables of the default size cost a small capture
 * next to nothing.
 * @module
 */
import type { NativeSizes } from './native-door.ts';

/** Connections that there is room for when nobody says otherwise: as many as a node may track. */
export const DEFAULT_CONNECTIONS = 262_144;
/** What the smallest flow table holds. */
export const LEAST_CONNECTIONS = 64;
/** Places in the flow table are numbered with 32 bits, and some numbers mean something else. */
export const MOST_CONNECTIONS = 1 << 26;

/** Decisions and IPv6 addresses there is room for, of so many connections one each. */
const SHARING = 4;
const LEAST_SHARED = 1024;
/** Who keeps something by number of decision counts on no more (lab/lane/lanes.ts). */
export const MOST_DECISIONS = 1 << 20;
const MOST_ADDRESSES = 1 << 22;

/** Hosts and sets of hosts are the cluster's, not the traffic's. */
const HOSTS = 262_144;
const HOST_SETS = 65_536;

/** Tables for so many connections, each under one name; translated ones take two to four places. */
export function sizesFor(connections: number): NativeSizes {
  const shared = Math.max(LEAST_SHARED, Math.ceil(connections / SHARING));
  return {
    connections,
    decisions: Math.min(MOST_DECISIONS, shared),
    addresses: Math.min(MOST_ADDRESSES, shared),
    hosts: HOSTS,
    hostSets: HOST_SETS,
  };
}

/** Bytes of a place in the flow table: its name, its record, its TCP tracking, its source. */
const PLACE_BYTES = 16 + 64 + 64 + 4;
const WAYS = 4;
const PROBES = 16;

/** Bytes of a flow table that is full (`FlowTable` of native/src/engine/flow-table.hh). */
export function flowTableBytes(connections: number): number {
  const buckets = Math.floor(Math.floor((connections * 10) / 7) / WAYS) + PROBES;
  return 2 ** Math.ceil(Math.log2(buckets)) * WAYS * PLACE_BYTES;
}
