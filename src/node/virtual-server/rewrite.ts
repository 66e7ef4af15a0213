/**
 * The headers that virtual servers write: one end of a packet, and of an ICMP error the far end of
 * what it quotes, too.
 *
 * Truth: net/netfilter/ipvs/ip_vs_proto_{tcp,udp,sctp}.c `*_snat_handler`, `*_dnat_handler`,
 * ip_vs_core.c `ip_vs_nat_icmp`, ip_vs_xmit.c `ip_vs_nat_xmit`, ip_vs_nfct.c
 * `ip_vs_update_conntrack` (Linux 6.1). A quote's ports and addresses are written, its transport
 * checksum is left as it was.
 * @module
 */

import { rewriteEnds } from '../../conntrack/nat/translate.ts';
import { quotedTransport } from '../../conntrack/protocol/icmp.ts';
import { connectionOf } from '../../conntrack/table.ts';
import type { Packet } from '../../packet/packet.ts';
import { parseFrame } from '../../packet/parse.ts';
import { fillSegment } from '../../packet/transport-checksum.ts';
import { readIpv4, readIpv6, writeAddress } from '../../wire/address/address.ts';
import { setU16, u16 } from '../../wire/bytes.ts';
import * as icmp from '../../wire/header/icmp.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import type { VirtualConnection } from './connections.ts';
import type { End } from './end.ts';

/** What is written: the source of what comes from a real server, the destination of all else. */
export type RewrittenEnd = 'source' | 'destination';

/** Write one end of a packet of TCP, UDP or SCTP. */
export function writeEnd(packet: Packet, end: RewrittenEnd, to: End): void {
  const { src, dst, protocol, bytes, l4 } = packet;
  const [sport, dport] = [u16(bytes, l4), u16(bytes, l4 + 2)];
  const ends =
    end === 'source'
      ? { protocol, src: to.address, sport: to.port, dst, dport }
      : { protocol, src, sport, dst: to.address, dport: to.port };
  rewriteEnds(packet, ends, end);
}

/** The packet that an ICMP error quotes, as far as it is asked for. */
export interface Quoted {
  readonly protocol: number;
  readonly from: End;
  readonly to: End;
}

/** Read the quote of an error; `headerCut` where the capture ends in it, null where it has none. */
export function readQuote(packet: Packet): Quoted | 'headerCut' | null {
  const { bytes, l4, end, family } = packet;
  if (family === 0) return null;
  const l3 = l4 + icmp.HEADER_LENGTH;
  const inner = quotedTransport(bytes, l3, end, family);
  if (inner === null || inner === 'headerCut') return inner;
  if (inner.off + 4 > end) return null;
  if (inner.off + 4 > bytes.length) return 'headerCut';
  const read = family === 4 ? readIpv4 : readIpv6;
  const [src, dst] =
    family === 4 ? [ipv4.SOURCE, ipv4.DESTINATION] : [ipv6.SOURCE, ipv6.DESTINATION];
  return {
    protocol: inner.protocol,
    from: { address: read(bytes, l3 + src), port: u16(bytes, inner.off) },
    to: { address: read(bytes, l3 + dst), port: u16(bytes, inner.off + 2) },
  };
}

/**
 * Write an error's own end, and in the quote, which went the other way, the opposite one.
 * Precondition: `readQuote` read it.
 */
export function writeError(packet: Packet, end: RewrittenEnd, to: End): void {
  const { bytes, l3, l4, family } = packet;
  if (family === 0) return;
  const quoteL3 = l4 + icmp.HEADER_LENGTH;
  const inner = quotedTransport(bytes, quoteL3, packet.end, family);
  if (inner === null || inner === 'headerCut') return;
  const ofSource = end === 'source';
  setU16(bytes, inner.off + (ofSource ? 2 : 0), to.port);
  setAddress(packet, quoteL3, ofSource ? 'destination' : 'source', to);
  setAddress(packet, l3, end, to);
  parseFrame(packet);
  const { src, dst, protocol } = packet;
  if (packet.end > bytes.length) return;
  fillSegment({ bytes, off: l4, end: packet.end, protocol, src, dst });
}

function setAddress({ bytes, family }: Packet, l3: number, end: RewrittenEnd, to: End): void {
  const ofSource = end === 'source';
  if (family === 4) {
    ipv4.setAddress(bytes, l3, ofSource ? ipv4.SOURCE : ipv4.DESTINATION, to.address);
  } else {
    writeAddress(bytes, l3 + (ofSource ? ipv6.SOURCE : ipv6.DESTINATION), to.address);
  }
}

/**
 * Tell the tracker, before it confirms a new connection, whom the answer will come from, or go to.
 * The connection does not count as translated by it.
 */
export function tellTracker(packet: Packet, end: RewrittenEnd, found: VirtualConnection): void {
  const connection = connectionOf(packet);
  if (connection === null || connection.confirmed || connection.dying) return;
  if (packet.ctDirection !== 'original') return;
  const { real, virtual } = found;
  connection.reply =
    end === 'destination'
      ? { ...connection.reply, src: real.address, sport: real.port }
      : { ...connection.reply, dst: virtual.address, dport: virtual.port };
}
