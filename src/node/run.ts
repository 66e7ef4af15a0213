/**
 * What drives the stages of a host: the services that an engine gives them, and the ends that a
 * packet can come to.
 * @module
 */
import type { PortSpan } from '../conntrack/nat/nat.ts';
import type { Tuple } from '../conntrack/tuple.ts';
import type { ImageInterface } from '../image/image.ts';
import type { Hook } from '../netfilter/hook.ts';
import { ipBytes } from '../packet/parse.ts';
import type { Address } from '../wire/address/address.ts';
import type { DropReason, UnknownReason } from '../wire/drop-reason.ts';
import type { Host } from './host.ts';
import type { HostState } from './host-state.ts';
import type { Draws } from './match/memory/draws.ts';
import type { RuleMemory } from './match/memory/rule-memory.ts';
import type { Passage, Stage } from './passage.ts';
import type { Decision, GeneratedKind, Outcome } from './trail.ts';

export interface Run {
  readonly nowNs: number;
  readonly tracing: boolean;
  /** What `nowNs` is in the world, in seconds since 1970; absent when nobody knows. */
  readonly utcSeconds?: number;
  /** Seed of everything the kernel would draw. */
  readonly seed: number;
  /** What a real kernel drew in this place, when that is known: a number of 16 bits. */
  drawn?(host: string, original: Tuple, search: number, span: PortSpan): number | undefined;
  /** The chances of a new connection on a host; `key` names the connection and the hook. */
  drawsOf(host: Host, key: () => string): Draws;
  /** The source that the connection is known to have been given, where a port must be searched. */
  readonly knownSource?: { readonly address: Address; readonly port: number };
  /** No connection that comes of this stays. */
  readonly dry: boolean;
  /** Rules are not counted. */
  readonly uncounted: boolean;
  /** Walk on past policy drops, noting them. */
  readonly forgiving: boolean;
  /** Go on with this passage at `stage` after the present one; for copies. */
  later(passage: Passage, stage: Stage): void;
  /** The frame leaves the host by a device that is not a bridge. */
  transmit(passage: Passage, device: ImageInterface): void;
  /**
   * A packet that the host itself makes because of `cause`. `ip` is routed and sent by the host; a
   * `frame` leaves by `device` as it is.
   */
  generate(cause: Passage, made: MadePacket): void;
  /** Connections that packets belonged to, for who opens connections by hand. */
  readonly touched: Map<object, Host>;
  /** Connections and fragments of a host: its own, or in a dry run a copy. */
  stateOf(host: Host): HostState;
  /** What the host's rules remember; a copy where nothing is to be counted. */
  memoryOf(host: Host): RuleMemory;
  /** Ask this question at once; an answer is learned by the host that asked. */
  resolveNeighbor(host: Host, request: Uint8Array, device: ImageInterface): void;
  /** Whether somebody who is not emulated answers such questions of the host. */
  isAnswered(host: Host): boolean;
}

export type MadePacket = {
  readonly kind: GeneratedKind;
  /** Attach the cause's connection in the other direction (`nf_ct_attach`). */
  readonly attach: boolean;
} & ({ readonly ip: Uint8Array } | { readonly frame: Uint8Array; readonly device: ImageInterface });

/** End a passage. Every passage ends once. */
export function finish(
  passage: Passage,
  outcome: Outcome,
  reason: DropReason | UnknownReason | null,
): null {
  const { packet, host, device, trail } = passage;
  trail.end({
    outcome,
    reason,
    host: host.name,
    device: device.name,
    packet: packet.family === 0 ? null : ipBytes(packet).slice(),
    frame: outcome === 'exited' ? packet.bytes.slice() : null,
  });
  return null;
}

/** Drop a packet at a place where no rule had a say. */
export function drop(passage: Passage, stage: string, reason: DropReason, hook?: Hook): null {
  return dropBy(passage, reason, {
    host: passage.host.name,
    stage,
    ...(hook === undefined ? {} : { hook }),
  });
}

/** Drop a packet because of a rule (or policy) that `decision` names. */
export function dropBy(
  passage: Passage,
  reason: DropReason | UnknownReason,
  decision: Decision,
): null {
  passage.trail.decision = decision;
  passage.step(decision.stage, `drop: ${reason}`);
  return finish(passage, 'dropped', reason);
}

/** No verdict can be given. */
export function unknown(passage: Passage, decision: Decision, reason: UnknownReason): null {
  passage.trail.decision = decision;
  passage.step(decision.stage, `unknown: ${reason}`);
  return finish(passage, 'unknown', reason);
}
