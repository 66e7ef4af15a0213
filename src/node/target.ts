/**
 * Targets that change what the kernel has attached to a packet, and then let the walk go on.
 *
 * Source: net/netfilter/xt_mark.c `mark_tg`, xt_connmark.c `connmark_tg_shift`, xt_HL.c.
 * @module
 */
import type { Provenance } from '../netfilter/rule.ts';
import type { Target } from '../netfilter/target.ts';
import type { Packet } from '../packet/packet.ts';
import { setU8, setU16, u8, u16 } from '../wire/bytes.ts';
import type { WalkContext } from './walk.ts';

/**
 * MARK: `mark = (mark & ~mask) ^ value`. Bits that end up set remember who set them: a rule that
 * sets a bit which is already set adds its origins to those of the rules before.
 */
export function applyMark(
  target: { readonly value: number; readonly mask: number },
  packet: Packet,
  origin: readonly Provenance[],
): void {
  const { value, mask } = target;
  packet.mark = ((packet.mark & ~mask) ^ value) >>> 0;
  const touched = (mask | value) >>> 0;
  if (origin.length === 0 && packet.markOrigins === null) return;
  packet.markOrigins ??= new Map();
  for (let bit = 0; bit < 32; bit++) {
    if (((touched >>> bit) & 1) === 0) continue;
    if (((packet.mark >>> bit) & 1) === 0) packet.markOrigins.delete(bit);
    else if (((value >>> bit) & 1) === 1) {
      packet.markOrigins.set(bit, merge(packet.markOrigins.get(bit) ?? [], origin));
    }
  }
}

/** Who set those of `bits` that are set on the packet, in order of bit and of setting. */
export function originsOfMark(packet: Packet, bits: number): readonly Provenance[] {
  const { markOrigins } = packet;
  if (markOrigins === null) return [];
  const on = (packet.mark & bits) >>> 0;
  let origins: readonly Provenance[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if (((on >>> bit) & 1) === 1) origins = merge(origins, markOrigins.get(bit) ?? []);
  }
  return origins;
}

/** Append what is not there yet. */
function merge(first: readonly Provenance[], second: readonly Provenance[]): readonly Provenance[] {
  const added = second.filter((p) => !first.some((q) => sameProvenance(p, q)));
  return added.length === 0 ? first : [...first, ...added];
}

function sameProvenance(a: Provenance, b: Provenance): boolean {
  return (
    a === b ||
    (a.object === b.object &&
      a.direction === b.direction &&
      a.effect === b.effect &&
      a.field === b.field &&
      a.source === b.source)
  );
}

/** CONNMARK; a packet without a connection passes untouched. */
export function applyConnmark(
  ctx: WalkContext,
  target: Extract<Target, { kind: 'connmark' }>,
  packet: Packet,
): void {
  const { connection } = packet;
  if (connection === null || packet.ctState === 'untracked') return;
  const { value, mask, nfmask } = target;
  const mark = ctx.connections.mark(connection);
  switch (target.operation) {
    case 'set':
      ctx.connections.setMark(connection, ((mark & ~mask) ^ value) >>> 0);
      return;
    case 'save':
      ctx.connections.setMark(connection, ((mark & ~mask) ^ (packet.mark & nfmask)) >>> 0);
      return;
    case 'restore':
      // Whoever set the connection's mark did so for another packet: the bits have no origin here.
      applyMark({ value: (mark & mask) >>> 0, mask: nfmask }, packet, []);
      return;
  }
}

/**
 * TTL and HL: the new value, kept within 0–255; the IPv4 header checksum follows (RFC 1624). The
 * bytes are replaced, never written in place, because copies of a packet may share them.
 */
export function applyTtl(target: Extract<Target, { kind: 'ttl' }>, packet: Packet): void {
  const at = packet.l3 + (packet.family === 4 ? 8 : 7);
  const old = u8(packet.bytes, at);
  const next = nextTtl(target, old);
  if (next === old) return;
  packet.bytes = packet.bytes.slice();
  setU8(packet.bytes, at, next);
  if (packet.family !== 4) return;
  const sum = packet.l3 + 10;
  const difference = (~u16(packet.bytes, sum) & 0xffff) + (~(old << 8) & 0xffff) + (next << 8);
  const folded = (difference & 0xffff) + (difference >>> 16);
  setU16(packet.bytes, sum, ~(folded + (folded >>> 16)) & 0xffff);
}

function nextTtl(target: Extract<Target, { kind: 'ttl' }>, old: number): number {
  switch (target.operation) {
    case 'set':
      return target.value;
    case 'inc':
      return Math.min(255, old + target.value);
    case 'dec':
      return Math.max(0, old - target.value);
  }
}
