/**
 * How many records are taken at a time: a signal is answered, and output written, between batches
 * only.
 * @module
 */
import type { Engine } from '../../engine/engine.ts';

/** At most, and at least: below that, batches themselves are felt in the time of a packet. */
const MOST = 4096;
const LEAST = 1024;
/** Packets of a connection that are judged by hand, before its others go in lanes. */
const BY_HAND = 3;

/**
 * Records of one batch of a capture: so many that some thousand are judged by hand, at 50 to 150
 * microseconds each, and less than a fifth of a second passes.
 *
 * Equal for all who judge a part of one run: they stop behind the same batch.
 */
export function recordsAtATime(
  engine: Engine['name'],
  packets: number,
  connections: number,
): number {
  if (engine !== 'compiled' || packets === 0) return LEAST;
  const byHand = Math.min(1, (BY_HAND * connections) / packets);
  return Math.max(LEAST, Math.min(MOST, Math.round(LEAST / byHand)));
}
