/**
 * Statements of nft that answer or translate: reject, snat, dnat, masquerade, redirect.
 *
 * Source: nftables 1.0.6 src/parser_bison.y `nat_stmt`, `reject_stmt`, nft(8).
 * @module
 */
import { type NftType, nftType } from '../../../netfilter/nft/datatype.ts';
import type { NftExpression, NftKey, NftPattern } from '../../../netfilter/nft/expression.ts';
import type { NatFlag, NftStatement, RejectCode } from '../../../netfilter/nft/statement.ts';
import { NAT_FLAGS } from '../../../netfilter/nft/statement.ts';
import type { RejectWith } from '../../../netfilter/target.ts';
import { parsePattern } from '../symbol.ts';
import type { Cursor } from './cursor.ts';
import { parseExpression, type Reading, startsExpression } from './expression-parser.ts';
import { parseMapped } from './set-parser.ts';

type Code<K extends RejectCode['kind']> = Extract<RejectCode, { kind: K }>;

const CODES: {
  readonly icmp: Readonly<Record<string, RejectWith>>;
  readonly icmpv6: Readonly<Record<string, RejectWith>>;
} = {
  icmp: {
    'net-unreachable': 'icmp-net-unreachable',
    'host-unreachable': 'icmp-host-unreachable',
    'prot-unreachable': 'icmp-proto-unreachable',
    'port-unreachable': 'icmp-port-unreachable',
    'net-prohibited': 'icmp-net-prohibited',
    'host-prohibited': 'icmp-host-prohibited',
    'admin-prohibited': 'icmp-admin-prohibited',
  },
  icmpv6: {
    'no-route': 'icmp6-no-route',
    'admin-prohibited': 'icmp6-adm-prohibited',
    'addr-unreachable': 'icmp6-addr-unreachable',
    'port-unreachable': 'icmp6-port-unreachable',
    'policy-fail': 'icmp6-policy-fail',
    'reject-route': 'icmp6-reject-route',
  },
};

const BOTH: readonly Code<'icmpx'>['code'][] = [
  'port-unreachable',
  'admin-prohibited',
  'no-route',
  'host-unreachable',
];

/** The words of an ICMP code, as nft prints them; the first that fits. */
export function rejectWords(kind: 'icmp' | 'icmpv6', code: RejectWith): string {
  return Object.entries(CODES[kind]).find(([, own]) => own === code)?.[0] ?? code;
}

/** `reject`, `reject with icmp host-unreachable`, `reject with tcp reset`. */
export function parseReject(at: Cursor): NftStatement {
  at.next();
  if (!at.takes('with')) {
    return { kind: 'reject', code: { kind: 'icmpx', code: 'port-unreachable' } };
  }
  const kind = at.word('icmp, icmpv6, icmpx or tcp');
  if (kind === 'tcp') {
    at.expect('reset');
    return { kind: 'reject', code: { kind: 'tcp-reset' } };
  }
  at.takes('type');
  at.takes('code');
  const text = at.peek().text;
  if (kind === 'icmpx') {
    const code = BOTH.find((one) => one === text);
    if (code === undefined) at.fail('not a code of icmpx', text, BOTH.join(', '));
    at.next();
    return { kind: 'reject', code: { kind, code } };
  }
  if (kind !== 'icmp' && kind !== 'icmpv6') at.fail('not a way to reject', kind);
  const code = Object.hasOwn(CODES[kind], text) ? CODES[kind][text] : undefined;
  if (code === undefined) {
    at.fail(`not a code of ${kind} that is emulated`, text, Object.keys(CODES[kind]).join(', '));
  }
  at.next();
  return { kind: 'reject', code: { kind, with: code } };
}

/** `masquerade [to :PORTS] [FLAGS]`; redirect likewise. */
export function parseMasquerade(reading: Reading, kind: 'masquerade' | 'redirect'): NftStatement {
  const at: Cursor = reading.at;
  at.next();
  const port = at.takes('to') ? { port: parsePort(reading) } : {};
  return { kind, ...port, flags: parseFlags(at) };
}

/** `snat [ip] [prefix] to ADDRESS[:PORTS] [FLAGS]`. */
export function parseNat(reading: Reading, kind: 'snat' | 'dnat'): NftStatement {
  const at: Cursor = reading.at;
  at.next();
  const said: 'ip' | 'ip6' | undefined = takesFamily(at);
  const prefix = at.takes('prefix') ? ({ prefix: true } as const) : {};
  // How nft before 0.9.7 said what a map gives.
  if (at.takes('addr')) {
    at.expect('.');
    at.expect('port');
  }
  at.takes('interval');
  at.expect('to');
  const family = said ?? (reading.family === 'inet' ? undefined : reading.family);
  const target = parseTarget(reading, family);
  const spoken = said === undefined ? {} : { family: said };
  return { kind, ...spoken, ...prefix, ...target, flags: parseFlags(at) };
}

function takesFamily(at: Cursor): 'ip' | 'ip6' | undefined {
  if (at.takes('ip')) return 'ip';
  return at.takes('ip6') ? 'ip6' : undefined;
}

interface Target {
  readonly address?: NftExpression;
  readonly port?: NftExpression;
}

const ADDRESS = { ip: nftType('ipv4_addr'), ip6: nftType('ipv6_addr') } as const;
const SERVICE = nftType('inet_service');

function parseTarget(reading: Reading, family: 'ip' | 'ip6' | undefined): Target {
  const at: Cursor = reading.at;
  if (startsExpression(reading)) return { address: parseChosen(reading, family) };
  const { text } = at.peek();
  if (text.startsWith(':') && !text.startsWith('::')) return { port: parsePort(reading) };
  if (family === undefined) at.fail('whose address, in a table of both families?', text);
  const [address, ports] = splitPorts(text, family);
  const type = ADDRESS[family];
  const pattern = parsePattern(type, address);
  if (pattern === null) at.fail(`not an address of ${family}`, text);
  at.next();
  const chosen = { kind: 'constant', key: [pattern] } as const;
  if (ports === '') return { address: chosen };
  return { address: chosen, port: { kind: 'constant', key: [portsOf(at, ports)] } };
}

/** What a map gives: an address, or an address and a port. */
function parseChosen(reading: Reading, family: 'ip' | 'ip6' | undefined): NftExpression {
  const at: Cursor = reading.at;
  const key = parseExpression(reading);
  if (!at.sees('map')) {
    if (at.sees(':')) at.refuse('a port behind an expression');
    return key;
  }
  if (at.peek(1).text.startsWith('@')) return parseMapped(reading, key, []);
  if (family === undefined) at.fail('whose address, in a table of both families?', 'map');
  const chosen = parseMapped(reading, key, dataTypes(at, ADDRESS[family]));
  if (at.sees(':')) at.refuse('a port behind a map');
  return chosen;
}

/** Data of an anonymous map: with a port when its first element has a dot behind the colon. */
function dataTypes(at: Cursor, address: NftType): readonly NftType[] {
  for (let ahead = 0; ; ahead++) {
    const token = at.peek(ahead);
    if (token.kind === 'end' || token.text === '}') return [address];
    if (token.text !== ':') continue;
    return at.peek(ahead + 2).text === '.' ? [address, SERVICE] : [address];
  }
}

/** `10.0.0.1-10.0.0.9:80-90`, `[fd00::1]-[fd00::9]:80`. */
function splitPorts(text: string, family: 'ip' | 'ip6'): readonly [string, string] {
  if (family === 'ip') {
    const [address = '', ports = ''] = text.split(':');
    return [address, ports];
  }
  const bracketed = /^(\[[^\]]*\](?:-\[[^\]]*\])?)(?::(.*))?$/.exec(text);
  if (bracketed === null) return [text, ''];
  return [(bracketed[1] ?? '').replaceAll(/[[\]]/g, ''), bracketed[2] ?? ''];
}

function parsePort(reading: Reading): NftExpression {
  const at: Cursor = reading.at;
  if (startsExpression(reading)) {
    return parseMapped(reading, parseExpression(reading), [SERVICE]);
  }
  const text = at.peek().text;
  if (!text.startsWith(':')) at.fail('ports stand behind a colon', text);
  const key: NftKey = [portsOf(at, text.slice(1))];
  at.next();
  return { kind: 'constant', key };
}

function portsOf(at: Cursor, text: string): NftPattern {
  const pattern = parsePattern(SERVICE, text);
  if (pattern === null) at.fail('not a port', text);
  return pattern;
}

function parseFlags(at: Cursor): readonly NatFlag[] {
  const flags: NatFlag[] = [];
  const take = () => {
    const text = at.peek().text;
    const flag = NAT_FLAGS.find((one) => one === text);
    if (flag === undefined) return false;
    at.next();
    flags.push(flag);
    return true;
  };
  if (!take()) return flags;
  while (at.takes(',')) {
    if (!take()) at.fail('not a flag of translation', at.peek().text, NAT_FLAGS.join(', '));
  }
  return flags;
}
