/**
 * A host's connection table, part of which the compiled engine holds: whatever is asked for comes
 * back first, so that the reference engine finds what it would find if it had seen every packet.
 *
 *   asked by tuple   that connection comes back, on all hosts that hold it
 *   looked over      copies of the others, in their place by age; they stay where they are
 *   no room          all come back: who must go is the table's own business
 *
 * @module
 */
import type { Connection } from '../../../conntrack/connection.ts';
import type { ConntrackSettings } from '../../../conntrack/protocol/timeouts.ts';
import { ConntrackTable, connectionOf, type Found } from '../../../conntrack/table.ts';
import type { Tuple } from '../../../conntrack/tuple.ts';
import type { CtZone, Packet } from '../../../packet/packet.ts';

/** Who keeps what is not in the tables. */
export interface Keeper {
  /** Bring the connection of this tuple back to its tables; those whose time is up are gone. */
  recall(tuple: Tuple, nowNs: number): void;
  /** Bring everything of this table back. */
  recallAll(table: HeldTable, nowNs: number): void;
  /** Copies of what is kept of this table. */
  copies(table: HeldTable): readonly Connection[];
  /** The same, of those whose original tuple comes from where this one does. */
  copiesFrom(table: HeldTable, tuple: Tuple): readonly Connection[];
  /** How many are kept of this table, the dead not told from the living. */
  held(table: HeldTable): number;
  /** A connection is in the table from now on, or no longer. */
  entered(table: HeldTable, connection: Connection): void;
  left(table: HeldTable, connection: Connection): void;
  /** When a connection was confirmed, among all of them. */
  orderOf(connection: Connection): number;
}

export class HeldTable extends ConntrackTable {
  /** Number of the host. */
  readonly host: number;
  readonly #keeper: Keeper;
  /** What is in this table and not kept elsewhere. */
  readonly #own = new Set<Connection>();
  /** Connections move between table and keeper: nobody is to be told. */
  #isMoving = false;
  /** Some came back after younger ones had entered. */
  #isDisordered = false;

  constructor(settings: ConntrackSettings, host: number, keeper: Keeper) {
    super(settings);
    this.host = host;
    this.#keeper = keeper;
  }

  override get size(): number {
    return super.size + (this.#keeper?.held(this) ?? 0);
  }

  override lookup(tuple: Tuple, nowNs: number, zone: CtZone | null = null): Found | null {
    if (this.#isMoving) return super.lookup(tuple, nowNs, zone);
    this.#keeper.recall(tuple, nowNs);
    const { max } = this.settings;
    const held = this.#keeper.held(this);
    if (max !== 0 && super.size + held + 1 >= max) {
      if (held > 0) this.#keeper.recallAll(this, nowNs);
      if (this.#isDisordered) this.#sortByAge(nowNs);
    }
    return super.lookup(tuple, nowNs, zone);
  }

  override confirm(packet: Packet, nowNs: number): boolean {
    const connection = connectionOf(packet);
    const wasIn = connection === null || connection.confirmed;
    const done = super.confirm(packet, nowNs);
    if (connection !== null && !wasIn && connection.confirmed) this.#enter(connection);
    return done;
  }

  override admit(make: (id: number) => Connection, nowNs: number): boolean {
    let made: Connection | null = null;
    const done = super.admit((id) => {
      made = make(id);
      return made;
    }, nowNs);
    if (done && made !== null && !this.#isMoving) this.#enter(made);
    return done;
  }

  override remove(connection: Connection): void {
    super.remove(connection);
    if (this.#own.delete(connection) && !this.#isMoving) this.#keeper.left(this, connection);
  }

  override flush(matches?: (connection: Connection) => boolean): number {
    this.#keeper.recallAll(this, 0);
    return super.flush(matches);
  }

  override connections(nowNs: number): readonly Connection[] {
    const copies = this.#keeper.copies(this).filter(({ expiresNs }) => expiresNs > nowNs);
    const all = [...super.connections(nowNs), ...copies];
    return all.sort((a, b) => this.#keeper.orderOf(a) - this.#keeper.orderOf(b));
  }

  override fromSameSource(
    tuple: Tuple,
    nowNs: number,
    zone: CtZone | null = null,
  ): readonly Connection[] {
    const own = super.fromSameSource(tuple, nowNs, zone);
    const kept = zone === null ? this.#keeper.copiesFrom(this, tuple) : [];
    if (kept.length === 0 && !this.#isDisordered) return own;
    const copies = kept.filter(({ expiresNs }) => expiresNs > nowNs).reverse();
    return [...own, ...copies].sort((a, b) => this.#keeper.orderOf(b) - this.#keeper.orderOf(a));
  }

  /** Whether the connection is in this table itself. */
  has(connection: Connection): boolean {
    return this.#own.has(connection);
  }

  /** Take a connection in that was kept elsewhere, as it is. */
  takeIn(make: (id: number) => Connection, nowNs: number): Connection | null {
    let made: Connection | null = null;
    let expiresNs = 0;
    this.#isMoving = true;
    const done = super.admit((id) => {
      made = make(id);
      expiresNs = made.expiresNs;
      return made;
    }, nowNs);
    this.#isMoving = false;
    const connection: Connection | null = made;
    if (!done || connection === null) return null;
    (connection as Connection).expiresNs = expiresNs;
    this.#own.add(connection);
    this.#isDisordered = true;
    return connection;
  }

  /** Let a connection go that is kept elsewhere from now on. */
  letGo(connection: Connection): void {
    this.#isMoving = true;
    this.remove(connection);
    this.#isMoving = false;
  }

  /** Put the table's connections in order of age: from now on `makeRoom` finds the oldest first. */
  #sortByAge(nowNs: number): void {
    const sorted = [...super.connections(nowNs)].sort(
      (a, b) => this.#keeper.orderOf(a) - this.#keeper.orderOf(b),
    );
    for (const connection of sorted) {
      this.letGo(connection);
      connection.dying = false;
      this.takeIn(() => connection, nowNs);
    }
    this.#isDisordered = false;
  }

  #enter(connection: Connection): void {
    this.#own.add(connection);
    this.#keeper.entered(this, connection);
  }
}
