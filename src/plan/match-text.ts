/**
 * The text of one match as iptables-save prints it: `-m NAME` and its options, in the order in which
 * the extension's `save` function writes them.
 *
 * Source: iptables 1.8.9, extensions/libxt_*.c and libipt_icmp.c `*_save`; the quoting of text is
 * libxtables/xtables.c `xtables_save_string`. test/differential/kernel/plan-loads.test.ts compares
 * every form with what the installed tools print.
 * @module
 */
import { unreachable } from '../diagnostic/diagnostic.ts';
import {
  ADDRESS_TYPES,
  CT_STATES,
  type Match,
  type Negatable,
  type PortRange,
} from '../netfilter/match.ts';

/** Write a match as in an iptables-save line, without a space at either end. */
export function formatMatch(match: Match): string {
  switch (match.kind) {
    case 'tcp':
      return words('-m tcp', formatPorts(match), formatTcp(match));
    case 'udp':
    case 'sctp':
    case 'dccp':
    case 'udplite':
      return words(`-m ${match.kind}`, formatPorts(match));
    case 'icmp':
      return `-m icmp ${negated(match.type)}--icmp-type ${formatIcmpType(match.type.value)}`;
    case 'icmp6':
      return `-m icmp6 ${negated(match.type)}--icmpv6-type ${formatTypeAndCode(match.type.value)}`;
    case 'multiport': {
      const ports = match.ports.map(formatPortRange).join(',');
      return `-m multiport ${negated(match)}--${match.which} ${ports}`;
    }
    case 'conntrack':
      return `-m conntrack ${negated(match)}--ctstate ${inOrder(CT_STATES, match.states)}`;
    case 'state':
      return `-m state ${negated(match)}--state ${inOrder(CT_STATES, match.states)}`;
    case 'mark':
    case 'connmark':
      return `-m ${match.kind} ${negated(match)}--mark ${formatMasked(match)}`;
    case 'set':
      return `-m set ${negated(match)}--match-set ${match.set} ${match.directions.join(',')}`;
    case 'physdev':
      return formatPhysdev(match);
    case 'addrtype':
      return formatAddrtype(match);
    case 'rpfilter':
      return words(
        '-m rpfilter',
        match.loose && '--loose',
        match.validmark && '--validmark',
        match.acceptLocal && '--accept-local',
        match.invert && '--invert',
      );
    case 'comment':
      return `-m comment --comment ${quoteText(match.text)}`;
    default:
      return unreachable(match);
  }
}

/** Join the parts that are there with single spaces. */
export function words(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter((part) => part !== false && part !== undefined && part !== '').join(' ');
}

/** `! ` in front of an option that is inverted. */
export function negated(part: { readonly negate: boolean }): string {
  return part.negate ? '! ' : '';
}

/** One option with its value, with its `!`; nothing when the part is absent. */
export function option<T>(
  name: string,
  part: Negatable<T> | undefined,
  format: (value: T) => string,
): string | undefined {
  if (part === undefined) return undefined;
  return words(`${negated(part)}${name}`, format(part.value));
}

/** `PORT` or `LOW:HIGH`. */
export function formatPortRange(range: PortRange): string {
  return range.low === range.high ? `${range.low}` : `${range.low}:${range.high}`;
}

/** `0xVALUE/0xMASK`; a full mask is not written (xtables_fmt_mark). */
export function formatMasked(part: { readonly value: number; readonly mask: number }): string {
  return part.mask === 0xffffffff ? hex(part.value) : `${hex(part.value)}/${hex(part.mask)}`;
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** Text as `xtables_save_string` writes it: bare when it is safe, else quoted and escaped. */
export function quoteText(text: string): string {
  if (/^[-_0-9A-Za-z]+$/.test(text)) return text;
  return `"${text.replace(/["\\']/g, '\\$&')}"`;
}

/** The members that are present, in the order of the vocabulary, separated by commas. */
export function inOrder<T extends string>(all: readonly T[], present: readonly T[]): string {
  return all.filter((one) => present.includes(one)).join(',');
}

interface Ports {
  readonly sport?: Negatable<PortRange>;
  readonly dport?: Negatable<PortRange>;
}

function formatPorts(match: Ports): string {
  return words(
    option('--sport', match.sport, formatPortRange),
    option('--dport', match.dport, formatPortRange),
  );
}

/** Bits of the TCP flags byte in the order in which libxt_tcp names them. */
export const TCP_FLAGS: readonly (readonly [string, number])[] = [
  ['FIN', 0x01],
  ['SYN', 0x02],
  ['RST', 0x04],
  ['PSH', 0x08],
  ['ACK', 0x10],
  ['URG', 0x20],
];

function formatTcp(match: Extract<Match, { kind: 'tcp' }>): string {
  return words(
    option('--tcp-option', match.option, String),
    option('--tcp-flags', match.flags, (f) => `${formatFlags(f.mask)} ${formatFlags(f.set)}`),
  );
}

function formatFlags(flags: number): string {
  const names = TCP_FLAGS.filter(([, bit]) => (flags & bit) !== 0).map(([name]) => name);
  return names.length === 0 ? 'NONE' : names.join(',');
}

type IcmpType = Extract<Match, { kind: 'icmp' | 'icmp6' }>['type']['value'];

function formatIcmpType(of: IcmpType): string {
  const any = of.type === 255 && of.codes.low === 0 && of.codes.high === 255;
  return any ? 'any' : formatTypeAndCode(of);
}

/** The tools have no text for a range of codes other than all of them. */
function formatTypeAndCode({ type, codes }: IcmpType): string {
  return codes.low === 0 && codes.high === 255 ? `${type}` : `${type}/${codes.low}`;
}

function formatPhysdev(match: Extract<Match, { kind: 'physdev' }>): string {
  const bare = () => '';
  return words(
    '-m physdev',
    option('--physdev-is-in', match.isIn, bare),
    option('--physdev-in', match.physIn, String),
    option('--physdev-is-out', match.isOut, bare),
    option('--physdev-out', match.physOut, String),
    option('--physdev-is-bridged', match.isBridged, bare),
  );
}

function formatAddrtype(match: Extract<Match, { kind: 'addrtype' }>): string {
  return words(
    '-m addrtype',
    option('--src-type', match.source, (types) => inOrder(ADDRESS_TYPES, types)),
    option('--dst-type', match.destination, (types) => inOrder(ADDRESS_TYPES, types)),
    match.limitIfaceIn && '--limit-iface-in',
    match.limitIfaceOut && '--limit-iface-out',
  );
}
