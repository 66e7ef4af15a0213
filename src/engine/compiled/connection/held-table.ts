/**
 * A host's connection table, part of which the compiled engine holds: whatever is asked for comes
 * back first, so that the reference engine finds what it would find if it had seen every packet.
 *
 *   asked by tuple   that connection comes back, on all hosts that hold it
 *   looked over      copies of the others; they stay where they are
 *   full             all come back, for who must go is the table's own business, and stay until
 *                    half of the table is free: else each would go to and fro at every packet
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
  /** Keep nothing of this table that would leave it with as many connections, here and there. */
  limit(table: HeldTable, connections: number): void;
  /** A connection is in the table from now on, or no longer. */
  entered(table: HeldTable, connection: Connection): void;
  left(table: HeldTable, connection: Connection): void;
  /** The age of a connection that is confirmed now, among those of all tables. */
  nextOrder(): number;
}

export class HeldTable extends ConntrackTable {
  /** Number of the host. */
  readonly host: number;
  readonly #keeper: Keeper;
  /** What is in this table and not kept elsewhere. */
  readonly #own = new Set<Connection>();
  /** It was full, and half of it has not been free since. */
  #isCrowded = false;

  constructor(settings: ConntrackSettings, host: number, keeper: Keeper) {
    super(settings);
    this.host = host;
    this.#keeper = keeper;
  }

  override get size(): number {
    return super.size + (this.#keeper?.held(this) ?? 0);
  }

  override lookup(tuple: Tuple, nowNs: number, zone: CtZone | null = null): Found | null {
    this.#keeper.recall(tuple, nowNs);
    const { max } = this.settings;
    if (max !== 0 && this.size + 1 >= max) this.#crowd(nowNs);
    else if (this.#isCrowded) this.#relax();
    return super.lookup(tuple, nowNs, zone);
  }

  override confirm(packet: Packet, nowNs: number): boolean {
    const connection = connectionOf(packet);
    const wasIn = connection === null || connection.confirmed;
    const done = super.confirm(packet, nowNs);
    if (connection !== null && !wasIn && connection.confirmed) this.#enter(connection);
    return done;
  }

  override admit(connection: Connection, nowNs: number): boolean {
    const done = super.admit(connection, nowNs);
    if (done) this.#enter(connection);
    return done;
  }

  override remove(connection: Connection): void {
    super.remove(connection);
    if (this.#own.delete(connection)) this.#keeper.left(this, connection);
  }

  override firstToLeave(
    nowNs: number,
    isAsked?: (connection: Connection) => boolean,
  ): Connection | null {
    this.#crowd(nowNs);
    return super.firstToLeave(nowNs, isAsked);
  }

  override flush(matches?: (connection: Connection) => boolean): number {
    this.#keeper.recallAll(this, 0);
    return super.flush(matches);
  }

  override connections(nowNs: number): readonly Connection[] {
    const copies = this.#keeper.copies(this).filter(({ expiresNs }) => expiresNs > nowNs);
    return [...super.connections(nowNs), ...copies].sort((a, b) => a.order - b.order);
  }

  override fromSameSource(
    tuple: Tuple,
    nowNs: number,
    zone: CtZone | null = null,
  ): readonly Connection[] {
    const own = super.fromSameSource(tuple, nowNs, zone);
    const kept = zone === null ? this.#keeper.copiesFrom(this, tuple) : [];
    if (kept.length === 0) return own;
    const copies = kept.filter(({ expiresNs }) => expiresNs > nowNs);
    return [...own, ...copies].sort((a, b) => b.order - a.order);
  }

  /** Whether the connection is in this table itself. */
  has(connection: Connection): boolean {
    return this.#own.has(connection);
  }

  /** Take a connection in that was kept elsewhere; false when one of its tuples is another's. */
  takeIn(connection: Connection): boolean {
    const done = this.putIn(connection);
    if (done) this.#own.add(connection);
    return done;
  }

  /** Let a connection go that is kept elsewhere from now on. */
  letGo(connection: Connection): void {
    this.#own.delete(connection);
    super.remove(connection);
  }

  protected override nextOrder(): number {
    return this.#keeper.nextOrder();
  }

  /** From now on nothing of this table is kept elsewhere, until half of it is free. */
  #crowd(nowNs: number): void {
    if (this.#isCrowded) return;
    this.#isCrowded = true;
    this.#keeper.recallAll(this, nowNs);
    this.#keeper.limit(this, Math.ceil(this.settings.max / 2));
  }

  /** Half of it was free if anything is kept elsewhere again. */
  #relax(): void {
    if (this.#keeper.held(this) === 0) return;
    this.#isCrowded = false;
    this.#keeper.limit(this, this.settings.max);
  }

  #enter(connection: Connection): void {
    this.#own.add(connection);
    this.#keeper.entered(this, connection);
  }
}
