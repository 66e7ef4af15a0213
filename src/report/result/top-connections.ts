/**
 * The few connections that a table can show, out of any number: those a reader must see first.
 * @module
 */
import type { ConnectionResult } from '../../lab/result.ts';

/** Rows a table shows of each kind. */
const SHOWN = 20;

export class TopConnections {
  readonly #contradicted: ConnectionResult[] = [];
  readonly #denied: ConnectionResult[] = [];
  readonly #unjudged: ConnectionResult[] = [];

  add(row: ConnectionResult): void {
    if (row.contradicted) keep(this.#contradicted, row);
    else if (row.verdict === 'denied' || row.verdict === 'broken') keep(this.#denied, row);
    else if (row.verdict !== 'allowed') keep(this.#unjudged, row);
  }

  /** All that are kept, to be added to those of another part of the run. */
  kept(): readonly ConnectionResult[] {
    return [...this.#contradicted, ...this.#denied, ...this.#unjudged];
  }

  /** Answered in the capture and not allowed here, most packets first. */
  contradicted(): readonly ConnectionResult[] {
    return inOrder(this.#contradicted);
  }

  /** Denied and broken, then those that can not be judged; most packets first. */
  others(): readonly ConnectionResult[] {
    return [...inOrder(this.#denied), ...inOrder(this.#unjudged)];
  }
}

function inOrder(list: readonly ConnectionResult[]): readonly ConnectionResult[] {
  return list.toSorted(compareRows);
}

/** Keep the rows with most packets, of equals the first that began, in whatever order they come. */
function keep(list: ConnectionResult[], row: ConnectionResult): void {
  if (list.length < SHOWN) {
    list.push(row);
    return;
  }
  let least = 0;
  list.forEach((r, i) => {
    const worst = list[least];
    if (worst !== undefined && compareRows(r, worst) > 0) least = i;
  });
  const worst = list[least];
  if (worst !== undefined && compareRows(row, worst) < 0) list[least] = row;
}

function compareRows(a: ConnectionResult, b: ConnectionResult): number {
  return b.packets - a.packets || a.id - b.id;
}
