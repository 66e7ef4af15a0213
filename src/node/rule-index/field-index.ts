/**
 * Which entries of a chain hold as far as one field of a packet goes.
 *
 * Entries that ask the same of the field are one group. A packet's answers to the questions say
 * which groups hold; packets of equal answers share one vector, made when the first of them comes.
 * @module
 */
import type { Packet } from '../../packet/packet.ts';
import type { Address } from '../../wire/address/address.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { emptyBits, setBit } from './bit-vector.ts';
import type { Field, Literal, Question } from './literal.ts';
import type { PacketFacts } from './packet-facts.ts';
import { AddressStab, PortStab } from './stab.ts';

/** Entries that hold. `passing` is about those only that packets may pass by: many share it. */
export interface FieldVector {
  readonly number: number;
  readonly words: Uint32Array;
  readonly passing: PassingVector;
}

export interface PassingVector {
  readonly number: number;
  readonly words: Uint32Array;
}

/** Entries that ask the same of a field. */
interface Group {
  readonly id: number;
  readonly yes: readonly number[];
  readonly no: readonly number[];
  readonly entries: number[];
  mayPass: boolean;
}

/** Fewer questions than this about addresses are asked one by one. */
const FEW = 48;
/** Bytes of vectors that are kept a field. */
const KEPT_BYTES = 1 << 24;

export class FieldIndex {
  readonly #field: Field;
  readonly #questions: Question[] = [];
  readonly #ids = new Map<Question['key'], number>();
  readonly #groups = new Map<string, Group>();
  /** Groups to look at when a question is answered with yes, by question. */
  #watching: Group[][] = [];
  /** Groups that ask for no yes. */
  #always: Group[] = [];
  /** Entries that ask nothing of the field. */
  readonly #free: Uint32Array;
  readonly #mayPass: Uint32Array;
  /** Questions that every packet is asked; the others are found by address or port. */
  #direct: number[] = [];
  #addresses: AddressStab | null = null;
  readonly #ports = new Map<'sport' | 'dport', PortStab>();
  /** What the packet under way answered with yes. */
  #isYes = new Uint8Array(0);
  readonly #vectors = new Map<string, FieldVector>();
  readonly #passing = new Map<string, PassingVector>();
  readonly #byAddress = new Map<Address['w3'] | string, FieldVector>();
  readonly #mostVectors: number;

  /** `mayPass` are the entries that packets may pass by. */
  constructor(field: Field, mayPass: Uint32Array) {
    this.#field = field;
    this.#mayPass = mayPass;
    this.#free = new Uint32Array(mayPass.length);
    this.#mostVectors = Math.max(64, Math.floor(KEPT_BYTES / (4 * mayPass.length + 64)));
  }

  /** An entry, and all that it asks of this field. Rising, before `seal`. */
  add(entry: number, literals: readonly Literal[], mayPass: boolean): void {
    if (literals.length === 0) {
      setBit(this.#free, entry);
      return;
    }
    const yes = new Set<number>();
    const no = new Set<number>();
    for (const { question, negate } of literals) (negate ? no : yes).add(this.#idOf(question));
    const key = `${sorted(yes)}!${sorted(no)}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      const id = this.#groups.size;
      group = { id, yes: [...yes], no: [...no], entries: [], mayPass: false };
      this.#groups.set(key, group);
    }
    group.entries.push(entry);
    group.mayPass ||= mayPass;
  }

  /** All entries are there: make ready for packets. */
  seal(): void {
    const asked = this.#questions.map(() => 0);
    for (const { yes } of this.#groups.values()) {
      for (const id of yes) asked[id] = (asked[id] ?? 0) + 1;
    }
    this.#watching = this.#questions.map(() => []);
    for (const group of this.#groups.values()) {
      // Watched by the question that fewest ask for.
      const rarest = group.yes.reduce(
        (best, id) => (best < 0 || (asked[id] ?? 0) < (asked[best] ?? 0) ? id : best),
        -1,
      );
      if (rarest < 0) this.#always.push(group);
      else this.#watching[rarest]?.push(group);
    }
    this.#isYes = new Uint8Array(this.#questions.length);
    this.#sortQuestions();
  }

  /** The entries that hold for the packet; null when the walk has to find out. */
  vectorOf(ctx: WalkContext, packet: Packet, facts: PacketFacts): FieldVector | null {
    if (this.#questions.length === 0) return this.#vector([]);
    const key = this.#keyOf(packet);
    if (key !== null) {
      const known = this.#byAddress.get(key);
      if (known !== undefined) return known;
    }
    const yes = this.#answers(ctx, packet, facts);
    if (yes === null) return null;
    const found = this.#vector(yes);
    if (key !== null) {
      if (this.#byAddress.size >= MOST_KEYS) this.#byAddress.clear();
      this.#byAddress.set(key, found);
    }
    return found;
  }

  #idOf(question: Question): number {
    const known = this.#ids.get(question.key);
    if (known !== undefined) return known;
    const id = this.#questions.length;
    this.#ids.set(question.key, id);
    this.#questions.push(question);
    return id;
  }

  /** Which questions are found by address or port, and which are asked of every packet? */
  #sortQuestions(): void {
    const byAddress = this.#questions.filter(({ within }) => within !== undefined).length >= FEW;
    for (const [id, { within, ports }] of this.#questions.entries()) {
      if (ports !== undefined) {
        const stab = this.#ports.get(ports.side) ?? new PortStab();
        this.#ports.set(ports.side, stab);
        for (const range of ports.ranges) stab.add(range, id);
      } else if (byAddress && within !== undefined) {
        this.#addresses ??= new AddressStab();
        for (const prefix of within()) this.#addresses.add(prefix, id);
      } else this.#direct.push(id);
    }
  }

  /** What tells packets apart in this field, where that is little enough to be remembered. */
  #keyOf(packet: Packet): string | number | null {
    switch (this.#field) {
      case 'source':
      case 'destination':
        return keyOfAddress(this.#field === 'source' ? packet.src : packet.dst);
      case 'devices':
        return `${packet.inDevice} ${packet.outDevice}`;
      default:
        return null;
    }
  }

  /** The questions that the packet answers with yes, rising; null when one has no answer. */
  #answers(ctx: WalkContext, packet: Packet, facts: PacketFacts): readonly number[] | null {
    const yes: number[] = [];
    let isOpen = false;
    const put = (id: number) => {
      const answer = this.#questions[id]?.asks(ctx, packet, facts) ?? null;
      if (answer === null) isOpen = true;
      else if (answer) yes.push(id);
    };
    for (const id of this.#direct) put(id);
    for (const [side, stab] of this.#ports) stab.find(facts[side], put);
    this.#addresses?.find(this.#field === 'source' ? packet.src : packet.dst, put);
    if (isOpen) return null;
    const isSorted = yes.every((id, i) => i === 0 || (yes[i - 1] ?? 0) < id);
    return isSorted ? yes : [...new Set(yes)].sort((a, b) => a - b);
  }

  #vector(yes: readonly number[]): FieldVector {
    const key = yes.join();
    const known = this.#vectors.get(key);
    if (known !== undefined) return known;
    const held = this.#heldGroups(yes);
    const words = this.#free.slice();
    for (const group of held) for (const entry of group.entries) setBit(words, entry);
    const made = { number: this.#made++, words, passing: this.#passingOf(held, words) };
    if (this.#vectors.size >= this.#mostVectors) this.#vectors.clear();
    this.#vectors.set(key, made);
    return made;
  }

  #heldGroups(yes: readonly number[]): readonly Group[] {
    const isYes = this.#isYes;
    for (const id of yes) isYes[id] = 1;
    const holds = ({ yes, no }: Group) =>
      yes.every((id) => isYes[id] === 1) && no.every((id) => isYes[id] === 0);
    const held = [...this.#always, ...yes.flatMap((id) => this.#watching[id] ?? [])].filter(holds);
    for (const id of yes) isYes[id] = 0;
    return held;
  }

  /** Ports decide of few entries that packets pass by: most vectors have the same of these. */
  #passingOf(held: readonly Group[], words: Uint32Array): PassingVector {
    const key = held
      .filter((group) => group.mayPass)
      .map(({ id }) => id)
      .sort((a, b) => a - b)
      .join();
    const known = this.#passing.get(key);
    if (known !== undefined) return known;
    const own = emptyBits(words.length * 32);
    for (let w = 0; w < own.length; w++) own[w] = (words[w] ?? 0) & (this.#mayPass[w] ?? 0);
    if (this.#passing.size >= this.#mostVectors) this.#passing.clear();
    const made = { number: this.#made++, words: own };
    this.#passing.set(key, made);
    return made;
  }

  #made = 0;
}

const MOST_KEYS = 8192;

function sorted(ids: ReadonlySet<number>): string {
  return [...ids].sort((a, b) => a - b).join();
}

function keyOfAddress({ family, w0, w1, w2, w3 }: Address): string | number {
  return family === 4 ? w3 : `${w0} ${w1} ${w2} ${w3}`;
}
