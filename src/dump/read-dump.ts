/**
 * One node's dump → its plan.
 *
 *   files ─► recognised ─► read ─► (any mistake? one UserError) ─► what is missing filled ─► plan
 *
 * Nothing is taken from a dump that is not whole: one line that can not be read refuses it. What a
 * dump does not hold at all is another matter: that is filled, and said (fill.ts).
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import {
  type FdbEntry,
  type Interface,
  MAIN_TABLE,
  type Neighbor,
  type Plan,
  type PlanGap,
  type Route,
  type RoutingRule,
} from '../plan/model.ts';
import { equalAddress, formatPrefix } from '../wire/address/address.ts';
import { assumedMac } from '../wire/address/assumed-mac.ts';
import { type Collected, collect } from './collected.ts';
import { interfacesOf, joinDevices, TUNNEL_KINDS } from './devices.ts';
import type { DumpFile } from './file/dump-file.ts';
import { missingSets, unknownSets } from './file/rule-files.ts';
import {
  ASSUMED_UPLINK,
  Assumptions,
  addressesByRoute,
  assumedDefault,
  devicesByMention,
  doubtSubnets,
  loopback,
  routesByAddress,
} from './fill.ts';
import { fdbEntryOf, neighborOf, type Reading, routeOf, ruleOf, TableNumbers } from './routing.ts';

/** A node as its dump has it. */
export interface DumpNode {
  readonly plan: Plan;
  /** The device by which everything outside is reached; a bridge's own physical port. */
  readonly uplink: string;
  /** What was assumed, and what of the dump was not read. */
  readonly warnings: readonly Diagnostic[];
}

/** The kernel that the engine was compared with; taken when a dump names none. */
const TESTED_KERNEL = '6.18';

/**
 * Read the files of one node.
 *
 * @throws UserError with everything that can not be read or is not emulated, of all files.
 */
export function readDump(host: string, files: readonly DumpFile[]): DumpNode {
  const faults: Diagnostic[] = [];
  const collected = collect(files, faults);
  const say = new Assumptions(host);
  const devices = joinDevices(collected.links, collected.ports);
  const isListed = collected.links.length > 0;
  const reading: Reading = {
    faults,
    tables: new TableNumbers(),
    devices: isListed ? new Set(devices.map(({ name }) => name)) : null,
  };
  const read = readRouting(collected, reading);
  if (collected.kinds.has('ipset')) {
    faults.push(...missingSets(collected.tables, collected.ipsets));
  }
  if (collected.kinds.size === 0) {
    const message = 'none of the files is one that a node prints';
    const accepted = 'what the commands of doctor --collect print';
    faults.push({ code: 'DUMP_EMPTY', object: `node/${host}`, message, accepted });
  }
  if (faults.length > 0) throw new UserError(faults);
  for (const { name, kind } of devices) {
    if (TUNNEL_KINDS.has(kind ?? '')) {
      say.say(`${name} is a ${kind} tunnel: what goes into it has left, unwrapped`);
    }
  }
  const listed = isListed ? interfacesOf(devices, collected.fdb) : devicesByMention(collected, say);
  const named = withAddresses(listed, collected, say);
  const interfaces = named.some(({ name }) => name === 'lo') ? named : [loopback(), ...named];
  const uplink = uplinkOf(interfaces, read.routes);
  const routes = fillRoutes({ interfaces, uplink: uplink.device, collected, say }, read.routes);
  const fdb = withGateway({ ...read, routes }, interfaces, uplink);
  const plan = makePlan({ host, collected, say, interfaces }, { ...read, routes, fdb });
  return { plan, uplink: uplink.port, warnings: [...say.warnings, ...unread(collected, host)] };
}

interface Routing {
  readonly routes: readonly Route[];
  readonly routingRules: readonly RoutingRule[];
  readonly neighbors: readonly Neighbor[];
  readonly fdb: readonly FdbEntry[];
}

function readRouting(collected: Collected, reading: Reading): Routing {
  const { routes, rules, neighbors, fdb } = collected;
  return {
    routes: distinct(
      routes.flatMap((record) => routeOf(record, reading) ?? []),
      routeKey,
    ),
    routingRules: distinct(
      rules.flatMap((record) => ruleOf(record, reading) ?? []),
      (rule) => JSON.stringify(rule),
    ),
    neighbors: distinct(
      neighbors.flatMap((record) => neighborOf(record, reading) ?? []),
      ({ device, address }) => `${device} ${JSON.stringify(address)}`,
    ),
    fdb: distinct(
      fdb.flatMap((record) => fdbEntryOf(record, reading) ?? []),
      ({ bridge, mac, port }) => `${bridge} ${mac} ${port}`,
    ),
  };
}

/** The first of equal ones; `ip route show table all` lists IPv6 too, and `ip -6` again. */
function distinct<T>(list: readonly T[], key: (one: T) => string): readonly T[] {
  const seen = new Set<string>();
  return list.filter((one) => {
    const text = key(one);
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}

function routeKey({ type, destination, table, device, via, metric }: Route): string {
  return JSON.stringify([type, formatPrefix(destination), table, device, via, metric]);
}

/** Addresses as listed, else as routes give them away. */
function withAddresses(
  interfaces: readonly Interface[],
  collected: Collected,
  say: Assumptions,
): readonly Interface[] {
  if (collected.kinds.has('addr')) return interfaces;
  const found = addressesByRoute(interfaces, collected.routes);
  const hasLocal = collected.routes.some(
    ({ type, table }) => type === 'local' && table === 'local',
  );
  if (!hasLocal) {
    say.gap('addresses', 'no ip addr: the addresses of the node itself are not all known');
  }
  return found;
}

/** Where the default route leads: the device, and beneath a bridge its physical port. */
function uplinkOf(
  interfaces: readonly Interface[],
  routes: readonly Route[],
): { readonly device: string; readonly port: string } {
  const defaults = routes
    .filter(({ destination, table, type, device }) => {
      const isDefault = destination.length === 0 && type === 'unicast';
      return isDefault && table === MAIN_TABLE && device !== undefined;
    })
    .toSorted((a, b) => a.family - b.family || a.metric - b.metric);
  const physical = interfaces.filter(({ kind, up, master }) => {
    return kind === 'physical' && up && master === undefined;
  });
  const addressed = physical.find(({ addresses }) => addresses.some((a) => a.scope === 'global'));
  const device = defaults[0]?.device ?? (addressed ?? physical[0])?.name ?? ASSUMED_UPLINK;
  const port = interfaces.find(({ master, kind }) => master === device && kind === 'physical');
  return { device, port: port?.name ?? device };
}

/**
 * The gateway's MAC is behind the uplink, also where its entry had just aged: a bridge would flood
 * what is sent there.
 */
function withGateway(
  { routes, neighbors, fdb }: Routing,
  interfaces: readonly Interface[],
  uplink: { readonly device: string; readonly port: string },
): readonly FdbEntry[] {
  const { device: bridge, port } = uplink;
  if (interfaces.find(({ name }) => name === port)?.master !== bridge) return fdb;
  const gateways = routes.flatMap(({ destination, device, via }) => {
    return destination.length === 0 && device === bridge && via !== undefined ? [via] : [];
  });
  const macs = gateways.map((via) => {
    const known = neighbors.find((n) => n.device === bridge && equalAddress(n.address, via));
    return known && known.state !== 'failed' ? known.mac : assumedMac(via);
  });
  const missing = [...new Set(macs)].filter((mac) => !fdb.some((entry) => entry.mac === mac));
  return [...fdb, ...missing.map((mac) => ({ mac, bridge, port, kind: 'learned' as const }))];
}

interface Filling {
  readonly interfaces: readonly Interface[];
  readonly uplink: string;
  readonly collected: Collected;
  readonly say: Assumptions;
}

function fillRoutes(filling: Filling, routes: readonly Route[]): readonly Route[] {
  const { interfaces, uplink, collected, say } = filling;
  const hasRoutes = collected.kinds.has('route') || collected.kinds.has('route-table');
  const known = say.gaps.has('addresses') ? doubtSubnets(routes) : routes;
  if (known.some(({ assumed, destination }) => assumed && destination.length === 0)) {
    say.say('a route over several next hops: which of them a packet takes is not judged');
  }
  const isUsed = (family: 4 | 6) =>
    interfaces.some(({ kind, addresses }) => {
      const own = addresses.some((a) => a.address.family === family && a.scope === 'global');
      return own && kind !== 'loopback';
    });
  const missing = ([4, 6] as const).filter((family) => {
    if (!hasRoutes) return true;
    return isUsed(family) && !routes.some((route) => route.family === family);
  });
  if (!interfaces.some(({ name }) => name === uplink)) return known;
  for (const family of missing) {
    if (isUsed(family) || !collected.kinds.has('addr')) {
      say.gap(
        'routes',
        `no ip${family === 6 ? ' -6' : ''} route: where the node sends IPv${family} is not known`,
      );
    }
  }
  return [
    ...known,
    ...missing.flatMap((family) => {
      return collected.kinds.has('addr')
        ? routesByAddress(interfaces, family, uplink)
        : [assumedDefault(family, uplink)];
    }),
  ];
}

function makePlan(
  made: {
    readonly host: string;
    readonly collected: Collected;
    readonly say: Assumptions;
    readonly interfaces: readonly Interface[];
  },
  routing: Routing,
): Plan {
  const { host, collected, say, interfaces } = made;
  const { kinds, tables } = collected;
  const unknown = kinds.has('ipset') ? [] : unknownSets(tables);
  if (unknown.length > 0) {
    say.say(`no ipset save: what is in the ${unknown.length} sets that rules name is not known`);
  }
  noteMissing(made, routing);
  const gaps: PlanGap[] = [...say.gaps];
  const connections = distinct(collected.connections, ({ original, reply, zone }) =>
    JSON.stringify([original, reply, zone]),
  );
  return {
    host,
    role: 'node',
    evidence: 'dump',
    kernel: collected.kernel ?? TESTED_KERNEL,
    interfaces,
    ...routing,
    tables,
    ...(collected.nft === undefined ? {} : { nft: collected.nft }),
    ...(collected.virtualServers ? { virtualServers: collected.virtualServers } : {}),
    ebtables: collected.ebtables,
    ipsets: [...collected.ipsets, ...unknown],
    sysctls: sysctlsOf(collected),
    ...(connections.length === 0 ? {} : { connections }),
    ...(gaps.length === 0 ? {} : { gaps }),
  };
}

function noteMissing(
  made: {
    readonly collected: Collected;
    readonly say: Assumptions;
    readonly interfaces: readonly Interface[];
  },
  routing: Routing,
): void {
  const { collected, say, interfaces } = made;
  const { kinds, ruleFamilies } = collected;
  if (!ruleFamilies.has(4)) say.gap('iptables', 'no iptables-save: its IPv4 rules are not known');
  const uses6 = routing.routes.some(({ family, assumed }) => family === 6 && !assumed);
  if (!ruleFamilies.has(6)) {
    if (uses6) say.gap('ip6tables', 'no ip6tables-save: its IPv6 rules are not known');
    else say.gaps.add('ip6tables');
  }
  if (!kinds.has('ipvs') && usesVirtualServers(collected)) {
    say.gap('virtualServers', 'no ipvsadm-save -n: its virtual servers are not known');
  }
  if (!kinds.has('ebtables') && interfaces.some(({ kind }) => kind === 'bridge')) {
    say.gap('ebtables', 'no ebtables-save: the rules of its bridges are not known');
  }
  if (!kinds.has('sysctl')) {
    say.gap('sysctls', 'no sysctl -a: it is taken to forward, all else as Linux starts');
    if (collected.virtualServers) {
      say.say('no sysctl -a: virtual servers are taken to tell the connection tracker');
    }
  }
  const doubled = collected.tables.filter(({ legacy }) => legacy).map(({ name }) => name);
  if (doubled.length > 0) {
    const names = [...new Set(doubled)].join(', ');
    say.say(
      `iptables-legacy has rules in ${names} as well: packets meet both; its tables are taken to be the older ones, which see packets last`,
    );
  }
  if (!kinds.has('neigh')) say.say('no ip neigh: every neighbour is taken to answer');
  if (collected.kernel === null) say.say(`no uname -r: taken to be Linux ${TESTED_KERNEL}`);
}

/** Somebody set up IPVS to work with the tracker, or rules ask for virtual servers. */
function usesVirtualServers({ tables, sysctls }: Collected): boolean {
  if (sysctls['net.ipv4.vs.conntrack']?.trim() === '1') return true;
  const rules = tables.flatMap(({ chains }) => chains.flatMap((chain) => chain.rules));
  return rules.some(({ matches }) => matches.some(({ kind }) => kind === 'ipvs'));
}

const BRIDGE_CALLS = [
  'net.bridge.bridge-nf-call-iptables',
  'net.bridge.bridge-nf-call-ip6tables',
  'net.bridge.bridge-nf-call-arptables',
];

/** A whole list without the keys of br_netfilter says that the module is not loaded. */
function sysctlsOf(collected: Collected): Readonly<Record<string, string>> {
  const { sysctls, kinds, virtualServers } = collected;
  if (!kinds.has('sysctl')) {
    const tracked = virtualServers ? { 'net.ipv4.vs.conntrack': '1' } : {};
    return { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1', ...tracked };
  }
  const isWhole = 'net.ipv4.ip_forward' in sysctls;
  if (!isWhole) return { 'net.ipv4.ip_forward': '1', ...sysctls };
  const absent = BRIDGE_CALLS.filter((key) => !(key in sysctls));
  return { ...sysctls, ...Object.fromEntries(absent.map((key) => [key, '0'])) };
}

/** What was given and decides nothing here. */
function unread({ strangers }: Collected, host: string): readonly Diagnostic[] {
  const object = `node/${host}`;
  return strangers.map((file) => {
    return { code: 'DUMP_NOT_READ', object, file, message: 'not a file that a node prints' };
  });
}
