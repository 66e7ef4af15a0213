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
import type { Family, Prefix } from '../../wire/address.ts';
import { contains, containsPrefix, ipv4, maskAddress } from '../../wire/address.ts';
import type { NetworkName, OptionSpec, Stack } from '../dataplane.ts';

/** Which mode, whatever the user's configuration says; without the option it is asked. */
export const PROXY_MODE: OptionSpec = {
  name: 'kube-proxy',
  values: 'iptables|nftables',
  default: 'iptables',
  describes: "kube-proxy's mode (default: what a KubeProxyConfiguration says, else iptables)",
  accepts: (value) => value === 'iptables' || value === 'nftables',
};

/** Of the releases that differ in what they write: from 1.32 on rules count for metrics. */
export const PROXY_VERSION: OptionSpec = {
  name: 'kube-proxy-version',
  values: '1.30|1.32',
  default: '1.30',
  describes: 'kube-proxy up to 1.31, or since 1.32 (nfacct counters in its rules)',
  accepts: (value) => value === '1.30' || value === '1.32',
};

/** A configuration and the release that reads it. */
export interface ProxySettings extends KubeProxyConfig {
  readonly countsByName: boolean;
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
  const version = stack.options[PROXY_VERSION.name] ?? PROXY_VERSION.default;
  const asked = stack.options[PROXY_MODE.name];
  const mode = asked === 'nftables' || asked === 'iptables' ? asked : config.mode;
  return { ...config, mode, countsByName: version === '1.32' };
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
