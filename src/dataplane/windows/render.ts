/**
 * A Windows node of AKS: Azure CNI's l2bridge network, kube-proxy in kernelspace mode, and Azure
 * NPM or Calico for Windows.
 *
 * What the products program is HNS state (`plan.hns`). No Windows kernel is emulated: the node is a
 * host like all others, whose netfilter rules say what the switch's filtering platform (VFP) makes
 * of that state. Its pods hang on routed veths; as a switch lowers no TTL, neither does it.
 *
 * Nobody can hold this against a Windows machine here, so its evidence is documentation.
 * @module
 */
import type { Node, Pod } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { IpSet } from '../../netfilter/ip-set.ts';
import { PlanBuilder } from '../../plan/builder.ts';
import type { HnsAcl, HnsEndpoint, HnsState } from '../../plan/hns/model.ts';
import type { Plan } from '../../plan/model.ts';
import type { Address, Family } from '../../wire/address/address.ts';
import { hostVethName } from '../azure-cni/mac.ts';
import { podsOf } from '../azure-cni/neighbors.ts';
import { UPLINK } from '../azure-cni/node-base.ts';
import { transparentNode } from '../azure-transparent/render.ts';
import type { RenderInput } from '../dataplane.ts';
import { comment, ctstate } from '../kube-proxy/parts.ts';
import { acceptKnown, addAclRules } from './acl-rules.ts';
import {
  addBalancers,
  addOutboundNat,
  addServiceLimits,
  type Translating,
} from './balancer-rules.ts';
import { hasOverlayFault, windowsBuild } from './build.ts';
import { calicoAcls, calicoWarnings } from './calico.ts';
import { azureEndpoints, HNS_NETWORK } from './endpoints.ts';
import { windowsPorts, windowsServiceWarnings } from './load-balancers.ts';
import { npmAcls, npmWarnings } from './npm.ts';

/** The plan of a Windows node. */
export function renderWindowsNode(input: RenderInput, node: Node): Plan {
  const builder = new PlanBuilder(node.name, 'node');
  builder.evidence = 'documentation';
  builder.kernel = `Windows ${windowsBuild(node).text}`;
  addHost(input, node, builder);
  const { endpoints, sets } = withPolicies(input, node);
  builder.ipsets.push(...sets);
  const ports = windowsPorts(input, node);
  if (hasFault(input, node)) addNodeSet(builder, input);
  for (const address of primaries(node)) {
    const { family } = address;
    const own = ports.filter(({ port }) => port.family === family);
    const t: Translating = { family, address, endpoints, ports: own };
    addTtl(builder, family);
    acceptKnown(builder, family);
    addServiceLimits(builder, t);
    addBalancers(builder, t);
    addOutboundNat(builder, t);
    if (family === 4 && hasFault(input, node)) addOverlayFault(builder);
    addAclRules(builder, family, endpoints, { address, sets });
  }
  builder.hns = {
    network: HNS_NETWORK,
    build: windowsBuild(node).text,
    endpoints,
    sets: sets.filter((set) =>
      endpoints.some((e) => e.acls.some((acl) => isNamed(acl, set, sets))),
    ),
    loadBalancers: ports.flatMap(({ balancers }) => balancers),
  } satisfies HnsState;
  return builder.build();
}

/** What Windows nodes do otherwise than the files ask. */
export function windowsWarnings(input: RenderInput): readonly Diagnostic[] {
  const windows = input.cluster.nodes.filter((node) => node.os === 'windows');
  if (windows.length === 0) return [];
  const { policy } = input.stack;
  return [
    ...input.cluster.pods.flatMap(hostNetworkWarning),
    ...windowsServiceWarnings(input),
    ...(policy === 'npm' ? npmWarnings(input) : []),
    ...(policy === 'calico' ? calicoWarnings(input) : []),
    ...windows.filter((node) => hasFault(input, node)).map(faultWarning),
  ];
}

function hostNetworkWarning(pod: Pod): readonly Diagnostic[] {
  if (pod.hostNetworkIgnored !== true) return [];
  return [
    {
      code: 'POD_WINDOWS_HOST_NETWORK',
      file: pod.source.file,
      line: pod.source.line,
      object: `${pod.namespace}/Pod/${pod.name}`,
      field: 'spec.hostNetwork',
      message: `on the Windows node ${pod.node} the pod has a network of its own`,
      found: 'true',
      accepted: 'HostProcess containers',
    },
  ];
}

function faultWarning(node: Node): Diagnostic {
  return {
    code: 'NODE_WINDOWS_SNAT',
    file: node.source.file,
    line: node.source.line,
    object: `Node/${node.name}`,
    message:
      'before build 20348.1668 pods of a Windows overlay node translate packets from host network ' +
      'pods wrongly: such connections are unknown',
    found: windowsBuild(node).text,
    accepted: '20348.1668 or later',
  };
}

function hasFault({ stack }: RenderInput, node: Node): boolean {
  return stack.network === 'azure-overlay' && hasOverlayFault(windowsBuild(node));
}

/** The first address of each family: what translation uses. */
function primaries({ addresses }: Node): readonly Address[] {
  return ([4, 6] as const).flatMap((family) => {
    const found = addresses.find((a) => a.family === family);
    return found ? [found] : [];
  });
}

/** Devices, routes and neighbours; the rules of a Linux node are left behind. */
function addHost(input: RenderInput, node: Node, builder: PlanBuilder): void {
  const linux = new PlanBuilder(node.name, 'node');
  transparentNode(input, node, linux);
  builder.interfaces.push(...linux.interfaces);
  builder.routes.push(...linux.routes);
  builder.routingRules.push(...linux.routingRules);
  builder.neighbors.push(...linux.neighbors);
  Object.assign(builder.sysctls, linux.sysctls, {
    // A switch checks no source; its flows do not judge windows.
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.default.rp_filter': '0',
    'net.netfilter.nf_conntrack_tcp_be_liberal': '1',
  });
}

function addTtl(builder: PlanBuilder, family: Family): void {
  builder.append(family, 'mangle', 'PREROUTING', {
    matches: [comment('a switch does not lower TTL')],
    target: { kind: 'ttl', operation: 'inc', value: 1 },
  });
}

/** The endpoints with what the policy engine adds to Azure CNI's own rules. */
function withPolicies(
  input: RenderInput,
  node: Node,
): { readonly endpoints: readonly HnsEndpoint[]; readonly sets: readonly IpSet[] } {
  const pods = new Map(podsOf(input.cluster, node.name).map((pod) => [hostVethName(pod), pod]));
  const sets = new Map<string, IpSet>();
  const endpoints = azureEndpoints(input, node).map((endpoint) => {
    const pod = pods.get(endpoint.device);
    const added = pod === undefined ? null : policyAcls(input, node, pod);
    if (added === null || added.acls.length === 0) return endpoint;
    for (const set of added.sets) sets.set(set.name, set);
    const kept = input.stack.policy === 'calico' ? endpoint.acls.map(afterFelix) : endpoint.acls;
    return { ...endpoint, acls: [...kept, ...added.acls] };
  });
  const rank = (set: IpSet) => (set.type === 'list:set' ? 1 : 0);
  return { endpoints, sets: [...sets.values()].toSorted((a, b) => rank(a) - rank(b)) };
}

function policyAcls(input: RenderInput, node: Node, pod: Pod) {
  switch (input.stack.policy) {
    case 'npm':
      return npmAcls(input, node, pod);
    case 'calico':
      return calicoAcls(input, node, pod);
    case 'none':
    case 'cilium':
      return null;
  }
}

/** Felix writes an endpoint's rules anew; whether HNS then keeps those of Azure CNI nobody says. */
function afterFelix(acl: HnsAcl): HnsAcl {
  if (acl.action === 'Allow') return acl;
  return {
    ...acl,
    unsure: 'whether Felix leaves this rule of Azure CNI standing is not documented',
  };
}

function isNamed(acl: HnsAcl, set: IpSet, sets: readonly IpSet[]): boolean {
  const named = [acl.source, acl.destination].flatMap((term) =>
    term?.kind === 'sets' ? term.sets : [],
  );
  const inner = named.flatMap(({ members }) =>
    members.flatMap((m) => (m.kind === 'set' ? [m.set] : [])),
  );
  return sets.length > 0 && (named.includes(set) || inner.includes(set.name));
}

const NODES = 'cluster-nodes';

function addNodeSet(builder: PlanBuilder, { cluster }: RenderInput): void {
  const addresses = cluster.nodes.flatMap((n) => n.addresses).filter((a) => a.family === 4);
  builder.ipsets.push({
    name: NODES,
    type: 'hash:ip',
    family: 4,
    maxElements: 65_536,
    members: addresses.map((address) => ({ kind: 'ip', address })),
    describes: 'the nodes, whose addresses host network pods have',
  });
}

/** "Windows Overlay pods incorrectly SNATing packets from host network pods": how, nobody says. */
function addOverlayFault(builder: PlanBuilder): void {
  const why = comment('before build 20348.1668 overlay pods translate packets of the host network');
  const pods = { outInterface: { value: 'azv+', negate: false } } as const;
  builder.append(4, 'filter', 'FORWARD', {
    ip: { ...pods, inInterface: { value: UPLINK, negate: false } },
    matches: [{ kind: 'set', set: NODES, directions: ['src'], negate: false }, ctstate('NEW'), why],
    target: { kind: 'undocumented' },
  });
  builder.append(4, 'filter', 'OUTPUT', {
    ip: pods,
    matches: [ctstate('NEW'), why],
    target: { kind: 'undocumented' },
  });
}
