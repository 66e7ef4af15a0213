/**
 * A host's table that is full: what the compiled engine keeps of it comes back once, and not again
 * before half of the table was free.
 * @module
 */
import t from 'tap';
import { DEFAULT_SETTINGS } from '../../src/conntrack/protocol/timeouts.ts';
import { HeldTable, type Keeper } from '../../src/engine/compiled/connection/held-table.ts';
import { udp } from '../support/packets.ts';

const MAX = 100;
const S = 1e9;

/** Keeps nothing; says what is asked of it. */
class Ledger implements Keeper {
  readonly asked: string[] = [];
  kept = 0;
  #order = 0;

  recall(): void {}
  recallAll(): void {
    this.asked.push('all');
    this.kept = 0;
  }
  copies(): [] {
    return [];
  }
  copiesFrom(): [] {
    return [];
  }
  held(): number {
    return this.kept;
  }
  limit(_table: HeldTable, connections: number): void {
    this.asked.push(`limit ${connections}`);
  }
  entered(): void {}
  left(): void {}
  nextOrder(): number {
    this.#order += 1;
    return this.#order;
  }
}

function open(table: HeldTable, port: number, nowNs: number): void {
  const packet = udp().from('10.0.0.1', port).parsed();
  const fault = table.track(packet, nowNs, 'prerouting');
  if (fault !== null || !table.confirm(packet, nowNs)) throw new Error(`port ${port}: ${fault}`);
}

t.test('a full table calls everything back once, until half of it was free', async (t) => {
  const keeper = new Ledger();
  const table = new HeldTable({ ...DEFAULT_SETTINGS, max: MAX }, 0, keeper);
  for (let port = 1; port < MAX; port++) open(table, port, 0);
  t.same(keeper.asked, [], 'there is room');
  for (let port = MAX; port < 5 * MAX; port++) open(table, port, S);
  t.same(keeper.asked, ['all', 'limit 50']);
  t.equal(table.size, MAX);
  table.expire(100 * S);
  open(table, 1, 100 * S);
  t.same(keeper.asked, ['all', 'limit 50'], 'nothing is kept elsewhere yet');
  keeper.kept = 30;
  open(table, 2, 101 * S);
  t.same(keeper.asked.splice(0), ['all', 'limit 50', 'limit 100']);
  for (let port = 3; port <= MAX; port++) open(table, port, 102 * S);
  t.same(keeper.asked, ['all', 'limit 50'], 'full again');
});
