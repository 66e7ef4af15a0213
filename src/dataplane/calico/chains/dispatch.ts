/**
 * The dispatch trees: from an interface to the chain of its endpoint.
 *
 * Interfaces are binned by the first character after what all of them share; a bin with more than
 * one has a chain of its own. A packet whose interface is not there is dropped ('Unknown
 * interface'): a pod that Felix has not programmed yet is cut off both ways.
 * Source: felix/rules/dispatch.go `interfaceNameDispatchChains`.
 * @module
 */

import { chainName } from '../names.ts';
import type { FelixChain, FelixRule, Fragment } from './felix-rule.ts';
import { DROP, goTo, inInterface, outInterface } from './fragment.ts';

export const FROM_WORKLOAD = 'cali-from-wl-dispatch';
export const TO_WORKLOAD = 'cali-to-wl-dispatch';

export function fromEndpointChain(device: string): string {
  return chainName('cali-fw-', device);
}

export function toEndpointChain(device: string): string {
  return chainName('cali-tw-', device);
}

/** Both trees for the node's workload interfaces. */
export function dispatchChains(devices: readonly string[]): FelixChain[] {
  return [
    ...dispatchTree(FROM_WORKLOAD, devices, inInterface, fromEndpointChain),
    ...dispatchTree(TO_WORKLOAD, devices, outInterface, toEndpointChain),
  ];
}

function dispatchTree(
  root: string,
  devices: readonly string[],
  match: (device: string) => Fragment,
  leaf: (device: string) => string,
): FelixChain[] {
  const names = [...new Set(devices)].sort();
  const common = commonPrefix(names);
  const bins = new Map<string, string[]>();
  for (const name of names) {
    const prefix = name.slice(0, common.length + 1);
    bins.set(prefix, [...(bins.get(prefix) ?? []), name]);
  }
  const end: FelixRule = { comments: ['Unknown interface'], action: DROP };
  const toLeaf = (name: string): FelixRule => ({
    matches: [match(name)],
    action: goTo(leaf(name)),
  });
  const children: FelixChain[] = [];
  const rootRules: FelixRule[] = [];
  for (const [prefix, members] of bins) {
    const [first = prefix] = members;
    if (members.length === 1) {
      rootRules.push(toLeaf(first));
      continue;
    }
    const name = `${root}-${prefix.slice(common.length)}`;
    rootRules.push({ matches: [match(`${prefix}+`)], action: goTo(name) });
    children.push({ name, rules: [...members.map(toLeaf), end] });
  }
  return [...children, { name: root, rules: [...rootRules, end] }];
}

function commonPrefix(sorted: readonly string[]): string {
  const first = sorted[0] ?? '';
  const last = sorted.at(-1) ?? '';
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return first.slice(0, length);
}
