/**
 * The chains and jumps that kube-proxy (iptables mode) keeps whatever Services there are.
 *
 * Jumps are inserted one by one, so the last ensured is first. Source: kubernetes v1.30.5
 * `pkg/proxy/iptables/proxier.go` (`iptablesJumpChains`, `iptablesKubeletJumpChains`,
 * `syncProxyRules`); v1.32 and later for the nfacct counter.
 * @module
 */

import type { TableName } from '../../netfilter/hook.ts';
import type { Match } from '../../netfilter/match.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import type { Family } from '../../wire/address/address.ts';
import type { ProxySettings } from './config.ts';
import { addFirewall, ensureFirewallJump } from './kubelet.ts';
import { comment, ctstate, jump, NEW } from './parts.ts';

const PORTALS = 'kubernetes service portals';
const EXTERNAL = 'kubernetes externally-visible service portals';
const FIREWALL = 'kubernetes load balancer firewall';

interface JumpChain {
  readonly table: TableName;
  readonly in: string;
  readonly to: string;
  readonly text: string;
  readonly before: readonly Match[];
}

function jumpChain(
  table: TableName,
  place: string,
  to: string,
  text: string,
  ...before: Match[]
): JumpChain {
  return { table, in: place, to, text, before };
}

const JUMPS: readonly JumpChain[] = [
  jumpChain('filter', 'INPUT', 'KUBE-EXTERNAL-SERVICES', EXTERNAL, NEW),
  jumpChain('filter', 'FORWARD', 'KUBE-EXTERNAL-SERVICES', EXTERNAL, NEW),
  jumpChain('filter', 'INPUT', 'KUBE-NODEPORTS', 'kubernetes health check service ports'),
  jumpChain('filter', 'FORWARD', 'KUBE-SERVICES', PORTALS, NEW),
  jumpChain('filter', 'OUTPUT', 'KUBE-SERVICES', PORTALS, NEW),
  jumpChain('filter', 'FORWARD', 'KUBE-FORWARD', 'kubernetes forwarding rules'),
  jumpChain('filter', 'INPUT', 'KUBE-PROXY-FIREWALL', FIREWALL, NEW),
  jumpChain('filter', 'OUTPUT', 'KUBE-PROXY-FIREWALL', FIREWALL, NEW),
  jumpChain('filter', 'FORWARD', 'KUBE-PROXY-FIREWALL', FIREWALL, NEW),
  jumpChain('nat', 'OUTPUT', 'KUBE-SERVICES', PORTALS),
  jumpChain('nat', 'PREROUTING', 'KUBE-SERVICES', PORTALS),
  jumpChain('nat', 'POSTROUTING', 'KUBE-POSTROUTING', 'kubernetes postrouting rules'),
];

/** Chains of each table in the order in which they are written. */
const CHAINS: readonly (readonly [TableName, readonly string[]])[] = [
  [
    'filter',
    [
      'KUBE-SERVICES',
      'KUBE-EXTERNAL-SERVICES',
      'KUBE-FORWARD',
      'KUBE-NODEPORTS',
      'KUBE-PROXY-FIREWALL',
    ],
  ],
  ['nat', ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ']],
];

/** Chains, jumps, masquerade and forwarding rules of a family; `localhost`: node ports there. */
export function addStaticChains(
  builder: PlanBuilder,
  family: Family,
  settings: ProxySettings,
  localhost: boolean,
): void {
  for (const table of ['mangle', 'nat', 'filter'] as const) {
    builder.ensureChain(family, table, 'KUBE-PROXY-CANARY');
  }
  for (const [table, chains] of CHAINS) {
    for (const chain of chains) builder.ensureChain(family, table, chain);
  }
  builder.ensureChain(family, 'filter', 'KUBE-FIREWALL');
  for (const { table, in: place, to, text, before } of JUMPS) {
    builder.insert(family, table, place, jump(to, text, ...before));
  }
  for (const place of ['INPUT', 'OUTPUT']) ensureFirewallJump(builder, family, place);
  if (localhost) addFirewall(builder, family);
  addMasquerade(builder, family, settings);
  builder.append(family, 'filter', 'KUBE-FORWARD', ...forwardRules(settings));
}

/** KUBE-MARK-MASQ, and what KUBE-POSTROUTING does with what it marked. */
export function addMasquerade(builder: PlanBuilder, family: Family, settings: ProxySettings): void {
  const mark = masqueradeMark(settings);
  builder.append(family, 'nat', 'KUBE-MARK-MASQ', {
    target: { kind: 'mark', value: mark, mask: mark },
  });
  builder.append(
    family,
    'nat',
    'KUBE-POSTROUTING',
    { matches: [marked(mark, { negate: true })], target: { kind: 'return' } },
    // `--xor-mark`: clears the bit that the rule above found set.
    { target: { kind: 'mark', value: mark, mask: 0 } },
    {
      matches: [comment('kubernetes service traffic requiring SNAT')],
      target: {
        kind: 'masquerade',
        range: { random: false, randomFully: true, persistent: false },
      },
    },
  );
}

function forwardRules(settings: ProxySettings): readonly RuleParts[] {
  const count: Match = { kind: 'nfacct', name: 'ct_state_invalid_dropped_pkts' };
  const invalid: RuleParts = {
    matches: [ctstate('INVALID'), ...(settings.countsByName ? [count] : [])],
    target: { kind: 'drop' },
  };
  return [
    ...(settings.tcpBeLiberal ? [] : [invalid]),
    {
      matches: [
        comment('kubernetes forwarding rules'),
        marked(masqueradeMark(settings), { negate: false }),
      ],
      target: { kind: 'accept' },
    },
    {
      matches: [comment('kubernetes forwarding conntrack rule'), ctstate('RELATED', 'ESTABLISHED')],
      target: { kind: 'accept' },
    },
  ];
}

/** The mark that asks for masquerade. */
export function masqueradeMark(settings: ProxySettings): number {
  return 2 ** settings.masqueradeBit;
}

function marked(mark: number, options: { readonly negate: boolean }): Match {
  return { kind: 'mark', value: mark, mask: mark, negate: options.negate };
}
