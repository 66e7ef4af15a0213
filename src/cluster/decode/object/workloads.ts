/**
 * Pods made from workloads, as their controllers would make them, when no Pods are given.
 *
 * Names have the controllers' forms; where those draw random letters, ours are a hash of the names
 * and the count, so the same input has the same pods. A workload is left alone when a given Pod is
 * one of its own, when another workload owns it, and in dumps of live clusters (there the Pods that
 * exist are given).
 * @module
 */

import type { FieldErrors } from '../../manifest/field-error.ts';
import type { LoadedObject } from '../../manifest/load.ts';
import { dnsLabelErrors, dnsSubdomainErrors } from '../../manifest/names.ts';
import { WORKLOADS } from '../../manifest/schema-core.ts';
import type { Tree } from '../../manifest/tree.ts';
import {
  boolean,
  entries,
  get,
  items,
  number,
  placeOf,
  text,
  textMap,
  texts,
} from '../../manifest/tree.ts';
import type { Labels, Node, Pod, SourceRef } from '../../model.ts';
import { validateLabels, validateMeta, validateSelector } from '../../validate/meta.ts';
import type { PodDraft, PodSpecPart } from './pod.ts';
import { decodePodSpec } from './pod.ts';

/** A workload, checked; `pods` makes what its controller would make on these nodes. */
export interface Workload {
  readonly object: LoadedObject;
  readonly owned: boolean;
  readonly templateLabels: Labels;
  pods(nodes: readonly Node[]): readonly PodDraft[];
}

export function isWorkload(kind: string): boolean {
  return Object.hasOwn(WORKLOADS, kind);
}

/** Check a workload and what its pods would be. */
export function decodeWorkload(errors: FieldErrors, object: LoadedObject): Workload {
  const { tree, kind } = object;
  const short = kind === 'StatefulSet' || kind === 'CronJob' || kind === 'Job';
  const nameErrors = short ? dnsLabelErrors : dnsSubdomainErrors;
  validateMeta(errors, tree, { namespaced: true, nameErrors });
  const spec = get(tree, 'spec');
  if (!spec) errors.required('WORKLOAD_SPEC', tree, 'spec');
  const jobSpec = kind === 'CronJob' ? get(spec, 'jobTemplate', 'spec') : spec;
  const path = kind === 'CronJob' ? 'spec.jobTemplate.spec.template' : 'spec.template';
  const template = get(jobSpec, 'template');
  if (spec && !template) errors.required('WORKLOAD_TEMPLATE', jobSpec ?? spec, path);
  const labels = get(template, 'metadata', 'labels');
  validateLabels(errors, labels, `${path}.metadata.labels`);
  const podSpec = decodePodSpec(errors, get(template, 'spec'), `${path}.spec`);
  if (spec && kind !== 'Job' && kind !== 'CronJob') {
    validateWorkloadSelector(errors, kind, spec, labels ?? template ?? spec, textMap(labels));
  }
  const replicas = replicasOf(errors, kind, spec, jobSpec);
  const owners = items(get(tree, 'metadata', 'ownerReferences'));
  const make = {
    object,
    labels: textMap(labels),
    podSpec,
    replicas,
    firstOrdinal: number(get(spec, 'ordinals', 'start')) ?? 0,
    serviceName: text(get(spec, 'serviceName')) ?? '',
    source: placeOf(tree),
  };
  return {
    object,
    owned: owners.some((o) => boolean(get(o, 'controller')) === true),
    templateLabels: make.labels,
    pods: (nodes) => makePods(make, nodes),
  };
}

function validateWorkloadSelector(
  errors: FieldErrors,
  kind: string,
  spec: Tree,
  labelsAt: Tree,
  labels: Labels,
): void {
  const selector = get(spec, 'selector');
  const code = 'WORKLOAD_SELECTOR';
  if (!selector) {
    // A ReplicationController's selector defaults to its template's labels.
    if (kind !== 'ReplicationController') errors.required(code, spec, 'spec.selector');
    return;
  }
  const byLabels = kind === 'ReplicationController' ? selector : get(selector, 'matchLabels');
  if (kind !== 'ReplicationController') validateSelector(errors, selector, 'spec.selector');
  const expressions = items(get(selector, 'matchExpressions'));
  const wanted = entries(byLabels);
  const matches =
    wanted.every(([key, e]) => labels[key] === text(e.value)) &&
    expressions.every((e) => expressionHolds(e, labels));
  if (!matches) {
    const detail = '`selector` does not match template `labels`';
    errors.invalid(code, labelsAt, 'spec.template.metadata.labels', detail);
  }
}

function expressionHolds(expression: Tree, labels: Labels): boolean {
  const value = labels[text(get(expression, 'key')) ?? ''];
  const values = texts(get(expression, 'values'));
  switch (text(get(expression, 'operator'))) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    default:
      return value === undefined;
  }
}

/** How many pods; `null` means one on each node. */
function replicasOf(
  errors: FieldErrors,
  kind: string,
  spec: Tree | undefined,
  jobSpec: Tree | undefined,
): number | null {
  if (kind === 'DaemonSet') return null;
  if (kind === 'Job' || kind === 'CronJob') {
    if (boolean(get(spec, 'suspend')) === true || boolean(get(jobSpec, 'suspend')) === true) {
      return 0;
    }
    const parallel = number(get(jobSpec, 'parallelism')) ?? 1;
    return Math.min(parallel, number(get(jobSpec, 'completions')) ?? parallel);
  }
  const at = get(spec, 'replicas');
  const replicas = number(at) ?? 1;
  if (at && replicas < 0) {
    const detail = 'must be greater than or equal to 0';
    errors.invalid('WORKLOAD_REPLICAS', at, 'spec.replicas', detail, '0 and up');
  }
  return Math.max(0, replicas);
}

interface Make {
  readonly object: LoadedObject;
  readonly labels: Labels;
  readonly podSpec: PodSpecPart;
  readonly replicas: number | null;
  readonly firstOrdinal: number;
  /** A StatefulSet's governing Service; empty without. */
  readonly serviceName: string;
  readonly source: SourceRef;
}

interface Identity {
  readonly name: string;
  readonly labels: Labels;
  readonly hostname?: string;
  readonly subdomain?: string;
}

function makePods(make: Make, nodes: readonly Node[]): readonly PodDraft[] {
  if (make.replicas !== null) {
    return Array.from({ length: make.replicas }, (_, i) => makePod(make, i, ''));
  }
  const { nodeSelector } = make.podSpec;
  const wanted = { 'kubernetes.io/os': 'linux', ...nodeSelector };
  return nodes
    .filter((n) => Object.entries(wanted).every(([key, value]) => n.labels[key] === value))
    .map((node, i) => makePod(make, i, node.name));
}

function makePod(make: Make, index: number, node: string): PodDraft {
  const { object } = make;
  const { nodeSelector, ...spec } = make.podSpec;
  const { name, labels, ...dns } = identityOf(make, index);
  const pod: Pod = {
    ...spec,
    ...dns,
    name,
    namespace: object.namespace,
    labels: { ...make.labels, ...labels },
    source: make.source,
    node: node === '' ? spec.node : node,
    addresses: [],
    phase: 'Running',
  };
  return {
    pod,
    hostAddresses: [],
    running: true,
    ready: true,
    terminating: false,
    nodeSelector,
    nodeSource: make.source,
    live: false,
  };
}

/** The pod's name, and what its controller adds. */
function identityOf(make: Make, index: number): Identity {
  const { kind, name, id } = make.object;
  const suffix = letters(`${id}/${index}`, 5);
  switch (kind) {
    case 'Deployment': {
      const hash = letters(id, 10);
      return { name: `${name}-${hash}-${suffix}`, labels: { 'pod-template-hash': hash } };
    }
    case 'StatefulSet': {
      const ordinal = String(make.firstOrdinal + index);
      return {
        name: `${name}-${ordinal}`,
        labels: {
          'statefulset.kubernetes.io/pod-name': `${name}-${ordinal}`,
          'apps.kubernetes.io/pod-index': ordinal,
        },
        hostname: `${name}-${ordinal}`,
        ...(make.serviceName === '' ? {} : { subdomain: make.serviceName }),
      };
    }
    case 'Job':
      return { name: `${name}-${suffix}`, labels: jobLabels(name) };
    case 'CronJob': {
      // Its Jobs are named by the minute they were due; ours by minute zero.
      const job = `${name}-0`;
      return { name: `${job}-${suffix}`, labels: jobLabels(job) };
    }
    default:
      return { name: `${name}-${suffix}`, labels: {} };
  }
}

function jobLabels(job: string): Labels {
  return { 'batch.kubernetes.io/job-name': job, 'job-name': job };
}

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** Letters as the API server draws them, from a hash (FNV-1a, stirred once a letter). */
function letters(seed: string, count: number): string {
  let hash = 0x811c9dc5;
  const stir = (code: number) => {
    hash = Math.imul(hash ^ code, 0x01000193) >>> 0;
  };
  for (const character of seed) stir(character.codePointAt(0) ?? 0);
  let found = '';
  for (let i = 0; i < count; i++) {
    stir(i + 1);
    found += ALPHABET[(hash >>> 8) % ALPHABET.length] ?? '';
  }
  return found;
}
