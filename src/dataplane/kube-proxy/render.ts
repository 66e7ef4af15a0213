/**
 * kube-proxy on one node: the rules of a full sync, for both families, in iptables mode or (folders
 * nftables and ipvs) in nftables or IPVS mode.
 *
 * Where kube-proxy walks a map (Services, node addresses) its order is chance; ours is that of the
 * input. Source: kubernetes v1.30.5 `pkg/proxy/iptables/proxier.go` `syncProxyRules`.
 * @module
 */
import { hasUnknownEndpoints } from '../../cluster/api-server.ts';
import type { EndpointSlice, Node, Service } from '../../cluster/model.ts';
import { ZONE_LABEL } from '../../cluster/topology-hints.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import type { Address, Family, Prefix } from '../../wire/address/address.ts';
import { contains, formatAddress } from '../../wire/address/address.ts';
import { nodePortScope, type ProxySettings } from './config.ts';
import { renderIpvs } from './ipvs/render.ts';
import { trafficDetector } from './local-detector.ts';
import { type NftProxyInput, nftablesTable } from './nftables/render.ts';
import { comment, constant, localAddress, to, toRange } from './parts.ts';
import { nodeKey, portRules } from './port-rules.ts';
import type { ProxyTopology } from './services/categorize.ts';
import { EndpointIndex } from './services/endpoints.ts';
import { proxyPorts } from './services/service-port.ts';
import { addStaticChains } from './static-chains.ts';

/** With more endpoints, kube-proxy leaves out the comments that every endpoint would have. */
const LARGE_CLUSTER = 1000;

/** What a node's kube-proxy knows. */
export interface ProxyInput {
  readonly services: readonly Service[];
  readonly endpointSlices: readonly EndpointSlice[];
  readonly node: Pick<Node, 'name' | 'addresses' | 'podCidrs' | 'labels' | 'cpus'>;
  readonly settings: ProxySettings;
  /** The ranges of ClusterIPs, where they are known; nftables mode guards them. */
  readonly serviceCidrs?: readonly Prefix[];
}

/** Add kube-proxy's chains, rules and sysctls to a node that has its interfaces. */
export function renderKubeProxy(builder: PlanBuilder, input: ProxyInput): void {
  const { settings } = input;
  if (settings.tcpBeLiberal) builder.sysctls['net.netfilter.nf_conntrack_tcp_be_liberal'] = '1';
  const liberal = builder.sysctls['net.netfilter.nf_conntrack_tcp_be_liberal'] ?? '0';
  const known = { ...settings, tcpBeLiberal: liberal !== '0' };
  if (settings.mode === 'ipvs') {
    const ports = (family: Family) => portsOf(input, family);
    const { node } = input;
    renderIpvs(builder, { ports, node, topology: topologyOf(input), settings });
  } else renderRules(builder, { ...input, settings: known });
  setConntrack(builder, input);
}

/** A mode that is rules and nothing else. */
function renderRules(builder: PlanBuilder, input: ProxyInput): void {
  const { settings } = input;
  const isNft = settings.mode === 'nftables';
  for (const family of [4, 6] as const) {
    if (isNft) renderNftFamily(builder, input, family);
    else renderFamily(builder, input, family);
  }
  if (!isNft && nodePortScope(settings, 4).localhost) {
    builder.sysctls['net.ipv4.conf.all.route_localnet'] = '1';
  }
}

function topologyOf({ node, settings }: ProxyInput): ProxyTopology {
  return { node: node.name, zone: node.labels[ZONE_LABEL] ?? '', hints: settings.hints };
}

/** Of a node that does not say: then the table is as large as a kernel makes it by itself. */
const CPUS = 8;

/** cmd/kube-proxy/app/server_linux.go `getConntrackMax`, `setupConntrack`. */
function setConntrack(builder: PlanBuilder, { settings, node }: ProxyInput): void {
  const { conntrackMaxPerCore: perCore, conntrackMin: least } = settings;
  const most = Math.max(least, perCore * (node.cpus ?? CPUS));
  if (perCore > 0) builder.sysctls['net.netfilter.nf_conntrack_max'] = String(most);
  const timeouts = [
    ['tcp_timeout_established', settings.tcpEstablishedTimeout],
    ['tcp_timeout_close_wait', settings.tcpCloseWaitTimeout],
    ['udp_timeout', settings.udpTimeout],
    ['udp_timeout_stream', settings.udpStreamTimeout],
  ] as const;
  for (const [key, seconds] of timeouts) {
    if (seconds > 0) builder.sysctls[`net.netfilter.nf_conntrack_${key}`] = String(seconds);
  }
}

function renderFamily(builder: PlanBuilder, input: ProxyInput, family: Family): void {
  const { settings, node } = input;
  const { localhost } = nodePortScope(settings, family);
  addStaticChains(builder, family, settings, localhost);
  const ports = portsOf(input, family);
  const total = ports.reduce((sum, { all }) => sum + all.length, 0);
  const proxyNode = {
    settings,
    detector: trafficDetector(settings.detectLocal, node, family),
    address: node.addresses.find((a) => a.family === family) ?? null,
    large: total > LARGE_CLUSTER,
  };
  const topology = topologyOf(input);
  const key = nodeKey(proxyNode, localhost);
  for (const { port, all } of ports) {
    const written = portRules({ port, all, topology, node: proxyNode, localhost, key });
    for (const { table, chain, rules } of written) builder.extend(family, table, chain, rules);
  }
  for (const rule of nodePortJumps(builder, settings, family)) {
    builder.append(family, 'nat', 'KUBE-SERVICES', rule);
  }
}

/** Every Service port of a family with its endpoints. */
function portsOf(input: ProxyInput, family: Family): NftProxyInput['ports'] {
  const index = new EndpointIndex(input.endpointSlices, family, input.node.name);
  const ports = proxyPorts(input.services, family);
  const known = ports.filter(({ service }) => !hasUnknownEndpoints(input, service));
  // IPVS mode masquerades every pod of the node that meets itself.
  const tellsLocal = input.settings.mode === 'ipvs' || undefined;
  return known.map((port) => ({ port, all: index.of(port, tellsLocal) }));
}

function renderNftFamily(builder: PlanBuilder, input: ProxyInput, family: Family): void {
  const { node, settings, serviceCidrs = [] } = input;
  const ports = portsOf(input, family);
  const zone = node.labels[ZONE_LABEL] ?? '';
  const made = nftablesTable(builder, { ports, node, zone, settings, serviceCidrs }, family);
  builder.nftTables.push(made);
}

/** The last rules of nat KUBE-SERVICES: to node ports, by address type or address by address. */
function nodePortJumps(
  builder: PlanBuilder,
  settings: ProxySettings,
  family: Family,
): readonly RuleParts[] {
  const { everywhere, ranges, localhost } = nodePortScope(settings, family);
  const text = 'kubernetes service nodeports; NOTE: this must be the last rule in this chain';
  const target = { kind: 'jump', chain: 'KUBE-NODEPORTS' } as const;
  if (everywhere) {
    const none = family === 6 ? '::1/128' : '127.0.0.0/8';
    const ip = localhost ? {} : { ip: toRange(constant(none), true) };
    return [{ ...ip, matches: [comment(text), localAddress('destination')], target }];
  }
  const own = builder.interfaces.flatMap((i) => i.addresses.map((a) => a.address));
  const chosen = new Map<string, Address>();
  for (const address of own) {
    if (address.family !== family || !ranges.some((r) => contains(r, address))) continue;
    if (!localhost && isLoopback(address)) continue;
    chosen.set(formatAddress(address), address);
  }
  return [...chosen.values()].map((ip) => ({ ip: to(ip), matches: [comment(text)], target }));
}

function isLoopback(address: Address): boolean {
  return contains(constant(address.family === 4 ? '127.0.0.0/8' : '::1/128'), address);
}
