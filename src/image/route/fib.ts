/**
 * Routes of one host, compiled: routing rules, tables, longest prefix.
 *
 *   lookup ─► rules by preference ─► table ─► prefix lengths, longest first ─► route by metric
 *                     ▲                                      │
 *                     └───────── nothing found, or throw ────┘
 *
 * Source: net/core/fib_rules.c `fib_rules_lookup`, net/ipv4/fib_rules.c `fib4_rule_match`,
 * net/ipv4/fib_trie.c `fib_table_lookup`, net/ipv4/fib_frontend.c `__inet_dev_addr_type`,
 * net/ipv4/devinet.c `inet_select_addr`. The local table is derived by image/route/fib-local.ts.
 * Not done: multipath, TOS rules, suppressors, l3mdev (plans have none).
 * @module
 */
import type { AddressType } from '../../netfilter/match.ts';
import {
  type Address,
  bits,
  contains,
  type Family,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';
import { AddressMap } from '../../wire/address/address-map.ts';
import { isLimitedBroadcast, isMulticast, isZeroNet } from './address-kind.ts';

export interface RouteQuery {
  readonly destination: Address;
  readonly source?: Address;
  /** Input device; absent for packets of the host itself, which `iif lo` rules match. */
  readonly inDevice?: string;
  /** Only routes out of this device. */
  readonly outDevice?: string;
  readonly mark: number;
}

export type RouteScope = 'global' | 'link' | 'host';

/** What a lookup found. `none` is «no route»: ENETUNREACH. */
export interface RouteResult {
  readonly type:
    | 'unicast'
    | 'local'
    | 'broadcast'
    | 'anycast'
    | 'multicast'
    | 'blackhole'
    | 'unreachable'
    | 'prohibit'
    | 'none';
  /** Empty for types that lead nowhere. */
  readonly device: string;
  readonly via: Address | null;
  /** Address a packet of the host itself gets as source by this route; null when there is none. */
  readonly source: Address | null;
  readonly scope: RouteScope;
  readonly table: number;
  readonly prefixLength: number;
  /** The route names its source (`src`). */
  readonly prefersSource?: true;
  /** The route is one that nobody listed. */
  readonly assumed?: true;
}

export interface Fib {
  lookup(query: RouteQuery): RouteResult;
  /**
   * Kind of an address by the local table alone (`inet_addr_type`); with a device, by what the
   * local table says for that device. `UNICAST` is everything that is nothing else.
   */
  addressType(address: Address, device?: string): AddressType;
  isLocal(address: Address): boolean;
  /** The address of a device that IPv6 prefers for this destination; null when it has none. */
  sourceOn(device: string, destination: Address): Address | null;
}

/** A route as it goes in; the plan's routes have this shape. */
export interface FibRoute {
  readonly family: Family;
  readonly type: RouteResult['type'] | 'throw';
  readonly destination: Prefix;
  readonly table: number;
  readonly device?: string;
  readonly via?: Address;
  readonly source?: Address;
  readonly metric: number;
  readonly scope: RouteScope;
  readonly assumed?: true;
}

/** An `ip rule` as it goes in; the plan's rules have this shape. */
export interface FibRule {
  readonly family: Family;
  readonly preference: number;
  readonly table: number;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly iif?: string;
  readonly oif?: string;
  readonly fwmark?: { readonly value: number; readonly mask: number };
  readonly negate?: boolean;
}

/** An interface as far as routes care. */
export interface FibInterface {
  readonly name: string;
  readonly up: boolean;
  readonly kind?: string;
  readonly addresses: readonly {
    readonly address: Address;
    readonly length: number;
    readonly scope: RouteScope;
  }[];
}

export const LOCAL_TABLE = 255;
const MAIN_TABLE = 254;
const DEFAULT_TABLE = 253;
const LOOPBACK = 'lo';

const NOWHERE: RouteResult = {
  type: 'none',
  device: '',
  via: null,
  source: null,
  scope: 'global',
  table: 0,
  prefixLength: 0,
};

/** The routes to all networks of one prefix length; those to one network by metric. */
interface Networks {
  readonly length: number;
  readonly routes: AddressMap<FibRoute[]>;
}

/** One routing table of one family. */
class RouteTable {
  /** Longest prefixes first. */
  readonly #networks: Networks[] = [];

  add(route: FibRoute): void {
    const { address, length } = route.destination;
    const { routes } = this.#ofLength(length);
    const network = maskAddress(address, length);
    const known = routes.get(network);
    if (known === undefined) routes.set(network, [route]);
    else {
      known.push(route);
      known.sort((a, b) => a.metric - b.metric);
    }
  }

  #ofLength(length: number): Networks {
    const known = this.#networks.find((networks) => networks.length === length);
    if (known !== undefined) return known;
    const made = { length, routes: new AddressMap<FibRoute[]>() };
    this.#networks.push(made);
    this.#networks.sort((a, b) => b.length - a.length);
    return made;
  }

  /** The first route that `usable` accepts, longest prefix first, then lowest metric. */
  find(address: Address, usable: (route: FibRoute) => boolean): FibRoute | null {
    const whole = bits(address.family);
    for (const { length, routes } of this.#networks) {
      const found = routes.get(length === whole ? address : maskAddress(address, length));
      if (found === undefined) continue;
      for (const route of found) if (usable(route)) return route;
    }
    return null;
  }
}

/** A routing rule and the table that it sends to. */
interface LinkedRule {
  readonly rule: FibRule;
  /** It asks nothing of a packet. */
  readonly isForAll: boolean;
  readonly table: RouteTable;
}

/** Everything of one family. */
interface FamilyRoutes {
  readonly local: RouteTable | null;
  /** In order; those of tables without any route say nothing and are left out. */
  readonly rules: readonly LinkedRule[];
}

/** Compile routes, rules and interfaces. `routes` include the local table. */
export function compileFib(input: {
  readonly routes: readonly FibRoute[];
  readonly rules: readonly FibRule[];
  readonly interfaces: readonly FibInterface[];
}): Fib {
  return new CompiledFib(input.routes, input.rules, input.interfaces);
}

class CompiledFib implements Fib {
  readonly #families: Readonly<Record<Family, FamilyRoutes>>;
  readonly #results = new Map<FibRoute, RouteResult>();
  readonly #interfaces: ReadonlyMap<string, FibInterface>;
  /** The first global address of any device, by family: the last resort for a source. */
  readonly #global = new Map<Family, Address>();

  constructor(
    routes: readonly FibRoute[],
    rules: readonly FibRule[],
    interfaces: readonly FibInterface[],
  ) {
    this.#interfaces = new Map(interfaces.map((i) => [i.name, i]));
    for (const { address, scope } of interfaces.flatMap((i) => i.addresses)) {
      if (scope !== 'global' || this.#global.has(address.family)) continue;
      this.#global.set(address.family, address);
    }
    this.#families = { 4: linkFamily(4, routes, rules), 6: linkFamily(6, routes, rules) };
  }

  lookup(query: RouteQuery): RouteResult {
    const { outDevice, destination } = query;
    const usable = (route: FibRoute) => this.#usable(route, outDevice);
    for (const { rule, isForAll, table } of this.#families[destination.family].rules) {
      if (!isForAll && !ruleMatches(rule, query)) continue;
      const route = table.find(destination, usable);
      if (!route || route.type === 'throw') continue;
      return this.#result(route, route.type, destination);
    }
    return NOWHERE;
  }

  addressType(address: Address, device?: string): AddressType {
    if (address.family === 4 && (isZeroNet(address) || isLimitedBroadcast(address))) {
      return 'BROADCAST';
    }
    if (isMulticast(address)) return 'MULTICAST';
    const route = this.#families[address.family].local?.find(address, anyRoute);
    if (!route || (device !== undefined && route.device !== device)) return 'UNICAST';
    switch (route.type) {
      case 'local':
        return 'LOCAL';
      case 'broadcast':
        return 'BROADCAST';
      case 'anycast':
        return 'ANYCAST';
      case 'blackhole':
        return 'BLACKHOLE';
      case 'unreachable':
        return 'UNREACHABLE';
      case 'prohibit':
        return 'PROHIBIT';
      default:
        return 'UNICAST';
    }
  }

  isLocal(address: Address): boolean {
    return this.addressType(address) === 'LOCAL';
  }

  /** A route whose device is down is dead (RTNH_F_DEAD); local ones live on. */
  #usable(route: FibRoute, outDevice: string | undefined): boolean {
    if (outDevice !== undefined && route.device !== outDevice) return false;
    if (route.type === 'local' || route.device === undefined) return true;
    return this.#interfaces.get(route.device)?.up !== false;
  }

  /** What the route says of a destination; most say the same of all of them. */
  #result(route: FibRoute, type: RouteResult['type'], destination: Address): RouteResult {
    if (this.#asksDestination(route)) return this.#makeResult(route, type, destination);
    const known = this.#results.get(route);
    if (known !== undefined) return known;
    const made = this.#makeResult(route, type, destination);
    this.#results.set(route, made);
    return made;
  }

  /** Does the source address depend on where the packet goes (`#select`)? */
  #asksDestination({ source, device, family, type, destination }: FibRoute): boolean {
    if (source !== undefined || device === undefined) return false;
    if (destination.length === bits(family)) return false;
    return family === 6 || type === 'local';
  }

  #makeResult(route: FibRoute, type: RouteResult['type'], destination: Address): RouteResult {
    const leads = route.device !== undefined;
    return {
      type,
      device: route.device ?? '',
      via: route.via ?? null,
      source: route.source ?? (leads ? this.#select(route, destination) : null),
      scope: route.scope,
      table: route.table,
      prefixLength: route.destination.length,
      ...(route.source === undefined ? {} : { prefersSource: true as const }),
      ...(route.assumed ? { assumed: true } : {}),
    };
  }

  /**
   * Source address for a route without `src`. IPv4: `inet_select_addr`, the device's first address
   * whose subnet holds the next hop, else its first, else the first global one of any device.
   * IPv6: RFC 6724 rules 1, 2 and 8 over the device's addresses (same scope, longest match within
   * the prefix; `ipv6_get_saddr_eval`).
   */
  #select(route: FibRoute, destination: Address): Address | null {
    const own = this.#interfaces.get(route.device ?? '')?.addresses ?? [];
    const candidates = own.filter((a) => a.address.family === destination.family);
    const elsewhere = this.#global.get(destination.family) ?? null;
    if (route.type === 'local' && candidates.some((c) => sameAddress(c.address, destination))) {
      return destination;
    }
    if (destination.family === 4) {
      // Settled when the route is made (`fib_info_update_nhc_saddr`), so only a gateway counts.
      const { via } = route;
      const onLink =
        via && candidates.find((c) => contains({ address: c.address, length: c.length }, via));
      return (onLink ?? candidates.find((c) => c.scope !== 'host'))?.address ?? elsewhere;
    }
    return this.sourceOn(route.device ?? '', destination) ?? elsewhere;
  }

  sourceOn(device: string, destination: Address): Address | null {
    const own = this.#interfaces.get(device)?.addresses ?? [];
    const candidates = own.filter((a) => a.address.family === 6);
    const wantsLink = isLinkLocal(destination);
    const inScope = candidates.filter((c) => isLinkLocal(c.address) === wantsLink);
    const pool = inScope.length > 0 ? inScope : candidates;
    const fit = (c: (typeof pool)[number]) => Math.min(c.length, common(c.address, destination));
    // The kernel asks the latest address first.
    const best = pool.reduce<(typeof pool)[number] | null>(
      (found, c) => (found === null || fit(c) >= fit(found) ? c : found),
      null,
    );
    return best?.address ?? null;
  }
}

function linkFamily(
  family: Family,
  routes: readonly FibRoute[],
  rules: readonly FibRule[],
): FamilyRoutes {
  const tables = new Map<number, RouteTable>();
  for (const route of routes) {
    if (route.family !== family) continue;
    const table = tables.get(route.table) ?? new RouteTable();
    table.add(route);
    tables.set(route.table, table);
  }
  return {
    local: tables.get(LOCAL_TABLE) ?? null,
    rules: withDefaultRules(rules, family).flatMap((rule) => {
      const table = tables.get(rule.table);
      const isForAll = !conditional(rule) && rule.negate !== true;
      return table === undefined ? [] : [{ rule, isForAll, table }];
    }),
  };
}

function anyRoute(): boolean {
  return true;
}

/** The kernel's own rules stand unless the plan lists that table without conditions. */
function withDefaultRules(rules: readonly FibRule[], family: Family): readonly FibRule[] {
  const own = rules.filter((rule) => rule.family === family);
  const listed = (table: number) => own.some((rule) => rule.table === table && !conditional(rule));
  const defaults = [
    { preference: 0, table: LOCAL_TABLE },
    { preference: 32766, table: MAIN_TABLE },
    { preference: 32767, table: DEFAULT_TABLE },
  ].filter((rule) => !listed(rule.table));
  return [...own, ...defaults.map((rule) => ({ family, ...rule }))].sort(
    (a, b) => a.preference - b.preference,
  );
}

function conditional(rule: FibRule): boolean {
  const { from, to, iif, oif, fwmark } = rule;
  return [from, to, iif, oif, fwmark].some((part) => part !== undefined);
}

function ruleMatches(rule: FibRule, query: RouteQuery): boolean {
  const holds =
    (rule.iif === undefined || rule.iif === (query.inDevice ?? LOOPBACK)) &&
    (rule.oif === undefined || rule.oif === query.outDevice) &&
    (rule.fwmark === undefined ||
      (((query.mark ^ rule.fwmark.value) & rule.fwmark.mask) | 0) === 0) &&
    (rule.to === undefined || contains(rule.to, query.destination)) &&
    (rule.from === undefined || fromHolds(rule.from, query.source));
  return holds !== (rule.negate === true);
}

/** Without a source (not chosen yet) the kernel compares the unspecified address. */
function fromHolds(from: Prefix, source: Address | undefined): boolean {
  if (source !== undefined) return contains(from, source);
  return from.length === 0;
}

function sameAddress(a: Address, b: Address): boolean {
  return a.w3 === b.w3 && a.w2 === b.w2 && a.w1 === b.w1 && a.w0 === b.w0;
}

function isLinkLocal(a: Address): boolean {
  return a.w0 >>> 22 === 0x3fa;
}

/** Length of the common head of two addresses in bits. */
function common(a: Address, b: Address): number {
  for (const [i, x] of [a.w0 ^ b.w0, a.w1 ^ b.w1, a.w2 ^ b.w2, a.w3 ^ b.w3].entries()) {
    if (x !== 0) return i * 32 + Math.clz32(x);
  }
  return 128;
}
