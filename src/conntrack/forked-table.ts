/**
 * A connection table as it would go on from one moment: what happens to it does not show in the
 * table that it began as. Connections are copied when somebody looks at them, so that trying one
 * packet out costs what the packet costs, however many connections there are.
 *
 * Good for one moment: the table it began as must stay as it is meanwhile.
 * @module
 */
import type { CtZone } from '../packet/packet.ts';
import { type Connection, copyConnection } from './connection.ts';
import { ConntrackTable, type Found } from './table.ts';
import type { Tuple } from './tuple.ts';

export class ForkedTable extends ConntrackTable {
  readonly #base: ConntrackTable;
  readonly #nowNs: number;
  /** Of the base's connections that were looked at, those that stand for them here. */
  readonly #copies = new Map<Connection, Connection>();
  /** Everything has been copied. */
  #isWhole = false;
  /** Copies are put in: nobody looks anything up. */
  #isCopying = false;

  constructor(base: ConntrackTable, nowNs: number) {
    super(base.settings);
    this.#base = base;
    this.#nowNs = nowNs;
  }

  override get size(): number {
    return super.size + (this.#isWhole ? 0 : this.#base.size - this.#copies.size);
  }

  override lookup(tuple: Tuple, nowNs: number, zone: CtZone | null = null): Found | null {
    if (this.#isCopying || this.#isWhole) return super.lookup(tuple, nowNs, zone);
    const { max } = this.settings;
    // Who must go when there is no room is decided among all of them, by age; and a place in a zone
    // can be taken by what no look finds.
    if (zone !== null || (max !== 0 && this.size + 1 >= max)) this.#copyAll();
    else this.#copyOne(tuple);
    return super.lookup(tuple, nowNs, zone);
  }

  override fromSameSource(
    tuple: Tuple,
    nowNs: number,
    zone: CtZone | null = null,
  ): readonly Connection[] {
    this.#copyAll();
    return super.fromSameSource(tuple, nowNs, zone);
  }

  override connections(nowNs: number): readonly Connection[] {
    this.#copyAll();
    return super.connections(nowNs);
  }

  override flush(matches?: (connection: Connection) => boolean): number {
    this.#copyAll();
    return super.flush(matches);
  }

  #copyOne(tuple: Tuple): void {
    const found = this.#base.lookup(tuple, this.#nowNs)?.connection;
    if (found !== undefined && !this.#copies.has(found)) this.#putIn(this.#copyOf(found));
  }

  #copyOf(connection: Connection): Connection {
    const copy = copyConnection(connection);
    this.#copies.set(connection, copy);
    return copy;
  }

  /** Copy what has not been, so that all stand in the order of their age. */
  #copyAll(): void {
    if (this.#isWhole) return;
    this.#isWhole = true;
    const before = new Set(super.connections(this.#nowNs));
    for (const connection of before) {
      this.remove(connection);
      connection.dying = false;
    }
    for (const connection of this.#base.connections(this.#nowNs)) {
      const copy = this.#copies.get(connection);
      if (copy === undefined) this.#putIn(this.#copyOf(connection));
      else if (before.delete(copy)) this.#putIn(copy);
    }
    for (const connection of before) this.#putIn(connection);
  }

  #putIn(connection: Connection): void {
    connection.lifetimeNs = connection.expiresNs - this.#nowNs;
    this.#isCopying = true;
    this.admit(() => connection, this.#nowNs);
    this.#isCopying = false;
  }
}
