/**
 * What a rule asks that a packet answers by itself, taken apart into questions that many rules of a
 * chain share.
 *
 * Parts are taken in the order in which the walk asks them, up to the first whose answer is more
 * than yes or no, has an effect, or is remembered (`limit`, `recent`, sets that change …): what
 * stands behind such a part is never asked early. A packet that misses one of the parts taken
 * misses the rule, and nothing else has happened: of ordinary packets (packet-facts.ts) none of
 * these parts makes the walk drop or give up.
 *
 * Truth is that of the walk itself: every answer comes from `missedHead` or `ask` of
 * node/match/match.ts; only ports are compared here, because one question about a port is shared
 * by rules of several protocols.
 * @module
 */

import type { LinkedRule } from '../../image/program.ts';
import type { CompiledSet } from '../../image/set/ip-set.ts';
import type { HeadNetwork } from '../../netfilter/further-match.ts';
import type { IpMatch, Match, Negatable, PortRange } from '../../netfilter/match.ts';
import type { Packet } from '../../packet/packet.ts';
import { formatPrefix, type Prefix } from '../../wire/address/address.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { ask, missedHead } from '../match/match.ts';
import type { PacketFacts } from './packet-facts.ts';

/** What of a packet an answer depends on; ports are only asked where all the others hold. */
export const FIELDS = ['source', 'destination', 'devices', 'state', 'service'] as const;
export type Field = (typeof FIELDS)[number];

/** Does the packet have what is asked for? `null` when the walk has to find out. */
export type Asks = (ctx: WalkContext, packet: Packet, facts: PacketFacts) => boolean | null;

/** One question, before any `!`. */
export interface Question {
  /** Equal keys ask the same. */
  readonly key: string;
  readonly field: Field;
  readonly asks: Asks;
  /** Only addresses in one of these can answer yes; absent: any may. */
  readonly within?: () => Iterable<Prefix>;
  /** Only these ports can answer yes. */
  readonly ports?: { readonly side: 'sport' | 'dport'; readonly ranges: readonly PortRange[] };
  /** The ports that it looks at. */
  readonly looks: number;
}

export interface Literal {
  readonly question: Question;
  readonly negate: boolean;
}

export const LOOKS_AT_SPORT = 1;
export const LOOKS_AT_DPORT = 2;

export interface Condition {
  readonly literals: readonly Literal[];
  /** The literals are all that the rule asks. */
  readonly isWhole: boolean;
}

/** Take a rule apart. */
export function conditionOf(rule: LinkedRule): Condition {
  const literals: Literal[] = [];
  let isWhole = headLiterals(rule.ip, literals);
  for (let i = 0; i < rule.matches.length; i++) {
    const taken = matchLiterals(rule, i, literals);
    if (taken === 'all') continue;
    isWhole = false;
    break;
  }
  return { literals, isWhole };
}

/** The head's parts have no effects: what is left out keeps no other part from being asked. */
function headLiterals(ip: IpMatch, into: Literal[]): boolean {
  const { source, destination, inInterface, outInterface, protocol } = ip;
  let isWhole = ip.fragment === undefined;
  for (const side of ['source', 'destination'] as const) {
    const want = side === 'source' ? source : destination;
    if (want === undefined) continue;
    // Addresses under masks with holes are looked at exactly: the walk must say so.
    if (want.value.mask === undefined) into.push(addressLiteral(side, want));
    else isWhole = false;
  }
  if (inInterface) into.push(headLiteral(`in ${inInterface.value}`, 'devices', { inInterface }));
  if (outInterface) {
    into.push(headLiteral(`out ${outInterface.value}`, 'devices', { outInterface }));
  }
  if (protocol && protocol.value !== 0) {
    into.push(headLiteral(`protocol ${protocol.value}`, 'service', { protocol }));
  }
  return isWhole;
}

type HeadField = 'source' | 'destination' | 'inInterface' | 'outInterface' | 'protocol';

/** One part of a head, without its `!`. */
function headLiteral(
  key: string,
  field: Field,
  part: Partial<Pick<IpMatch, HeadField>>,
  within?: Question['within'],
): Literal {
  const [name, want] = Object.entries(part)[0] as [HeadField, Negatable<unknown>];
  const plain = { [name]: { value: want.value, negate: false } } as IpMatch;
  const question: Question = {
    ...{ key, field, looks: 0 },
    ...(within === undefined ? {} : { within }),
    asks: (_, packet) => missedHead(plain, packet) === null,
  };
  return { question, negate: want.negate };
}

function addressLiteral(side: 'source' | 'destination', want: Negatable<HeadNetwork>): Literal {
  const { address, length } = want.value;
  const net = { address, length };
  const part = side === 'source' ? { source: want } : { destination: want };
  return headLiteral(`${side} ${formatPrefix(net)}`, side, part, () => [net]);
}

/** `all`: the literals are the whole match; `some`: there is more to it, and nothing may follow. */
function matchLiterals(rule: LinkedRule, index: number, into: Literal[]): 'all' | 'some' {
  const linked = rule.matches[index];
  if (linked === undefined) return 'all';
  const { match, set } = linked;
  const needsProtocol = rule.ip.protocol !== undefined && !rule.ip.protocol.negate;
  switch (match.kind) {
    case 'comment':
    case 'nfacct':
      return 'all';
    case 'tcp':
    case 'udp': {
      if (!needsProtocol) return 'some';
      if (match.sport) into.push(portLiteral('sport', [match.sport.value], match.sport.negate));
      if (match.dport) into.push(portLiteral('dport', [match.dport.value], match.dport.negate));
      const hasMore = match.kind === 'tcp' && (match.flags || match.option);
      return hasMore ? 'some' : 'all';
    }
    case 'multiport': {
      if (!needsProtocol || match.which === 'ports') return 'some';
      const side = match.which === 'sports' ? 'sport' : 'dport';
      into.push(portLiteral(side, match.ports, match.negate));
      return 'all';
    }
    case 'conntrack':
    case 'state': {
      const key = `${match.kind} ${match.states.join()}`;
      into.push(askLiteral(rule, index, { key, field: 'state', looks: 0 }, match.negate));
      return 'all';
    }
    case 'mark': {
      const key = `mark ${match.value}/${match.mask}`;
      into.push(askLiteral(rule, index, { key, field: 'state', looks: 0 }, match.negate));
      return 'all';
    }
    case 'set': {
      if (set === null || set.changes) return 'some';
      into.push(setLiteral(rule, index, match, set));
      return 'all';
    }
    default:
      return 'some';
  }
}

/** A match that the walk's own `ask` answers. */
function askLiteral(
  rule: LinkedRule,
  index: number,
  question: Omit<Question, 'asks'>,
  negate: boolean,
): Literal {
  const place = { rule, index };
  const asks: Asks = (ctx, packet) => {
    const answer = ask(ctx, place, packet);
    if (answer !== 'hit' && answer !== 'miss') return null;
    return (answer === 'hit') !== negate;
  };
  return { question: { ...question, asks }, negate };
}

function setLiteral(
  rule: LinkedRule,
  index: number,
  match: Extract<Match, { kind: 'set' }>,
  set: CompiledSet,
): Literal {
  const looks = match.directions.reduce((bits, direction, at) => {
    if (!set.portDimensions.includes(at)) return bits;
    return bits | (direction === 'src' ? LOOKS_AT_SPORT : LOOKS_AT_DPORT);
  }, 0);
  const [first] = match.directions;
  const isOfAddresses = (set.prefixes?.() ?? null) !== null;
  const key = `set ${match.directions.join()} ${set.name}`;
  if (!isOfAddresses || looks !== 0 || first === undefined) {
    // Several parts of the packet together: asked of each packet, with its ports.
    return askLiteral(rule, index, { key, field: 'service', looks }, match.negate);
  }
  const field = first === 'src' ? 'source' : 'destination';
  const within = () => set.prefixes?.() ?? [];
  return askLiteral(rule, index, { key, field, looks, within }, match.negate);
}

function portLiteral(
  side: 'sport' | 'dport',
  ranges: readonly PortRange[],
  negate: boolean,
): Literal {
  const text = ranges.map(({ low, high }) => `${low}-${high}`).join();
  const question: Question = {
    ...{ key: `${side} ${text}`, field: 'service', ports: { side, ranges } },
    looks: side === 'sport' ? LOOKS_AT_SPORT : LOOKS_AT_DPORT,
    asks: (_ctx, _packet, facts) => {
      const port = facts[side];
      return ranges.some(({ low, high }) => port >= low && port <= high);
    },
  };
  return { question, negate };
}
