/**
 * Clocks of several captures held against each other: the same packet seen in two files says how
 * far their clocks are apart (SEMANTICS A3).
 *
 * A packet needs well under a tenth of a second from one end of a cluster to another, so a median
 * difference above that is a clock that is wrong, and one below is the way itself and is left
 * alone. A packet that one file holds twice can not tell which copy is meant, and is not used.
 * @module
 */
import type { Datagram } from '../datagram/datagram.ts';
import { contentKey } from './duplicates.ts';

/** Packets remembered of each file: enough for a median, few enough to keep. */
const SAMPLES_PER_FILE = 20_000;
const LEAST_SHARED = 5;
const SMALLEST_OFFSET_NS = 100_000_000n;

/** A file's clock against the first file's. */
export interface ClockOffset {
  readonly file: string;
  readonly reference: string;
  /** To be added to the file's timestamps. */
  readonly addNs: bigint;
  readonly sharedPackets: number;
}

export class ClockOffsets {
  /** By file in order of appearance: packet → time, or null once it was seen twice. */
  readonly #files = new Map<string, Map<string, bigint | null>>();

  add(file: string, datagram: Datagram, timeNs: bigint): void {
    const seen = this.#files.get(file) ?? new Map<string, bigint | null>();
    this.#files.set(file, seen);
    const key = contentKey(datagram);
    if (seen.has(key)) seen.set(key, null);
    else if (seen.size < SAMPLES_PER_FILE) seen.set(key, timeNs);
  }

  /** Files whose clock is off, against the first file that shares packets with them. */
  estimate(): readonly ClockOffset[] {
    const files = [...this.#files];
    const known = new Map<string, bigint>();
    const found: ClockOffset[] = [];
    for (const [file, seen] of files) {
      const [first] = files;
      if (first === undefined || file === first[0]) {
        known.set(file, 0n);
        continue;
      }
      for (const [reference, addNs] of known) {
        const differences = shared(this.#files.get(reference) ?? new Map(), seen);
        const middle = differences[Math.floor(differences.length / 2)];
        if (differences.length < LEAST_SHARED || middle === undefined) continue;
        const total = (isLarge(middle) ? -middle : 0n) + addNs;
        known.set(file, total);
        const sharedPackets = differences.length;
        if (total !== 0n) found.push({ file, reference, addNs: total, sharedPackets });
        break;
      }
    }
    return found;
  }
}

/** Sorted differences of the times of packets that both files hold once. */
function shared(
  a: ReadonlyMap<string, bigint | null>,
  b: ReadonlyMap<string, bigint | null>,
): readonly bigint[] {
  const differences: bigint[] = [];
  for (const [key, time] of b) {
    const other = a.get(key);
    if (time !== null && other !== null && other !== undefined) differences.push(time - other);
  }
  return differences.sort((x, y) => (x < y ? -1 : x > y ? 1 : 0));
}

function isLarge(difference: bigint): boolean {
  return difference > SMALLEST_OFFSET_NS || difference < -SMALLEST_OFFSET_NS;
}
