/**
 * Network security groups: at a VM's NIC, stateful, inbound the subnet's group before the NIC's,
 * outbound the NIC's before the subnet's; both must allow.
 *
 * A connection that was let in lets its answers out. What stays on one VM never comes here. Azure's
 * DNS and metadata service are not subject to groups (network-security-groups-overview `0088bfa7`).
 *
 *   FORWARD ─ -i nic-… ─► NSG-OUT ─ answers, platform: RETURN ─► nsg-1-o ─► nsg-2-o
 *           └ -o nic-… ─► NSG-IN  ─ answers: RETURN ───────────► nsg-2-i ─► nsg-1-i
 *
 * In a group's chain Allow is RETURN and Deny is DROP, by priority.
 * @module
 */
import { createHash } from 'node:crypto';
import type {
  ApplicationGroup,
  AzureNetwork,
  SecurityGroup,
  SecurityRule,
  SecuritySide,
  ServiceTag,
} from '../cluster/azure/network.ts';
import type { Wiring } from '../cluster/model.ts';
import { findPool } from '../cluster/node-pool.ts';
import type { Match } from '../netfilter/match.ts';
import type { PlanBuilder, RuleParts } from '../plan/builder.ts';
import {
  type Address,
  contains,
  type Family,
  hostPrefix,
  type Prefix,
} from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { fabricDevice, NIC_PREFIX } from './devices.ts';
import {
  addNetSet,
  comment,
  ctstate,
  head,
  inSet,
  jump,
  PLATFORM,
  PROBE_SOURCE,
  rule,
} from './parts.ts';

const OUT = 'NSG-OUT';
const IN = 'NSG-IN';

/** Set of the service tag VirtualNetwork. */
function tagSet(family: Family): string {
  return `tag-VirtualNetwork${family}`;
}

export interface SecurityInput {
  readonly wiring: Wiring;
  readonly network: AzureNetwork;
  readonly nodes: readonly { readonly name: string; readonly addresses: readonly Address[] }[];
  /** Ranges of an overlay's pods: Azure's default rules let them reach each other. */
  readonly overlay: readonly Prefix[];
}

/** Set of an application security group's members. */
function memberSet(family: Family, group: ApplicationGroup): string {
  const plain = `asg-${group.name}`;
  const name = plain.length <= LONGEST_SET ? plain : `asg-${sha1(group.name).slice(0, 20)}`;
  return `${name}-${family}`;
}

/** A set's name has 31 letters, two of which are the family. */
const LONGEST_SET = 29;

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

/** Sets of the groups that rules name: their nodes' own addresses, and those that are given. */
function addMembers(
  builder: PlanBuilder,
  family: Family,
  rules: readonly SecurityRule[],
  { wiring, nodes }: SecurityInput,
): void {
  const named = rules.flatMap((r) => [...(r.source.groups ?? []), ...(r.destination.groups ?? [])]);
  for (const group of new Set(named)) {
    const own = nodes.filter((node) => {
      const pool = findPool(wiring.nodePools, node.name);
      return pool !== undefined && group.nodePools.includes(pool.name);
    });
    const all = [...own.flatMap((node) => node.addresses), ...group.addresses];
    addNetSet(builder, memberSet(family, group), family, all.map(hostPrefix));
  }
}

/** Write the groups' chains; nothing when no NIC and no subnet has a group. */
export function addSecurity(builder: PlanBuilder, input: SecurityInput): void {
  const { network, nodes } = input;
  const groups = new Map<SecurityGroup, number>();
  const number = (group: SecurityGroup) => {
    const known = groups.get(group) ?? groups.size + 1;
    groups.set(group, known);
    return known;
  };
  const perNode = nodes.map((node) => {
    const subnet = network.subnets.find((s) =>
      node.addresses.some((a) => contains(s.prefix, a)),
    )?.securityGroup;
    const nic = network.nodeSecurityGroup;
    const inbound = [subnet, nic].flatMap((g) => (g ? [`nsg-${number(g)}-i`] : []));
    const outbound = [nic, subnet].flatMap((g) => (g ? [`nsg-${number(g)}-o`] : []));
    return { device: fabricDevice(node.name), inbound, outbound };
  });
  if (groups.size === 0) return;
  for (const family of [4, 6] as const) {
    addNetSet(builder, tagSet(family), family, virtualNetworkTag(input));
    const rules = [...groups.keys()].flatMap((group) => group.rules);
    addMembers(builder, family, rules, input);
    for (const [group, id] of groups) addGroup(builder, family, group, id);
    const isSame = perNode.every(
      (n) => n.inbound.join() === perNode[0]?.inbound.join() && n.outbound.length > 0,
    );
    const [first] = perNode;
    const dispatch = isSame && first ? [{ ...first, device: `${NIC_PREFIX}+` }] : perNode;
    addDispatch(builder, family, dispatch);
  }
}

interface Dispatched {
  readonly device: string;
  readonly inbound: readonly string[];
  readonly outbound: readonly string[];
}

function addDispatch(builder: PlanBuilder, family: Family, dispatch: readonly Dispatched[]): void {
  const answers = rule({}, 'return', comment('answers'), ctstate('RELATED', 'ESTABLISHED'));
  builder.append(family, 'filter', OUT, answers);
  builder.append(family, 'filter', IN, answers);
  if (family === 4) {
    for (const address of PLATFORM) {
      const text = 'not subject to network security groups';
      builder.append(4, 'filter', OUT, rule({ to: hostPrefix(address) }, 'return', comment(text)));
    }
  }
  for (const { device, inbound, outbound } of dispatch) {
    for (const chain of outbound) {
      builder.append(family, 'filter', OUT, rule({ in: device }, jump(chain)));
    }
    for (const chain of inbound) {
      builder.append(family, 'filter', IN, rule({ out: device }, jump(chain)));
    }
  }
  const nics = `${NIC_PREFIX}+`;
  builder.append(family, 'filter', 'FORWARD', rule({ in: nics }, jump(OUT)));
  builder.append(family, 'filter', 'FORWARD', rule({ out: nics }, jump(IN)));
}

/** The network's ranges, its peers', on-premises ranges, the probes' source, routes' prefixes. */
function virtualNetworkTag({ wiring, network, overlay }: SecurityInput): readonly Prefix[] {
  return [
    ...wiring.vnet,
    ...network.peerings.filter((p) => p.access).flatMap((p) => p.prefixes),
    ...network.onPremises.map((o) => o.prefix),
    hostPrefix(PROBE_SOURCE[4]),
    ...overlay,
    ...network.subnets.flatMap((s) => s.routeTable?.routes.map((r) => r.prefix) ?? []),
  ];
}

function addGroup(builder: PlanBuilder, family: Family, group: SecurityGroup, id: number): void {
  for (const one of group.rules) {
    const chain = `nsg-${id}-${one.direction === 'Inbound' ? 'i' : 'o'}`;
    builder.append(family, 'filter', chain, ...linuxRules(family, group, one));
  }
}

function linuxRules(family: Family, group: SecurityGroup, one: SecurityRule): RuleParts[] {
  const sources = sides(family, one.source, 'src');
  const destinations = sides(family, one.destination, 'dst');
  const text = `${group.name}/${one.name} (${one.priority})`;
  const origin = [
    {
      object: `NetworkSecurityGroup/${group.name}`,
      effect: 'platform' as const,
      field: one.name,
      source: `${one.place.file}:${one.place.line}`,
    },
  ];
  const target = { kind: one.access === 'Allow' ? ('return' as const) : ('drop' as const) };
  return protocols(family, one).flatMap((protocol) =>
    sources.flatMap((source) =>
      destinations.flatMap((destination) =>
        portMatches(one, protocol).map((ports) => ({
          ip: head({
            ...(source.prefix ? { from: source.prefix } : {}),
            ...(destination.prefix ? { to: destination.prefix } : {}),
            ...(protocol === null ? {} : { protocol }),
          }),
          matches: [...source.matches, ...destination.matches, ...ports, comment(text)],
          target,
          origin,
        })),
      ),
    ),
  );
}

/** Numbers of the protocols to write a rule for; null for one that names none. */
function protocols(family: Family, one: SecurityRule): readonly (number | null)[] {
  switch (one.protocol) {
    case 'Tcp':
      return [Protocol.tcp];
    case 'Udp':
      return [Protocol.udp];
    case 'Icmp':
      return [family === 4 ? Protocol.icmp : Protocol.icmpv6];
    case 'Esp':
      return [50];
    case 'Ah':
      return [51];
    case '*': {
      const hasPorts = one.source.ports.length + one.destination.ports.length > 0;
      return hasPorts ? [Protocol.tcp, Protocol.udp] : [null];
    }
  }
}

interface Side {
  readonly prefix?: Prefix;
  readonly matches: readonly Match[];
}

/** One entry for each rule that a side needs; none when it has nothing of this family. */
function sides(family: Family, side: SecuritySide, direction: 'src' | 'dst'): readonly Side[] {
  if (side.any) return [{ matches: [] }];
  const prefixes = side.prefixes
    .filter((p) => p.address.family === family)
    .map((prefix) => ({ prefix, matches: [] }));
  const tags = side.tags.map((tag) => tagSide(family, tag, direction));
  const groups = (side.groups ?? []).map((group) => ({
    matches: [inSet(memberSet(family, group), direction)],
  }));
  return [...prefixes, ...tags, ...groups];
}

function tagSide(family: Family, tag: ServiceTag, direction: 'src' | 'dst'): Side {
  switch (tag) {
    case 'VirtualNetwork':
      return { matches: [inSet(tagSet(family), direction)] };
    case 'AzureLoadBalancer':
      return { prefix: hostPrefix(PROBE_SOURCE[family]), matches: [] };
    case 'Internet':
      return { matches: [inSet(tagSet(family), direction, true)] };
  }
}

/** xt_multiport takes fifteen ports, a range counting as two. */
const MOST_PORTS = 15;

type Ports = SecuritySide['ports'];

function portMatches(one: SecurityRule, protocol: number | null): readonly Match[][] {
  if (protocol !== Protocol.tcp && protocol !== Protocol.udp) return [[]];
  const source = chunks(one.source.ports);
  const destination = chunks(one.destination.ports);
  return source.flatMap((s) =>
    destination.map((d) => [...multiport('sports', s), ...multiport('dports', d)]),
  );
}

function multiport(which: 'sports' | 'dports', ports: Ports): Match[] {
  return ports.length === 0 ? [] : [{ kind: 'multiport', which, ports, negate: false }];
}

function chunks(ports: Ports): readonly Ports[] {
  const found: Ports[number][][] = [[]];
  let room = MOST_PORTS;
  for (const range of ports) {
    const size = range.low === range.high ? 1 : 2;
    if (size > room) {
      found.push([]);
      room = MOST_PORTS;
    }
    room -= size;
    found.at(-1)?.push(range);
  }
  return found;
}
