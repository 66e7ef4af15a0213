/**
 * Text and reading of matches on single fields of the packet, its frame, its socket or its
 * helper.
 *
 * Source: iptables 1.8.9, extensions/libxt_owner.c, libxt_length.c, libipt_ttl.c, libip6t_hl.c,
 * libxt_mac.c, libxt_pkttype.c, libxt_iprange.c, libxt_dscp.c, libxt_tos.c, libxt_helper.c.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import {
  type AddressRange,
  type Match,
  PACKET_TYPES,
  REDACTED_MAC,
} from '../../netfilter/match.ts';
import {
  compareAddress,
  type Family,
  formatAddress,
  parseAddress,
} from '../../wire/address/address.ts';
import {
  byte,
  type Extension,
  OptionFault,
  oneOf,
  optional,
  portRange,
  textUpTo,
  u32,
  whole,
} from '../rule/option-reader.ts';
import { formatPortRange, negated, option, quoteText, words } from './match-words.ts';

const FIELD_KINDS = [
  'owner',
  'length',
  'ttl',
  'hl',
  'mac',
  'pkttype',
  'iprange',
  'dscp',
  'tos',
  'helper',
] as const;
export type FieldMatch = Extract<Match, { kind: (typeof FIELD_KINDS)[number] }>;

/** Write such a match as iptables-save does. */
export function formatField(match: FieldMatch): string {
  switch (match.kind) {
    case 'owner':
      return words(
        '-m owner',
        option('--socket-exists', match.socketExists, () => ''),
        option('--uid-owner', match.uid, formatIds),
        option('--gid-owner', match.gid, formatIds),
        match.supplementaryGroups && '--suppl-groups',
      );
    case 'length':
      return `-m length ${negated(match)}--length ${formatPortRange(match.range)}`;
    case 'ttl':
    case 'hl': {
      const { kind, comparison, value } = match;
      return `-m ${kind} ${negated(match)}--${kind}-${comparison} ${value}`;
    }
    case 'mac':
      return `-m mac ${negated(match)}--mac-source ${match.address}`;
    case 'pkttype':
      return `-m pkttype ${negated(match)}--pkt-type ${match.type}`;
    case 'iprange':
      return words(
        '-m iprange',
        option('--src-range', match.source, formatAddressRange),
        option('--dst-range', match.destination, formatAddressRange),
      );
    case 'dscp':
      return `-m dscp ${negated(match)}--dscp ${twoDigits(match.value)}`;
    case 'tos':
      return `-m tos ${negated(match)}--tos ${twoDigits(match.value)}/${twoDigits(match.mask)}`;
    case 'helper':
      return `-m helper ${negated(match)}--helper ${quoteText(match.name)}`;
    default:
      return unreachable(match);
  }
}

/** `0x2e`: a byte as the tools print it. */
export function twoDigits(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}

interface Ids {
  readonly low: number;
  readonly high: number;
}

function formatIds({ low, high }: Ids): string {
  return low === high ? `${low}` : `${low}-${high}`;
}

function formatAddressRange({ low, high }: AddressRange): string {
  return `${formatAddress(low)}-${formatAddress(high)}`;
}

/** Numbers only: names of users belong to the host that the file came from. */
function ids(text: string): Ids {
  const [low = '', high = low, ...rest] = text.split('-');
  const range = { low: u32(low), high: u32(high) };
  if (rest.length > 0 || range.high < range.low) throw new OptionFault('not a range', text);
  return range;
}

const owner: Extension<Match> = {
  options: [
    { name: '--uid-owner', values: 1, negatable: true },
    { name: '--gid-owner', values: 1, negatable: true },
    { name: '--socket-exists', values: 0, negatable: true },
    { name: '--suppl-groups', values: 0 },
  ],
  read(given) {
    const match = {
      kind: 'owner' as const,
      ...optional('uid', given.one('--uid-owner', ids)),
      ...optional('gid', given.one('--gid-owner', ids)),
      ...optional('socketExists', given.flag('--socket-exists')),
      ...optional('supplementaryGroups', given.has('--suppl-groups') || undefined),
    };
    if (Object.keys(match).length === 1) throw new OptionFault('owner needs an option');
    if (match.supplementaryGroups && !match.gid) {
      throw new OptionFault('--suppl-groups needs --gid-owner');
    }
    return match;
  },
};

const length: Extension<Match> = {
  options: [{ name: '--length', values: 1, negatable: true }],
  read(given) {
    const { value, negate } = given.needed('--length', portRange);
    return { kind: 'length', range: value, negate };
  },
};

function hopLimit(kind: 'ttl' | 'hl', family: Family): Extension<Match> {
  return {
    family,
    options: [
      { name: `--${kind}-eq`, values: 1, negatable: true },
      { name: `--${kind}-lt`, values: 1 },
      { name: `--${kind}-gt`, values: 1 },
    ],
    read(given) {
      for (const comparison of ['eq', 'lt', 'gt'] as const) {
        const found = given.one(`--${kind}-${comparison}`, byte);
        if (found) return { kind, comparison, ...found };
      }
      throw new OptionFault(`one of --${kind}-eq, --${kind}-lt, --${kind}-gt is missing`);
    },
  };
}

const mac: Extension<Match> = {
  options: [{ name: '--mac-source', values: 1, negatable: true }],
  read(given) {
    const { value, negate } = given.needed('--mac-source', (text) => {
      if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return text.toLowerCase();
      if (text === REDACTED_MAC) return text;
      throw new OptionFault('a MAC address was expected', text);
    });
    return { kind: 'mac', address: value, negate };
  },
};

const pkttype: Extension<Match> = {
  options: [{ name: '--pkt-type', values: 1, negatable: true }],
  read(given) {
    const { value, negate } = given.needed('--pkt-type', (text) =>
      text.toLowerCase() === 'host' ? 'unicast' : oneOf(PACKET_TYPES)(text),
    );
    return { kind: 'pkttype', type: value, negate };
  },
};

const iprange: Extension<Match> = {
  options: [
    { name: '--src-range', values: 1, negatable: true },
    { name: '--dst-range', values: 1, negatable: true },
  ],
  read(given) {
    const range = (text: string) => addressRange(text, given.family);
    const match = {
      kind: 'iprange' as const,
      ...optional('source', given.one('--src-range', range)),
      ...optional('destination', given.one('--dst-range', range)),
    };
    if (!match.source && !match.destination) {
      throw new OptionFault('iprange needs --src-range or --dst-range');
    }
    return match;
  },
};

function addressRange(text: string, family: Family): AddressRange {
  const [first = '', last = first, ...rest] = text.split('-');
  const [low, high] = [parseAddress(first), parseAddress(last)];
  const ordered =
    low?.family === family && high?.family === family && compareAddress(low, high) <= 0;
  if (!low || !high || !ordered || rest.length > 0) {
    throw new OptionFault('a range of addresses was expected', text, `IPv${family} LOW-HIGH`);
  }
  return { low, high };
}

/** Names of classes (libxt_dscp.c, dscp_helper.c `ds_classes`). */
function dscpClass(text: string): number {
  const m = /^(?:CS([0-7])|AF([1-4])([1-3])|(BE)|(EF))$/i.exec(text);
  if (!m) throw new OptionFault('unknown class', text, 'CS0–CS7, AF11–AF43, BE, EF');
  if (m[5] !== undefined) return 0x2e;
  if (m[4] !== undefined) return 0;
  return m[1] !== undefined ? Number(m[1]) * 8 : Number(m[2]) * 8 + Number(m[3]) * 2;
}

const dscp: Extension<Match> = {
  options: [
    { name: '--dscp', values: 1, negatable: true },
    { name: '--dscp-class', values: 1, negatable: true },
  ],
  read(given) {
    const found = given.one('--dscp-class', dscpClass) ?? given.needed('--dscp', whole(0, 63));
    return { kind: 'dscp', ...found };
  },
};

/** `VALUE[/MASK]` of a byte. */
export function maskedByte(text: string): { readonly value: number; readonly mask: number } {
  const [value = '', mask] = text.split('/', 2);
  return { value: byte(value), mask: mask === undefined ? 0xff : byte(mask) };
}

/** Names are printed as numbers with the mask of their field (tos_values.c). */
const TOS_NAMES: Readonly<Record<string, number>> = {
  'minimize-delay': 0x10,
  'maximize-throughput': 0x08,
  'maximize-reliability': 0x04,
  'minimize-cost': 0x02,
  'normal-service': 0x00,
};

const tos: Extension<Match> = {
  options: [{ name: '--tos', values: 1, negatable: true }],
  read(given) {
    const { value, negate } = given.needed('--tos', (text) => {
      const named = TOS_NAMES[text.toLowerCase()];
      return named === undefined ? maskedByte(text) : { value: named, mask: 0x3f };
    });
    return { kind: 'tos', ...value, negate };
  },
};

const helper: Extension<Match> = {
  options: [{ name: '--helper', values: 1, negatable: true }],
  read(given) {
    const { value, negate } = given.needed('--helper', textUpTo(29));
    return { kind: 'helper', name: value, negate };
  },
};

export const FIELD_EXTENSIONS: Readonly<Record<string, Extension<Match>>> = {
  owner,
  length,
  ttl: hopLimit('ttl', 4),
  hl: hopLimit('hl', 6),
  mac,
  pkttype,
  iprange,
  dscp,
  tos,
  helper,
};
