/**
 * Openings that a Service's address translates: which backend a new connection gets hangs on a draw
 * that is its own, so no key of a decision leads there. What is remembered instead is every outcome
 * of the draw that was met, each a decision of its own, under one that says "draw first".
 *
 *   facts ─► "draw first" ─► the connection's number ─► the outcome in whose slice it lies
 *                                   ─► names, hosts, and where its packet ends
 *
 * What an outcome does to a packet follows from facts of the packet: it changes the destination to
 * a constant, and nothing else. That nobody has one of the names is looked at for each connection
 * (`Engine::open_special`); where somebody does, the walk says what comes of it. Sources that are
 * translated are left to the walk, for they are given by what others have.
 * @module
 */
import { type Tuple, withDestination } from '../../../conntrack/tuple.ts';
import { drawName, type NatHook } from '../../../node/hook/translation.ts';
import type { Host } from '../../../node/host.ts';
import { type DrawRecord, type DrawSite, drawnNumber } from '../../../node/match/memory/draws.ts';
import { equalAddress } from '../../../wire/address/address.ts';
import { u8 } from '../../../wire/bytes.ts';
import * as ipv4 from '../../../wire/header/ipv4.ts';
import * as ipv6 from '../../../wire/header/ipv6.ts';
import type { Injection, Journey } from '../../engine.ts';
import { writeNames } from '../connection/connection-words.ts';
import type { EndsBook } from '../connection/ends-book.ts';
import { DecisionFlag, Word } from '../layout.ts';
import type { NativeEngine } from '../native-door.ts';
import type { DecisionBook, Page } from './decision-book.ts';
import { endsOf } from './outcome-of.ts';

/** What was found of one opening; the words describe its decision. */
export interface SpecialOpening {
  readonly page: Page;
  readonly hosts: readonly Host[];
  readonly names: readonly Tuple[];
  readonly draws: DrawRecord;
  /** `By` bits. */
  readonly by: number;
}

type Changed = Pick<Tuple, 'dst' | 'dport'>;

/** One outcome. */
interface Outcome {
  readonly number: number;
  readonly slice: Slice;
  /** Its names behind the first. */
  readonly others: readonly Changed[];
}

/** The numbers that fall here: from `from` to below `to`, and of each draw of several, that one. */
interface Slice {
  readonly from: number;
  readonly to: number;
  readonly ones: readonly { readonly of: number; readonly taken: number }[];
}

/** Where connections draw; null where they need not. */
type Site = Pick<DrawSite, 'host' | 'rank'> & { readonly hook: NatHook };

interface Opening {
  readonly number: number;
  readonly by: number;
  readonly site: Site | null;
  readonly outcomes: Outcome[];
}

const HOOKS: readonly NatHook[] = ['prerouting', 'output'];

export interface SpecialOpeningsInput {
  readonly native: NativeEngine;
  readonly words: Float64Array;
  readonly ends: EndsBook;
  readonly book: DecisionBook;
  readonly seed: number;
}

export class SpecialOpenings {
  readonly #in: SpecialOpeningsInput;
  readonly #known = new Map<number, Opening>();
  #epoch = 0;

  constructor(input: SpecialOpeningsInput) {
    this.#in = input;
  }

  /** Move a packet that was handed over as `Slow.specialOpening`; null when it must be walked. */
  open(
    { choices, nowNs, checksumOffloaded }: Injection,
    packet: Uint8Array,
    out: Uint8Array,
  ): Journey | null {
    const { native, words, ends, book } = this.#in;
    const opening = this.#at(native.special());
    if (opening === undefined || choices !== undefined) return null;
    const first = tupleOf(packet);
    const outcome = this.#outcomeFor(opening, first);
    if (outcome === undefined) return null;
    const names = [first];
    for (const { dst, dport } of outcome.others) names.push(withDestination(first, dst, dport));
    writeNames(words, names);
    words[Word.ends] = ends.numberOf(names);
    const offloaded = checksumOffloaded ?? false;
    if (!native.openSpecial(outcome.number, packet, nowNs, offloaded)) return null;
    return book.journeyOf(outcome.number, out, packet);
  }

  /** Remember what a walk found; when its outcome is one that can be. */
  remember({ page, hosts, names, draws, by }: SpecialOpening): void {
    const { native, words, book } = this.#in;
    const [first] = names;
    const others = first === undefined ? null : changesOf(first, names);
    const site = first === undefined ? undefined : this.#siteOf(draws, first);
    if (others === null || site === undefined) return;
    // As the outcome is described; what "draw first" is entered by differs.
    const described = words.slice();
    words[Word.hostSetAfter] = 0;
    words[Word.hostSetOpened] = 0;
    words[Word.ends] = 0;
    words[Word.otherSport] = 0;
    words[Word.otherDport] = 0;
    words[Word.decisionFlags] = DecisionFlag.special;
    let opening = this.#enter(page, hosts, by, site, []);
    if (opening !== null && (by & ~opening.by) !== 0) {
      native.kill(opening.number);
      opening = this.#enter(page, hosts, by | opening.by, site, opening.outcomes);
    }
    if (opening === null || !isSameSite(opening.site, site)) return;
    const slice = sliceOf(draws);
    // Walked for the sake of names that another has.
    if (opening.outcomes.some((known) => isSameSlice(known.slice, slice))) return;
    words.set(described);
    const number = book.enterSpecial(page, hosts);
    if (number < 0) return;
    book.watch(opening.number, hosts);
    opening.outcomes.push({ number, slice, others });
  }

  /** The opening of these facts, made known when it is not; null when there is no room. */
  #enter(
    page: Page,
    hosts: readonly Host[],
    by: number,
    site: Site | null,
    outcomes: readonly Outcome[],
  ): Opening | null {
    const { words, book } = this.#in;
    words[Word.by] = by;
    const number = book.enterFirst({ ...page, counted: [] }, hosts);
    if (number < 0) return null;
    const known = this.#at(number);
    if (known !== undefined) return known;
    const opening = { number, by, site, outcomes: [...outcomes] };
    this.#known.set(number, opening);
    return opening;
  }

  #at(number: number): Opening | undefined {
    const { epoch } = this.#in.book;
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#known.clear();
    }
    return this.#known.get(number);
  }

  #outcomeFor({ site, outcomes }: Opening, first: Tuple): Outcome | undefined {
    if (site === null) return outcomes[0];
    const u = drawnNumber({ ...site, key: this.#keyAt(site, first) });
    return outcomes.find(({ slice }) => isIn(slice, u));
  }

  #keyAt({ hook }: Pick<Site, 'hook'>, first: Tuple): string {
    return `${this.#in.seed} ${drawName(hook, first)}`;
  }

  /** The one place where all was drawn; undefined when there were several, or another's names. */
  #siteOf({ prescribed, made, sites }: DrawRecord, first: Tuple): Site | null | undefined {
    if (prescribed.length > 0 || sites.length !== made.length) return undefined;
    const [at] = sites;
    if (at === undefined) return null;
    const isOne = sites.every((s) => s.host === at.host && s.rank === at.rank && s.key === at.key);
    const hook = HOOKS.find((one) => at.key === this.#keyAt({ hook: one }, first));
    return isOne && hook !== undefined ? { host: at.host, rank: at.rank, hook } : undefined;
  }
}

/** The other names, when they differ from the first in nothing but where they go. */
function changesOf(first: Tuple, [, ...others]: readonly Tuple[]): readonly Changed[] | null {
  const isKept = (name: Tuple) =>
    equalAddress(name.src, first.src) &&
    name.sport === first.sport &&
    name.protocol === first.protocol;
  if (others.length === 0 || !others.every(isKept)) return null;
  return others.map(({ dst, dport }) => ({ dst, dport }));
}

function sliceOf({ made, sites }: DrawRecord): Slice {
  let [from, to] = [0, 1];
  const ones: { of: number; taken: number }[] = [];
  for (const [i, { kind, value }] of sites.entries()) {
    const taken = made[i]?.taken ?? 0;
    if (kind === 'oneOf') ones.push({ of: value, taken });
    else if (taken === 0) to = Math.min(to, value);
    else from = Math.max(from, value);
  }
  return { from, to, ones };
}

function isIn({ from, to, ones }: Slice, u: number): boolean {
  if (u < from || u >= to) return false;
  return ones.every(({ of, taken }) => Math.floor(u * of) === taken);
}

function isSameSlice(a: Slice, b: Slice): boolean {
  const isSame = a.from === b.from && a.to === b.to && a.ones.length === b.ones.length;
  return (
    isSame &&
    a.ones.every(({ of, taken }, i) => {
      const other = b.ones[i];
      return other?.of === of && other.taken === taken;
    })
  );
}

function isSameSite(a: Site | null, b: Site | null): boolean {
  if (a === null || b === null) return a === b;
  return a.host === b.host && a.rank === b.rank && a.hook === b.hook;
}

/** The tuple of a plain packet of a protocol with ports. */
function tupleOf(packet: Uint8Array): Tuple {
  const isV4 = u8(packet, 0) >>> 4 === 4;
  const protocol = isV4 ? ipv4.protocol(packet, 0) : ipv6.nextHeader(packet, 0);
  const { src, dst, sport, dport } = endsOf(packet);
  return { protocol, src, dst, sport, dport };
}
