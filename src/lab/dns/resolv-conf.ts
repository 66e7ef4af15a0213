/**
 * What kubelet writes into a pod's /etc/resolv.conf and /etc/hosts.
 *
 * Source: kubernetes v1.30 pkg/kubelet/network/dns/dns.go (`GetPodDNS`, `getPodDNSType`,
 * `appendDNSConfig`, `generateSearchesForDNSClusterFirst`, `defaultDNSOptions`),
 * pkg/kubelet/kubelet_pods.go (`ensureHostsFile`); options as resolv.conf(5) of glibc. Windows pods
 * have one suffix, that of their namespace, and take names with a dot as they are (kubernetes docs
 * "DNS for Services and Pods", DNS resolution on Windows nodes).
 * @module
 */
import type { ClusterDns, Node, Pod } from '../../cluster/model.ts';
import type { Address } from '../../wire/address/address.ts';

/** A server in resolv.conf: the one of the cluster, the node's own, or an address. */
export type NameServer = 'cluster' | 'node' | Address;

export interface ResolvConf {
  /** In the order in which they are asked. */
  readonly servers: readonly NameServer[];
  readonly searches: readonly string[];
  readonly ndots: number;
  /** Bytes of the longest answer in one datagram. */
  readonly datagram: number;
  /** `use-vc`: every question goes over TCP. */
  readonly overTcp: boolean;
}

const CLUSTER_NDOTS = 5;
const MOST_NDOTS = 15;
/** resolv.h MAXNS; kubelet keeps to it too. */
const MOST_SERVERS = 3;
/** RFC 1035 section 4.2.1; with `edns0` glibc offers RESOLV_EDNS_BUFFER_SIZE. */
const DATAGRAM = 512;
const EDNS_DATAGRAM = 1200;

/** What a pod's resolver is told, by the system of its node. */
export function resolvConf(
  pod: Pod,
  { domain }: Pick<ClusterDns, 'domain'>,
  os: Node['os'] = 'linux',
): ResolvConf {
  const { policy, nameservers, searches, options } = pod.dns ?? NOTHING_SAID;
  const own = policy === 'None' ? [] : ([isOfCluster(pod) ? 'cluster' : 'node'] as const);
  const listed = isOfCluster(pod)
    ? [`${pod.namespace}.svc.${domain}`, `svc.${domain}`, domain]
    : [];
  const said = new Map(options.map(({ name, value }) => [name, value]));
  const dots = Number.parseInt(said.get('ndots') ?? '', 10);
  const usual = isOfCluster(pod) ? CLUSTER_NDOTS : 1;
  const servers = [...own, ...nameservers].slice(0, MOST_SERVERS);
  if (os === 'windows') {
    const [suffix] = [...listed, ...searches];
    const only = suffix === undefined ? [] : [suffix];
    return { servers, searches: only, ndots: 1, datagram: DATAGRAM, overTcp: false };
  }
  return {
    servers,
    searches: [...new Set([...listed, ...searches])],
    ndots: Number.isNaN(dots) ? usual : Math.min(Math.max(dots, 0), MOST_NDOTS),
    datagram: said.has('edns0') ? EDNS_DATAGRAM : DATAGRAM,
    overTcp: said.has('use-vc'),
  };
}

const NOTHING_SAID = {
  policy: 'ClusterFirst',
  nameservers: [],
  searches: [],
  options: [],
  hostAliases: [],
} as const;

/** Pods on the host network have the node's resolver, unless they ask for the cluster's. */
function isOfCluster(pod: Pod): boolean {
  const policy = pod.dns?.policy ?? 'ClusterFirst';
  return policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !pod.hostNetwork);
}

/** Addresses that a pod's /etc/hosts has for a name: its own name, and its `hostAliases`. */
export function hostsAddresses(pod: Pod, host: string): readonly Address[] {
  const name = host.toLowerCase();
  const aliases = (pod.dns?.hostAliases ?? []).flatMap(({ address, names }) =>
    names.some((n) => n.toLowerCase() === name) ? [address] : [],
  );
  const own = pod.hostNetwork ? '' : (pod.hostname ?? pod.name).slice(0, 63);
  return own === name ? [...pod.addresses, ...aliases] : aliases;
}
