/**
 * The text of one target as iptables-save prints it: `-j NAME` and its options, or `-g CHAIN`.
 *
 * Source: iptables 1.8.9, extensions/libxt_*.c, libipt_REJECT.c, libxt_NAT.c `*_save`;
 * test/differential/kernel/plan-loads.test.ts compares every form with what the tools print.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { NatRange, Target } from '../../netfilter/target.ts';
import { equalAddress, type Family, formatAddress } from '../../wire/address/address.ts';
import { hex, quoteText, words } from '../match/match-words.ts';
import { formatSideTarget } from './side-target.ts';

/** syslog's `warning`, which libxt_LOG does not write. */
const DEFAULT_LOG_LEVEL = 4;

/**
 * Write a target as in an iptables-save line, without a space at either end; the empty string
 * for a rule without target.
 *
 * @param family decides between TTL and HL only.
 */
export function formatTarget(target: Target, family: Family = 4): string {
  switch (target.kind) {
    case 'none':
      return '';
    case 'accept':
      return '-j ACCEPT';
    case 'drop':
      return '-j DROP';
    case 'return':
      return '-j RETURN';
    case 'undocumented':
      return '-j UNDOCUMENTED';
    case 'jump':
      return `-j ${target.chain}`;
    case 'goto':
      return `-g ${target.chain}`;
    case 'mark':
      return `-j MARK --set-xmark ${hex(target.value)}/${hex(target.mask)}`;
    case 'connmark':
      return `-j CONNMARK ${formatConnmark(target)}`;
    case 'reject':
      return `-j REJECT --reject-with ${target.with}`;
    case 'log':
      return words(
        '-j LOG',
        target.prefix !== '' && `--log-prefix ${quoteText(target.prefix)}`,
        target.level !== DEFAULT_LOG_LEVEL && `--log-level ${target.level}`,
        ...(target.flags ?? []).map((flag) => `--log-${flag}`),
      );
    case 'notrack':
      return target.alias ? '-j NOTRACK' : '-j CT --notrack';
    case 'masquerade':
      return words('-j MASQUERADE', formatToPorts(target.range), formatNatFlags(target.range));
    case 'snat':
      return words('-j SNAT', formatNat('--to-source', target.range));
    case 'dnat':
      return words('-j DNAT', formatNat('--to-destination', target.range));
    case 'ttl':
      return family === 4
        ? `-j TTL --ttl-${target.operation} ${target.value}`
        : `-j HL --hl-${target.operation} ${target.value}`;
    case 'redirect':
      return words('-j REDIRECT', formatToPorts(target.range), formatNatFlags(target.range));
    case 'ct':
    case 'netmap':
    case 'tcpmss':
    case 'tos':
    case 'dscp':
    case 'checksum':
    case 'classify':
    case 'set':
    case 'nflog':
    case 'trace':
    case 'audit':
      return formatSideTarget(target);
    default:
      return unreachable(target);
  }
}

function formatConnmark(target: Extract<Target, { kind: 'connmark' }>): string {
  const { shift } = target;
  const way = shift === undefined ? '' : `--${shift.direction}-shift-mark ${shift.bits}`;
  return words(formatConnmarkOperation(target), way);
}

function formatConnmarkOperation(target: Extract<Target, { kind: 'connmark' }>): string {
  switch (target.operation) {
    case 'set':
      return `--set-xmark ${hex(target.value)}/${hex(target.mask)}`;
    case 'save':
    case 'restore':
      return `--${target.operation}-mark --nfmask ${hex(target.nfmask)} --ctmask ${hex(target.mask)}`;
    default:
      return unreachable(target.operation);
  }
}

function formatNat(name: '--to-source' | '--to-destination', range: NatRange): string {
  const { low, high } = range;
  let addresses = low === undefined ? '' : formatAddress(low);
  if (low !== undefined && high !== undefined && !equalAddress(low, high)) {
    addresses += `-${formatAddress(high)}`;
  }
  const ports = formatNatPorts(range);
  if (ports !== '' && low?.family === 6) addresses = `[${addresses}]`;
  const to = ports === '' ? addresses : `${addresses}:${ports}`;
  return words(to !== '' && `${name} ${to}`, formatNatFlags(range));
}

function formatToPorts(range: NatRange): string {
  const ports = formatNatPorts(range);
  return ports === '' ? '' : `--to-ports ${ports}`;
}

function formatNatPorts({ ports }: NatRange): string {
  if (ports === undefined) return '';
  return ports.low === ports.high ? `${ports.low}` : `${ports.low}-${ports.high}`;
}

function formatNatFlags(range: NatRange): string {
  return words(
    range.random && '--random',
    range.randomFully && '--random-fully',
    range.persistent && '--persistent',
  );
}
