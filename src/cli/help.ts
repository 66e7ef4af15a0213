/**
 * How commands print help: defaults that say nothing are left out, a closed pipe is no fault, and
 * `help` knows its verbs.
 * @module
 */
import { Command, Help, type Option } from 'commander';
import { nearest } from '../cluster/nearest.ts';
import { UserError } from '../diagnostic/diagnostic.ts';
import { OutputClosed, standardOutput } from '../report/text/text-output.ts';

/** Defaults that a reader learns nothing from. */
const SILENT_DEFAULT = / ?\(default: (\[\]|false)\)$/;

/** Apply the house's manners to a command. */
export function withManners(command: Command): Command {
  const plain = new Help();
  return command
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({
      optionDescription: (option: Option) =>
        plain.optionDescription(option).replace(SILENT_DEFAULT, ''),
    })
    .configureOutput({ writeOut: printOut });
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
