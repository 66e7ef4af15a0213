/**
 * Records from the text of `ip route`, `ip rule` and `route -n`.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { Family } from '../../wire/address/address.ts';
import type { DumpFile } from '../file/dump-file.ts';
import { type RecordPlace, type RouteRecord, type RuleRecord, recordFault } from './records.ts';
import { after, eachLine } from './text-links.ts';

const TYPES: ReadonlySet<string> = new Set([
  'unicast',
  'local',
  'broadcast',
  'multicast',
  'anycast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
]);

/** Words of a route that have a value behind them, and those that stand alone. */
const VALUED: ReadonlySet<string> = new Set([
  ...['via', 'dev', 'table', 'proto', 'scope', 'src', 'metric', 'pref', 'error', 'expires', 'mtu'],
  ...['weight', 'hoplimit', 'advmss', 'rtt', 'window', 'nhid', 'realm', 'users', 'age', 'initcwnd'],
]);
const ALONE: ReadonlySet<string> = new Set([
  ...['onlink', 'linkdown', 'dead', 'pervasive', 'offload', 'trap', 'notify', 'lock', 'rt_offload'],
  ...['inet6', 'inet', 'sec', 'linkdown', 'unresolved', 'cache', 'none'],
]);

export function textRoutes(file: DumpFile, family?: Family): readonly RouteRecord[] {
  const faults: Diagnostic[] = [];
  const routes: RouteRecord[] = [];
  eachLine(file, (line, at) => {
    const words = line.trim().split(/\s+/);
    if (words[0] === 'nexthop') {
      const last = routes.pop();
      if (last) routes.push(addHop(last, words));
      else faults.push(recordFault(at, 'a next hop of no route', line));
      return;
    }
    const type = TYPES.has(words[0] ?? '') ? (words.shift() ?? '') : 'unicast';
    const dst = words.shift() ?? '';
    const strange = strangeWord(words);
    if (strange !== undefined) faults.push(recordFault(at, 'not read in a route', strange));
    else routes.push(routeOf(at, { type, dst, words, family }));
  });
  if (faults.length > 0) throw new UserError(faults);
  return routes;
}

function strangeWord(words: readonly string[]): string | undefined {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (VALUED.has(word)) i++;
    else if (!ALONE.has(word)) return words.join(' ');
  }
  return undefined;
}

function routeOf(
  at: RecordPlace,
  parts: {
    readonly type: string;
    readonly dst: string;
    readonly words: readonly string[];
    readonly family: Family | undefined;
  },
): RouteRecord {
  const { type, dst, words, family } = parts;
  const via = after(words, 'via');
  const gateway = via === 'inet6' || via === 'inet' ? after(words, via) : via;
  const fields = {
    gateway,
    dev: after(words, 'dev'),
    protocol: after(words, 'proto'),
    scope: after(words, 'scope'),
    prefsrc: after(words, 'src'),
    family,
  };
  return {
    at,
    type,
    dst,
    table: after(words, 'table') ?? 'main',
    metric: Number(after(words, 'metric') ?? 0),
    flags: words.filter((word) => ALONE.has(word)),
    multipath: false,
    ...defined(fields),
  };
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** The first next hop is the route's; a second one makes it a choice. */
function addHop(route: RouteRecord, words: readonly string[]): RouteRecord {
  if (route.dev !== undefined) return { ...route, multipath: true };
  const gateway = after(words, 'via');
  const dev = after(words, 'dev');
  return { ...route, ...defined({ gateway, dev }) };
}

/** `route -n`: an IPv4 table with netmasks (net-tools). */
export function textRouteTable(file: DumpFile): readonly RouteRecord[] {
  const faults: Diagnostic[] = [];
  const routes: RouteRecord[] = [];
  eachLine(file, (line, at) => {
    if (/^Kernel IP|^Destination/.test(line)) return;
    const [to = '', gateway = '', mask = '', flags = '', metric = '', , , dev] = line.split(/\s+/);
    const length = maskLength(mask);
    if (dev === undefined || length === null || !/^[A-Z!]+$/.test(flags)) {
      faults.push(recordFault(at, 'not a line of route -n', line));
      return;
    }
    const via = flags.includes('G') ? { gateway } : { scope: 'link' };
    const type = flags.includes('!') ? 'unreachable' : 'unicast';
    const dst = `${to}/${length}`;
    const rest = { table: 'main', metric: Number(metric), flags: [], multipath: false };
    routes.push({ at, type, dst, dev, family: 4, ...rest, ...via });
  });
  if (faults.length > 0) throw new UserError(faults);
  return routes;
}

/** 255.255.0.0 → 16; null for what is no netmask. */
function maskLength(mask: string): number | null {
  const parts = mask.split('.').map(Number);
  if (parts.length !== 4 || !parts.every((part) => part >= 0 && part <= 255)) return null;
  const bits = parts.map((part) => part.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? bits.replaceAll('0', '').length : null;
}

export function textRules(file: DumpFile, family?: Family): readonly RuleRecord[] {
  const faults: Diagnostic[] = [];
  const rules: RuleRecord[] = [];
  eachLine(file, (line, at) => {
    const m = /^(\d+):\s+(not )?from (\S+)(.*)$/.exec(line);
    if (!m) {
      faults.push(recordFault(at, 'not a line of ip rule', line));
      return;
    }
    const words = (m[4] ?? '').trim().split(/\s+/).filter(Boolean);
    const fields: Record<string, string> = {};
    const others: string[] = [];
    for (let i = 0; i < words.length; i++) {
      const word = words[i] ?? '';
      const key = { lookup: 'table', to: 'dst', proto: 'protocol' }[word] ?? word;
      if (/^(table|dst|iif|oif|fwmark|protocol)$/.test(key)) fields[key] = words[++i] ?? '';
      else if (word !== '[detached]') others.push(word);
    }
    const { table, dst = 'all', iif, oif, fwmark } = fields as Partial<Record<string, string>>;
    const priority = Number(m[1]);
    const head = { at, priority, not: m[2] !== undefined, src: m[3] ?? 'all', dst, others };
    rules.push({ ...head, ...defined({ table, iif, oif, fwmark, family }) });
  });
  if (faults.length > 0) throw new UserError(faults);
  return rules;
}
