/**
 * What a user may choose about Calico, and what Felix makes of it.
 *
 * Sources (projectcalico/calico): felix/config/config_params.go (defaults),
 * felix/rules/rule_defs.go `NewRenderer` (what the actions become); tigera/operator
 * pkg/render/node.go (AKS: FELIX_INTERFACEPREFIX=azv, FELIX_DEFAULTENDPOINTTOHOSTACTION=ACCEPT).
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { OptionSpec, Stack } from '../dataplane.ts';
import { findRelease, RELEASES, type Release } from './release.ts';

export const CALICO_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'version',
    values: RELEASES.map((r) => r.name).join('|'),
    default: '3.30',
    describes: 'Calico release: decides marks, chain names and tier rules (AKS 1.33 runs 3.30)',
    accepts: (value) => findRelease(value) !== undefined,
  },
  {
    name: 'filterAllowAction',
    values: 'Accept|Return',
    default: 'Accept',
    describes: 'what Felix does with allowed packets in filter (Return on the old AKS add-on)',
    accepts: (value) => ['Accept', 'Return'].includes(value),
  },
  {
    name: 'defaultEndpointToHostAction',
    values: 'Accept|Drop|Return',
    default: 'Accept',
    describes: 'pod to its own node, after the egress policy has allowed it (Accept on AKS)',
    accepts: (value) => ['Accept', 'Drop', 'Return'].includes(value),
  },
  {
    name: 'interfacePrefix',
    values: 'auto, or 1 to 4 letters or digits',
    default: 'auto',
    describes: 'first letters of pod interfaces; auto is azv under Azure CNI and cali elsewhere',
    // Felix appends 11 hexadecimal digits, and Linux allows 15 characters (IFNAMSIZ).
    accepts: (value) => /^[A-Za-z0-9]{1,4}$/.test(value),
  },
];

/** Felix's configuration, as far as its chains depend on it. */
export interface FelixConfig {
  readonly release: Release;
  readonly filterAllow: 'accept' | 'return';
  readonly toHost: 'accept' | 'drop' | 'return';
  /** Workload interfaces are those whose name starts so (Felix allows a list; AKS has one). */
  readonly interfacePrefix: string;
}

/** Read the stack's options. Throws one `UserError` with every bad value. */
export function felixConfig(stack: Stack): FelixConfig {
  const problems: Diagnostic[] = [];
  const chosen = new Map(CALICO_OPTIONS.map((spec) => [spec.name, read(stack, spec, problems)]));
  const release = findRelease(chosen.get('version') ?? '');
  if (problems.length > 0 || release === undefined) throw new UserError(problems);
  const prefix = chosen.get('interfacePrefix') ?? 'auto';
  const azureCni = stack.network !== 'kubenet' && stack.network !== 'byo';
  return {
    release,
    filterAllow: chosen.get('filterAllowAction') === 'Return' ? 'return' : 'accept',
    toHost: toHostAction(chosen.get('defaultEndpointToHostAction')),
    interfacePrefix: prefix !== 'auto' ? prefix : azureCni ? 'azv' : 'cali',
  };
}

function toHostAction(value: string | undefined): FelixConfig['toHost'] {
  if (value === 'Drop') return 'drop';
  return value === 'Return' ? 'return' : 'accept';
}

function read(stack: Stack, spec: OptionSpec, problems: Diagnostic[]): string {
  const value = stack.options[spec.name] ?? spec.default;
  if (spec.accepts !== undefined && !spec.accepts(value)) {
    problems.push({
      code: 'STACK_OPTION_VALUE',
      message: `stack option ${spec.name} has a value that is not accepted`,
      found: value,
      accepted: spec.values,
    });
  }
  return value;
}
