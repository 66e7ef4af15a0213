/**
 * One command line as somebody typed it. The option parser stops at the first word that it does not
 * know; here all that is wrong with options is collected and told together with what the verb finds
 * wrong with their values.
 * @module
 */
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { nearest } from '../cluster/nearest.ts';
import { assert, type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { ExitCode } from './exit-code.ts';
import { type Read, together } from './mistakes.ts';

/** Words that belong to the program, whatever stands before them. */
const PROGRAM = ['-h', '--help', '-V', '--version'];
/** A word of a filter, for the option parser as for us. */
const NEGATIVE = /^-(\d+|\d*\.\d+)(e[+-]?\d+)?$/;

export class CommandLine {
  /** How the run ends. */
  code: number = ExitCode.ok;
  readonly #mistakes: Diagnostic[] = [];
  /** Flags that were meant, as far as anybody can tell. */
  readonly #meant = new Set<string>();
  #told = false;

  finish(code: number): void {
    this.code = code;
  }

  /**
   * The words that the option parser is to see. What it would stop at is left out and kept as a
   * mistake; so are words that are no options beside an unknown one, whose value they may be.
   */
  sift(command: Command, words: readonly string[]): readonly string[] {
    const { options, operands } = this.#split(command, words);
    const isUnknown = this.#mistakes.some(({ code }) => code === 'OPTION_UNKNOWN');
    if (isUnknown || !this.#takesAll(command, operands) || operands.length === 0) return options;
    return [...options, '--', ...operands];
  }

  /** Have the mistakes that a command's options find in their values kept, too. */
  watch(command: Command): void {
    for (const option of command.options) this.#watchOption(option);
  }

  /**
   * Call every reader, as `together`. What was wrong with the options comes first; that an option
   * is missing which was only mistyped is not said.
   */
  check<const T extends readonly (() => unknown)[]>(...readers: T): Read<T> {
    this.#told = true;
    if (this.#mistakes.length === 0) return together(...readers);
    try {
      together(...readers);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const others = error.diagnostics.filter((d) => !this.#isEcho(d));
      throw new UserError([...this.#mistakes, ...others], error.fault);
    }
    throw new UserError(this.#mistakes);
  }

  /** Read files only where the options are fine: to be called in a reader of `check`. */
  read<T>(reader: () => T): T {
    if (this.#mistakes.length > 0) throw new UserError([]);
    return reader();
  }

  /** Whoever runs without a word about wrong options has forgotten to `check`. */
  assertTold(): void {
    assert(this.#told || this.#mistakes.length === 0, 'a verb checks its options');
  }

  #split(command: Command, words: readonly string[]) {
    const options: string[] = [];
    const operands: string[] = [];
    const find = (word: string) => command.options.find((option) => isCalled(option, word));
    const isFlag = (word: string) => find(word) !== undefined || PROGRAM.includes(word);
    const waiting = [...words];
    for (let word = waiting.shift(); word !== undefined; word = waiting.shift()) {
      const option = find(word);
      if (word === '--') {
        operands.push(...waiting.splice(0));
      } else if (option !== undefined) {
        const [next] = waiting;
        const isThere = next !== undefined && !isFlag(next);
        if (option.required && !isThere) this.#needsValue(option, next);
        else if (option.required || (option.optional && isThere && !next.startsWith('-'))) {
          options.push(word, waiting.shift() ?? '');
        } else options.push(word);
      } else if (PROGRAM.includes(word)) options.push(word);
      else if (word === '-' || !word.startsWith('-') || NEGATIVE.test(word)) operands.push(word);
      else if (word.startsWith('--')) this.#takeLong(command, word, options);
      else {
        const first = find(word.slice(0, 2));
        if (first === undefined) this.#unknown(command, word.slice(0, 2));
        else if (first.required || first.optional) options.push(word);
        else {
          options.push(word.slice(0, 2));
          waiting.unshift(`-${word.slice(2)}`);
        }
      }
    }
    return { options, operands };
  }

  /** `--name=value`, or a name that is not known. */
  #takeLong(command: Command, word: string, options: string[]): void {
    const [name = '', ...value] = word.split('=');
    const option = command.options.find((o) => isCalled(o, name));
    if (option === undefined) this.#unknown(command, name);
    else if (option.required || option.optional) options.push(word);
    else {
      const message = 'takes no value';
      const found = value.join('=');
      this.#mistakes.push({ code: 'OPTION_VALUE', field: option.flags, message, found });
    }
  }

  #unknown(command: Command, word: string): void {
    const known = command.options.flatMap(({ long }) => long ?? []);
    const near = word.startsWith('--') ? nearest(word, known) : null;
    this.#blame(command.options.find(({ long }) => long === near));
    const accepted = near ? `did you mean ${near}?` : `wiretrial help ${command.name()} has all`;
    const message = `unknown option '${word}'`;
    this.#mistakes.push({ code: 'OPTION_UNKNOWN', message, accepted });
  }

  #needsValue(option: Option, next: string | undefined): void {
    this.#blame(option);
    const found = next === undefined ? 'nothing' : `${next}, which is an option`;
    const message = 'needs a value';
    this.#mistakes.push({ code: 'OPTION_VALUE', field: option.flags, message, found });
  }

  #takesAll(command: Command, operands: readonly string[]): boolean {
    const { registeredArguments: taken } = command;
    if (operands.length <= taken.length || taken.some(({ variadic }) => variadic)) return true;
    this.#mistakes.push({
      code: 'OPERAND',
      message: 'takes no words beside its options',
      found: operands.slice(taken.length).join(' '),
      accepted: `wiretrial help ${command.name()} has all`,
    });
    return false;
  }

  /** Have an option's mistakes kept, so that reading goes on; choices are taken in any case. */
  #watchOption(option: Option): void {
    const { parseArg: parse, argChoices: choices, flags: field } = option;
    if (parse === undefined) return;
    option.parseArg = (given, previous) => {
      const value = choices?.find((c) => c.toLowerCase() === given.toLowerCase()) ?? given;
      try {
        return parse(value, previous);
      } catch (error) {
        if (!(error instanceof InvalidArgumentError)) throw error;
        this.#blame(option);
        const [message, accepted] = choices
          ? ['no such choice', choices.join(', ')]
          : ['is not accepted', error.message];
        this.#mistakes.push({ code: 'OPTION_VALUE', field, message, found: given, accepted });
        return previous;
      }
    };
  }

  #blame(option: Option | undefined): void {
    for (const flag of [option?.short, option?.long]) if (flag) this.#meant.add(flag);
  }

  /** Whether it says that something is missing which was only mistyped. */
  #isEcho({ field, found = 'none' }: Diagnostic): boolean {
    return found === 'none' && field !== undefined && this.#meant.has(field);
  }
}

function isCalled({ short, long }: Option, word: string): boolean {
  return word === short || word === long;
}
