/**
 * Fragments at the hooks (being written: waits for src/conntrack).
 * @module
 */
import type { Passage, Stage } from './passage.ts';
import type { Run } from './run.ts';

export function gatherFragments(_run: Run, _passage: Passage): boolean {
  return true;
}
export function reassembleLocal(_run: Run, _passage: Passage): boolean {
  return true;
}
export function sendFragments(_run: Run, _passage: Passage, _mtu: number, _stage: Stage): boolean {
  return true;
}
