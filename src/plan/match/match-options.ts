/**
 * The matches that rules may ask for, as iptables reads them: name → options → vocabulary.
 *
 * Source: iptables-extensions(8) 1.8.9 and extensions/libxt_*.c, libipt_icmp.c, libip6t_icmp6.c
 * (`xt_option_entry` tables and `*_parse`). Length limits are the kernel's
 * (uapi/linux/netfilter).
 * @module
 */
import {
  ADDRESS_TYPES,
  CT_STATES,
  CT_STATUSES,
  type Match,
  type PortRange,
  type SetDirection,
} from '../../netfilter/match.ts';
import { Protocol } from '../../wire/protocol.ts';
import { type IcmpType, icmpTypeByName } from '../rule/icmp-names.ts';
import { networkPrefix } from '../rule/network-prefix.ts';
import {
  anyPortRange,
  byte,
  type Extension,
  type Given,
  masked,
  OptionFault,
  oneOf,
  optional,
  portRange,
  someOf,
  textUpTo,
  u32,
  whole,
} from '../rule/option-reader.ts';
import { parseProtocol } from '../rule/protocol-name.ts';
import { parseChunks, parseDccpTypes } from './chunk-match.ts';
import { FIELD_EXTENSIONS } from './field-match.ts';
import { FURTHER_EXTENSIONS } from './further-match.ts';
import { TCP_FLAGS } from './match-words.ts';
import { METER_EXTENSIONS } from './meter-match.ts';

const PORT_OPTIONS = [
  { name: '--sport', aliases: ['--source-port'], values: 1, negatable: true },
  { name: '--dport', aliases: ['--destination-port'], values: 1, negatable: true },
] as const;

const PORT_PROTOCOLS = [
  Protocol.tcp,
  Protocol.udp,
  Protocol.udplite,
  Protocol.sctp,
  Protocol.dccp,
] as const;

/** Ports of a match; the full range without `!` is no condition, and the kernel forgets it. */
function ports(given: Given, range: typeof portRange = portRange) {
  const read = (name: string) => {
    const part = given.one(name, range);
    const all = part?.value.low === 0 && part.value.high === 0xffff && !part.negate;
    return all ? undefined : part;
  };
  return {
    ...optional('sport', read('--sport')),
    ...optional('dport', read('--dport')),
  };
}

const tcp: Extension<Match> = {
  protocols: [Protocol.tcp],
  options: [
    ...PORT_OPTIONS,
    { name: '--tcp-flags', values: 2, negatable: true },
    { name: '--syn', values: 0, negatable: true },
    { name: '--tcp-option', values: 1, negatable: true },
  ],
  read(given) {
    const syn = given.flag('--syn');
    const flags = given.two('--tcp-flags', (mask, set) => ({
      mask: tcpFlags(mask),
      set: tcpFlags(set),
    }));
    if (syn && flags) throw new OptionFault('--syn and --tcp-flags exclude each other');
    const opening = syn && { value: { mask: 0x17, set: 0x02 }, negate: syn.negate };
    const all = { ...ports(given), ...optional('flags', flags ?? opening) };
    return { kind: 'tcp', ...all, ...optional('option', given.one('--tcp-option', whole(1, 255))) };
  },
};

function tcpFlags(text: string): number {
  let bits = 0;
  for (const word of text.toUpperCase().split(',')) {
    const bit = TCP_FLAGS.find(([name]) => name === word)?.[1];
    if (bit !== undefined) bits |= bit;
    else if (word === 'ALL') bits |= 0x3f;
    else if (word !== 'NONE') {
      throw new OptionFault('unknown TCP flag', word, 'FIN,SYN,RST,PSH,ACK,URG, ALL or NONE');
    }
  }
  return bits;
}

const udp: Extension<Match> = {
  protocols: [Protocol.udp, Protocol.udplite],
  options: PORT_OPTIONS,
  // Its part of the tool (libxt_udp.c) does not look which end of the range is first.
  read: (given) => ({ kind: 'udp', ...ports(given, anyPortRange) }),
};

const sctp: Extension<Match> = {
  protocols: [Protocol.sctp],
  options: [...PORT_OPTIONS, { name: '--chunk-types', values: 2, negatable: true }],
  read(given) {
    const chunks = given.two('--chunk-types', parseChunks);
    return { kind: 'sctp', ...ports(given), ...optional('chunks', chunks) };
  },
};

const dccp: Extension<Match> = {
  protocols: [Protocol.dccp],
  options: [
    ...PORT_OPTIONS,
    { name: '--dccp-types', values: 1, negatable: true },
    { name: '--dccp-option', values: 1, negatable: true },
  ],
  read: (given) => ({
    kind: 'dccp',
    ...ports(given, anyPortRange),
    ...optional('types', given.one('--dccp-types', parseDccpTypes)),
    ...optional('option', given.one('--dccp-option', whole(1, 255))),
  }),
};

const icmp: Extension<Match> = {
  family: 4,
  protocols: [Protocol.icmp],
  options: [{ name: '--icmp-type', values: 1, negatable: true }],
  read: (given) => ({ kind: 'icmp', type: icmpType(given, '--icmp-type') }),
};

const icmp6: Extension<Match> = {
  family: 6,
  protocols: [Protocol.icmpv6],
  options: [{ name: '--icmpv6-type', aliases: ['--icmp-type'], values: 1, negatable: true }],
  read: (given) => ({ kind: 'icmp6', type: icmpType(given, '--icmpv6-type') }),
};

function icmpType(given: Given, option: string) {
  return given.needed(option, (text): IcmpType => {
    const named = icmpTypeByName(text, given.family);
    if (named) return named;
    const slash = text.indexOf('/');
    if (slash < 0) return { type: byte(text), codes: { low: 0, high: 255 } };
    const code = byte(text.slice(slash + 1));
    return { type: byte(text.slice(0, slash)), codes: { low: code, high: code } };
  });
}

const multiport: Extension<Match> = {
  protocols: PORT_PROTOCOLS,
  options: [
    { name: '--sports', aliases: ['--source-ports'], values: 1, negatable: true },
    { name: '--dports', aliases: ['--destination-ports'], values: 1, negatable: true },
    { name: '--ports', values: 1, negatable: true },
  ],
  read(given) {
    for (const which of ['sports', 'dports', 'ports'] as const) {
      const list = given.one(`--${which}`, multiportList);
      if (list) return { kind: 'multiport', which, ports: list.value, negate: list.negate };
    }
    throw new OptionFault('one of --sports, --dports, --ports is missing');
  },
};

/** At most 15 numbers, a range counting as two (XT_MULTI_PORTS). */
function multiportList(text: string): readonly PortRange[] {
  const ranges = text.split(',').map(portRange);
  const slots = text.split(/[,:]/).length;
  if (slots > 15)
    throw new OptionFault('too many ports', text, 'at most 15, a range counts as two');
  return ranges;
}

const state: Extension<Match> = {
  options: [{ name: '--state', values: 1, negatable: true }],
  read(given) {
    const states = CT_STATES.filter((s) => s !== 'SNAT' && s !== 'DNAT');
    const { value, negate } = given.needed('--state', someOf(states));
    return { kind: 'state', states: value, negate };
  },
};

/** The conditions of xt_conntrack that make it more than a test of the state. */
const DETAIL_OPTIONS = [
  'ctproto',
  'ctorigsrc',
  'ctorigdst',
  'ctreplsrc',
  'ctrepldst',
  'ctorigsrcport',
  'ctorigdstport',
  'ctreplsrcport',
  'ctrepldstport',
  'ctstatus',
  'ctexpire',
].map((name) => ({ name: `--${name}`, values: 1 as const, negatable: true as const }));

const conntrack: Extension<Match> = {
  options: [
    { name: '--ctstate', values: 1, negatable: true },
    ...DETAIL_OPTIONS,
    { name: '--ctdir', values: 1 },
  ],
  read(given) {
    const hasDetail = [...DETAIL_OPTIONS, { name: '--ctdir' }].some(({ name }) => given.has(name));
    if (hasDetail) return conntrackDetail(given);
    const { value, negate } = given.needed('--ctstate', someOf(CT_STATES));
    return { kind: 'conntrack', states: value, negate };
  },
};

function conntrackDetail(given: Given): Match {
  const net = (text: string) => networkPrefix(text, given.family);
  const direction = given.one('--ctdir', oneOf(['ORIGINAL', 'REPLY']))?.value;
  return {
    kind: 'conntrackDetail',
    ...optional('states', given.one('--ctstate', someOf(CT_STATES))),
    ...optional('protocol', given.one('--ctproto', protocolOf)),
    ...optional('originalSource', given.one('--ctorigsrc', net)),
    ...optional('originalDestination', given.one('--ctorigdst', net)),
    ...optional('replySource', given.one('--ctreplsrc', net)),
    ...optional('replyDestination', given.one('--ctrepldst', net)),
    ...optional('originalSourcePort', given.one('--ctorigsrcport', portRange)),
    ...optional('originalDestinationPort', given.one('--ctorigdstport', portRange)),
    ...optional('replySourcePort', given.one('--ctreplsrcport', portRange)),
    ...optional('replyDestinationPort', given.one('--ctrepldstport', portRange)),
    ...optional('status', given.one('--ctstatus', someOf(CT_STATUSES))),
    ...optional('expires', given.one('--ctexpire', seconds)),
    ...optional('direction', direction),
  };
}

function protocolOf(text: string): number {
  const value = parseProtocol(text);
  if (value === null) throw new OptionFault('unknown protocol', text);
  return value;
}

/** `SECONDS` or `LOW:HIGH`. */
function seconds(text: string): { readonly low: number; readonly high: number } {
  const [low = '', high = low, ...rest] = text.split(':');
  const range = { low: u32(low), high: u32(high) };
  if (rest.length > 0 || range.high < range.low) throw new OptionFault('not a range', text);
  return range;
}

function markMatch(kind: 'mark' | 'connmark'): Extension<Match> {
  return {
    options: [{ name: '--mark', values: 1, negatable: true }],
    read(given) {
      const { value, negate } = given.needed('--mark', masked);
      return { kind, ...value, negate };
    },
  };
}

const set: Extension<Match> = {
  options: [{ name: '--match-set', aliases: ['--set'], values: 2, negatable: true }],
  read(given) {
    const found = given.two('--match-set', (name, directions) => ({
      set: setName(name),
      directions: setDirections(directions),
    }));
    if (!found) throw new OptionFault('--match-set is missing');
    return { kind: 'set', ...found.value, negate: found.negate };
  },
};

/** IPSET_MAXNAMELEN is 32 with its end. */
export const setName = textUpTo(31);

/** One to six directions (IPSET_DIM_MAX). */
export function setDirections(text: string): readonly SetDirection[] {
  const list = text.split(',').map(oneOf<SetDirection>(['src', 'dst']));
  if (list.length > 6) throw new OptionFault('too many directions', text, 'at most 6');
  return list;
}

/** IFNAMSIZ is 16 with its end; a trailing `+` counts. */
export function interfaceName(text: string): string {
  if (text === '' || text.length > 15 || /[\s/]/.test(text)) {
    throw new OptionFault('an interface name was expected', text, '1–15 characters, no blank or /');
  }
  return text;
}

const physdev: Extension<Match> = {
  options: [
    { name: '--physdev-in', values: 1, negatable: true },
    { name: '--physdev-out', values: 1, negatable: true },
    { name: '--physdev-is-in', values: 0, negatable: true },
    { name: '--physdev-is-out', values: 0, negatable: true },
    { name: '--physdev-is-bridged', values: 0, negatable: true },
  ],
  read(given) {
    const match = {
      kind: 'physdev' as const,
      ...optional('physIn', given.one('--physdev-in', interfaceName)),
      ...optional('physOut', given.one('--physdev-out', interfaceName)),
      ...optional('isIn', given.flag('--physdev-is-in')),
      ...optional('isOut', given.flag('--physdev-is-out')),
      ...optional('isBridged', given.flag('--physdev-is-bridged')),
    };
    if (Object.keys(match).length === 1) throw new OptionFault('physdev needs an option');
    return match;
  },
};

/** What xt_addrtype.c `addrtype_mt_checkentry_v1` takes for IPv6. */
const ADDRESS_TYPES_6 = ADDRESS_TYPES.filter((type) => {
  return type !== 'BROADCAST' && type !== 'BLACKHOLE' && type !== 'PROHIBIT';
});

const addrtype: Extension<Match> = {
  options: [
    { name: '--src-type', values: 1, negatable: true },
    { name: '--dst-type', values: 1, negatable: true },
    { name: '--limit-iface-in', values: 0 },
    { name: '--limit-iface-out', values: 0 },
  ],
  read(given) {
    const types = someOf(given.family === 4 ? ADDRESS_TYPES : ADDRESS_TYPES_6);
    const match = {
      kind: 'addrtype' as const,
      ...optional('source', given.one('--src-type', types)),
      ...optional('destination', given.one('--dst-type', types)),
      limitIfaceIn: given.has('--limit-iface-in'),
      limitIfaceOut: given.has('--limit-iface-out'),
    };
    if (!('source' in match || 'destination' in match)) {
      throw new OptionFault('addrtype needs --src-type or --dst-type');
    }
    if (match.limitIfaceIn && match.limitIfaceOut) {
      throw new OptionFault('--limit-iface-in and --limit-iface-out exclude each other');
    }
    return match;
  },
};

const rpfilter: Extension<Match> = {
  options: [
    { name: '--loose', values: 0 },
    { name: '--validmark', values: 0 },
    { name: '--accept-local', values: 0 },
    { name: '--invert', values: 0 },
  ],
  read: (given) => ({
    kind: 'rpfilter',
    loose: given.has('--loose'),
    validmark: given.has('--validmark'),
    acceptLocal: given.has('--accept-local'),
    invert: given.has('--invert'),
  }),
};

const comment: Extension<Match> = {
  options: [{ name: '--comment', values: 1 }],
  read: (given) => ({ kind: 'comment', text: given.needed('--comment', textUpTo(255)).value }),
};

/** Extensions by the name that `-m` takes. */
export const MATCH_EXTENSIONS: Readonly<Record<string, Extension<Match>>> = {
  tcp,
  udp,
  sctp,
  dccp,
  icmp,
  icmp6,
  icmpv6: icmp6,
  multiport,
  conntrack,
  state,
  mark: markMatch('mark'),
  connmark: markMatch('connmark'),
  set,
  physdev,
  addrtype,
  rpfilter,
  comment,
  ...METER_EXTENSIONS,
  ...FIELD_EXTENSIONS,
  ...FURTHER_EXTENSIONS,
};

/** The match that `-p PROTOCOL` brings when one of its options is used without `-m`. */
export const MATCH_OF_PROTOCOL: ReadonlyMap<number, string> = new Map([
  [Protocol.tcp, 'tcp'],
  [Protocol.udp, 'udp'],
  [Protocol.udplite, 'udp'],
  [Protocol.sctp, 'sctp'],
  [Protocol.dccp, 'dccp'],
  [Protocol.icmp, 'icmp'],
  [Protocol.icmpv6, 'icmp6'],
]);
