/**
 * A hash table of fixed-width keys in one typed array: what sets are made of.
 *
 * Open addressing with linear probing; at most half full, so that a miss ends soon. A million IPv4
 * members take 16 MiB. Filled once, then only read.
 * @module
 */

export class WordTable {
  readonly #width: number;
  readonly #mask: number;
  readonly #keys: Uint32Array;
  /** 0 free, else the value stored with the key, plus 1. */
  readonly #values: Uint8Array;

  /** `width` words a key, room for `count` keys. */
  constructor(width: number, count: number) {
    let slots = 4;
    while (slots < count * 2) slots *= 2;
    this.#width = width;
    this.#mask = slots - 1;
    this.#keys = new Uint32Array(slots * width);
    this.#values = new Uint8Array(slots);
  }

  /** Store `value` (0–254) under `key` (as many words as the table is wide). */
  set(key: Uint32Array, value: number): void {
    const slot = this.#find(key);
    this.#keys.set(key, slot * this.#width);
    this.#values[slot] = value + 1;
  }

  /** The value stored under `key`, or -1. */
  get(key: Uint32Array): number {
    return this.#values[this.#find(key)]! - 1;
  }

  /** The slot that holds `key`, or the free one where it would go. */
  #find(key: Uint32Array): number {
    let slot = hashWords(key) & this.#mask;
    while (this.#values[slot] !== 0 && !this.#holds(slot, key)) slot = (slot + 1) & this.#mask;
    return slot;
  }

  #holds(slot: number, key: Uint32Array): boolean {
    const base = slot * this.#width;
    for (let i = 0; i < this.#width; i++) if (this.#keys[base + i] !== key[i]) return false;
    return true;
  }
}

/** Mix words into 32 bits (the finalizer of MurmurHash3, word by word). */
function hashWords(key: Uint32Array): number {
  let h = 0x9747b28c;
  for (const word of key) {
    h = Math.imul(h ^ word, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return h >>> 0;
}
