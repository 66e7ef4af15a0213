/**
 * Which of the records that were read are handed out: a time window, a filter, a count.
 *
 * What lies behind the last record that a count asks for does not exist for this reading, however
 * far was read ahead: how a file says that it ended does not depend on who read how much of it.
 * @module
 */
import type { Filter } from './filter/filter.ts';
import { matches, matchesBytes } from './filter/filter.ts';
import type { PacketRecord } from './record.ts';
import type { Slab } from './slab.ts';

export interface Wanted {
  /** Both included; null: no bound. */
  readonly sinceNs: bigint | null;
  readonly untilNs: bigint | null;
  readonly filter: Filter | null;
  /** As many at most; null: all. */
  readonly count: number | null;
}

export class Selection {
  readonly #wanted: Wanted;
  readonly #isAll: boolean;
  #left: number;
  #surplus: readonly string[] = [];

  constructor(wanted: Wanted) {
    this.#wanted = wanted;
    const { sinceNs, untilNs, filter, count } = wanted;
    this.#isAll = sinceNs === null && untilNs === null && filter === null;
    this.#left = count ?? Number.POSITIVE_INFINITY;
  }

  /** Whether as many were handed out as were wanted. */
  get isFull(): boolean {
    return this.#left <= 0;
  }

  /** Once full: the files of the records that were read behind the last one handed out. */
  get surplus(): readonly string[] {
    return this.#surplus;
  }

  /** Those of a batch that are handed out. */
  of(batch: readonly PacketRecord[]): readonly PacketRecord[] {
    if (this.#isAll && batch.length < this.#left) {
      this.#left -= batch.length;
      return batch;
    }
    const kept: PacketRecord[] = [];
    for (const [n, record] of batch.entries()) {
      const { filter } = this.#wanted;
      if (!this.#isInWindow(record.timeNs)) continue;
      if (filter !== null && !matches(filter, record)) continue;
      kept.push(record);
      if (--this.#left > 0) continue;
      this.#surplus = batch.slice(n + 1).map(({ iface }) => iface.file);
      break;
    }
    return kept;
  }

  /** The same of a slab, whose columns then hold what is left of it. */
  ofSlab(slab: Slab): Slab {
    if (this.#isAll && slab.count < this.#left) {
      this.#left -= slab.count;
      return slab;
    }
    const { columns, firstFrame, count } = slab;
    const { at, captured, wire, iface, times, frames } = columns;
    let kept = 0;
    for (let n = 0; n < count; n++) {
      if (!this.#isWanted(slab, n)) continue;
      at[kept] = at[n] ?? 0;
      captured[kept] = captured[n] ?? 0;
      wire[kept] = wire[n] ?? 0;
      iface[kept] = iface[n] ?? 0;
      times[kept] = times[n] ?? 0n;
      frames[kept] = firstFrame + n;
      kept++;
      if (--this.#left > 0) continue;
      const file = slab.interfaces[0]?.file ?? '';
      this.#surplus = Array.from({ length: count - n - 1 }, () => file);
      break;
    }
    return { ...slab, count: kept, isSelection: true };
  }

  #isWanted({ columns, window, interfaces }: Slab, n: number): boolean {
    if (this.#isAll) return true;
    const { filter } = this.#wanted;
    if (!this.#isInWindow(columns.times[n] ?? 0n)) return false;
    if (filter === null) return true;
    const at = columns.at[n] ?? 0;
    const data = window.subarray(at, at + (columns.captured[n] ?? 0));
    const linkType = interfaces[columns.iface[n] ?? 0]?.linkType ?? 0;
    return matchesBytes(filter, linkType, data, columns.wire[n] ?? 0);
  }

  #isInWindow(timeNs: bigint): boolean {
    const { sinceNs, untilNs } = this.#wanted;
    return (sinceNs === null || timeNs >= sinceNs) && (untilNs === null || timeNs <= untilNs);
  }
}
