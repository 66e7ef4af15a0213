/**
 * Which answer nft's `reject` sends.
 *
 * Source: net/netfilter/nft_reject.c `nft_reject_icmp_code`, `nft_reject_icmpv6_code`.
 * @module
 */
import type { RejectCode } from '../../netfilter/nft/statement.ts';
import type { RejectWith } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';

const BOTH: Readonly<
  Record<
    Extract<RejectCode, { kind: 'icmpx' }>['code'],
    { readonly 4: RejectWith; readonly 6: RejectWith }
  >
> = {
  'no-route': { 4: 'icmp-net-unreachable', 6: 'icmp6-no-route' },
  'port-unreachable': { 4: 'icmp-port-unreachable', 6: 'icmp6-port-unreachable' },
  'host-unreachable': { 4: 'icmp-host-unreachable', 6: 'icmp6-addr-unreachable' },
  'admin-prohibited': { 4: 'icmp-admin-prohibited', 6: 'icmp6-adm-prohibited' },
};

export function rejectWith(code: RejectCode, { family }: Packet): RejectWith {
  switch (code.kind) {
    case 'tcp-reset':
      return 'tcp-reset';
    case 'icmpx':
      return BOTH[code.code][family === 6 ? 6 : 4];
    default:
      return code.with;
  }
}
