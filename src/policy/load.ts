/**
 * NetworkPolicies from loaded objects: strictly decoded, validated, defaulted
 * (kubernetes pkg/apis/networking/v1/defaults.go).
 * @module
 */

import { metaOf, protocolOf } from '../cluster/decode/decode.ts';
import { parseCidr } from '../cluster/manifest/cidr.ts';
import { FieldErrors, toDiagnostic } from '../cluster/manifest/field-error.ts';
import type { LoadedObject } from '../cluster/manifest/load.ts';
import { checkShape } from '../cluster/manifest/schema.ts';
import type { Tree } from '../cluster/manifest/tree.ts';
import { get, items, number, placeOf, text, textMap, texts } from '../cluster/manifest/tree.ts';
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { LabelSelector, NetworkPolicy, Peer, PolicyPort, PolicyRule } from './model.ts';
import { NETWORK_POLICY, validateNetworkPolicy } from './validate.ts';

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;
const EMPTY: LabelSelector = { matchLabels: {}, matchExpressions: [] };

/** All NetworkPolicies among `objects`; mistakes are added to `problems`. */
export function loadPolicies(
  objects: readonly LoadedObject[],
  problems: Diagnostic[],
): readonly NetworkPolicy[] {
  return objects
    .filter((object) => object.kind === 'NetworkPolicy')
    .map((object) => {
      const errors = new FieldErrors();
      checkShape(errors, NETWORK_POLICY, object.tree, '');
      validateNetworkPolicy(errors, object.tree);
      problems.push(...errors.all.map((e) => toDiagnostic(e, object.id)));
      return decodePolicy(object);
    });
}

function decodePolicy(object: LoadedObject): NetworkPolicy {
  const spec = get(object.tree, 'spec');
  const egress = items(get(spec, 'egress'));
  const given = texts(get(spec, 'policyTypes'));
  // Left out or empty: Ingress, and Egress when there is an egress rule.
  const types = given.length > 0 ? given : ['Ingress', ...(egress.length > 0 ? ['Egress'] : [])];
  return {
    ...metaOf(object),
    namespace: object.namespace,
    podSelector: decodeSelector(get(spec, 'podSelector')) ?? EMPTY,
    ingress: items(get(spec, 'ingress')).map((rule) => decodeRule(rule, 'from')),
    egress: egress.map((rule) => decodeRule(rule, 'to')),
    policyTypes: (['Ingress', 'Egress'] as const).filter((t) => types.includes(t)),
  };
}

function decodeRule(rule: Tree, peersKey: 'from' | 'to'): PolicyRule {
  return {
    peers: items(get(rule, peersKey)).flatMap(decodePeer),
    ports: items(get(rule, 'ports')).map(decodePort),
    source: placeOf(rule),
  };
}

function decodePeer(peer: Tree): readonly Peer[] {
  const source = placeOf(peer);
  const block = get(peer, 'ipBlock');
  if (!block) {
    const podSelector = decodeSelector(get(peer, 'podSelector'));
    const namespaceSelector = decodeSelector(get(peer, 'namespaceSelector'));
    return [{ kind: 'selector', podSelector, namespaceSelector, source }];
  }
  const cidr = parseCidr(text(get(block, 'cidr')) ?? '');
  if (!cidr) return [];
  const except = texts(get(block, 'except')).flatMap((e) => parseCidr(e) ?? []);
  return [{ kind: 'ipBlock', cidr, except, source }];
}

function decodePort(item: Tree): PolicyPort {
  const port = get(item, 'port');
  return {
    protocol: protocolOf(get(item, 'protocol')),
    port: number(port) ?? text(port) ?? null,
    endPort: number(get(item, 'endPort')) ?? null,
  };
}

/** A selector; null when it is not given (which in a peer differs from an empty one). */
function decodeSelector(selector: Tree | undefined): LabelSelector | null {
  if (!selector) return null;
  return {
    matchLabels: textMap(get(selector, 'matchLabels')),
    matchExpressions: items(get(selector, 'matchExpressions')).flatMap((e) => {
      const operator = OPERATORS.find((o) => o === text(get(e, 'operator')));
      if (operator === undefined) return [];
      return [{ key: text(get(e, 'key')) ?? '', operator, values: texts(get(e, 'values')) }];
    }),
  };
}
