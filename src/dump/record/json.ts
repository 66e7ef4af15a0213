/**
 * Records from the JSON of `ip -j` and `bridge -j`.
 *
 * Empty objects are passed over: iproute2 before 5.0 prints them for what it filtered out.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { Family } from '../../wire/address/address.ts';
import type { DumpFile } from '../file/dump-file.ts';
import {
  type AddressRecord,
  type FdbRecord,
  type LinkRecord,
  type NeighborRecord,
  type RecordPlace,
  type RouteRecord,
  type RuleRecord,
  recordFault,
} from './records.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** The objects of a file. Throws when it is no JSON list of objects. */
export function jsonObjects(file: DumpFile): readonly JsonObject[] {
  let value: unknown;
  try {
    value = JSON.parse(file.text);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new UserError([{ code: 'DUMP_JSON', file: file.path, message }], 'usage', cause);
  }
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const faults: Diagnostic[] = [];
  const objects = list.flatMap((one): JsonObject[] => {
    if (typeof one !== 'object' || one === null || Array.isArray(one)) {
      const found = JSON.stringify(one);
      faults.push(recordFault({ file: file.path }, 'not an object', found));
      return [];
    }
    return Object.keys(one).length === 0 ? [] : [one as JsonObject];
  });
  if (faults.length > 0) throw new UserError(faults);
  return objects;
}

function textOf(o: JsonObject, key: string): string | undefined {
  const value = o[key];
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
}

function numberOf(o: JsonObject, key: string): number | undefined {
  const value = o[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function textsOf(o: JsonObject, key: string): readonly string[] {
  const value = o[key];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function objectOf(o: JsonObject, key: string): JsonObject {
  const value = o[key];
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {};
}

/** Only the fields that are there. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** `ip -j addr`, `ip -j -d link`, `bridge -j -d link`. */
export function jsonLinks(file: DumpFile, withAddresses: boolean): readonly LinkRecord[] {
  return need(file, ['ifname'], (o, at) => {
    const info = objectOf(o, 'linkinfo');
    const port = objectOf(info, 'info_slave_data');
    const hairpin = o['hairpin'] ?? port['hairpin'];
    return {
      at,
      name: textOf(o, 'ifname') ?? '',
      flags: textsOf(o, 'flags'),
      ...present({
        peer: textOf(o, 'link') ?? (o['link_index'] === undefined ? undefined : '?'),
        mtu: numberOf(o, 'mtu'),
        master: textOf(o, 'master'),
        linkType: textOf(o, 'link_type'),
        mac: textOf(o, 'address'),
        kind: textOf(info, 'info_kind'),
        hairpin: typeof hairpin === 'boolean' ? hairpin : undefined,
        promiscuity: numberOf(o, 'promiscuity'),
        addresses: withAddresses ? addressesOf(o) : undefined,
      }),
    };
  });
}

function addressesOf(o: JsonObject): readonly AddressRecord[] {
  const list = o['addr_info'];
  const objects = Array.isArray(list) ? (list as unknown[]) : [];
  return objects.flatMap((one): AddressRecord[] => {
    const info = typeof one === 'object' && one !== null ? (one as JsonObject) : {};
    const local = textOf(info, 'local');
    if (local === undefined) return [];
    const length = numberOf(info, 'prefixlen') ?? (local.includes(':') ? 128 : 32);
    // With a peer the prefix length is the peer's.
    const own = info['address'] === undefined ? length : local.includes(':') ? 128 : 32;
    return [{ local, length: own, scope: textOf(info, 'scope') ?? 'global' }];
  });
}

/** `ip -j route show table all`. */
export function jsonRoutes(file: DumpFile, family?: Family): readonly RouteRecord[] {
  return need(file, ['dst'], (o, at) => {
    const hops = Array.isArray(o['nexthops']) ? (o['nexthops'] as unknown[]) : [];
    const [first] = hops;
    const hop = typeof first === 'object' && first !== null ? (first as JsonObject) : {};
    const via = objectOf(o, 'via');
    return {
      at,
      type: textOf(o, 'type') ?? 'unicast',
      dst: textOf(o, 'dst') ?? '',
      table: textOf(o, 'table') ?? 'main',
      metric: numberOf(o, 'metric') ?? 0,
      flags: [...textsOf(o, 'flags'), ...textsOf(hop, 'flags')],
      multipath: hops.length > 1,
      ...present({
        gateway: textOf(o, 'gateway') ?? textOf(via, 'host') ?? textOf(hop, 'gateway'),
        dev: textOf(o, 'dev') ?? textOf(hop, 'dev'),
        protocol: textOf(o, 'protocol'),
        scope: textOf(o, 'scope'),
        prefsrc: textOf(o, 'prefsrc'),
        family,
      }),
    };
  });
}

/** Keys of a rule that records hold; the others change which packets it is about. */
const RULE_KEYS: ReadonlySet<string> = new Set([
  'priority',
  'not',
  'src',
  'srclen',
  'dst',
  'dstlen',
  'iif',
  'iif_detached',
  'oif',
  'oif_detached',
  'fwmark',
  'fwmask',
  'table',
  'protocol',
]);

/** `ip -j rule`. */
export function jsonRules(file: DumpFile, family?: Family): readonly RuleRecord[] {
  return need(file, ['priority'], (o, at) => {
    const net = (key: string) => {
      const address = textOf(o, key) ?? 'all';
      const length = textOf(o, `${key}len`);
      return length === undefined ? address : `${address}/${length}`;
    };
    const mark = textOf(o, 'fwmark');
    const mask = textOf(o, 'fwmask');
    const others = Object.keys(o).filter((key) => !RULE_KEYS.has(key));
    return {
      at,
      priority: numberOf(o, 'priority') ?? 0,
      not: 'not' in o,
      src: net('src'),
      dst: net('dst'),
      others: others.map((key) => `${key} ${JSON.stringify(o[key])}`),
      ...present({
        iif: textOf(o, 'iif'),
        oif: textOf(o, 'oif'),
        fwmark: mark === undefined || mask === undefined ? mark : `${mark}/${mask}`,
        table: textOf(o, 'table'),
        family,
      }),
    };
  });
}

/** `ip -j neigh`. */
export function jsonNeighbors(file: DumpFile): readonly NeighborRecord[] {
  return need(file, ['dst', 'dev'], (o, at) => ({
    at,
    dst: textOf(o, 'dst') ?? '',
    dev: textOf(o, 'dev') ?? '',
    states: textsOf(o, 'state'),
    ...present({ mac: textOf(o, 'lladdr') }),
  }));
}

/** `bridge -j fdb`. */
export function jsonFdb(file: DumpFile): readonly FdbRecord[] {
  return need(file, ['mac', 'ifname'], (o, at) => ({
    at,
    mac: textOf(o, 'mac') ?? '',
    dev: textOf(o, 'ifname') ?? '',
    state: textOf(o, 'state') ?? '',
    ...present({ master: textOf(o, 'master') }),
  }));
}

/** Make records of objects that have the keys; every object that lacks one is named. */
function need<T>(
  file: DumpFile,
  keys: readonly string[],
  make: (o: JsonObject, at: RecordPlace) => T,
): readonly T[] {
  const faults: Diagnostic[] = [];
  const at = { file: file.path };
  const records = jsonObjects(file).flatMap((o): T[] => {
    const lacking = keys.filter((key) => textOf(o, key) === undefined);
    if (lacking.length === 0) return [make(o, at)];
    const message = `an object without ${lacking.join(', ')}`;
    faults.push(recordFault(at, message, JSON.stringify(o)));
    return [];
  });
  if (faults.length > 0) throw new UserError(faults);
  return records;
}
