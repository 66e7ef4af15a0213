#!/usr/bin/env node
/**
 * The command line: one verb a file, exit codes that scripts can rely on.
 * @module
 */
import { Command, CommanderError } from 'commander';
import { VERSION } from '../report/version.ts';
import { describeFailure, ExitCode } from './exit-code.ts';
import { helpCommand, withManners } from './help.ts';
import { fail } from './output/say.ts';
import { benchCommand } from './verb/bench.ts';
import { compareCommand } from './verb/compare.ts';
import { doctorCommand } from './verb/doctor.ts';
import { explainCommand } from './verb/explain.ts';
import { planCommand } from './verb/plan.ts';
import { probeCommand } from './verb/probe.ts';
import { replayCommand } from './verb/replay.ts';

/** Run the command line; the exit code is returned, nothing exits by itself. */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = ExitCode.ok;
  const finish = (result: number) => {
    code = result;
  };
  const program = new Command('wiretrial')
    .description(
      'Packet-level dataplane emulator for Kubernetes on Azure: replay captures against policy ' +
        'sets, compare enforcement points, and name the rule that decided.',
    )
    .version(VERSION, '-V, --version')
    .helpCommand(false)
    .addHelpText('after', EXIT_CODES);
  const verbs = [
    replayCommand(finish),
    compareCommand(finish),
    probeCommand(finish),
    explainCommand(finish),
    planCommand(finish),
    benchCommand(finish),
    doctorCommand(finish),
  ];
  const help = helpCommand(program, verbs);
  for (const verb of [...verbs, help]) program.addCommand(verb);
  for (const command of [program, help, ...verbs]) withManners(command);
  try {
    await program.parseAsync([...argv]);
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    const failure = describeFailure(error);
    fail(failure.text);
    return failure.code;
  }
}

const EXIT_CODES = `
Exit codes:
  0 ran, every gate passed   1 a gate failed    2 usage, manifest or configuration error
  3 input unreadable or cut  4 environment      70 internal error    130/143 interrupted
`;

// A reader that goes away (`| head`, `2>&1 | less`) is not a fault of the run.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
process.exitCode = await main(process.argv);
