/**
 * What Azure CNI gives every endpoint of a Windows node, before any policy engine: the access rules
 * that AgentBaker writes into its configuration, and source translation.
 *
 *   200    Block  Out  TCP to 168.63.129.16, ports 80 and 32526 (the wire server)
 *   65500  Allow  In, Out
 *
 * Exceptions of the translation: the pods' ranges, and unless the network is an overlay those of
 * the virtual network. Sources: AgentBaker `staging/cse/windows/azurecnifunc.ps1`
 * `Set-AzureCNIConfig` with its expected files (`AzureCNI.Expect.*.conflist`), commit 06836ee2;
 * azure-container-networking `cni/network/network_windows.go` `getLoopbackDSRPolicy`.
 * @module
 */
import { createHash } from 'node:crypto';
import type { Cluster, Node, Pod } from '../../cluster/model.ts';
import { findPool } from '../../cluster/node-pool.ts';
import type { HnsAcl, HnsEndpoint, HnsOutboundNat } from '../../plan/hns/model.ts';
import { type Family, formatAddress, hostPrefix, type Prefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { hostVethName, podMac } from '../azure-cni/mac.ts';
import { literal, podsOf } from '../azure-cni/neighbors.ts';
import { podHost, type RenderInput } from '../dataplane.ts';
import { SERVER_2019, windowsBuild } from './build.ts';

/** Name of the HNS network of Azure CNI (`KUBE_NETWORK` in kubeproxystart.ps1). */
export const HNS_NETWORK = 'azure';

const WIRESERVER = literal('168.63.129.16');
const WIRESERVER_PORTS = [80, 32_526];
const BASE_BLOCK = 200;
const BASE_ALLOW = 65_500;

/** The endpoints of a node with Azure CNI's own policies. */
export function azureEndpoints(input: RenderInput, node: Node): readonly HnsEndpoint[] {
  const nats = outboundNats(input, node);
  return podsOf(input.cluster, node.name).map((pod) => ({
    id: guid(`endpoint ${podHost(pod)}`),
    name: podHost(pod),
    device: hostVethName(pod),
    mac: podMac(pod),
    addresses: pod.addresses,
    acls: BASE_ACLS,
    outboundNats: [...nats, ...loopback(pod)],
  }));
}

/** A GUID as HNS would draw one, from a name. */
export function guid(name: string): string {
  const hex = createHash('sha1').update(name).digest('hex').toUpperCase();
  const parts = [8, 12, 16, 20, 32].map((to, i) => hex.slice([0, 8, 12, 16, 20][i], to));
  return parts.join('-');
}

function base(acl: Pick<HnsAcl, 'action' | 'direction' | 'priority'>): HnsAcl {
  return {
    id: '',
    ruleType: null,
    protocol: null,
    source: null,
    destination: null,
    ports: [],
    origin: [],
    ...acl,
  };
}

const BASE_ACLS: readonly HnsAcl[] = [
  ...WIRESERVER_PORTS.map(
    (port): HnsAcl => ({
      ...base({ action: 'Block', direction: 'Out', priority: BASE_BLOCK }),
      ruleType: 'Switch',
      protocol: Protocol.tcp,
      destination: { kind: 'nets', nets: [hostPrefix(WIRESERVER)] },
      ports: [{ low: port, high: port }],
    }),
  ),
  base({ action: 'Allow', direction: 'In', priority: BASE_ALLOW }),
  base({ action: 'Allow', direction: 'Out', priority: BASE_ALLOW }),
];

/** A pod reaches itself through a Service: its own address is translated. */
function loopback({ addresses }: Pod): readonly HnsOutboundNat[] {
  return addresses
    .filter((a) => a.family === 4)
    .map((address) => ({ exceptions: [], destinations: [address] }));
}

function outboundNats({ cluster, stack }: RenderInput, node: Node): readonly HnsOutboundNat[] {
  const { wiring } = cluster;
  if (isNatDisabled(cluster, node)) return [];
  const pods = wiring.podCidrs.length > 0 ? wiring.podCidrs : cluster.nodes.flatMap(rangesOf);
  const isOverlay = stack.network === 'azure-overlay';
  const ranges = isOverlay ? pods : [...wiring.podCidrs, ...wiring.vnet];
  const all = windowsBuild(node).build <= SERVER_2019 ? broadest(ranges) : ranges;
  return ([4, 6] as const).flatMap((family: Family) => {
    const exceptions = all.filter((p) => p.address.family === family);
    const has = node.addresses.some((a) => a.family === family);
    return has && exceptions.length > 0 ? [{ exceptions, destinations: [] }] : [];
  });
}

function rangesOf(node: Node): readonly Prefix[] {
  return node.podCidrs;
}

/** `disableOutboundNat` of the node's pool. */
export function isNatDisabled({ wiring }: Cluster, node: Node): boolean {
  return findPool(wiring.nodePools, node.name)?.disableOutboundNat === true;
}

/** Windows Server 2019 drops prefix lengths: of equal addresses the widest range stays. */
function broadest(ranges: readonly Prefix[]): readonly Prefix[] {
  const kept = new Map<string, Prefix>();
  for (const { address, length } of ranges) {
    const key = formatAddress(address);
    const known = kept.get(key);
    if (known === undefined || known.length > length) kept.set(key, { address, length });
  }
  return [...kept.values()];
}
