/**
 * Parts of rules that kube-proxy writes again and again.
 * @module
 */
import { assert } from '../../diagnostic/diagnostic.ts';
import type { CtState, IpMatch, Match } from '../../netfilter/match.ts';
import type { RuleParts } from '../../plan/builder.ts';
import { type Address, hostPrefix, type Prefix, parsePrefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';

const PROTOCOLS = {
  TCP: { number: Protocol.tcp, kind: 'tcp' },
  UDP: { number: Protocol.udp, kind: 'udp' },
  SCTP: { number: Protocol.sctp, kind: 'sctp' },
} as const;

export type ProtocolName = keyof typeof PROTOCOLS;

/** The number of a Service port's protocol. */
export function protocolNumber(protocol: ProtocolName): number {
  return PROTOCOLS[protocol].number;
}

export const NEW: Match = ctstate('NEW');

export function comment(text: string): Match {
  return { kind: 'comment', text };
}

export function ctstate(...states: CtState[]): Match {
  return { kind: 'conntrack', states, negate: false };
}

export function jump(chain: string, text: string, ...before: Match[]): RuleParts {
  return { matches: [...before, comment(text)], target: { kind: 'jump', chain } };
}

/** `-p PROTOCOL` and what `ip` says. */
export function protocolHead(protocol: ProtocolName, ip: IpMatch = {}): IpMatch {
  return { ...ip, protocol: { value: PROTOCOLS[protocol].number, negate: false } };
}

/** `-m PROTOCOL [--dport N]`. */
export function protocolMatch(protocol: ProtocolName, dport?: number): Match {
  const { kind } = PROTOCOLS[protocol];
  if (dport === undefined) return { kind };
  return { kind, dport: { value: { low: dport, high: dport }, negate: false } };
}

export function from(prefix: Prefix, negate = false): IpMatch {
  return { source: { value: prefix, negate } };
}

export function to(address: Address): IpMatch {
  return { destination: { value: hostPrefix(address), negate: false } };
}

export function toRange(prefix: Prefix, negate = false): IpMatch {
  return { destination: { value: prefix, negate } };
}

/** `-m addrtype --src-type LOCAL` or `--dst-type LOCAL`. */
export function localAddress(side: 'source' | 'destination'): Match {
  return {
    kind: 'addrtype',
    [side]: { value: ['LOCAL'], negate: false },
    limitIfaceIn: false,
    limitIfaceOut: false,
  };
}

/** A range that is written in this program. */
export function constant(text: string): Prefix {
  const prefix = parsePrefix(text);
  assert(prefix !== null, `${text} is a prefix`);
  return prefix;
}
