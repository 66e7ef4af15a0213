/**
 * What kube-proxy is told on a cluster's nodes: what the user's KubeProxyConfiguration says, else
 * what AKS says.
 *
 * AKS passes flags, not a file. A node of Azure CNI ran v1.29.7 with
 * `--detect-local-mode=InterfaceNamePrefix --pod-interface-name-prefix=azv`, one of kubenet has
 * `! -s PODCIDR` in its rules (notes of AKS nodes, 2024), and the nodes of 2022, before that,
 * `! -s` their subnet (dump of Azure/azure-container-networking). `-i azv+` would never match
 * behind a bridge, whose packets come in by the bridge itself.
 * @module
 */
import type { Cluster, KubeProxyConfig, LocalDetector, Wiring } from '../../cluster/model.ts';
import type { Family, Prefix } from '../../wire/address/address.ts';
import { contains, containsPrefix, ipv4, maskAddress } from '../../wire/address/address.ts';
import type { NetworkName, OptionSpec, Stack } from '../dataplane.ts';
import type { HintReading } from './services/categorize.ts';

const MODES = ['iptables', 'nftables', 'ipvs'] as const;

/** Which mode, whatever the user's configuration says; without the option it is asked. */
export const PROXY_MODE: OptionSpec = {
  name: 'kube-proxy',
  values: 'iptables|nftables|ipvs',
  default: 'iptables',
  describes: "kube-proxy's mode (default: what a KubeProxyConfiguration says, else iptables)",
  accepts: (value) => MODES.some((mode) => mode === value),
};

/** Releases differ in what they write (since 1.32 rules count) and in which hints they follow. */
export const PROXY_VERSION: OptionSpec = {
  name: 'kube-proxy-version',
  values: '1.29..1.35',
  default: '1.30',
  describes:
    "kube-proxy's release (default: the cluster's, where it is known): from 1.32 on nfacct counters in its rules; hints count with their " +
    'annotation (up to 1.30), for zones (1.31), for nodes too (1.34; and where none is asked for)',
  accepts: (value) => releaseOf(value) !== null,
};

/** The minor number of a release that is known; null for any other text. */
function releaseOf(text: string): number | null {
  const minor = Number(/^1\.(29|3[0-5])$/.exec(text)?.[1] ?? 0);
  return minor === 0 ? null : minor;
}

/** The release of the cluster, where `az aks show` or a wiring document tells it. */
function minorOf({ kubernetesVersion }: Wiring): number | null {
  const minor = /^1\.(\d+)/.exec(kubernetesVersion ?? '')?.[1];
  return minor === undefined ? null : Number(minor);
}

/** A configuration and the release that reads it. */
export interface ProxySettings extends KubeProxyConfig {
  readonly countsByName: boolean;
  /** Absent: all. */
  readonly hints?: HintReading;
}

/** kube-proxy's own defaults (pkg/proxy/apis/config/v1alpha1/defaults.go), and no detector. */
const DEFAULTS: KubeProxyConfig = {
  mode: 'iptables',
  masqueradeAll: false,
  masqueradeBit: 14,
  localhostNodePorts: true,
  nodePortAddresses: [],
  detectLocal: { mode: 'none' },
  tcpBeLiberal: false,
  conntrackMaxPerCore: 32_768,
  conntrackMin: 131_072,
  tcpEstablishedTimeout: 86_400,
  tcpCloseWaitTimeout: 3600,
  udpTimeout: 0,
  udpStreamTimeout: 0,
};

/** The settings of a cluster's nodes in a stack. */
export function proxySettings(
  cluster: Pick<Cluster, 'kubeProxy' | 'wiring'>,
  stack: Stack,
): ProxySettings {
  const config = cluster.kubeProxy ?? {
    ...DEFAULTS,
    detectLocal: aksDetector(stack.network, cluster.wiring),
  };
  const asked = stack.options[PROXY_VERSION.name];
  const release = asked === undefined ? minorOf(cluster.wiring) : releaseOf(asked);
  const wanted = stack.options[PROXY_MODE.name];
  const mode = MODES.find((one) => one === wanted) ?? config.mode;
  return { ...config, mode, countsByName: (release ?? 0) >= 32, hints: hintReading(release) };
}

/**
 * Which hints a release follows (gates ServiceTrafficDistribution, on since 1.31, and
 * PreferSameTrafficDistribution, on since 1.34). Where nobody tells the release, all: an object
 * that has them was taken by an API server that knows them.
 */
function hintReading(release: number | null): HintReading {
  if (release === null || release >= 34) return 'all';
  return release >= 31 ? 'zones' : 'annotated';
}

function aksDetector(network: NetworkName, wiring: Wiring): LocalDetector {
  switch (network) {
    case 'azure-transparent':
    case 'azure-overlay':
    case 'azure-podsubnet':
      return { mode: 'InterfaceNamePrefix', prefix: 'azv' };
    case 'azure-bridge':
      return { mode: 'ClusterCIDR', cidrs: onePerFamily(wiring.subnets, wiring.inferred) };
    case 'kubenet':
    case 'byo':
    case 'docker':
      return { mode: 'ClusterCIDR', cidrs: onePerFamily(wiring.podCidrs, wiring.inferred) };
  }
}

/**
 * `--cluster-cidr` holds one range a family. AKS gives the first subnet, whatever pools have others
 * (which is why their pods were masqueraded); guessed ranges are taken together.
 */
function onePerFamily(ranges: readonly Prefix[], guessed: boolean): readonly Prefix[] {
  return ([4, 6] as const).flatMap((family) => {
    const [first, ...rest] = ranges.filter((p) => p.address.family === family);
    if (!first) return [];
    return [guessed ? rest.reduce(smallestWithBoth, first) : first];
  });
}

function smallestWithBoth(a: Prefix, b: Prefix): Prefix {
  let { length } = a;
  const cut = () => ({ address: maskAddress(a.address, length), length });
  while (length > 0 && !containsPrefix(cut(), b)) length--;
  return cut();
}

/** Whether node ports answer on every local address of a family, and on 127.0.0.0/8. */
export function nodePortScope(
  settings: KubeProxyConfig,
  family: Family,
): {
  readonly everywhere: boolean;
  readonly ranges: readonly Prefix[];
  readonly localhost: boolean;
} {
  const ranges = settings.nodePortAddresses.filter((p) => p.address.family === family);
  const everywhere = ranges.length === 0 || ranges.some((p) => p.length === 0);
  const loops = everywhere || ranges.some(holdsLoopback);
  return { everywhere, ranges, localhost: family === 4 && settings.localhostNodePorts && loops };
}

const LOOPBACK = ipv4(0x7f000000);

/** A range of IPv4's loopback addresses, or one that holds 127.0.0.0. */
function holdsLoopback(range: Prefix): boolean {
  return range.address.w3 >>> 24 === 127 || contains(range, LOOPBACK);
}
