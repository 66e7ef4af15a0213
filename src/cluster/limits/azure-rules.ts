/**
 * What Azure refuses about a cluster's wiring and addresses (facts: AKS networking concepts,
 * Virtual Network FAQ "Are there any restrictions on using IP addresses within these subnets").
 *
 * Held against a wiring document only: ranges that we guessed from the objects of some other
 * cluster are nobody's statement about Azure.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { Address, Prefix } from '../../wire/address/address.ts';
import {
  addToAddress,
  contains,
  containsPrefix,
  equalAddress,
  formatAddress,
  formatPrefix,
  maskAddress,
  overlaps,
  parsePrefix,
} from '../../wire/address/address.ts';
import type { GivenWiring } from '../decode/wiring/wiring.ts';
import { hasPodRanges } from '../infer-wiring.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, placeOf } from '../manifest/tree.ts';
import type { Node, Pod, Wiring } from '../model.ts';
import { growthProblems } from './growth-rules.ts';
import { windowsPoolProblems } from './windows-rules.ts';

function ranges(...written: readonly string[]): readonly Prefix[] {
  return written.flatMap((w) => parsePrefix(w) ?? []);
}

/** Kept by AKS for itself. */
const AKS_RESERVED = ranges('169.254.0.0/16', '172.30.0.0/16', '172.31.0.0/16', '192.0.2.0/24');
/** Not allowed in a virtual network. */
const VNET_FORBIDDEN = ranges(
  '224.0.0.0/4',
  '255.255.255.255/32',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '168.63.129.16/32',
);

interface Rules {
  readonly given: GivenWiring;
  readonly wiring: Wiring;
  readonly problems: Diagnostic[];
}

/** Every rule of Azure that the wiring, the nodes and the pods break. */
export function azureProblems(
  given: GivenWiring,
  wiring: Wiring,
  nodes: readonly Node[],
  pods: readonly Pod[],
): readonly Diagnostic[] {
  const r: Rules = { given, wiring, problems: [] };
  combinations(r);
  for (const { code, message, accepted } of windowsPoolProblems(given, wiring)) {
    refuse(r, code, 'nodePools', message, accepted);
  }
  if (wiring.networkPlugin === 'none') return r.problems;
  reservedRanges(r);
  overlapping(r);
  services(r);
  subnetRules(r);
  placedAddresses(r, nodes, pods);
  podRangeSize(r);
  r.problems.push(...growthProblems(wiring, nodes, pods));
  outbound(r, nodes);
  return r.problems;
}

/** A pod range that has no /24 for a single node. */
function podRangeSize(r: Rules): void {
  if (!hasPodRanges(r.wiring)) return;
  for (const p of r.wiring.podCidrs) {
    if (p.address.family === 6 || p.length <= 24) continue;
    const message = `the pod range ${formatPrefix(p)} has no /24 for even one node`;
    refuse(r, 'AZURE_POD_RANGE', 'podCidr', message, '/24 or larger');
  }
}

/** What AKS asks of a way out: a default route for one's own, ports enough for every node. */
function outbound(r: Rules, nodes: readonly Node[]): void {
  const { outbound: out, subnets } = r.given.azure;
  if (out.type === 'userDefinedRouting') {
    const holds = (prefix: Prefix) =>
      nodes.some((n) => n.addresses.some((a) => contains(prefix, a)));
    const own = subnets.filter((s) => holds(s.prefix));
    const routed = own.every((s) => s.routeTable?.routes.some((x) => x.prefix.length === 0));
    if (own.length === 0 || !routed) {
      const message =
        'outboundType userDefinedRouting needs a route table with a default route ' +
        'on the subnet of the nodes';
      refuse(r, 'AZURE_OUTBOUND', 'outboundType', message);
    }
  }
  const addresses = out.publicAddresses.filter((a) => a.family === 4).length;
  const fit = Math.floor(64_000 / Math.max(1, out.allocatedPorts)) * addresses;
  if (out.type === 'loadBalancer' && out.allocatedPorts > 0 && nodes.length > fit) {
    const which = `${addresses} outbound address${addresses === 1 ? '' : 'es'}`;
    const message =
      `${nodes.length} nodes with ${out.allocatedPorts} ports each need more than the ` +
      `64000 of ${which}`;
    refuse(r, 'AZURE_OUTBOUND', 'loadBalancerProfile', message);
  }
}

function refuse(r: Rules, code: string, field: string, message: string, accepted?: string): void {
  const key = field.replace(/\[.*$/, '');
  const at: Tree = get(r.given.tree, key) ?? get(r.given.tree, `${key}s`) ?? r.given.tree;
  r.problems.push({
    code,
    ...placeOf(at),
    object: 'Wiring',
    field,
    message,
    ...(accepted === undefined ? {} : { accepted }),
  });
}

function combinations(r: Rules): void {
  const { networkPlugin: plugin, networkPolicy: policy, networkPluginMode: mode } = r.wiring;
  const code = 'AZURE_COMBINATION';
  if (mode === 'overlay' && plugin !== 'azure') {
    const message = `AKS refuses overlay mode with networkPlugin ${plugin}`;
    refuse(r, code, 'networkPluginMode', message, 'networkPlugin azure');
  }
  if (plugin === 'kubenet' && policy === 'azure') {
    refuse(
      r,
      code,
      'networkPolicy',
      'AKS refuses networkPolicy azure with kubenet',
      'calico, none',
    );
  }
  if (plugin === 'none' && policy !== 'none') {
    const message = 'AKS installs no policy engine without a network plugin';
    refuse(r, code, 'networkPolicy', message, 'none');
  }
  const { outbound: out, loadBalancerSku } = r.given.azure;
  if (loadBalancerSku === 'basic' && out.type !== 'loadBalancer') {
    const message = `AKS refuses outboundType ${out.type} with loadBalancerSku basic`;
    refuse(r, code, 'loadBalancerSku', message, 'standard');
  }
  const { isPrivate, authorizedRanges } = r.given.azure.apiServer;
  const server = 'apiServerAccessProfile';
  if (authorizedRanges.length > 0 && isPrivate) {
    refuse(r, code, server, 'AKS refuses authorized IP ranges in private clusters');
  }
  if (authorizedRanges.length > 0 && loadBalancerSku === 'basic') {
    const message = 'AKS refuses authorized IP ranges with loadBalancerSku basic';
    refuse(r, code, server, message, 'standard');
  }
  const byGateway = out.type === 'managedNATGateway' || out.type === 'userAssignedNATGateway';
  if (byGateway && r.wiring.serviceCidrs.some((p) => p.address.family === 6)) {
    const message = `AKS refuses outboundType ${out.type} in dual-stack clusters: a NAT gateway has IPv4 only`;
    refuse(r, code, 'outboundType', message, 'loadBalancer, userDefinedRouting, none');
  }
  const dual = new Set(r.wiring.podCidrs.map((p) => p.address.family)).size === 2;
  if (dual && mode === 'overlay' && (policy === 'azure' || policy === 'calico')) {
    const message = `AKS refuses networkPolicy ${policy} in dual-stack overlay clusters`;
    refuse(r, code, 'networkPolicy', message, 'cilium, none');
  }
}

function groups(r: Rules): readonly (readonly [string, readonly Prefix[]])[] {
  return [
    ['podCidr', hasPodRanges(r.wiring) ? r.wiring.podCidrs : []],
    ['serviceCidr', r.wiring.serviceCidrs],
    ['virtualNetworks', r.wiring.vnet],
  ];
}

/** What else the cluster's own ranges must keep apart from (AKS networking prerequisites). */
function connected(r: Rules): readonly (readonly [string, readonly Prefix[]])[] {
  const { peerings, onPremises } = r.given.azure;
  return [
    ['virtualNetworkPeerings', peerings.flatMap((p) => p.prefixes)],
    ['onPremisesRanges', onPremises.map((o) => o.prefix)],
  ];
}

function reservedRanges(r: Rules): void {
  for (const [field, prefixes] of groups(r)) {
    const forbidden =
      field === 'virtualNetworks' ? [...AKS_RESERVED, ...VNET_FORBIDDEN] : AKS_RESERVED;
    for (const p of prefixes) {
      const hit = forbidden.find((f) => overlaps(f, p));
      if (!hit) continue;
      const message = `${formatPrefix(p)} overlaps ${formatPrefix(hit)}, which Azure reserves`;
      refuse(r, 'AZURE_RESERVED_RANGE', field, message);
    }
  }
}

function overlapping(r: Rules): void {
  const all = groups(r).flatMap(([field, ps]) => ps.map((prefix) => ({ field, prefix })));
  const others = connected(r).flatMap(([field, ps]) => ps.map((prefix) => ({ field, prefix })));
  all.forEach((a, i) => {
    // A peer that overlaps the network itself was refused where it was read.
    const apart = a.field === 'virtualNetworks' ? [] : others;
    for (const b of [...all.slice(i + 1), ...apart]) {
      if (a.field === b.field || !overlaps(a.prefix, b.prefix)) continue;
      const message = `${formatPrefix(a.prefix)} overlaps ${formatPrefix(b.prefix)} of ${b.field}`;
      refuse(r, 'AZURE_RANGE_OVERLAP', a.field, message);
    }
  });
}

function services(r: Rules): void {
  const { serviceCidrs, dnsServiceIp } = r.wiring;
  for (const p of serviceCidrs) {
    const smallest = p.address.family === 4 ? 13 : 108;
    if (p.length >= smallest) continue;
    const message = `the service range ${formatPrefix(p)} is too large`;
    refuse(r, 'AZURE_SERVICE_RANGE', 'serviceCidr', message, `/${smallest} or longer`);
  }
  if (!dnsServiceIp) return;
  const home = serviceCidrs.find((p) => contains(p, dnsServiceIp));
  const shown = formatAddress(dnsServiceIp);
  if (!home) {
    const accepted = serviceCidrs.map(formatPrefix).join(', ');
    const message = `${shown} is not in the service range`;
    refuse(r, 'AZURE_DNS_ADDRESS', 'dnsServiceIP', message, accepted);
    return;
  }
  const network = maskAddress(home.address, home.length);
  if ([network, addToAddress(network, 1)].some((a) => equalAddress(a, dnsServiceIp))) {
    const message = `${shown} is the first address of the service range, which is kept`;
    refuse(r, 'AZURE_DNS_ADDRESS', 'dnsServiceIP', message, 'a later address of it');
  }
}

function subnetRules(r: Rules): void {
  const { subnets, vnet } = r.wiring;
  const field = 'virtualNetworks[0].subnets';
  subnets.forEach((s, i) => {
    const shown = formatPrefix(s);
    if (!vnet.some((v) => containsPrefix(v, s))) {
      const accepted = vnet.map(formatPrefix).join(', ');
      const message = `subnet ${shown} is not inside the virtual network`;
      refuse(r, 'AZURE_SUBNET', field, message, accepted);
    }
    const smallest = s.address.family === 4 ? 29 : 64;
    if (s.length > smallest || (s.address.family === 6 && s.length !== 64)) {
      const accepted = s.address.family === 4 ? '/29 or larger' : '/64 exactly';
      refuse(r, 'AZURE_SUBNET', field, `subnet ${shown} has a size that Azure refuses`, accepted);
    }
    const other = subnets.slice(i + 1).find((o) => overlaps(s, o));
    if (other) {
      refuse(r, 'AZURE_SUBNET', field, `subnet ${shown} overlaps subnet ${formatPrefix(other)}`);
    }
  });
}

/** Why Azure would not hand out `address` from these subnets; `null` when it would. */
function subnetFault(subnets: readonly Prefix[], address: Address): string | null {
  const subnet = subnets.find((s) => contains(s, address));
  if (!subnet) return 'is in no subnet of the cluster';
  const base = maskAddress(subnet.address, subnet.length);
  const reserved = [0, 1, 2, 3].some((n) => equalAddress(addToAddress(base, n), address));
  const last =
    subnet.address.family === 4 ? addToAddress(base, 2 ** (32 - subnet.length) - 1) : null;
  if (reserved || (last && equalAddress(last, address))) {
    return `is one of the five that Azure keeps in subnet ${formatPrefix(subnet)}`;
  }
  return null;
}

function placedAddresses(r: Rules, nodes: readonly Node[], pods: readonly Pod[]): void {
  const { wiring, problems } = r;
  const own = hasPodRanges(wiring);
  const complain = (at: Node | Pod, object: string, address: Address, fault: string) => {
    const message = `the address ${formatAddress(address)} ${fault}`;
    problems.push({ code: 'AZURE_ADDRESS', ...at.source, object, message });
  };
  for (const node of nodes) {
    for (const address of node.addresses) {
      const fault = subnetFault(wiring.subnets, address);
      if (fault !== null) complain(node, `Node/${node.name}`, address, fault);
    }
  }
  for (const pod of pods) {
    if (pod.hostNetwork) continue;
    for (const address of pod.addresses) {
      const inRange = wiring.podCidrs.some((p) => contains(p, address));
      const fault = !own
        ? subnetFault(wiring.subnets, address)
        : inRange
          ? null
          : 'is not in the pod range';
      if (fault !== null) complain(pod, `${pod.namespace}/Pod/${pod.name}`, address, fault);
    }
  }
}
