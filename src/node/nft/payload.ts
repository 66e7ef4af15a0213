/**
 * Bytes of headers, as nft reads and writes them.
 *
 * Two readers of the kernel differ about later fragments: the one for up to four aligned bytes
 * reads what lies where a header would, the other does not read at all. For IPv6 there the place of
 * the transport header is not even known, and is that of the packet itself.
 *
 * Source: include/net/netfilter/nf_tables_ipv4.h `nft_set_pktinfo_ipv4`, nf_tables_ipv6.h
 * `__nft_set_pktinfo_ipv6_validate`, net/netfilter/nf_tables_core.c `nft_payload_fast_eval`,
 * nft_payload.c `nft_payload_eval`, `nft_payload_set_eval` (Linux 6.18).
 * @module
 */
import type { PayloadLoad } from '../../image/nft/program.ts';
import type { Packet } from '../../packet/packet.ts';
import { transportOffset } from '../../packet/parse.ts';
import { setU8, setU16, u8, u16 } from '../../wire/bytes.ts';
import { update16 } from '../../wire/checksum.ts';

/** What a load comes to. `break` ends the rule; the others leave it open. */
export type Loaded = bigint | 'break' | 'cut' | 'missing' | 'unanswerable';

/**
 * Where the transport header is for nft: an offset, or why there is none. The protocol is known
 * wherever an offset is.
 */
export function transportPlace(packet: Packet): number | 'break' | 'cut' {
  if (packet.family === 6 && packet.fragmentOffset !== 0) return packet.l3;
  const at = transportOffset(packet);
  if (typeof at === 'number') return at;
  return at === 'headerCut' ? 'cut' : 'break';
}

export function loadPayload(load: PayloadLoad, packet: Packet): Loaded {
  const start = load.base === 'nh' ? packet.l3 : transportPlace(packet);
  if (typeof start === 'string') return start;
  if (load.base === 'th' && packet.fragmentOffset !== 0 && !load.isFast) return 'break';
  const at = start + load.offset;
  const end = at + load.length;
  if (end > packet.end) return 'break';
  if (end > packet.bytes.length) return 'cut';
  let value = 0n;
  for (let i = at; i < end; i++) value = (value << 8n) | BigInt(u8(packet.bytes, i));
  return (value >> BigInt(load.shift)) & ((1n << BigInt(load.bits)) - 1n);
}

const IPV4_CHECKSUM = 10;

/**
 * Write bits of the network header; IPv4's checksum follows. Bytes are replaced, because copies of
 * a packet may share them.
 */
export function writePayload(load: PayloadLoad, packet: Packet, value: bigint): void {
  packet.bytes = packet.bytes.slice();
  const { bytes, l3 } = packet;
  const mask = ((1n << BigInt(load.bits)) - 1n) << BigInt(load.shift);
  const added = (value << BigInt(load.shift)) & mask;
  for (let i = 0; i < load.length; i++) {
    const at = l3 + load.offset + i;
    const by = BigInt(8 * (load.length - 1 - i));
    const kept = BigInt(u8(bytes, at)) & ~(mask >> by) & 0xffn;
    write(packet, at, Number(kept | ((added >> by) & 0xffn)));
  }
}

function write({ family, bytes, l3 }: Packet, at: number, value: number): void {
  const word = at - ((at - l3) % 2);
  const old = u16(bytes, word);
  setU8(bytes, at, value);
  if (family !== 4) return;
  const sum = u16(bytes, l3 + IPV4_CHECKSUM);
  setU16(bytes, l3 + IPV4_CHECKSUM, update16(sum, old, u16(bytes, word)));
}
