#!/usr/bin/env node
/**
 * The command line: one verb a file, exit codes that scripts can rely on.
 * @module
 */
import { Command, CommanderError } from 'commander';
import { VERSION } from '../report/version.ts';
import { CommandLine } from './command-line.ts';
import { describeFailure, ExitCode } from './exit-code.ts';
import { helpCommand, unknownVerb, withManners } from './help.ts';
import { fail } from './output/say.ts';

/** Makes a verb's command, given who keeps what is wrong with its options, and the exit code. */
type MakeVerb = (line: CommandLine) => Command;

/** Each verb with its rooms, which are loaded when it is asked for. */
const VERBS: ReadonlyMap<string, () => Promise<MakeVerb>> = new Map([
  ['replay', async () => (await import('./verb/replay.ts')).replayCommand],
  ['compare', async () => (await import('./verb/compare.ts')).compareCommand],
  ['probe', async () => (await import('./verb/probe.ts')).probeCommand],
  ['explain', async () => (await import('./verb/explain.ts')).explainCommand],
  ['plan', async () => (await import('./verb/plan.ts')).planCommand],
  ['bench', async () => (await import('./verb/bench.ts')).benchCommand],
  ['doctor', async () => (await import('./verb/doctor.ts')).doctorCommand],
]);

/** Run the command line; the exit code is returned, nothing exits by itself. */
export async function main(argv: readonly string[]): Promise<number> {
  const line = new CommandLine();
  const program = new Command('wiretrial')
    .description(
      'Packet-level dataplane emulator for Kubernetes on Azure: replay captures against policy ' +
        'sets, compare enforcement points, and name the rule that decided.',
    )
    .version(VERSION, '-V, --version')
    .helpCommand(false)
    .addHelpText('after', EXIT_CODES);
  const verbs: Command[] = [];
  for (const load of verbsFor(argv)) verbs.push((await load())(line));
  const help = helpCommand(program, verbs);
  for (const verb of [...verbs, help]) program.addCommand(verb);
  for (const command of [program, help, ...verbs]) withManners(command);
  for (const verb of verbs) line.watch(verb);
  try {
    const [, , word = '-', ...words] = argv;
    const names = verbs.map((verb) => verb.name());
    if (![...names, 'help'].includes(word) && !word.startsWith('-')) throw unknownVerb(word, names);
    const verb = verbs.find((v) => v.name() === word);
    const known = verb === undefined ? argv.slice(2) : [word, ...line.sift(verb, words)];
    await program.parseAsync(known, { from: 'user' });
    line.assertTold();
    return line.code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    const failure = describeFailure(error);
    fail(failure.text);
    return failure.code;
  }
}

/** The verb that is asked for; all of them for help, and for a word that is none. */
function verbsFor([, , word]: readonly string[]): readonly (() => Promise<MakeVerb>)[] {
  if (word === '--version' || word === '-V') return [];
  const asked = word === undefined ? undefined : VERBS.get(word);
  return asked === undefined ? [...VERBS.values()] : [asked];
}

const EXIT_CODES = `
Exit codes:
  0 ran, every gate passed   1 a gate failed    2 usage, manifest or configuration error
  3 input unreadable or cut  4 environment      70 internal error    130/143 interrupted
`;

// A reader that goes away (`| head`, `2>&1 | less`) is not a fault of the run.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
process.exitCode = await main(process.argv);
