/**
 * Options of an xtables extension as they were given, and the values that they can have.
 *
 * An extension (a match or a target) is data: the options that it knows, and how what was given
 * becomes the vocabulary of netfilter/. Values are read as libxtables reads them: numbers in
 * decimal, `0x` or octal (xtables_strtoui, base 0), marks as `VALUE[/MASK]`.
 * @module
 */
import type { Negatable, PortRange } from '../../netfilter/match.ts';
import type { Family } from '../../wire/address/address.ts';

export interface OptionSpec {
  /** With its dashes, as iptables-save prints it. */
  readonly name: string;
  readonly aliases?: readonly string[];
  /** How many words follow. */
  readonly values: 0 | 1 | 2;
  readonly negatable?: true;
}

export interface Extension<T> {
  readonly options: readonly OptionSpec[];
  /** The head must name one of these protocols, as the kernel module asks (`checkentry`). */
  readonly protocols?: readonly number[];
  readonly family?: Family;
  /** Make the value; throws `OptionFault` for what the tools or the emulator would not take. */
  read(given: Given): T;
}

/** What is wrong with one option, caught by the reader of the rule, which knows the line. */
export class OptionFault extends Error {
  readonly found: string | undefined;
  readonly accepted: string | undefined;

  constructor(message: string, found?: string, accepted?: string) {
    super(message);
    this.name = 'OptionFault';
    this.found = found;
    this.accepted = accepted;
  }
}

interface GivenOption {
  readonly negate: boolean;
  readonly values: readonly string[];
}

/** The options that one use of an extension was given, by canonical name. */
export class Given {
  readonly family: Family;
  readonly #options = new Map<string, GivenOption>();

  constructor(family: Family) {
    this.family = family;
  }

  add(name: string, option: GivenOption): void {
    if (this.#options.has(name)) throw new OptionFault(`${name} may be given only once`);
    this.#options.set(name, option);
  }

  has(name: string): boolean {
    return this.#options.has(name);
  }

  /** A bare option with its `!`. */
  flag(name: string): Negatable<true> | undefined {
    const found = this.#options.get(name);
    return found === undefined ? undefined : { value: true, negate: found.negate };
  }

  /** The option's first value, read by `parse`. */
  one<T>(name: string, parse: (text: string) => T): Negatable<T> | undefined {
    const found = this.#options.get(name);
    if (found === undefined) return undefined;
    return { value: parse(found.values[0] ?? ''), negate: found.negate };
  }

  /** Both values of an option with two. */
  two<T>(name: string, parse: (first: string, second: string) => T): Negatable<T> | undefined {
    const found = this.#options.get(name);
    if (found === undefined) return undefined;
    return { value: parse(found.values[0] ?? '', found.values[1] ?? ''), negate: found.negate };
  }

  /** An option that the extension cannot do without. */
  needed<T>(name: string, parse: (text: string) => T): Negatable<T> {
    const found = this.one(name, parse);
    if (found === undefined) throw new OptionFault(`${name} is missing`);
    return found;
  }
}

/** An object with the key only when there is a value (`exactOptionalPropertyTypes`). */
export function optional<K extends string, V>(
  key: K,
  value: V | undefined,
): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V });
}

/** Make a reader of whole numbers from `low` to `high`. */
export function whole(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = parseWhole(text);
    if (value === null || value < low || value > high) {
      throw new OptionFault('a number was expected', text, `${low}–${high}`);
    }
    return value;
  };
}

export const byte = whole(0, 0xff);
export const u16 = whole(0, 0xffff);
export const u32 = whole(0, 0xffffffff);

function parseWhole(text: string): number | null {
  if (/^0[xX][0-9a-fA-F]{1,12}$/.test(text)) return Number.parseInt(text, 16);
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/**
 * `PORT`, `LOW:HIGH`, `:HIGH`, `LOW:`. Service names need the host's own file and are refused.
 */
export function portRange(text: string): PortRange {
  const range = anyPortRange(text);
  const { low, high } = range;
  if (high < low) throw new OptionFault('the range of ports ends before it starts', text);
  return range;
}

/** The same, also ranges that hold no port because they end before they start. */
export function anyPortRange(text: string): PortRange {
  const colon = text.indexOf(':');
  if (colon < 0) {
    const port = portNumber(text);
    return { low: port, high: port };
  }
  const low = colon === 0 ? 0 : portNumber(text.slice(0, colon));
  const high = colon === text.length - 1 ? 0xffff : portNumber(text.slice(colon + 1));
  return { low, high };
}

export function portNumber(text: string): number {
  const value = parseWhole(text);
  if (value === null || value > 0xffff) {
    throw new OptionFault(
      'a port number was expected',
      text,
      '0–65535; service names are not read',
    );
  }
  return value;
}

export interface Masked {
  readonly value: number;
  readonly mask: number;
}

/** `VALUE[/MASK]`, unsigned 32-bit; the mask is full when absent. */
export function masked(text: string): Masked {
  const slash = text.indexOf('/');
  if (slash < 0) return { value: u32(text), mask: 0xffffffff };
  return { value: u32(text.slice(0, slash)), mask: u32(text.slice(slash + 1)) };
}

/** Make a reader of one word of a closed list, in any case. */
export function oneOf<const T extends string>(all: readonly T[]): (text: string) => T {
  return (text) => {
    const found = all.find((one) => one.toLowerCase() === text.toLowerCase());
    if (found === undefined) throw new OptionFault('unknown word', text, all.join(', '));
    return found;
  };
}

/** Make a reader of a comma separated list of such words; kept in the list's own order. */
export function someOf<const T extends string>(all: readonly T[]): (text: string) => readonly T[] {
  const one = oneOf(all);
  return (text) => {
    const present = text.split(',').map(one);
    return all.filter((word) => present.includes(word));
  };
}

/** Make a reader of text of at most `bytes` bytes of UTF-8. */
export function textUpTo(bytes: number): (text: string) => string {
  return (text) => {
    if (new TextEncoder().encode(text).length > bytes) {
      throw new OptionFault(`text is longer than ${bytes} bytes`, text);
    }
    return text;
  };
}
