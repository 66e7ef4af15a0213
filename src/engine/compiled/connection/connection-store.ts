/**
 * Connections of all hosts, some in the reference engine's tables and some in the compiled engine,
 * never in both.
 *
 * The compiled engine holds a connection as one record that stands for its entries on every host
 * (SEMANTICS A12), which it can because all of them are equal but for their tuples, and those are
 * the names of one connection: `giveUp` proves that, entry by entry, before it gives them away.
 * Flows of which a table holds any entry are marked in the compiled engine, so that their packets
 * come here; whoever looks for a tuple that the compiled engine holds gets the connection back, so
 * that a port in use is seen to be in use.
 * @module
 */
import type { Connection } from '../../../conntrack/connection.ts';
import type { ConntrackSettings } from '../../../conntrack/protocol/timeouts.ts';
import { equalTuple, type Tuple, tupleKey } from '../../../conntrack/tuple.ts';
import { InternalError } from '../../../diagnostic/diagnostic.ts';
import { equalAddress } from '../../../wire/address/address.ts';
import { Word } from '../layout.ts';
import type { NativeEngine } from '../native-door.ts';
import { namesOf, turnedReply } from './connection-names.ts';
import {
  isSimple,
  readConnection,
  readNames,
  readTuple,
  writeConnection,
  writeNames,
  writeTuple,
} from './connection-words.ts';
import type { EndsBook } from './ends-book.ts';
import { HeldTable, type Keeper } from './held-table.ts';
import { type HostSets, memberOf, type Placed } from './host-sets.ts';

interface Entry {
  readonly table: HeldTable;
  readonly connection: Connection;
}

/** How the compiled engine is gone through: the next place of interest, or below zero. */
type Next = (native: NativeEngine, place: number) => number;

const NEXT: Next = (native, place) => native.next(place);
const FIRST = { from: 0, to: 0 };

/** The words that must agree on every host, besides the tuples. */
const STATE_WORDS = [Word.streamNs, Word.flags + 1] as const;
const TRACKING_WORDS = [Word.state, Word.entry] as const;

export class ConnectionStore implements Keeper {
  readonly #native: NativeEngine;
  readonly #words: Float64Array;
  readonly #sets: HostSets;
  readonly #tables: HeldTable[] = [];
  /** Entries in tables, by each of the two names that they have for the connection. */
  readonly #entries = new Map<string, Entry[]>();
  readonly #ends: EndsBook;

  constructor(native: NativeEngine, words: Float64Array, sets: HostSets, ends: EndsBook) {
    this.#native = native;
    this.#words = words;
    this.#sets = sets;
    this.#ends = ends;
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
    this.#note({ table, connection });
    this.#mark(table, connection, 1);
  }

  left(table: HeldTable, connection: Connection): void {
    this.#forget(table, connection);
    this.#mark(table, connection, -1);
  }

  /** Mark, or no longer, the flows of a connection: two when it is translated. */
  #mark(table: HeldTable, connection: Connection, change: 1 | -1): void {
    for (const [i, name] of namesOfEntry(connection).entries()) {
      writeTuple(this.#words, name);
      // The host has one connection more or less, by however many names.
      const connections = i === 0 ? 1 : 0;
      if (change === 1) this.#native.mark(table.host, connections);
      else this.#native.unmark(table.host, connections);
    }
  }

  #note(entry: Entry): void {
    for (const name of namesOfEntry(entry.connection)) {
      const key = tupleKey(name);
      const known = this.#entries.get(key);
      if (known === undefined) this.#entries.set(key, [entry]);
      else known.push(entry);
    }
  }

  #forget(table: HeldTable, connection: Connection): void {
    for (const name of namesOfEntry(connection)) {
      const key = tupleKey(name);
      const rest = (this.#entries.get(key) ?? []).filter(
        (entry) => entry.table !== table || entry.connection !== connection,
      );
      if (rest.length === 0) this.#entries.delete(key);
      else this.#entries.set(key, rest);
    }
  }

  held(table: HeldTable): number {
    return this.#native.held(table.host);
  }

  limit(table: HeldTable, connections: number): void {
    this.#native.setHost(table.host, connections);
  }

  nextOrder(): number {
    return this.#native.nextOrder();
  }

  recall(tuple: Tuple, nowNs: number): void {
    writeTuple(this.#words, tuple);
    if (this.#native.recall(nowNs)) this.#bringBack();
  }

  /** Put the connection that the words describe into the tables of all its hosts. */
  #bringBack(): void {
    const names = readNames(this.#words);
    const members = this.#sets.members(this.#words[Word.hostSet] ?? 0);
    for (const member of members) {
      const table = this.#tables[member.host];
      const connection = readConnection(this.#words, names, member);
      if (!table?.takeIn(connection)) {
        throw new InternalError('nobody else has the tuple of a connection that is held');
      }
      this.#note({ table, connection });
    }
  }

  recallAll(table: HeldTable, nowNs: number): void {
    for (const original of this.#tuplesOf(table)) this.recall(original, nowNs);
  }

  #tuplesOf(table: HeldTable): Tuple[] {
    const found: Tuple[] = [];
    this.#each(table, NEXT, () => found.push(readTuple(this.#words)));
    return found;
  }

  copies(table: HeldTable): readonly Connection[] {
    return this.#copiesOf(table, NEXT);
  }

  copiesFrom(table: HeldTable, tuple: Tuple): readonly Connection[] {
    const { protocol, src, sport } = tuple;
    const next: Next = (native, place) => {
      writeTuple(this.#words, tuple);
      return native.nextFrom(place === 0);
    };
    return this.#copiesOf(table, next).filter(({ original }) => {
      const isSame = original.protocol === protocol && original.sport === sport;
      return isSame && equalAddress(original.src, src);
    });
  }

  #copiesOf(table: HeldTable, next: Next): readonly Connection[] {
    const found: Connection[] = [];
    this.#each(table, next, (member) => {
      found.push(readConnection(this.#words, readNames(this.#words), member));
    });
    return found;
  }

  /**
   * Visit every entry that the compiled engine holds of a table and that `next` finds; the words
   * describe its connection.
   */
  #each(table: HeldTable, next: Next, visit: (member: Placed) => void): void {
    if (this.held(table) === 0) return;
    for (let place = next(this.#native, 0); place >= 0; place = next(this.#native, place + 1)) {
      const members = this.#sets.members(this.#words[Word.hostSet] ?? 0);
      for (const member of members) if (member.host === table.host) visit(member);
    }
  }

  /**
   * Give the connection to the compiled engine if it is of the kind that it can hold, and equal on
   * every host that has an entry of it. False leaves everything as it was.
   */
  giveUp(connection: Connection): boolean {
    const entries = this.#entriesOf(connection);
    if (entries.length === 0 || !entries.every((entry) => isSimple(entry.connection))) return false;
    const found = namesOf(entries.map((entry) => entry.connection));
    if (found === null || !this.#areOfOneTime(entries)) return false;
    const set = this.#sets.numberOf(
      entries.map((entry, i) =>
        memberOf(entry.table.host, entry.connection, found.between[i] ?? FIRST),
      ),
    );
    if (set === null || !this.#areEqual(entries) || !this.#writeEnds(entries, set)) return false;
    writeNames(this.#words, found.names);
    this.#words[Word.ends] = this.#ends.numberOf(found.names);
    this.#words[Word.order] = Math.min(...entries.map((e) => e.connection.order));
    this.#words[Word.hostSet] = set;
    if (!this.#native.put()) return false;
    for (const { table, connection: given } of entries) {
      table.letGo(given);
      this.#forget(table, given);
    }
    return true;
  }

  /** All entries of the connection and of whatever shares a name with one of them. */
  #entriesOf(connection: Connection): readonly Entry[] {
    const entries = new Set<Entry>();
    const keys = new Set(namesOfEntry(connection).map(tupleKey));
    // A set that grows while it is gone through is gone through to its end.
    for (const key of keys) {
      for (const entry of this.#entries.get(key) ?? []) {
        entries.add(entry);
        for (const name of namesOfEntry(entry.connection)) keys.add(tupleKey(name));
      }
    }
    return [...entries];
  }

  /**
   * Whether the entries came about one after the other: then one age stands for all of them. One
   * host may have known the connection long before another did.
   */
  #areOfOneTime(entries: readonly Entry[]): boolean {
    const orders = entries.map((entry) => entry.connection.order);
    return Math.max(...orders) - Math.min(...orders) < orders.length;
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

/** What a host calls a connection: one name, or two where it translates. */
function namesOfEntry(connection: Connection): readonly Tuple[] {
  const { original } = connection;
  const turned = turnedReply(connection);
  return turned === null || equalTuple(turned, original) ? [original] : [original, turned];
}
