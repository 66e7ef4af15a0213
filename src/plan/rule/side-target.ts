/**
 * Text and reading of targets that change the packet or note it and let the walk go on, and of
 * the two further translations.
 *
 * Source: iptables 1.8.9, extensions/libxt_CT.c, libxt_NAT.c, libipt_NETMAP.c, libxt_TCPMSS.c,
 * libxt_TOS.c, libxt_DSCP.c, libxt_CHECKSUM.c, libxt_CLASSIFY.c, libxt_SET.c, libxt_NFLOG.c,
 * libxt_TRACE.c, libxt_AUDIT.c.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { Target } from '../../netfilter/target.ts';
import { formatPrefix, maskAddress, parsePrefix } from '../../wire/address/address.ts';
import { maskedByte, twoDigits } from '../match/field-match.ts';
import { setDirections, setName } from '../match/match-options.ts';
import { quoteText, words } from '../match/match-words.ts';
import {
  byte,
  type Extension,
  OptionFault,
  oneOf,
  optional,
  textUpTo,
  u16,
  u32,
  whole,
} from './option-reader.ts';

const SIDE_KINDS = [
  'ct',
  'netmap',
  'tcpmss',
  'tos',
  'dscp',
  'checksum',
  'classify',
  'set',
  'nflog',
  'trace',
  'audit',
] as const;
export type SideTarget = Extract<Target, { kind: (typeof SIDE_KINDS)[number] }>;

/** Write such a target as iptables-save does. */
export function formatSideTarget(target: SideTarget): string {
  switch (target.kind) {
    case 'ct': {
      const { helper, zone, zoneDirection: way } = target;
      const option = way === undefined ? '--zone' : `--zone-${way}`;
      const zoned = zone !== undefined && `${option} ${zone}`;
      return words('-j CT', helper !== undefined && `--helper ${helper}`, zoned);
    }
    case 'netmap':
      return `-j NETMAP --to ${formatPrefix(target.to)}`;
    case 'tcpmss':
      return target.mss === 'pmtu'
        ? '-j TCPMSS --clamp-mss-to-pmtu'
        : `-j TCPMSS --set-mss ${target.mss}`;
    case 'tos':
      return `-j TOS --set-tos ${twoDigits(target.value)}/${twoDigits(target.mask)}`;
    case 'dscp':
      return `-j DSCP --set-dscp ${twoDigits(target.value)}`;
    case 'checksum':
      return '-j CHECKSUM --checksum-fill';
    case 'classify':
      return `-j CLASSIFY --set-class ${fourDigits(target.major)}:${fourDigits(target.minor)}`;
    case 'set': {
      const { operation, set, directions, exist, timeout } = target;
      const what = `-j SET --${operation}-set ${set} ${directions.join(',')}`;
      return words(what, exist && '--exist', timeout !== undefined && `--timeout ${timeout}`);
    }
    case 'nflog':
      return words(
        '-j NFLOG',
        target.prefix !== '' && `--nflog-prefix ${quoteText(target.prefix)}`,
        target.group !== 0 && `--nflog-group ${target.group}`,
        target.size !== undefined && `--nflog-size ${target.size}`,
        target.threshold !== DEFAULT_THRESHOLD && `--nflog-threshold ${target.threshold}`,
      );
    case 'trace':
      return '-j TRACE';
    case 'audit':
      return `-j AUDIT --type ${target.type}`;
    default:
      return unreachable(target);
  }
}

/** XT_NFLOG_DEFAULT_THRESHOLD: not written. */
const DEFAULT_THRESHOLD = 0;

function fourDigits(value: number): string {
  return value.toString(16).padStart(4, '0');
}

const ct: Extension<Target> = {
  options: [
    { name: '--notrack', values: 0 },
    { name: '--helper', values: 1 },
    { name: '--zone', values: 1 },
    { name: '--zone-orig', values: 1 },
    { name: '--zone-reply', values: 1 },
  ],
  read(given) {
    const helper = given.one('--helper', textUpTo(15))?.value;
    const zones = (['--zone', '--zone-orig', '--zone-reply'] as const).flatMap((name) => {
      const zone = given.one(name, zoneOf)?.value;
      if (zone === undefined) return [];
      if (name === '--zone') return [{ zone }];
      return [{ zone, zoneDirection: name === '--zone-orig' ? 'orig' : 'reply' } as const];
    });
    const several = zones.length > 1 || (given.has('--notrack') && (helper ?? zones[0]));
    if (several) throw new OptionFault('these options of CT exclude each other');
    if (given.has('--notrack')) return { kind: 'notrack' };
    if (helper === undefined && zones.length === 0) throw new OptionFault('CT needs an option');
    return { kind: 'ct', ...optional('helper', helper), ...zones[0] };
  },
};

function zoneOf(text: string): number | 'mark' {
  return text === 'mark' ? text : u16(text);
}

const netmap: Extension<Target> = {
  options: [{ name: '--to', values: 1 }],
  read(given) {
    const { value } = given.needed('--to', (text) => {
      const prefix = parsePrefix(text);
      if (prefix?.address.family === given.family) return prefix;
      throw new OptionFault('a network was expected', text, `IPv${given.family}`);
    });
    const { address, length } = value;
    return { kind: 'netmap', to: { address: maskAddress(address, length), length } };
  },
};

const tcpmss: Extension<Target> = {
  options: [
    { name: '--set-mss', values: 1 },
    { name: '--clamp-mss-to-pmtu', values: 0 },
  ],
  read(given) {
    const mss = given.one('--set-mss', whole(1, 0xfffe))?.value;
    if ((mss === undefined) !== given.has('--clamp-mss-to-pmtu')) {
      throw new OptionFault('TCPMSS needs one of --set-mss, --clamp-mss-to-pmtu');
    }
    return { kind: 'tcpmss', mss: mss ?? 'pmtu' };
  },
};

const tos: Extension<Target> = {
  options: [
    { name: '--set-tos', values: 1 },
    { name: '--and-tos', values: 1 },
    { name: '--or-tos', values: 1 },
    { name: '--xor-tos', values: 1 },
  ],
  read(given) {
    const found = [
      given.one('--set-tos', maskedByte),
      given.one('--and-tos', (text) => ({ value: 0, mask: ~byte(text) & 0xff })),
      given.one('--or-tos', (text) => ({ value: byte(text), mask: byte(text) })),
      given.one('--xor-tos', (text) => ({ value: byte(text), mask: 0 })),
    ].flatMap((part) => (part === undefined ? [] : [part.value]));
    const [value] = found;
    if (!value || found.length > 1) throw new OptionFault('TOS needs exactly one operation');
    return { kind: 'tos', ...value };
  },
};

const dscp: Extension<Target> = {
  options: [{ name: '--set-dscp', values: 1 }],
  read: (given) => ({ kind: 'dscp', value: given.needed('--set-dscp', whole(0, 63)).value }),
};

const checksum: Extension<Target> = {
  options: [{ name: '--checksum-fill', values: 0 }],
  read(given) {
    if (!given.has('--checksum-fill')) throw new OptionFault('--checksum-fill is missing');
    return { kind: 'checksum' };
  },
};

const classify: Extension<Target> = {
  options: [{ name: '--set-class', values: 1 }],
  read(given) {
    const { value } = given.needed('--set-class', (text) => {
      const m = /^([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(text);
      if (!m) throw new OptionFault('a class was expected', text, 'MAJOR:MINOR in hexadecimal');
      return {
        major: Number.parseInt(m[1] ?? '', 16),
        minor: Number.parseInt(m[2] ?? '', 16),
      };
    });
    return { kind: 'classify', ...value };
  },
};

const set: Extension<Target> = {
  options: [
    { name: '--add-set', values: 2 },
    { name: '--del-set', values: 2 },
    { name: '--exist', values: 0 },
    { name: '--timeout', values: 1 },
  ],
  read(given) {
    const read = (name: string, directions: string) => ({
      set: setName(name),
      directions: setDirections(directions),
    });
    const add = given.two('--add-set', read)?.value;
    const del = given.two('--del-set', read)?.value;
    const found = add ?? del;
    if (!found || (add && del)) {
      throw new OptionFault('SET needs one of --add-set, --del-set; both at once are not emulated');
    }
    const timeout = given.one('--timeout', u32)?.value;
    if (timeout !== undefined && !add) throw new OptionFault('--timeout goes with --add-set only');
    const operation = add ? 'add' : 'del';
    const exist = given.has('--exist');
    return { kind: 'set', operation, ...found, exist, ...optional('timeout', timeout) };
  },
};

const nflog: Extension<Target> = {
  options: [
    { name: '--nflog-prefix', values: 1 },
    { name: '--nflog-group', values: 1 },
    { name: '--nflog-size', values: 1 },
    { name: '--nflog-threshold', values: 1 },
  ],
  read: (given) => ({
    kind: 'nflog',
    prefix: given.one('--nflog-prefix', textUpTo(63))?.value ?? '',
    group: given.one('--nflog-group', u16)?.value ?? 0,
    ...optional('size', given.one('--nflog-size', u32)?.value),
    threshold: given.one('--nflog-threshold', u16)?.value ?? DEFAULT_THRESHOLD,
  }),
};

const audit: Extension<Target> = {
  options: [{ name: '--type', values: 1 }],
  read: (given) => ({
    kind: 'audit',
    type: given.needed('--type', oneOf(['accept', 'drop', 'reject'])).value,
  }),
};

export const SIDE_EXTENSIONS: Readonly<Record<string, Extension<Target>>> = {
  CT: ct,
  NOTRACK: { options: [], read: () => ({ kind: 'notrack', alias: true }) },
  NETMAP: netmap,
  TCPMSS: tcpmss,
  TOS: tos,
  DSCP: dscp,
  CHECKSUM: checksum,
  CLASSIFY: classify,
  SET: set,
  NFLOG: nflog,
  TRACE: { options: [], read: () => ({ kind: 'trace' }) },
  AUDIT: audit,
};
