/**
 * Routes, routing rules, neighbours and forwarding entries of a host from their records.
 *
 * Left out because the kernel makes them by itself: table local (the addresses give it), multicast
 * and anycast routes, and the reject route that ends every IPv6 table.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import {
  type FdbEntry,
  LOCAL_TABLE,
  MAIN_TABLE,
  type Neighbor,
  type Route,
  type RouteType,
  type RoutingRule,
} from '../plan/model.ts';
import {
  ANY4,
  ANY6,
  type Family,
  hostPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../wire/address/address.ts';
import { isGroupMac, parseMac, ZERO_MAC } from '../wire/address/mac.ts';
import {
  type FdbRecord,
  type NeighborRecord,
  type RouteRecord,
  type RuleRecord,
  recordFault,
} from './record/records.ts';

const ROUTE_TYPES = [
  'unicast',
  'local',
  'broadcast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
] as const satisfies readonly RouteType[];

const DEFAULT_TABLE = 253;
/** Names of /etc/iproute2/rt_tables that a dump does not explain get numbers from here on. */
const FIRST_NAMED = 0x4000_0000;
/** Metric of the kernel's own last IPv6 route. */
const NULL_ROUTE_METRIC = 0xffff_ffff;

/** Numbers of routing tables by name, the same for routes and rules of one host. */
export class TableNumbers {
  readonly #known = new Map<string, number>([
    ['local', LOCAL_TABLE],
    ['main', MAIN_TABLE],
    ['default', DEFAULT_TABLE],
  ]);

  of(name: string): number {
    if (/^\d+$/.test(name)) return Number(name);
    const number = this.#known.get(name) ?? FIRST_NAMED + this.#known.size;
    this.#known.set(name, number);
    return number;
  }
}

/** Collects what is wrong, and knows which devices there are. */
export interface Reading {
  readonly faults: Diagnostic[];
  readonly tables: TableNumbers;
  /** Null when nobody listed the devices. */
  readonly devices: ReadonlySet<string> | null;
}

/** Make a route; null when it is left out or wrong (then the fault is noted). */
export function routeOf(record: RouteRecord, reading: Reading): Route | null {
  const { at, dst, gateway, dev } = record;
  const type = ROUTE_TYPES.find((one) => one === record.type);
  const table = reading.tables.of(record.table);
  if (isKernels(record, table)) return null;
  const fault = (message: string, found: string) => {
    reading.faults.push(recordFault(at, message, found));
    return null;
  };
  if (type === undefined) return fault('a route of a type that is not emulated', record.type);
  const via = gateway === undefined ? undefined : parseAddress(gateway);
  if (via === null) return fault('not an address of a next hop', gateway ?? '');
  const source = record.prefsrc === undefined ? undefined : parseAddress(record.prefsrc);
  const family = via?.family ?? source?.family ?? record.family ?? 4;
  const destination = prefixOf(dst, family);
  if (destination === null) return fault('not a destination of a route', dst);
  if (via !== undefined && via.family !== destination.address.family) {
    return fault('a next hop of another family is not emulated', `${dst} via ${gateway}`);
  }
  if (isGroup(destination)) return null;
  if (dev === undefined && (type === 'unicast' || type === 'local' || type === 'broadcast')) {
    return fault('a route without a device', dst);
  }
  if (dev !== undefined && !hasDevice(reading, dev)) {
    return fault('a route out of a device that does not exist', `${dst} dev ${dev}`);
  }
  const leads = type === 'unicast' || type === 'local' || type === 'broadcast';
  return {
    family: destination.address.family,
    type,
    destination,
    table,
    metric: record.metric,
    scope: scopeOf(record.scope),
    ...(leads && dev !== undefined ? { device: dev } : {}),
    ...(via === undefined ? {} : { via }),
    ...(source === undefined || source === null ? {} : { source }),
    ...(record.flags.includes('onlink') ? { onlink: true } : {}),
    ...(record.multipath ? { assumed: true } : {}),
  };
}

/** Routes that are there whoever configures the host, and dead ones. */
function isKernels(record: RouteRecord, table: number): boolean {
  const { type, protocol, dev, metric, flags } = record;
  if (type === 'multicast' || type === 'anycast' || flags.includes('dead')) return true;
  if (table === LOCAL_TABLE && protocol === 'kernel') return true;
  return type === 'unreachable' && dev === 'lo' && metric === NULL_ROUTE_METRIC;
}

function isGroup({ address }: Prefix): boolean {
  return address.family === 6 ? address.w0 >>> 24 === 0xff : address.w3 >>> 28 === 0xe;
}

/** `default`, `all`, an address or a prefix (with the short form `10/8`). */
function prefixOf(text: string, family: Family): Prefix | null {
  if (text === 'default' || text === 'all' || text === 'any') {
    return { address: family === 4 ? ANY4 : ANY6, length: 0 };
  }
  const address = parseAddress(text);
  if (address !== null) return hostPrefix(address);
  const [head = '', length] = text.split('/');
  const padded = /^\d+(\.\d+){0,2}$/.test(head) ? `${head}${'.0'.repeat(4 - parts(head))}` : head;
  return parsePrefix(length === undefined ? padded : `${padded}/${length}`);
}

function parts(head: string): number {
  return head.split('.').length;
}

function scopeOf(scope: string | undefined): Route['scope'] {
  if (scope === 'link' || scope === '253') return 'link';
  return scope === 'host' || scope === '254' ? 'host' : 'global';
}

function hasDevice({ devices }: Reading, name: string): boolean {
  return devices === null || devices.has(name);
}

export function ruleOf(record: RuleRecord, reading: Reading): RoutingRule | null {
  const { at, priority, src, dst, iif, oif, others } = record;
  const fault = (message: string, found: string) => {
    reading.faults.push(recordFault(at, message, found));
    return null;
  };
  if (others.length > 0) {
    return fault('this part of a routing rule is not emulated', others.join(' '));
  }
  if (record.table === undefined) return fault('a routing rule without a table', String(priority));
  const family = [src, dst].some((net) => net.includes(':')) ? 6 : (record.family ?? 4);
  const from = prefixOf(src, family);
  const to = prefixOf(dst, family);
  if (from === null || to === null) return fault('not a net', from === null ? src : dst);
  const mark = record.fwmark === undefined ? undefined : markOf(record.fwmark);
  if (mark === null) return fault('not a mark', record.fwmark ?? '');
  return {
    family,
    preference: priority,
    table: reading.tables.of(record.table),
    ...(from.length === 0 ? {} : { from }),
    ...(to.length === 0 ? {} : { to }),
    ...(iif === undefined ? {} : { iif }),
    ...(oif === undefined ? {} : { oif }),
    ...(mark === undefined ? {} : { fwmark: mark }),
    ...(record.not ? { negate: true } : {}),
  };
}

function markOf(text: string): { readonly value: number; readonly mask: number } | null {
  const m = /^(0x[0-9a-f]{1,8}|\d{1,10})(?:\/(0x[0-9a-f]{1,8}|\d{1,10}))?$/i.exec(text);
  return m ? { value: Number(m[1]), mask: m[2] === undefined ? 0xffffffff : Number(m[2]) } : null;
}

const STATES: Readonly<Record<string, Neighbor['state']>> = {
  PERMANENT: 'permanent',
  REACHABLE: 'reachable',
  STALE: 'stale',
  DELAY: 'stale',
  PROBE: 'probe',
  NOARP: 'noarp',
  FAILED: 'failed',
};

/** Entries that are only being asked for, and those of groups, say nothing. */
export function neighborOf(record: NeighborRecord, reading: Reading): Neighbor | null {
  const { at, dst, dev, states } = record;
  const address = parseAddress(dst);
  if (address === null) {
    reading.faults.push(recordFault(at, 'not the address of a neighbour', dst));
    return null;
  }
  if (!hasDevice(reading, dev)) {
    const found = `${dst} dev ${dev}`;
    reading.faults.push(recordFault(at, 'a neighbour on a device that does not exist', found));
    return null;
  }
  const state = states.map((one) => STATES[one]).find((one) => one !== undefined);
  const mac = parseMac(record.mac ?? '');
  if (state === 'failed') return { address, device: dev, mac: ZERO_MAC, state };
  if (mac === null || state === undefined || isGroupMac(mac)) return null;
  return { address, device: dev, mac, state };
}

/** Entries of bridges; those of a device's own filter (`self`) are not about forwarding. */
export function fdbEntryOf(record: FdbRecord, reading: Reading): FdbEntry | null {
  const { at, dev, master, state } = record;
  if (master === undefined) return null;
  const mac = parseMac(record.mac);
  if (mac === null) {
    reading.faults.push(recordFault(at, 'not an Ethernet address', record.mac));
    return null;
  }
  if (isGroupMac(mac)) return null;
  if (!hasDevice(reading, dev) || !hasDevice(reading, master)) {
    const found = `${mac} dev ${dev} master ${master}`;
    reading.faults.push(recordFault(at, 'an entry of a device that does not exist', found));
    return null;
  }
  const kind = state === 'permanent' || state === 'static' ? state : 'learned';
  return { mac, bridge: master, port: dev, kind };
}
