/**
 * Text and reading of matches that look at what went before: rates, counts, chance, and lists
 * that rules themselves fill.
 *
 * Rates are kept as the interval that the kernel computes with, so `120/minute` reads as, and
 * prints as, `2/sec`.
 *
 * Source: iptables 1.8.9, extensions/libxt_limit.c (`parse_rate`, `print_rate`),
 * libxt_hashlimit.c, libxt_statistic.c, libxt_recent.c, libxt_connlimit.c, libxt_nfacct.c.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import { HASHLIMIT_MODES, type Match } from '../../netfilter/match.ts';
import {
  bits,
  type Family,
  formatAddress,
  ipv4,
  ipv6,
  maskAddress,
  parseAddress,
} from '../../wire/address/address.ts';
import {
  type Extension,
  type Given,
  OptionFault,
  oneOf,
  optional,
  someOf,
  textUpTo,
  u32,
  whole,
} from '../rule/option-reader.ts';
import { inOrder, quoteText, words } from './match-words.ts';

const METER_KINDS = [
  'limit',
  'random',
  'nth',
  'recent',
  'connlimit',
  'hashlimit',
  'nfacct',
] as const;
export type MeterMatch = Extract<Match, { kind: (typeof METER_KINDS)[number] }>;

/** Write such a match as iptables-save does. */
export function formatMeter(match: MeterMatch): string {
  switch (match.kind) {
    case 'limit': {
      const burst = match.burst !== DEFAULT_BURST && `--limit-burst ${match.burst}`;
      return words(`-m limit --limit ${formatRate(match.interval, LIMIT_SCALE)}`, burst);
    }
    case 'random': {
      const probability = (match.threshold / 2 ** 31).toFixed(11);
      const not = match.negate && '!';
      return words('-m statistic --mode random', not, `--probability ${probability}`);
    }
    case 'nth': {
      const not = match.negate && '!';
      const { every, packet } = match;
      return words('-m statistic --mode nth', not, `--every ${every} --packet ${packet}`);
    }
    case 'recent':
      return words(
        '-m recent',
        match.negate && '!',
        `--${match.operation}`,
        match.seconds !== 0 && `--seconds ${match.seconds}`,
        match.reap && '--reap',
        match.hitcount !== 0 && `--hitcount ${match.hitcount}`,
        match.ttl && '--rttl',
        `--name ${match.list} --mask ${formatAddress(match.mask)}`,
        match.side === 'source' ? '--rsource' : '--rdest',
      );
    case 'connlimit': {
      const side = match.side === 'source' ? '--connlimit-saddr' : '--connlimit-daddr';
      const name = match.above ? '--connlimit-above' : '--connlimit-upto';
      return `-m connlimit ${name} ${match.limit} --connlimit-mask ${match.maskLength} ${side}`;
    }
    case 'hashlimit':
      return formatHashlimit(match);
    // Two blanks, as libxt_nfacct prints it.
    case 'nfacct':
      return `-m nfacct --nfacct-name  ${quoteText(match.name)}`;
    default:
      return unreachable(match);
  }
}

type Hashlimit = Extract<Match, { kind: 'hashlimit' }>;

function formatHashlimit(match: Hashlimit): string {
  const table = (name: string, value: number | undefined) =>
    value !== undefined && `--hashlimit-${name} ${value}`;
  return words(
    `-m hashlimit --hashlimit-${match.above ? 'above' : 'upto'}`,
    formatRate(match.interval, HASHLIMIT_SCALE),
    `--hashlimit-burst ${match.burst}`,
    match.modes.length > 0 && `--hashlimit-mode ${inOrder(HASHLIMIT_MODES, match.modes)}`,
    `--hashlimit-name ${match.name}`,
    table('htable-size', match.size),
    table('htable-max', match.max),
    table('htable-gcinterval', match.gcInterval),
    table('htable-expire', match.expire),
    match.sourceLength !== FULL_LENGTH && `--hashlimit-srcmask ${match.sourceLength}`,
    match.destinationLength !== FULL_LENGTH && `--hashlimit-dstmask ${match.destinationLength}`,
  );
}

/** Ticks a second: XT_LIMIT_SCALE, XT_HASHLIMIT_SCALE_v2. */
const LIMIT_SCALE = 10_000;
const HASHLIMIT_SCALE = 1_000_000;
const DEFAULT_BURST = 5;
/** A prefix length that is not written, of either family. */
const FULL_LENGTH = 128;

/** Units of rates and their seconds, longest first. */
const UNITS: readonly (readonly [string, number])[] = [
  ['day', 86_400],
  ['hour', 3600],
  ['min', 60],
  ['sec', 1],
];

/** As `print_rate`: the shortest unit in which the rate is still a whole number. */
function formatRate(interval: number, scale: number): string {
  const [unit, seconds] = printedUnit(interval, scale);
  return `${Math.floor((seconds * scale) / interval)}/${unit}`;
}

function printedUnit(interval: number, scale: number): readonly [string, number] {
  let found = UNITS[0] ?? ['day', 86_400];
  for (const unit of UNITS) {
    const ticks = unit[1] * scale;
    if (interval > ticks || Math.floor(ticks / interval) < ticks % interval) break;
    found = unit;
  }
  return found;
}

/** As `parse_rate`: `NUMBER[/UNIT]`, any beginning of the unit's name. */
function rate(scale: number): (text: string) => number {
  return (text) => readRate(scale)(text).interval;
}

/** The interval, and the unit that it was written in. */
function readRate(scale: number) {
  return (text: string): { readonly interval: number; readonly seconds: number } => {
    const m = /^(\d{1,9})(?:\/([a-z]+))?$/i.exec(text);
    const amount = Number(m?.[1] ?? 0);
    const wanted = (m?.[2] ?? 'second').toLowerCase();
    const names = ['day', 'hour', 'minute', 'second'];
    const seconds = UNITS[names.findIndex((name) => name.startsWith(wanted))]?.[1];
    const interval = seconds === undefined ? 0 : Math.floor((seconds * scale) / amount);
    if (seconds === undefined || amount === 0 || interval === 0) {
      const accepted = `NUMBER[/second|/minute|/hour|/day], at most ${scale} a second`;
      throw new OptionFault('not a rate of packets', text, accepted);
    }
    return { interval, seconds };
  };
}

const limit: Extension<Match> = {
  options: [
    { name: '--limit', values: 1 },
    { name: '--limit-burst', values: 1 },
  ],
  read: (given) => ({
    kind: 'limit',
    interval: given.one('--limit', rate(LIMIT_SCALE))?.value ?? (3600 * LIMIT_SCALE) / 3,
    burst: given.one('--limit-burst', whole(1, 10_000))?.value ?? DEFAULT_BURST,
  }),
};

const statistic: Extension<Match> = {
  options: [
    { name: '--mode', values: 1 },
    { name: '--probability', values: 1, negatable: true },
    { name: '--every', values: 1, negatable: true },
    { name: '--packet', values: 1 },
  ],
  read(given) {
    const mode = given.needed('--mode', oneOf(['random', 'nth'])).value;
    if (mode === 'random') {
      const { value, negate } = given.needed('--probability', probability);
      return { kind: 'random', threshold: value, negate };
    }
    const every = given.needed('--every', whole(1, 0xffffffff));
    const packet = given.needed('--packet', u32).value;
    if (packet >= every.value) throw new OptionFault('--packet must be below --every', `${packet}`);
    return { kind: 'nth', every: every.value, packet, negate: every.negate };
  },
};

/** The kernel's 31 bits of a probability (libxt_statistic.c: `lround(0x80000000 * prob)`). */
function probability(text: string): number {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : -1;
  if (value < 0 || value > 1) throw new OptionFault('a probability was expected', text, '0–1');
  return Math.round(value * 2 ** 31);
}

const RECENT_OPERATIONS = ['set', 'rcheck', 'update', 'remove'] as const;

const recent: Extension<Match> = {
  options: [
    ...RECENT_OPERATIONS.map((name) => ({
      name: `--${name}`,
      values: 0 as const,
      negatable: true as const,
    })),
    { name: '--seconds', values: 1 },
    { name: '--reap', values: 0 },
    { name: '--hitcount', values: 1 },
    { name: '--rttl', values: 0 },
    { name: '--name', values: 1 },
    { name: '--mask', values: 1 },
    { name: '--rsource', values: 0 },
    { name: '--rdest', values: 0 },
  ],
  read(given) {
    const operations = RECENT_OPERATIONS.filter((name) => given.has(`--${name}`));
    const [operation] = operations;
    if (operation === undefined || operations.length > 1) {
      throw new OptionFault('recent needs one of --set, --rcheck, --update, --remove');
    }
    const limits = ['--seconds', '--hitcount', '--rttl', '--reap'].filter((name) =>
      given.has(name),
    );
    if (limits[0] !== undefined && (operation === 'set' || operation === 'remove')) {
      throw new OptionFault(`${limits[0]} goes with --rcheck and --update only`);
    }
    if (given.has('--reap') && !given.has('--seconds')) {
      throw new OptionFault('--reap needs --seconds');
    }
    return {
      kind: 'recent',
      operation,
      negate: given.flag(`--${operation}`)?.negate ?? false,
      seconds: given.one('--seconds', whole(1, 0xffffffff))?.value ?? 0,
      reap: given.has('--reap'),
      hitcount: given.one('--hitcount', whole(1, 65535))?.value ?? 0,
      ttl: given.has('--rttl'),
      list: given.one('--name', textUpTo(199))?.value ?? 'DEFAULT',
      mask: recentMask(given),
      side: given.has('--rdest') ? 'destination' : 'source',
    };
  },
};

function recentMask(given: Given) {
  const whole = given.family === 4 ? ipv4(~0) : ipv6(~0, ~0, ~0, ~0);
  const read = given.one('--mask', (text) => {
    const mask = parseAddress(text);
    if (mask?.family !== given.family) throw new OptionFault('a mask was expected', text);
    return mask;
  });
  return maskAddress(read?.value ?? whole, bits(given.family));
}

const connlimit: Extension<Match> = {
  options: [
    { name: '--connlimit-above', values: 1, negatable: true },
    { name: '--connlimit-upto', values: 1, negatable: true },
    { name: '--connlimit-mask', values: 1 },
    { name: '--connlimit-saddr', values: 0 },
    { name: '--connlimit-daddr', values: 0 },
  ],
  read(given) {
    const above = given.one('--connlimit-above', u32);
    const upto = given.one('--connlimit-upto', u32);
    const found = above ?? upto;
    if (!found || (above && upto)) {
      throw new OptionFault('connlimit needs one of --connlimit-above, --connlimit-upto');
    }
    return {
      kind: 'connlimit',
      above: (above !== undefined) !== found.negate,
      limit: found.value,
      maskLength:
        given.one('--connlimit-mask', lengthOf(given.family))?.value ?? bits(given.family),
      side: given.has('--connlimit-daddr') ? 'destination' : 'source',
    };
  },
};

function lengthOf(family: Family): (text: string) => number {
  return whole(0, bits(family));
}

const hashlimit: Extension<Match> = {
  options: [
    { name: '--hashlimit-upto', aliases: ['--hashlimit'], values: 1, negatable: true },
    { name: '--hashlimit-above', values: 1, negatable: true },
    { name: '--hashlimit-burst', values: 1 },
    { name: '--hashlimit-mode', values: 1 },
    { name: '--hashlimit-name', values: 1 },
    { name: '--hashlimit-srcmask', values: 1 },
    { name: '--hashlimit-dstmask', values: 1 },
    { name: '--hashlimit-htable-size', values: 1 },
    { name: '--hashlimit-htable-max', values: 1 },
    { name: '--hashlimit-htable-gcinterval', values: 1 },
    { name: '--hashlimit-htable-expire', values: 1 },
  ],
  read(given) {
    const above = given.one('--hashlimit-above', readRate(HASHLIMIT_SCALE));
    const found = above ?? given.needed('--hashlimit-upto', readRate(HASHLIMIT_SCALE));
    const { interval, seconds } = found.value;
    const length = (name: string) => {
      const value = given.one(name, lengthOf(given.family))?.value;
      return value === undefined || value === bits(given.family) ? FULL_LENGTH : value;
    };
    const table = (name: string) => given.one(`--hashlimit-htable-${name}`, u32)?.value;
    // The unit that was typed is how long a bucket lives; only another than is printed is written.
    const expire = table('expire') ?? seconds * 1000;
    const unwritten = expire === printedUnit(interval, HASHLIMIT_SCALE)[1] * 1000;
    return {
      kind: 'hashlimit',
      above: (above !== undefined) !== found.negate,
      interval,
      burst: given.one('--hashlimit-burst', whole(1, 1_000_000))?.value ?? DEFAULT_BURST,
      modes: given.one('--hashlimit-mode', someOf(HASHLIMIT_MODES))?.value ?? [],
      name: given.needed('--hashlimit-name', textUpTo(254)).value,
      sourceLength: length('--hashlimit-srcmask'),
      destinationLength: length('--hashlimit-dstmask'),
      ...optional('size', table('size')),
      ...optional('max', table('max')),
      ...optional('gcInterval', table('gcinterval')),
      ...optional('expire', unwritten ? undefined : expire),
    };
  },
};

const nfacct: Extension<Match> = {
  options: [{ name: '--nfacct-name', values: 1 }],
  read: (given) => ({ kind: 'nfacct', name: given.needed('--nfacct-name', textUpTo(31)).value }),
};

export const METER_EXTENSIONS: Readonly<Record<string, Extension<Match>>> = {
  limit,
  statistic,
  recent,
  connlimit,
  hashlimit,
  nfacct,
};
