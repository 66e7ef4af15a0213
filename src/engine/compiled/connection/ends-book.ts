/**
 * Numbers for all addresses that a translated connection's packets have on their way: one for the
 * addresses themselves, and one for their classes, by which decisions are shared.
 *
 * The classes of all names are taken on both sides, because an answer has as its source what a
 * request had as its destination; and where translation leaves an address alone, that it does.
 * @module
 */
import type { Tuple } from '../../../conntrack/tuple.ts';
import type { ClassTables } from '../../../image/classes/class-tables.ts';
import { addressKey, equalAddress } from '../../../wire/address/address.ts';
import type { NativeEngine } from '../native-door.ts';

const FIRST_ROOM = 1024;

export class EndsBook {
  readonly #native: NativeEngine;
  readonly #classes: () => ClassTables;
  readonly #numbers = new Map<string, number>();
  readonly #classNumbers = new Map<string, number>();
  /** By number of addresses; 0 when classes have changed since that was asked for. */
  #classOf = new Uint32Array(FIRST_ROOM);

  constructor(native: NativeEngine, classes: () => ClassTables) {
    this.#native = native;
    this.#classes = classes;
    native.useEnds(this.#classOf);
  }

  /**
   * The same number for the same addresses in the same order, from 1; 0 for one name. From now on
   * the addon knows its class.
   */
  numberOf(names: readonly Tuple[]): number {
    if (names.length < 2) return 0;
    const key = names.map(({ src, dst }) => addressKey(src) + addressKey(dst)).join(' ');
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#numbers.size + 1;
      this.#numbers.set(key, number);
      this.#makeRoom(number);
    }
    if (this.#classOf[number] === 0) this.#classOf[number] = this.#classNumber(names);
    return number;
  }

  /** Classes have changed: whose number is asked for again gets that of its class as it is now. */
  forgetClasses(): void {
    this.#classOf.fill(0);
  }

  #makeRoom(number: number): void {
    if (number < this.#classOf.length) return;
    const larger = new Uint32Array(this.#classOf.length * 2);
    larger.set(this.#classOf);
    this.#classOf = larger;
    this.#native.useEnds(larger);
  }

  #classNumber(names: readonly Tuple[]): number {
    const classes = this.#classes();
    const parts = names.map(({ src, dst }, i) => {
      const before = names[i - 1];
      const isSame = (a: Tuple['src'], b: Tuple['src'] | undefined) =>
        b !== undefined && equalAddress(a, b) ? 1 : 0;
      return [
        ...[classes.classOf(src, 'source'), classes.classOf(src, 'destination')],
        ...[classes.classOf(dst, 'source'), classes.classOf(dst, 'destination')],
        ...[isSame(src, before?.src), isSame(dst, before?.dst)],
      ].join(' ');
    });
    const key = parts.join(',');
    const known = this.#classNumbers.get(key);
    if (known !== undefined) return known;
    const number = this.#classNumbers.size + 1;
    this.#classNumbers.set(key, number);
    return number;
  }
}
