/**
 * Pods as Calico sees them: workload endpoints with labels, addresses, named ports and profiles.
 *
 * Source: libcalico-go/lib/backend/k8s/conversion/workload_endpoint_default.go, conversion.go
 * (`IsValidCalicoWorkloadEndpoint`, `IsFinished`, `NamespaceToProfile`). A hostNetwork pod is none;
 * a pod without address or one that has ended is in no set and has no chain.
 * @module
 */
import type { Cluster, Labels, Pod, TransportProtocol } from '../../cluster/model.ts';
import type { Address } from '../../wire/address/address.ts';
import { isAttached } from '../dataplane.ts';
import {
  matches,
  NAMESPACE_LABEL,
  NAMESPACE_LABEL_PREFIX,
  ORCHESTRATOR_LABEL,
  type Selector,
} from './policy/selector.ts';

export interface NamedPort {
  readonly name: string;
  readonly protocol: TransportProtocol;
  readonly port: number;
}

export interface Endpoint {
  readonly pod: Pod;
  readonly addresses: readonly Address[];
  /** Own labels, and those inherited from its profiles. */
  readonly labels: Labels;
  readonly ports: readonly NamedPort[];
  /** Profile names in the order in which they are asked. */
  readonly profiles: readonly string[];
}

/** Every endpoint of the cluster, in the cluster's order. */
export function workloadEndpoints(cluster: Cluster): Endpoint[] {
  const namespaces = new Map(cluster.namespaces.map((ns) => [ns.name, ns.labels]));
  return cluster.pods
    .filter((pod) => isAttached(pod) && pod.node !== '')
    .map((pod) => endpoint(pod, namespaces.get(pod.namespace) ?? {}));
}

function endpoint(pod: Pod, namespaceLabels: Labels): Endpoint {
  const { namespace, serviceAccount } = pod;
  const ports = pod.ports.flatMap(({ name, protocol, containerPort }) =>
    name === undefined ? [] : [{ name, protocol, port: containerPort }],
  );
  const account = serviceAccount === '' ? [] : [`ksa.${namespace}.${serviceAccount}`];
  return {
    pod,
    addresses: pod.addresses,
    labels: endpointLabels(pod, namespaceLabels),
    ports,
    profiles: [`kns.${namespace}`, ...account],
  };
}

/** An endpoint's own labels hide those that it inherits. */
function endpointLabels(pod: Pod, namespaceLabels: Labels): Labels {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(namespaceLabels)) {
    labels[NAMESPACE_LABEL_PREFIX + key] = value;
  }
  labels[`${NAMESPACE_LABEL_PREFIX}projectcalico.org/name`] = pod.namespace;
  if (pod.serviceAccount !== '') labels['pcsa.projectcalico.org/name'] = pod.serviceAccount;
  Object.assign(labels, pod.labels);
  labels[NAMESPACE_LABEL] = pod.namespace;
  labels[ORCHESTRATOR_LABEL] = 'k8s';
  if (pod.serviceAccount !== '' && pod.serviceAccount.length < 63) {
    labels['projectcalico.org/serviceaccount'] = pod.serviceAccount;
  }
  return labels;
}

/** Finds the endpoints that a selector selects without looking at all of them. */
export class EndpointIndex {
  readonly all: readonly Endpoint[];
  readonly #byLabel = new Map<string, Endpoint[]>();

  constructor(endpoints: readonly Endpoint[]) {
    this.all = endpoints;
    for (const one of endpoints) {
      for (const [label, value] of Object.entries(one.labels)) {
        const key = `${label}\0${value}`;
        const bucket = this.#byLabel.get(key);
        if (bucket) bucket.push(one);
        else this.#byLabel.set(key, [one]);
      }
    }
  }

  /** In the cluster's order. */
  select(selector: Selector): Endpoint[] {
    return this.#candidates(selector).filter((e) => matches(selector, e.labels));
  }

  /** A superset of what is selected: the smallest bucket that a required label leaves. */
  #candidates(selector: Selector): readonly Endpoint[] {
    switch (selector.kind) {
      case 'equals':
        return this.#byLabel.get(`${selector.label}\0${selector.value}`) ?? [];
      case 'and': {
        let best = this.all;
        for (const operand of selector.operands) {
          const found = this.#candidates(operand);
          if (found.length < best.length) best = found;
        }
        return best;
      }
      default:
        return this.all;
    }
  }
}
