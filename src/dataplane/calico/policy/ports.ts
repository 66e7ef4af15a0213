/**
 * Lists of ports: merged as the conversion does, and cut into what one multiport match holds.
 *
 * Source: libcalico-go/lib/backend/k8s/conversion/conversion.go `SimplifyPorts`;
 * felix/rules/policy.go `SplitPortList` (XT_MULTI_PORTS is 15, a range takes two).
 * @module
 */
import type { PortRange } from '../../../netfilter/match.ts';

const MULTIPORT_SLOTS = 15;

/** Sorted ranges that cover the same ports, none overlapping or touching another. */
export function simplifyPorts(ports: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of [...ports].sort((a, b) => a.low - b.low || a.high - b.high)) {
    const last = merged.at(-1);
    if (last !== undefined && range.low <= last.high + 1) {
      merged[merged.length - 1] = { low: last.low, high: Math.max(last.high, range.high) };
    } else {
      merged.push(range);
    }
  }
  return merged;
}

/** The ports in their order, in lists that fit one match each; none for an empty list. */
export function splitPorts(ports: readonly PortRange[]): PortRange[][] {
  const splits: PortRange[][] = [];
  let free = 0;
  for (const range of ports) {
    const slots = range.low === range.high ? 1 : 2;
    if (slots > free) {
      splits.push([]);
      free = MULTIPORT_SLOTS;
    }
    splits.at(-1)?.push(range);
    free -= slots;
  }
  return splits;
}
