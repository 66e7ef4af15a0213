/**
 * What goes to standard error: notes and failures. Data never does.
 * @module
 */
import pc from 'picocolors';
import type { InputSummary } from '../../capture/record.ts';
import type { Engine } from '../../engine/engine.ts';
import type { RunSummary } from '../../lab/tally.ts';
import type { Network } from '../../plan/model.ts';
import { shownWarnings } from '../../report/text/warnings.ts';
import { describeReason, isReason } from '../../wire/drop-reason.ts';
import { ExitCode } from '../exit-code.ts';
import type { RunFlags } from '../options.ts';

/** Colour only on a terminal, and never when NO_COLOR asks for none. */
const colour = pc.createColors(process.stderr.isTTY === true && !process.env['NO_COLOR']);

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function warn(text: string): void {
  process.stderr.write(`${colour.yellow('warning:')} ${text}\n`);
}

export function fail(text: string): void {
  if (text !== '') process.stderr.write(`${colour.red('error:')} ${text}`);
}

/** Say which captures ended too early; the exit code that follows. */
export function warnOfCuts(inputs: readonly InputSummary[]): number {
  const cut = inputs.filter((input) => input.truncated !== null);
  for (const { path, truncated, packets } of cut) {
    const where = `(offset ${truncated?.offset}; ${packets} whole packets were read)`;
    warn(`${path}: ${truncated?.message} ${where} [CAPTURE_CUT]`);
  }
  return cut.length > 0 ? ExitCode.input : ExitCode.ok;
}

/** Say that a run has judged nothing: its gates passed for want of packets. */
export function warnOfNothing(
  { counts, reasons }: RunSummary,
  inputs: readonly InputSummary[],
): void {
  const { packets, outcomes } = counts;
  const { delivered, exited, dropped, consumed, unknown } = outcomes;
  if (delivered + exited + dropped + consumed > 0 || (packets > 0 && unknown === 0)) return;
  const read = inputs.reduce((sum, input) => sum + input.packets, 0);
  const why = Object.keys(reasons).filter(isReason).map(describeReason).join('; ');
  const elsewhere = 'notInCluster' in reasons ? ' (--map puts it onto the cluster)' : '';
  if (packets > 0) warn(`nothing was judged: ${unknown} packets are unknown: ${why}${elsewhere}`);
  else if (read === 0) warn('nothing was judged: the capture holds no packets');
  else warn(`nothing was judged: the filter, --since or --until leave none of ${read} packets`);
}

/** Say what was assumed of the nodes, for verbs whose table has no place for it. */
export function warnOfNodes({ warnings = [] }: Pick<Network, 'warnings'>): void {
  for (const warning of shownWarnings(warnings)) warn(warning);
}

/** Say that a run which was to be shared out is not, and why. */
export function noteAlone(reason: string | null, { quiet }: Pick<RunFlags, 'quiet'>): void {
  if (reason !== null && !quiet) say(`note: one worker judges everything: ${reason}`);
}

/**
 * Say whose connection tables were full: what follows of a connection that was dropped early is
 * judged as a new one, and which ones a kernel drops hangs on a hash that nobody knows.
 */
export function noteEarlyDrops(
  engines: readonly Engine[],
  { quiet }: Pick<RunFlags, 'quiet'>,
): void {
  if (quiet) return;
  for (const { host, tableMax, earlyDrops } of engines.flatMap((e) => e.sharedMemory())) {
    if (earlyDrops === 0) continue;
    say(
      `note: the connection table of ${host} was full (net.nf_conntrack_max is ${tableMax}): ` +
        `${earlyDrops} connections were dropped early, the oldest first; a kernel may choose others`,
    );
  }
}

/** Say that the compiled engine's tables were too small, which costs time and nothing else. */
export function noteFull(packets: number, { quiet }: Pick<RunFlags, 'quiet'>): void {
  if (packets === 0 || quiet) return;
  say(
    `note: the compiled engine had no room for the connections of ${packets} packets, which were ` +
      'judged one by one: --max-connections makes room',
  );
}
