/**
 * Pods and pod templates: validated as the API server does where it bears on packets
 * (kubernetes pkg/apis/core/validation/validation.go `ValidatePodSpec`, `validateContainerPorts`),
 * and decoded. A Pod without containers is accepted: bare pods are enough input here.
 * @module
 */
import type { Address } from '../../../wire/address/address.ts';
import type { FieldErrors } from '../../manifest/field-error.ts';
import type { LoadedObject } from '../../manifest/load.ts';
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  portNameErrors,
  portNumberErrors,
} from '../../manifest/names.ts';
import type { Tree } from '../../manifest/tree.ts';
import { boolean, get, items, number, placeOf, text, textMap } from '../../manifest/tree.ts';
import type { ContainerPort, Labels, Pod, SourceRef } from '../../model.ts';
import { validateMeta } from '../../validate/meta.ts';
import { addressAt, metaOf, protocolOf } from '../decode.ts';
import { decodePodDns } from './pod-dns.ts';

/** A pod before it is placed: node and addresses may still be missing. */
export interface PodDraft {
  readonly pod: Pod;
  /** The node's addresses as the pod's status tells them. */
  readonly hostAddresses: readonly Address[];
  /** Whether the platform would have given it a node and an address by now. */
  readonly running: boolean;
  readonly ready: boolean;
  /** Being deleted (`metadata.deletionTimestamp`). */
  readonly terminating: boolean;
  readonly nodeSelector: Labels;
  /** Where the pod names its node, or where the pod stands. */
  readonly nodeSource: SourceRef;
  /** Dumped from a live cluster, not written by hand. */
  readonly live: boolean;
}

const PHASES = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'] as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];
/** Most pods have none: one list for all of these. */
const NO_PORTS: readonly ContainerPort[] = [];

/** What a pod's `spec` says, for Pods and templates alike. */
export type PodSpecPart = Pick<
  Pod,
  | 'node'
  | 'hostNetwork'
  | 'hostProcess'
  | 'ports'
  | 'serviceAccount'
  | 'hostname'
  | 'subdomain'
  | 'dns'
> & {
  readonly nodeSelector: Labels;
};

/** Gives equal labels one object. */
export interface LabelShare {
  share(labels: Labels): Labels;
}

export function decodePod(errors: FieldErrors, object: LoadedObject, shared: LabelShare): PodDraft {
  const { tree } = object;
  validateMeta(errors, tree, { namespaced: true, nameErrors: dnsSubdomainErrors });
  const spec = decodePodSpec(errors, get(tree, 'spec'), 'spec');
  const status = get(tree, 'status');
  const meta = metaOf(object);
  const { source } = meta;
  const given = podAddresses(errors, status);
  const said = PHASES.find((p) => p === text(get(status, 'phase')));
  const phase = said ?? 'Running';
  const condition = items(get(status, 'conditions')).find((c) => text(get(c, 'type')) === 'Ready');
  return {
    pod: podOf(object, spec, {
      labels: shared.share(meta.labels),
      source,
      addresses: given,
      phase,
    }),
    hostAddresses: addressAt(errors, get(status, 'hostIP'), 'status.hostIP'),
    running: phase === 'Running' || (phase === 'Pending' && given.length > 0),
    ready: phase === 'Running' && (!condition || text(get(condition, 'status')) === 'True'),
    terminating: get(tree, 'metadata', 'deletionTimestamp') !== undefined,
    nodeSelector: spec.nodeSelector,
    nodeSource: placeOf(get(tree, 'spec', 'nodeName') ?? tree),
    live: get(tree, 'metadata', 'uid') !== undefined,
  };
}

/** One shape for pods that have nothing special: there may be a million. */
function podOf(
  { name, namespace }: LoadedObject,
  spec: PodSpecPart,
  rest: Pick<Pod, 'labels' | 'source' | 'addresses' | 'phase'>,
): Pod {
  const { node, hostNetwork, ports, serviceAccount, nodeSelector: _, ...special } = spec;
  const { labels, source, addresses, phase } = rest;
  const pod: Pod = {
    name,
    labels,
    source,
    namespace,
    node,
    addresses,
    hostNetwork,
    phase,
    ports,
    serviceAccount,
  };
  return Object.keys(special).length === 0 ? pod : { ...pod, ...special };
}

function podAddresses(errors: FieldErrors, status: Tree | undefined): readonly Address[] {
  const list = items(get(status, 'podIPs'));
  const several = list.flatMap((item, i) =>
    addressAt(errors, get(item, 'ip'), `status.podIPs[${i}].ip`),
  );
  return several.length > 0 ? several : addressAt(errors, get(status, 'podIP'), 'status.podIP');
}

/** Check and decode a pod's `spec` at `path` (`spec`, `spec.template.spec`). */
export function decodePodSpec(
  errors: FieldErrors,
  spec: Tree | undefined,
  path: string,
): PodSpecPart {
  const hostNetwork = boolean(get(spec, 'hostNetwork')) ?? false;
  const names = new Set<string>();
  let ports: ContainerPort[] | undefined;
  for (const key of ['initContainers', 'containers'] as const) {
    items(get(spec, key)).forEach((container, i) => {
      const at = `${path}.${key}[${i}]`;
      validateContainerName(errors, container, at, names);
      const init = key === 'initContainers';
      const own = decodePorts(errors, container, at, hostNetwork, init);
      if (own.length > 0) ports = [...(ports ?? []), ...own];
    });
  }
  const node = get(spec, 'nodeName');
  if (node && text(node) !== '') {
    for (const e of dnsSubdomainErrors(text(node) ?? '')) {
      errors.invalid('NAME_INVALID', node, `${path}.nodeName`, e);
    }
  }
  return {
    node: text(node) ?? '',
    hostNetwork,
    ports: ports ?? NO_PORTS,
    serviceAccount:
      text(get(spec, 'serviceAccountName')) ?? text(get(spec, 'serviceAccount')) ?? 'default',
    nodeSelector: textMap(get(spec, 'nodeSelector')),
    ...(isHostProcess(spec) ? { hostProcess: true as const } : {}),
    ...dnsName(errors, spec, path, 'hostname'),
    ...dnsName(errors, spec, path, 'subdomain'),
    ...decodePodDns(errors, spec, path),
  };
}

/** Whether the pod, or a container of it, asks for the Windows host itself. */
function isHostProcess(spec: Tree | undefined): boolean {
  const asks = (at: Tree | undefined) =>
    boolean(get(at, 'securityContext', 'windowsOptions', 'hostProcess')) === true;
  return asks(spec) || items(get(spec, 'containers')).some(asks);
}

/** `spec.hostname` or `spec.subdomain`, when it is given. */
function dnsName(
  errors: FieldErrors,
  spec: Tree | undefined,
  path: string,
  key: 'hostname' | 'subdomain',
): Partial<Record<'hostname' | 'subdomain', string>> {
  const at = get(spec, key);
  const name = text(at) ?? '';
  if (!at || name === '') return {};
  for (const e of dnsLabelErrors(name)) errors.invalid('NAME_INVALID', at, `${path}.${key}`, e);
  return { [key]: name };
}

function validateContainerName(
  errors: FieldErrors,
  container: Tree,
  path: string,
  names: Set<string>,
): void {
  const at = get(container, 'name');
  const name = text(at) ?? '';
  if (name === '' || !at) {
    errors.required('NAME_REQUIRED', container, `${path}.name`);
    return;
  }
  for (const e of dnsLabelErrors(name)) errors.invalid('NAME_INVALID', at, `${path}.name`, e);
  if (names.has(name)) errors.duplicate('NAME_DUPLICATE', at, `${path}.name`);
  names.add(name);
}

function decodePorts(
  errors: FieldErrors,
  container: Tree,
  path: string,
  hostNetwork: boolean,
  init: boolean,
): readonly ContainerPort[] {
  const names = new Set<string>();
  return items(get(container, 'ports')).map((item, i) => {
    const at = `${path}.ports[${i}]`;
    const nameAt = get(item, 'name');
    const name = text(nameAt) ?? '';
    if (name !== '' && nameAt) {
      for (const e of portNameErrors(name)) {
        errors.invalid('CONTAINER_PORT_NAME', nameAt, `${at}.name`, e);
      }
      if (names.has(name)) errors.duplicate('CONTAINER_PORT_NAME', nameAt, `${at}.name`);
      names.add(name);
    }
    const containerPort = portNumber(errors, item, 'containerPort', at, true);
    const given = portNumber(errors, item, 'hostPort', at, false);
    const hostAt = get(item, 'hostPort');
    if (hostNetwork && hostAt && given !== 0 && given !== containerPort) {
      const detail = 'must match `containerPort` when `hostNetwork` is true';
      errors.invalid('CONTAINER_PORT', hostAt, `${at}.hostPort`, detail, String(containerPort));
    }
    const protocol = get(item, 'protocol');
    if (protocol && !PROTOCOLS.includes(text(protocol) ?? '')) {
      errors.notSupported('CONTAINER_PROTOCOL', protocol, `${at}.protocol`, [...PROTOCOLS].sort());
    }
    const [hostIp] = addressAt(errors, get(item, 'hostIP'), `${at}.hostIP`);
    // On the host network the API server sets each hostPort to its containerPort.
    const hostPort = hostNetwork ? containerPort : given;
    return {
      ...(name === '' ? {} : { name }),
      protocol: protocolOf(protocol),
      containerPort,
      ...(hostPort === 0 ? {} : { hostPort }),
      ...(hostIp ? { hostIp } : {}),
      init,
    };
  });
}

/** A port number; 0 when it is left out. */
function portNumber(
  errors: FieldErrors,
  item: Tree,
  key: 'containerPort' | 'hostPort',
  path: string,
  required: boolean,
): number {
  const at = get(item, key);
  const port = number(at) ?? 0;
  if (!at || port === 0) {
    if (required) errors.required('CONTAINER_PORT', at ?? item, `${path}.${key}`);
    return 0;
  }
  for (const e of portNumberErrors(port)) {
    errors.invalid('CONTAINER_PORT', at, `${path}.${key}`, e, '1..65535');
  }
  return port;
}
