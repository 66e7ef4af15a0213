/**
 * One plan, the frames that were sent into it, and what came of them: the same shape whether a kernel
 * or an engine answered, so that answers can be compared.
 * @module
 */
import type { Plan } from '../../../../src/plan/model.ts';
import type { Birth } from './births.ts';

/** Which half of the kernel holds the rules. */
export type Backend = 'legacy' | 'nft';

/** A frame that arrives at a device of the host, or a pause. */
export type Shot =
  | {
      readonly kind: 'frame';
      readonly device: string;
      readonly frame: Uint8Array;
      /** Where a checksum that was left to the device starts and is stored, from the frame's start. */
      readonly offload?: readonly [start: number, offset: number];
    }
  | { readonly kind: 'wait'; readonly seconds: number };

export interface Trial {
  /** The plan's shape and its seed: enough to draw it again. */
  readonly name: string;
  readonly backend: Backend;
  readonly plan: Plan;
  readonly shots: readonly Shot[];
}

export interface Connection {
  readonly protocol: number;
  readonly original: string;
  readonly reply: string;
  readonly status: string;
  readonly seconds: number;
}

/** What a host says of itself after the last frame. */
export interface Reading {
  readonly counters: ReadonlyMap<string, string>;
  readonly connections: readonly Connection[];
  /** `MAC PORT`, sorted. */
  readonly learned: readonly string[];
}

/** `DEVICE HEX` of what came out, one list for each run of frames between pauses. */
export interface Answer {
  readonly bursts: readonly (readonly string[])[];
  readonly reading: Reading;
  /** Every connection that entered the table, in order; absent when nobody watched. */
  readonly births?: readonly Birth[];
  /** Seconds from the first frame to the reading. */
  readonly seconds: number;
}
