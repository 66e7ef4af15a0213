/**
 * The chains that kubelet keeps on every node, kube-proxy or not.
 *
 * kubelet starts first, so its jump to KUBE-FIREWALL ends below those that kube-proxy inserts, as
 * in every dump of an AKS node. Source: kubernetes v1.30.5
 * `pkg/kubelet/kubelet_network_linux.go` `syncIPTablesRules`.
 * @module
 */
import type { TableName } from '../../netfilter/hook.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import type { Family } from '../../wire/address/address.ts';
import { comment, constant } from './parts.ts';

export const FIREWALL = 'KUBE-FIREWALL';

/** Chains that only exist: kubelet watches for their vanishing, others find the back end. */
const MARKERS: readonly (readonly [TableName, readonly string[]])[] = [
  ['mangle', ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY']],
  ['nat', ['KUBE-KUBELET-CANARY']],
  ['filter', ['KUBE-KUBELET-CANARY']],
];

/** Add kubelet's chains of both families. */
export function renderKubelet(builder: PlanBuilder): void {
  for (const family of [4, 6] as const) {
    for (const [table, chains] of MARKERS) {
      for (const chain of chains) builder.ensureChain(family, table, chain);
    }
  }
  addFirewall(builder, 4);
  for (const chain of ['OUTPUT', 'INPUT']) ensureFirewallJump(builder, 4, chain);
}

/** Insert the jump to KUBE-FIREWALL unless it is there. */
export function ensureFirewallJump(builder: PlanBuilder, family: Family, chain: string): void {
  const { rules } = builder.ensureChain(family, 'filter', chain);
  if (rules.some(({ target }) => target.kind === 'jump' && target.chain === FIREWALL)) return;
  builder.insert(family, 'filter', chain, { target: { kind: 'jump', chain: FIREWALL } });
}

/** CVE-2020-8558: nobody outside reaches 127.0.0.0/8 of the node although route_localnet is on. */
export function addFirewall(builder: PlanBuilder, family: Family): void {
  const { rules } = builder.ensureChain(family, 'filter', FIREWALL);
  if (rules.length === 0) builder.append(family, 'filter', FIREWALL, blockLocalnet());
}

function blockLocalnet(): RuleParts {
  const localnet = constant('127.0.0.0/8');
  return {
    ip: {
      source: { value: localnet, negate: true },
      destination: { value: localnet, negate: false },
    },
    matches: [
      comment('block incoming localnet connections'),
      { kind: 'conntrack', states: ['RELATED', 'ESTABLISHED', 'DNAT'], negate: true },
    ],
    target: { kind: 'drop' },
  };
}
