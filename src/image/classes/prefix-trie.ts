/**
 * Prefixes of one family in a path-compressed binary trie: one flat array that native code reads as
 * it is.
 *
 * A node is `width` words of prefix, then length, the two children (0 is none: the root is nobody's
 * child), and the class of its *region*: the addresses of its prefix that no longer prefix holds.
 * A node that only forks has no region of its own. Nodes are added, never removed.
 * @module
 */
import type { Address, Family, Prefix } from '../../wire/address/address.ts';

/** Words of prefix a node, by family. */
export const WORDS: Readonly<Record<Family, 1 | 4>> = { 4: 1, 6: 4 };

/** Places of a node's fields behind the words of its prefix. */
export const NodeField = { length: 0, children: 1, region: 3, count: 4 } as const;

/** The class field of a node that only forks. */
export const FORK = 0xffffffff;

export const ROOT = 0;

const FIRST_NODES = 64;

export class PrefixTrie {
  readonly family: Family;
  readonly #width: number;
  readonly #stride: number;
  readonly #key: Uint32Array;
  #nodes: Uint32Array;
  #size: number;
  /** Somebody else reads the array too: it is copied before the first change. */
  #isShared: boolean;

  /** With `nodes` a trie that was made before, which stays as it is; else an empty one. */
  constructor(family: Family, nodes?: Uint32Array) {
    this.family = family;
    this.#width = WORDS[family];
    this.#stride = this.#width + NodeField.count;
    this.#key = new Uint32Array(this.#width);
    this.#isShared = nodes !== undefined;
    this.#nodes = nodes ?? new Uint32Array(FIRST_NODES * this.#stride);
    this.#size = nodes === undefined ? 1 : nodes.length / this.#stride;
  }

  /** How many nodes there are. */
  get size(): number {
    return this.#size;
  }

  /** The nodes, as they are now: valid until the next change. */
  get words(): Uint32Array {
    return this.#nodes.subarray(0, this.#size * this.#stride);
  }

  /** The class of a node's region, or `FORK`. */
  region(node: number): number {
    return this.#at(node, NodeField.region);
  }

  setRegion(node: number, to: number): void {
    this.#own();
    this.#nodes[node * this.#stride + this.#width + NodeField.region] = to;
  }

  length(node: number): number {
    return this.#at(node, NodeField.length);
  }

  /** One word of a node's prefix. */
  word(node: number, at: number): number {
    return this.#nodes[node * this.#stride + at] ?? 0;
  }

  child(node: number, side: number): number {
    return this.#at(node, NodeField.children + side);
  }

  /** The class of the region that an address lies in. */
  classOf(address: Address): number {
    this.#load(address);
    let found = this.region(ROOT);
    for (let node = ROOT; ; ) {
      const length = this.length(node);
      if (length === this.#width * 32) return found;
      node = this.child(node, this.#bit(length));
      if (node === ROOT || this.#common(node) < this.length(node)) return found;
      const region = this.region(node);
      if (region !== FORK) found = region;
    }
  }

  /**
   * The node of a prefix, which has a region from now on; one that had none gets the class of the
   * region that it was a part of.
   */
  add(prefix: Prefix): { readonly node: number; readonly isNew: boolean } {
    this.#load(prefix.address);
    const { length } = prefix;
    let node = ROOT;
    let around = this.region(ROOT);
    while (this.length(node) < length) {
      const side = this.#bit(this.length(node));
      const next = this.child(node, side);
      if (next === ROOT) return this.#addLeaf(node, side, length, around);
      const common = Math.min(this.#common(next), length);
      if (common < this.length(next)) {
        return this.#addBetween({ parent: node, side, child: next }, common, length, around);
      }
      node = next;
      const region = this.region(node);
      if (region !== FORK) around = region;
    }
    if (this.region(node) !== FORK) return { node, isNew: false };
    this.setRegion(node, around);
    return { node, isNew: true };
  }

  #addLeaf(
    parent: number,
    side: number,
    length: number,
    region: number,
  ): { readonly node: number; readonly isNew: true } {
    const node = this.#make(length, region);
    this.#setChild(parent, side, node);
    return { node, isNew: true };
  }

  /** A node above `child`: the prefix itself, or a fork with the prefix on the other side. */
  #addBetween(
    at: { readonly parent: number; readonly side: number; readonly child: number },
    common: number,
    length: number,
    around: number,
  ): { readonly node: number; readonly isNew: true } {
    const childSide = bitOf((i) => this.word(at.child, i), common);
    const isFork = common < length;
    const upper = this.#make(common, isFork ? FORK : around);
    this.#setChild(at.parent, at.side, upper);
    this.#setChild(upper, childSide, at.child);
    return isFork
      ? this.#addLeaf(upper, 1 - childSide, length, around)
      : { node: upper, isNew: true };
  }

  #make(length: number, region: number): number {
    this.#own();
    const node = this.#size;
    const base = node * this.#stride;
    if (base + this.#stride > this.#nodes.length) {
      const grown = new Uint32Array(this.#nodes.length * 2);
      grown.set(this.#nodes);
      this.#nodes = grown;
    }
    for (let i = 0; i < this.#width; i++) {
      this.#nodes[base + i] = headOf(this.#key[i] ?? 0, length - i * 32);
    }
    this.#nodes[base + this.#width + NodeField.length] = length;
    this.#nodes[base + this.#width + NodeField.region] = region;
    this.#size += 1;
    return node;
  }

  #setChild(node: number, side: number, child: number): void {
    this.#own();
    this.#nodes[node * this.#stride + this.#width + NodeField.children + side] = child;
  }

  #own(): void {
    if (!this.#isShared) return;
    const own = new Uint32Array(Math.max(FIRST_NODES * this.#stride, this.#nodes.length * 2));
    own.set(this.#nodes);
    this.#nodes = own;
    this.#isShared = false;
  }

  #at(node: number, field: number): number {
    return this.#nodes[node * this.#stride + this.#width + field] ?? 0;
  }

  #load(a: Address): void {
    const key = this.#key;
    if (this.family === 4) {
      key[0] = a.w3;
      return;
    }
    key[0] = a.w0;
    key[1] = a.w1;
    key[2] = a.w2;
    key[3] = a.w3;
  }

  #bit(at: number): number {
    return bitOf((i) => this.#key[i] ?? 0, at);
  }

  /** How many leading bits of the key and of a node's words are equal. */
  #common(node: number): number {
    for (let i = 0; i < this.#width; i++) {
      const differs = (this.#key[i] ?? 0) ^ this.word(node, i);
      if (differs !== 0) return i * 32 + Math.clz32(differs);
    }
    return this.#width * 32;
  }
}

function bitOf(word: (i: number) => number, at: number): number {
  return (word(at >>> 5) >>> (31 - (at & 31))) & 1;
}

function headOf(word: number, length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? word : (word & (-1 << (32 - length))) >>> 0;
}
