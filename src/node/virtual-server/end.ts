/**
 * An address and a port: one end of what virtual servers handle.
 * @module
 */
import { packetEnds } from '../../packet/ends.ts';
import type { Packet } from '../../packet/packet.ts';
import { type Address, formatAddress } from '../../wire/address/address.ts';

export interface End {
  readonly address: Address;
  readonly port: number;
}

/** The two ends of a packet with ports. */
export function endsOf(packet: Packet): { readonly from: End; readonly to: End } {
  const { src, dst, sport, dport } = packetEnds(packet);
  return { from: { address: src, port: sport }, to: { address: dst, port: dport } };
}

export function endText({ address, port }: End): string {
  const text = formatAddress(address);
  return address.family === 6 ? `[${text}]:${port}` : `${text}:${port}`;
}
