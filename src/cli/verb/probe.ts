/**
 * `wiretrial probe`: reachability of asked flows, no capture needed.
 * @module
 */
import { Command, Option } from 'commander';
import { type Diagnostic, formatDiagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { saysPort } from '../../lab/ask/names.ts';
import {
  allPairs,
  PROBE_PROTOCOLS,
  type ProbeProtocol,
  type ProbeRequest,
  type ProbeResult,
  Prober,
} from '../../lab/ask/probe.ts';
import type { World } from '../../lab/world.ts';
import { openOutput } from '../../report/formats.ts';
import { type NarrowFlags, rowFilter } from '../../report/narrow.ts';
import { isMismatch, writeProbes } from '../../report/result/probe-report.ts';
import type { CommandLine } from '../command-line.ts';
import { ExitCode, worst } from '../exit-code.ts';
import { checkRun, chooseStack, loadCluster, makeWorld } from '../input/inputs.ts';
import {
  type ClusterOptions,
  type RunFlags,
  withCluster,
  withDumps,
  withNarrowing,
  withRun,
} from '../options.ts';
import { chooseOutputs } from '../output/destinations.ts';
import { Interruption } from '../output/interruption.ts';
import { say, warn, warnOfNodes } from '../output/say.ts';
import { type AskedProbe, readPort, readProbes } from './probe-file.ts';

interface Flags extends ClusterOptions, RunFlags, NarrowFlags {
  readonly stack?: string;
  readonly probes?: string;
  readonly allPairs: boolean;
  readonly from?: string;
  readonly to?: string;
  readonly port?: string;
  readonly host?: string;
  readonly protocol: ProbeProtocol;
  readonly expect?: 'allowed' | 'denied';
}

export function probeCommand(line: CommandLine): Command {
  const command = new Command('probe')
    .summary('reachability: asked flows (a file, or every pair), no capture needed')
    .description(
      'Send a request and its answer for each asked flow through the emulated cluster. A flow is ' +
        'allowed only when both arrive; whether a process listens is not judged.',
    )
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]');
  withCluster(command);
  withDumps(command);
  withRun(command);
  withNarrowing(command);
  return command
    .option('--probes <file>', 'JSON list of {from, to, port, protocol, expect?}; - for stdin')
    .option('--all-pairs', 'every ordered pair of pods', false)
    .option('--from <end>', 'pod/NS/NAME, node/NAME or an address')
    .option('--to <end>', 'pod/NS/NAME, svc/NS/NAME[:PORT], node/NAME, an address or a URL')
    .option('--port <port>', 'destination port, or the name of a container port')
    .option('--host <name>', 'host that an HTTP request names, for the rules of an Ingress')
    .addOption(new Option('--protocol <name>', 'transport').choices(PROBE_PROTOCOLS).default('TCP'))
    .addOption(
      new Option('--expect <verdict>', 'of flows that do not say it themselves').choices([
        'allowed',
        'denied',
      ]),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (flags: Flags) => line.finish(await probeVerb(line, flags)));
}

const EXAMPLES = `
Examples:
  wiretrial probe -f cluster.yaml --from pod/shop/web --to pod/shop/db --port 5432
  wiretrial probe -f cluster.yaml --from pod/shop/web --to http://api.shop     by name, as pods do
  wiretrial probe -f cluster.yaml --from 203.0.113.9 --to http://shop.example.com/api  by Ingress
  wiretrial probe -f cluster.yaml --all-pairs --port 80 --stack azure-bridge+npm
  wiretrial probe -f cluster.yaml --probes expected.json -o json     exits 1 on a mismatch
`;

async function probeVerb(line: CommandLine, flags: Flags): Promise<number> {
  const [outputs, inputs, asked] = line.check(
    () => chooseOutputs(flags),
    () => line.read(() => loadCluster(flags)),
    () => askedProbes(line, flags),
    () => checkRun(flags),
  );
  const world = makeWorld(inputs, chooseStack(flags.stack, inputs), flags);
  const { warnings = [] } = world.network;
  if (!flags.quiet) warnOfNodes(world.network);
  const requests = asked ?? allPairsOf(world, flags);
  const isShown = rowFilter(flags, world);
  const interruption = new Interruption();
  const probes = await askAll(new Prober(world), requests, flags, interruption);
  interruption.stop();
  const { stack, engine } = world;
  const wrong = probes.filter(isMismatch).length;
  const end = {
    stack: stack.text,
    engine: engine.name,
    seed: flags.seed,
    probes,
    shown: probes.filter(isShown),
    warnings,
    interrupted: interruption.code !== 0,
  };
  for (const output of outputs) writeProbes(output, openOutput(output), end);
  if (requests.length === 0) warn('nothing was asked: there is no pair of pods, or no probe');
  if (wrong > 0) say(`gate failed: ${wrong} of ${probes.length} probes are not as expected`);
  return worst(interruption.code, wrong > 0 ? ExitCode.gateFailed : ExitCode.ok);
}

/** Probes between looks for an interruption. */
const BETWEEN_LOOKS = 256;

/** Ask one after the other; ends and ports that do not exist are reported together. */
async function askAll(
  prober: Prober,
  asked: readonly AskedProbe[],
  flags: Flags,
  interruption: Interruption,
): Promise<readonly ProbeResult[]> {
  const results: ProbeResult[] = [];
  const mistakes: Diagnostic[] = [];
  for (const [i, { request, place }] of asked.entries()) {
    if (i % BETWEEN_LOOKS === 0) await interruption.listen();
    if (interruption.code !== 0) break;
    const expect = request.expect ?? flags.expect;
    try {
      results.push(prober.ask(expect === undefined ? request : { ...request, expect }));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      mistakes.push(...error.diagnostics.map((d) => ({ ...place, ...d })));
    }
  }
  // Of every pair that ends at a pod, the port of that pod is one mistake.
  const once = new Map(mistakes.map((mistake) => [formatDiagnostic(mistake), mistake]));
  if (once.size > 0) throw new UserError([...once.values()]);
  return results;
}

/** What the options ask; null: every pair, which needs the cluster. Every mistake is reported. */
function askedProbes(line: CommandLine, flags: Flags): readonly AskedProbe[] | null {
  const { probes, from, to, protocol } = flags;
  const mistakes: Diagnostic[] = [];
  const ways = [
    ...(probes === undefined ? [] : ['--probes']),
    ...(flags.allPairs ? ['--all-pairs'] : []),
    ...(from === undefined && to === undefined ? [] : ['--from/--to']),
  ];
  const accepted = 'one of --probes FILE, --all-pairs, or --from and --to';
  if (ways.length === 0) {
    mistakes.push({ code: 'PROBE_NOTHING', message: 'nothing to probe', accepted });
  } else if (ways.length > 1) {
    const message = 'several ways to ask do not go together';
    mistakes.push({ code: 'PROBE_TWICE', message, found: ways.join(' '), accepted });
  } else if (probes === undefined && !flags.allPairs && (from === undefined || to === undefined)) {
    const field = from === undefined ? '--from' : '--to';
    mistakes.push({ code: 'PROBE_END_MISSING', field, message: 'is missing', accepted });
  }
  mistakes.push(...unusedWith(flags));
  const port = readPort(flags.port);
  const isSaid = to !== undefined && saysPort(to);
  if (probes === undefined && protocol !== 'ICMP' && port === undefined && !isSaid) {
    const message = 'a port is needed';
    const ports = '--port 80, --port http, or --protocol ICMP';
    mistakes.push({ code: 'PROBE_PORT_MISSING', field: '--port', message, accepted: ports });
  }
  if (mistakes.length > 0) throw new UserError(mistakes);
  if (probes !== undefined) return line.read(() => readProbes(probes));
  if (from === undefined || to === undefined) return null;
  const request: ProbeRequest = {
    from,
    to,
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(flags.host === undefined ? {} : { host: flags.host }),
  };
  return [{ request }];
}

/** What a way to ask has no use for. */
function unusedWith({ probes, allPairs: all, port, host }: Flags): readonly Diagnostic[] {
  const way = probes === undefined ? '--all-pairs' : '--probes';
  if (probes === undefined && !all) return [];
  const unused = [
    ...(port !== undefined && probes !== undefined ? ['--port'] : []),
    ...(host === undefined ? [] : ['--host']),
  ];
  return unused.map((field) => ({
    code: 'PROBE_UNUSED',
    field,
    message: `says nothing beside ${way}`,
    accepted: probes === undefined ? '--from and --to' : `"${field.slice(2)}" in the file`,
  }));
}

function allPairsOf(world: World, flags: Flags): readonly AskedProbe[] {
  const port = readPort(flags.port);
  return allPairs(world, port, flags.protocol).map((request) => ({ request }));
}
