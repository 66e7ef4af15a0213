/**
 * SET: add the packet's element to a set, or delete it; whether that worked decides nothing.
 *
 * Source: net/netfilter/xt_set.c `set_target_v3`; compared with the kernel by
 * test/differential/kernel/set-target.test.ts.
 * @module
 */
import type { ChangeResult, CompiledSet } from '../../image/set/set-view.ts';
import type { Target } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { PacketSetView, setMemory } from '../match/host/set.ts';

export type SetTarget = Extract<Target, { kind: 'set' }>;

export function applySet(
  ctx: WalkContext,
  set: CompiledSet | null,
  target: SetTarget,
  packet: Packet,
): ChangeResult {
  if (set?.change === undefined) return 'missing';
  return set.change(new PacketSetView(packet), target.directions, setMemory(ctx), target);
}
