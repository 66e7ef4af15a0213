/**
 * Who leaves a full table, in order: connections whose time is up, then, oldest first, those that
 * may be dropped early (nf_conntrack_core.c `early_drop_list`, `gc_worker_can_early_drop`).
 *
 * A table keeps it from the first time that it is full, so that room for one more connection costs
 * a look at one and not at all of them. It need not be told who left: what it has of those is
 * passed over when their turn comes, and so is what it has of a connection that changed meanwhile.
 * @module
 */
import type { Connection } from './connection.ts';
import { Heap } from './heap.ts';
import { canEarlyDropTcp } from './protocol/tcp.ts';

export class Departures {
  /** By a time at which each ends or before which it does not. */
  readonly #byEnd = new Heap<Connection>();
  /** By age. */
  readonly #byAge = new Heap<Connection>();

  constructor(connections: Iterable<Connection>) {
    for (const connection of connections) this.note(connection);
  }

  /** How many are noted, several times some of them. */
  get size(): number {
    return this.#byEnd.size;
  }

  /** A connection came into the table, or a packet changed it. */
  note(connection: Connection): void {
    this.#byEnd.add(connection.expiresNs, connection);
    if (mayBeDropped(connection)) this.#byAge.add(connection.order, connection);
  }

  /** Who leaves first of those that are `isAsked` for; null when none may. It stays noted. */
  first(nowNs: number, isAsked: (connection: Connection) => boolean): Connection | null {
    const passed: Connection[] = [];
    let next = this.#next(nowNs);
    for (; next !== null && !isAsked(next); next = this.#next(nowNs)) passed.push(next);
    if (next !== null) passed.push(next);
    for (const connection of passed) {
      if (connection.expiresNs <= nowNs) this.#byEnd.add(connection.expiresNs, connection);
      else this.#byAge.add(connection.order, connection);
    }
    return next;
  }

  #next(nowNs: number): Connection | null {
    return this.#ended(nowNs) ?? this.#oldest();
  }

  #ended(nowNs: number): Connection | null {
    for (;;) {
      const first = this.#byEnd.least();
      if (first === null || first.rank > nowNs) return null;
      this.#byEnd.drop();
      if (!isIn(first.entry)) continue;
      if (first.entry.expiresNs <= nowNs) return first.entry;
      this.#byEnd.add(first.entry.expiresNs, first.entry);
    }
  }

  #oldest(): Connection | null {
    for (;;) {
      const first = this.#byAge.least();
      if (first === null) return null;
      this.#byAge.drop();
      if (isIn(first.entry) && mayBeDropped(first.entry)) return first.entry;
    }
  }
}

function isIn({ confirmed, dying }: Connection): boolean {
  return confirmed && !dying;
}

/** Not assured, or assured and on its way out (`can_early_drop`). */
function mayBeDropped({ assured, tracking }: Connection): boolean {
  if (!assured) return true;
  if (tracking.kind === 'tcp') return canEarlyDropTcp(tracking);
  return tracking.kind === 'sctp' && tracking.state.startsWith('shutdown');
}
