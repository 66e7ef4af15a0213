/**
 * Chains, rules and map elements of one Service port in nftables mode.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/nftables/proxier.go` `syncProxyRules`,
 * `writeServiceToEndpointRules`.
 * @module
 */
import type { Provenance } from '../../../netfilter/rule.ts';
import {
  type Address,
  contains,
  formatAddress,
  formatPrefix,
} from '../../../wire/address/address.ts';
import type { UsedEndpoints } from '../services/categorize.ts';
import type { ProxyEndpoint } from '../services/endpoints.ts';
import { isExternallyAccessible, type ProxyPort } from '../services/service-port.ts';
import { type NftPortChains, nftEndpointNames, nftPortChains } from './names.ts';
import type { ProxyTable } from './table.ts';

/** What a port's rules need to know of the node. */
export interface NftProxyNode {
  readonly address: Address | null;
  readonly masqueradeAll: boolean;
  /** How traffic of pods is told, in nft's words; null without a detector. */
  readonly detector: { readonly ifLocal: string; readonly ifNotLocal: string } | null;
}

const MASQUERADE = 'jump mark-for-masquerade';

interface Writing {
  readonly table: ProxyTable;
  readonly port: ProxyPort;
  readonly used: UsedEndpoints;
  readonly node: NftProxyNode;
  readonly chains: NftPortChains;
  readonly hasInternal: boolean;
  readonly hasExternal: boolean;
  readonly protocol: string;
}

/** Write one port. */
export function addPort(
  table: ProxyTable,
  port: ProxyPort,
  used: UsedEndpoints,
  node: NftProxyNode,
): void {
  const hasLocal = used.local.length > 0;
  const writing: Writing = {
    table,
    port,
    used,
    node,
    chains: nftPortChains(port),
    hasInternal: used.any && (!port.internalLocal || hasLocal),
    hasExternal: used.any && (!port.externalLocal || hasLocal),
    protocol: port.port.protocol.toLowerCase(),
  };
  for (const endpoint of used.reachable) table.chain(nftEndpointNames(port, endpoint).chain);
  addElements(writing);
  addFirewall(writing);
  addInternal(writing);
  addExternal(writing);
  const { cluster, local } = writing.chains;
  addChoice(writing, cluster, used.cluster);
  addChoice(writing, local, used.local);
  for (const endpoint of used.reachable) addEndpoint(writing, endpoint);
}

/** Where no endpoint is for this kind of traffic: refused if there is none at all. */
function refusal({ used }: Writing): string {
  return used.any ? 'drop' : 'goto reject-chain';
}

function addElements(writing: Writing): void {
  const { table, port, used, chains, protocol, hasInternal, hasExternal } = writing;
  const number = port.port.port;
  const about = `comment "${port.name}"`;
  const at = (ip: Address) => `${formatAddress(ip)} . ${protocol} . ${number}`;
  table.element('cluster-ips', formatAddress(port.clusterIp));
  const internal = port.internalLocal ? chains.local : chains.cluster;
  if (hasInternal) table.element('service-ips', `${at(port.clusterIp)} : goto ${internal}`);
  else {
    const text = `${at(port.clusterIp)} ${about} : ${refusal(writing)}`;
    table.element('no-endpoint-services', text);
  }
  for (const ip of [...port.externalIps, ...port.vips]) {
    if (used.any) table.element('service-ips', `${at(ip)} : goto ${chains.external}`);
    if (!hasExternal) {
      table.element('no-endpoint-services', `${at(ip)} ${about} : ${refusal(writing)}`);
    }
  }
  if (port.nodePort === null) return;
  const node = `${protocol} . ${port.nodePort}`;
  if (used.any) table.element('service-nodeports', `${node} : goto ${chains.external}`);
  if (!hasExternal) {
    table.element('no-endpoint-nodeports', `${node} ${about} : ${refusal(writing)}`);
  }
}

/** `loadBalancerSourceRanges`; the node itself may come by the load balancer's address. */
function addFirewall({ table, port, node, chains, protocol }: Writing): void {
  const { vips, sourceRanges, origin } = port;
  if (vips.length === 0 || sourceRanges.length === 0) return;
  const { address } = node;
  const fromNode = address !== null && sourceRanges.some((range) => contains(range, address));
  const sources = [...sourceRanges.map(formatPrefix), ...(fromNode ? vips.map(formatAddress) : [])];
  const list = sources.join(', ');
  table.rule(chains.firewall, `${table.ipX} saddr != { ${list} } drop`, { origin });
  for (const ip of vips) {
    const key = `${formatAddress(ip)} . ${protocol} . ${port.port.port} comment "${port.name}"`;
    table.element('firewall-ips', `${key} : goto ${chains.firewall}`);
  }
}

/** ClusterIP traffic that no pod sent is masqueraded. */
function addInternal({ table, port, node, chains, protocol, hasInternal }: Writing): void {
  if (!hasInternal || (!node.masqueradeAll && node.detector === null)) return;
  const chain = port.internalLocal ? chains.local : chains.cluster;
  const ip = `${table.ipX} daddr ${formatAddress(port.clusterIp)}`;
  const own = node.masqueradeAll ? '' : `${node.detector?.ifNotLocal} `;
  const text = `${ip} ${protocol} dport ${port.port.port} ${own}${MASQUERADE}`;
  table.rule(chain, text, { origin: port.origin });
}

function addExternal({ table, port, used, node, chains, hasExternal }: Writing): void {
  if (!used.any || !isExternallyAccessible(port)) return;
  const { origin } = port;
  const { external, cluster, local } = chains;
  if (!port.externalLocal) table.rule(external, MASQUERADE, { origin });
  else {
    if (node.detector !== null) {
      const comment = 'short-circuit pod traffic';
      table.rule(external, `${node.detector.ifLocal} goto ${cluster}`, { comment, origin });
    }
    const own = 'fib saddr type local';
    table.rule(external, `${own} ${MASQUERADE}`, { comment: 'masquerade local traffic', origin });
    const comment = 'short-circuit local traffic';
    table.rule(external, `${own} goto ${cluster}`, { comment, origin });
  }
  if (hasExternal) {
    table.rule(external, `goto ${port.externalLocal ? local : cluster}`, { origin });
  }
}

/** One endpoint by chance, but the one that a client had before. */
function addChoice(
  { table, port }: Writing,
  chain: string,
  endpoints: readonly ProxyEndpoint[],
): void {
  if (endpoints.length === 0) return;
  const names = endpoints.map((endpoint) => nftEndpointNames(port, endpoint));
  const origin: readonly Provenance[] = port.origin;
  if (port.affinitySeconds !== null) {
    for (const { chain: to, affinity } of names) {
      addAffinity(table, affinity, port.affinitySeconds);
      table.rule(chain, `${table.ipX} saddr @${affinity} goto ${to}`, { origin });
    }
  }
  const list = names.map(({ chain: to }, i) => `${i} : goto ${to}`).join(', ');
  table.rule(chain, `numgen random mod ${names.length} vmap { ${list} }`, { origin });
}

function addAffinity(table: ProxyTable, name: string, seconds: number): void {
  const lines = [`type ${table.addressType}`, 'flags dynamic,timeout', `timeout ${seconds}s`];
  table.set('set', name, ...lines);
}

function addEndpoint({ table, port, protocol }: Writing, endpoint: ProxyEndpoint): void {
  const { chain, affinity } = nftEndpointNames(port, endpoint);
  const origin = [...port.origin, endpoint.origin];
  const { ipX } = table;
  table.rule(chain, `${ipX} saddr ${formatAddress(endpoint.address)} ${MASQUERADE}`, { origin });
  if (port.affinitySeconds !== null) {
    addAffinity(table, affinity, port.affinitySeconds);
    table.rule(chain, `update @${affinity} { ${ipX} saddr }`, { origin });
  }
  table.rule(chain, `meta l4proto ${protocol} dnat to ${endpoint.text}`, { origin });
}
