/**
 * The few connections that a table can show, out of any number: those a reader must see first.
 * @module
 */
import type { ConnectionResult } from '../lab/result.ts';

/** Rows a table shows of each kind. */
const SHOWN = 20;

export class TopConnections {
  readonly #contradicted: ConnectionResult[] = [];
  readonly #denied: ConnectionResult[] = [];
  readonly #unknown: ConnectionResult[] = [];

  add(row: ConnectionResult): void {
    if (row.contradicted) keep(this.#contradicted, row);
    else if (row.verdict === 'denied' || row.verdict === 'broken') keep(this.#denied, row);
    else if (row.verdict === 'unknown') keep(this.#unknown, row);
  }

  /** Contradicted first, then denied and broken, then unknown; at most so many of each. */
  rows(): readonly ConnectionResult[] {
    return [this.#contradicted, this.#denied, this.#unknown].flatMap((list) =>
      list.toSorted((a, b) => b.packets - a.packets || a.id - b.id),
    );
  }
}

/** Keep the rows with most packets; the first of equals stays. */
function keep(list: ConnectionResult[], row: ConnectionResult): void {
  if (list.length < SHOWN) {
    list.push(row);
    return;
  }
  let least = 0;
  list.forEach((r, i) => {
    if (r.packets < (list[least]?.packets ?? 0)) least = i;
  });
  if (row.packets > (list[least]?.packets ?? 0)) list[least] = row;
}
