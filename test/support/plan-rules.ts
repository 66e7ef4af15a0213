/**
 * fast-check arbitraries of iptables rules in the form in which the tools print them back: host
 * bits cleared, lists in the vocabulary's order, nothing that says nothing.
 * @module
 */
import fc from 'fast-check';
import {
  ADDRESS_TYPES,
  CT_STATES,
  CT_STATUSES,
  HASHLIMIT_MODES,
  type IpMatch,
  type Match,
  type Negatable,
  PACKET_TYPES,
} from '../../src/netfilter/match.ts';
import type { Rule } from '../../src/netfilter/rule.ts';
import { bits, compareAddress, type Family, ipv4, ipv6 } from '../../src/wire/address/address.ts';
import { chunkTypes, dccpTypes, furtherMatches } from './plan-further.ts';
import { targetFor } from './plan-targets.ts';
import {
  addressOf,
  byte,
  interfaceName,
  negatable,
  networkOf,
  port,
  ports,
  type RuleScope,
  rangeOf,
  setReference,
  some,
  text,
  u32,
} from './plan-values.ts';

/** A record whose fields may all be absent, with at least one. */
function anyOf<T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) {
  return fc.record(model, { requiredKeys: [] }).filter((made) => Object.keys(made).length > 0);
}

const optionalPorts = fc.record(
  { sport: negatable(ports), dport: negatable(ports) },
  { requiredKeys: [] },
);

const flags = fc.record({ mask: fc.integer({ min: 1, max: 0x3f }), set: fc.nat(0x3f) });

/** Matches that belong to one protocol. */
function protocolMatch(protocol: number): fc.Arbitrary<Match> {
  const list = fc.array(
    port.map((one) => ({ low: one, high: one })),
    { minLength: 1, maxLength: 15 },
  );
  const multiport: fc.Arbitrary<Match> = fc.record({
    kind: fc.constant('multiport' as const),
    which: fc.constantFrom('sports' as const, 'dports' as const, 'ports' as const),
    ports: fc.oneof(
      list,
      rangeOf(port).map((one) => [one]),
    ),
    negate: fc.boolean(),
  });
  const codes = fc.oneof(
    fc.constant({ low: 0, high: 255 }),
    byte.map((c) => ({ low: c, high: c })),
  );
  const type = negatable(fc.record({ type: fc.nat(254), codes }));
  switch (protocol) {
    case 6: {
      const rest = fc.record(
        { flags: negatable(flags), option: negatable(fc.integer({ min: 1, max: 255 })) },
        { requiredKeys: [] },
      );
      const tcp = fc
        .tuple(optionalPorts, rest)
        .map(([p, r]): Match => ({ kind: 'tcp', ...p, ...r }));
      return fc.oneof(tcp, tcp, multiport);
    }
    case 17:
      return fc.oneof(
        optionalPorts.map((p): Match => ({ kind: 'udp', ...p })),
        multiport,
      );
    case 132:
      return fc.oneof(
        optionalPorts.map((p): Match => ({ kind: 'sctp', ...p })),
        fc
          .tuple(optionalPorts, negatable(chunkTypes))
          .map(([p, chunks]): Match => ({ kind: 'sctp', ...p, chunks })),
        multiport,
      );
    case 33:
      return fc.oneof(
        optionalPorts.map((p): Match => ({ kind: 'dccp', ...p })),
        fc
          .tuple(negatable(dccpTypes), negatable(fc.integer({ min: 1, max: 255 })))
          .map(([types, option]): Match => ({ kind: 'dccp', types, option })),
        multiport,
      );
    case 1:
      return type.map((t): Match => ({ kind: 'icmp', type: t }));
    default:
      return type.map((t): Match => ({ kind: 'icmp6', type: t }));
  }
}

const states = CT_STATES.filter((s) => s !== 'SNAT' && s !== 'DNAT');

/** Matches of the packet's connection, mark and way. */
function contextMatches(scope: RuleScope): fc.Arbitrary<Match>[] {
  const { family, table } = scope;
  const name = negatable(interfaceName);
  const flag = negatable(fc.constant(true as const));
  const physdev = anyOf<{
    physIn: Negatable<string>;
    isIn: Negatable<true>;
    physOut: Negatable<string>;
    isOut: Negatable<true>;
    isBridged: Negatable<true>;
  }>({ physIn: name, isIn: flag, physOut: name, isOut: flag, isBridged: flag });
  const notOf6 = ['BROADCAST', 'BLACKHOLE', 'PROHIBIT'];
  const types = negatable(
    some(ADDRESS_TYPES.filter((type) => family === 4 || !notOf6.includes(type))),
  );
  const limits = fc.constantFrom([false, false], [true, false], [false, true]);
  const mark = fc.record({ value: u32, mask: u32, negate: fc.boolean() });
  const rpfilter: fc.Arbitrary<Match> = fc.record({
    kind: fc.constant('rpfilter' as const),
    loose: fc.boolean(),
    validmark: fc.boolean(),
    acceptLocal: fc.boolean(),
    invert: fc.boolean(),
  });
  return [
    negatable(some(CT_STATES)).map(({ value, negate }) => ({
      kind: 'conntrack',
      states: value,
      negate,
    })),
    negatable(some(states)).map(({ value, negate }) => ({ kind: 'state', states: value, negate })),
    mark.map((m) => ({ kind: 'mark', ...m })),
    mark.map((m) => ({ kind: 'connmark', ...m })),
    fc
      .tuple(setReference(scope), fc.boolean())
      .map(([s, negate]) => ({ kind: 'set', ...s, negate })),
    physdev.map((p) => ({ kind: 'physdev', ...p })),
    fc
      .tuple(fc.tuple(types, fc.option(types)), limits, fc.boolean())
      .map(([[one, other], [limitIfaceIn = false, limitIfaceOut = false], swap]) => ({
        kind: 'addrtype',
        ...(swap ? { destination: one } : { source: one }),
        ...(other && (swap ? { source: other } : { destination: other })),
        limitIfaceIn,
        limitIfaceOut,
      })),
    ...(table === 'raw' || table === 'mangle' ? [rpfilter] : []),
    text(250)
      .filter((t) => new TextEncoder().encode(t).length <= 255)
      .map((t) => ({ kind: 'comment', text: t })),
    conntrackDetail(family),
  ];
}

function conntrackDetail(family: Family): fc.Arbitrary<Match> {
  const net = negatable(networkOf(family));
  const one = negatable(ports);
  const status = CT_STATUSES.filter((s) => s !== 'NONE');
  type Detail = Extract<Match, { kind: 'conntrackDetail' }>;
  const details = fc.record(
    {
      states: negatable(some(CT_STATES)),
      protocol: negatable(fc.integer({ min: 1, max: 255 })),
      originalSource: net,
      originalDestination: net,
      replySource: net,
      replyDestination: net,
      originalSourcePort: one,
      originalDestinationPort: one,
      replySourcePort: one,
      replyDestinationPort: one,
      status: negatable(some(status)),
      expires: negatable(rangeOf(fc.nat(100_000))),
      direction: fc.constantFrom('ORIGINAL' as const, 'REPLY' as const),
    },
    { requiredKeys: [] },
  );
  return details
    .filter((d) => Object.keys(d).some((key) => key !== 'states'))
    .map((d): Detail => ({ kind: 'conntrackDetail', ...d }));
}

/** Matches of rates, counts and chance. */
function meterMatches({ family, loadable }: RuleScope): fc.Arbitrary<Match>[] {
  const full = family === 4 ? ipv4(~0) : ipv6(~0, ~0, ~0, ~0);
  const side = fc.constantFrom('source' as const, 'destination' as const);
  const length = fc.nat(bits(family)).map((n) => (n === bits(family) ? 128 : n));
  // Longer units overflow the credits of the buckets, which the kernel refuses (ERANGE).
  const units = (scale: number) => fc.constantFrom(...(scale > 10_000 ? [1, 60] : [1, 60, 3600]));
  const rate = (scale: number) =>
    fc
      .tuple(fc.integer({ min: 1, max: 10 }), units(scale))
      .map(([n, s]) => Math.floor((s * scale) / n));
  const name = fc.nat(99).map((n) => `list${n}`);
  const nfacct: fc.Arbitrary<Match> = name.map((n) => ({ kind: 'nfacct', name: n }));
  return [
    fc.record({
      kind: fc.constant('limit' as const),
      interval: rate(10_000),
      burst: fc.integer({ min: 1, max: 100 }),
    }),
    fc.record({
      kind: fc.constant('random' as const),
      threshold: fc.nat(2 ** 31),
      negate: fc.boolean(),
    }),
    fc
      .tuple(fc.integer({ min: 1, max: 99 }), fc.nat(98), fc.boolean())
      .map(([every, packet, negate]) => ({ kind: 'nth', every, packet: packet % every, negate })),
    fc
      .record({
        operation: fc.constantFrom('rcheck' as const, 'update' as const),
        negate: fc.boolean(),
        seconds: fc.integer({ min: 1, max: 999 }),
        reap: fc.boolean(),
        hitcount: fc.nat(20),
        ttl: fc.boolean(),
        list: name,
        side,
      })
      .map((r) => ({ kind: 'recent', ...r, mask: full })),
    fc
      .record({ operation: fc.constantFrom('set' as const, 'remove' as const), list: name, side })
      .map((r) => ({
        kind: 'recent',
        ...r,
        mask: full,
        negate: false,
        seconds: 0,
        reap: false,
        hitcount: 0,
        ttl: false,
      })),
    fc.record({
      kind: fc.constant('connlimit' as const),
      above: fc.boolean(),
      limit: fc.nat(1000),
      maskLength: fc.nat(bits(family)),
      side,
    }),
    fc.record(
      {
        kind: fc.constant('hashlimit' as const),
        above: fc.boolean(),
        interval: rate(1_000_000),
        burst: fc.integer({ min: 1, max: 100 }),
        modes: fc.subarray([...HASHLIMIT_MODES]),
        name,
        sourceLength: length,
        destinationLength: length,
        expire: fc.integer({ min: 1000, max: 9000 }),
      },
      {
        requiredKeys: [
          'kind',
          'above',
          'interval',
          'burst',
          'modes',
          'name',
          'sourceLength',
          'destinationLength',
        ],
      },
    ),
    ...(loadable ? [] : [nfacct]),
  ];
}

/** Matches of single fields. */
function fieldMatches({ family }: RuleScope): fc.Arbitrary<Match>[] {
  const ids = negatable(rangeOf(fc.nat(2000)));
  const owner = anyOf<{
    socketExists: Negatable<true>;
    uid: Negatable<{ low: number; high: number }>;
    gid: Negatable<{ low: number; high: number }>;
  }>({ socketExists: negatable(fc.constant(true as const)), uid: ids, gid: ids });
  const addressRange = fc
    .tuple(addressOf(family), addressOf(family))
    .map(([a, b]) => (compareAddress(a, b) <= 0 ? { low: a, high: b } : { low: b, high: a }));
  const iprange = anyOf<{
    source: Negatable<typeof addressRange extends fc.Arbitrary<infer R> ? R : never>;
    destination: Negatable<typeof addressRange extends fc.Arbitrary<infer R> ? R : never>;
  }>({ source: negatable(addressRange), destination: negatable(addressRange) });
  const hops = fc
    .tuple(fc.constantFrom('eq' as const, 'lt' as const, 'gt' as const), byte, fc.boolean())
    .map(([comparison, value, not]): Match => {
      const kind = family === 4 ? 'ttl' : 'hl';
      return { kind, comparison, value, negate: comparison === 'eq' && not };
    });
  const mac = fc.array(byte, { minLength: 6, maxLength: 6 }).map((bytes) => {
    return bytes.map((b) => b.toString(16).padStart(2, '0')).join(':');
  });
  return [
    owner.map((o) => ({ kind: 'owner', ...o })),
    negatable(rangeOf(port)).map(({ value, negate }) => ({ kind: 'length', range: value, negate })),
    hops,
    negatable(mac).map(({ value, negate }) => ({ kind: 'mac', address: value, negate })),
    negatable(fc.constantFrom(...PACKET_TYPES)).map(({ value, negate }) => ({
      kind: 'pkttype',
      type: value,
      negate,
    })),
    iprange.map((r) => ({ kind: 'iprange', ...r })),
    negatable(fc.nat(63)).map((d) => ({ kind: 'dscp', ...d })),
    fc
      .record({ value: byte, mask: byte, negate: fc.boolean() })
      .map((t) => ({ kind: 'tos', ...t })),
    negatable(fc.constantFrom('ftp', 'sip', 'amanda')).map(({ value, negate }) => ({
      kind: 'helper',
      name: value,
      negate,
    })),
  ];
}

function headOf(family: Family, protocol: number | undefined): fc.Arbitrary<IpMatch> {
  const net = negatable(networkOf(family));
  const name = negatable(interfaceName);
  return fc
    .record(
      { source: net, destination: net, inInterface: name, outInterface: name },
      { requiredKeys: [] },
    )
    .map((head) => {
      return protocol === undefined
        ? head
        : { ...head, protocol: { value: protocol, negate: false } };
    });
}

const L4_PROTOCOLS: Readonly<Record<Family, readonly number[]>> = {
  4: [6, 17, 132, 33, 1],
  6: [6, 17, 132, 33, 58],
};

/** Any rule that may stand in a user chain of the table. */
export function ruleFor(scope: RuleScope): fc.Arbitrary<Rule> {
  const { family } = scope;
  const others = [
    ...contextMatches(scope),
    ...meterMatches(scope),
    ...fieldMatches(scope),
    ...furtherMatches(scope),
  ];
  const more = fc
    .array(fc.oneof(...others), { maxLength: 3 })
    .map((list) => list.filter((m, i) => list.findIndex((o) => o.kind === m.kind) === i));
  const withProtocol = fc.constantFrom(...L4_PROTOCOLS[family]).chain((protocol) => {
    const own = protocolMatch(protocol);
    return fc
      .tuple(headOf(family, protocol), own, more, fc.nat(3), targetFor(scope, protocol))
      .map(([ip, first, list, at, target]): Rule => {
        const matches = [...list];
        matches.splice(at, 0, first);
        return { ip, matches, target };
      });
  });
  return fc.oneof(plainRule(scope, more), withProtocol);
}

function bareProtocol(family: Family): fc.Arbitrary<IpMatch> {
  const protocol = negatable(fc.integer({ min: 1, max: 255 }));
  return fc
    .tuple(headOf(family, undefined), protocol)
    .map(([head, value]) => ({ ...head, protocol: value }));
}

/** Rules without a protocol's own match; only they may ask for later fragments. */
function plainRule(scope: RuleScope, more: fc.Arbitrary<Match[]>): fc.Arbitrary<Rule> {
  const { family } = scope;
  const fragment = fc
    .tuple(headOf(family, undefined), fc.boolean())
    .map(([head, negate]): IpMatch => {
      return family === 4 ? { ...head, fragment: { value: true, negate } } : head;
    });
  const head = fc.oneof(headOf(family, undefined), bareProtocol(family), fragment);
  return fc.record({ ip: head, matches: more, target: targetFor(scope, 0) });
}
