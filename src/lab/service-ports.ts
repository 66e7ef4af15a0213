/**
 * Which node ports the Services have, and which ports of pods are reached through a node that puts
 * its own address in the client's place.
 * @module
 */
import type { Cluster, Pod, Service, ServicePort } from '../cluster/model.ts';

export class ServicePorts {
  /** `tcp 31080`. */
  readonly #nodePorts = new Set<string>();
  /** `tcp shop/web-1 8080`. */
  readonly #exposed = new Set<string>();

  constructor(cluster: Pick<Cluster, 'services' | 'endpointSlices'>) {
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
        if (own === undefined || port === null || !isExposed(service, own)) continue;
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

  /** Whether clients outside reach this port of the pod through a node. */
  isExposed(pod: Pod, protocol: string, port: number): boolean {
    return this.#exposed.has(`${protocol} ${pod.namespace}/${pod.name} ${port}`);
  }
}

function isExposed(service: Service, port: ServicePort): boolean {
  const { externalIps, loadBalancerIps } = service;
  return port.nodePort !== undefined || externalIps.length > 0 || loadBalancerIps.length > 0;
}
