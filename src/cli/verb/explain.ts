/**
 * `wiretrial explain`: one flow or one captured frame, step by step, with every rule looked at.
 * @module
 */
import { Command, Option } from 'commander';
import type { InputSummary } from '../../capture/record.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { Journey } from '../../engine/engine.ts';
import { explain, setMeanings } from '../../lab/ask/explain.ts';
import { saysPort } from '../../lab/ask/names.ts';
import { PROBE_PROTOCOLS, type ProbeProtocol, Prober } from '../../lab/ask/probe.ts';
import { replay as run } from '../../lab/replay.ts';
import type { FrameResult } from '../../lab/result.ts';
import type { World } from '../../lab/world.ts';
import { type Format, openOutput } from '../../report/formats.ts';
import { type ExplainEnd, writeExplanation } from '../../report/result/explain-report.ts';
import { describeReason, isReason } from '../../wire/drop-reason.ts';
import { printIp } from '../../wire/print.ts';
import type { CommandLine } from '../command-line.ts';
import { CaptureSource } from '../input/capture-source.ts';
import { checkEntry, checkRun, chooseStack, loadCluster, makeWorld } from '../input/inputs.ts';
import { findPlaces, prepareTraffic } from '../input/prepare-traffic.ts';
import {
  type CaptureOptions,
  type ClusterOptions,
  type ReplayFlags,
  type RunFlags,
  wholeNumber,
  withCaptures,
  withCluster,
  withDumps,
  withReplay,
  withRun,
} from '../options.ts';
import { chooseOutputs } from '../output/destinations.ts';
import { warnOfCuts, warnOfNodes } from '../output/say.ts';
import { readPort } from './probe-file.ts';

interface Flags extends ClusterOptions, CaptureOptions, ReplayFlags, RunFlags {
  readonly stack?: string;
  readonly frame?: number;
  readonly from?: string;
  readonly to?: string;
  readonly port?: string;
  readonly host?: string;
  readonly protocol: ProbeProtocol;
  /** False with `--no-resolve`. */
  readonly resolve: boolean;
}

const EXPLAIN_FORMATS: readonly Format[] = ['table', 'wide', 'json', 'yaml', 'markdown'];

export function explainCommand(line: CommandLine): Command {
  const command = new Command('explain')
    .summary('one flow or one frame, step by step, with every rule looked at')
    .description(
      'Send one packet and print every stage it passed, every rule that was looked at, why each ' +
        'missed, and which policy stands behind the rule that decided.',
    )
    .argument('[filter...]', 'pcap-filter(7) expression: only these packets')
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]');
  withCluster(command);
  withDumps(command);
  withCaptures(command);
  withReplay(command);
  withRun(command, EXPLAIN_FORMATS);
  return command
    .option(
      '--frame <n>',
      'with -r: the frame to explain, numbered as Wireshark does',
      wholeNumber(1),
    )
    .option('--from <end>', 'pod/NS/NAME, node/NAME or an address')
    .option('--to <end>', 'pod/NS/NAME, svc/NS/NAME[:PORT], node/NAME, an address or a URL')
    .option('--port <port>', 'destination port, or the name of a container port')
    .option('--host <name>', 'host that an HTTP request names, for the rules of an Ingress')
    .addOption(new Option('--protocol <name>', 'transport').choices(PROBE_PROTOCOLS).default('TCP'))
    .option('--no-resolve', 'addresses without the names of their owners')
    .addHelpText('after', EXAMPLES)
    .action(async (words: string[], flags: Flags) =>
      line.finish(await explainVerb(line, words, flags)),
    );
}

const EXAMPLES = `
Examples:
  wiretrial explain -f cluster.yaml --from pod/shop/web --to pod/shop/db --port 5432
  wiretrial explain -f cluster.yaml -r shop.pcapng --frame 12 --stack azure-transparent+calico
`;

async function explainVerb(
  line: CommandLine,
  words: readonly string[],
  flags: Flags,
): Promise<number> {
  const [outputs, source, inputs] = line.check(
    () => chooseOutputs(flags, EXPLAIN_FORMATS),
    () => (isCaptured(flags) ? CaptureSource.parse(flags, words) : null),
    () => line.read(() => loadCluster(flags)),
    () => checkSubject(flags, words),
    () => checkRun(flags),
  );

  const world = makeWorld(inputs, chooseStack(flags.stack, inputs), flags);
  if (!flags.quiet) warnOfNodes(world.network);
  const end =
    source === null || flags.frame === undefined
      ? explainFlow(world, flags)
      : await explainFrame(world, flags, flags.frame, source);
  for (const output of outputs) writeExplanation(output, openOutput(output), end);
  return warnOfCuts(end.inputs);
}

function isCaptured(flags: Flags): boolean {
  return flags.frame !== undefined || flags.read.length > 0;
}

/** Either a frame of a capture or a flow: what is missing, and what does not go together. */
function checkSubject(flags: Flags, words: readonly string[]): void {
  const mistakes: Diagnostic[] = [];
  const refuse = (field: string, message: string, accepted: string) =>
    mistakes.push({ code: 'EXPLAIN_SUBJECT', field, message, accepted });
  const ends = [flags.from, flags.to, flags.port].some((given) => given !== undefined);
  if (isCaptured(flags)) {
    const accepted = '-r CAPTURE --frame N, or --from and --to';
    if (flags.frame === undefined) refuse('--frame', 'which frame of the capture', accepted);
    if (ends) refuse('--from/--to/--port', 'a frame has its own ends', accepted);
  } else {
    const accepted = '--from and --to (with --port), or -r CAPTURE --frame N';
    if (flags.from === undefined) refuse('--from', 'is missing', accepted);
    if (flags.to === undefined) refuse('--to', 'is missing', accepted);
    const needsPort = flags.protocol !== 'ICMP' && flags.to !== undefined && !saysPort(flags.to);
    if (needsPort && flags.port === undefined) {
      refuse('--port', 'a port is needed', '--port 80, --port http, or --protocol ICMP');
    }
    if (words.length > 0) refuse(words.join(' '), 'a filter needs a capture', accepted);
    for (const field of ofCaptures(flags))
      refuse(field, 'says nothing without a capture', accepted);
  }
  if (mistakes.length > 0) throw new UserError(mistakes);
}

/** Options that were given and speak of captures. */
function ofCaptures({ since, until, count, clockOffset, vantage, map }: Flags): readonly string[] {
  return [
    ...(since === undefined ? [] : ['--since']),
    ...(until === undefined ? [] : ['--until']),
    ...(count === undefined ? [] : ['-c']),
    ...(clockOffset.length === 0 ? [] : ['--clock-offset']),
    ...(vantage.length === 0 ? [] : ['--vantage']),
    ...(map.length === 0 ? [] : ['--map']),
  ];
}

function explainFlow(world: World, flags: Flags): ExplainEnd {
  checkEntry(world, flags.at);
  const { from = '', to = '', protocol } = flags;
  const port = readPort(flags.port);
  const request = {
    from,
    to,
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(flags.host === undefined ? {} : { host: flags.host }),
  };
  const prober = new Prober(world);
  const made = prober.request(request);
  if (typeof made === 'string') {
    return endOf(world, flags, `${from} -> ${to}`, UNSENT, `${made}: ${sentence(made)}`);
  }
  const options = { frame: 0, nowNs: 0, trace: true };
  const journey = world.engine.inject(world.injectAt(made.from, made.packet, options));
  const subject = `${from} -> ${to}  ${printIp(made.packet, 0, made.packet.length)}`;
  const isWhole = made.proxy === null && journey.draws !== undefined;
  const ways = isWhole ? prober.ways(request) : [];
  return { ...endOf(world, flags, subject, journey, null), ways, proxy: made.proxy };
}

/** Replay up to the frame, so that connections are as they were, and trace that one. */
async function explainFrame(
  world: World,
  flags: Flags,
  frame: number,
  source: CaptureSource,
): Promise<ExplainEnd> {
  const rows: FrameResult[] = [];
  let isReached = false;
  let inputs: readonly InputSummary[] = [];
  try {
    const places = findPlaces(flags, world);
    const prepared = await prepareTraffic(world, source, { ...flags, digest: true }, places);
    const { traffic } = prepared;
    inputs = prepared.inputs;
    await run({
      records: source.stream(),
      traffic,
      stacks: [{ world, sink: { frame: keep, connection: () => {} } }],
      options: { openLoop: flags.openLoop, traceFrame: frame },
      shouldStop: () => isReached,
    });
  } catch (error) {
    throw source.named(error);
  } finally {
    source.close();
  }
  function keep(row: FrameResult): void {
    if (row.frame === frame) rows.push(row);
    isReached ||= row.frame !== null && row.frame >= frame;
  }
  const [row] = rows;
  if (row === undefined) {
    const packets = inputs.reduce((sum, i) => sum + i.packets, 0);
    throw noSuchFrame(frame, packets);
  }
  const subject = `frame ${frame}: ${ends(row, flags.resolve)}`;
  if (row.journey === null) {
    const reason = row.reason ?? row.outcome;
    const why = `${row.outcome}, ${reason}: ${sentence(reason)}`;
    return { ...endOf(world, flags, subject, UNSENT, why), inputs };
  }
  return { ...endOf(world, flags, subject, row.journey, null), inputs };
}

/** A frame that was not met among those that were read. */
function noSuchFrame(frame: number, packets: number): UserError {
  const isThere = frame <= packets;
  const message = isThere
    ? 'the filter, --since or --until leave this frame out'
    : 'the capture has no such frame';
  const accepted = isThere ? 'a frame that they leave' : `1 to ${packets}`;
  const found = String(frame);
  return new UserError([{ code: 'FRAME_UNKNOWN', field: '--frame', message, found, accepted }]);
}

function ends(row: FrameResult, names: boolean): string {
  const end = (name: string | null, address: string | null, port: number | null) =>
    `${address ?? '?'}${port === null ? '' : `:${port}`}${name && names ? ` (${name})` : ''}`;
  return `${end(row.from, row.src, row.sport)} > ${end(row.to, row.dst, row.dport)} ${row.protocol}`;
}

/** Sentences for reasons that are the replay's, not a packet's. */
const REPLAY_REASONS: Readonly<Record<string, string>> = {
  causeNotDelivered: 'what its sender answers never reached that sender on this stack',
  flowEnded: 'its sender was told that the connection is over',
  observation: 'the same packet was captured before, nearer to its sender',
};

function sentence(reason: string): string {
  return isReason(reason) ? describeReason(reason) : (REPLAY_REASONS[reason] ?? reason);
}

const UNSENT: Journey = {
  outcome: 'unknown',
  reason: null,
  decision: null,
  heldForReassembly: false,
  end: { host: '-', device: '-' },
  packet: null,
  steps: [],
  generated: [],
  copies: [],
  forgiven: [],
  hosts: [],
  crossings: [],
};

function endOf(
  world: World,
  flags: Flags,
  subject: string,
  journey: Journey,
  notSent: string | null,
): ExplainEnd {
  return {
    stack: world.stack.text,
    engine: world.engine.name,
    seed: flags.seed,
    subject,
    explanation: explain(journey, setMeanings(world.network)),
    notSent,
    ways: [],
    proxy: null,
    inputs: [],
    warnings: world.network.warnings ?? [],
  };
}
