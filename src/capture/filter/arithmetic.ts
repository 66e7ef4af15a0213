/**
 * Comparisons of arithmetic over packet bytes: `tcp[tcpflags] & tcp-syn != 0`.
 *
 * A byte access first checks that the packet has the protocol; transport headers are found in IPv4
 * first fragments only, `icmp6` right behind the IPv6 header. Source: libpcap 1.10.3 `gencode.c`,
 * gen_load_internal, gen_arth, gen_relation. As there, of an operator's two sides only the left
 * one's protocol is checked: `0 + tcp[0] = 0` reads any IPv4 packet as if it were TCP.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import { EtherType, Protocol } from '../../wire/protocol.ts';
import { filterError } from './error.ts';
import { firstFragment, transportStart } from './ipv4.ts';
import { type LinkState, linkProtocol } from './link.ts';
import type { ProtocolWord } from './names.ts';
import type { Arithmetic, BinaryOperator, Node, Relation } from './syntax.ts';
import {
  and,
  equals,
  load,
  loadAt,
  NO,
  OUT_OF_BOUNDS,
  type Test,
  type Value,
  YES,
} from './test.ts';

/** A value and what must hold before it is computed. */
interface Term {
  readonly value: Value;
  readonly check: Test | null;
}

type Abbreviation = (state: LinkState, word: ProtocolWord, at: number) => Test;

const IPV6_HEADER = 40;
const NETWORK: ReadonlySet<ProtocolWord> = new Set([
  ...(['ip', 'ip6', 'arp', 'rarp', 'decnet', 'lat', 'sca', 'moprc', 'mopdl'] as const),
]);
const TRANSPORT: ReadonlySet<ProtocolWord> = new Set([
  ...(['tcp', 'udp', 'sctp', 'icmp', 'igmp', 'igrp', 'pim', 'vrrp', 'carp'] as const),
]);

export function compileRelation(
  node: Extract<Node, { kind: 'relation' }>,
  state: LinkState,
  abbreviation: Abbreviation,
): Test {
  const left = term(node.left, state, abbreviation);
  const right = term(node.right, state, abbreviation);
  const compared = compare(node.relation, left.value, right.value);
  const check = both(left.check, right.check);
  return check === null ? compared : and(check, compared);
}

function both(first: Test | null, second: Test | null): Test | null {
  if (first === null) return second;
  return second === null ? first : and(first, second);
}

function compare(relation: Relation, left: Value, right: Value): Test {
  const holds = RELATIONS[relation];
  return (b, wire) => {
    const x = left(b, wire);
    const y = right(b, wire);
    if (x < 0 || y < 0) return OUT_OF_BOUNDS;
    return holds(x, y) ? YES : NO;
  };
}

const RELATIONS: Readonly<Record<Relation, (x: number, y: number) => boolean>> = {
  '>': (x, y) => x > y,
  '>=': (x, y) => x >= y,
  '=': (x, y) => x === y,
  '<=': (x, y) => x <= y,
  '<': (x, y) => x < y,
  '!=': (x, y) => x !== y,
};

function term(node: Arithmetic, state: LinkState, abbreviation: Abbreviation): Term {
  switch (node.kind) {
    case 'number': {
      const { value } = node;
      return { value: () => value, check: null };
    }
    case 'length':
      return { value: (_b, wire) => wire, check: null };
    case 'negate': {
      const { value, check } = term(node.operand, state, abbreviation);
      return { value: calculate('-', () => 0, value), check };
    }
    case 'binary': {
      const left = term(node.left, state, abbreviation);
      const right = term(node.right, state, abbreviation);
      return { value: calculate(node.operator, left.value, right.value), check: left.check };
    }
    case 'load':
      return loadTerm(node, state, abbreviation);
    default:
      return unreachable(node);
  }
}

/** Division by zero ends the program like a load behind the end. */
function calculate(operator: BinaryOperator, left: Value, right: Value): Value {
  const operate = OPERATORS[operator];
  return (b, wire) => {
    const x = left(b, wire);
    const y = right(b, wire);
    return x < 0 || y < 0 ? -1 : operate(x, y);
  };
}

const OPERATORS: Readonly<Record<BinaryOperator, (x: number, y: number) => number>> = {
  '+': (x, y) => (x + y) >>> 0,
  '-': (x, y) => (x - y) >>> 0,
  '*': (x, y) => Math.imul(x, y) >>> 0,
  '/': (x, y) => (y === 0 ? -1 : Math.floor(x / y)),
  '%': (x, y) => (y === 0 ? -1 : x % y),
  '&': (x, y) => (x & y) >>> 0,
  '|': (x, y) => (x | y) >>> 0,
  '^': (x, y) => (x ^ y) >>> 0,
  '<<': (x, y) => (y > 31 ? 0 : (x << y) >>> 0),
  '>>': (x, y) => (y > 31 ? 0 : x >>> y),
};

function loadTerm(
  node: Extract<Arithmetic, { kind: 'load' }>,
  state: LinkState,
  abbreviation: Abbreviation,
): Term {
  const { protocol, size, at } = node;
  const index = term(node.index, state, abbreviation);
  const { payloadOffset } = state;
  if (protocol === 'ether') return { value: loadAt(index.value, size), check: index.check };
  if (NETWORK.has(protocol)) {
    return {
      value: loadAt(
        calculate('+', index.value, () => payloadOffset),
        size,
      ),
      check: both(index.check, abbreviation(state, protocol, at)),
    };
  }
  if (TRANSPORT.has(protocol)) {
    const ip = linkProtocol(state, EtherType.ipv4, at);
    const known = and(abbreviation(state, protocol, at), firstFragment(payloadOffset));
    const start = transportStart(payloadOffset);
    return {
      value: loadAt(calculate('+', index.value, start), size),
      check: and(both(ip, index.check) ?? ip, known),
    };
  }
  if (protocol === 'icmp6') {
    const isIcmp6 = equals(load(payloadOffset + 6, 1), Protocol.icmpv6);
    const ip6 = linkProtocol(state, EtherType.ipv6, at);
    return {
      value: loadAt(
        calculate('+', index.value, () => payloadOffset + IPV6_HEADER),
        size,
      ),
      check: and(both(index.check, ip6) ?? ip6, isIcmp6),
    };
  }
  throw filterError('FILTER_UNSUPPORTED', at, `'${protocol}[…]' is not supported`, {
    accepted: 'ether, ip, ip6, arp, rarp, tcp, udp, sctp, icmp, icmp6, igmp',
  });
}
