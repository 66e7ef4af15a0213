/**
 * Frames as lines that must be equal on both sides.
 *
 * Three fields are drawn by the kernel and carry nothing: the identification of IPv4 packets that it
 * makes itself (`ip_select_ident`), the flow label of ICMPv6 errors (`ip6_make_flowlabel`), and the
 * identification of IPv6 packets that it cuts up (`ipv6_select_ident`); they are blanked on both sides. What hosts say of their own accord (IGMP, MLD) is left out.
 * @module
 */
import * as ethernet from '../../../../src/wire/header/ethernet.ts';
import * as icmp from '../../../../src/wire/header/icmp.ts';
import * as ipv4 from '../../../../src/wire/header/ipv4.ts';
import { EtherType, Protocol } from '../../../../src/wire/protocol.ts';

/** All routers that listen to reports of version 2 (ff02::16). */
const MLD_MAC = '33:33:00:00:00:16';
const IPV6_HEADER = 40;
const FIRST_INFORMATIONAL = 128;

export function comparable(device: string, frame: Uint8Array): string | null {
  const b = Uint8Array.from(frame);
  const type = ethernet.etherType(b);
  const l3 = ethernet.payloadOffset(b);
  if (type === EtherType.ipv4 && b.length >= l3 + 20) {
    const protocol = ipv4.protocol(b, l3);
    if (protocol === Protocol.igmp && frame[l3 + 8] === 1 && b[0] === 1) return null;
    const l4 = l3 + (b[l3]! & 15) * 4;
    const isError = protocol === Protocol.icmp && b.length > l4 && icmp.isError(b[l4]!);
    if (isError) {
      b.fill(0, l3 + 4, l3 + 6);
      ipv4.fillChecksum(b, l3);
    }
  }
  if (type === EtherType.ipv6 && b.length > l3 + IPV6_HEADER) {
    if (ethernet.destination(b) === MLD_MAC && b[l3 + 6] === Protocol.hopopts) return null;
    const next = b[l3 + 6];
    const first = b[l3 + IPV6_HEADER]!;
    if (next === Protocol.fragment) b.fill(0, l3 + IPV6_HEADER + 4, l3 + IPV6_HEADER + 8);
    if (next === Protocol.icmpv6 && first < FIRST_INFORMATIONAL) b.fill(0, l3 + 1, l3 + 4);
  }
  return `${device} ${Buffer.from(b).toString('hex')}`;
}
