/**
 * The matches and actions of Felix's rules, each with the words that its label hashes.
 *
 * Source: felix/iptables/match_builder.go and felix/iptables/actions.go. Marks are written as Go's
 * `%#x` does; a mark of zero is `0` in matches and in the clear action, `0x0` in a masked set.
 * @module
 */
import type { CtState, PortRange } from '../../../netfilter/match.ts';
import { formatPrefix, type Prefix } from '../../../wire/address/address.ts';
import { Protocol } from '../../../wire/protocol.ts';
import type { Action, Fragment } from './felix-rule.ts';

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

export const RETURN: Action = { text: '--jump RETURN', target: { kind: 'return' } };
export const ACCEPT: Action = { text: '--jump ACCEPT', target: { kind: 'accept' } };
export const DROP: Action = { text: '--jump DROP', target: { kind: 'drop' } };

/** `--random-fully` as Felix adds where iptables has it (1.6.2). */
export const MASQUERADE: Action = {
  text: '--jump MASQUERADE --random-fully',
  target: {
    kind: 'masquerade',
    range: { random: false, randomFully: true, persistent: false },
  },
};

export function jump(chain: string): Action {
  return { text: `--jump ${chain}`, target: { kind: 'jump', chain } };
}

export function goTo(chain: string): Action {
  return { text: `--goto ${chain}`, target: { kind: 'goto', chain } };
}

export function setMark(bits: number): Action {
  return setMaskedMark(bits, bits);
}

export function clearMark(bits: number): Action {
  const text = `--jump MARK --set-mark 0/${hex(bits)}`;
  return { text, target: { kind: 'mark', value: 0, mask: bits } };
}

export function setMaskedMark(bits: number, mask: number): Action {
  const text = `--jump MARK --set-mark ${hex(bits)}/${hex(mask)}`;
  return { text, target: { kind: 'mark', value: bits, mask } };
}

/** All of `bits` are off. */
export function markClear(bits: number): Fragment {
  const match = { kind: 'mark', value: 0, mask: bits, negate: false } as const;
  return { text: `-m mark --mark 0/${hex(bits)}`, match };
}

/** At least one of `bits` is on. */
export function markNotClear(bits: number): Fragment {
  const match = { kind: 'mark', value: 0, mask: bits, negate: true } as const;
  return { text: `-m mark ! --mark 0/${hex(bits)}`, match };
}

export function markSet(bit: number): Fragment {
  const match = { kind: 'mark', value: bit, mask: bit, negate: false } as const;
  return { text: `-m mark --mark ${hex(bit)}/${hex(bit)}`, match };
}

export function inInterface(name: string): Fragment {
  return { text: `--in-interface ${name}`, ip: { inInterface: { value: name, negate: false } } };
}

export function outInterface(name: string): Fragment {
  return { text: `--out-interface ${name}`, ip: { outInterface: { value: name, negate: false } } };
}

export function conntrack(...states: CtState[]): Fragment {
  const match = { kind: 'conntrack', states, negate: false } as const;
  return { text: `-m conntrack --ctstate ${states.join(',')}`, match };
}

export function notConntrack(...states: CtState[]): Fragment {
  const match = { kind: 'conntrack', states, negate: true } as const;
  return { text: `-m conntrack ! --ctstate ${states.join(',')}`, match };
}

/** The reverse path check fails: the source is not reached by the interface it came from. */
export const RPF_FAILED: Fragment = {
  text: '-m rpfilter --invert --validmark',
  match: { kind: 'rpfilter', loose: false, validmark: true, acceptLocal: false, invert: true },
};

/** `-p NUMBER`, as Felix writes the protocols of its own rules. */
export function protocolNumber(number: number): Fragment {
  return { text: `-p ${number}`, ip: { protocol: { value: number, negate: false } } };
}

/** `-p tcp`, as Felix writes the protocols of policies. */
export function protocolName(name: 'tcp' | 'udp' | 'sctp'): Fragment {
  return { text: `-p ${name}`, ip: { protocol: { value: Protocol[name], negate: false } } };
}

export function destinationPorts(ports: readonly PortRange[]): Fragment {
  const text = ports.map((p) => (p.low === p.high ? `${p.low}` : `${p.low}:${p.high}`)).join(',');
  return {
    text: `-m multiport --destination-ports ${text}`,
    match: { kind: 'multiport', which: 'dports', ports, negate: false },
  };
}

export function icmp6Type(type: number): Fragment {
  return {
    text: `-m icmp6 --icmpv6-type ${type}`,
    match: {
      kind: 'icmp6',
      type: { value: { type, codes: { low: 0, high: 255 } }, negate: false },
    },
  };
}

/** Which end of the packet a policy rule looks at. */
export type End = 'source' | 'destination';

/** `--source NET`. The kernel keeps no match for a length of zero, so the plan has none either. */
export function net(end: End, prefix: Prefix): Fragment {
  const text = `--${end} ${formatPrefix(prefix)}`;
  return prefix.length === 0 ? { text } : { text, ip: { [end]: { value: prefix, negate: false } } };
}

/** The address is in the set. */
export function inSet(end: End, set: string): Fragment {
  const direction = end === 'source' ? 'src' : 'dst';
  const match = { kind: 'set', set, directions: [direction], negate: false } as const;
  return { text: `-m set --match-set ${set} ${direction}`, match };
}

export function notInSet(end: End, set: string): Fragment {
  const direction = end === 'source' ? 'src' : 'dst';
  const match = { kind: 'set', set, directions: [direction], negate: true } as const;
  return { text: `-m set ! --match-set ${set} ${direction}`, match };
}

/** Address, protocol and destination port are in the set. */
export function inPortSet(set: string): Fragment {
  const match = { kind: 'set', set, directions: ['dst', 'dst'], negate: false } as const;
  return { text: `-m set --match-set ${set} dst,dst`, match };
}
