/**
 * `wiretrial explain`: one flow or one captured frame, step by step, with every rule looked at.
 * @module
 */
import { Command, Option } from 'commander';
import { UserError } from '../diagnostic/diagnostic.ts';
import type { Journey } from '../engine/engine.ts';
import { explain, setMeanings } from '../lab/explain.ts';
import { packetOf } from '../lab/headers.ts';
import { PROBE_PROTOCOLS, type ProbeProtocol, Prober } from '../lab/probe.ts';
import { replay as run } from '../lab/replay.ts';
import type { FrameResult } from '../lab/result.ts';
import type { World } from '../lab/world.ts';
import { type ExplainEnd, explainJson, explainText } from '../report/explain-report.ts';
import { type Format, openOutput, parseOutputs } from '../report/formats.ts';
import { formatAddress } from '../wire/address.ts';
import { describeReason, isReason } from '../wire/drop-reason.ts';
import { ExitCode } from './exit-code.ts';
import {
  CaptureSource,
  checkEngine,
  chooseStack,
  loadCluster,
  makeWorld,
  prepareTraffic,
} from './inputs.ts';
import {
  type CaptureOptions,
  type ClusterOptions,
  type ReplayFlags,
  type RunFlags,
  wholeNumber,
  withCaptures,
  withCluster,
  withReplay,
  withRun,
} from './options.ts';
import { readPort } from './probe.ts';

interface Flags extends ClusterOptions, CaptureOptions, ReplayFlags, RunFlags {
  readonly stack?: string;
  readonly frame?: number;
  readonly from?: string;
  readonly to?: string;
  readonly port?: string;
  readonly protocol: ProbeProtocol;
}

const EXPLAIN_FORMATS: readonly Format[] = ['table', 'wide', 'json'];

export function explainCommand(finish: (code: number) => void): Command {
  const command = new Command('explain')
    .summary('one flow or one frame, step by step, with every rule looked at')
    .description(
      'Send one packet and print every stage it passed, every rule that was looked at, why each ' +
        'missed, and which policy stands behind the rule that decided.',
    )
    .argument('[filter...]', 'pcap-filter(7) expression: only these packets')
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]');
  withCluster(command);
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
    .option('--to <end>', 'pod/NS/NAME, node/NAME or an address')
    .option('--port <port>', 'destination port, or the name of a container port')
    .addOption(new Option('--protocol <name>', 'transport').choices(PROBE_PROTOCOLS).default('TCP'))
    .addHelpText('after', EXAMPLES)
    .action(async (words: string[], flags: Flags) => finish(await explainVerb(words, flags)));
}

const EXAMPLES = `
Examples:
  wiretrial explain -f cluster.yaml --from pod/shop/web --to pod/shop/db --port 5432
  wiretrial explain -f cluster.yaml -r shop.pcapng --frame 12 --stack azure-transparent+calico
`;

async function explainVerb(words: readonly string[], flags: Flags): Promise<number> {
  checkEngine(flags);
  const outputs = parseOutputs(flags.output, EXPLAIN_FORMATS);
  const inputs = loadCluster(flags);
  const world = makeWorld(inputs, chooseStack(flags.stack, inputs), flags.at);
  const end =
    flags.frame === undefined
      ? explainFlow(world, flags)
      : await explainFrame(world, flags, flags.frame, words);
  for (const output of outputs) {
    const out = openOutput(output);
    const isJson = output.format === 'json';
    out.write(isJson ? `${JSON.stringify(explainJson(end), null, 1)}\n` : explainText(end));
    out.close();
  }
  return ExitCode.ok;
}

function explainFlow(world: World, flags: Flags): ExplainEnd {
  const { from, to, protocol } = flags;
  if (from === undefined || to === undefined) {
    throw new UserError([
      {
        code: 'EXPLAIN_NOTHING',
        message: 'nothing to explain',
        accepted: '--from and --to, or -r CAPTURE --frame N',
      },
    ]);
  }
  const port = readPort(flags.port);
  const request = port === undefined ? { from, to, protocol } : { from, to, protocol, port };
  const made = new Prober(world).request(request);
  if (typeof made === 'string') {
    return endOf(world, flags, `${from} -> ${to}`, UNSENT, `${made}: ${sentence(made)}`);
  }
  const options = { frame: 0, nowNs: 0, trace: true };
  const journey = world.engine.inject(world.injectAt(made.from, made.packet, options));
  return endOf(world, flags, `${from} -> ${to}  ${describe(made.packet)}`, journey, null);
}

/** Replay up to the frame, so that connections are as they were, and trace that one. */
async function explainFrame(
  world: World,
  flags: Flags,
  frame: number,
  words: readonly string[],
): Promise<ExplainEnd> {
  const source = await CaptureSource.open(flags, words);
  const rows: FrameResult[] = [];
  let isReached = false;
  try {
    const traffic = await prepareTraffic(world, source, flags);
    await run({
      records: source.stream(),
      traffic,
      stacks: [{ world, sink: { frame: keep, connection: () => {} } }],
      options: { openLoop: flags.openLoop, traceFrame: frame },
      shouldStop: () => isReached,
    });
  } finally {
    source.close();
  }
  function keep(row: FrameResult): void {
    if (row.frame === frame) rows.push(row);
    isReached ||= row.frame !== null && row.frame >= frame;
  }
  const [row] = rows;
  if (row === undefined) {
    throw new UserError([
      {
        code: 'FRAME_UNKNOWN',
        field: '--frame',
        message: 'the capture has no such frame',
        found: String(frame),
      },
    ]);
  }
  const subject = `frame ${frame}: ${ends(row)}`;
  if (row.journey === null) {
    const reason = row.reason ?? row.outcome;
    const why = `${row.outcome}, ${reason}: ${sentence(reason)}`;
    return endOf(world, flags, subject, UNSENT, why);
  }
  return endOf(world, flags, subject, row.journey, null);
}

function ends(row: FrameResult): string {
  const end = (name: string | null, address: string | null, port: number | null) =>
    `${address ?? '?'}${port === null ? '' : `:${port}`}${name ? ` (${name})` : ''}`;
  return `${end(row.from, row.src, row.sport)} > ${end(row.to, row.dst, row.dport)} ${row.protocol}`;
}

function describe(packet: Uint8Array): string {
  const d = packetOf(packet);
  if (d === null) return '';
  const end = (a: string, port: number | null) => (port === null ? a : `${a}:${port}`);
  const src = end(formatAddress(d.src), d.sport);
  return `${src} > ${end(formatAddress(d.dst), d.dport)} ${d.protocolName}`;
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
  };
}
