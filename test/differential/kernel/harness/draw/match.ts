/**
 * One match of each kind, with values from a place's words. What a packet cannot settle (owner,
 * hashlimit, connlimit, chance) is not drawn: engines answer `unknown` there.
 * @module
 */
import type { Hook, TableName } from '../../../../../src/netfilter/hook.ts';
import {
  CT_STATES,
  CT_STATUSES,
  type Match,
  type MatchKind,
  type PortRange,
} from '../../../../../src/netfilter/match.ts';
import {
  type Address,
  compareAddress,
  type Family,
} from '../../../../../src/wire/address/address.ts';
import { address } from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';
import { drawPrefix, setName } from './sets.ts';
import { MARKS, PORTS, type Words } from './words.ts';

const SOON = { low: 0, high: 2 };
const LATE = { low: 3, high: 1_000_000 };

/** Where a rule stands: which hook its packets come from decides what it may ask. */
export interface Site {
  readonly words: Words;
  readonly family: Family;
  readonly table: TableName;
  readonly hook: Hook;
  readonly tracked: boolean;
}

export function drawRange(draw: Draw): PortRange {
  const low = draw.of(PORTS);
  if (draw.chance(65)) return { low, high: low };
  const high = draw.of(PORTS.filter((p) => p >= low));
  return { low, high };
}

/** A match of the protocol's own header. */
export function drawProtocolMatch(draw: Draw, protocol: number, family: Family): Match {
  const ports = () => ({
    ...(draw.chance(30) ? { sport: draw.negatable(drawRange(draw)) } : {}),
    ...(draw.chance(60) ? { dport: draw.negatable(drawRange(draw)) } : {}),
  });
  if (protocol !== 1 && protocol !== 58 && draw.chance(25)) {
    const which = draw.of(['sports', 'dports', 'ports'] as const);
    const list = [drawRange(draw), drawRange(draw), drawRange(draw)];
    return { kind: 'multiport', which, ports: list, negate: draw.chance(25) };
  }
  switch (protocol) {
    case 6: {
      const mask = draw.of([0x3f, 0x17, 0x02, 0x05]);
      const flags = { mask, set: mask & draw.of([0x02, 0x12, 0x10, 0x00, 0x04, 0x3f]) };
      return {
        kind: 'tcp',
        ...ports(),
        ...(draw.chance(40) ? { flags: draw.negatable(flags) } : {}),
        ...(draw.chance(20) ? { option: draw.negatable(draw.of([2, 3, 8])) } : {}),
      };
    }
    case 17:
      return { kind: 'udp', ...ports() };
    case 132:
      return { kind: 'sctp', ...ports() };
    default: {
      const type = draw.of(family === 4 ? [8, 0, 3, 11, 255] : [128, 129, 1, 3]);
      const all = { low: 0, high: 255 };
      const codes = draw.of([all, all, { low: 0, high: 0 }, { low: 1, high: 1 }]);
      const value = { type, codes: type === 255 ? all : codes };
      return { kind: family === 4 ? 'icmp' : 'icmp6', type: draw.negatable(value) };
    }
  }
}

/** The kinds that may stand at a site. */
export function legalKinds({ table, hook, family, tracked }: Site): MatchKind[] {
  const kinds: MatchKind[] = ['mark', 'set', 'set', 'set', 'addrtype', 'physdev', 'comment'];
  kinds.push('length', family === 4 ? 'ttl' : 'hl', 'iprange', 'dscp', 'tos', 'nth', 'pkttype');
  kinds.push('limit', 'recent', 'hashlimit');
  if (hook !== 'output' && hook !== 'postrouting') kinds.push('mac');
  if (tracked) kinds.push('conntrack', 'conntrack', 'conntrack', 'connmark', 'state');
  if (tracked) kinds.push('conntrackDetail', 'conntrackDetail', 'helper');
  if (hook === 'prerouting' && (table === 'raw' || table === 'mangle')) {
    kinds.push('rpfilter', 'rpfilter');
  }
  return kinds;
}

export function drawMatch(draw: Draw, site: Site, kind: MatchKind): Match {
  const { words, family, hook } = site;
  const negate = draw.chance(25);
  switch (kind) {
    case 'mark':
    case 'connmark': {
      const mask = draw.of([0xffffffff, 1, 0x400, 3]);
      return { kind, value: (draw.of(MARKS) & mask) >>> 0, mask, negate };
    }
    case 'conntrack':
    case 'state': {
      const known = kind === 'state' ? CT_STATES.slice(0, 5) : CT_STATES;
      const states = draw.chance(60) ? [draw.of(known)] : known.filter(() => draw.chance(30));
      return { kind, states: states.length === 0 ? ['NEW'] : states, negate };
    }
    case 'conntrackDetail':
      return drawDetail(draw, site);
    case 'set':
      return drawSetMatch(draw, family);
    case 'addrtype': {
      const four = ['LOCAL', 'UNICAST', 'BROADCAST', 'MULTICAST', 'BLACKHOLE'] as const;
      const six = ['LOCAL', 'UNICAST', 'UNREACHABLE', 'MULTICAST'] as const;
      const side = draw.negatable([draw.of(family === 4 ? four : six)]);
      const inward = hook === 'prerouting' || hook === 'input' || hook === 'forward';
      const limitIfaceIn = inward && draw.chance(15);
      const outward = hook === 'forward' || hook === 'output' || hook === 'postrouting';
      const limitIfaceOut = outward && !limitIfaceIn && draw.chance(15);
      const limits = { limitIfaceIn, limitIfaceOut };
      return draw.chance(50)
        ? { kind, source: side, ...limits }
        : { kind, destination: side, ...limits };
    }
    case 'physdev':
      return drawPhysdev(draw, site);
    case 'rpfilter':
      return {
        kind,
        loose: draw.chance(40),
        validmark: draw.chance(30),
        acceptLocal: draw.chance(30),
        invert: draw.chance(40),
      };
    default:
      return drawHeaderMatch(draw, words, family, kind);
  }
}

function drawSetMatch(draw: Draw, family: Family): Match {
  const type = draw.of([
    'hash:ip',
    'hash:net',
    'hash:ip,port',
    'hash:net,port',
    'list:set',
  ] as const);
  const side = () => draw.of(['src', 'dst'] as const);
  const one = (type === 'hash:ip' || type === 'hash:net') && draw.chance(80);
  const directions = one ? [side()] : [side(), side()];
  return { kind: 'set', set: setName(type, family), directions, negate: draw.chance(25) };
}

function drawPhysdev(draw: Draw, { words, hook }: Site): Match {
  const name = draw.negatable(draw.of([...words.devices, 'p+', 'eth+']));
  switch (draw.below(hook === 'forward' || hook === 'postrouting' ? 5 : 3)) {
    case 0:
      return { kind: 'physdev', isBridged: draw.negatable(true) };
    case 1:
      return { kind: 'physdev', physIn: name };
    case 2:
      return { kind: 'physdev', isIn: draw.negatable(true) };
    case 3:
      return { kind: 'physdev', physOut: name, isBridged: { value: true, negate: false } };
    default:
      return {
        kind: 'physdev',
        isOut: draw.negatable(true),
        isBridged: { value: true, negate: false },
      };
  }
}

/** xt_conntrack's finer questions, one or two at a time. */
function drawDetail(draw: Draw, { words, family }: Site): Match {
  const net = () => draw.negatable(drawPrefix(draw, words, family));
  const part = (): Omit<Extract<Match, { kind: 'conntrackDetail' }>, 'kind'> => {
    switch (draw.below(10)) {
      case 0:
        return { protocol: draw.negatable(draw.of([6, 17])) };
      case 1:
        return { originalSource: net() };
      case 2:
        return { originalDestination: net() };
      case 3:
        return { replySource: net() };
      case 4:
        return { replyDestination: net() };
      case 5:
        return { status: draw.negatable([draw.of(CT_STATUSES)]) };
      case 6:
        return { originalDestinationPort: draw.negatable(drawRange(draw)) };
      case 7:
        return { replySourcePort: draw.negatable(drawRange(draw)) };
      case 8:
        // Between the timeouts that are drawn (aging.ts).
        return { expires: draw.negatable(draw.of([SOON, LATE])) };
      default:
        return { direction: draw.of(['ORIGINAL', 'REPLY'] as const) };
    }
  };
  return { kind: 'conntrackDetail', ...part(), ...(draw.chance(30) ? part() : {}) };
}

function drawHeaderMatch(draw: Draw, words: Words, family: Family, kind: MatchKind): Match {
  const negate = draw.chance(25);
  switch (kind) {
    case 'length':
      return { kind, range: { low: draw.below(60), high: 60 + draw.below(60) }, negate };
    case 'ttl':
    case 'hl': {
      const comparison = draw.of(['eq', 'lt', 'gt'] as const);
      return { kind, comparison, value: draw.of([63, 64]), negate: comparison === 'eq' && negate };
    }
    case 'iprange': {
      const ends = [0, 1].map(() => address(draw.of(words.addresses[family])));
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
      return { kind, type: draw.of(['unicast', 'broadcast', 'multicast'] as const), negate };
    case 'mac':
      return { kind, address: draw.of(words.macs), negate };
    // So slow that no token is gained while a trial runs.
    case 'limit':
      return { kind, interval: 36_000_000, burst: 1 + draw.below(9) };
    case 'hashlimit': {
      const modes = draw.of([
        ['srcip'],
        ['dstip'],
        ['srcip', 'dstport'],
        ['dstip', 'srcport'],
      ] as const);
      const bits = family === 4 ? 32 : 128;
      const lengths = { sourceLength: bits, destinationLength: bits };
      const name = `h${family}-${draw.below(1_000_000)}`;
      const rate = { above: draw.chance(50), interval: 3_600_000_000, burst: 1 + draw.below(9) };
      return { kind, ...rate, modes, name, ...lengths };
    }
    case 'recent': {
      const mask = address(
        family === 4 ? '255.255.255.255' : 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      );
      const side = draw.of(['source', 'destination'] as const);
      const operation = draw.of(['set', 'rcheck', 'update', 'remove'] as const);
      const asks = operation === 'rcheck' || operation === 'update';
      const hitcount = asks && draw.chance(40) ? 1 + draw.below(4) : 0;
      const seconds = asks && draw.chance(40) ? draw.of([600, 600, 3]) : 0;
      const base = { kind, operation, negate, seconds, reap: false, hitcount, ttl: false } as const;
      return { ...base, list: `seen${family}`, mask, side };
    }
    case 'helper':
      return { kind, name: '', negate };
    default:
      return { kind: 'comment', text: 'drawn' };
  }
}
