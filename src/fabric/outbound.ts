/**
 * The way out to the internet: whose address and which ports a VM's packets leave with.
 *
 * Precedence as Azure has it: a route of the user's (routing.ts), the subnet's NAT gateway, the
 * load balancer's outbound rule; none of them means no way out. Load balancer: a block of ports
 * for each VM on each public address, by the size of the pool or as allocated; secondary ipconfigs
 * (pods of a node subnet) have none. NAT gateway: all 64,512 ports of each address, on demand, for
 * everything in the subnet. Both know TCP and UDP only.
 *
 * One SNAT rule each, a real one: the connection table holds every port that is taken, towards
 * which destination, and until when. Timers are the namespace's sysctls. azure-docs
 * load-balancer-outbound-connections `0021892f`, outbound-rules `01a10a00`, nat-gateway-resource
 * `00595da9`; releases of the load balancer's ports as its older versions have them ("TCP SNAT port
 * release": 240 seconds after a FIN, 15 after a RST).
 * @module
 */
import type { AzureNetwork, NatGateway, Subnet } from '../cluster/azure/network.ts';
import { assert } from '../diagnostic/diagnostic.ts';
import type { NatRange } from '../netfilter/target.ts';
import type { PlanBuilder, RuleParts } from '../plan/builder.ts';
import {
  type Address,
  addToAddress,
  contains,
  equalAddress,
  type Family,
  formatAddress,
  hostPrefix,
  type Prefix,
} from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { INTERNET, NIC_PREFIX } from './devices.ts';
import { PRIVATE_RANGES } from './effective-routes.ts';
import { comment, ctstate, inSet, jump, PLATFORM, rule } from './parts.ts';

const OUTBOUND = 'OUTBOUND';

/** Ports of a public address that a load balancer hands out, and where they begin. */
export const BALANCER_PORTS = 64_000;
const FIRST_PORT = 1024;
const LAST_PORT = 65_535;

/** Most VMs of a pool, and the ports each has by default (load-balancer-outbound-connections). */
const DEFAULT_PORTS: readonly (readonly [number, number])[] = [
  [50, 1024],
  [100, 512],
  [200, 256],
  [400, 128],
  [800, 64],
  [1000, 32],
];

/** Ports that each VM of a pool of this size has on each public address; 0 above a thousand. */
export function defaultPorts(poolSize: number): number {
  return DEFAULT_PORTS.find(([most]) => poolSize <= most)?.[1] ?? 0;
}

export interface OutboundNode {
  readonly name: string;
  readonly addresses: readonly Address[];
}

export interface OutboundInput {
  readonly network: AzureNetwork;
  readonly nodes: readonly OutboundNode[];
}

/** Write the chains of the way out, and the timers of the connection table. */
export function addOutbound(builder: PlanBuilder, input: OutboundInput): void {
  const gateways = natGateways(input);
  const has = (family: Family) =>
    input.nodes.some((n) => n.addresses.some((a) => a.family === family));
  for (const family of ([4, 6] as const).filter(has)) {
    builder.ensureChain(family, 'nat', OUTBOUND);
    builder.append(
      family,
      'filter',
      'FORWARD',
      rule({ in: `${NIC_PREFIX}+`, out: INTERNET }, jump(OUTBOUND), ctstate('NEW')),
    );
    builder.append(family, 'nat', 'POSTROUTING', rule({ out: INTERNET }, jump(OUTBOUND)));
    for (const address of family === 4 ? PLATFORM : []) {
      const platform = rule({ to: hostPrefix(address) }, 'return', comment('stays in Azure'));
      builder.append(4, 'filter', OUTBOUND, platform);
      builder.append(4, 'nat', OUTBOUND, platform);
    }
    for (const to of input.network.isConnectivityKnown ? [] : PRIVATE_RANGES) {
      if (to.address.family !== family) continue;
      const why = 'a private range, and the wiring does not say how it is reached';
      const kept = rule({ to }, 'return', comment(why));
      builder.append(family, 'filter', OUTBOUND, kept);
      builder.append(family, 'nat', OUTBOUND, kept);
    }
    for (const subnet of input.network.subnets) {
      addEndpoints(builder, family, subnet);
    }
    for (const [prefix, gateway] of gateways) {
      if (prefix.address.family === family) addGateway(builder, prefix, gateway);
    }
    if (gateways.length === 0) addBalancer(builder, family, input);
    builder.append(family, 'filter', OUTBOUND, rule({}, 'drop', comment(whyNot(input))));
  }
  setTimers(builder, input, gateways.length > 0);
}

/** Services that a subnet has an endpoint of see its own addresses. */
function addEndpoints(builder: PlanBuilder, family: Family, subnet: Subnet): void {
  const { prefix: from, serviceEndpoints } = subnet;
  if (from.address.family !== family) return;
  for (const to of serviceEndpoints) {
    if (to.address.family !== family) continue;
    const kept = rule({ from, to }, 'return', comment(`service endpoint of ${subnet.name}`));
    builder.append(family, 'filter', OUTBOUND, kept);
    builder.append(family, 'nat', OUTBOUND, kept);
  }
}

/** What is left when no rule let a packet out. */
function whyNot({ network }: OutboundInput): string {
  switch (network.outbound.type) {
    case 'none':
      return 'outboundType none: no way to the internet';
    case 'userDefinedRouting':
      return 'outboundType userDefinedRouting: no load balancer rule and no NAT gateway';
    case 'loadBalancer':
      return 'the outbound rule has TCP and UDP of primary ipconfigs only';
    case 'managedNATGateway':
    case 'userAssignedNATGateway':
      return 'the NAT gateway has TCP and UDP of its subnets only';
  }
}

/** Which ranges leave by which NAT gateway. */
function natGateways({ network, nodes }: OutboundInput): (readonly [Prefix, NatGateway])[] {
  const bySubnet = network.subnets.flatMap((s) =>
    s.natGateway ? [[s.prefix, s.natGateway] as const] : [],
  );
  const managed = network.outbound.natGateway;
  if (managed === null || bySubnet.length > 0) return bySubnet;
  const own = network.subnets.filter((s) =>
    nodes.some((n) => n.addresses.some((a) => contains(s.prefix, a))),
  );
  if (own.length > 0) return own.map((s) => [s.prefix, managed]);
  return nodes.flatMap((n) => n.addresses.map((a) => [hostPrefix(a), managed] as const));
}

function addGateway(builder: PlanBuilder, from: Prefix, gateway: NatGateway): void {
  const { family } = from.address;
  const addresses = gateway.publicAddresses.filter((a) => a.family === family);
  const ports = { low: FIRST_PORT, high: LAST_PORT };
  for (const protocol of [Protocol.tcp, Protocol.udp]) {
    if (addresses.length === 0) continue;
    const why = comment(`NAT gateway ${gateway.name}`);
    builder.append(family, 'filter', OUTBOUND, rule({ from, protocol }, 'return', why));
    const made = snatRules({ from, protocol }, addresses, ports, `NAT gateway ${gateway.name}`);
    builder.append(family, 'nat', OUTBOUND, ...made);
  }
}

/** So many VMs share a chain of SNAT rules; a set leads to it. */
const CHUNK = 64;

/**
 * Blocks of the load balancer: VM i has the i-th of each address, or, with a number allocated by
 * hand, the i-th of all addresses one after another.
 *
 * Azure's table of default ports ends at a thousand VMs. Larger pools leave as they are: that they
 * get out is known, with which ports is not.
 */
function addBalancer(builder: PlanBuilder, family: Family, input: OutboundInput): void {
  const { outbound } = input.network;
  const addresses = outbound.publicAddresses.filter((a) => a.family === family);
  if (addresses.length === 0) return;
  const byHand = outbound.allocatedPorts > 0;
  const size = outbound.allocatedPorts || defaultPorts(input.nodes.length);
  const fit = size === 0 ? 0 : Math.floor(BALANCER_PORTS / size);
  const served = input.nodes.flatMap((node, i): Served[] => {
    const source = node.addresses.find((a) => a.family === family);
    if (source === undefined) return [];
    if (size === 0) return [{ source, rules: [] }];
    const mine = byHand ? addresses.slice(Math.floor(i / fit)).slice(0, 1) : addresses;
    const block = byHand ? i % fit : i;
    if (mine.length === 0 || block >= fit) return [];
    const low = FIRST_PORT + block * size;
    const ports = { low, high: low + size - 1 };
    const text = `outbound rule: ${size} ports for ${node.name}`;
    const rules = TRANSLATED.flatMap((protocol) =>
      snatRules({ from: hostPrefix(source), protocol }, mine, ports, text),
    );
    return [{ source, rules }];
  });
  const all = `outbound${family}`;
  addHostSet(builder, all, family, served);
  for (const protocol of TRANSLATED) {
    const why = comment('outbound rule of the load balancer');
    builder.append(
      family,
      'filter',
      OUTBOUND,
      rule({ protocol }, 'return', inSet(all, 'src'), why),
    );
  }
  addChunks(builder, family, served);
}

const TRANSLATED = [Protocol.tcp, Protocol.udp];

/** A VM's address, and how its packets leave. */
interface Served {
  readonly source: Address;
  readonly rules: readonly RuleParts[];
}

function addChunks(builder: PlanBuilder, family: Family, served: readonly Served[]): void {
  if (served.length <= CHUNK) {
    builder.append(family, 'nat', OUTBOUND, ...served.flatMap((one) => one.rules));
    return;
  }
  for (let i = 0; i * CHUNK < served.length; i++) {
    const part = served.slice(i * CHUNK, (i + 1) * CHUNK);
    const set = `outbound${family}-${i}`;
    const chain = `${OUTBOUND}-${i}`;
    addHostSet(builder, set, family, part);
    builder.append(family, 'nat', OUTBOUND, rule({}, jump(chain), inSet(set, 'src')));
    builder.ensureChain(family, 'nat', chain);
    builder.append(family, 'nat', chain, ...part.flatMap((one) => one.rules));
  }
}

function addHostSet(
  builder: PlanBuilder,
  name: string,
  family: Family,
  members: readonly Served[],
): void {
  builder.ipsets.push({
    name,
    type: 'hash:ip',
    family,
    maxElements: 65_536,
    members: members.map(({ source }) => ({ kind: 'ip', address: source })),
  });
}

interface Who {
  readonly from: Prefix;
  readonly protocol: number;
}

/**
 * One SNAT rule for addresses that follow each other; otherwise one for each, drawn.
 *
 * Every rule names what it is part of, so that a report can say whose ports ran out.
 */
export function snatRules(
  who: Who,
  addresses: readonly Address[],
  ports: { readonly low: number; readonly high: number },
  text: string,
): readonly RuleParts[] {
  const [first] = addresses;
  assert(first !== undefined, 'somebody has a public address');
  const last = addresses.at(-1) ?? first;
  const inRow = addresses.every((a, i) => equalAddress(a, addToAddress(first, i)));
  const range = (low: Address, high: Address): NatRange => ({
    low,
    high,
    ports,
    random: false,
    randomFully: false,
    persistent: false,
  });
  const origin = (name: string) => [
    { object: text, effect: 'platform' as const, field: `${name}:${ports.low}-${ports.high}` },
  ];
  if (inRow) {
    const name = addresses.map(formatAddress).join(', ');
    const target = { kind: 'snat' as const, range: range(first, last) };
    return [{ ...rule(who, target, comment(text)), origin: origin(name) }];
  }
  return addresses.map((address, i) => {
    const left = addresses.length - i;
    const threshold = Math.round(0x80000000 / left);
    const chance = left === 1 ? [] : [{ kind: 'random' as const, threshold, negate: false }];
    const target = { kind: 'snat' as const, range: range(address, address) };
    return {
      ...rule(who, target, ...chance, comment(text)),
      origin: origin(formatAddress(address)),
    };
  });
}

/** Seconds until a port comes back. */
function setTimers(builder: PlanBuilder, { network }: OutboundInput, byGateway: boolean): void {
  const [gateway] = network.subnets.flatMap((s) => s.natGateway ?? []);
  const idle = byGateway
    ? (gateway ?? network.outbound.natGateway)?.idleTimeoutMinutes
    : network.outbound.idleTimeoutMinutes;
  const closed = byGateway ? 65 : 240;
  const reset = byGateway ? 16 : 15;
  const timeouts: Readonly<Record<string, number>> = {
    tcp_timeout_established: (idle ?? 4) * 60,
    tcp_timeout_fin_wait: closed,
    tcp_timeout_close_wait: closed,
    tcp_timeout_last_ack: closed,
    tcp_timeout_time_wait: closed,
    tcp_timeout_close: reset,
    ...(byGateway ? { tcp_timeout_syn_sent: 30 } : {}),
    udp_timeout: 240,
    udp_timeout_stream: 240,
  };
  builder.keepsRefused = true;
  for (const [name, seconds] of Object.entries(timeouts)) {
    builder.sysctls[`net.netfilter.nf_conntrack_${name}`] = String(seconds);
  }
}
