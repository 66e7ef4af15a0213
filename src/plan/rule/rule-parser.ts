/**
 * Read the arguments of one rule as iptables-restore does.
 *
 * Words are taken in order, as getopt_long gives them: an option belongs to the head, or else to
 * the extension loaded last that knows it; a unique beginning of a long option will do; an
 * option of the protocol's own match loads that match (`-p tcp --dport 80`). A list of sources
 * or destinations makes one rule for each pair.
 *
 * Source: iptables 1.8.9, iptables/xshared.c `do_parse`, `command_default`,
 * `xtables_merge_options`.
 * @module
 */
import type { HeadNetwork } from '../../netfilter/further-match.ts';
import type { Match, Negatable } from '../../netfilter/match.ts';
import type { Target } from '../../netfilter/target.ts';
import type { Family } from '../../wire/address/address.ts';
import { interfaceName, MATCH_EXTENSIONS, MATCH_OF_PROTOCOL } from '../match/match-options.ts';
import { headNetwork } from './network-prefix.ts';
import { type Extension, Given, OptionFault, type OptionSpec, optional } from './option-reader.ts';
import { formatProtocol, parseProtocol } from './protocol-name.ts';
import type { Word } from './restore-line.ts';
import { FOREIGN_TARGETS, STANDARD_TARGETS, TARGET_EXTENSIONS } from './target-options.ts';

/** What was wrong in a rule; the caller adds file and line. */
export interface RuleFault {
  readonly code: 'PLAN_UNSUPPORTED' | 'PLAN_RULE';
  readonly message: string;
  readonly found?: string;
  readonly accepted?: string;
}

/** The rules that one line makes: one for each pair of source and destination. */
export interface ParsedRule {
  readonly sources: readonly Negatable<HeadNetwork>[];
  readonly destinations: readonly Negatable<HeadNetwork>[];
  readonly head: {
    readonly inInterface?: Negatable<string>;
    readonly outInterface?: Negatable<string>;
    readonly protocol?: Negatable<number>;
    readonly fragment?: Negatable<true>;
  };
  readonly matches: readonly Match[];
  readonly target: Target;
  /** `-c PACKETS BYTES`. */
  readonly counters?: { readonly packets: number; readonly bytes: number };
}

type HeadOption =
  | 'source'
  | 'destination'
  | 'in-interface'
  | 'out-interface'
  | 'protocol'
  | 'fragments'
  | 'match'
  | 'jump'
  | 'goto'
  | 'set-counters';

const HEAD: Readonly<Record<string, HeadOption>> = {
  '-s': 'source',
  '--source': 'source',
  '--src': 'source',
  '-d': 'destination',
  '--destination': 'destination',
  '--dst': 'destination',
  '-i': 'in-interface',
  '--in-interface': 'in-interface',
  '-o': 'out-interface',
  '--out-interface': 'out-interface',
  '-p': 'protocol',
  '--protocol': 'protocol',
  '-f': 'fragments',
  '--fragments': 'fragments',
  '-m': 'match',
  '--match': 'match',
  '-j': 'jump',
  '--jump': 'jump',
  '-g': 'goto',
  '--goto': 'goto',
  '-c': 'set-counters',
  '--set-counters': 'set-counters',
};

interface Loaded {
  readonly name: string;
  readonly given: Given;
  readonly options: readonly OptionSpec[];
  readonly protocols?: readonly number[];
  /**
   * Something was wrong with its options already; its part would only be complained about again.
   */
  faulty: boolean;
  /** Make the part of the rule, once all words are read. */
  finish(): void;
}

/** Reads the words of one rule; use once. */
export class RuleParser {
  readonly faults: RuleFault[] = [];
  readonly #family: Family;
  readonly #words: readonly Word[];
  #at = 0;
  #negate = false;
  readonly #loaded: Loaded[] = [];
  /** After what is not known, words are passed over up to the next option that is. */
  #foreign = false;
  readonly #matches: (Match | undefined)[] = [];
  #target: Target | undefined;
  #sources: readonly Negatable<HeadNetwork>[] = [];
  #destinations: readonly Negatable<HeadNetwork>[] = [];
  #head: ParsedRule['head'] = {};
  #counters: ParsedRule['counters'];

  constructor(words: readonly Word[], family: Family) {
    this.#words = words;
    this.#family = family;
  }

  /**
   * Read all words; what could not be read is in `faults`, and then the result is not to be used.
   */
  parse(): ParsedRule {
    while (this.#at < this.#words.length) this.#catching(() => this.#option());
    if (this.#negate) this.#fault('`!` stands before nothing');
    for (const extension of this.#loaded) {
      if (!extension.faulty) this.#catching(() => extension.finish(), extension.name);
      this.#checkProtocol(extension);
    }
    return {
      sources: this.#sources,
      destinations: this.#destinations,
      head: this.#head,
      matches: this.#matches.filter((match) => match !== undefined),
      target: this.#target ?? { kind: 'none' },
      ...optional('counters', this.#counters),
    };
  }

  #option(): void {
    const word = this.#next();
    if (word.text === '!' && !word.quoted) {
      if (this.#negate) throw new OptionFault('`!` is given twice');
      this.#negate = true;
      return;
    }
    const [text, joined] = splitJoined(word.text);
    const negate = this.#negate;
    this.#negate = false;
    const head = HEAD[text];
    if (head !== undefined) {
      this.#foreign = false;
      this.#headOption(head, negate, joined);
      return;
    }
    const found = text.startsWith('-') ? this.#find(text) : undefined;
    if (!found) {
      if (this.#foreign) return;
      this.#foreign = true;
      const owner = this.#loaded.at(-1);
      if (owner) owner.faulty = true;
      const message = 'this option is not known here, or not emulated';
      this.faults.push({ code: 'PLAN_UNSUPPORTED', message, found: word.text });
      return;
    }
    if (typeof found === 'string') {
      this.#headOption(found, negate, joined);
      return;
    }
    const { extension, spec } = found;
    const before = extension.faulty;
    extension.faulty = true;
    const inverted = negate || (spec.values > 0 && this.#innerNegation());
    const values = joined === undefined ? [] : [joined];
    while (values.length < spec.values) values.push(this.#value(spec.name));
    if (inverted && !spec.negatable) throw new OptionFault(`${spec.name} cannot be inverted`);
    extension.given.add(spec.name, { negate: inverted, values });
    extension.faulty = before;
  }

  /**
   * The extension loaded last that knows the option; a unique beginning counts when no name does.
   */
  #find(text: string): { extension: Loaded; spec: OptionSpec } | HeadOption | undefined {
    const known = (spec: OptionSpec, exact: boolean) =>
      [spec.name, ...(spec.aliases ?? [])].some((n) => (exact ? n === text : n.startsWith(text)));
    for (const extension of this.#loaded.toReversed()) {
      const spec = extension.options.find((one) => known(one, true));
      if (spec) return { extension, spec };
    }
    if (this.#foreign || !text.startsWith('--') || text.length < 4) return undefined;
    const begun = this.#loaded
      .toReversed()
      .flatMap((extension) =>
        extension.options.filter((one) => known(one, false)).map((spec) => ({ extension, spec })),
      );
    const heads = Object.keys(HEAD).filter((name) => name.startsWith(text));
    const headOptions = new Set(heads.map((name) => HEAD[name]));
    if (begun.length + headOptions.size > 1) throw new OptionFault('ambiguous option', text);
    return begun[0] ?? [...headOptions][0] ?? this.#findByProtocol(text);
  }

  #findByProtocol(text: string): { extension: Loaded; spec: OptionSpec } | undefined {
    const protocol = this.#head.protocol;
    const name = protocol?.negate === false ? MATCH_OF_PROTOCOL.get(protocol.value) : undefined;
    if (name === undefined || this.#loaded.some((extension) => extension.name === name)) return;
    const options = MATCH_EXTENSIONS[name]?.options ?? [];
    const named = options.some((one) => [one.name, ...(one.aliases ?? [])].includes(text));
    if (!named) return undefined;
    this.#loadMatch(name);
    const found = this.#find(text);
    return typeof found === 'string' ? undefined : found;
  }

  #headOption(option: HeadOption, negate: boolean, joined: string | undefined): void {
    const value = () => {
      const inner = joined === undefined && this.#innerNegation();
      const text = joined ?? this.#value(`--${option}`);
      return { text, negate: negate || inner };
    };
    const plain = () => {
      const { text, negate: inverted } = value();
      if (inverted) throw new OptionFault(`--${option} cannot be inverted`);
      return text;
    };
    switch (option) {
      case 'source':
        this.#sources = this.#addresses(this.#sources, value());
        return;
      case 'destination':
        this.#destinations = this.#addresses(this.#destinations, value());
        return;
      case 'in-interface':
        this.#setHead('inInterface', interfacePart(value()));
        return;
      case 'out-interface':
        this.#setHead('outInterface', interfacePart(value()));
        return;
      case 'protocol':
        this.#setHead('protocol', protocolPart(value()));
        return;
      case 'fragments':
        if (this.#family === 6) throw new OptionFault('-f is for IPv4 only');
        this.#setHead('fragment', { value: true, negate });
        return;
      case 'match':
        this.#loadMatch(plain());
        return;
      case 'jump':
        this.#jump(plain());
        return;
      case 'goto':
        this.#setTarget({ kind: 'goto', chain: plain() });
        return;
      case 'set-counters':
        this.#counters = counters(plain(), this.#value('-c'));
        return;
    }
  }

  #setHead<K extends keyof ParsedRule['head']>(key: K, part: ParsedRule['head'][K]): void {
    if (key in this.#head) throw new OptionFault(`${key} is given twice`);
    if (part !== undefined) this.#head = { ...this.#head, [key]: part };
  }

  #addresses(
    had: readonly Negatable<HeadNetwork>[],
    { text, negate }: { text: string; negate: boolean },
  ) {
    if (had.length > 0) throw new OptionFault('addresses are given twice', text);
    const list = text.split(',').map((one) => headNetwork(one, this.#family));
    if (list.length > 1 && negate) throw new OptionFault('a list cannot be inverted', text);
    return list.map((value) => ({ value, negate }));
  }

  #loadMatch(name: string): void {
    const extension = MATCH_EXTENSIONS[name];
    const slot = this.#matches.push(undefined) - 1;
    if (!extension) {
      this.#unsupported('match', `-m ${name}`, Object.keys(MATCH_EXTENSIONS));
      return;
    }
    this.#load(name, extension, (match) => {
      this.#matches[slot] = match;
    });
  }

  #jump(name: string): void {
    const extension = TARGET_EXTENSIONS[name];
    if (extension) {
      this.#setTarget(undefined);
      this.#load(name, extension, (target) => {
        this.#target = target;
      });
      this.#target = { kind: 'none' };
    } else if (FOREIGN_TARGETS.has(name)) {
      const known = [...Object.keys(STANDARD_TARGETS), ...Object.keys(TARGET_EXTENSIONS)];
      this.#unsupported('target', `-j ${name}`, known);
    } else {
      this.#setTarget(STANDARD_TARGETS[name] ?? { kind: 'jump', chain: name });
    }
  }

  #setTarget(target: Target | undefined): void {
    if (this.#target) throw new OptionFault('a rule has one target only');
    this.#target = target;
  }

  #load<T>(name: string, extension: Extension<T>, keep: (value: T) => void): void {
    this.#foreign = false;
    const { family, protocols, options } = extension;
    if (family !== undefined && family !== this.#family) {
      this.#foreign = true;
      throw new OptionFault(`${name} is for IPv${family} only`);
    }
    const given = new Given(this.#family);
    const finish = () => keep(extension.read(given));
    this.#loaded.push({
      name,
      given,
      options,
      ...optional('protocols', protocols),
      faulty: false,
      finish,
    });
  }

  #unsupported(what: string, found: string, known: readonly string[]): void {
    this.#foreign = true;
    const message = `this ${what} is not emulated`;
    this.faults.push({ code: 'PLAN_UNSUPPORTED', message, found, accepted: known.join(', ') });
  }

  #checkProtocol({ name, protocols }: Loaded): void {
    const protocol = this.#head.protocol;
    if (!protocols || (protocol && !protocol.negate && protocols.includes(protocol.value))) return;
    const accepted = protocols.map((one) => `-p ${formatProtocol(one)}`).join(', ');
    this.faults.push({ code: 'PLAN_RULE', message: `${name} needs its protocol`, accepted });
  }

  #innerNegation(): boolean {
    const word = this.#words[this.#at];
    if (word?.text !== '!' || word.quoted) return false;
    this.#at++;
    return true;
  }

  #value(option: string): string {
    if (this.#at >= this.#words.length) throw new OptionFault(`${option} needs a value`);
    return this.#next().text;
  }

  #next(): Word {
    const word = this.#words[this.#at++];
    if (!word) throw new OptionFault('the rule ends too early');
    return word;
  }

  #catching(work: () => void, where?: string): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof OptionFault)) throw error;
      this.#fault(where === undefined ? error.message : `${where}: ${error.message}`, error);
    }
  }

  #fault(message: string, detail?: OptionFault): void {
    const found = optional('found', detail?.found);
    const accepted = optional('accepted', detail?.accepted);
    this.faults.push({ code: 'PLAN_RULE', message, ...found, ...accepted });
  }
}

/** `--option=value` and `-xVALUE` hold their value in the same word. */
function splitJoined(text: string): readonly [string, string | undefined] {
  const long = /^(--[^=]+)=(.*)$/s.exec(text);
  if (long) return [long[1] ?? '', long[2]];
  const short = /^(-[sdiopmjgc])([^-].*)$/s.exec(text);
  return short ? [short[1] ?? '', short[2]] : [text, undefined];
}

interface RawValue {
  readonly text: string;
  readonly negate: boolean;
}

/** A bare `+` is any interface, which is no condition unless inverted. */
function interfacePart({ text, negate }: RawValue): Negatable<string> | undefined {
  const value = interfaceName(text);
  return value === '+' && !negate ? undefined : { value, negate };
}

function protocolPart({ text, negate }: RawValue): Negatable<number> | undefined {
  const value = parseProtocol(text);
  if (value === null) throw new OptionFault('unknown protocol', text);
  if (value === 0 && negate) throw new OptionFault('no packet has no protocol', `! -p ${text}`);
  return value === 0 ? undefined : { value, negate };
}

function counters(packets: string, bytes: string) {
  const read = { packets: Number(packets), bytes: Number(bytes) };
  if (!/^\d+$/.test(packets) || !/^\d+$/.test(bytes)) {
    throw new OptionFault('counters are two numbers', `${packets} ${bytes}`);
  }
  return read;
}
