/**
 * Whether the end of a walk is one that other packets come to by the same decision, and what such a
 * decision does.
 * @module
 */
import type { Tuple } from '../../../conntrack/tuple.ts';
import type { Host } from '../../../node/host.ts';
import { equalPacketEnds } from '../../../packet/ends.ts';
import type { Journey } from '../../engine.ts';
import { tupleEnds, wayOf } from '../connection/connection-names.ts';
import type { Turns } from './decision-book.ts';
import type { FlowFacts } from './flow-reader.ts';
import { type Change, changeOf, endsOf, translated } from './outcome-of.ts';

/** The longest packet. */
export const MAX_PACKET = 65_535;

export interface Ending {
  readonly change: Change;
  /** It ends with the ends of its connection's far side. */
  readonly translates: boolean;
  /** Those ends, of a translated connection. */
  readonly far: Tuple | null;
  readonly turns: Turns | null;
}

/**
 * How a packet ended, if any other of its connection's direction would end so; else null: it may
 * have ended between two translations.
 */
export function endingOf(
  packet: Uint8Array,
  journey: Journey,
  { names, isReply }: FlowFacts,
  offloaded: boolean,
): Ending | null {
  const after = journey.packet;
  if (after === null) return null;
  if (names.length === 1) {
    const change = changeOf(packet, after, { offloaded });
    return change === null ? null : { change, translates: false, far: null, turns: null };
  }
  const way = wayOf(names, isReply);
  const far = way?.at(-1);
  if (way === null || far === undefined) return null;
  const ends = way.map(tupleEnds);
  const last = ends.findIndex((end) => equalPacketEnds(end, endsOf(after)));
  if (last !== 0 && last !== ends.length - 1) return null;
  const at = journey.crossings.map((crossing) =>
    ends.findIndex((end) => equalPacketEnds(end, crossing.ends)),
  );
  const asIs = last === 0 ? packet : translated(packet, way, { offloaded });
  const change = asIs === null ? null : changeOf(asIs, after, { offloaded });
  if (change === null || at.includes(-1)) return null;
  return { change, translates: last !== 0, far, turns: { isReply, at, last } };
}

/** One packet in, one way, one end, and nothing made on the way. */
export function isOrdinary(journey: Journey, mayDraw = false): boolean {
  const { outcome, generated, copies, forgiven, heldForReassembly, draws } = journey;
  return (
    outcome !== 'unknown' &&
    generated.length === 0 &&
    copies.length === 0 &&
    forgiven.length === 0 &&
    (mayDraw || draws === undefined) &&
    !heldForReassembly
  );
}

/** Of the devices on the way. */
export function leastMtu(hosts: readonly Host[]): number {
  let least = MAX_PACKET;
  for (const host of hosts) {
    for (const device of host.image.interfaces.values()) {
      if (device.kind !== 'loopback') least = Math.min(least, device.mtu);
    }
  }
  return least;
}
