/**
 * The chances of one new connection on one host: what rules that draw lots answer while the nat
 * table decides where it goes.
 *
 * A chain of rules that draw, each with the probability that is left to it, stands for one choice
 * among n. It is made with one number in [0, 1) per connection and host: the rule holds in whose
 * slice of the unit the number lies. So the n-th of n stays the n-th whatever the rules' texts are,
 * and on every host of that name.
 *
 *   0 ────────┬───────── u ──┬──────────── 1
 *     1/3     │   1/2 of the │ the rest
 *             │   rest       │
 *
 * Draws can be prescribed, one by one, to learn what else could have come of the connection.
 * @module
 */

/** What rules ask of chance. */
export interface Draws {
  /** Does a rule of `chain` hold that holds with this probability? */
  chance(chain: object, probability: number): boolean;
  /** One of `0 … count - 1`. */
  oneOf(chain: object, count: number): number;
}

/** One draw: how probable each of its outcomes was, and which came. */
export interface Draw {
  readonly host: string;
  readonly probabilities: readonly number[];
  readonly taken: number;
}

/** Which number of a connection a draw looked at, and how. */
export interface DrawSite {
  readonly host: string;
  /** The n-th number of its connection on that host, and the name that it was asked under. */
  readonly rank: number;
  readonly key: string;
  /** Of a chance: it holds below this; of one of many: how many. */
  readonly kind: 'below' | 'oneOf';
  readonly value: number;
}

/** The draws of one packet's whole way: those prescribed, and all that were made. */
export interface DrawRecord {
  readonly prescribed: readonly number[];
  readonly made: Draw[];
  /** Of each that was made. */
  readonly sites: DrawSite[];
}

/** The part of the unit that the rules of a chain asked so far have left. */
interface Rest {
  from: number;
  size: number;
  readonly u: number;
  readonly site: Pick<DrawSite, 'host' | 'rank' | 'key'>;
}

export class ConnectionDraws implements Draws {
  readonly #host: string;
  readonly #key: () => string;
  readonly #record: DrawRecord;
  readonly #rests = new Map<object, Rest>();

  /**
   * `key` names the connection, the same on every run, and is only asked where a rule draws;
   * `record` is shared along its way.
   */
  constructor(host: string, key: () => string, record: DrawRecord) {
    this.#host = host;
    this.#key = key;
    this.#record = record;
  }

  chance(chain: object, probability: number): boolean {
    const rest = this.#rest(chain);
    const slice = rest.size * probability;
    const held = rest.u < rest.from + slice;
    this.#record.sites.push({ ...rest.site, kind: 'below', value: rest.from + slice });
    const taken = this.#draw([probability, 1 - probability], held ? 0 : 1);
    rest.from += slice;
    rest.size -= slice;
    return taken === 0;
  }

  oneOf(chain: object, count: number): number {
    const even = Array.from({ length: count }, () => 1 / count);
    const { u, site } = this.#rest(chain);
    this.#record.sites.push({ ...site, kind: 'oneOf', value: count });
    return this.#draw(even, Math.floor(u * count));
  }

  #draw(probabilities: readonly number[], natural: number): number {
    const { prescribed, made } = this.#record;
    const taken = prescribed[made.length] ?? natural;
    made.push({ host: this.#host, probabilities, taken });
    return taken;
  }

  /** The number of a chain; another chain of the same walk has another. */
  #rest(chain: object): Rest {
    const known = this.#rests.get(chain);
    if (known !== undefined) return known;
    const site = { host: this.#host, rank: this.#rests.size, key: this.#key() };
    const rest = { from: 0, size: 1, u: drawnNumber(site), site };
    this.#rests.set(chain, rest);
    return rest;
  }
}

/** 31 well mixed bits of a text (FNV-1a, then the finalizer of MurmurHash3). */
export function hash31(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) & 0x7fffffff;
}

/** The number in [0, 1) that a connection has there. */
export function drawnNumber({ host, rank, key }: Pick<DrawSite, 'host' | 'rank' | 'key'>): number {
  return hash31(`${host} ${rank} ${key}`) / 2 ** 31;
}
