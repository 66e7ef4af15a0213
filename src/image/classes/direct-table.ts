/**
 * The class of every IPv4 address in at most three loads: a root over the upper 16 bits, then
 * blocks of 256 over the next eight and the last eight.
 *
 *   root[65,536] ─► class, or block[256] ─► class, or block[256] ─► class
 *
 * 256 KiB, and 1 KiB for each /16 and each /24 in which some longer prefix tells addresses apart: a
 * million pods in 4,000 /24s take 4.3 MiB, a million pods each in a /24 of its own 1 GiB. Painted
 * from a trie (image/classes/prefix-trie.ts), and again where its regions changed.
 * @module
 */
import { FORK, type PrefixTrie, ROOT } from './prefix-trie.ts';

/** Set in a cell that names a block. */
export const BLOCK = 0x80000000;
export const ROOT_CELLS = 65_536;
export const BLOCK_CELLS = 256;

export class DirectTable {
  #cells: Uint32Array;
  #used: number;
  #isShared: boolean;

  /** With `cells` a table that was painted before, which stays as it is. */
  constructor(cells?: Uint32Array) {
    this.#isShared = cells !== undefined;
    this.#cells = cells ?? new Uint32Array(ROOT_CELLS);
    this.#used = this.#cells.length;
  }

  /** The cells, as they are now: valid until the next change. */
  get cells(): Uint32Array {
    return this.#cells.subarray(0, this.#used);
  }

  classOf(address: number): number {
    let cell = this.#cells[address >>> 16] ?? 0;
    for (let shift = 8; cell >= BLOCK; shift -= 8) {
      cell = this.#cells[blockAt(cell) + ((address >>> shift) & 0xff)] ?? 0;
    }
    return cell;
  }

  /** Paint the regions of these nodes, and of all nodes below them, as the trie has them now. */
  paint(trie: PrefixTrie, nodes: readonly number[]): void {
    const done = new Set<number>();
    const visit = (node: number): void => {
      done.add(node);
      const cls = trie.region(node);
      if (cls !== FORK) this.#fill(trie.word(node, 0), trie.length(node), cls);
      for (const side of [0, 1]) {
        const child = trie.child(node, side);
        if (child !== ROOT) visit(child);
      }
    };
    for (const node of nodes.toSorted((a, b) => trie.length(a) - trie.length(b))) {
      if (!done.has(node)) visit(node);
    }
  }

  /** Give every address of a prefix this class. */
  #fill(address: number, length: number, cls: number): void {
    this.#own();
    let base = 0;
    let at = address >>> 16;
    let bits = 16;
    while (length > bits) {
      base = this.#blockOf(base + at);
      at = (address >>> (24 - bits)) & 0xff;
      bits += 8;
    }
    const first = base + at;
    const last = first + 2 ** (bits - length);
    for (let cell = first; cell < last; cell++) this.#fillCell(cell, cls);
  }

  #fillCell(cell: number, cls: number): void {
    const value = this.#cells[cell] ?? 0;
    if (value < BLOCK) {
      this.#cells[cell] = cls;
      return;
    }
    const base = blockAt(value);
    for (let i = 0; i < BLOCK_CELLS; i++) this.#fillCell(base + i, cls);
  }

  /** The block that a cell names, made when it named a class. */
  #blockOf(cell: number): number {
    const value = this.#cells[cell] ?? 0;
    if (value >= BLOCK) return blockAt(value);
    const base = this.#used;
    if (base + BLOCK_CELLS > this.#cells.length) this.#grow();
    this.#cells.fill(value, base, base + BLOCK_CELLS);
    this.#cells[cell] = BLOCK + (base - ROOT_CELLS) / BLOCK_CELLS;
    this.#used += BLOCK_CELLS;
    return base;
  }

  #grow(): void {
    const grown = new Uint32Array(this.#cells.length * 2);
    grown.set(this.#cells);
    this.#cells = grown;
  }

  #own(): void {
    if (!this.#isShared) return;
    this.#cells = this.#cells.slice();
    this.#isShared = false;
  }
}

function blockAt(cell: number): number {
  return ROOT_CELLS + (cell - BLOCK) * BLOCK_CELLS;
}
