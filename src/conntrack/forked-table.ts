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

/** No table confirms as many. */
const YOUNGER_THAN_ALL = 2 ** 52;

export class ForkedTable extends ConntrackTable {
  readonly #base: ConntrackTable;
  readonly #nowNs: number;
  /** Of the base's connections that were looked at, those that stand for them here. */
  readonly #copies = new Map<Connection, Connection>();
  /** Everything has been copied. */
  #isWhole = false;
  #opened = 0;

  constructor(base: ConntrackTable, nowNs: number) {
    super(base.settings);
    this.#base = base;
    this.#nowNs = nowNs;
  }

  override get size(): number {
    return super.size + (this.#isWhole ? 0 : this.#base.size - this.#copies.size);
  }

  override lookup(tuple: Tuple, nowNs: number, zone: CtZone | null = null): Found | null {
    if (this.#isWhole) return super.lookup(tuple, nowNs, zone);
    // A place in a zone can be taken by what no look finds.
    if (zone !== null) this.#copyAll();
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

  override firstToLeave(
    nowNs: number,
    isAsked: (connection: Connection) => boolean = () => true,
  ): Connection | null {
    const here = super.firstToLeave(nowNs, isAsked);
    if (this.#isWhole) return here;
    const isNotHere = (c: Connection) => !this.#copies.has(c) && isAsked(c);
    const there = this.#base.firstToLeave(nowNs, isNotHere);
    if (there === null || (here !== null && leavesBefore(here, there, nowNs))) return here;
    return this.#copyIn(there);
  }

  override connections(nowNs: number): readonly Connection[] {
    this.#copyAll();
    return super.connections(nowNs);
  }

  override flush(matches?: (connection: Connection) => boolean): number {
    this.#copyAll();
    return super.flush(matches);
  }

  protected override nextOrder(): number {
    this.#opened += 1;
    return YOUNGER_THAN_ALL + this.#opened;
  }

  #copyOne(tuple: Tuple): void {
    const found = this.#base.lookup(tuple, this.#nowNs)?.connection;
    if (found !== undefined && !this.#copies.has(found)) this.#copyIn(found);
  }

  /** Copy what has not been. */
  #copyAll(): void {
    if (this.#isWhole) return;
    this.#isWhole = true;
    for (const connection of this.#base.connections(this.#nowNs)) {
      if (!this.#copies.has(connection)) this.#copyIn(connection);
    }
  }

  #copyIn(connection: Connection): Connection {
    const copy = copyConnection(connection);
    this.#copies.set(connection, copy);
    this.putIn(copy);
    return copy;
  }
}

/** Whose time is up leaves first, then the older one. */
function leavesBefore(a: Connection, b: Connection, nowNs: number): boolean {
  if (a.expiresNs <= nowNs || b.expiresNs <= nowNs) return a.expiresNs <= nowNs;
  return a.order < b.order;
}
