/**
 * The Azure network between VMs as a plan: a router that is seen by nobody.
 *
 *   nic-node-a ──┐                       /32 of every node and pod ──► its VM's device
 *   nic-node-b ──┤ fabric                anything else ──► internet; of the virtual network's
 *     internet ──┘                       own ranges: dropped
 *
 * Azure's own switches are not Linux; each of their properties that decides a packet's fate is
 * written here as something that a Linux kernel loads and does:
 *
 * - it does not lower TTL: `mangle PREROUTING` raises it by one before the router lowers it;
 * - a NIC sends only from its own addresses (IP forwarding is off on AKS nodes): a `raw` reverse-
 *   path rule, strict, since the route of every address is its NIC's device;
 * - GRE and IP-in-IP between VMs are dropped: two `filter` rules;
 * - ARP is answered for every address but the VM's own: proxy_arp, and a route for everything;
 * - addresses of the virtual network that nobody has are swallowed all the same: `filter` rules.
 *
 * Sources: the room's README, with dates.
 * @module
 */
import type { Wiring } from '../cluster/model.ts';
import { assert } from '../diagnostic/diagnostic.ts';
import { PlanBuilder } from '../plan/builder.ts';
import { type Interface, MAIN_TABLE, type Plan, type Route } from '../plan/model.ts';
import {
  type Address,
  ANY4,
  ANY6,
  type Family,
  formatPrefix,
  hostPrefix,
  maskAddress,
  type Prefix,
  parseAddress,
} from '../wire/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { fabricDevice, INTERNET, NIC_PREFIX } from './devices.ts';

/** The one MAC of the fabric (azure-container-networking `virtualMacAddress`). */
const FABRIC_MAC = '12:34:56:78:9a:bc';

/** Next hop of everything outside: link-local, so that no range of a cluster can hold it. */
const OUTSIDE: Readonly<Record<Family, Address>> = {
  4: literal('169.254.0.1'),
  6: literal('fe80::1'),
};

/** One VM as the fabric knows it: its NIC, and the addresses of its ipconfigs. */
export interface FabricNode {
  readonly name: string;
  readonly mac: string;
  /** The node's own addresses. */
  readonly addresses: readonly Address[];
  readonly podAddresses: readonly Address[];
}

export interface FabricInput {
  readonly host: string;
  readonly wiring: Wiring;
  /** On-link ranges of the cluster, which the wiring may not name. */
  readonly ranges: readonly Prefix[];
  readonly nodes: readonly FabricNode[];
}

/** Write the fabric's plan. */
export function renderFabric(input: FabricInput): Plan {
  const builder = new PlanBuilder(input.host, 'fabric');
  builder.evidence = 'documentation';
  builder.interfaces.push(loopback(), device(INTERNET));
  for (const node of input.nodes) addNode(builder, node);
  for (const family of [4, 6] as const) {
    addDefault(builder, family);
    addRules(builder, family);
  }
  dropNobodys(builder, input);
  setSysctls(builder);
  return builder.build();
}

function addNode(builder: PlanBuilder, node: FabricNode): void {
  const name = fabricDevice(node.name);
  builder.interfaces.push(device(name));
  for (const address of node.addresses) {
    builder.routes.push(toHost(address, name));
    builder.neighbors.push({ address, device: name, mac: node.mac, state: 'permanent' });
  }
  for (const address of node.podAddresses) {
    const via = node.addresses.find((a) => a.family === address.family);
    if (via) {
      builder.routes.push({ ...toHost(address, name), via, onlink: true, scope: 'global' });
      continue;
    }
    builder.routes.push(toHost(address, name));
    builder.neighbors.push({ address, device: name, mac: node.mac, state: 'permanent' });
  }
}

/**
 * Drop what would leave for a range of the virtual network (or of Services): nobody has the
 * address. A rule, not a blackhole route: with the route the fabric would not answer ARP for it.
 */
function dropNobodys(builder: PlanBuilder, input: FabricInput): void {
  const { wiring, ranges } = input;
  const all = [
    ...wiring.vnet,
    ...wiring.subnets,
    ...wiring.podCidrs,
    ...wiring.serviceCidrs,
    ...ranges,
  ];
  const seen = new Set<string>();
  for (const { address, length } of all) {
    const range = { address: maskAddress(address, length), length };
    const key = formatPrefix(range);
    if (seen.has(key) || length === 0) continue;
    seen.add(key);
    builder.append(address.family, 'filter', 'FORWARD', {
      ip: {
        destination: { value: range, negate: false },
        outInterface: { value: INTERNET, negate: false },
      },
      matches: [{ kind: 'comment', text: 'nobody in the virtual network has this address' }],
      target: { kind: 'drop' },
    });
  }
}

function addDefault(builder: PlanBuilder, family: Family): void {
  const via = OUTSIDE[family];
  builder.routes.push({
    family,
    type: 'unicast',
    destination: { address: family === 4 ? ANY4 : ANY6, length: 0 },
    table: MAIN_TABLE,
    device: INTERNET,
    via,
    metric: metric(family),
    scope: 'global',
    onlink: true,
  });
  builder.neighbors.push({
    address: via,
    device: INTERNET,
    mac: FABRIC_MAC,
    state: 'permanent',
  });
}

function addRules(builder: PlanBuilder, family: Family): void {
  const fromNic = { value: `${NIC_PREFIX}+`, negate: false };
  builder.append(family, 'raw', 'PREROUTING', {
    ip: { inInterface: fromNic },
    matches: [
      { kind: 'rpfilter', loose: false, validmark: false, acceptLocal: false, invert: true },
      { kind: 'comment', text: 'NIC without IP forwarding: source is not one of its ipconfigs' },
    ],
    target: { kind: 'drop' },
  });
  builder.append(family, 'mangle', 'PREROUTING', {
    matches: [{ kind: 'comment', text: 'the fabric does not lower TTL' }],
    target: { kind: 'ttl', operation: 'inc', value: 1 },
  });
  for (const protocol of [Protocol.gre, Protocol.ipip]) {
    builder.append(family, 'filter', 'FORWARD', {
      ip: {
        inInterface: fromNic,
        outInterface: fromNic,
        protocol: { value: protocol, negate: false },
      },
      matches: [{ kind: 'comment', text: 'virtual networks carry no GRE and no IP-in-IP' }],
      target: { kind: 'drop' },
    });
  }
}

function setSysctls(builder: PlanBuilder): void {
  Object.assign(builder.sysctls, {
    'net.ipv4.ip_forward': '1',
    'net.ipv6.conf.all.forwarding': '1',
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.default.rp_filter': '0',
    'net.ipv4.conf.all.proxy_arp': '1',
    'net.ipv4.conf.all.send_redirects': '0',
    'net.ipv4.conf.default.send_redirects': '0',
  });
}

function loopback(): Interface {
  return {
    name: 'lo',
    kind: 'loopback',
    mac: '00:00:00:00:00:00',
    mtu: 65_536,
    up: true,
    addresses: [{ address: literal('127.0.0.1'), length: 8, scope: 'host' }],
  };
}

function device(name: string): Interface {
  return { name, kind: 'physical', mac: FABRIC_MAC, mtu: 1500, up: true, addresses: [] };
}

function toHost(address: Address, name: string): Route {
  const { family } = address;
  return {
    family,
    type: 'unicast',
    destination: hostPrefix(address),
    table: MAIN_TABLE,
    device: name,
    metric: metric(family),
    scope: family === 4 ? 'link' : 'global',
  };
}

/** IPv6 routes that a user adds have metric 1024 (`IP6_RT_PRIO_USER`), IPv4 ones 0. */
function metric(family: Family): number {
  return family === 4 ? 0 : 1024;
}

function literal(text: string): Address {
  const address = parseAddress(text);
  assert(address !== null, `${text} is an address`);
  return address;
}
