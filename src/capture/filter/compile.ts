/**
 * An expression tree as one test, for one link type.
 *
 * The order of tests, and which of them come before which loads, is libpcap 1.10.3's (`gencode.c`),
 * because a load behind the captured bytes ends the program. `vlan` moves the offsets of everything
 * written after it, also behind an `or`: that is what libpcap does.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import { EtherType, Protocol } from '../../wire/protocol.ts';
import { LinkType } from '../record.ts';
import { compileRelation } from './arithmetic.ts';
import { filterError } from './error.ts';
import { firstFragment, transportStart } from './ipv4.ts';
import { type LinkState, linkName, linkProtocol, startLink } from './link.ts';
import type { ProtocolWord } from './names.ts';
import type { Direction, Node } from './syntax.ts';
import { and, between, equals, load, loadAt, not, or, type Test, type Value } from './test.ts';

const IPV6_HEADER = 40;
const SLL_OUTGOING = 4;
const RARP = 0x8035;

/** Compile for a link type. Throws a UserError when it can not carry what is asked. */
export function compileFor(tree: Node, linkType: number): Test {
  return compile(tree, startLink(linkType));
}

function compile(node: Node, state: LinkState): Test {
  switch (node.kind) {
    case 'and':
    case 'or': {
      const left = compile(node.left, state);
      const right = compile(node.right, state);
      return node.kind === 'and' ? and(left, right) : or(left, right);
    }
    case 'not':
      return not(compile(node.operand, state));
    case 'address4':
      return address4(node, state);
    case 'address6':
      return address6(node, state);
    case 'mac':
      return mac(node, state);
    case 'ports':
      return or(ports6(node, state), ports4(node, state));
    case 'linkProtocol':
      return linkProtocol(state, node.value, node.at);
    case 'ipProtocol':
      return ipProtocol(state, node.family, node.value, node.at);
    case 'abbreviation':
      return abbreviation(state, node.protocol, node.at);
    case 'broadcast':
      ethernetOnly(state, node.at, 'broadcast');
      return macAt(0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    case 'multicast':
      return multicast(node, state);
    case 'vlan':
      return vlan(node, state);
    case 'inbound':
    case 'outbound':
      return cookedDirection(node, state);
    case 'ifindex':
      return ifindex(node, state);
    case 'relation':
      return compileRelation(node, state, abbreviation);
    default:
      return unreachable(node);
  }
}

/** Combine a test of the source end and one of the destination end. */
function directed(direction: Direction, source: () => Test, destination: () => Test): Test {
  switch (direction) {
    case 'src':
      return source();
    case 'dst':
      return destination();
    case 'or':
      return or(source(), destination());
    case 'and':
      return and(source(), destination());
    default:
      return unreachable(direction);
  }
}

function address4(node: Extract<Node, { kind: 'address4' }>, state: LinkState): Test {
  const within = (etherType: number, source: number, destination: number) => {
    const end = (off: number) => () =>
      and(
        linkProtocol(state, etherType, node.at),
        equals(load(state.payloadOffset + off, 4), node.value, node.mask),
      );
    return directed(node.direction, end(source), end(destination));
  };
  if (node.protocol === 'ip') return within(EtherType.ipv4, 12, 16);
  if (node.protocol === 'arp') return within(EtherType.arp, 14, 24);
  if (node.protocol === 'rarp') return within(RARP, 14, 24);
  return or(
    or(within(EtherType.ipv4, 12, 16), within(EtherType.arp, 14, 24)),
    within(RARP, 14, 24),
  );
}

function address6(node: Extract<Node, { kind: 'address6' }>, state: LinkState): Test {
  const { address, length } = node.prefix;
  const words = [address.w0, address.w1, address.w2, address.w3];
  const end = (off: number) => () =>
    words.reduce<Test>(
      (test, word, i) => {
        const mask = wordMask(length - 32 * i);
        const at = state.payloadOffset + off + 4 * i;
        return and(test, equals(load(at, 4), (word & mask) >>> 0, mask));
      },
      linkProtocol(state, EtherType.ipv6, node.at),
    );
  return directed(node.direction, end(8), end(24));
}

function wordMask(length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? 0xffffffff : (-1 << (32 - length)) >>> 0;
}

function mac(node: Extract<Node, { kind: 'mac' }>, state: LinkState): Test {
  ethernetOnly(state, node.at, 'MAC addresses');
  return directed(
    node.direction,
    () => macAt(6, node.address),
    () => macAt(0, node.address),
  );
}

/** libpcap compares the last four bytes first, which shows in frames that are too short. */
function macAt(off: number, address: readonly number[]): Test {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = address;
  const tail = ((c << 24) | (d << 16) | (e << 8) | f) >>> 0;
  return and(equals(load(off + 2, 4), tail), equals(load(off, 2), (a << 8) | b));
}

function ethernetOnly(state: LinkState, at: number, what: string): void {
  if (state.linkType === LinkType.ethernet) return;
  const name = linkName(state.linkType);
  throw filterError('FILTER_LINK_TYPE', at, `${name} packets have no ${what} to filter by`);
}

type Ports = Extract<Node, { kind: 'ports' }>;

function ports4(node: Ports, state: LinkState): Test {
  const { payloadOffset } = state;
  const start = transportStart(payloadOffset);
  const port = (off: number) => () => between(loadAt(offset(start, off), 2), node.low, node.high);
  const inProtocol = (protocol: number) =>
    and(
      and(equals(load(payloadOffset + 9, 1), protocol), firstFragment(payloadOffset)),
      directed(node.direction, port(0), port(2)),
    );
  return and(linkProtocol(state, EtherType.ipv4, node.at), anyPortProtocol(node, inProtocol));
}

/** Extension headers are not chased: the transport header must follow the IPv6 header. */
function ports6(node: Ports, state: LinkState): Test {
  const { payloadOffset } = state;
  const port = (off: number) => () =>
    between(load(payloadOffset + IPV6_HEADER + off, 2), node.low, node.high);
  const inProtocol = (protocol: number) =>
    and(equals(load(payloadOffset + 6, 1), protocol), directed(node.direction, port(0), port(2)));
  return and(linkProtocol(state, EtherType.ipv6, node.at), anyPortProtocol(node, inProtocol));
}

function offset(start: Value, by: number): Value {
  return (b, wire) => {
    const at = start(b, wire);
    return at < 0 ? -1 : at + by;
  };
}

/** libpcap's order: SCTP first, then TCP, then UDP. */
function anyPortProtocol(node: Ports, inProtocol: (protocol: number) => Test): Test {
  if (node.protocol !== null) return inProtocol(Protocol[node.protocol]);
  const { sctp, tcp, udp } = Protocol;
  return or(inProtocol(sctp), or(inProtocol(tcp), inProtocol(udp)));
}

function ipProtocol(
  state: LinkState,
  family: 'ip' | 'ip6' | null,
  value: number,
  at: number,
): Test {
  if (family === null) {
    return or(ipProtocol(state, 'ip', value, at), ipProtocol(state, 'ip6', value, at));
  }
  const { payloadOffset } = state;
  if (family === 'ip') {
    return and(linkProtocol(state, EtherType.ipv4, at), equals(load(payloadOffset + 9, 1), value));
  }
  const next = (wanted: number) => equals(load(payloadOffset + 6, 1), wanted);
  const behindFragment = and(
    next(Protocol.fragment),
    equals(load(payloadOffset + IPV6_HEADER, 1), value),
  );
  return and(linkProtocol(state, EtherType.ipv6, at), or(next(value), behindFragment));
}

/** Words that stand for an IP protocol, with the family they are looked for in. */
const IP_WORDS: ReadonlyMap<ProtocolWord, readonly [number, 'ip' | 'ip6' | null]> = new Map([
  ['tcp', [Protocol.tcp, null]],
  ['udp', [Protocol.udp, null]],
  ['sctp', [Protocol.sctp, null]],
  ['ah', [Protocol.ah, null]],
  ['esp', [Protocol.esp, null]],
  ['pim', [103, null]],
  ['icmp', [Protocol.icmp, 'ip']],
  ['igmp', [Protocol.igmp, 'ip']],
  ['igrp', [9, 'ip']],
  ['vrrp', [112, 'ip']],
  ['carp', [112, 'ip']],
  ['icmp6', [Protocol.icmpv6, 'ip6']],
]);

/** Words that stand for an Ethernet type or an 802.2 service access point. */
const LINK_WORDS: ReadonlyMap<ProtocolWord, number> = new Map([
  ['ip', EtherType.ipv4],
  ['ip6', EtherType.ipv6],
  ['arp', EtherType.arp],
  ['rarp', RARP],
  ['mopdl', 0x6001],
  ['moprc', 0x6002],
  ['decnet', 0x6003],
  ['lat', 0x6004],
  ['sca', 0x6007],
  ['iso', 0xfe],
  ['stp', 0x42],
  ['netbeui', 0xf0],
]);

/** A protocol's word on its own: is the packet one? */
function abbreviation(state: LinkState, word: ProtocolWord, at: number): Test {
  const ip = IP_WORDS.get(word);
  if (ip !== undefined) return ipProtocol(state, ip[1], ip[0], at);
  const link = LINK_WORDS.get(word);
  if (link !== undefined) return linkProtocol(state, link, at);
  throw filterError('FILTER_SYNTAX', at, `'${word}' does not stand alone`);
}

function multicast(node: Extract<Node, { kind: 'multicast' }>, state: LinkState): Test {
  switch (node.family) {
    case 'ip':
      return and(
        linkProtocol(state, EtherType.ipv4, node.at),
        between(load(state.payloadOffset + 16, 1), 224, 255),
      );
    case 'ip6':
      return and(
        linkProtocol(state, EtherType.ipv6, node.at),
        equals(load(state.payloadOffset + 24, 1), 255),
      );
    case 'ether':
      ethernetOnly(state, node.at, 'multicast');
      return equals(load(0, 1), 1, 1);
    default:
      return unreachable(node.family);
  }
}

/** Test for a tag, then look behind it for the rest of the expression. */
function vlan(node: Extract<Node, { kind: 'vlan' }>, state: LinkState): Test {
  ethernetOnly(state, node.at, 'VLAN tags');
  const tagged = or(
    or(linkProtocol(state, EtherType.vlan, node.at), linkProtocol(state, EtherType.qinq, node.at)),
    linkProtocol(state, EtherType.qinqOld, node.at),
  );
  const id = load(state.payloadOffset, 2);
  state.payloadOffset += 4;
  state.typeOffset += 4;
  return node.id === null ? tagged : and(tagged, equals(id, node.id, 0x0fff));
}

function cookedDirection(
  node: Extract<Node, { kind: 'inbound' | 'outbound' }>,
  state: LinkState,
): Test {
  const outgoing =
    state.linkType === LinkType.linuxSll
      ? equals(load(0, 2), SLL_OUTGOING)
      : state.linkType === LinkType.linuxSll2
        ? equals(load(10, 1), SLL_OUTGOING)
        : null;
  if (outgoing === null) {
    const name = linkName(state.linkType);
    throw filterError('FILTER_LINK_TYPE', node.at, `${name} packets do not say their direction`, {
      found: node.kind,
    });
  }
  return node.kind === 'outbound' ? outgoing : not(outgoing);
}

function ifindex(node: Extract<Node, { kind: 'ifindex' }>, state: LinkState): Test {
  if (state.linkType === LinkType.linuxSll2) return equals(load(4, 4), node.value);
  const name = linkName(state.linkType);
  throw filterError('FILTER_LINK_TYPE', node.at, `${name} packets do not say their interface`);
}
