/**
 * Rules of a chain that one packet held and passed by, as one thing: a packet that ten thousand
 * policies select holds ten thousand jumps. They are counted together and listed when asked for.
 * @module
 */
import type { LinkedRule } from '../../image/program.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import { mergeOrigins, type OriginPart } from '../../packet/mark-origins.ts';
import { eachBit, nextBit } from './bit-vector.ts';
import type { MarkEntries } from './mark-entries.ts';

/** Rules of a chain that packets of one kind hold and pass by, in order, under their entries. */
export class PassedRules {
  readonly #words: Uint32Array;
  readonly #rules: readonly LinkedRule[];
  readonly #marks: readonly MarkEntries[];
  readonly #runs = new Map<number, RuleRun>();

  /** `words`: which of the rules are held; `marks`: those of them that mark. */
  constructor(words: Uint32Array, rules: readonly LinkedRule[], marks: readonly MarkEntries[]) {
    this.#words = words;
    this.#marks = marks.map((own) => ({ ...own, words: both(own.words, words) }));
    this.#rules = rules;
  }

  /** Those in `from..to`; null when there are none. */
  run(from: number, to: number): RuleRun | null {
    const key = from * 2 ** 26 + to;
    const known = this.#runs.get(key);
    if (known !== undefined) return known;
    if (nextBit(this.#words, from) >= to) return null;
    if (this.#runs.size >= MOST_RUNS) this.#runs.clear();
    const marks = this.#marks.filter(({ words }) => nextBit(words, from) < to);
    const made = new RuleRun(this, { from, to, marks });
    this.#runs.set(key, made);
    return made;
  }

  each(from: number, to: number, told: (rule: LinkedRule, at: number) => void): void {
    eachBit(this.#words, from, to, (at) => {
      const rule = this.#rules[at];
      if (rule !== undefined) told(rule, at);
    });
  }
}

const MOST_RUNS = 4096;

function both(a: Uint32Array, b: Uint32Array): Uint32Array {
  return a.map((word, w) => word & (b[w] ?? 0));
}

interface Extent {
  readonly from: number;
  readonly to: number;
  readonly marks: readonly MarkEntries[];
}

export class RuleRun {
  readonly passed: PassedRules;
  readonly from: number;
  readonly to: number;
  /** Marks that the packet has, and was given once more; by bit, whose they are. */
  readonly marks: readonly RunMarks[];

  constructor(passed: PassedRules, { from, to, marks }: Extent) {
    this.passed = passed;
    this.from = from;
    this.to = to;
    this.marks = marksByBit(marks, from, to);
  }

  /** The rules, in the order in which the packet held them. */
  rules(): readonly LinkedRule[] {
    const rules: LinkedRule[] = [];
    this.passed.each(this.from, this.to, (rule) => rules.push(rule));
    return rules;
  }
}

/** What MARK rules of a run do to a bit that the packet has so already; `value` 0 clears. */
export interface RunMarks {
  readonly value: number;
  readonly mask: number;
  readonly part: OriginPart;
}

/** Rules of several targets may set one bit: whose it is, is in the order of all of them. */
function marksByBit(marks: readonly MarkEntries[], from: number, to: number): readonly RunMarks[] {
  const byBit: RunMarks[] = [];
  const touched = marks.reduce((bits, { value, mask }) => bits | value | mask, 0);
  for (let bit = 0; bit < 32; bit++) {
    const mask = (1 << bit) >>> 0;
    if ((touched & mask) === 0) continue;
    const setting = marks.filter(({ value }) => (value & mask) !== 0);
    const value = setting.length > 0 ? mask : 0;
    byBit.push({ value, mask, part: { origins: () => originsIn(setting, from, to) } });
  }
  return byBit;
}

function originsIn(marks: readonly MarkEntries[], from: number, to: number): readonly Provenance[] {
  const own: { readonly at: number; readonly origin: readonly Provenance[] }[] = [];
  for (const { words, origins } of marks) {
    eachBit(words, from, to, (at) => own.push({ at, origin: origins.get(at) ?? [] }));
  }
  return mergeOrigins(own.sort((a, b) => a.at - b.at).map(({ origin }) => origin));
}

/** Packets and bytes. */
export interface Count {
  packets: number;
  bytes: number;
}

/** What runs counted, told rule by rule: one pass over each chain, however many runs. */
export function addUp(
  runs: Iterable<readonly [RuleRun, Count]>,
  add: (rule: LinkedRule, packets: number, bytes: number) => void,
): void {
  const byRules = new Map<PassedRules, Step[]>();
  for (const [{ passed, from, to }, { packets, bytes }] of runs) {
    const steps = byRules.get(passed) ?? [];
    byRules.set(passed, steps);
    steps.push({ at: from, packets, bytes }, { at: to, packets: -packets, bytes: -bytes });
  }
  for (const [passed, steps] of byRules) {
    steps.sort((a, b) => a.at - b.at);
    let [next, packets, bytes] = [0, 0, 0];
    passed.each(steps[0]?.at ?? 0, steps.at(-1)?.at ?? 0, (rule, at) => {
      for (let step = steps[next]; step !== undefined && step.at <= at; step = steps[++next]) {
        packets += step.packets;
        bytes += step.bytes;
      }
      if (packets > 0) add(rule, packets, bytes);
    });
  }
}

/** From an entry on, so much more is counted. */
interface Step extends Count {
  readonly at: number;
}
