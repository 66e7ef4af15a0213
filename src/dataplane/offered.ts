/**
 * What Azure does not offer in a cluster like this one, whatever the stack's name allows. Held
 * against a wiring document of an AKS cluster only; `force=true` goes on all the same.
 *
 * Source: AKS docs "Use dual-stack networking in Azure CNI Overlay" (no Azure NPM, no Calico), "Use
 * kubenet" (no Azure NPM).
 * @module
 */
import type { Cluster } from '../cluster/model.ts';
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { OptionSpec, PolicyEngineName, Stack } from './dataplane.ts';

/** Goes on with what Azure refuses. */
export const FORCE: OptionSpec = {
  name: 'force',
  values: 'true|false',
  default: 'false',
  describes: 'emulate a combination that Azure does not offer',
  accepts: (value) => value === 'true' || value === 'false',
};

const ON_DUAL_STACK: Readonly<Partial<Record<PolicyEngineName, string>>> = {
  npm: 'Azure NPM programs IPv4 only, so IPv6 would not be filtered at all',
  calico: 'AKS installs Calico in clusters of one family only',
};

/** Why Azure would not have this stack in this cluster. */
export function notOffered(cluster: Cluster, stack: Stack): readonly Diagnostic[] {
  const { wiring } = cluster;
  const isAks = !wiring.inferred && wiring.networkPlugin === 'azure';
  if (!isAks || stack.options[FORCE.name] === 'true') return [];
  const families = new Set(
    [...wiring.podCidrs, ...wiring.serviceCidrs].map((p) => p.address.family),
  );
  const reason = ON_DUAL_STACK[stack.policy];
  if (families.size < 2 || reason === undefined) return [];
  return [
    {
      code: 'STACK_REFUSED',
      field: '--stack',
      message: `Azure does not offer ${stack.policy} in dual-stack clusters: ${reason}`,
      found: stack.text,
      accepted: `policy engine none; ${stack.text},force=true goes on all the same`,
    },
  ];
}
