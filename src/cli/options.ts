/**
 * Options that several verbs share, with the words kubectl, tcpdump and tcpreplay use for them.
 * @module
 */
import { totalmem } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  DEFAULT_CONNECTIONS,
  flowTableBytes,
  LEAST_CONNECTIONS,
  MOST_CONNECTIONS,
} from '../engine/compiled/table-sizes.ts';
import { CHECKSUM_MODES, type ChecksumMode } from '../lab/datagram/checksums.ts';
import { MIDSTREAM, type Midstream } from '../lab/traffic/conversation.ts';
import { DEFAULT_SEED } from '../lab/world.ts';
import { FORMATS, type Format } from '../report/formats.ts';

/** What `-f` and its companions were given. */
export interface ClusterOptions {
  readonly file: readonly string[];
  readonly recursive: boolean;
  readonly ignoreUnsupported: boolean;
  /** `[NODE=]DIR` each; only of verbs that take dumps. */
  readonly dump?: readonly string[];
}

export interface CaptureOptions {
  readonly read: readonly string[];
  readonly since?: string;
  readonly until?: string;
  readonly count?: number;
  readonly clockOffset: readonly string[];
}

export interface ReplayFlags {
  readonly checksums: ChecksumMode;
  readonly midstream: Midstream;
  readonly vantage: readonly string[];
  readonly map: readonly string[];
  readonly at: string;
  readonly openLoop: boolean;
  /** Absent: as many as are worth it. */
  readonly workers?: number;
  /** Absent: as many as the compiled engine has room for by itself. */
  readonly maxConnections?: number;
}

export interface RunFlags {
  readonly output: readonly string[];
  readonly engine: 'auto' | 'reference' | 'compiled';
  readonly seed: number;
  readonly quiet: boolean;
}

function collect(value: string, all: readonly string[]): readonly string[] {
  return [...all, value];
}

const MOST_DIGITS = 15;

/** A whole number of at least `least`, and of at most `greatest` or fifteen digits. */
export function wholeNumber(least: number, greatest?: number): (text: string) => number {
  const most = greatest ?? 10 ** MOST_DIGITS - 1;
  const range =
    greatest === undefined
      ? `of at least ${least}, of up to ${MOST_DIGITS} digits`
      : `from ${least} to ${greatest}`;
  return (text) => {
    const isNumber = /^\d{1,15}$/.test(text) && Number(text) >= least && Number(text) <= most;
    if (isNumber) return Number(text);
    throw new InvalidArgumentError(`a whole number ${range}`);
  };
}

/** A number of connections that this machine can hold tables for. */
export function tableSize(text: string): number {
  const connections = wholeNumber(LEAST_CONNECTIONS, MOST_CONNECTIONS)(text);
  const [needed, there] = [flowTableBytes(connections), totalmem()];
  if (needed <= there) return connections;
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new InvalidArgumentError(
    `what this machine has room for (its tables take ${gib(needed)} of ${gib(there)})`,
  );
}

/** How large the compiled engine's tables are. */
export function withTables(command: Command, usual = String(DEFAULT_CONNECTIONS)): Command {
  return command.option(
    '--max-connections <n>',
    'connections at a time that the compiled engine has room for; those beyond are judged one by ' +
      `one, with equal results (default: ${usual})`,
    tableSize,
  );
}

export function withCluster(command: Command): Command {
  return command
    .option(
      '-f, --file <path>',
      'cluster objects, wiring and policies: file, folder, glob, or - (repeatable)',
      collect,
      [],
    )
    .option('-R, --recursive', 'read folders with all their sub-folders', false)
    .option(
      '--ignore-unsupported',
      'skip policies of kinds that are not emulated instead of refusing them',
      false,
    );
}

export function withDumps(command: Command): Command {
  return command.option(
    '--dump <[node=]dir>',
    "a real node's own tables as that node (repeatable); -f may name its pods",
    collect,
    [],
  );
}

export function withCaptures(command: Command): Command {
  return command
    .option(
      '-r, --read <path>',
      'capture: pcap or pcapng, .gz too, folder, or - (repeatable, merged by time)',
      collect,
      [],
    )
    .option('--since <time>', 'only packets from here on: RFC 3339, or a span before the end (5m)')
    .option('--until <time>', 'only packets up to here')
    .option('-c, --count <n>', 'stop after so many packets', wholeNumber(1))
    .option('--clock-offset <file=span>', "add to a file's timestamps (repeatable)", collect, []);
}

export function withReplay(command: Command): Command {
  return withTables(command)
    .addOption(
      new Option('--checksums <mode>', 'what a captured transport checksum is worth')
        .choices(CHECKSUM_MODES)
        .default('auto'),
    )
    .addOption(
      new Option('--midstream <mode>', 'connections whose opening is not in the capture')
        .choices(MIDSTREAM)
        .default('assume'),
    )
    .option('--vantage <file[:iface]=where>', 'where a capture was taken (repeatable)', collect, [])
    .option(
      '--map <from=to>',
      'address in the capture = pod, node or address; auto assigns the rest (repeatable)',
      collect,
      [],
    )
    .option(
      '--at <where>',
      'where packets enter: auto, pod/NS/NAME, node/NAME[/IFACE], edge',
      'auto',
    )
    .option('--open-loop', 'send also packets whose cause was not delivered', false)
    .option(
      '--workers <n>',
      'threads that judge, results are the same for any number (default: one a core where they ' +
        'gain: not for small captures, nor in bulk below 60,000 connections)',
      wholeNumber(1),
    );
}

export function withRun(command: Command, formats: readonly Format[] = FORMATS): Command {
  return command
    .option(
      '-o, --output <format[=path]>',
      `${formats.join('|')}, to standard output or a file (repeatable)`,
      collect,
      [],
    )
    .addOption(
      new Option('--engine <name>', 'which engine judges; auto: compiled for large replays')
        .choices(['auto', 'reference', 'compiled'])
        .default('auto'),
    )
    .option(
      '--seed <n>',
      'seed of every choice that a kernel would draw',
      wholeNumber(0),
      DEFAULT_SEED,
    )
    .option('-q, --quiet', 'no progress and no notes on standard error', false);
}

export function withNarrowing(command: Command): Command {
  return command
    .option('-n, --namespace <name>', 'only rows with an end in this namespace')
    .option('-A, --all-namespaces', 'rows of all namespaces (the default)', false)
    .option('-l, --selector <labels>', 'only rows with an end that has these labels (a=b,c=d)')
    .option('--no-resolve', 'addresses instead of names in tables and in -w');
}
