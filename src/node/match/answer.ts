/**
 * What a match can answer: more than yes and no.
 * @module
 */

/**
 * `hotdrop`: the module drops the packet on the spot. `cut`: the answer lies in bytes that the
 * capture does not have; `unanswerable`: no packet shows it; `missing`: nobody described the part
 * of the host that would answer.
 */
export type Answer = 'hit' | 'miss' | 'hotdrop' | 'cut' | 'unanswerable' | 'missing';

export function answer(holds: boolean): Answer {
  return holds ? 'hit' : 'miss';
}
