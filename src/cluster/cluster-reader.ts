/**
 * Objects decoded one by one, as they are found, into the parts of a cluster: an object's tree is
 * gone before the next one is read.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { type DnsPart, decodeDnsMap, decodeKubelet } from './decode/cluster-dns.ts';
import { decodeKubeProxy, decodeKubeProxyMap } from './decode/kube-proxy.ts';
import { decodeIpPool } from './decode/object/ip-pool.ts';
import { decodeNamespace, decodeNode } from './decode/object/node.ts';
import type { PodDraft } from './decode/object/pod.ts';
import { decodePod } from './decode/object/pod.ts';
import { decodeService } from './decode/object/service.ts';
import { decodeEndpointSlice, decodeEndpoints } from './decode/object/slices.ts';
import type { Workload } from './decode/object/workloads.ts';
import { decodeWorkload, isWorkload } from './decode/object/workloads.ts';
import { decodeIngress, decodeIngressClass } from './ingress/decode-ingress.ts';
import type { Ingress, IngressClass } from './ingress/model.ts';
import { FieldErrors, toDiagnostic } from './manifest/field-error.ts';
import type { LoadedObject } from './manifest/load.ts';
import type { MasqueradeFile } from './masquerade.ts';
import { decodeMasquerade } from './masquerade.ts';
import type {
  EndpointSlice,
  IpPool,
  KubeProxyConfig,
  Labels,
  Namespace,
  Node,
  Service,
} from './model.ts';

/** What was decoded so far. */
export interface Decoded {
  readonly namespaces: Namespace[];
  readonly nodes: Node[];
  readonly pods: PodDraft[];
  readonly services: Service[];
  readonly slices: EndpointSlice[];
  readonly mirrored: EndpointSlice[];
  readonly workloads: Workload[];
  readonly masquerade: MasqueradeFile[];
  readonly ipPools: IpPool[];
  readonly ingresses: Ingress[];
  readonly ingressClasses: IngressClass[];
  readonly dnsParts: DnsPart[];
  readonly kubeProxies: { readonly config: KubeProxyConfig; readonly object: LoadedObject }[];
}

/** Kinds that other rooms decode. */
const OTHERS = new Set(['NetworkPolicy']);

export class ClusterReader {
  /** Mistakes in what was decoded. */
  readonly problems: Diagnostic[] = [];
  readonly decoded: Decoded = {
    namespaces: [],
    nodes: [],
    pods: [],
    services: [],
    slices: [],
    mirrored: [],
    workloads: [],
    masquerade: [],
    ipPools: [],
    ingresses: [],
    ingressClasses: [],
    kubeProxies: [],
    dnsParts: [],
  };
  readonly #labels = new SharedLabels();

  /** Decode an object; false for kinds that others decode. */
  take(object: LoadedObject): boolean {
    if (OTHERS.has(object.kind)) return false;
    const errors = new FieldErrors();
    if (object.kind === 'Pod') this.decoded.pods.push(decodePod(errors, object, this.#labels));
    else decodeOne(this.decoded, errors, object);
    for (const e of errors.all) this.problems.push(toDiagnostic(e, object.id));
    return true;
  }
}

/** One object for equal labels: the pods of a workload have the same ones. */
class SharedLabels {
  readonly #known = new Map<string, Labels>();

  /** Labels equal to these, with their keys in the same order. */
  share(labels: Labels): Labels {
    let key = '';
    for (const name in labels) key += `${name}\n${labels[name]}\n`;
    const known = this.#known.get(key);
    if (known) return known;
    this.#known.set(key, labels);
    return labels;
  }
}

function decodeOne(d: Decoded, errors: FieldErrors, object: LoadedObject): void {
  switch (object.kind) {
    case 'Namespace':
      d.namespaces.push(decodeNamespace(errors, object));
      return;
    case 'Node':
      d.nodes.push(decodeNode(errors, object));
      return;
    case 'Service':
      d.services.push(decodeService(errors, object));
      return;
    case 'EndpointSlice': {
      const slice = decodeEndpointSlice(errors, object);
      if (slice) d.slices.push(slice);
      return;
    }
    case 'IPPool': {
      const pool = decodeIpPool(errors, object);
      if (pool) d.ipPools.push(pool);
      return;
    }
    case 'Ingress':
      d.ingresses.push(decodeIngress(errors, object));
      return;
    case 'IngressClass':
      d.ingressClasses.push(decodeIngressClass(errors, object));
      return;
    case 'KubeProxyConfiguration':
      d.kubeProxies.push({ config: decodeKubeProxy(errors, object), object });
      return;
    case 'KubeletConfiguration':
      d.dnsParts.push(decodeKubelet(errors, object.tree));
      return;
    case 'Endpoints':
      d.mirrored.push(...decodeEndpoints(errors, object));
      return;
    default:
      if (isWorkload(object.kind)) d.workloads.push(decodeWorkload(errors, object));
      else if (object.kind === 'ConfigMap') decodeConfigMap(d, errors, object);
  }
}

function decodeConfigMap(d: Decoded, errors: FieldErrors, object: LoadedObject): void {
  if (/^(coredns|kubelet-config)/.test(object.name)) {
    const part = decodeDnsMap(errors, object);
    if (part) d.dnsParts.push(part);
    return;
  }
  if (object.name !== 'kube-proxy') {
    d.masquerade.push(...decodeMasquerade(errors, object));
    return;
  }
  const config = decodeKubeProxyMap(errors, object);
  if (config) d.kubeProxies.push({ config, object });
}
