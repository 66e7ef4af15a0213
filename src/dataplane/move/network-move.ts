/**
 * Moves from one network to another.
 *
 * Source: AKS docs "Update Azure CNI IPAM mode and data plane technology" (`update-azure-cni.md`,
 * 093a522a): the one move there is leads to Azure CNI Overlay, from node subnets and from kubenet;
 * Kubernetes 1.27 or later; no dynamic pod addresses; no network policy engine; a masquerade
 * ConfigMap of the user's own breaks connectivity; Windows build 20348.1668 or later; kubenet's
 * route table is detached with a user-assigned identity; all node pools are reimaged at once; there
 * is no way back. "Overview of Azure CNI Overlay": DCsv2 sizes. "Retirement: kubenet".
 * @module
 */
import type { Cluster, Node } from '../../cluster/model.ts';
import { formatPrefix } from '../../wire/address/address.ts';
import type { NetworkName, Stack } from '../dataplane.ts';

const OVERLAY = 'azure-overlay';
const LEAST_VERSION = [1, 27] as const;
/** The first Windows build without the overlay's SNAT fault. */
const LEAST_BUILD = [20_348, 1668] as const;

/** Whether AKS itself has this network. */
export function isAksNetwork(network: NetworkName): boolean {
  return network === 'kubenet' || network.startsWith('azure-');
}

/** What Azure says of the way from one network to another. */
export function networkMove(from: Stack, to: Stack, cluster: Cluster): readonly string[] {
  if (from.network === to.network || modeOfNodes(from.network) === modeOfNodes(to.network)) {
    return [];
  }
  if (to.network === OVERLAY) return toOverlay(from, to, cluster);
  const none = `Azure has no move from ${from.network} to ${to.network}`;
  return [
    from.network === OVERLAY
      ? `${none}: overlay has no way back`
      : `${none}: a cluster's network can be updated to ${OVERLAY} only; this takes a new cluster`,
    ...(to.network === 'kubenet' ? ['Azure retires kubenet on 2028-03-31'] : []),
  ];
}

/** Bridge and transparent are two generations of one network, which nodes get with their image. */
function modeOfNodes(network: NetworkName): string {
  return network === 'azure-bridge' ? 'azure-transparent' : network;
}

function toOverlay(from: Stack, to: Stack, cluster: Cluster): readonly string[] {
  if (from.network === 'azure-podsubnet') {
    return [
      'Azure does not move clusters with pod subnets (dynamic addresses) to overlay: this takes a ' +
        'new cluster',
    ];
  }
  return [
    `the move to ${OVERLAY} reimages all node pools at once and has no way back`,
    ...versionCondition(cluster),
    ...engineCondition(from, to),
    ...masqueradeCondition(cluster),
    ...windowsCondition(cluster.nodes),
    ...sizeCondition(cluster.nodes),
    from.network === 'kubenet' ? ROUTE_TABLE : NEW_RANGE,
  ];
}

const ROUTE_TABLE =
  'kubenet’s route table has to be detached, which needs a user-assigned managed identity; pods ' +
  'keep their range unless --pod-cidr gives another';

const NEW_RANGE =
  'pods get new addresses of a range that --pod-cidr has to give, apart from the virtual network ' +
  'and the Services; here they keep those of the files, so that both sides name the same pods';

function versionCondition(cluster: Cluster): readonly string[] {
  const need = `it needs Kubernetes ${LEAST_VERSION.join('.')} or later`;
  const said = versionOf(cluster);
  if (said === null) return [`${need}; nothing here says which version this is`];
  return isBefore(said.parts, LEAST_VERSION) ? [`${need}; this is ${said.text}`] : [];
}

/** The control plane's version, else that of the oldest kubelet; null when neither is known. */
function versionOf(cluster: Cluster): { readonly text: string; parts: readonly number[] } | null {
  const { kubernetesVersion } = cluster.wiring;
  const texts = kubernetesVersion
    ? [kubernetesVersion]
    : cluster.nodes.flatMap((n) => n.kubelet ?? []);
  const known = texts.map((text) => ({ text, parts: numbersIn(text) }));
  return known.toSorted((a, b) => (isBefore(a.parts, b.parts) ? -1 : 1))[0] ?? null;
}

function numbersIn(text: string): readonly number[] {
  return [...text.matchAll(/\d+/g)].slice(0, 2).map(([digits]) => Number(digits));
}

function isBefore(a: readonly number[], b: readonly number[]): boolean {
  const [a0 = 0, a1 = 0] = a;
  const [b0 = 0, b1 = 0] = b;
  return a0 < b0 || (a0 === b0 && a1 < b1);
}

function engineCondition(from: Stack, to: Stack): readonly string[] {
  if (from.policy === 'none') return [];
  const uninstalled =
    `Azure wants policy engine ${from.policy} uninstalled before the move: nothing enforces ` +
    'policies until one is installed again';
  if (from.network !== 'kubenet' || to.policy !== 'calico') return [uninstalled];
  return [
    uninstalled,
    'on kubenet calico is also the CNI plugin and on overlay it is not: a pod can start a little ' +
      'before calico lets it out',
  ];
}

function masqueradeCondition({ wiring }: Cluster): readonly string[] {
  const own = wiring.masquerade?.own;
  if (!own) return [];
  const ranges = own.map(formatPrefix).join(', ');
  const breaks =
    ranges === '' ? '' : `: pods lose connection to ${ranges}, which can not reach them`;
  return [
    `the cluster has a masquerade list of its own (ConfigMap azure-ip-masq-agent-config)${breaks}`,
  ];
}

function windowsCondition(nodes: readonly Node[]): readonly string[] {
  const old = nodes.filter((n) => n.os === 'windows' && isBefore(buildOf(n), LEAST_BUILD));
  const [first] = old;
  if (!first) return [];
  const build = buildOf(first);
  const found = build.length === 0 ? 'nothing says which build' : `build ${build.join('.')}`;
  return [
    `Windows nodes need build ${LEAST_BUILD.join('.')} or later, or pods of the host's network are ` +
      `translated wrongly: ${first.name} (${found})` +
      (old.length === 1 ? '' : ` and ${old.length - 1} more`),
  ];
}

/** `10.0.20348.1668` of a Windows node; empty when it does not say. */
function buildOf({ kernel }: Node): readonly number[] {
  const [, build, revision] = /^10\.0\.(\d+)\.(\d+)/.exec(kernel) ?? [];
  return build && revision ? [Number(build), Number(revision)] : [];
}

function sizeCondition(nodes: readonly Node[]): readonly string[] {
  const size = (n: Node) => n.labels['node.kubernetes.io/instance-type'] ?? '';
  const node = nodes.find((n) => /^standard_dc\d+s_v2$/i.test(size(n)));
  return node ? [`overlay has no DCsv2 nodes: ${node.name} is ${size(node)}`] : [];
}
