/**
 * Random tables over the vocabulary of src/netfilter: every hook, user chains that jump and go down the
 * alphabet, every target that this kernel has and an engine can follow.
 * @module
 */
import type { Hook } from '../../../../../src/netfilter/hook.ts';
import { CT_STATES, type IpMatch, type Match } from '../../../../../src/netfilter/match.ts';
import type { Rule, Table } from '../../../../../src/netfilter/rule.ts';
import { type NatRange, REJECT_WITH, type Target } from '../../../../../src/netfilter/target.ts';
import { type Family, maskAddress } from '../../../../../src/wire/address/address.ts';
import { Protocol } from '../../../../../src/wire/protocol.ts';
import { address } from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';
import { SILENCE } from '../difference.ts';
import { drawMatch, drawProtocolMatch, legalKinds, type Site } from './match.ts';
import { drawPrefix, setName } from './sets.ts';
import { MARKS, PROTOCOLS, type Words } from './words.ts';

/** How the rules of a plan are drawn. */
export interface RuleShape {
  readonly family: Family;
  readonly tracked: boolean;
  readonly nat: boolean;
}

const HOOKS: Readonly<Record<'raw' | 'mangle' | 'filter' | 'security', readonly Hook[]>> = {
  raw: ['prerouting', 'output'],
  mangle: ['prerouting', 'input', 'forward', 'output', 'postrouting'],
  filter: ['input', 'forward', 'output'],
  security: ['input', 'forward', 'output'],
};
const NAT_HOOKS: readonly Hook[] = ['prerouting', 'input', 'output', 'postrouting'];

export function drawTables(draw: Draw, words: Words, shape: RuleShape): Table[] {
  const tables: Table[] = [];
  for (const name of ['raw', 'mangle', 'filter', 'security'] as const) {
    // Without rules that ask for connections nothing may bring tracking along.
    if (name === 'security' && !draw.chance(20)) continue;
    const sites = HOOKS[name].map((hook) => ({ words, table: name, hook, ...shape }));
    tables.push(drawTable(draw, sites));
  }
  if (shape.nat) {
    const sites = NAT_HOOKS.map((hook) => ({ words, table: 'nat' as const, hook, ...shape }));
    tables.push(drawTable(draw, sites));
  }
  return shape.family === 6 ? tables.map(silenced) : tables;
}

/** Tables that somebody else wrote, with the same silence in front. */
export function withSilence(tables: readonly Table[]): readonly Table[] {
  const hasRaw = tables.some(({ family, name }) => family === 6 && name === 'raw');
  const empty = (name: string) => ({ name, policy: 'ACCEPT' as const, rules: [] });
  const raw: Table = { family: 6, name: 'raw', chains: [empty('PREROUTING'), empty('OUTPUT')] };
  // First of all: a report must not find the others loaded and this one not.
  const isRaw = (table: Table) => table.family === 6 && table.name === 'raw';
  const first = hasRaw ? tables.filter(isRaw) : [raw];
  return [...first.map(silenced), ...tables.filter((table) => !isRaw(table))];
}

/** The kernel's own multicast reports must not be counted by drawn rules. */
function silenced(table: Table): Table {
  if (table.name !== 'raw') return table;
  const silence = (type: number): Rule => ({
    ip: { protocol: { value: Protocol.icmpv6, negate: false } },
    matches: [
      { kind: 'icmp6', type: { value: { type, codes: { low: 0, high: 255 } }, negate: false } },
      { kind: 'comment', text: SILENCE },
    ],
    target: { kind: 'drop' },
  });
  const chains = table.chains.map((chain) =>
    chain.name === 'OUTPUT'
      ? { ...chain, rules: [silence(143), silence(133), ...chain.rules] }
      : chain,
  );
  return { ...table, chains };
}

function drawTable(draw: Draw, sites: readonly Site[]): Table {
  const [{ family, table }] = sites as [Site];
  const chains = sites.flatMap((site) => {
    const place = site.hook.toUpperCase();
    const users = ['A', 'B', 'C'].map((letter) => `${place.slice(0, 5)}-${letter}`);
    return [place, ...users].map((name, i) => {
      const count = i === 0 ? draw.below(site.table === 'nat' ? 7 : 5) : draw.below(3);
      const below = users.slice(i);
      const drawn = Array.from({ length: count }, () => drawRule(draw, site, below));
      const rules = i === 0 && draw.chance(70) ? [...observers(site), ...drawn] : drawn;
      if (i > 0) return { name, rules };
      const mayDrop = table !== 'nat' && draw.chance(5);
      return { name, policy: mayDrop ? ('DROP' as const) : ('ACCEPT' as const), rules };
    });
  });
  return { family, name: table, chains };
}

/** Rules that only count: what a packet carries shows at every hook of mangle. */
function observers({ table, tracked }: Site): Rule[] {
  if (table !== 'mangle') return [];
  const bit = (value: number) => ({ value, mask: value, negate: false });
  const matches: Match[] = [1, 2, 0x400].map((value) => ({ kind: 'mark', ...bit(value) }));
  for (const name of ['p1', 'p2', 'eth0']) {
    matches.push({ kind: 'physdev', physIn: { value: name, negate: false } });
  }
  if (tracked) {
    matches.push(...[1, 2, 0x400].map((value) => ({ kind: 'connmark', ...bit(value) }) as const));
    for (const state of CT_STATES)
      matches.push({ kind: 'conntrack', states: [state], negate: false });
    for (const status of ['SEEN_REPLY', 'ASSURED', 'CONFIRMED'] as const) {
      matches.push({ kind: 'conntrackDetail', status: { value: [status], negate: false } });
    }
    for (const port of [53, 80, 8080]) {
      const range = { value: { low: port, high: port }, negate: false };
      matches.push({ kind: 'conntrackDetail', replySourcePort: range });
    }
  }
  return matches.map((match) => ({ ip: {}, matches: [match], target: { kind: 'none' } }));
}

function drawRule(draw: Draw, site: Site, below: readonly string[]): Rule {
  const target = drawTarget(draw, site, below);
  const head = drawHead(draw, site);
  const protocol = wantedProtocol(draw, target, site);
  const ip = protocol === null ? head : { ...head, protocol: { value: protocol, negate: false } };
  const matches: Match[] = [];
  if (target.kind === 'tcpmss') {
    matches.push({ kind: 'tcp', flags: { value: { mask: 0x06, set: 0x02 }, negate: false } });
  } else if (ip.protocol && !ip.protocol.negate && ip.protocol.value !== 47 && draw.chance(60)) {
    matches.push(drawProtocolMatch(draw, ip.protocol.value, site.family));
  }
  const kinds = legalKinds(site);
  while (draw.chance(35)) {
    const match = drawMatch(draw, site, draw.of(kinds));
    // iptables takes most modules once.
    if (matches.every((other) => other.kind !== match.kind)) matches.push(match);
  }
  return { ip, matches, target };
}

/** Targets that make no sense without a protocol of their own. */
function wantedProtocol(draw: Draw, target: Target, { family }: Site): number | null {
  if (target.kind === 'tcpmss') return Protocol.tcp;
  if (target.kind === 'reject' && target.with === 'tcp-reset') return Protocol.tcp;
  const hasPorts = 'range' in target && target.range.ports !== undefined;
  if (hasPorts) return draw.of([Protocol.tcp, Protocol.tcp, Protocol.udp]);
  return draw.chance(15) ? draw.of(PROTOCOLS[family]) : null;
}

function drawHead(draw: Draw, { words, family, hook }: Site): IpMatch {
  const ip: { -readonly [K in keyof IpMatch]: IpMatch[K] } = {};
  const side = () => {
    const found = draw.negatable(drawPrefix(draw, words, family));
    // `! -s 0.0.0.0/0` can not match, and one back end refuses it.
    return found.value.length === 0 ? { ...found, negate: false } : found;
  };
  if (draw.chance(22)) ip.source = side();
  if (draw.chance(22)) ip.destination = side();
  const names = [...words.devices, 'eth+', 'p+', 'azv+', 'lo'];
  const inward = hook !== 'output' && hook !== 'postrouting';
  const outward = hook !== 'prerouting' && hook !== 'input';
  if (inward && draw.chance(12)) ip.inInterface = draw.negatable(draw.of(names));
  if (outward && draw.chance(12)) ip.outInterface = draw.negatable(draw.of(names));
  if (draw.chance(35)) ip.protocol = draw.negatable(draw.of(PROTOCOLS[family]));
  if (family === 4 && draw.chance(3)) ip.fragment = draw.negatable(true);
  return ip;
}

type Weighted = readonly (readonly [number, () => Target])[];

function drawTarget(draw: Draw, site: Site, below: readonly string[]): Target {
  const { table, hook, tracked } = site;
  const mark = (): Target => ({
    kind: 'mark',
    value: draw.of(MARKS),
    mask: draw.of([0xffffffff, 1, 0x400, 3]),
  });
  const choices: Weighted = [
    [below.length > 0 ? 18 : 0, () => ({ kind: 'jump', chain: draw.of(below) })],
    [below.length > 0 ? 7 : 0, () => ({ kind: 'goto', chain: draw.of(below) })],
    [hook === 'prerouting' ? 18 : 10, mark],
    [6, () => ({ kind: 'return' })],
    [7, () => ({ kind: 'accept' })],
    [table === 'nat' ? 0 : 4, () => ({ kind: 'drop' })],
    [14, () => ({ kind: 'none' })],
    [2, () => ({ kind: 'nflog', prefix: 'drawn', group: 9, threshold: 0 })],
    [1, () => ({ kind: 'log', prefix: 'drawn ', level: 4 })],
    [table === 'nat' ? 0 : 3, () => setChange(draw, site)],
    [table === 'raw' && tracked ? 6 : 0, () => ({ kind: 'notrack' })],
    [table === 'filter' ? 11 : 0, () => reject(draw, site)],
    [tracked && table !== 'raw' ? 14 : 0, () => connmark(draw)],
    [table === 'mangle' ? 8 : 0, () => rewrite(draw, site)],
    [hook === 'forward' || hook === 'output' || hook === 'postrouting' ? 1 : 0, classify],
    [table === 'nat' ? 50 : 0, () => translation(draw, site)],
  ];
  let roll = draw.below(choices.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, make] of choices) {
    if (roll < weight) return make();
    roll -= weight;
  }
  return { kind: 'none' };
}

function classify(): Target {
  return { kind: 'classify', major: 1, minor: 2 };
}

/** Later matches of the set see it changed. */
function setChange(draw: Draw, { family }: Site): Target {
  const side = () => draw.of(['src', 'dst'] as const);
  const type = draw.of(['hash:ip', 'hash:ip,port'] as const);
  const directions = type === 'hash:ip' ? [side()] : [side(), side()];
  const operation = draw.of(['add', 'add', 'del'] as const);
  const exist = operation === 'add' && draw.chance(30);
  return { kind: 'set', operation, set: setName(type, family), directions, exist };
}

function reject(draw: Draw, { family, hook }: Site): Target {
  const kinds = REJECT_WITH.filter(
    (name) => name !== 'tcp-reset' && name.startsWith('icmp6') === (family === 6),
  );
  return {
    kind: 'reject',
    with: hook !== 'output' && draw.chance(35) ? 'tcp-reset' : draw.of(kinds),
  };
}

function connmark(draw: Draw): Target {
  const operation = draw.of(['set', 'save', 'restore'] as const);
  const mask = draw.of([0xffffffff, 3]);
  const value = operation === 'set' ? draw.of(MARKS) : 0;
  const nfmask = operation === 'set' ? 0xffffffff : draw.of([0xffffffff, 1]);
  return { kind: 'connmark', operation, value, mask, nfmask };
}

/** Targets of mangle that change bytes. */
function rewrite(draw: Draw, { hook }: Site): Target {
  switch (draw.below(5)) {
    case 0:
      return { kind: 'tos', value: 0x10, mask: draw.of([0x3f, 0xff]) };
    case 1:
      return { kind: 'dscp', value: draw.of([4, 46]) };
    case 2: {
      const operation = draw.of(['set', 'inc', 'dec'] as const);
      return { kind: 'ttl', operation, value: operation === 'set' ? draw.of([33, 1, 64]) : 1 };
    }
    case 3: {
      const path = hook === 'forward' || hook === 'output' || hook === 'postrouting';
      return { kind: 'tcpmss', mss: path && draw.chance(50) ? 'pmtu' : draw.of([1200, 500]) };
    }
    default:
      return { kind: 'checksum' };
  }
}

/** Targets of nat. Ports are given one by one: which of several is taken is the kernel's to draw. */
function translation(draw: Draw, { hook, family, words }: Site): Target {
  const flags = { random: false, randomFully: false, persistent: false };
  const range = (to?: string, port?: number): NatRange => ({
    ...flags,
    ...(to === undefined ? {} : { low: address(to), high: address(to) }),
    ...(port === undefined ? {} : { ports: { low: port, high: port } }),
  });
  const { place } = words;
  const far = draw.of(place.stations.flatMap((station) => station.addresses[family]));
  const own = draw.of(place.own[family]);
  const port = draw.chance(50) ? draw.of([53, 80, 8080]) : undefined;
  if (draw.chance(8)) {
    const length = family === 4 ? 24 : 64;
    return { kind: 'netmap', to: { address: maskAddress(address(far), length), length } };
  }
  if (hook === 'prerouting' || hook === 'output') {
    return draw.chance(25)
      ? { kind: 'redirect', range: range(undefined, port) }
      : { kind: 'dnat', range: range(draw.chance(85) ? far : own, port) };
  }
  if (hook === 'postrouting' && draw.chance(60)) return { kind: 'masquerade', range: range() };
  return { kind: 'snat', range: range(draw.chance(70) ? own : far) };
}
