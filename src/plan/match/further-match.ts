/**
 * Text and reading of matches that count a rule's or a connection's packets, or ask the host for
 * sockets, control groups and IPsec.
 *
 * Source: iptables 1.8.9, extensions/libxt_quota.c, libxt_connbytes.c, libxt_policy.c,
 * libxt_socket.c, libxt_cgroup.c.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import {
  CONNBYTES_DIRECTIONS,
  CONNBYTES_MODES,
  type FurtherMatch,
} from '../../netfilter/further-match.ts';
import type { Match } from '../../netfilter/match.ts';
import {
  type Extension,
  type Given,
  OptionFault,
  oneOf,
  optional,
  u32,
} from '../rule/option-reader.ts';
import { negated, words } from './match-words.ts';
import { formatString, string } from './string-match.ts';
import { formatTime, time } from './time-match.ts';
import { formatU32, u32Match } from './u32-match.ts';
import { formatVirtual, virtual } from './virtual-match.ts';

const FURTHER_KINDS = [
  'quota',
  'connbytes',
  'u32',
  'time',
  'policy',
  'socket',
  'cgroup',
  'ipvs',
  'string',
] as const satisfies readonly FurtherMatch['kind'][];

export function isFurther(match: Match): match is FurtherMatch {
  return FURTHER_KINDS.some((kind) => kind === match.kind);
}

/** Write such a match as iptables-save does. */
export function formatFurther(match: FurtherMatch): string {
  switch (match.kind) {
    case 'quota':
      return `-m quota ${negated(match)}--quota ${match.bytes}`;
    case 'connbytes': {
      const { from, to, mode, direction } = match;
      const range = to === undefined ? `${from}` : `${from}:${to}`;
      const what = `--connbytes-mode ${mode} --connbytes-dir ${direction}`;
      return `-m connbytes ${negated(match)}--connbytes ${range} ${what}`;
    }
    case 'u32':
      return formatU32(match);
    case 'time':
      return formatTime(match);
    case 'string':
      return formatString(match);
    case 'policy': {
      const { direction, policy, strict, element } = match;
      return words(`-m policy --dir ${direction} --pol ${policy}`, strict && '--strict', element);
    }
    case 'socket':
      return words(
        '-m socket',
        match.transparent && '--transparent',
        match.nowildcard && '--nowildcard',
        match.restoreMark && '--restore-skmark',
      );
    case 'ipvs':
      return formatVirtual(match);
    case 'cgroup': {
      const { group } = match;
      const option = 'path' in group ? `--path ${group.path}` : `--cgroup ${group.classId}`;
      return `-m cgroup ${negated(match)}${option}`;
    }
    default:
      return unreachable(match);
  }
}

/** The tool takes 64 bits; what no capture will ever count to is not emulated. */
function count(text: string): number {
  const value = /^\d{1,20}$/.test(text) ? Number(text) : -1;
  if (value < 0 || value > Number.MAX_SAFE_INTEGER) {
    throw new OptionFault('a number was expected', text, '0–2^53');
  }
  return value;
}

const quota: Extension<Match> = {
  options: [{ name: '--quota', values: 1, negatable: true }],
  read(given) {
    const { value, negate } = given.needed('--quota', count);
    return { kind: 'quota', bytes: value, negate };
  },
};

const connbytes: Extension<Match> = {
  options: [
    { name: '--connbytes', values: 1, negatable: true },
    { name: '--connbytes-dir', values: 1 },
    { name: '--connbytes-mode', values: 1 },
  ],
  read(given) {
    const { value, negate } = given.needed('--connbytes', connbytesRange);
    return {
      kind: 'connbytes',
      ...value,
      direction: given.needed('--connbytes-dir', oneOf(CONNBYTES_DIRECTIONS)).value,
      mode: given.needed('--connbytes-mode', oneOf(CONNBYTES_MODES)).value,
      // The tool writes `!` as a range that ends before it starts, and so loses that of `7:7`.
      negate: negate && value.from !== value.to,
    };
  },
};

function connbytesRange(text: string): { readonly from: number; readonly to?: number } {
  const colon = text.indexOf(':');
  const from = count(colon < 0 ? text : text.slice(0, colon));
  const upper = colon < 0 ? '' : text.slice(colon + 1);
  const to = upper === '' ? undefined : count(upper);
  if (to !== undefined && to < from) throw new OptionFault('not a range', text);
  return { from, ...optional('to', to) };
}

const POLICY_OPTIONS = ['reqid', 'spi', 'proto', 'mode', 'tunnel-src', 'tunnel-dst'] as const;

const policy: Extension<Match> = {
  options: [
    { name: '--dir', values: 1 },
    { name: '--pol', values: 1 },
    { name: '--strict', values: 0 },
    ...POLICY_OPTIONS.map((name) => ({
      name: `--${name}`,
      values: 1 as const,
      negatable: true as const,
    })),
  ],
  read(given) {
    const kind = given.needed('--pol', oneOf(['none', 'ipsec'])).value;
    const strict = given.has('--strict');
    const element = words(...POLICY_OPTIONS.map((name) => policyOption(given, name)));
    if (kind === 'none' && (strict || element !== '')) {
      throw new OptionFault('--pol none takes no further option');
    }
    if (strict && element === '') throw new OptionFault('--strict needs an element');
    const direction = given.needed('--dir', oneOf(['in', 'out'])).value;
    return { kind: 'policy', direction, policy: kind, strict, element };
  },
};

function policyOption(given: Given, name: (typeof POLICY_OPTIONS)[number]): string {
  const found = given.one(`--${name}`, (text) => text);
  if (found === undefined) return '';
  const value = name.startsWith('tunnel') ? found.value.replace(/\/(?:32|128)$/, '') : found.value;
  return `${negated(found)}--${name} ${value}`;
}

const socket: Extension<Match> = {
  options: [
    { name: '--transparent', values: 0 },
    { name: '--nowildcard', values: 0 },
    { name: '--restore-skmark', values: 0 },
  ],
  read: (given) => ({
    kind: 'socket',
    transparent: given.has('--transparent'),
    nowildcard: given.has('--nowildcard'),
    restoreMark: given.has('--restore-skmark'),
  }),
};

const cgroup: Extension<Match> = {
  options: [
    { name: '--cgroup', values: 1, negatable: true },
    { name: '--path', values: 1, negatable: true },
  ],
  read(given) {
    const classId = given.one('--cgroup', u32);
    const path = given.one('--path', (text) => text);
    if (classId && !path) {
      return { kind: 'cgroup', group: { classId: classId.value }, negate: classId.negate };
    }
    if (!path || classId) throw new OptionFault('cgroup needs one of --cgroup, --path');
    return { kind: 'cgroup', group: { path: path.value }, negate: path.negate };
  },
};

export const FURTHER_EXTENSIONS: Readonly<Record<string, Extension<Match>>> = {
  quota,
  connbytes,
  u32: u32Match,
  time,
  policy,
  socket,
  cgroup,
  ipvs: virtual,
  string,
};
