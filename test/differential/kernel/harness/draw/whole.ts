/**
 * Whether a packet is no fragment and has its transport header whole. The matches of xtables drop packets
 * that end inside of what they ask for; what iptables-nft makes of `--dport` and its like (nft_payload.c)
 * passes them by, and reads later fragments as if they began with ports.
 * @module
 */
import { u16 } from '../../../../../src/wire/bytes.ts';
import * as ethernet from '../../../../../src/wire/header/ethernet.ts';
import { EtherType, Protocol } from '../../../../../src/wire/protocol.ts';

const FRAGMENT = 0x3fff;
const LEAST: Readonly<Record<number, number>> = {
  [Protocol.tcp]: 20,
  [Protocol.udp]: 8,
  [Protocol.sctp]: 12,
  [Protocol.icmp]: 8,
  [Protocol.icmpv6]: 8,
};

/** True also for frames that hold no IP. */
export function isWhole(frame: Uint8Array): boolean {
  const type = ethernet.etherType(frame);
  const isV4 = type === EtherType.ipv4;
  if (!isV4 && type !== EtherType.ipv6) return true;
  const ip = frame.subarray(ethernet.payloadOffset(frame));
  if (ip.length < (isV4 ? 20 : 40)) return true;
  if (isV4 && (u16(ip, 6) & FRAGMENT) !== 0) return false;
  let protocol = ip[isV4 ? 9 : 6] ?? 0;
  let at = isV4 ? ((ip[0] ?? 0) & 15) * 4 : 40;
  if (protocol === Protocol.hopopts && !isV4) {
    protocol = ip[at] ?? 0;
    at += 8;
  }
  if (protocol === Protocol.fragment) return false;
  const end = Math.min(ip.length, isV4 ? u16(ip, 2) : 40 + u16(ip, 4));
  const header = protocol === Protocol.tcp ? ((ip[at + 12] ?? 0) >>> 4) * 4 : 0;
  return end - at >= Math.max(LEAST[protocol] ?? 0, header);
}
