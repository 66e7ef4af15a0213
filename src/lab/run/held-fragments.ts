/**
 * Fragments whose datagram is not complete yet: their rows wait for what becomes of the datagram,
 * as long as the kernel would wait.
 *
 * Kernel: net.ipv4.ipfrag_time, net.ipv6.ip6frag_time.
 * @module
 */
import type { Pending } from '../frame-queue.ts';
import type { FrameResult } from '../result.ts';
import type { Captured } from '../traffic/captured.ts';

const TIMEOUT_NS = { 4: 30e9, 6: 60e9 } as const;

export interface HeldFragment {
  readonly captured: Captured;
  /** Where its row belongs in the order of rows. */
  readonly place: Pending<FrameResult>;
  readonly untilNs: number;
}

const NONE: readonly HeldFragment[] = [];

export class HeldFragments {
  readonly #held = new Map<string, HeldFragment[]>();

  get size(): number {
    return this.#held.size;
  }

  /** Keep a fragment's place until its datagram is whole. */
  hold(key: string, captured: Captured, place: Pending<FrameResult>): void {
    const untilNs = captured.nowNs + TIMEOUT_NS[captured.datagram?.family ?? 4];
    const held = this.#held.get(key) ?? [];
    held.push({ captured, place, untilNs });
    this.#held.set(key, held);
  }

  /** The fragments that waited for this datagram; they wait no longer. */
  complete(key: string): readonly HeldFragment[] {
    const held = this.#held.get(key) ?? [];
    this.#held.delete(key);
    return held;
  }

  /** Fragments whose time is up. */
  expire(nowNs: number): readonly HeldFragment[] {
    if (this.#held.size === 0) return NONE;
    const over = [...this.#held].filter(([, held]) => (held[0]?.untilNs ?? 0) <= nowNs);
    return over.flatMap(([key]) => this.complete(key));
  }

  /** All that still wait: the input is over. */
  drain(): readonly HeldFragment[] {
    const all = [...this.#held.values()].flat();
    this.#held.clear();
    return all;
  }
}
