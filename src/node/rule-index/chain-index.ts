/**
 * The next rule of a long chain that a packet may hold, without looking at those between.
 *
 * The walk of rules stays what decides: it looks at every rule found here itself, with the places
 * to return to as if it had come by each rule. What it is spared are rules that miss by a part that
 * only the packet and the plan decide, and jumps into chains in which nothing holds. Vectors of the
 * entries that hold, one a field of the packet (field-index.ts), are laid over each other (Lakshman
 * and Stiliadis, «High-speed policy-based packet forwarding», 1998).
 *
 * Compared with the plain walk by test/differential/engines/indexed.test.ts.
 * @module
 */
import type { LinkedChain, LinkedRule } from '../../image/program.ts';
import type { Packet } from '../../packet/packet.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { commonBits, emptyBits, nextBit, nextOfBoth, setBit } from './bit-vector.ts';
import type { Chains, Entry } from './entries.ts';
import { FieldIndex, type FieldVector } from './field-index.ts';
import { FIELDS, type Literal, LOOKS_AT_DPORT, LOOKS_AT_SPORT } from './literal.ts';
import { type Division, MarkTargets } from './mark-entries.ts';
import { factsOf } from './packet-facts.ts';
import { PassedRules, type RuleRun } from './rule-run.ts';

/** How far a packet may go without looking. */
export interface Leap {
  /** The entry to look at; null at the end of the chain. */
  readonly to: Entry | null;
  /** What it held on the way; null when nothing. */
  readonly run: RuleRun | null;
  /** The ports that decided on the way. */
  readonly looks: number;
}

/** Combinations of vectors of which it is kept what holds and what is passed by. */
const MOST_KEPT = 512;
const NOWHERE = Number.POSITIVE_INFINITY;

/** Entries that hold but for the service: those where the walk stops, those that ask for ports. */
interface Held {
  readonly stops: Uint32Array;
  readonly sport: Uint32Array;
  readonly dport: Uint32Array;
}

export class ChainIndex {
  readonly #entries: readonly Entry[];
  readonly #rules: readonly LinkedRule[];
  /** The entry of each rule of the chain itself. */
  readonly #starts: readonly number[];
  readonly #fields: readonly FieldIndex[];
  /** Entries at which the walk stops, and those that packets pass by, whatever their marks. */
  readonly #stops: Uint32Array;
  readonly #passes: Uint32Array;
  readonly #marks: MarkTargets;
  readonly #asksSport: Uint32Array;
  readonly #asksDport: Uint32Array;
  readonly #held = new Map<string, Held>();
  readonly #passed = new Map<string, PassedRules>();

  constructor(chain: LinkedChain, chains: Chains) {
    const size = chains.sizeOf(chain);
    const entries: Entry[] = [];
    const starts: number[] = [];
    const mayPass = emptyBits(size);
    this.#stops = emptyBits(size);
    this.#passes = emptyBits(size);
    this.#marks = new MarkTargets(size);
    this.#asksSport = emptyBits(size);
    this.#asksDport = emptyBits(size);
    this.#fields = FIELDS.map((field) => new FieldIndex(field, mayPass));
    chains.list(chain, (entry, literals) => {
      const at = entries.length;
      if (entry.path.length === 0) starts.push(at);
      entries.push(entry);
      setBit(entry.passes ? this.#passes : this.#stops, at);
      if (entry.passes || entry.marks !== null) setBit(mayPass, at);
      if (entry.marks !== null) this.#marks.add(at, entry.marks);
      this.#ask(at, entry, literals);
    });
    for (const field of this.#fields) field.seal();
    this.#entries = entries;
    this.#rules = entries.map(({ rule }) => rule);
    this.#starts = starts;
  }

  /**
   * From the chain's rule at `index` to the next that is to be looked at.
   * @returns null when this packet must be walked rule by rule
   */
  leap(ctx: WalkContext, packet: Packet, index: number): Leap | null {
    const facts = factsOf(packet);
    if (facts === null) return null;
    const vectors: FieldVector[] = [];
    for (const field of this.#fields) {
      const vector = field.vectorOf(ctx, packet, facts);
      if (vector === null) return null;
      vectors.push(vector);
    }
    const from = this.#starts[index] ?? this.#entries.length;
    const division = this.#marks.divide(packet.mark, this.#stops, this.#passes);
    const { at, looks } = this.#scan(vectors, division, from);
    const run = this.#passedBy(vectors, division).run(from, at);
    return { to: this.#entries[at] ?? null, run, looks };
  }

  #ask(at: number, { passes, marks }: Entry, literals: readonly Literal[]): void {
    for (const [i, field] of FIELDS.entries()) {
      const own = literals.filter(({ question }) => question.field === field);
      this.#fields[i]?.add(at, own, passes || marks !== null);
    }
    const looks = literals.reduce((bits, { question }) => bits | question.looks, 0);
    if (looks & LOOKS_AT_SPORT) setBit(this.#asksSport, at);
    if (looks & LOOKS_AT_DPORT) setBit(this.#asksDport, at);
  }

  /** The first entry from `from` on at which the walk stops, and what was asked up to it. */
  #scan(
    vectors: readonly FieldVector[],
    division: Division,
    from: number,
  ): { at: number; looks: number } {
    const service = vectors.at(-1);
    const { stops, sport, dport } = this.#heldBy(vectors.slice(0, -1), division);
    const found = service === undefined ? NOWHERE : nextOfBoth(stops, service.words, from);
    const at = Math.min(found, this.#entries.length);
    // The stop itself is looked at by the walk, which says what it asks; but that it is a stop at
    // all is said here.
    const looks =
      (nextBit(sport, from) <= at ? LOOKS_AT_SPORT : 0) |
      (nextBit(dport, from) <= at ? LOOKS_AT_DPORT : 0);
    return { at, looks };
  }

  /** What holds but for the service: whatever it is, the ports of these are asked for. */
  #heldBy(vectors: readonly FieldVector[], { number, stops }: Division): Held {
    let key = `${number}`;
    for (const vector of vectors) key += ` ${vector.number}`;
    const known = this.#held.get(key);
    if (known !== undefined) return known;
    const all = vectors.map(({ words }) => words);
    const made = {
      stops: commonBits([stops, ...all]),
      sport: commonBits([this.#asksSport, ...all]),
      dport: commonBits([this.#asksDport, ...all]),
    };
    if (this.#held.size >= MOST_KEPT) this.#held.clear();
    this.#held.set(key, made);
    return made;
  }

  /** The rules that packets of these vectors hold and pass by. */
  #passedBy(vectors: readonly FieldVector[], { number, passes, marks }: Division): PassedRules {
    let key = `${number} `;
    for (const { passing } of vectors) key += `${passing.number} `;
    const known = this.#passed.get(key);
    if (known !== undefined) return known;
    const words = commonBits([passes, ...vectors.map(({ passing }) => passing.words)]);
    if (this.#passed.size >= MOST_KEPT) this.#passed.clear();
    const made = new PassedRules(words, this.#rules, marks);
    this.#passed.set(key, made);
    return made;
  }
}
