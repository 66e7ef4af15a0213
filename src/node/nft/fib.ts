/**
 * What nft asks the routing table: `fib`.
 *
 * Source: net/ipv4/netfilter/nft_fib_ipv4.c `nft_fib4_eval`, `nft_fib4_eval_type`,
 * net/ipv6/netfilter/nft_fib_ipv6.c `nft_fib6_eval`, `__nft_fib6_eval_type` (Linux 6.18).
 * @module
 */

import type { NftLoad } from '../../image/nft/program.ts';
import {
  isLimitedBroadcast,
  isLinkLocal6,
  isLocalMulticast,
  isMulticast,
  isUnicast6,
  isZeroNet,
} from '../../image/route/address-kind.ts';
import type { Hook } from '../../netfilter/hook.ts';
import type { AddressType } from '../../netfilter/match.ts';
import { nameValue } from '../../netfilter/nft/datatype.ts';
import type { Packet } from '../../packet/packet.ts';
import type { Address } from '../../wire/address/address.ts';
import type { WalkContext } from '../hook/walk-context.ts';

type FibLoad = Extract<NftLoad, { kind: 'fib' }>;

/** RTN_* (include/uapi/linux/rtnetlink.h). */
const TYPES: Readonly<Record<string, bigint>> = {
  UNSPEC: 0n,
  UNICAST: 1n,
  LOCAL: 2n,
  BROADCAST: 3n,
  ANYCAST: 4n,
  MULTICAST: 5n,
  BLACKHOLE: 6n,
  UNREACHABLE: 7n,
  PROHIBIT: 8n,
} satisfies Partial<Record<AddressType, bigint>>;

export function askFib(ctx: WalkContext, load: FibLoad, packet: Packet, hook: Hook): bigint {
  const { src, dst } = packet;
  const asked = load.flags.includes('daddr') ? dst : src;
  const device = deviceOf(load, packet);
  if (load.result === 'type') {
    const type = packet.family === 6 ? type6(ctx, load, asked, packet) : type4(ctx, asked, device);
    return TYPES[type] ?? 0n;
  }
  const found = packet.family === 6 ? route6(ctx, load, packet) : route4(ctx, load, packet, hook);
  if (load.result === 'check') return found === '' ? 0n : 1n;
  // An index of 0 and an empty name are «none».
  return found === '' ? 0n : nameValue(found);
}

/** The device that is asked about; empty for any, and where the packet has none. */
function deviceOf({ flags }: FibLoad, { inDevice, outDevice }: Packet): string {
  if (flags.includes('iif')) return inDevice;
  return flags.includes('oif') ? outDevice : '';
}

function type4(ctx: WalkContext, address: Address, device: string): AddressType {
  return ctx.image.fib.addressType(address, device === '' ? undefined : device);
}

function type6(ctx: WalkContext, load: FibLoad, address: Address, packet: Packet): AddressType {
  const { fib } = ctx.image;
  const device = deviceOf(load, packet);
  if (device !== '' && fib.addressType(address, device) === 'LOCAL') return 'LOCAL';
  const out = device !== '' && isLinkLocal6(address) ? { outDevice: device } : {};
  const mark = load.flags.includes('mark') ? packet.mark : 0;
  const route = fib.lookup({ destination: address, mark, ...out });
  switch (route.type) {
    case 'blackhole':
      return 'BLACKHOLE';
    case 'prohibit':
      return 'PROHIBIT';
    case 'unreachable':
    case 'none':
      return 'UNREACHABLE';
    case 'anycast':
      return 'ANYCAST';
    case 'local':
      if (device === '') return 'LOCAL';
      break;
    default:
      break;
  }
  if (isMulticast(address)) return 'MULTICAST';
  return isUnicast6(address) ? 'UNICAST' : 'UNSPEC';
}

/** The device by which the packet's answer (or the packet) would leave; empty for none. */
function route4(ctx: WalkContext, load: FibLoad, packet: Packet, hook: Hook): string {
  const { fib } = ctx.image;
  const { src, dst } = packet;
  if (hook === 'prerouting' && cameByLoopback(ctx, packet)) return packet.inDevice;
  if (isZeroNet(src) && (isLimitedBroadcast(dst) || isLocalMulticast(dst))) return packet.inDevice;
  const asksDestination = load.flags.includes('daddr');
  const [destination, source] = asksDestination ? [dst, src] : [src, dst];
  const usable = !isMulticast(source) && !isLimitedBroadcast(source) && !isZeroNet(source);
  const mark = load.flags.includes('mark') ? packet.mark : 0;
  const route = fib.lookup({ destination, ...(usable ? { source } : {}), mark });
  if (route.type !== 'unicast') return '';
  const device = deviceOf(load, packet);
  const isBound = load.flags.includes('iif') || load.flags.includes('oif');
  return !isBound || device === '' || route.device === device ? route.device : '';
}

function route6(ctx: WalkContext, load: FibLoad, packet: Packet): string {
  const { fib } = ctx.image;
  const { src, dst } = packet;
  if (cameByLoopback(ctx, packet)) return packet.inDevice;
  const asksDestination = load.flags.includes('daddr');
  const [destination, source] = asksDestination ? [dst, src] : [src, dst];
  const device = deviceOf(load, packet);
  const out = device !== '' && isLinkLocal6(destination) ? { outDevice: device } : {};
  const mark = load.flags.includes('mark') ? packet.mark : 0;
  const from = isUnicast6(source) ? { source } : {};
  const route = fib.lookup({ destination, ...from, ...out, mark });
  if (route.type !== 'unicast' && route.type !== 'multicast') return '';
  return device === '' || route.device === device ? route.device : '';
}

function cameByLoopback(ctx: WalkContext, { inDevice }: Packet): boolean {
  return ctx.image.interfaces.get(inDevice)?.kind === 'loopback';
}
