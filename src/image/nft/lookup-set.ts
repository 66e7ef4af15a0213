/**
 * Sets and maps of nft as they are looked up.
 *
 * Elements of single values are found by their key; ranges of one dimension by halving; ranges of a
 * concatenation one after another. Elements that rules add, and those whose time runs out, are kept
 * by the host (`NftElements`), because they change.
 *
 * Source: net/netfilter/nft_set_hash.c, nft_set_rbtree.c, nft_set_pipapo.c, nft_dynset.c
 * `nft_dynset_eval` (Linux 6.18).
 * @module
 */
import type { Bounds, ElementMeter, NftLinkedVerdict } from './program.ts';

const NS_PER_MS = 1e6;

export interface LookupElement {
  /** Null for the element that everything else falls to. */
  readonly key: readonly Bounds[] | null;
  readonly data: readonly Bounds[] | null;
  readonly verdict: NftLinkedVerdict | null;
  /** The moment from which it is gone, in nanoseconds from the start; null for never. */
  readonly untilNs: number | null;
  readonly timeoutMs: number | null;
  readonly meters: readonly ElementMeter[];
}

/** An element that rules added or renewed. Plain data, so that a dry run can work on a copy. */
export interface LiveElement {
  readonly untilNs: number | null;
  readonly data: readonly Bounds[] | null;
  /** The element that the ruleset came with, by its place. */
  readonly given: number | null;
}

/** Elements that change, by the text of their key. */
export type LiveElements = Map<string, LiveElement>;

/** What a set needs of its host: the time, and what became of the elements. */
export interface SetMoment {
  readonly nowNs: number;
  /** The elements of a set that rules change; made when first asked for. */
  elementsOf(set: LookupSet): LiveElements;
}

/** What was found: the element, and what names its memory. */
export interface Found {
  readonly name: string;
  readonly data: readonly Bounds[] | null;
  readonly verdict: NftLinkedVerdict | null;
  readonly meters: readonly ElementMeter[];
}

export interface LookupSetParts {
  readonly id: string;
  readonly isMap: boolean;
  /** Rules change it. */
  readonly changes: boolean;
  readonly size: number | null;
  readonly timeoutMs: number | null;
  /** What elements that rules add measure. */
  readonly meters: readonly ElementMeter[];
}

export class LookupSet {
  readonly id: string;
  readonly changes: boolean;
  readonly size: number | null;
  readonly timeoutMs: number | null;
  readonly meters: readonly ElementMeter[];
  readonly #exact = new Map<string, number>();
  /** Ranges; of one dimension, sorted. */
  #ranges: readonly number[] = [];
  #rest: number | null = null;
  #isSteady = false;
  #elements: readonly LookupElement[] = [];

  constructor({ id, changes, size, timeoutMs, meters }: LookupSetParts) {
    this.id = id;
    this.changes = changes;
    this.size = size;
    this.timeoutMs = timeoutMs;
    this.meters = meters;
  }

  /** Give it its elements; chains that verdicts lead to are only known later than the set. */
  fill(elements: readonly LookupElement[]): void {
    this.#elements = elements;
    const ranges: number[] = [];
    for (const [at, { key }] of elements.entries()) {
      if (key === null) this.#rest = at;
      else if (key.every(([low, high]) => low === high)) {
        this.#exact.set(keyText(key.map(([low]) => low)), at);
      } else ranges.push(at);
    }
    const isLasting = (e: LookupElement) => e.untilNs === null && e.meters.length === 0;
    this.#isSteady = !this.changes && elements.every(isLasting);
    const low = (at: number) => elements[at]?.key?.[0]?.[0] ?? 0n;
    this.#ranges = ranges.sort((a, b) => (low(a) < low(b) ? -1 : low(a) > low(b) ? 1 : 0));
  }

  /** What it answers is the same for ever: no element comes, goes or measures. */
  get isSteady(): boolean {
    return this.#isSteady;
  }

  find(values: readonly bigint[], moment: SetMoment): Found | null {
    const name = keyText(values);
    if (this.changes) {
      const live = moment.elementsOf(this).get(name);
      if (live !== undefined && isAlive(live.untilNs, moment.nowNs)) return this.#live(name, live);
    }
    const exact = this.changes ? undefined : this.#exact.get(name);
    const at = this.#alive(exact, moment) ?? this.#range(values, moment) ?? this.#rest;
    const element = at === null ? undefined : this.#elements[at];
    if (at === null || element === undefined) return null;
    const { data, verdict, meters } = element;
    return { name: `#${at}`, data, verdict, meters };
  }

  /** The elements that rules may renew and delete, as they are at the start. */
  initial(): LiveElements {
    const live: LiveElements = new Map();
    for (const [name, given] of this.#exact) {
      const { untilNs = null, data = null } = this.#elements[given] ?? {};
      live.set(name, { untilNs, data, given });
    }
    return live;
  }

  /** What an element lives for when a rule renews it and says nothing else; null for ever. */
  lifeMs(live: LiveElement | undefined): number | null {
    const given = live?.given ?? null;
    return given === null ? this.timeoutMs : (this.#elements[given]?.timeoutMs ?? this.timeoutMs);
  }

  #live(name: string, live: LiveElement): Found {
    const given = live.given === null ? undefined : this.#elements[live.given];
    const { verdict = null, meters = this.meters } = given ?? {};
    return { name, data: live.data, verdict, meters };
  }

  #alive(at: number | undefined, { nowNs }: SetMoment): number | null {
    if (at === undefined) return null;
    return isAlive(this.#elements[at]?.untilNs ?? null, nowNs) ? at : null;
  }

  #range(values: readonly bigint[], moment: SetMoment): number | null {
    const holds = (at: number) =>
      this.#elements[at]?.key?.every(([low, high], i) => {
        const value = values[i] ?? 0n;
        return value >= low && value <= high;
      }) ?? false;
    if (values.length > 1) {
      return this.#ranges.find((at) => holds(at) && this.#alive(at, moment) !== null) ?? null;
    }
    const at = this.#last(values[0] ?? 0n);
    return at !== null && holds(at) ? this.#alive(at, moment) : null;
  }

  /** The last range that starts at or before the value. */
  #last(value: bigint): number | null {
    let from = 0;
    let to = this.#ranges.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      const low = this.#elements[this.#ranges[middle] ?? 0]?.key?.[0]?.[0] ?? 0n;
      if (low <= value) from = middle + 1;
      else to = middle;
    }
    return this.#ranges[from - 1] ?? null;
  }
}

/** Is there time left? */
export function isAlive(untilNs: number | null, nowNs: number): boolean {
  return untilNs === null || nowNs < untilNs;
}

/** The moment at which a life of so many milliseconds ends. */
export function endOf(nowNs: number, ms: number | null): number | null {
  return ms === null || ms === 0 ? null : nowNs + ms * NS_PER_MS;
}

export function keyText(values: readonly bigint[]): string {
  return values.join(' ');
}
