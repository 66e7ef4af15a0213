/**
 * Small parts that the fabric's plans are written with: rules' heads, matches, routes, sets.
 * @module
 */
import { assert } from '../diagnostic/diagnostic.ts';
import type { CtState, IpMatch, Match } from '../netfilter/match.ts';
import type { Target } from '../netfilter/target.ts';
import type { PlanBuilder, RuleParts } from '../plan/builder.ts';
import { type Interface, MAIN_TABLE, type Route } from '../plan/model.ts';
import {
  type Address,
  ANY4,
  ANY6,
  type Family,
  formatPrefix,
  maskAddress,
  type Prefix,
  parseAddress,
} from '../wire/address/address.ts';

/** The one MAC of the fabric (azure-container-networking `virtualMacAddress`). */
export const FABRIC_MAC = '12:34:56:78:9a:bc';

/** Azure's DNS server, as DHCP tells virtual machines. */
export const AZURE_DNS = literal('168.63.129.16');

/** Azure's DNS, DHCP and health probes; the instance metadata service. */
export const PLATFORM: readonly Address[] = [AZURE_DNS, literal('169.254.169.254')];

/**
 * Source of every health probe. That of IPv6 is fe80::1234:5678:9abc, which no router forwards; AKS
 * nodes rewrite it to this address as it comes in by eth0, before everything else, and back as the
 * answer leaves (AgentBaker, nft table `azureSLBProbe`). It is written here as nodes see it.
 */
export const PROBE_SOURCE: Readonly<Record<Family, Address>> = {
  4: literal('168.63.129.16'),
  6: literal('2603:1062:0:1:fe80:1234:5678:9abc'),
};

/** Next hop of everything outside: link-local, so that no range of a cluster can hold it. */
export const OUTSIDE: Readonly<Record<Family, Address>> = {
  4: literal('169.254.0.1'),
  6: literal('fe80::1'),
};

/** A constant address of this source code. */
export function literal(text: string): Address {
  const address = parseAddress(text);
  assert(address !== null, `${text} is an address`);
  return address;
}

export const ANY: Readonly<Record<Family, Prefix>> = {
  4: { address: ANY4, length: 0 },
  6: { address: ANY6, length: 0 },
};

interface Head {
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly in?: string;
  readonly out?: string;
  readonly protocol?: number;
}

/** A rule's head, nothing negated. */
export function head(parts: Head): IpMatch {
  const plain = <T>(value: T) => ({ value, negate: false });
  return {
    ...(parts.from === undefined ? {} : { source: plain(parts.from) }),
    ...(parts.to === undefined ? {} : { destination: plain(parts.to) }),
    ...(parts.in === undefined ? {} : { inInterface: plain(parts.in) }),
    ...(parts.out === undefined ? {} : { outInterface: plain(parts.out) }),
    ...(parts.protocol === undefined ? {} : { protocol: plain(parts.protocol) }),
  };
}

export function comment(text: string): Match {
  return { kind: 'comment', text };
}

export function ctstate(...states: CtState[]): Match {
  return { kind: 'conntrack', states, negate: false };
}

export function inSet(set: string, direction: 'src' | 'dst', negate = false): Match {
  return { kind: 'set', set, directions: [direction], negate };
}

/** A rule that reads as `-j TARGET` with a head, matches and why. */
export function rule(
  ip: Head,
  target: Target | 'drop' | 'return' | 'accept',
  ...matches: Match[]
): RuleParts {
  return {
    ip: head(ip),
    matches,
    target: typeof target === 'string' ? { kind: target } : target,
  };
}

export function jump(chain: string): Target {
  return { kind: 'jump', chain };
}

/** IPv6 routes that a user adds have metric 1024 (`IP6_RT_PRIO_USER`), IPv4 ones 0. */
export function metric(family: Family): number {
  return family === 4 ? 0 : 1024;
}

/** A route by a neighbour that need not be on-link. */
export function routeVia(
  destination: Prefix,
  hop: { readonly via: Address; readonly device: string },
  table = MAIN_TABLE,
): Route {
  const { family } = destination.address;
  return {
    family,
    type: 'unicast',
    destination,
    table,
    device: hop.device,
    via: hop.via,
    metric: metric(family),
    scope: 'global',
    onlink: true,
  };
}

export function loopback(): Interface {
  return {
    name: 'lo',
    kind: 'loopback',
    mac: '00:00:00:00:00:00',
    mtu: 65_536,
    up: true,
    addresses: [{ address: literal('127.0.0.1'), length: 8, scope: 'host' }],
  };
}

export function device(name: string, mac = FABRIC_MAC): Interface {
  return { name, kind: 'physical', mac, mtu: 1500, up: true, addresses: [] };
}

/** A set of ranges; a /0 becomes two halves, since hash:net has none. */
export function addNetSet(
  builder: PlanBuilder,
  name: string,
  family: Family,
  prefixes: readonly Prefix[],
): void {
  const nets = new Map<string, Prefix>();
  for (const { address, length } of prefixes) {
    if (address.family !== family) continue;
    const parts =
      length === 0 ? halves(family) : [{ address: maskAddress(address, length), length }];
    for (const part of parts) nets.set(formatPrefix(part), part);
  }
  builder.ipsets.push({
    name,
    type: 'hash:net',
    family,
    maxElements: 65_536,
    members: [...nets.values()].map((net) => ({ kind: 'net', net, nomatch: false })),
  });
}

function halves(family: Family): readonly Prefix[] {
  const upper = family === 4 ? literal('128.0.0.0') : literal('8000::');
  return [
    { address: family === 4 ? ANY4 : ANY6, length: 1 },
    { address: upper, length: 1 },
  ];
}
