/**
 * Services, EndpointSlices and Endpoints: defaulted as the API server does
 * (kubernetes pkg/apis/core/v1/defaults.go `SetDefaults_Service`, registry/core/service
 * `NormalizeClusterIPs`), validated, decoded.
 * @module
 */
import type { Address } from '../../wire/address.ts';
import { parseIp } from '../manifest/cidr.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import type { LoadedObject } from '../manifest/load.ts';
import { dnsSubdomainErrors, portNumberErrors } from '../manifest/names.ts';
import type { MapTree, Tree } from '../manifest/tree.ts';
import {
  boolean,
  get,
  items,
  number,
  text,
  textMap,
  texts,
  withDefault,
  withValue,
} from '../manifest/tree.ts';
import type { EndpointSlice, Service, ServicePort } from '../model.ts';
import { validateMeta } from '../validate/meta.ts';
import { validateService } from '../validate/service.ts';
import { addressAt, IP_DETAIL, metaOf, protocolOf } from './decode.ts';

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;
const AFFINITY_SECONDS = 10800;

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

/** `clusterIps` and node ports stay missing when not given; ipam fills them. */
export function decodeService(errors: FieldErrors, object: LoadedObject): Service {
  const tree = defaultService(object.tree);
  validateService(errors, tree);
  const spec = get(tree, 'spec');
  const type = TYPES.find((t) => t === text(get(spec, 'type'))) ?? 'ClusterIP';
  const clusterIps = texts(get(spec, 'clusterIPs'));
  const selector = get(spec, 'selector');
  const external = text(get(spec, 'externalTrafficPolicy'));
  return {
    ...metaOf(object),
    namespace: object.namespace,
    type,
    clusterIps: clusterIps.flatMap((ip) => parseIp(ip) ?? []),
    headless: clusterIps[0] === 'None',
    externalIps: texts(get(spec, 'externalIPs')).flatMap((ip) => parseIp(ip) ?? []),
    loadBalancerIps: loadBalancerIps(errors, tree),
    selector: selector && type !== 'ExternalName' ? textMap(selector) : null,
    ports: items(get(spec, 'ports')).map(decodePort),
    externalTrafficPolicy: external === 'Local' ? 'Local' : 'Cluster',
  };
}

function loadBalancerIps(errors: FieldErrors, tree: Tree): readonly Address[] {
  const ingress = items(get(tree, 'status', 'loadBalancer', 'ingress'));
  const given = ingress.flatMap((item, i) =>
    addressAt(errors, get(item, 'ip'), `status.loadBalancer.ingress[${i}].ip`),
  );
  const asked = get(tree, 'spec', 'loadBalancerIP');
  const isBalancer = text(get(tree, 'spec', 'type')) === 'LoadBalancer';
  if (given.length > 0 || !isBalancer) return given;
  return addressAt(errors, asked, 'spec.loadBalancerIP');
}

function decodePort(port: Tree): ServicePort {
  const target = get(port, 'targetPort');
  const size = number(get(port, 'port')) ?? 0;
  const nodePort = number(get(port, 'nodePort')) ?? 0;
  return {
    name: text(get(port, 'name')) ?? '',
    protocol: protocolOf(get(port, 'protocol')),
    port: size,
    targetPort: number(target) ?? text(target) ?? size,
    ...(nodePort === 0 ? {} : { nodePort }),
  };
}

const SERVICE_LABEL = 'kubernetes.io/service-name';
const ADDRESS_TYPES = ['FQDN', 'IPv4', 'IPv6'];

/** An EndpointSlice; null for one of host names, which kube-proxy leaves out too. */
export function decodeEndpointSlice(
  errors: FieldErrors,
  object: LoadedObject,
): EndpointSlice | null {
  const { tree } = object;
  validateMeta(errors, tree, { namespaced: true, nameErrors: dnsSubdomainErrors });
  const type = get(tree, 'addressType');
  if (!type) errors.required('SLICE_ADDRESS_TYPE', tree, 'addressType');
  else if (!ADDRESS_TYPES.includes(text(type) ?? '')) {
    errors.notSupported('SLICE_ADDRESS_TYPE', type, 'addressType', ADDRESS_TYPES);
  }
  if (text(type) === 'FQDN') return null;
  const endpoints = items(get(tree, 'endpoints')).flatMap((endpoint, i) => {
    const ready = boolean(get(endpoint, 'conditions', 'ready')) ?? true;
    return items(get(endpoint, 'addresses')).flatMap((at, j) => {
      const field = `endpoints[${i}].addresses[${j}]`;
      const found = addressAt(errors, at, field);
      const want = text(type) === 'IPv6' ? 6 : 4;
      if (found[0] && found[0].family !== want) {
        errors.invalid('SLICE_ADDRESS_TYPE', at, field, `must be an ${text(type)} address`);
      }
      return found.map((address) => ({ address, ready, ...podOf(endpoint) }));
    });
  });
  const meta = metaOf(object);
  return {
    ...meta,
    namespace: object.namespace,
    service: meta.labels[SERVICE_LABEL] ?? '',
    endpoints,
    ports: decodeEndpointPorts(errors, get(tree, 'ports'), 'ports'),
  };
}

/** Endpoints as the slices that the mirroring controller would make of it, one a subset. */
export function decodeEndpoints(
  errors: FieldErrors,
  object: LoadedObject,
): readonly EndpointSlice[] {
  const { tree } = object;
  validateMeta(errors, tree, { namespaced: true, nameErrors: dnsSubdomainErrors });
  return items(get(tree, 'subsets')).map((subset, i) => {
    const endpoints = (['addresses', 'notReadyAddresses'] as const).flatMap((key) =>
      items(get(subset, key)).flatMap((item, j) => {
        const at = get(item, 'ip');
        const field = `subsets[${i}].${key}[${j}].ip`;
        if (!at) errors.invalidText('ADDRESS_INVALID', item, field, '""', IP_DETAIL);
        const found = addressAt(errors, at, field);
        return found.map((address) => ({ address, ready: key === 'addresses', ...podOf(item) }));
      }),
    );
    return {
      ...metaOf(object),
      name: `${object.name}-${i}`,
      namespace: object.namespace,
      service: object.name,
      endpoints,
      ports: decodeEndpointPorts(errors, get(subset, 'ports'), `subsets[${i}].ports`),
    };
  });
}

function podOf(endpoint: Tree): { readonly pod?: string } {
  const target = get(endpoint, 'targetRef');
  const name = text(get(target, 'name'));
  return text(get(target, 'kind')) === 'Pod' && name !== undefined ? { pod: name } : {};
}

function decodeEndpointPorts(
  errors: FieldErrors,
  ports: Tree | undefined,
  path: string,
): EndpointSlice['ports'] {
  return items(ports).map((item, i) => {
    const at = get(item, 'port');
    const port = number(at) ?? 0;
    for (const e of at ? portNumberErrors(port) : []) {
      errors.invalid('SLICE_PORT', at ?? item, `${path}[${i}].port`, e, '1..65535');
    }
    return {
      name: text(get(item, 'name')) ?? '',
      protocol: protocolOf(get(item, 'protocol')),
      port,
    };
  });
}
