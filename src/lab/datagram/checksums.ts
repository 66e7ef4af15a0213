/**
 * When a captured transport checksum is evidence, and when it only shows that the sender's device
 * was to fill it in.
 *
 * A capture taken at the sender holds the pseudo-header's partial sum, or nonsense in every packet
 * that sender sends through that interface. Such checksums are *offloaded*: taken as right and
 * completed on output. A wrong checksum from a sender that also sends right ones is wrong.
 * @module
 */
import type { ChecksumVerdict } from '../../packet/transport-checksum.ts';
import { type Address, addressKey } from '../../wire/address/address.ts';

/** `--checksums`. */
export const CHECKSUM_MODES = ['auto', 'strict', 'ignore'] as const;
export type ChecksumMode = (typeof CHECKSUM_MODES)[number];

/** What one sender's checksums looked like at one capture interface. */
export interface Seen {
  right: number;
  wrong: number;
}

/** Learns in the first pass over the capture which senders leave checksums to their device. */
export class ChecksumSurvey {
  readonly #senders: Map<string, Seen>;

  /** What was seen already: the plain data of another survey. */
  constructor(senders: ReadonlyMap<string, Seen> = new Map()) {
    this.#senders = new Map(senders);
  }

  /** What was seen, as plain data. */
  get senders(): ReadonlyMap<string, Seen> {
    return this.#senders;
  }

  add(iface: number, src: Address, state: ChecksumVerdict, packets = 1): void {
    if (packets === 0 || (state !== 'right' && state !== 'wrong')) return;
    const key = `${iface} ${addressKey(src)}`;
    const seen = this.#senders.get(key) ?? { right: 0, wrong: 0 };
    seen[state] += packets;
    this.#senders.set(key, seen);
  }

  /** Add what another survey saw. */
  absorb(senders: ReadonlyMap<string, Seen>): void {
    for (const [key, { right, wrong }] of senders) {
      const seen = this.#senders.get(key) ?? { right: 0, wrong: 0 };
      this.#senders.set(key, { right: seen.right + right, wrong: seen.wrong + wrong });
    }
  }

  /**
   * Whether a checksum in this state is the device's to fill in. One wrong packet alone says
   * nothing: a sender that never sent a right one must have sent at least two wrong ones.
   */
  isOffloaded(iface: number, src: Address, state: ChecksumVerdict): boolean {
    if (state === 'partial') return true;
    if (state !== 'wrong') return false;
    const seen = this.#senders.get(`${iface} ${addressKey(src)}`);
    return seen !== undefined && seen.right === 0 && seen.wrong > 1;
  }
}
