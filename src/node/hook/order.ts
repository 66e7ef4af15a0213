/**
 * The order in which a hook's parts see a packet, on hosts where more than iptables' own tables
 * hangs there: chains of nft among them, by priority.
 *
 * Connection tracking and defragmentation count as registered before any chain of nft, so that a
 * chain of their own priority sees packets first.
 * @module
 */
import type { HookEntry, NftProgram } from '../../image/nft/program.ts';
import type { Hook } from '../../netfilter/hook.ts';
import type { Family } from '../../wire/address/address.ts';

export type HookPart =
  | HookEntry
  | { readonly kind: 'defrag' | 'track' | 'nat' | 'virtual' | 'confirm' };

/** What hangs on each hook beside rules, and at which priority (`nf_ip_hook_priorities`). */
const FIXED: Readonly<Record<Hook, readonly (readonly [number, HookPart])[]>> = {
  prerouting: [
    [-400, { kind: 'defrag' }],
    [-200, { kind: 'track' }],
    [-100, { kind: 'nat' }],
  ],
  input: [
    [98, { kind: 'virtual' }],
    [100, { kind: 'nat' }],
    [Number.POSITIVE_INFINITY, { kind: 'confirm' }],
  ],
  forward: [[99, { kind: 'virtual' }]],
  output: [
    [-400, { kind: 'defrag' }],
    [-200, { kind: 'track' }],
    [-100, { kind: 'nat' }],
    [-99, { kind: 'virtual' }],
  ],
  postrouting: [
    [100, { kind: 'nat' }],
    [Number.POSITIVE_INFINITY, { kind: 'confirm' }],
  ],
};

/** All parts of a hook, the first to see a packet first. */
export function hookParts(program: NftProgram, family: Family, hook: Hook): readonly HookPart[] {
  const entries = program.entries(family, hook).map((one) => [one.priority, one] as const);
  return [...entries, ...FIXED[hook]].toSorted(([a], [b]) => a - b).map(([, part]) => part);
}
