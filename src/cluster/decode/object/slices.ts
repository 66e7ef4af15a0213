/**
 * EndpointSlices and Endpoints: validated (kubernetes pkg/apis/discovery/validation
 * `ValidateEndpointSlice`), conditions defaulted as consumers read them (k8s.io/api/discovery/v1
 * `EndpointConditions`: nil ready and serving mean true, nil terminating false).
 * @module
 */
import type { Family } from '../../../wire/address/address.ts';
import type { FieldErrors } from '../../manifest/field-error.ts';
import type { LoadedObject } from '../../manifest/load.ts';
import { dnsLabelErrors, dnsSubdomainErrors, portNumberErrors } from '../../manifest/names.ts';
import type { Tree } from '../../manifest/tree.ts';
import { boolean, get, items, number, placeOf, text } from '../../manifest/tree.ts';
import type { Endpoint, EndpointPort, EndpointSlice } from '../../model.ts';
import { validateMeta } from '../../validate/meta.ts';
import { addressAt, IP_DETAIL, metaOf, protocolOf } from '../decode.ts';

export const SERVICE_LABEL = 'kubernetes.io/service-name';
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
  const family = text(type) === 'IPv6' ? 6 : 4;
  const meta = metaOf(object);
  return {
    ...meta,
    namespace: object.namespace,
    service: meta.labels[SERVICE_LABEL] ?? '',
    family,
    endpoints: items(get(tree, 'endpoints')).flatMap((item, i) =>
      decodeEndpoint(errors, item, `endpoints[${i}]`, family),
    ),
    ports: decodePorts(errors, get(tree, 'ports'), 'ports'),
  };
}

function decodeEndpoint(
  errors: FieldErrors,
  item: Tree,
  path: string,
  family: Family,
): readonly Endpoint[] {
  const list = get(item, 'addresses');
  const field = `${path}.addresses`;
  if (items(list).length === 0) {
    errors.required('SLICE_ADDRESSES', list ?? item, field, 'must contain at least 1 address');
  }
  const seen = new Set<string>();
  const addresses = items(list).flatMap((at, j) => {
    const written = text(at) ?? '';
    if (seen.has(written)) errors.duplicate('SLICE_ADDRESSES', at, `${field}[${j}]`);
    seen.add(written);
    const found = addressAt(errors, at, `${field}[${j}]`);
    if (found[0] && found[0].family !== family) {
      const detail = `must be an IPv${family} address`;
      errors.invalid('SLICE_ADDRESS_TYPE', at, `${field}[${j}]`, detail);
    }
    return found;
  });
  if (addresses.length === 0) return [];
  const ready = boolean(get(item, 'conditions', 'ready')) ?? true;
  const zone = text(get(item, 'zone')) ?? '';
  return [
    {
      addresses,
      ready,
      serving: boolean(get(item, 'conditions', 'serving')) ?? true,
      terminating: boolean(get(item, 'conditions', 'terminating')) ?? false,
      ...nodeOf(errors, item, path),
      ...(zone === '' ? {} : { zone }),
      ...hostnameOf(errors, item, path),
      zoneHints: hints(item, 'forZones'),
      nodeHints: hints(item, 'forNodes'),
      ...podOf(item),
      source: placeOf(item),
    },
  ];
}

function hints(item: Tree, key: string): readonly string[] {
  return items(get(item, 'hints', key)).flatMap((hint) => text(get(hint, 'name')) ?? []);
}

function nodeOf(errors: FieldErrors, item: Tree, path: string): { readonly node?: string } {
  const at = get(item, 'nodeName');
  const node = text(at) ?? '';
  if (node === '' || !at) return {};
  for (const e of dnsSubdomainErrors(node)) {
    errors.invalid('NAME_INVALID', at, `${path}.nodeName`, e);
  }
  return { node };
}

function hostnameOf(errors: FieldErrors, item: Tree, path: string): { readonly hostname?: string } {
  const at = get(item, 'hostname');
  const hostname = text(at) ?? '';
  if (hostname === '' || !at) return {};
  for (const e of dnsLabelErrors(hostname)) {
    errors.invalid('NAME_INVALID', at, `${path}.hostname`, e);
  }
  return { hostname };
}

/** The pod that an endpoint stands for, by `targetRef`. */
function podOf(endpoint: Tree): { readonly pod?: string } {
  const target = get(endpoint, 'targetRef');
  const name = text(get(target, 'name'));
  return text(get(target, 'kind')) === 'Pod' && name !== undefined ? { pod: name } : {};
}

/**
 * Endpoints as the slices that the mirroring controller would make of it, one a subset and family
 * (pkg/controller/endpointslicemirroring `addressToEndpoint`: serving is ready, and nothing is
 * terminating).
 */
export function decodeEndpoints(
  errors: FieldErrors,
  object: LoadedObject,
): readonly EndpointSlice[] {
  const { tree } = object;
  validateMeta(errors, tree, { namespaced: true, nameErrors: dnsSubdomainErrors });
  return items(get(tree, 'subsets')).flatMap((subset, i) => {
    const path = `subsets[${i}]`;
    const endpoints = [
      ...decodeSubset(errors, subset, path, 'addresses'),
      ...decodeSubset(errors, subset, path, 'notReadyAddresses'),
    ];
    const ports = decodePorts(errors, get(subset, 'ports'), `${path}.ports`);
    return ([4, 6] as const).flatMap((family) => {
      const own = endpoints.filter((e) => e.addresses[0]?.family === family);
      if (own.length === 0) return [];
      const name = `${object.name}-${i}${family === 6 ? '-v6' : ''}`;
      const meta = { ...metaOf(object), name, namespace: object.namespace, service: object.name };
      return [{ ...meta, family, endpoints: own, ports }];
    });
  });
}

function decodeSubset(
  errors: FieldErrors,
  subset: Tree,
  path: string,
  key: 'addresses' | 'notReadyAddresses',
): readonly Endpoint[] {
  const ready = key === 'addresses';
  return items(get(subset, key)).flatMap((item, j) => {
    const at = get(item, 'ip');
    const place = `${path}.${key}[${j}]`;
    if (!at) errors.invalidText('ADDRESS_INVALID', item, `${place}.ip`, '""', IP_DETAIL);
    return addressAt(errors, at, `${place}.ip`).map((address) => ({
      addresses: [address],
      ready,
      serving: ready,
      terminating: false,
      ...nodeOf(errors, item, place),
      ...hostnameOf(errors, item, place),
      zoneHints: [],
      nodeHints: [],
      ...podOf(item),
      source: placeOf(item),
    }));
  });
}

function decodePorts(
  errors: FieldErrors,
  ports: Tree | undefined,
  path: string,
): readonly EndpointPort[] {
  const names = new Set<string>();
  return items(ports).map((item, i) => {
    const at = get(item, 'port');
    const port = number(at) ?? null;
    for (const e of port === null ? [] : portNumberErrors(port)) {
      errors.invalid('SLICE_PORT', at ?? item, `${path}[${i}].port`, e, '1..65535');
    }
    const nameAt = get(item, 'name');
    const name = text(nameAt) ?? '';
    if (names.has(name)) errors.duplicate('SLICE_PORT', nameAt ?? item, `${path}[${i}].name`);
    names.add(name);
    const appProtocol = text(get(item, 'appProtocol')) ?? '';
    return {
      name,
      protocol: protocolOf(get(item, 'protocol')),
      port,
      ...(appProtocol === '' ? {} : { appProtocol }),
    };
  });
}
