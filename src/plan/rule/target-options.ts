/**
 * The targets that rules may have, as iptables reads them: name → options → vocabulary.
 *
 * Source: iptables-extensions(8) 1.8.9 and extensions/libxt_MARK.c, libxt_CONNMARK.c,
 * libxt_NAT.c, libxt_LOG.c, libipt_REJECT.c, libip6t_REJECT.c, libipt_TTL.c, libip6t_HL.c. Those
 * of side-target.ts belong to them.
 * @module
 */
import type { PortRange } from '../../netfilter/match.ts';
import {
  LOG_FLAGS,
  type NatRange,
  REJECT_WITH,
  type RejectWith,
  type Target,
} from '../../netfilter/target.ts';
import {
  type Address,
  compareAddress,
  type Family,
  parseAddress,
} from '../../wire/address/address.ts';
import {
  byte,
  type Extension,
  type Given,
  type Masked,
  masked,
  OptionFault,
  optional,
  portNumber,
  textUpTo,
  u32,
  whole,
} from './option-reader.ts';
import { SIDE_EXTENSIONS } from './side-target.ts';

const FULL = 0xffffffff;

/** The options that both MARK and CONNMARK write as `(mark & ~mask) ^ value`. */
const MARK_OPTIONS = [
  { name: '--set-xmark', values: 1 },
  { name: '--set-mark', values: 1 },
  { name: '--and-mark', values: 1 },
  { name: '--or-mark', values: 1 },
  { name: '--xor-mark', values: 1 },
] as const;

/** Source: libxt_MARK.c `mark_tg_parse`, libxt_CONNMARK.c `connmark_tg_parse`. */
function newMark(given: Given): Masked | undefined {
  const found = [
    given.one('--set-xmark', masked),
    given.one('--set-mark', (text) => {
      const { value, mask } = masked(text);
      return { value, mask: (value | mask) >>> 0 };
    }),
    given.one('--and-mark', (text) => ({ value: 0, mask: ~u32(text) >>> 0 })),
    given.one('--or-mark', (text) => ({ value: u32(text), mask: u32(text) })),
    given.one('--xor-mark', (text) => ({ value: u32(text), mask: 0 })),
  ].filter((part) => part !== undefined);
  if (found.length > 1) throw new OptionFault('only one operation on the mark may be given');
  return found[0]?.value;
}

const mark: Extension<Target> = {
  options: MARK_OPTIONS,
  read(given) {
    const value = newMark(given);
    if (!value) throw new OptionFault('MARK needs one of its options');
    return { kind: 'mark', ...value };
  },
};

const connmark: Extension<Target> = {
  options: [
    ...MARK_OPTIONS,
    { name: '--save-mark', values: 0 },
    { name: '--restore-mark', values: 0 },
    { name: '--nfmask', values: 1 },
    { name: '--ctmask', values: 1 },
    { name: '--mask', values: 1 },
    { name: '--left-shift-mark', values: 1 },
    { name: '--right-shift-mark', values: 1 },
  ],
  read(given) {
    const value = newMark(given);
    const shift = optional('shift', markShift(given));
    const save = given.has('--save-mark');
    const restore = given.has('--restore-mark');
    if ([value !== undefined, save, restore].filter(Boolean).length !== 1) {
      throw new OptionFault('CONNMARK needs exactly one operation');
    }
    if (value) return { kind: 'connmark', operation: 'set', ...value, nfmask: FULL, ...shift };
    const both = given.one('--mask', u32)?.value;
    return {
      kind: 'connmark',
      operation: save ? 'save' : 'restore',
      value: 0,
      mask: given.one('--ctmask', u32)?.value ?? both ?? FULL,
      nfmask: given.one('--nfmask', u32)?.value ?? both ?? FULL,
      ...shift,
    };
  },
};

function markShift(given: Given) {
  const left = given.one('--left-shift-mark', whole(0, 31))?.value;
  const right = given.one('--right-shift-mark', whole(0, 31))?.value;
  if (left !== undefined && right !== undefined) throw new OptionFault('one shift only');
  const direction = left === undefined ? ('right' as const) : ('left' as const);
  const bits = left ?? right ?? 0;
  return bits === 0 ? undefined : { direction, bits };
}

/** Other names that REJECT reads, as pairs of short and full name. */
const REJECT_ALIASES: Readonly<Record<Family, Readonly<Record<string, RejectWith>>>> = {
  4: {
    'net-unreach': 'icmp-net-unreachable',
    'host-unreach': 'icmp-host-unreachable',
    'proto-unreach': 'icmp-proto-unreachable',
    'port-unreach': 'icmp-port-unreachable',
    'net-prohib': 'icmp-net-prohibited',
    'host-prohib': 'icmp-host-prohibited',
    'tcp-rst': 'tcp-reset',
    'admin-prohib': 'icmp-admin-prohibited',
  },
  6: {
    'no-route': 'icmp6-no-route',
    'adm-prohibited': 'icmp6-adm-prohibited',
    'addr-unreach': 'icmp6-addr-unreachable',
    'port-unreach': 'icmp6-port-unreachable',
    'policy-fail': 'icmp6-policy-fail',
    'reject-route': 'icmp6-reject-route',
  },
};

const reject: Extension<Target> = {
  options: [{ name: '--reject-with', values: 1 }],
  read(given) {
    const { family } = given;
    const rejectWith = given.one('--reject-with', (text) => rejectKind(text, family))?.value;
    if (rejectWith !== undefined) return { kind: 'reject', with: rejectWith };
    return {
      kind: 'reject',
      with: family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable',
    };
  },
};

function rejectKind(text: string, family: Family): RejectWith {
  const other = family === 4 ? 'icmp6-' : 'icmp-';
  const names = REJECT_WITH.filter((name) => !name.startsWith(other));
  const found = names.find((name) => name === text) ?? REJECT_ALIASES[family][text];
  if (found === undefined) throw new OptionFault('cannot reject so', text, names.join(', '));
  return found;
}

/** syslog's names by number (libxt_LOG.c `syslog_parse`). */
const LOG_LEVELS: readonly (readonly string[])[] = [
  ['emerg', 'panic'],
  ['alert'],
  ['crit'],
  ['err', 'error'],
  ['warning', 'warn'],
  ['notice'],
  ['info'],
  ['debug'],
];

const log: Extension<Target> = {
  options: [
    { name: '--log-prefix', values: 1 },
    { name: '--log-level', values: 1 },
    ...LOG_FLAGS.map((flag) => ({ name: `--log-${flag}`, values: 0 as const })),
  ],
  read(given) {
    const flags = LOG_FLAGS.filter((flag) => given.has(`--log-${flag}`));
    return {
      kind: 'log',
      prefix: given.one('--log-prefix', textUpTo(29))?.value ?? '',
      level: given.one('--log-level', logLevel)?.value ?? 4,
      ...optional('flags', flags.length > 0 ? flags : undefined),
    };
  },
};

function logLevel(text: string): number {
  const named = LOG_LEVELS.findIndex((names) => names.includes(text.toLowerCase()));
  const level = named >= 0 ? named : byte(text);
  if (level > 7) throw new OptionFault('unknown log level', text, '0–7 or syslog’s names');
  return level;
}

const NAT_FLAGS = [
  { name: '--random', values: 0 },
  { name: '--random-fully', values: 0 },
  { name: '--persistent', values: 0 },
] as const;

function natFlags(given: Given) {
  return {
    random: given.has('--random'),
    randomFully: given.has('--random-fully'),
    persistent: given.has('--persistent'),
  };
}

/** `LOW[-HIGH]` of ports, as NAT writes ranges. */
export function natPorts(text: string): PortRange {
  const [low = '', high = low, ...rest] = text.split('-');
  const range = { low: portNumber(low), high: portNumber(high) };
  if (rest.length > 0 || range.high < range.low) throw new OptionFault('not a port range', text);
  return range;
}

const masquerade: Extension<Target> = {
  options: [{ name: '--to-ports', values: 1 }, ...NAT_FLAGS.slice(0, 2)],
  read(given) {
    const ports = given.one('--to-ports', natPorts)?.value;
    return { kind: 'masquerade', range: { ...optional('ports', ports), ...natFlags(given) } };
  },
};

function nat(kind: 'snat' | 'dnat'): Extension<Target> {
  const name = kind === 'snat' ? '--to-source' : '--to-destination';
  return {
    options: [{ name, values: 1 }, ...NAT_FLAGS],
    read(given) {
      const to = given.needed(name, (text) => natTo(text, given.family)).value;
      return { kind, range: { ...to, ...natFlags(given) } };
    },
  };
}

/** `[LOW[-HIGH]][:PORTS]`; IPv6 addresses stand in brackets when ports follow. */
function natTo(text: string, family: Family): Pick<NatRange, 'low' | 'high' | 'ports'> {
  const form = family === 4 ? /^([^:]*)(?::(.*))?$/ : /^(?:\[([^\]]*)\](?::(.*))?|([^[\]]*))$/;
  const m = form.exec(text);
  const addresses = m?.[1] ?? m?.[3] ?? '';
  const ports = m?.[2] === undefined ? undefined : natPorts(m[2]);
  if (!m || (addresses === '' && ports === undefined)) {
    throw new OptionFault('cannot translate to this', text, 'ADDRESS[-ADDRESS][:PORT[-PORT]]');
  }
  if (addresses === '') return optional('ports', ports);
  const [first = '', last, ...rest] = addresses.split('-');
  const low = natAddress(first, family);
  const high = last === undefined ? low : natAddress(last, family);
  if (rest.length > 0 || compareAddress(high, low) < 0) {
    throw new OptionFault('not a range of addresses', text);
  }
  return {
    low,
    ...optional('high', last === undefined ? undefined : high),
    ...optional('ports', ports),
  };
}

function natAddress(text: string, family: Family): Address {
  const address = parseAddress(text);
  if (address?.family !== family) {
    throw new OptionFault('an address was expected', text, `IPv${family}`);
  }
  return address;
}

function hopLimit(family: Family): Extension<Target> {
  const name = family === 4 ? 'ttl' : 'hl';
  const operations = ['set', 'inc', 'dec'] as const;
  return {
    family,
    options: operations.map((operation) => ({ name: `--${name}-${operation}`, values: 1 })),
    read(given) {
      for (const operation of operations) {
        const value = given.one(`--${name}-${operation}`, byte)?.value;
        if (value !== undefined) return { kind: 'ttl', operation, value };
      }
      throw new OptionFault(`one of --${name}-set, --${name}-inc, --${name}-dec is missing`);
    },
  };
}

const redirect: Extension<Target> = {
  options: [{ name: '--to-ports', values: 1 }, ...NAT_FLAGS.slice(0, 1)],
  read(given) {
    const ports = given.one('--to-ports', natPorts)?.value;
    return { kind: 'redirect', range: { ...optional('ports', ports), ...natFlags(given) } };
  },
};

/** Verdicts that are no extension. */
export const STANDARD_TARGETS: Readonly<Record<string, Target>> = {
  ACCEPT: { kind: 'accept' },
  DROP: { kind: 'drop' },
  RETURN: { kind: 'return' },
};

/** Extensions by the name that `-j` takes. */
export const TARGET_EXTENSIONS: Readonly<Record<string, Extension<Target>>> = {
  MARK: mark,
  CONNMARK: connmark,
  REJECT: reject,
  LOG: log,
  MASQUERADE: masquerade,
  SNAT: nat('snat'),
  DNAT: nat('dnat'),
  TTL: hopLimit(4),
  HL: hopLimit(6),
  REDIRECT: redirect,
  ...SIDE_EXTENSIONS,
};

/** Targets of the tools that are not emulated; a chain cannot have such a name. */
export const FOREIGN_TARGETS: ReadonlySet<string> = new Set(
  (
    'CLUSTERIP CONNSECMARK DNPT ECN HMARK IDLETIMER LED NFQUEUE QUEUE RATEEST SECMARK SNPT ' +
    'SYNPROXY TCPOPTSTRIP TEE TPROXY ULOG'
  ).split(' '),
);
