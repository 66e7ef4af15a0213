/**
 * Nodes and Namespaces: validated, defaulted, as model values.
 * @module
 */

import { parseCidr } from '../../manifest/cidr.ts';
import type { FieldErrors } from '../../manifest/field-error.ts';
import type { LoadedObject } from '../../manifest/load.ts';
import { dnsLabelErrors, dnsSubdomainErrors } from '../../manifest/names.ts';
import { get, items, text } from '../../manifest/tree.ts';
import type { Labels, Namespace, Node } from '../../model.ts';
import { validateMeta } from '../../validate/meta.ts';
import { addressAt, CIDR_DETAIL, metaOf } from '../decode.ts';

/** What an AKS Ubuntu 22.04 node runs, for nodes that do not say. */
const DEFAULT_KERNEL = '5.15.0-1075-azure';

/** What the nodes of Windows pools run, by the pool's SKU; the build is the kernel's version. */
const WINDOWS_KERNELS: Readonly<Record<string, string>> = {
  Windows2019: '10.0.17763.6532',
  Windows2022: '10.0.20348.2966',
  Windows2025: '10.0.26100.2605',
};

/** The kernel of a node that does not say. */
export function defaultKernel(os: Node['os'], osSku = 'Windows2022'): string {
  if (os === 'linux') return DEFAULT_KERNEL;
  return WINDOWS_KERNELS[osSku] ?? WINDOWS_KERNELS['Windows2022'] ?? '';
}

/** Labels that the API server and the kubelet set on every node. */
export function nodeLabels(name: string, os: Node['os'], given: Labels): Labels {
  return { 'kubernetes.io/hostname': name, 'kubernetes.io/os': os, ...given };
}

/** The label that the API server sets on every namespace. */
export function namespaceLabels(name: string, given: Labels): Labels {
  return { ...given, 'kubernetes.io/metadata.name': name };
}

export function decodeNamespace(errors: FieldErrors, object: LoadedObject): Namespace {
  validateMeta(errors, object.tree, { namespaced: false, nameErrors: dnsLabelErrors });
  const meta = metaOf(object);
  return { ...meta, labels: namespaceLabels(meta.name, meta.labels) };
}

/** `addresses` and `podCidrs` stay empty when not given; ipam fills them. */
export function decodeNode(errors: FieldErrors, object: LoadedObject): Node {
  const { tree } = object;
  validateMeta(errors, tree, { namespaced: false, nameErrors: dnsSubdomainErrors });
  const meta = metaOf(object);
  const addresses = items(get(tree, 'status', 'addresses')).flatMap((item, i) => {
    const at = get(item, 'address');
    const internal = text(get(item, 'type')) === 'InternalIP';
    return internal ? addressAt(errors, at, `status.addresses[${i}].address`) : [];
  });
  const list = get(tree, 'spec', 'podCIDRs');
  const single = get(tree, 'spec', 'podCIDR');
  const cidrs = list
    ? items(list).map((at, i) => [at, `spec.podCIDRs[${i}]`] as const)
    : single
      ? [[single, 'spec.podCIDR'] as const]
      : [];
  const podCidrs = cidrs.flatMap(([at, field]) => {
    const prefix = parseCidr(text(at) ?? '');
    if (!prefix) errors.invalid('CIDR_INVALID', at, field, CIDR_DETAIL);
    return prefix ? [prefix] : [];
  });
  const info = get(tree, 'status', 'nodeInfo');
  const said = text(get(info, 'operatingSystem')) ?? meta.labels['kubernetes.io/os'];
  const kubelet = text(get(info, 'kubeletVersion'));
  const os = said === 'windows' ? 'windows' : 'linux';
  const cpu = milliCpu(text(get(tree, 'status', 'allocatable', 'cpu')));
  const capacity = milliCpu(text(get(tree, 'status', 'capacity', 'cpu')));
  const conditions = items(get(tree, 'status', 'conditions'));
  const ready = conditions.find((c) => text(get(c, 'type')) === 'Ready');
  return {
    ...meta,
    labels: nodeLabels(meta.name, os, meta.labels),
    addresses,
    podCidrs,
    os,
    kernel: text(get(info, 'kernelVersion')) ?? defaultKernel(os),
    ...(capacity === null ? {} : { cpus: Math.max(1, Math.floor(capacity / 1000)) }),
    ...(cpu === null ? {} : { allocatableMilliCpu: cpu }),
    ...(ready ? { ready: text(get(ready, 'status')) === 'True' } : {}),
    ...(kubelet === undefined ? {} : { kubelet }),
  };
}

/** Thousandths in a unit of `resource.Quantity`, for those that CPUs are written in. */
const CPU_UNITS: Readonly<Record<string, number>> = { n: 1e-6, u: 1e-3, m: 1, '': 1000, k: 1e6 };

/** `4`, `3860m`: rounded up to thousandths as `MilliValue` does; null for any other text. */
function milliCpu(written: string | undefined): number | null {
  const m = /^(\d+(?:\.\d*)?|\.\d+)([numk]?)$/.exec(written ?? '');
  return m ? Math.ceil(Number(m[1]) * (CPU_UNITS[m[2] ?? ''] ?? 1)) : null;
}
