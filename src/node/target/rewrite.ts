/**
 * REDIRECT and NETMAP: translations whose new address follows from the packet and the host.
 *
 * Source: net/netfilter/nf_nat_redirect.c, xt_NETMAP.c.
 * @module
 */
import type { Hook } from '../../netfilter/hook.ts';
import type { NatRange, Target } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import { type Address, ipv4, ipv6, type Prefix } from '../../wire/address/address.ts';
import type { WalkContext } from '../hook/walk-context.ts';

export type RewriteTarget = Extract<Target, { kind: 'redirect' | 'netmap' }>;

/** What the target is, said as DNAT or SNAT; null when the host has no address to redirect to. */
export function rewriteOf(
  ctx: WalkContext,
  target: RewriteTarget,
  hook: Hook,
  packet: Packet,
): { readonly kind: 'snat' | 'dnat'; readonly range: NatRange } | null {
  if (target.kind === 'redirect') {
    const to = redirectAddress(ctx, hook, packet);
    return to === null ? null : { kind: 'dnat', range: { ...target.range, low: to, high: to } };
  }
  const isSource = hook === 'postrouting' || hook === 'input';
  const low = mapped(isSource ? packet.src : packet.dst, target.to);
  const range = { low, high: low, random: false, randomFully: false, persistent: false };
  return { kind: isSource ? 'snat' : 'dnat', range };
}

/**
 * Loopback for the host's own packets, else the first address of the device they came in by; the
 * kernel's list of IPv6 addresses begins with the latest (`ipv6_link_dev_addr`).
 */
function redirectAddress(ctx: WalkContext, hook: Hook, packet: Packet): Address | null {
  const { family } = packet.dst;
  if (hook === 'output') return family === 4 ? ipv4(0x7f000001) : ipv6(0, 0, 0, 1);
  const addresses = ctx.image.interfaces.get(packet.inDevice)?.addresses ?? [];
  const own = addresses.filter((a) => a.address.family === family);
  return (family === 4 ? own[0] : own.at(-1))?.address ?? null;
}

/** The net of `to` with the host part of `address`. */
function mapped(address: Address, to: Prefix): Address {
  const { length } = to;
  const word = (at: 'w0' | 'w1' | 'w2' | 'w3', before: number) => {
    const kept = Math.max(0, Math.min(32, length - before));
    const mask = kept === 0 ? 0 : -1 << (32 - kept);
    return ((to.address[at] & mask) | (address[at] & ~mask)) >>> 0;
  };
  if (address.family === 4) return ipv4(word('w3', 0));
  return ipv6(word('w0', 0), word('w1', 32), word('w2', 64), word('w3', 96));
}
