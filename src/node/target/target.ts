/**
 * Targets that change what the kernel has attached to a packet, and then let the walk go on.
 *
 * Source: net/netfilter/xt_mark.c `mark_tg`, xt_connmark.c `connmark_tg_shift`.
 * @module
 */
import type { Provenance } from '../../netfilter/rule.ts';
import type { Target } from '../../netfilter/target.ts';
import { MarkOrigins, mergeOrigins, type OriginPart } from '../../packet/mark-origins.ts';
import type { Packet } from '../../packet/packet.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { connectionOf } from '../match/host/conntrack.ts';

/**
 * MARK: `mark = (mark & ~mask) ^ value`. Bits that end up set remember who set them: a rule that
 * sets a bit which is already set adds its origins to those of the rules before.
 */
export function applyMark(
  target: { readonly value: number; readonly mask: number },
  packet: Packet,
  origin: OriginPart,
): void {
  const { value, mask } = target;
  packet.mark = markAfter(target, packet.mark);
  const touched = (mask | value) >>> 0;
  const isNobody = 'length' in origin && origin.length === 0;
  if (isNobody && packet.markOrigins === null) return;
  packet.markOrigins ??= new Map();
  for (let rest = touched; rest !== 0; rest &= rest - 1) {
    const bit = lowestBit(rest);
    if (((packet.mark >>> bit) & 1) === 0) packet.markOrigins.delete(bit);
    else if (((value >>> bit) & 1) === 1) {
      packet.markOrigins.set(bit, MarkOrigins.after(packet.markOrigins.get(bit), origin));
    }
  }
}

/** The mark that a MARK rule leaves behind. */
export function markAfter(
  { value, mask }: { readonly value: number; readonly mask: number },
  mark: number,
): number {
  return ((mark & ~mask) ^ value) >>> 0;
}

/** Who set those of `bits` that are set on the packet, in order of bit and of setting. */
export function originsOfMark(packet: Packet, bits: number): readonly Provenance[] {
  const { markOrigins } = packet;
  if (markOrigins === null) return [];
  const lists: (readonly Provenance[])[] = [];
  for (let rest = packet.mark & bits; rest !== 0; rest &= rest - 1) {
    lists.push(markOrigins.get(lowestBit(rest))?.list() ?? []);
  }
  return mergeOrigins(lists);
}

/** The number of the lowest bit that is set. */
function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

/**
 * CONNMARK; a packet without a connection passes untouched. The origins of mark bits travel with
 * the bits (conntrack/connection.ts `markOrigins`).
 */
export function applyConnmark(
  ctx: WalkContext,
  target: Extract<Target, { kind: 'connmark' }>,
  packet: Packet,
): void {
  const connection = connectionOf(packet);
  if (connection === null) return;
  const { value, mask, nfmask, shift } = target;
  const mark = ctx.connections.mark(connection);
  const owner = connection as MarkOwner;
  switch (target.operation) {
    case 'set':
      ctx.connections.setMark(connection, shifted((mark & ~mask) ^ value, shift));
      return;
    case 'save':
      ctx.connections.setMark(
        connection,
        ((mark & ~mask) ^ shifted(packet.mark & nfmask, shift)) >>> 0,
      );
      owner.markOrigins = moved(packet.markOrigins, packet.mark & nfmask, owner.markOrigins, shift);
      return;
    case 'restore':
      packet.mark = ((packet.mark & ~nfmask) ^ shifted(mark & mask, shift)) >>> 0;
      packet.markOrigins = moved(owner.markOrigins ?? null, mark & mask, packet.markOrigins, shift);
      return;
  }
}

type Shift = Extract<Target, { kind: 'connmark' }>['shift'];

function shifted(mark: number, shift: Shift): number {
  if (shift === undefined) return mark >>> 0;
  return shift.direction === 'left' ? (mark << shift.bits) >>> 0 : (mark >>> 0) >>> shift.bits;
}

type BitOrigins = Map<number, MarkOrigins>;

interface MarkOwner {
  markOrigins?: BitOrigins | null;
}

/** `to` with the origins that `from` knows of `bits`, which arrive shifted. */
function moved(
  from: BitOrigins | null,
  bits: number,
  to: BitOrigins | null | undefined,
  shift: Shift,
): BitOrigins | null {
  if (from === null) return to ?? null;
  const all = new Map(to ?? []);
  const by = shift === undefined ? 0 : shift.direction === 'left' ? shift.bits : -shift.bits;
  for (const [bit, origins] of from) {
    const at = bit + by;
    if (((bits >>> bit) & 1) === 1 && at >= 0 && at < 32) all.set(at, origins);
  }
  return all;
}
