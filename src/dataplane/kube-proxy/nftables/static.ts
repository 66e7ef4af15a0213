/**
 * What stands in kube-proxy's table before there is a Service: base chains, the jumps from them,
 * masquerade, and the maps by which packets find Services.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/nftables/proxier.go` `setupNFTables`, `nftablesBaseChains`,
 * `nftablesJumpChains`.
 * @module
 */
import type { Address, Prefix } from '../../../wire/address/address.ts';
import { formatAddress, formatPrefix } from '../../../wire/address/address.ts';
import type { ProxyTable } from './table.ts';

const BASES: readonly (readonly [name: string, type: string, hook: string, priority: number])[] = [
  ['filter-prerouting', 'filter', 'prerouting', -110],
  ['filter-input', 'filter', 'input', -110],
  ['filter-forward', 'filter', 'forward', -110],
  ['filter-output', 'filter', 'output', -110],
  ['filter-output-post-dnat', 'filter', 'output', -90],
  ['nat-prerouting', 'nat', 'prerouting', -100],
  ['nat-output', 'nat', 'output', -100],
  ['nat-postrouting', 'nat', 'postrouting', 100],
];

const JUMPS: readonly (readonly [from: string, to: string, when: string])[] = [
  ['filter-input', 'nodeport-endpoints-check', 'ct state new '],
  ['filter-input', 'service-endpoints-check', 'ct state new '],
  ['filter-forward', 'service-endpoints-check', 'ct state new '],
  ['filter-forward', 'cluster-ips-check', 'ct state new '],
  ['filter-output', 'service-endpoints-check', 'ct state new '],
  ['filter-output', 'firewall-check', 'ct state new '],
  ['filter-output-post-dnat', 'cluster-ips-check', 'ct state new '],
  ['filter-prerouting', 'firewall-check', 'ct state new '],
  ['nat-output', 'services', ''],
  ['nat-prerouting', 'services', ''],
  ['nat-postrouting', 'masquerading', ''],
];

export interface StaticParts {
  readonly masqueradeMark: string;
  /** Of this family; empty where nobody knows them. */
  readonly serviceCidrs: readonly Prefix[];
  /** The addresses that node ports answer at; null for all local ones. */
  readonly nodePortIps: readonly Address[] | null;
}

export function addStatics(table: ProxyTable, parts: StaticParts): void {
  const { ipX, addressType } = table;
  for (const [name, type, hook, priority] of BASES) {
    table.chain(name, `type ${type} hook ${hook} priority ${priority}; policy accept;`);
  }
  for (const [from, to, when] of JUMPS) table.rule(from, `${when}jump ${to}`);
  const mark = parts.masqueradeMark;
  table.rule('mark-for-masquerade', `mark set mark or ${mark}`);
  table.rule('masquerading', `mark and ${mark} == 0 return`);
  table.rule('masquerading', `mark set mark xor ${mark}`);
  table.rule('masquerading', 'masquerade fully-random');
  table.set('set', 'cluster-ips', `type ${addressType}`, 'comment "Active ClusterIPs"');
  const invalid = 'Reject traffic to invalid ports of ClusterIPs';
  table.rule('cluster-ips-check', `${ipX} daddr @cluster-ips reject`, { comment: invalid });
  if (parts.serviceCidrs.length > 0) {
    const ranges = parts.serviceCidrs.map(formatPrefix).join(', ');
    const comment = 'Drop traffic to unallocated ClusterIPs';
    table.rule('cluster-ips-check', `${ipX} daddr { ${ranges} } drop`, { comment });
  }
  addMaps(table);
  table.chain(
    'reject-chain',
    'comment "helper for @no-endpoint-services / @no-endpoint-nodeports"',
  );
  table.rule('reject-chain', 'reject');
  addDispatch(table, parts.nodePortIps);
}

function addMaps(table: ProxyTable): void {
  const byAddress = `type ${table.addressType} . inet_proto . inet_service : verdict`;
  const byPort = 'type inet_proto . inet_service : verdict';
  const map = (name: string, type: string, comment: string) =>
    table.set('map', name, type, `comment "${comment}"`);
  const refused = (what: string) => `vmap to drop or reject packets to ${what} with no endpoints`;
  map('no-endpoint-services', byAddress, refused('services'));
  map('no-endpoint-nodeports', byPort, refused('service nodeports'));
  map('firewall-ips', byAddress, 'destinations that are subject to LoadBalancerSourceRanges');
  map('service-ips', byAddress, 'ClusterIP, ExternalIP and LoadBalancer IP traffic');
  map('service-nodeports', byPort, 'NodePort traffic');
}

function addDispatch(table: ProxyTable, nodePortIps: StaticParts['nodePortIps']): void {
  const { ipX, addressType } = table;
  const service = `${ipX} daddr . meta l4proto . th dport vmap`;
  const port = 'meta l4proto . th dport vmap';
  const notLocalhost = `${ipX} daddr != ${ipX === 'ip' ? '127.0.0.0/8' : '::1'}`;
  if (nodePortIps !== null) {
    const comment = 'comment "IPs that accept NodePort traffic"';
    table.set('set', 'nodeport-ips', `type ${addressType}`, comment);
    for (const ip of nodePortIps) table.element('nodeport-ips', formatAddress(ip));
  }
  const here = nodePortIps === null ? notLocalhost : `${ipX} daddr @nodeport-ips`;
  const local = nodePortIps === null ? 'fib daddr type local ' : '';
  table.rule('service-endpoints-check', `${service} @no-endpoint-services`);
  table.rule('nodeport-endpoints-check', `${here} ${port} @no-endpoint-nodeports`);
  table.rule('firewall-check', `${service} @firewall-ips`);
  table.rule('services', `${service} @service-ips`);
  table.rule('services', `${local}${here} ${port} @service-nodeports`);
}
