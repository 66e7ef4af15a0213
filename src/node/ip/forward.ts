/**
 * Forwarding: `ip_forward` (net/ipv4/ip_forward.c) and `ip6_forward` (net/ipv6/ip6_output.c).
 * TTL, then MTU, then the decrement, then the FORWARD hook: rules and quotes of REJECT see the
 * lowered TTL, the errors of TTL and MTU quote the packet as it came.
 *
 * Not done: ICMP redirects (a host that sends one forwards the packet all the same).
 * @module
 */
import type { ImageInterface } from '../../image/image.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { hook } from '../hook/hook.ts';
import type { Passage, Stage } from '../passage.ts';
import { drop, type Run } from '../run.ts';
import { sendIcmpError } from './icmp-error.ts';
import { fillForwarded } from './ipv4-options.ts';

export function ipForward(run: Run, passage: Passage): Stage | null {
  const { host, packet, route } = passage;
  if (passage.frameType !== 'host') return drop(passage, 'ip-forward', 'otherHost');
  const out = route === null ? null : host.device(route.device);
  if (out === null) return drop(passage, 'ip-forward', 'noSuchDevice');
  const { bytes, l3, family } = packet;
  const ttl = family === 4 ? ipv4.ttl(bytes, l3) : ipv6.hopLimit(bytes, l3);
  if (ttl <= 1) {
    sendIcmpError(run, passage, { kind: 'ttlExpired' });
    return drop(passage, 'ip-forward', 'ttlExpired');
  }
  // Back by the device it came in by, the kernel thinks of a redirect and not of this.
  if (family === 6 && packet.inDevice !== out.name && isUnforwardableSource(passage)) {
    return drop(passage, 'ip-forward', 'martianSource');
  }
  if (exceedsMtu(passage, out)) {
    sendIcmpError(run, passage, { kind: 'tooBig', mtu: out.mtu });
    return drop(passage, 'ip-forward', 'tooBig');
  }
  if (family === 4) ipv4.setTtl(bytes, l3, ttl - 1);
  else ipv6.setHopLimit(bytes, l3, ttl - 1);
  packet.outDevice = out.name;
  if (!hook(run, passage, 'forward')) return null;
  fillForwarded(passage);
  return 'postrouting';
}

/** Unspecified and link-local sources stay on their link ("This check is security critical"). */
function isUnforwardableSource(passage: Passage): boolean {
  const { src } = passage.packet;
  const unspecified = (src.w0 | src.w1 | src.w2 | src.w3) === 0;
  return unspecified || src.w0 >>> 22 === 0xfe80 >>> 6;
}

/**
 * `ip_exceeds_mtu`, `ip6_pkt_too_big`: aggregates are judged by their segments, and what was
 * reassembled here by its largest fragment, whatever its DF bit (`ignore_df`).
 */
function exceedsMtu(passage: Passage, out: ImageInterface): boolean {
  const { packet, fragmentMaxSize, segmentSize } = passage;
  if (packet.fragmentPieces !== null) {
    const mayNotCut = packet.family === 6 || ipv4.dontFragment(packet.bytes, packet.l3);
    return mayNotCut && passage.ipLength > out.mtu && fragmentMaxSize > out.mtu;
  }
  const length = segmentSize > 0 ? segmentSize : passage.ipLength;
  if (length <= out.mtu) return false;
  return packet.family === 6 || ipv4.dontFragment(packet.bytes, packet.l3);
}
