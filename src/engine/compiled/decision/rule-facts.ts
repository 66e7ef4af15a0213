/**
 * What a rule looks at in a packet, beside what every key of the decision table holds anyway.
 *
 * A key holds the classes of both addresses, protocol, traffic class, ICMP type (by direction: only
 * echo takes the fast path), where the packet enters (so its devices, bridge ports and MACs), and
 * its connection's state, translation and mark on every host. Every address and port that a rule
 * here is said to compare is a constant that lowering/cuts/rule-cuts.ts has cut, or is said to be
 * compared exactly. Whatever else a rule asks makes the packet's path one that can not be
 * remembered: what went before (`limit`, `recent` …), bytes, lengths, draws, the clock.
 * @module
 */
import type { LinkedMatch, LinkedRule } from '../../../image/program.ts';
import type { Match } from '../../../netfilter/match.ts';
import type { NatRange } from '../../../netfilter/target.ts';
import { equalAddress } from '../../../wire/address/address.ts';
import { By } from '../layout.ts';

/** Not to be told from facts: packets that meet this rule always go to the reference engine. */
export const OPAQUE = 128;
/**
 * Not to be told from facts alone, but from these, the draws of a new connection, and that nobody
 * has the names that it is given (special-openings.ts).
 */
export const SPECIAL = 256;

/** `By` bits that looking at the rule depends on, or `OPAQUE`. */
export function looksAt({ ip, matches }: LinkedRule): number {
  const head =
    (ip.source?.value.mask === undefined ? 0 : By.source) |
    (ip.destination?.value.mask === undefined ? 0 : By.destination);
  return matches.reduce((bits, linked) => bits | matchLooksAt(linked), head);
}

function matchLooksAt({ match, set }: LinkedMatch): number {
  switch (match.kind) {
    case 'tcp':
      if (match.option !== undefined) return OPAQUE;
      return (match.flags ? By.flags : 0) | ports(match.sport, match.dport);
    case 'udp':
      return ports(match.sport, match.dport);
    case 'multiport':
      if (match.which === 'sports') return By.sport;
      return match.which === 'dports' ? By.dport : By.sport | By.dport;
    case 'set': {
      if (set === null) return 0;
      if (set.changes) return OPAQUE;
      return match.directions.reduce((bits, direction, at) => {
        if (!set.portDimensions.includes(at)) return bits;
        return bits | (direction === 'src' ? By.sport : By.dport);
      }, 0);
    }
    case 'conntrackDetail':
      return connectionLooksAt(match);
    case 'icmp':
    case 'icmp6':
    case 'connmark':
    case 'conntrack':
    case 'state':
    case 'mark':
    case 'mac':
    case 'physdev':
    case 'addrtype':
    case 'rpfilter':
    case 'pkttype':
    case 'iprange':
    case 'dscp':
    case 'tos':
    case 'helper':
    case 'policy':
    case 'nfacct':
    case 'comment':
      return 0;
    case 'random':
      // In the nat table; a host says itself that it was asked elsewhere.
      return SPECIAL;
    default:
      return OPAQUE;
  }
}

/**
 * What xt_conntrack asks beside the state. The direction is part of that; the connection's own
 * addresses and ports are those of the packet, either way round.
 */
function connectionLooksAt(match: Extract<Match, { kind: 'conntrackDetail' }>): number {
  if (match.status !== undefined || match.expires !== undefined) return OPAQUE;
  const { originalSource, originalDestination, replySource, replyDestination } = match;
  const nets = [originalSource, originalDestination, replySource, replyDestination];
  const { originalSourcePort, originalDestinationPort } = match;
  const { replySourcePort, replyDestinationPort } = match;
  const ranges = [
    ...[originalSourcePort, originalDestinationPort],
    ...[replySourcePort, replyDestinationPort],
  ];
  const isAsked = (values: readonly unknown[]) => values.some((value) => value !== undefined);
  return (
    (isAsked(nets) ? By.source | By.destination : 0) |
    (isAsked(ranges) ? By.sourcePort | By.destinationPort : 0)
  );
}

function ports(sport: unknown, dport: unknown): number {
  return (sport === undefined ? 0 : By.sport) | (dport === undefined ? 0 : By.dport);
}

/** What is to be known beside the facts where a rule holds: `SPECIAL`, or nothing. */
export function actsOn({ target }: LinkedRule): number {
  return target.kind === 'dnat' ? SPECIAL : 0;
}

/** Whether the range is one address and one port: whoever is sent there gets the same. */
function isOneEnd({ low, high, ports, random, randomFully }: NatRange): boolean {
  if (low === undefined || random || randomFully) return false;
  const isOneAddress = high === undefined || equalAddress(low, high);
  return isOneAddress && ports !== undefined && ports.low === ports.high;
}

/** What a rule that holds does: how far it raises the TTL, or `null` when that can not be kept. */
export function raisesTtl({ target }: LinkedRule): number | null {
  switch (target.kind) {
    case 'connmark':
      return target.operation === 'restore' ? 0 : null;
    case 'ttl':
      return target.operation === 'inc' ? target.value : null;
    case 'dnat':
      return isOneEnd(target.range) ? 0 : null;
    case 'none':
    case 'accept':
    case 'drop':
    case 'return':
    case 'jump':
    case 'goto':
    case 'mark':
    case 'log':
    case 'nflog':
    case 'trace':
    case 'audit':
    case 'classify':
    case 'tos':
    case 'dscp':
    case 'checksum':
    case 'notrack':
      return 0;
    default:
      return null;
  }
}
