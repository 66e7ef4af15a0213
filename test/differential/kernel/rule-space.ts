/**
 * Random rule sets and packets over the whole vocabulary, from a seed.
 *
 * A small universe of addresses, ports and marks makes rules and packets meet often.
 * @module
 */
import type { TableName } from '../../../src/netfilter/hook.ts';
import type { IpSet, SetMember } from '../../../src/netfilter/ip-set.ts';
import {
  CT_STATES,
  type IpMatch,
  type Match,
  type Negatable,
  type PortRange,
} from '../../../src/netfilter/match.ts';
import type { Rule, Table } from '../../../src/netfilter/rule.ts';
import type { Target } from '../../../src/netfilter/target.ts';
import {
  type Address,
  compareAddress,
  type Family,
  maskAddress,
  parseAddress,
} from '../../../src/wire/address/address.ts';

/** Draws from a seed (mulberry32). */
export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  negatable<T>(value: T): Negatable<T> {
    return { value, negate: this.chance(25) };
  }
}

export const SOURCES: Readonly<Record<Family, readonly string[]>> = {
  4: ['10.1.0.2', '10.1.0.3', '10.1.0.130', '10.2.0.77', '172.16.5.5', '9.9.9.9'],
  6: ['2001:db8:1::2', '2001:db8:1::3', '2001:db8:2::77', 'fd00::5', '2001:db8:9::9'],
};
export const DESTINATIONS: Readonly<Record<Family, readonly string[]>> = {
  4: ['10.2.0.2', '10.2.0.3', '10.2.0.130', '10.1.0.1'],
  6: ['2001:db8:2::2', '2001:db8:2::3', '2001:db8:2::130', '2001:db8:1::1'],
};
export const PORTS: readonly number[] = [0, 53, 80, 81, 443, 40000, 65535];
/** tcp, udp, sctp, icmp, icmpv6, gre. */
const PROTOCOLS: Readonly<Record<Family, readonly number[]>> = {
  4: [6, 17, 132, 1, 47],
  6: [6, 17, 132, 58, 47],
};
const MARKS: readonly number[] = [0, 1, 2, 3, 0x400, 0x4000];

export function parse(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

function anyAddress(draw: Draw, family: Family): Address {
  return parse(draw.of([...SOURCES[family], ...DESTINATIONS[family]]));
}

/** A prefix around one of the addresses; `least` is the shortest length. */
function net(draw: Draw, family: Family, least = 0) {
  const lengths = family === 4 ? [0, 1, 8, 16, 24, 25, 31, 32] : [0, 1, 16, 32, 48, 64, 127, 128];
  const length = draw.of(lengths.filter((n) => n >= least));
  return { address: maskAddress(anyAddress(draw, family), length), length };
}

function range(draw: Draw): PortRange {
  const low = draw.of(PORTS);
  if (draw.chance(60)) return { low, high: low };
  const high = draw.of(PORTS.filter((p) => p >= low));
  return { low, high };
}

const SET_TYPES = [
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:net,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'bitmap:port',
  'list:set',
] as const;

function setName(type: string, family: Family): string {
  return `${type.replaceAll(/[:,]/g, '-')}-${family}`;
}

/** One set of each type for a family, named by type. */
export function drawSets(draw: Draw, family: Family): IpSet[] {
  const name = (type: string) => setName(type, family);
  return SET_TYPES.map((type) => {
    const members: SetMember[] = [];
    const seen = new Set<string>();
    const count = type === 'list:set' ? 0 : draw.below(7);
    for (let i = 0; i < count; i++) {
      const member = drawMember(draw, type, family);
      const key = JSON.stringify({ ...member, nomatch: false });
      if (!seen.has(key)) members.push(member);
      seen.add(key);
    }
    if (type === 'list:set') {
      for (const other of SET_TYPES.slice(0, 4)) {
        if (draw.chance(50)) members.push({ kind: 'set', set: name(other) });
      }
      return { name: name(type), type, maxElements: 8, members };
    }
    if (type === 'bitmap:port') {
      const range = { low: 0, high: 65_535 };
      return { name: name(type), type, range, maxElements: 65536, members };
    }
    return { name: name(type), type, family, maxElements: 65536, members };
  });
}

function drawMember(draw: Draw, type: (typeof SET_TYPES)[number], family: Family): SetMember {
  // 44 is the fragment header, which is all that ipset sees of later IPv6 fragments.
  const protocol = draw.of([...PROTOCOLS[family], ...(family === 6 ? [44] : [])]);
  const isIcmp = protocol === 1 || protocol === 58;
  const port =
    protocol === 47 || protocol === 44
      ? 0
      : isIcmp
        ? draw.of([0x800, 0x8000, 0x301])
        : draw.of(PORTS);
  const nomatch = draw.chance(30);
  switch (type) {
    case 'hash:ip':
      return { kind: 'ip', address: anyAddress(draw, family) };
    case 'hash:net':
      return { kind: 'net', net: net(draw, family, 1), nomatch };
    case 'hash:ip,port':
      return { kind: 'ip,port', address: anyAddress(draw, family), protocol, port };
    case 'hash:net,port':
      return { kind: 'net,port', net: net(draw, family, 1), protocol, port, nomatch };
    case 'hash:ip,port,ip': {
      const second = anyAddress(draw, family);
      const kind = 'ip,port,ip';
      return { kind, address: anyAddress(draw, family), protocol, port, second };
    }
    case 'hash:ip,port,net': {
      const within = net(draw, family, 1);
      const kind = 'ip,port,net';
      return { kind, address: anyAddress(draw, family), protocol, port, within, nomatch };
    }
    case 'bitmap:port':
      return { kind: 'port', port: draw.of(PORTS) };
    case 'list:set':
      throw new Error('lists are drawn apart');
  }
}

/** How a rule set is drawn. `tracked` uses connections and no fragments. */
export interface RuleSetShape {
  readonly family: Family;
  readonly tracked: boolean;
}

function drawHead(draw: Draw, family: Family, chain: string): IpMatch {
  const ip: { -readonly [K in keyof IpMatch]: IpMatch[K] } = {};
  // iptables-nft refuses `! -s 0.0.0.0/0`, which can not match.
  const side = () => {
    const found = draw.negatable(net(draw, family));
    return found.value.length === 0 ? { ...found, negate: false } : found;
  };
  if (draw.chance(25)) ip.source = side();
  if (draw.chance(25)) ip.destination = side();
  const names = ['eth0', 'eth1', 'eth+', 'e+', 'lo'];
  if (draw.chance(15) && chain !== 'POSTROUTING') ip.inInterface = draw.negatable(draw.of(names));
  if (chain === 'POSTROUTING') ip.outInterface = { value: 'eth1', negate: false };
  else if (draw.chance(15) && !['PREROUTING', 'INPUT'].includes(chain)) {
    ip.outInterface = draw.negatable(draw.of(names));
  }
  if (draw.chance(40)) ip.protocol = draw.negatable(draw.of(PROTOCOLS[family]));
  if (family === 4 && draw.chance(4)) ip.fragment = draw.negatable(true);
  return ip;
}

function drawProtocolMatch(draw: Draw, protocol: number, family: Family): Match {
  // Two negated ports become one comparison of both in iptables-nft 1.8.9, which matches either.
  const ports = () => ({
    ...(draw.chance(40) ? { sport: { value: range(draw), negate: false } } : {}),
    ...(draw.chance(70) ? { dport: draw.negatable(range(draw)) } : {}),
  });
  if (protocol !== 1 && protocol !== 58 && draw.chance(25)) {
    const list = [range(draw), range(draw), range(draw)];
    const which = draw.of(['sports', 'dports', 'ports'] as const);
    return { kind: 'multiport', which, ports: list, negate: draw.chance(25) };
  }
  switch (protocol) {
    case 6: {
      const mask = draw.of([0x3f, 0x17, 0x02]);
      const set = mask & draw.of([0x02, 0x12, 0x10, 0x00]);
      return {
        kind: 'tcp',
        ...ports(),
        ...(draw.chance(40) ? { flags: draw.negatable({ mask, set }) } : {}),
        ...(draw.chance(20) ? { option: draw.negatable(draw.of([2, 3, 8])) } : {}),
      };
    }
    case 17:
      return { kind: 'udp', ...ports() };
    case 132:
      return { kind: 'sctp', ...ports() };
    default: {
      const type = draw.of(family === 4 ? [8, 3, 0, 255] : [128, 1, 129]);
      const codes = draw.of([
        { low: 0, high: 255 },
        { low: 0, high: 0 },
        { low: 1, high: 1 },
      ]);
      const all = type === 255 ? { low: 0, high: 255 } : codes;
      return { kind: family === 4 ? 'icmp' : 'icmp6', type: draw.negatable({ type, codes: all }) };
    }
  }
}

function drawMatch(
  draw: Draw,
  shape: RuleSetShape,
  place: { table: string; chain: string },
): Match {
  const kinds = ['mark', 'set', 'set', 'set', 'addrtype', 'physdev', 'comment'];
  kinds.push('length', 'ttl', 'iprange', 'dscp', 'tos', 'nth', 'pkttype');
  if (place.chain !== 'POSTROUTING') kinds.push('mac');
  if (shape.tracked) kinds.push('conntrack', 'conntrack', 'connmark', 'state');
  const mayReverse = ['raw', 'mangle'].includes(place.table) && place.chain === 'PREROUTING';
  if (mayReverse) kinds.push('rpfilter', 'rpfilter');
  const negate = draw.chance(25);
  const kind = draw.of(kinds);
  switch (kind) {
    case 'mark':
    case 'connmark': {
      const mask = draw.of([0xffffffff, 1, 0x400, 3]);
      return { kind, value: (draw.of(MARKS) & mask) >>> 0, mask, negate };
    }
    case 'conntrack':
    case 'state': {
      const known = kind === 'state' ? CT_STATES.slice(0, 5) : CT_STATES;
      const states = known.filter(() => draw.chance(30));
      return { kind, states: states.length === 0 ? ['NEW'] : states, negate };
    }
    case 'set': {
      const type = draw.of(SET_TYPES);
      const count = type.startsWith('hash:ip,port,') && draw.chance(85) ? 3 : 2;
      const directions = Array.from({ length: count }, () => draw.of(['src', 'dst'] as const));
      const set = setName(type, shape.family);
      const short = type === 'hash:ip' || type === 'hash:net' || type === 'bitmap:port';
      const one = short && draw.chance(80);
      return { kind: 'set', set, directions: one ? directions.slice(0, 1) : directions, negate };
    }
    case 'addrtype': {
      const types =
        shape.family === 4
          ? (['LOCAL', 'UNICAST', 'BROADCAST'] as const)
          : (['LOCAL', 'UNICAST', 'UNREACHABLE'] as const);
      const side = draw.negatable([draw.of(types)]);
      const limitIfaceIn =
        draw.chance(20) && ['PREROUTING', 'INPUT', 'FORWARD'].includes(place.chain);
      const base = { kind: 'addrtype', limitIfaceIn, limitIfaceOut: false } as const;
      return draw.chance(50) ? { ...base, source: side } : { ...base, destination: side };
    }
    case 'physdev':
      return draw.chance(50)
        ? { kind: 'physdev', isBridged: draw.negatable(true) }
        : { kind: 'physdev', physIn: draw.negatable('eth+') };
    case 'length':
    case 'ttl':
    case 'iprange':
    case 'dscp':
    case 'tos':
    case 'nth':
    case 'pkttype':
    case 'mac':
      return drawHeaderMatch(draw, kind, shape.family);
    case 'rpfilter':
      return {
        kind: 'rpfilter',
        loose: draw.chance(40),
        validmark: draw.chance(30),
        acceptLocal: draw.chance(30),
        invert: draw.chance(40),
      };
    default:
      return { kind: 'comment', text: 'drawn' };
  }
}

type HeaderKind = 'length' | 'ttl' | 'iprange' | 'dscp' | 'tos' | 'nth' | 'pkttype' | 'mac';

function drawHeaderMatch(draw: Draw, kind: HeaderKind, family: Family): Match {
  const negate = draw.chance(25);
  switch (kind) {
    case 'length':
      return { kind, range: { low: draw.below(60), high: 60 + draw.below(40) }, negate };
    case 'ttl': {
      const comparison = draw.of(['eq', 'lt', 'gt'] as const);
      const value = 19 + draw.below(3);
      const isNegated = comparison === 'eq' && negate;
      return { kind: family === 4 ? 'ttl' : 'hl', comparison, value, negate: isNegated };
    }
    case 'iprange': {
      const ends = [anyAddress(draw, family), anyAddress(draw, family)];
      const [low, high] = ends.sort(compareAddress) as [Address, Address];
      const side = draw.negatable({ low, high });
      return draw.chance(50) ? { kind, source: side } : { kind, destination: side };
    }
    case 'dscp':
      return { kind, value: draw.of([0, 4, 46]), negate };
    case 'tos':
      return { kind, value: draw.of([0, 0x10]), mask: draw.of([0xff, 0x3f]), negate };
    case 'nth': {
      const every = 2 + draw.below(3);
      return { kind, every, packet: draw.below(every), negate };
    }
    case 'pkttype':
      return { kind, type: draw.of(['unicast', 'broadcast'] as const), negate };
    case 'mac':
      return { kind, address: draw.of(['02:00:00:00:00:01', '02:00:00:00:00:02']), negate };
  }
}

function drawTarget(
  draw: Draw,
  table: TableName,
  chains: readonly string[],
  tracked: boolean,
): Target {
  const roll = draw.below(100);
  if (roll < 25 && chains.length > 0) {
    return { kind: draw.chance(70) ? 'jump' : 'goto', chain: draw.of(chains) };
  }
  if (roll < 45)
    return { kind: 'mark', value: draw.of(MARKS), mask: draw.of([0xffffffff, 1, 0x400, 3]) };
  if (roll < 55) return { kind: 'return' };
  if (roll < 62) return { kind: 'accept' };
  if (roll < 67) return { kind: 'drop' };
  if (roll < 72 && tracked && table === 'raw') return { kind: 'notrack' };
  if (roll < 80 && tracked && table !== 'raw') {
    const operation = draw.of(['set', 'save', 'restore'] as const);
    const mask = draw.of([0xffffffff, 3]);
    const value = operation === 'set' ? draw.of(MARKS) : 0;
    const nfmask = operation === 'set' ? 0xffffffff : draw.of([0xffffffff, 1]);
    return { kind: 'connmark', operation, value, mask, nfmask };
  }
  if (roll < 82 && table === 'mangle') return { kind: 'tos', value: 0x10, mask: 0x3f };
  if (roll < 84 && table === 'mangle') return { kind: 'ttl', operation: 'set', value: 33 };
  return { kind: 'none' };
}

const WHERE: readonly (readonly [TableName, readonly string[]])[] = [
  ['raw', ['PREROUTING']],
  ['mangle', ['PREROUTING', 'INPUT', 'FORWARD', 'POSTROUTING']],
  ['filter', ['INPUT', 'FORWARD']],
];

/** Tables with user chains A, B and C below each built-in one; jumps only go down the alphabet. */
export function drawTables(draw: Draw, shape: RuleSetShape): Table[] {
  return WHERE.map(([name, places]) => {
    const chains: { name: string; policy?: 'ACCEPT' | 'DROP'; rules: Rule[] }[] = [];
    for (const place of places) {
      if (place === 'POSTROUTING' && shape.family === 6) continue;
      const users = ['A', 'B', 'C'].map((letter) => `${place.slice(0, 4)}-${letter}`);
      for (const [i, chain] of [place, ...users].entries()) {
        const rules: Rule[] = [];
        const count = i === 0 ? 2 + draw.below(5) : draw.below(4);
        for (let n = 0; n < count; n++) {
          rules.push(drawRule(draw, shape, { table: name, chain: place, below: users.slice(i) }));
        }
        const policy = draw.chance(85) ? ('ACCEPT' as const) : ('DROP' as const);
        chains.push(i === 0 ? { name: chain, policy, rules } : { name: chain, rules });
      }
    }
    return { family: shape.family, name, chains };
  });
}

function drawRule(
  draw: Draw,
  shape: RuleSetShape,
  place: { table: TableName; chain: string; below: readonly string[] },
): Rule {
  const ip = drawHead(draw, shape.family, place.chain);
  const matches: Match[] = [];
  const protocol = ip.protocol;
  if (protocol && !protocol.negate && protocol.value !== 47 && draw.chance(75)) {
    matches.push(drawProtocolMatch(draw, protocol.value, shape.family));
  }
  while (draw.chance(35)) {
    const match = drawMatch(draw, shape, place);
    // iptables 1.8.9 mixes up the `--mark` of two matches in one rule.
    const marks = matches.some((m) => 'mask' in m && m.kind.endsWith('mark'));
    if (!marks || !match.kind.endsWith('mark')) matches.push(match);
  }
  return { ip, matches, target: drawTarget(draw, place.table, place.below, shape.tracked) };
}
