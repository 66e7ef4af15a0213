/**
 * Which node ports the Services have, and which ports of pods are reached through a node that puts
 * its own address in the client's place.
 * @module
 */
import type { Cluster, Pod, Service, ServicePort } from '../cluster/model.ts';
import { contains } from '../wire/address/address.ts';

export class ServicePorts {
  /** `tcp 31080`. */
  readonly #nodePorts = new Set<string>();
  /** `tcp shop/web-1 8080`. */
  readonly #exposed = new Set<string>();

  constructor(cluster: Pick<Cluster, 'services' | 'endpointSlices' | 'kubeProxy' | 'pods'>) {
    const isAll = hidesPods(cluster);
    const exposed = new Map<string, Service>();
    for (const service of cluster.services) {
      for (const { protocol, nodePort } of service.ports) {
        if (nodePort !== undefined) this.#nodePorts.add(`${protocol.toLowerCase()} ${nodePort}`);
      }
      exposed.set(`${service.namespace}/${service.name}`, service);
    }
    for (const slice of cluster.endpointSlices) {
      const service = exposed.get(`${slice.namespace}/${slice.service}`);
      if (service === undefined) continue;
      for (const { name, protocol, port } of slice.ports) {
        const own = service.ports.find((p) => p.name === name && p.protocol === protocol);
        if (own === undefined || port === null) continue;
        if (!isAll && !isExposed(service, own)) continue;
        for (const { pod } of slice.endpoints) {
          if (pod === undefined) continue;
          this.#exposed.add(`${protocol.toLowerCase()} ${slice.namespace}/${pod} ${port}`);
        }
      }
    }
  }

  /** Whether a node hands this port to a Service; `protocol` in lower case. */
  isNodePort(protocol: string, port: number): boolean {
    return this.#nodePorts.has(`${protocol} ${port}`);
  }

  /** Whether clients reach this port of the pod through a node that hides them. */
  isExposed(pod: Pod, protocol: string, port: number): boolean {
    return this.#exposed.has(`${protocol} ${pod.namespace}/${pod.name} ${port}`);
  }
}

/**
 * Whether kube-proxy is told to masquerade what pods send to addresses of Services: all of it, or
 * that of pods outside of its cluster CIDR.
 */
function hidesPods({ kubeProxy, pods }: Pick<Cluster, 'kubeProxy' | 'pods'>): boolean {
  if (kubeProxy == null) return false;
  const { masqueradeAll, detectLocal } = kubeProxy;
  if (masqueradeAll || detectLocal.mode !== 'ClusterCIDR') return masqueradeAll;
  return pods.some(({ addresses, hostNetwork }) =>
    addresses.some((a) => {
      const ranges = detectLocal.cidrs.filter(({ address }) => address.family === a.family);
      return !hostNetwork && ranges.length > 0 && !ranges.some((range) => contains(range, a));
    }),
  );
}

function isExposed(service: Service, port: ServicePort): boolean {
  const { externalIps, loadBalancerIps } = service;
  return port.nodePort !== undefined || externalIps.length > 0 || loadBalancerIps.length > 0;
}
