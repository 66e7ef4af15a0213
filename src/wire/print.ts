/**
 * One line for one packet, as tcpdump would begin it: `10.244.0.2:40000 > 10.244.0.3:81 tcp S`.
 *
 * For traces and messages. Whatever can not be read is left out: a line is always given.
 * @module
 */
import { formatAddress, readIpv4, readIpv6 } from './address/address.ts';
import * as icmp from './header/icmp.ts';
import * as icmpv6 from './header/icmpv6.ts';
import * as ipv4 from './header/ipv4.ts';
import * as ipv6 from './header/ipv6.ts';
import * as sctp from './header/sctp.ts';
import * as tcp from './header/tcp.ts';
import * as udp from './header/udp.ts';
import { Protocol, protocolName } from './protocol.ts';

/** What stands at one place of an IP packet, as text. */
interface Transport {
  readonly sport: string;
  readonly dport: string;
  readonly tail: string;
}

/** Print the IP packet that starts at `off`; `end` is one past its last byte on the wire. */
export function printIp(b: Uint8Array, off: number, end: number): string {
  if (b.length <= off) return 'nothing';
  return (b[off] ?? 0) >>> 4 === 6 ? printIpv6(b, off, end) : printIpv4(b, off, end);
}

function printIpv4(b: Uint8Array, off: number, end: number): string {
  if (b.length - off < ipv4.MIN_HEADER_LENGTH) return 'ip (cut)';
  const src = formatAddress(readIpv4(b, off + ipv4.SOURCE));
  const dst = formatAddress(readIpv4(b, off + ipv4.DESTINATION));
  const protocol = ipv4.protocol(b, off);
  const offset = ipv4.fragmentOffset(b, off);
  const at = offset === 0 ? off + ipv4.headerLength(b, off) : -1;
  const part = fragmentText(offset, ipv4.moreFragments(b, off));
  return line(src, dst, transport(b, at, end, protocol, 4), part);
}

function printIpv6(b: Uint8Array, off: number, end: number): string {
  if (b.length - off < ipv6.HEADER_LENGTH) return 'ip6 (cut)';
  const src = formatAddress(readIpv6(b, off + ipv6.SOURCE));
  const dst = formatAddress(readIpv6(b, off + ipv6.DESTINATION));
  const found = ipv6.findTransport(b, off, end);
  const at = found.fragmentOffset === 0 ? found.offset : -1;
  const part = fragmentText(found.fragmentOffset, found.moreFragments);
  return line(src, dst, transport(b, at, end, found.protocol, 6), part);
}

function fragmentText(offset: number, more: boolean): string {
  return offset === 0 && !more ? '' : ` frag ${offset}${more ? '+' : ''}`;
}

function line(src: string, dst: string, t: Transport, part: string): string {
  const end = (address: string, port: string) => {
    if (port === '') return address;
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  };
  return `${end(src, t.sport)} > ${end(dst, t.dport)} ${t.tail}${part}`;
}

function transport(
  b: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  family: 4 | 6,
): Transport {
  const bare = { sport: '', dport: '', tail: protocolName(protocol) };
  if (at < 0) return bare;
  const ports = (sport: number, dport: number, tail: string) => ({
    sport: String(sport),
    dport: String(dport),
    tail,
  });
  if (protocol === Protocol.tcp && tcp.check(b, at, end) === null) {
    const flags = tcp.formatFlags(tcp.flags(b, at));
    return ports(tcp.sport(b, at), tcp.dport(b, at), `tcp ${flags}`);
  }
  if (protocol === Protocol.udp && udp.check(b, at, end) === null) {
    return ports(udp.sport(b, at), udp.dport(b, at), 'udp');
  }
  if (protocol === Protocol.sctp && sctp.check(b, at, end) === null) {
    return ports(sctp.sport(b, at), sctp.dport(b, at), 'sctp');
  }
  if (protocol === Protocol.icmp && family === 4 && icmp.check(b, at, end) === null) {
    return { ...bare, tail: icmpText(b, at) };
  }
  if (protocol === Protocol.icmpv6 && family === 6 && icmpv6.check(b, at, end) === null) {
    const type = icmpv6.type(b, at);
    const id = icmpv6.isQuery(type) ? ` id ${icmpv6.id(b, at)}` : '';
    return { ...bare, tail: `icmp6 type ${type} code ${icmpv6.code(b, at)}${id}` };
  }
  return bare;
}

function icmpText(b: Uint8Array, at: number): string {
  const type = icmp.type(b, at);
  if (type === icmp.IcmpType.echoRequest) return `icmp echo request id ${icmp.id(b, at)}`;
  if (type === icmp.IcmpType.echoReply) return `icmp echo reply id ${icmp.id(b, at)}`;
  return `icmp type ${type} code ${icmp.code(b, at)}`;
}
