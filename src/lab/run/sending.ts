/**
 * What is said with a captured packet when it is sent: when that is, and what of it only the
 * capture knows.
 * @module
 */
import type { KnownChoices } from '../../engine/engine.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Captured } from '../traffic/captured.ts';
import type { InjectionOptions } from '../world.ts';

export function whenOf({ frame, nowNs, timeNs }: Captured): InjectionOptions {
  return { frame, nowNs, utcSeconds: utcSeconds(timeNs) };
}

/** Of a packet as its sender made it. */
export function sendingOf(
  captured: Captured,
  { cut, wireLength }: Datagram,
  isTraced: boolean,
  choices?: KnownChoices,
): InjectionOptions {
  const { offloaded, segmentSize } = captured;
  const when = whenOf(captured);
  // Most packets: a spread for each thing that is not there is slow.
  const isUsual = !cut && !offloaded && segmentSize === 0 && !isTraced;
  if (isUsual && choices === undefined) return when;
  return {
    ...when,
    ...(cut ? { wireLength } : {}),
    ...(offloaded ? { checksumOffloaded: true } : {}),
    ...(segmentSize > 0 ? { segmentSize } : {}),
    ...(isTraced ? { trace: true } : {}),
    ...(choices === undefined ? {} : { choices }),
  };
}

/** Rules can ask what time it is (xt_time): the capture says. */
function utcSeconds(timeNs: bigint): number {
  return Number(timeNs / 1_000_000_000n);
}
