/**
 * CT: the template that says how the packet is to be tracked.
 *
 * Source: net/netfilter/xt_CT.c `xt_ct_target`, include/net/netfilter/nf_conntrack_zones.h
 * `nf_ct_zone_tmpl`. A helper only names who may expect further connections, and events only who is
 * told; neither decides anything here.
 * @module
 */
import type { Target } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';

/** Was it tracked before, or told how? The first rule that says so wins. */
export function hasTracking(packet: Packet): boolean {
  return packet.ctState !== 'none' || (packet.ctTemplate ?? null) !== null;
}

const DIRECTIONS = { orig: 'original', reply: 'reply' } as const;

export function applyCt(target: Extract<Target, { kind: 'ct' }>, packet: Packet): void {
  const { zone = 0, zoneDirection } = target;
  const direction = zoneDirection === undefined ? 'both' : DIRECTIONS[zoneDirection];
  packet.ctTemplate = {
    zone: { id: zone === 'mark' ? 0 : zone, direction, byMark: zone === 'mark' },
  };
}
