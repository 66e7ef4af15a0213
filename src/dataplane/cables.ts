/**
 * The cables of a network: nodes and firewalls at the fabric, pods at their nodes. Those of pods
 * are found when they are asked for: a cluster may have a million.
 * @module
 */
import { findPod } from '../cluster/address/address-plan.ts';
import type { Cluster, Pod } from '../cluster/model.ts';
import type { Attachment, Link } from '../plan/model.ts';
import { podsOf } from './azure-cni/neighbors.ts';
import { isAttached, type NetworkRenderer, podHost, type RenderInput } from './dataplane.ts';

/** The device by which pods are plugged in. */
const POD_DEVICE = 'eth0';

/** The pod that a host name stands for, if it has a network namespace of its own. */
export function attachedPod(cluster: Cluster, host: string): Pod | undefined {
  const slash = host.indexOf('/');
  const pod = slash < 0 ? undefined : findPod(cluster, host.slice(0, slash), host.slice(slash + 1));
  return pod && isAttached(pod) ? pod : undefined;
}

export class NetworkCables {
  readonly #input: RenderInput;
  readonly #network: NetworkRenderer;
  readonly #fixed: readonly Link[];
  readonly #farEnds = new Map<string, Attachment>();
  /** Pods by the device of their node, for nodes that were asked about. */
  readonly #podsAt = new Map<string, ReadonlyMap<string, Pod>>();
  #all: readonly Link[] | undefined;

  constructor(input: RenderInput, network: NetworkRenderer, fixed: readonly Link[]) {
    this.#input = input;
    this.#network = network;
    this.#fixed = fixed;
    for (const [a, b] of fixed) {
      this.#farEnds.set(`${a.host} ${a.device}`, b);
      this.#farEnds.set(`${b.host} ${b.device}`, a);
    }
  }

  /** Every cable: nodes' first, pods' in the order of the cluster, firewalls' last. */
  all(): readonly Link[] {
    if (this.#all) return this.#all;
    const { cluster } = this.#input;
    const pods = cluster.pods.filter(isAttached).map((pod): Link => {
      return [this.#nodeEnd(pod), { host: podHost(pod), device: POD_DEVICE }];
    });
    const nodes = this.#fixed.slice(0, cluster.nodes.length);
    this.#all = [...nodes, ...pods, ...this.#fixed.slice(nodes.length)];
    return this.#all;
  }

  farEnd(host: string, device: string): Attachment | undefined {
    const fixed = this.#farEnds.get(`${host} ${device}`);
    if (fixed) return fixed;
    const { cluster } = this.#input;
    if (host.includes('/')) {
      const pod = device === POD_DEVICE ? attachedPod(cluster, host) : undefined;
      return pod && this.#nodeEnd(pod);
    }
    const pod = this.#podsOf(host).get(device);
    return pod && { host: podHost(pod), device: POD_DEVICE };
  }

  #nodeEnd(pod: Pod): Attachment {
    return { host: pod.node, device: this.#network.hostDevice(pod, this.#input.stack) };
  }

  #podsOf(node: string): ReadonlyMap<string, Pod> {
    const known = this.#podsAt.get(node);
    if (known) return known;
    const { cluster, stack } = this.#input;
    const pods = podsOf(cluster, node);
    const made = new Map(pods.map((pod) => [this.#network.hostDevice(pod, stack), pod]));
    this.#podsAt.set(node, made);
    return made;
  }
}
