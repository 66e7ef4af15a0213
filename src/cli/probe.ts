/**
 * `wiretrial probe`: reachability of asked flows, no capture needed.
 * @module
 */
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { Command, Option } from 'commander';
import { type Diagnostic, formatDiagnostic, UserError } from '../diagnostic/diagnostic.ts';
import {
  allPairs,
  PROBE_PROTOCOLS,
  type ProbeProtocol,
  type ProbeRequest,
  Prober,
} from '../lab/probe.ts';
import type { World } from '../lab/world.ts';
import { openOutput, parseOutputs } from '../report/formats.ts';
import { isMismatch, writeProbes } from '../report/probe-report.ts';
import { ExitCode } from './exit-code.ts';
import { checkEngine, chooseStack, loadCluster, makeWorld } from './inputs.ts';
import { type ClusterOptions, type RunFlags, withCluster, withRun } from './options.ts';
import { say, warn } from './say.ts';

interface Flags extends ClusterOptions, RunFlags {
  readonly stack?: string;
  readonly probes?: string;
  readonly allPairs: boolean;
  readonly from?: string;
  readonly to?: string;
  readonly port?: string;
  readonly protocol: ProbeProtocol;
  readonly expect?: 'allowed' | 'denied';
}

export function probeCommand(finish: (code: number) => void): Command {
  const command = new Command('probe')
    .summary('reachability: asked flows (a file, or every pair), no capture needed')
    .description(
      'Send a request and its answer for each asked flow through the emulated cluster. A flow is ' +
        'allowed only when both arrive; whether a process listens is not judged.',
    )
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]');
  withCluster(command);
  withRun(command);
  return command
    .option('--probes <file>', 'JSON list of {from, to, port, protocol, expect?}; - for stdin')
    .option('--all-pairs', 'every ordered pair of pods', false)
    .option('--from <end>', 'pod/NS/NAME, node/NAME or an address')
    .option('--to <end>', 'pod/NS/NAME, node/NAME or an address')
    .option('--port <port>', 'destination port, or the name of a container port')
    .addOption(new Option('--protocol <name>', 'transport').choices(PROBE_PROTOCOLS).default('TCP'))
    .addOption(
      new Option('--expect <verdict>', 'of flows that do not say it themselves').choices([
        'allowed',
        'denied',
      ]),
    )
    .addHelpText('after', EXAMPLES)
    .action((flags: Flags) => finish(probeVerb(flags)));
}

const EXAMPLES = `
Examples:
  wiretrial probe -f cluster.yaml --from pod/shop/web --to pod/shop/db --port 5432
  wiretrial probe -f cluster.yaml --all-pairs --port 80 --stack azure-bridge+npm
  wiretrial probe -f cluster.yaml --probes expected.json -o json     exits 1 on a mismatch
`;

function probeVerb(flags: Flags): number {
  checkEngine(flags);
  const outputs = parseOutputs(flags.output);
  const inputs = loadCluster(flags);
  const world = makeWorld(inputs, chooseStack(flags.stack, inputs), 'auto');
  if (!flags.quiet) for (const w of world.network.warnings ?? []) warn(formatDiagnostic(w));
  const requests = requestsOf(flags, world);
  const prober = new Prober(world);
  const probes = requests.map((request) => {
    const expect = request.expect ?? flags.expect;
    return prober.ask(expect === undefined ? request : { ...request, expect });
  });
  const end = { stack: world.stack.text, engine: world.engine.name, seed: flags.seed, probes };
  for (const output of outputs) writeProbes(output, openOutput(output), end);
  const wrong = probes.filter(isMismatch).length;
  if (wrong === 0) return ExitCode.ok;
  say(`gate failed: ${wrong} of ${probes.length} probes are not as expected`);
  return ExitCode.gateFailed;
}

function requestsOf(flags: Flags, world: World): readonly ProbeRequest[] {
  const port = readPort(flags.port);
  if (flags.probes !== undefined) return readProbes(flags.probes);
  if (flags.protocol !== 'ICMP' && port === undefined) {
    throw new UserError([
      {
        code: 'PROBE_PORT_MISSING',
        field: '--port',
        message: 'a port is needed',
        accepted: '--port 80, --port http, or --protocol ICMP',
      },
    ]);
  }
  if (flags.allPairs) return allPairs(world, port ?? 0, flags.protocol);
  if (flags.from === undefined || flags.to === undefined) {
    throw new UserError([
      {
        code: 'PROBE_NOTHING',
        message: 'nothing to probe',
        accepted: '--probes FILE, --all-pairs, or --from and --to',
      },
    ]);
  }
  const { from, to, protocol } = flags;
  return [port === undefined ? { from, to, protocol } : { from, to, protocol, port }];
}

/** Digits are a number, everything else a port's name. */
export function readPort(text: string | undefined): number | string | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : text;
}

const PROBES_SCHEMA = {
  type: 'array',
  items: {
    type: 'object',
    properties: {
      from: { type: 'string', minLength: 1 },
      to: { type: 'string', minLength: 1 },
      port: { type: ['integer', 'string'] },
      protocol: { enum: PROBE_PROTOCOLS },
      expect: { enum: ['allowed', 'denied'] },
    },
    required: ['from', 'to', 'protocol'],
    additionalProperties: false,
  },
};

/** Read and check a probe file; every mistake in it is reported. */
function readProbes(path: string): readonly ProbeRequest[] {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path === '-' ? 0 : path, 'utf8'));
  } catch (cause) {
    const isSyntax = cause instanceof SyntaxError;
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(
      [{ code: isSyntax ? 'PROBES_SYNTAX' : 'PROBES_UNREADABLE', file: path, message }],
      isSyntax ? 'usage' : 'input',
      cause,
    );
  }
  const validate = new Ajv({ allErrors: true, allowUnionTypes: true }).compile<ProbeRequest[]>(
    PROBES_SCHEMA,
  );
  if (validate(value)) return value;
  const mistakes: Diagnostic[] = (validate.errors ?? []).map((e) => ({
    code: 'PROBES_SHAPE',
    file: path,
    field: e.instancePath === '' ? '(the file)' : e.instancePath,
    message: e.message ?? 'is not as it must be',
    found: JSON.stringify(e.params),
    accepted:
      '[{"from":"pod/ns/name","to":"pod/ns/name","port":80,"protocol":"TCP","expect":"allowed"}]',
  }));
  throw new UserError(mistakes);
}
