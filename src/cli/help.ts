/**
 * How commands print help and complain: defaults that say nothing are left out, a closed pipe is no
 * fault, all values that an option does not take are said at once, and `help` knows its verbs.
 * @module
 */
import { Command, Help, InvalidArgumentError, type Option } from 'commander';
import { nearest } from '../cluster/nearest.ts';
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { OutputClosed, standardOutput } from '../report/text/text-output.ts';

/** Defaults that a reader learns nothing from. */
const SILENT_DEFAULT = / ?\(default: (\[\]|false)\)$/;

/** Apply the house's manners to a command. */
export function withManners(command: Command): Command {
  const plain = new Help();
  const mistakes: Diagnostic[] = [];
  for (const option of command.options) collectMistakes(option, mistakes);
  return command
    .hook('preAction', () => {
      if (mistakes.length > 0) throw new UserError(mistakes);
    })
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({
      optionDescription: (option: Option) =>
        plain.optionDescription(option).replace(SILENT_DEFAULT, ''),
    })
    .configureOutput({ writeOut: printOut });
}

/** Have an option's mistakes kept, so that reading goes on; choices are taken in any case. */
function collectMistakes(option: Option, mistakes: Diagnostic[]): void {
  const { parseArg: parse, argChoices: choices, flags: field } = option;
  if (parse === undefined) return;
  option.parseArg = (given, previous) => {
    const value = choices?.find((c) => c.toLowerCase() === given.toLowerCase()) ?? given;
    try {
      return parse(value, previous);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      const [message, accepted] = choices
        ? ['no such choice', choices.join(', ')]
        : ['is not accepted', error.message];
      mistakes.push({ code: 'OPTION_VALUE', field, message, found: given, accepted });
      return previous;
    }
  };
}

/** Synchronous, so that `--help | head` ends quietly instead of failing later. */
function printOut(text: string): void {
  const out = standardOutput();
  try {
    out.write(text);
    out.close();
  } catch (error) {
    if (!(error instanceof OutputClosed)) throw error;
  }
}

/** `wiretrial help VERB`. */
export function helpCommand(program: Command, verbs: readonly Command[]): Command {
  return new Command('help')
    .summary('help for a verb')
    .argument('[verb]', 'which')
    .action((name?: string) => {
      if (name === undefined) program.help();
      const verb = verbs.find((v) => v.name() === name);
      if (verb) verb.help();
      const names = verbs.map((v) => v.name());
      throw unknownVerb(name, names);
    });
}

/** A word where a verb is expected. */
export function unknownVerb(word: string, verbs: readonly string[]): UserError {
  const near = nearest(word, verbs);
  const names = verbs.join(', ');
  return new UserError([
    {
      code: 'VERB_UNKNOWN',
      message: 'no such verb',
      found: word,
      accepted: near ? `did you mean ${near}? (${names})` : names,
    },
  ]);
}
