/**
 * Values and patterns in the words of their type (`ssh` is a port, `established` a state).
 *
 * Source: nftables 1.0.6 src/datatype.c, src/ct.c, src/meta.c, src/proto.c, src/fib.c: their symbol
 * tables and print functions.
 * @module
 */
import type { NftType, NftTypeName } from '../../netfilter/nft/datatype.ts';
import { allOnes, isBitmask, nameValue, valueName } from '../../netfilter/nft/datatype.ts';
import type { NftPattern } from '../../netfilter/nft/expression.ts';
import {
  type Address,
  formatAddress,
  ipv4,
  ipv6,
  parseAddress,
} from '../../wire/address/address.ts';
import { protocolName, protocolNumber } from '../../wire/protocol.ts';

type Symbols = readonly (readonly [word: string, value: number])[];

const CLASSES: Symbols = [
  ...([0, 1, 2, 3, 4, 5, 6, 7] as const).map((n) => [`cs${n}`, n * 8] as const),
  ...([1, 2, 3, 4] as const).flatMap((n) =>
    ([1, 2, 3] as const).map((p) => [`af${n}${p}`, n * 8 + p * 2] as const),
  ),
  ['ef', 46],
  ['lephb', 1],
];

/** Where a value has two words the first is printed. */
const SYMBOLS: Partial<Readonly<Record<NftTypeName, Symbols>>> = {
  ct_state: [
    ['invalid', 1],
    ['established', 2],
    ['related', 4],
    ['new', 8],
    ['untracked', 64],
  ],
  ct_status: [
    ['expected', 1],
    ['seen-reply', 2],
    ['assured', 4],
    ['confirmed', 8],
    ['snat', 16],
    ['dnat', 32],
    ['dying', 512],
  ],
  ct_dir: [
    ['original', 0],
    ['reply', 1],
  ],
  tcp_flag: [
    ['fin', 1],
    ['syn', 2],
    ['rst', 4],
    ['psh', 8],
    ['ack', 16],
    ['urg', 32],
    ['ecn', 64],
    ['cwr', 128],
  ],
  icmp_type: [
    ['echo-reply', 0],
    ['destination-unreachable', 3],
    ['source-quench', 4],
    ['redirect', 5],
    ['echo-request', 8],
    ['router-advertisement', 9],
    ['router-solicitation', 10],
    ['time-exceeded', 11],
    ['parameter-problem', 12],
    ['timestamp-request', 13],
    ['timestamp-reply', 14],
    ['info-request', 15],
    ['info-reply', 16],
    ['address-mask-request', 17],
    ['address-mask-reply', 18],
  ],
  icmp_code: [
    ['net-unreachable', 0],
    ['host-unreachable', 1],
    ['prot-unreachable', 2],
    ['port-unreachable', 3],
    ['frag-needed', 4],
    ['net-prohibited', 9],
    ['host-prohibited', 10],
    ['admin-prohibited', 13],
  ],
  icmpv6_type: [
    ['destination-unreachable', 1],
    ['packet-too-big', 2],
    ['time-exceeded', 3],
    ['parameter-problem', 4],
    ['echo-request', 128],
    ['echo-reply', 129],
    ['mld-listener-query', 130],
    ['mld-listener-report', 131],
    ['mld-listener-done', 132],
    ['mld-listener-reduction', 132],
    ['nd-router-solicit', 133],
    ['nd-router-advert', 134],
    ['nd-neighbor-solicit', 135],
    ['nd-neighbor-advert', 136],
    ['nd-redirect', 137],
    ['router-renumbering', 138],
    ['ind-neighbor-solicit', 141],
    ['ind-neighbor-advert', 142],
    ['mld2-listener-report', 143],
  ],
  icmpv6_code: [
    ['no-route', 0],
    ['admin-prohibited', 1],
    ['addr-unreachable', 3],
    ['port-unreachable', 4],
    ['policy-fail', 5],
    ['reject-route', 6],
  ],
  icmpx_code: [
    ['port-unreachable', 1],
    ['admin-prohibited', 3],
    ['no-route', 0],
    ['host-unreachable', 2],
  ],
  dscp: CLASSES,
  ecn: [
    ['not-ect', 0],
    ['ect1', 1],
    ['ect0', 2],
    ['ce', 3],
  ],
  ether_type: [
    ['ip', 0x0800],
    ['arp', 0x0806],
    ['ip6', 0x86dd],
    ['8021q', 0x8100],
    ['vlan', 0x8100],
    ['8021ad', 0x88a8],
  ],
  nf_proto: [
    ['ipv4', 2],
    ['ipv6', 10],
  ],
  pkt_type: [
    ['host', 0],
    ['unicast', 0],
    ['broadcast', 1],
    ['multicast', 2],
    ['other', 3],
  ],
  fib_addrtype: [
    ['unspec', 0],
    ['unicast', 1],
    ['local', 2],
    ['broadcast', 3],
    ['anycast', 4],
    ['multicast', 5],
    ['blackhole', 6],
    ['unreachable', 7],
    ['prohibit', 8],
  ],
  iface_type: [
    ['ether', 1],
    ['loopback', 772],
  ],
  // More of /etc/protocols than the wire tells apart.
  inet_proto: [
    ['ggp', 3],
    ['st', 5],
    ['egp', 8],
    ['igp', 9],
    ['pup', 12],
    ['hmp', 20],
    ['rdp', 27],
    ['ipv6', 41],
    ['ipv6-route', 43],
    ['ipv6-frag', 44],
    ['rsvp', 46],
    ['skip', 57],
    ['ipv6-nonxt', 59],
    ['ipv6-opts', 60],
    ['eigrp', 88],
    ['ospf', 89],
    ['ipip', 94],
    ['pim', 103],
    ['ipcomp', 108],
    ['vrrp', 112],
    ['l2tp', 115],
    ['hip', 139],
  ],
  boolean: [
    ['exists', 1],
    ['missing', 0],
  ],
  inet_service: [
    ['ssh', 22],
    ['domain', 53],
    ['http', 80],
    ['https', 443],
  ],
  uid: [['root', 0]],
  gid: [['root', 0]],
};

/** Types whose values are printed as numbers though words are read. */
const NUMERIC: ReadonlySet<NftTypeName> = new Set(['inet_service', 'uid', 'gid']);

/** One value of a type; null when the word is none. Interfaces are named by name, not number. */
export function parseValue(type: NftType, word: string): bigint | null {
  const symbol = SYMBOLS[type.name]?.find(([name]) => name === word);
  if (symbol !== undefined) return BigInt(symbol[1]);
  switch (type.name) {
    case 'ipv4_addr':
    case 'ipv6_addr': {
      const address = parseAddress(word);
      if (address === null || address.family !== (type.name === 'ipv4_addr' ? 4 : 6)) return null;
      return addressValue(address);
    }
    case 'ifname':
    case 'iface_index':
      return /^[^/\s:]{1,15}$/.test(word) ? nameValue(word) : null;
    case 'inet_proto': {
      const number = protocolNumber(word);
      return number === null ? null : BigInt(number);
    }
    case 'time': {
      const ms = parseDuration(word);
      return ms === null ? null : BigInt(ms);
    }
    default: {
      if (!/^(0x[0-9a-fA-F]+|\d+)$/.test(word)) return null;
      const value = BigInt(word);
      return value <= allOnes(type.bits) ? value : null;
    }
  }
}

function addressValue({ family, w0, w1, w2, w3 }: Address): bigint {
  if (family === 4) return BigInt(w3);
  return [w0, w1, w2, w3].reduce((all, word) => (all << 32n) | BigInt(word), 0n);
}

/** A pattern of a type: a value, a prefix, a range, the beginning of an interface's name. */
export function parsePattern(type: NftType, word: string): NftPattern | null {
  const value = parseValue(type, word);
  if (type.name === 'ifname' && word.endsWith('*') && !word.endsWith('\\*')) {
    const start = word.slice(0, -1);
    const head = start === '' ? 0n : parseValue(type, start);
    return head === null ? null : { kind: 'prefix', value: head, length: start.length * 8 };
  }
  if (value !== null) return { kind: 'value', value };
  const net = /^([^/]+)\/(\d{1,3})$/.exec(word);
  if (net !== null) return parsePrefix(type, net[1] ?? '', Number(net[2]));
  for (let at = word.indexOf('-'); at > 0; at = word.indexOf('-', at + 1)) {
    const low = parseValue(type, word.slice(0, at));
    const high = parseValue(type, word.slice(at + 1));
    if (low !== null && high !== null && low <= high) return { kind: 'range', low, high };
  }
  return null;
}

function parsePrefix(type: NftType, base: string, length: number): NftPattern | null {
  const value = parseValue(type, base);
  if (value === null || length > type.bits) return null;
  const mask = allOnes(type.bits) ^ allOnes(type.bits - length);
  if (length === type.bits) return { kind: 'value', value };
  return { kind: 'prefix', value: value & mask, length };
}

/** Values of a type as `nft list ruleset` prints them. */
export function formatValue(type: NftType, value: bigint): string {
  const symbols = SYMBOLS[type.name];
  if (isBitmask(type)) return formatBits(type, value, ',');
  const number = Number(value);
  const word = NUMERIC.has(type.name) ? undefined : symbols?.find(([, own]) => own === number)?.[0];
  if (word !== undefined) return word;
  switch (type.name) {
    case 'ipv4_addr':
      return formatAddress(ipv4(number));
    case 'ipv6_addr': {
      const at = (shift: bigint) => Number((value >> shift) & 0xffffffffn);
      return formatAddress(ipv6(at(96n), at(64n), at(32n), at(0n)));
    }
    case 'ifname':
    case 'iface_index':
      return `"${valueName(value)}"`;
    case 'inet_proto':
      return protocolName(number);
    case 'mark':
      return hex(value, 8);
    case 'dscp':
      return hex(value, 2);
    case 'ether_type':
      return hex(value, 4);
    case 'time':
      return formatDuration(number);
    default:
      return value.toString();
  }
}

function hex(value: bigint, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** The bits of a set of flags, in the order of their values. */
export function formatBits(type: NftType, value: bigint, between: string): string {
  const names = (SYMBOLS[type.name] ?? []).filter(([, bit]) => (value & BigInt(bit)) !== 0n);
  const named = names.reduce((bits, [, bit]) => bits | BigInt(bit), 0n);
  if (value === 0n || named !== value) return `0x${value.toString(16)}`;
  return names.map(([name]) => name).join(between);
}

/** A pattern as it is printed. Flags of one element stand between bars. */
export function formatPattern(type: NftType, pattern: NftPattern): string {
  switch (pattern.kind) {
    case 'value':
      return isBitmask(type)
        ? formatBits(type, pattern.value, ' | ')
        : formatValue(type, pattern.value);
    case 'prefix':
      if (type.name === 'ifname') return `"${valueName(pattern.value)}*"`;
      return `${formatValue(type, pattern.value)}/${pattern.length}`;
    case 'range':
      return `${formatValue(type, pattern.low)}-${formatValue(type, pattern.high)}`;
  }
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** `1h30m`, `59s844ms`, or whole seconds; milliseconds, or null. */
export function parseDuration(text: string): number | null {
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const parts = /^(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(
    text,
  );
  if (parts === null || text === '') return null;
  const [, weeks = '0', ...rest] = parts;
  const days = UNITS.reduce((sum, [, ms], i) => sum + Number(rest[i] ?? 0) * ms, 0);
  return Number(weeks) * 7 * 86_400_000 + days;
}

/** Milliseconds as nft prints them. */
export function formatDuration(ms: number): string {
  let left = ms;
  let text = '';
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === '' ? '0s' : text;
}
