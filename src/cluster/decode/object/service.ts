/**
 * Services: defaulted as the API server does (kubernetes pkg/apis/core/v1/defaults.go
 * `SetDefaults_Service`, registry/core/service `NormalizeClusterIPs`), validated, decoded.
 * @module
 */
import type { Address, Family } from '../../../wire/address/address.ts';
import { parseCidr, parseIp } from '../../manifest/cidr.ts';
import type { FieldErrors } from '../../manifest/field-error.ts';
import type { LoadedObject } from '../../manifest/load.ts';
import type { MapTree, Tree } from '../../manifest/tree.ts';
import {
  boolean,
  get,
  items,
  number,
  placeOf,
  text,
  textMap,
  texts,
  withDefault,
  withValue,
} from '../../manifest/tree.ts';
import type { LoadBalancerIngress, Service, ServicePort } from '../../model.ts';
import { validateService } from '../../validate/service.ts';
import { addressAt, metaOf, protocolOf } from '../decode.ts';

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;
const AFFINITY_SECONDS = 10800;
/** `--service-node-port-range`; AKS leaves the default. */
export const NODE_PORTS = { first: 30000, last: 32767 } as const;
const FAMILY_POLICIES = ['SingleStack', 'PreferDualStack', 'RequireDualStack'] as const;

/** Fill what the API server fills before it validates. */
export function defaultService(service: MapTree): MapTree {
  const given = get(service, 'spec');
  if (given?.kind !== 'map') return service;
  let spec = withDefault(given, 'type', 'ClusterIP');
  spec = withDefault(spec, 'sessionAffinity', 'None');
  if (text(get(spec, 'sessionAffinity')) === 'ClientIP') {
    const empty: MapTree = { kind: 'map', source: spec.source, at: spec.at, entries: new Map() };
    const config = get(spec, 'sessionAffinityConfig');
    const outer = config?.kind === 'map' ? config : empty;
    const client = get(outer, 'clientIP');
    const inner = client?.kind === 'map' ? client : empty;
    const filled = withDefault(inner, 'timeoutSeconds', AFFINITY_SECONDS);
    spec = withValue(spec, 'sessionAffinityConfig', withValue(outer, 'clientIP', filled));
  }
  const clusterIp = get(spec, 'clusterIP');
  if (clusterIp && text(clusterIp) !== '' && items(get(spec, 'clusterIPs')).length === 0) {
    spec = withValue(spec, 'clusterIPs', { ...clusterIp, kind: 'list', items: [clusterIp] });
  }
  const ports = get(spec, 'ports');
  if (ports?.kind === 'list') {
    spec = withValue(spec, 'ports', { ...ports, items: ports.items.map(defaultPort) });
  }
  return withValue(service, 'spec', spec);
}

function defaultPort(port: Tree): Tree {
  if (port.kind !== 'map') return port;
  const filled = withDefault(port, 'protocol', 'TCP');
  const number = get(port, 'port');
  const target = get(filled, 'targetPort');
  const missing =
    !target || (target.kind === 'scalar' && (target.value === 0 || target.value === ''));
  return missing && number ? withValue(filled, 'targetPort', number) : filled;
}

/** What is assigned when it is not given (`service-allocation.ts`) is still missing here. */
export function decodeService(errors: FieldErrors, object: LoadedObject): Service {
  const tree = defaultService(object.tree);
  validateService(errors, tree);
  const spec = get(tree, 'spec');
  if (get(tree, 'metadata', 'uid') === undefined) refuseNodePorts(errors, spec);
  const type = TYPES.find((t) => t === text(get(spec, 'type'))) ?? 'ClusterIP';
  const clusterIps = texts(get(spec, 'clusterIPs'));
  const isClientIp = text(get(spec, 'sessionAffinity')) === 'ClientIP';
  const timeout = get(spec, 'sessionAffinityConfig', 'clientIP', 'timeoutSeconds');
  return {
    ...metaOf(object),
    namespace: object.namespace,
    annotations: textMap(get(tree, 'metadata', 'annotations')),
    type,
    clusterIps: type === 'ExternalName' ? [] : clusterIps.flatMap((ip) => parseIp(ip) ?? []),
    headless: clusterIps[0] === 'None',
    ...families(spec),
    externalIps: texts(get(spec, 'externalIPs')).flatMap((ip) => parseIp(ip) ?? []),
    ...loadBalancer(errors, tree, type === 'LoadBalancer'),
    selector: selectorOf(spec, type),
    ports: items(get(spec, 'ports')).map(decodePort),
    externalTrafficPolicy: policyAt(get(spec, 'externalTrafficPolicy')),
    internalTrafficPolicy: policyAt(get(spec, 'internalTrafficPolicy')),
    healthCheckNodePort: number(get(spec, 'healthCheckNodePort')) || null,
    sessionAffinitySeconds: isClientIp ? (number(timeout) ?? AFFINITY_SECONDS) : null,
    publishNotReadyAddresses: boolean(get(spec, 'publishNotReadyAddresses')) ?? false,
    trafficDistribution: text(get(spec, 'trafficDistribution')) || null,
    externalName: type === 'ExternalName' ? (text(get(spec, 'externalName')) ?? null) : null,
  };
}

/**
 * Node ports outside the range, in the words of the API server's allocator. An object that has been
 * in a cluster was accepted there, perhaps with another range than AKS's.
 */
function refuseNodePorts(errors: FieldErrors, spec: Tree | undefined): void {
  const { first, last } = NODE_PORTS;
  const refuse = (at: Tree | undefined, field: string) => {
    const port = number(at) ?? 0;
    if (!at || port <= 0 || (port >= first && port <= last)) return;
    const detail = `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
    errors.invalid('SERVICE_NODE_PORT', at, field, detail, `${first}..${last}`);
  };
  items(get(spec, 'ports')).forEach((port, i) => {
    refuse(get(port, 'nodePort'), `spec.ports[${i}].nodePort`);
  });
  refuse(get(spec, 'healthCheckNodePort'), 'spec.healthCheckNodePort');
}

/** A Service without selector, and one with an empty selector, choose no pods. */
function selectorOf(spec: Tree | undefined, type: Service['type']): Service['selector'] {
  const selector = textMap(get(spec, 'selector'));
  return type === 'ExternalName' || Object.keys(selector).length === 0 ? null : selector;
}

function policyAt(at: Tree | undefined): 'Cluster' | 'Local' {
  return text(at) === 'Local' ? 'Local' : 'Cluster';
}

/** As given; families stay empty and the policy SingleStack where nothing says otherwise. */
function families(spec: Tree | undefined): Pick<Service, 'ipFamilies' | 'ipFamilyPolicy'> {
  const said = text(get(spec, 'ipFamilyPolicy'));
  const given = texts(get(spec, 'ipFamilies')).flatMap((f): readonly Family[] =>
    f === 'IPv4' ? [4] : f === 'IPv6' ? [6] : [],
  );
  const addresses = texts(get(spec, 'clusterIPs')).length;
  const implied = Math.max(given.length, addresses) > 1 ? 'RequireDualStack' : 'SingleStack';
  return {
    ipFamilies: given,
    ipFamilyPolicy: FAMILY_POLICIES.find((p) => p === said) ?? implied,
  };
}

type LoadBalancerPart = Pick<
  Service,
  | 'loadBalancerIngress'
  | 'loadBalancerIps'
  | 'loadBalancerClass'
  | 'loadBalancerSourceRanges'
  | 'allocateLoadBalancerNodePorts'
>;

function loadBalancer(errors: FieldErrors, tree: Tree, isBalancer: boolean): LoadBalancerPart {
  const spec = get(tree, 'spec');
  const ingress = items(get(tree, 'status', 'loadBalancer', 'ingress')).map((item, i) =>
    decodeIngress(errors, item, `status.loadBalancer.ingress[${i}]`),
  );
  const asked = isBalancer ? askedAddresses(errors, tree) : [];
  const given = ingress.flatMap(({ address }): readonly Address[] => (address ? [address] : []));
  return {
    loadBalancerIngress: ingress,
    loadBalancerIps: given.length > 0 ? given : asked,
    loadBalancerClass: text(get(spec, 'loadBalancerClass')) || null,
    loadBalancerSourceRanges: texts(get(spec, 'loadBalancerSourceRanges')).flatMap(
      (range) => parseCidr(range.trim()) ?? [],
    ),
    allocateLoadBalancerNodePorts: boolean(get(spec, 'allocateLoadBalancerNodePorts')) ?? true,
  };
}

const AZURE_ADDRESS = 'service.beta.kubernetes.io/azure-load-balancer-';

/** Addresses that the cloud is asked for: by Azure's annotations, else by `loadBalancerIP`. */
function askedAddresses(errors: FieldErrors, tree: Tree): readonly Address[] {
  const annotations = get(tree, 'metadata', 'annotations');
  const named = (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const key = AZURE_ADDRESS + family;
    return addressAt(errors, get(annotations, key), `metadata.annotations[${key}]`);
  });
  if (named.length > 0) return named;
  return addressAt(errors, get(tree, 'spec', 'loadBalancerIP'), 'spec.loadBalancerIP');
}

/** One ingress; `ipMode` is VIP where an address comes without (defaults.go of 1.30). */
function decodeIngress(errors: FieldErrors, item: Tree, path: string): LoadBalancerIngress {
  const mode = get(item, 'ipMode');
  const said = text(mode);
  const address = addressAt(errors, get(item, 'ip'), `${path}.ip`)[0] ?? null;
  if (mode && said !== 'VIP' && said !== 'Proxy') {
    errors.notSupported('SERVICE_INGRESS', mode, `${path}.ipMode`, ['Proxy', 'VIP']);
  } else if (mode && !address) {
    const detail = 'may not be specified when `ip` is not set';
    errors.forbidden('SERVICE_INGRESS', mode, `${path}.ipMode`, detail);
  }
  const hostname = text(get(item, 'hostname')) || null;
  return { address, hostname, ipMode: said === 'Proxy' ? 'Proxy' : 'VIP' };
}

function decodePort(port: Tree): ServicePort {
  const target = get(port, 'targetPort');
  const size = number(get(port, 'port')) ?? 0;
  const nodePort = number(get(port, 'nodePort')) ?? 0;
  const appProtocol = text(get(port, 'appProtocol')) ?? '';
  return {
    name: text(get(port, 'name')) ?? '',
    protocol: protocolOf(get(port, 'protocol')),
    port: size,
    targetPort: number(target) ?? text(target) ?? size,
    ...(nodePort === 0 ? {} : { nodePort }),
    ...(appProtocol === '' ? {} : { appProtocol }),
    source: placeOf(port),
  };
}
