/**
 * The text of one match as iptables-save prints it: `-m NAME` and its options, in the order in
 * which the extension's `save` function writes them.
 *
 * Source: iptables 1.8.9, extensions/libxt_*.c and libipt_icmp.c `*_save`; the quoting of text
 * is libxtables/xtables.c `xtables_save_string`. test/differential/kernel/plan-loads.test.ts
 * compares every form with what the installed tools print.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import {
  ADDRESS_TYPES,
  CT_STATES,
  CT_STATUSES,
  type Match,
  type Negatable,
  type PortRange,
} from '../../netfilter/match.ts';
import { bits, formatAddress, formatPrefix, type Prefix } from '../../wire/address/address.ts';
import { formatChunks, formatDccpTypes } from './chunk-match.ts';
import { formatField } from './field-match.ts';
import { formatFurther, isFurther } from './further-match.ts';
import {
  formatMasked,
  formatPortRange,
  inOrder,
  negated,
  option,
  quoteText,
  TCP_FLAGS,
  words,
} from './match-words.ts';
import { formatMeter } from './meter-match.ts';

/** Write a match as in an iptables-save line, without a space at either end. */
export function formatMatch(match: Match): string {
  if (isFurther(match)) return formatFurther(match);
  switch (match.kind) {
    case 'tcp':
      return words('-m tcp', formatPorts(match), formatTcp(match));
    case 'udp':
    case 'udplite':
      return words(`-m ${match.kind}`, formatPorts(match));
    case 'sctp':
      return words(
        '-m sctp',
        formatPorts(match),
        option('--chunk-types', match.chunks, formatChunks),
      );
    case 'dccp':
      return words(
        '-m dccp',
        formatPorts(match),
        option('--dccp-types', match.types, formatDccpTypes),
        option('--dccp-option', match.option, String),
      );
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
    case 'conntrackDetail':
      return formatConntrackDetail(match);
    case 'limit':
    case 'random':
    case 'nth':
    case 'recent':
    case 'connlimit':
    case 'hashlimit':
    case 'nfacct':
      return formatMeter(match);
    case 'owner':
    case 'length':
    case 'ttl':
    case 'hl':
    case 'mac':
    case 'pkttype':
    case 'iprange':
    case 'dscp':
    case 'tos':
    case 'helper':
      return formatField(match);
    default:
      return unreachable(match);
  }
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

/** In the order of libxt_conntrack.c `conntrack_dump`. */
function formatConntrackDetail(match: Extract<Match, { kind: 'conntrackDetail' }>): string {
  return words(
    '-m conntrack',
    option('--ctstate', match.states, (states) => inOrder(CT_STATES, states)),
    option('--ctproto', match.protocol, String),
    option('--ctorigsrc', match.originalSource, formatNet),
    option('--ctorigdst', match.originalDestination, formatNet),
    option('--ctreplsrc', match.replySource, formatNet),
    option('--ctrepldst', match.replyDestination, formatNet),
    option('--ctorigsrcport', match.originalSourcePort, formatPortRange),
    option('--ctorigdstport', match.originalDestinationPort, formatPortRange),
    option('--ctreplsrcport', match.replySourcePort, formatPortRange),
    option('--ctrepldstport', match.replyDestinationPort, formatPortRange),
    option('--ctstatus', match.status, (status) => inOrder(CT_STATUSES, status)),
    option('--ctexpire', match.expires, formatPortRange),
    match.direction && `--ctdir ${match.direction}`,
  );
}

function formatNet(net: Prefix): string {
  const isHost = net.length === bits(net.address.family);
  return isHost ? formatAddress(net.address) : formatPrefix(net);
}
