/**
 * Connections of all hosts, some in the reference engine's tables and some in the compiled engine,
 * never in both.
 *
 * The compiled engine holds a connection as one record that stands for its entries on every host
 * (SEMANTICS A12), which it can because all of them are equal: `giveUp` proves that, entry by
 * entry, before it gives them away. Flows of which a table holds any entry are marked in the
 * compiled engine, so that their packets come here.
 * @module
 */
import type { Connection } from '../../conntrack/connection.ts';
import type { ConntrackSettings } from '../../conntrack/protocol/timeouts.ts';
import { equalTuple, invertTuple, type Tuple, tupleKey } from '../../conntrack/tuple.ts';
import { InternalError } from '../../diagnostic/diagnostic.ts';
import {
  isSimple,
  readConnection,
  readTuple,
  writeConnection,
  writeTuple,
} from './connection-words.ts';
import { HeldTable, type Keeper } from './held-table.ts';
import type { HostSets, Placed } from './host-sets.ts';
import { Word } from './layout.ts';
import type { NativeEngine } from './native-door.ts';

interface Entry {
  readonly table: HeldTable;
  readonly connection: Connection;
}

/** The words that must agree on every host, besides the tuples. */
const STATE_WORDS = [Word.streamNs, Word.flags + 1] as const;
const TRACKING_WORDS = [Word.state, Word.entry] as const;

export class ConnectionStore implements Keeper {
  readonly #native: NativeEngine;
  readonly #words: Float64Array;
  readonly #sets: HostSets;
  readonly #tables: HeldTable[] = [];
  /** Entries in tables, by original tuple. */
  readonly #entries = new Map<string, Entry[]>();
  readonly #orders = new WeakMap<Connection, number>();

  constructor(native: NativeEngine, words: Float64Array, sets: HostSets) {
    this.#native = native;
    this.#words = words;
    this.#sets = sets;
  }

  /** Make the table of a new host. */
  makeTable(settings: ConntrackSettings): HeldTable {
    const host = this.#tables.length;
    this.#sets.addHost(host, settings);
    const table = new HeldTable(settings, host, this);
    this.#tables.push(table);
    return table;
  }

  entered(table: HeldTable, connection: Connection): void {
    this.#orders.set(connection, this.#native.nextOrder());
    this.#note({ table, connection });
    this.#mark(table, connection, 1);
  }

  left(table: HeldTable, connection: Connection): void {
    this.#forget(table, connection);
    this.#mark(table, connection, -1);
  }

  /** Mark, or no longer, the flows of a connection: two when it is translated. */
  #mark(table: HeldTable, { original, reply }: Connection, change: 1 | -1): void {
    const turned = invertTuple(reply);
    const isTranslated = turned !== null && !equalTuple(turned, original);
    writeTuple(this.#words, original);
    if (change === 1) this.#native.mark(table.host, 1);
    else this.#native.unmark(table.host, 1);
    if (!isTranslated) return;
    writeTuple(this.#words, reply);
    if (change === 1) this.#native.mark(table.host, 0);
    else this.#native.unmark(table.host, 0);
  }

  #note(entry: Entry): void {
    const key = tupleKey(entry.connection.original);
    const known = this.#entries.get(key);
    if (known === undefined) this.#entries.set(key, [entry]);
    else known.push(entry);
  }

  #forget(table: HeldTable, connection: Connection): void {
    const key = tupleKey(connection.original);
    const rest = (this.#entries.get(key) ?? []).filter(
      (entry) => entry.table !== table || entry.connection !== connection,
    );
    if (rest.length === 0) this.#entries.delete(key);
    else this.#entries.set(key, rest);
  }

  held(table: HeldTable): number {
    return this.#native.held(table.host);
  }

  orderOf(connection: Connection): number {
    return this.#orders.get(connection) ?? 0;
  }

  recall(tuple: Tuple, nowNs: number): void {
    writeTuple(this.#words, tuple);
    if (!this.#native.recall(nowNs)) return;
    const isReply = this.#words[Word.isReply] === 1;
    const original = isReply ? invertTuple(tuple) : tuple;
    if (original === null) throw new InternalError('a connection that is held has an answer');
    this.#bringBack(original, nowNs);
  }

  /** Put the connection that the words describe into the tables of all its hosts. */
  #bringBack(original: Tuple, nowNs: number): void {
    const members = this.#sets.members(this.#words[Word.hostSet] ?? 0);
    const order = this.#words[Word.order] ?? 0;
    for (const { host, ...done } of members) {
      const table = this.#tables[host];
      const make = (id: number) => readConnection(this.#words, original, { id, ...done });
      const connection = table?.takeIn(make, nowNs) ?? null;
      if (table === undefined || connection === null) {
        throw new InternalError('nobody else has the tuple of a connection that is held');
      }
      this.#orders.set(connection, order);
      this.#note({ table, connection });
    }
  }

  recallAll(table: HeldTable, nowNs: number): void {
    for (const original of this.#tuplesOf(table)) this.recall(original, nowNs);
  }

  #tuplesOf(table: HeldTable): Tuple[] {
    const found: Tuple[] = [];
    this.#each(table, () => found.push(readTuple(this.#words)));
    return found;
  }

  copies(table: HeldTable): readonly Connection[] {
    const found: Connection[] = [];
    this.#each(table, (member) => {
      const original = readTuple(this.#words);
      const copy = readConnection(this.#words, original, { id: 0, ...member });
      this.#orders.set(copy, this.#words[Word.order] ?? 0);
      found.push(copy);
    });
    return found;
  }

  /** Visit every connection that the compiled engine holds of a table; the words describe it. */
  #each(table: HeldTable, visit: (member: Placed) => void): void {
    if (this.held(table) === 0) return;
    for (let place = this.#native.next(0); place >= 0; place = this.#native.next(place + 1)) {
      const members = this.#sets.members(this.#words[Word.hostSet] ?? 0);
      const member = members.find(({ host }) => host === table.host);
      if (member !== undefined) visit(member);
    }
  }

  /**
   * Give the connection to the compiled engine if it is of the kind that it can hold, and equal on
   * every host that has an entry of it. False leaves everything as it was.
   */
  giveUp(connection: Connection): boolean {
    const entries = this.#entries.get(tupleKey(connection.original)) ?? [];
    const [first] = entries;
    if (first === undefined || !entries.every((entry) => isSimple(entry.connection))) return false;
    const set = this.#sets.numberOf(
      entries.map(({ table, connection: { sourceNatDone, destinationNatDone } }) => ({
        host: table.host,
        sourceDone: sourceNatDone,
        destinationDone: destinationNatDone,
      })),
    );
    if (set === null || !this.#areEqual(entries) || !this.#writeEnds(entries, set)) return false;
    this.#words[Word.order] = Math.min(...entries.map((e) => this.orderOf(e.connection)));
    this.#words[Word.hostSet] = set;
    if (!this.#native.put(entries.length)) return false;
    for (const entry of entries) entry.table.letGo(entry.connection);
    this.#entries.delete(tupleKey(connection.original));
    return true;
  }

  /** Write when the entries end, by group; false when those of one group do not end together. */
  #writeEnds(entries: readonly Entry[], set: number): boolean {
    const groups = new Map(this.#sets.members(set).map(({ host, group }) => [host, group]));
    const ends: (number | undefined)[] = [];
    for (const { table, connection } of entries) {
      const group = groups.get(table.host) ?? 0;
      ends[group] ??= connection.expiresNs;
      if (ends[group] !== connection.expiresNs) return false;
    }
    const [first = 0, second = first] = ends;
    this.#words[Word.expiresNs] = first;
    this.#words[Word.expiresNs + 1] = second;
    return true;
  }

  /** Whether all entries say the same; the words then describe them. */
  #areEqual(entries: readonly Entry[]): boolean {
    let before: Float64Array | null = null;
    for (const { connection } of entries) {
      writeConnection(this.#words, connection);
      const isTcp = connection.tracking.kind === 'tcp';
      const state = this.#words.slice(...STATE_WORDS);
      const now = isTcp
        ? Float64Array.of(...state, ...this.#words.subarray(...TRACKING_WORDS))
        : state;
      if (before !== null && !now.every((value, i) => value === before?.[i])) return false;
      before = now;
    }
    return true;
  }
}
