/**
 * Nodes that were dumped, put together: what leaves one by its uplink for an address that another
 * dump owns arrives there; what leaves by any other device has left the emulation.
 *
 *   node-a ── uplink ── nic0 ┐                       ┌ everything else
 *   node-b ── uplink ── nic1 ┴ between ── outside ───┘
 *
 * Nobody dumped what is between the nodes, so it has no rules: it takes every frame whatever MAC
 * the node's own neighbour table gave it (ebtables redirect), does not lower TTL, and routes by
 * address.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { PlanBuilder } from '../plan/builder.ts';
import {
  type Attachment,
  type Interface,
  MAIN_TABLE,
  type Network,
  type Plan,
  type Route,
} from '../plan/model.ts';
import {
  type Address,
  ANY4,
  ANY6,
  type Family,
  formatPrefix,
  hostPrefix,
  ipv4,
  ipv6,
  type Prefix,
} from '../wire/address/address.ts';
import { assumedMac } from '../wire/address/assumed-mac.ts';
import { ZERO_MAC } from '../wire/address/mac.ts';
import { loopback } from './fill.ts';
import type { DumpNode } from './read-dump.ts';

/** A name that no node has: names of hosts have no blank. */
export const BETWEEN = 'between nodes';
const OUTSIDE = 'outside';

/** Make the network of these nodes. */
export function dumpNetwork(nodes: readonly DumpNode[]): Network {
  const ends = nodes.flatMap(({ plan, uplink }) => endpointDevices(plan, uplink));
  return {
    stack: 'dump',
    nodes: nodes.map(({ plan }) => plan),
    fabric: betweenPlan(nodes),
    edges: [{ host: BETWEEN, device: OUTSIDE }, ...ends],
    links: nodes.map(({ plan, uplink }, i) => [
      { host: plan.host, device: uplink },
      { host: BETWEEN, device: nic(i) },
    ]),
    answered: [BETWEEN, ...nodes.map(({ plan }) => plan.host)],
    pods: [],
    podPlan: (host) => {
      throw new RangeError(`no plan of pod ${host}: dumps are of nodes`);
    },
    warnings: nodes.flatMap(({ warnings }): readonly Diagnostic[] => warnings),
  };
}

/** Devices behind which somebody is that no dump describes. */
function endpointDevices(plan: Plan, uplink: string): readonly Attachment[] {
  return plan.interfaces
    .filter(({ name, kind }) => name !== uplink && (kind === 'veth' || kind === 'physical'))
    .map(({ name }) => ({ host: plan.host, device: name }));
}

function nic(index: number): string {
  return `nic${index}`;
}

function betweenPlan(nodes: readonly DumpNode[]): Plan {
  const builder = new PlanBuilder(BETWEEN, 'fabric');
  builder.evidence = 'dump';
  builder.interfaces.push(loopback(), device(OUTSIDE, 'physical'));
  const owned = ownedPrefixes(nodes);
  nodes.forEach((node, i) => {
    const port: Interface = { ...device(nic(i), 'physical'), master: bridge(i) };
    builder.interfaces.push(device(bridge(i), 'bridge'), port);
    const mac = node.plan.interfaces.find(({ name }) => name === node.uplink)?.mac ?? ZERO_MAC;
    for (const family of [4, 6] as const) {
      const address = gateway(family, i + 1);
      builder.neighbors.push({ address, device: bridge(i), mac, state: 'permanent' });
    }
    for (const [destination, owner] of owned) {
      if (owner === i) builder.routes.push(toNode(destination, i));
    }
  });
  for (const family of [4, 6] as const) addWays(builder, family, nodes.length);
  addRules(builder);
  return builder.build();
}

function bridge(index: number): string {
  return `br${index}`;
}

/** Nobody knows the MACs of what is between the nodes: rules that ask for one are not judged. */
const SOME_MAC = assumedMac(ipv4(1));

function device(name: string, kind: Interface['kind']): Interface {
  return { name, kind, mac: SOME_MAC, mtu: 65_535, up: true, addresses: [] };
}

/** A link-local next hop that no cluster uses: it only names the node's MAC. */
function gateway(family: Family, number: number): Address {
  return family === 4 ? ipv4(0xa9fe0000 + number) : ipv6(0xfe800000, 0, 0, number);
}

/**
 * Addresses and nets that exactly one node has: its own, and those it reaches by another device
 * than its uplink. What two nodes both have (the net of a container bridge) is neither's here.
 */
function ownedPrefixes(nodes: readonly DumpNode[]): readonly (readonly [Prefix, number])[] {
  const owners = new Map<string, { prefix: Prefix; nodes: Set<number> }>();
  nodes.forEach((node, i) => {
    for (const prefix of prefixesOf(node)) {
      const key = formatPrefix(prefix);
      const entry = owners.get(key) ?? { prefix, nodes: new Set() };
      entry.nodes.add(i);
      owners.set(key, entry);
    }
  });
  return [...owners.values()].flatMap(({ prefix, nodes: set }) => {
    const [owner] = set;
    return set.size === 1 && owner !== undefined ? [[prefix, owner] as const] : [];
  });
}

function prefixesOf({ plan, uplink }: DumpNode): readonly Prefix[] {
  const own = plan.interfaces.flatMap(({ kind, addresses }) => {
    if (kind === 'loopback' || kind === 'dummy') return [];
    return addresses.flatMap(({ address, scope }) => {
      return scope === 'global' ? [hostPrefix(address)] : [];
    });
  });
  const master = plan.interfaces.find(({ name }) => name === uplink)?.master;
  const behind = plan.routes.flatMap(({ destination, device: out, table, type, assumed, via }) => {
    const leads = type === 'unicast' && table === MAIN_TABLE && !assumed && via === undefined;
    const isAway = out === undefined || out === uplink || out === master || out === 'lo';
    return leads && !isAway && destination.length > 0 ? [destination] : [];
  });
  const near = neighborsBehind(plan, uplink).map(hostPrefix);
  return [...own, ...near, ...behind.filter(({ address }) => !isLinkLocal(address))];
}

/** Who is behind a port of the uplink's own bridge, by MAC: their net leads out by the uplink. */
function neighborsBehind(plan: Plan, uplink: string): readonly Address[] {
  const master = plan.interfaces.find(({ name }) => name === uplink)?.master;
  const ports = new Map(
    plan.fdb.flatMap(({ mac, bridge: of, port, kind }) =>
      of === master && port !== uplink && kind !== 'permanent' ? [[mac, port] as const] : [],
    ),
  );
  return plan.neighbors.flatMap(({ address, device: at, mac }) =>
    at === master && ports.has(mac) ? [address] : [],
  );
}

function isLinkLocal(address: Address): boolean {
  return address.family === 6 && address.w0 >>> 22 === 0x3fa;
}

function toNode(destination: Prefix, index: number): Route {
  const { family } = destination.address;
  const via = gateway(family, index + 1);
  return { ...way(family, bridge(index)), destination, via };
}

function way(family: Family, out: string): Route {
  const destination = { address: family === 4 ? ANY4 : ANY6, length: 0 };
  return {
    family,
    type: 'unicast',
    destination,
    table: MAIN_TABLE,
    device: out,
    metric: 0,
    scope: 'global',
    onlink: true,
  };
}

/** Table of what comes from outside: with one node everything is for it. */
const FROM_OUTSIDE = 100;

function addWays(builder: PlanBuilder, family: Family, nodes: number): void {
  builder.routes.push(way(family, OUTSIDE));
  if (nodes !== 1) return;
  builder.routes.push({ ...way(family, bridge(0)), via: gateway(family, 1), table: FROM_OUTSIDE });
  builder.routingRules.push({ family, preference: 100, table: FROM_OUTSIDE, iif: OUTSIDE });
}

function addRules(builder: PlanBuilder): void {
  const comment = (text: string) => ({ kind: 'comment', text }) as const;
  for (const family of [4, 6] as const) {
    builder.append(family, 'mangle', 'PREROUTING', {
      matches: [comment('what is between the nodes is not seen to lower TTL')],
      target: { kind: 'ttl', operation: 'inc', value: 1 },
    });
  }
  builder.ebtables.push({
    name: 'nat',
    chains: [
      {
        name: 'PREROUTING',
        policy: 'ACCEPT',
        builtin: true,
        rules: [{ matches: [], target: { kind: 'redirect', verdict: 'ACCEPT' } }],
      },
    ],
  });
  Object.assign(builder.sysctls, {
    'net.ipv4.ip_forward': '1',
    'net.ipv6.conf.all.forwarding': '1',
    'net.ipv4.conf.all.send_redirects': '0',
    'net.ipv4.conf.default.send_redirects': '0',
    'net.bridge.bridge-nf-call-iptables': '0',
    'net.bridge.bridge-nf-call-ip6tables': '0',
  });
}
