/**
 * `wiretrial plan`: a node's dataplane as the text that Linux tools read.
 * @module
 */
import { Command } from 'commander';
import { nearest } from '../../cluster/nearest.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { ClassTables } from '../../image/classes/class-tables.ts';
import { lower } from '../../lowering/link.ts';
import { printBridge } from '../../plan/bridge-text.ts';
import { printConnections } from '../../plan/conntrack-text.ts';
import { printEbtables } from '../../plan/ebtables/text.ts';
import { printHns } from '../../plan/hns/text.ts';
import { printIp } from '../../plan/ip-text.ts';
import { printIpsets } from '../../plan/ipset/text.ts';
import type { Network, Plan } from '../../plan/model.ts';
import { printNft } from '../../plan/nft/text/ruleset-text.ts';
import { type PrintOptions, printIptables } from '../../plan/rule/iptables-text.ts';
import { printSysctls } from '../../plan/sysctl-text.ts';
import { printVirtualServers } from '../../plan/virtual-server-text.ts';
import { formatImage } from '../../report/result/image-listing.ts';
import { type PlanHead, planReport } from '../../report/result/plan-report.ts';
import { fileOutput, standardOutput } from '../../report/text/text-output.ts';
import type { Family } from '../../wire/address/address.ts';
import type { CommandLine } from '../command-line.ts';
import { ExitCode } from '../exit-code.ts';
import { checkRun, chooseStack, loadCluster, makeWorld } from '../input/inputs.ts';
import { type ClusterOptions, withCluster, withDumps } from '../options.ts';
import { checkStreams } from '../output/destinations.ts';
import { say, warnOfNodes } from '../output/say.ts';

const PLAN_FORMATS = {
  'iptables-save': (plan: Plan) => printRules(plan, 4),
  'ip6tables-save': (plan: Plan) => printRules(plan, 6),
  'iptables-legacy-save': (plan: Plan) => printRules(plan, 4, 'legacy'),
  'ip6tables-legacy-save': (plan: Plan) => printRules(plan, 6, 'legacy'),
  ipset: printIpsets,
  ip: (plan: Plan) => printIp(plan),
  bridge: printBridge,
  ebtables: printEbtables,
  nft: printNft,
  ipvs: printVirtualServers,
  sysctl: printSysctls,
  hns: printHns,
  conntrack: printConnections,
  json: planReport,
} as const;

/** The tables of one variant of iptables; most hosts have one variant only. */
function printRules(plan: Plan, family: Family, variant?: 'legacy'): string {
  const isOld = variant === 'legacy';
  const tables = plan.tables.filter(({ legacy = false }) => legacy === isOld);
  return printIptables({ ...plan, tables }, family, asCollected(plan));
}

/** A dump is printed back as it was collected: in its own order, with counters if it had them. */
function asCollected({ evidence, tables }: Plan): PrintOptions {
  if (evidence !== 'dump') return {};
  const rules = tables.flatMap(({ chains }) => chains).flatMap((chain) => chain.rules);
  return { keepOrder: true, counters: rules.some((rule) => rule.counters !== undefined) };
}

const IMAGE = 'image';
const FORMATS = [...Object.keys(PLAN_FORMATS), IMAGE];

type PlanFormat = keyof typeof PLAN_FORMATS | typeof IMAGE;

interface Flags extends ClusterOptions {
  readonly stack?: string;
  readonly node?: string;
  readonly pod?: string;
  readonly fabric: boolean;
  readonly output: readonly string[];
}

export function planCommand(line: CommandLine): Command {
  const command = new Command('plan')
    .summary("a node's dataplane as Linux text")
    .description(
      'Print what the chosen products program on a node, as the text that iptables-restore, ' +
        'ipset restore, ip, bridge and ebtables accept.',
    )
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]');
  withDumps(command);
  return withCluster(command)
    .option('--node <name>', 'which node (the only one when there is one)')
    .option('--pod <ns/name>', "a pod's network namespace instead of a node")
    .option('--fabric', 'the Azure network instead of a node', false)
    .option(
      '-o, --output <format[=path]>',
      `${FORMATS.join('|')}, to standard output or a file (repeatable; default: iptables-save, of a Windows node hns)`,
      (value: string, all: readonly string[]) => [...all, value],
      [],
    )
    .addHelpText('after', EXAMPLES)
    .action((flags: Flags) => line.finish(planVerb(line, flags)));
}

const EXAMPLES = `
Examples:
  wiretrial plan -f cluster.yaml --node node-a --stack azure-bridge+npm
  wiretrial plan -f cluster.yaml --node node-a -o ipset | ipset restore
  wiretrial plan --dump node-dump -o iptables-save
`;

function planVerb(line: CommandLine, flags: Flags): number {
  const [requests, inputs] = line.check(
    () => parsePlanOutputs(flags.output),
    () => line.read(() => loadCluster(flags)),
    () => checkRun({ ...flags, engine: 'auto' }),
    () => checkHost(flags),
    () => checkFiles(flags),
  );
  const world = makeWorld(inputs, chooseStack(flags.stack, inputs));
  warnOfNodes(world.network);
  const head = { stack: world.stack.text, warnings: world.network.warnings ?? [] };
  for (const { format, path } of requests) {
    const text =
      format === IMAGE
        ? formatImage(imageOf(world.network, flags))
        : planText(choosePlan(world.network, flags), format, head);
    if (text === '') say(`note: this host has nothing that ${format ?? 'iptables-save'} prints`);
    const out = path === null || path === '-' ? standardOutput() : fileOutput(path);
    out.write(text);
    out.close();
  }
  return ExitCode.ok;
}

/** The classes of the chosen host; of the network and all its nodes when none was chosen. */
function imageOf(network: Network, flags: Flags): ClassTables {
  const isChosen = flags.fabric || flags.pod !== undefined || flags.node !== undefined;
  const all = isChosen ? [choosePlan(network, flags)] : [network.fabric, ...network.nodes];
  const tables = new ClassTables();
  for (const plan of all) tables.takeIn(lower(plan));
  return tables;
}

function planText(plan: Plan, asked: TextFormat | null, head: PlanHead): string {
  const format = asked ?? defaultFormat(plan);
  if (format === 'hns' && plan.hns === undefined) {
    const message = 'HNS is a part of Windows, and this host runs Linux';
    throw new UserError([{ code: 'PLAN_FORMAT', field: '-o', message, found: plan.host }]);
  }
  return PLAN_FORMATS[format](plan, head);
}

/** Of a Windows node what HNS holds, of all others the rules of IPv4. */
function defaultFormat(plan: Plan): TextFormat {
  return plan.hns === undefined ? 'iptables-save' : 'hns';
}

type TextFormat = keyof typeof PLAN_FORMATS;

interface PlanRequest {
  /** Null: the one of the host's operating system. */
  readonly format: PlanFormat | null;
  readonly path: string | null;
}

/** Read `-o FORMAT` and `-o FORMAT=PATH`; every mistake is reported. */
function parsePlanOutputs(options: readonly string[]): readonly PlanRequest[] {
  const accepted = `${FORMATS.join(', ')}, or FORMAT=PATH`;
  const mistakes: Diagnostic[] = [];
  const refuse = (message: string, found: string) =>
    mistakes.push({ code: 'PLAN_FORMAT', field: '-o', message, found, accepted });
  const requests = options.flatMap((text): readonly PlanRequest[] => {
    const [name = '', ...rest] = text.split('=');
    const path = rest.length === 0 ? null : rest.join('=');
    if (isPlanFormat(name) && path !== '') return [{ format: name, path }];
    refuse(path === '' ? 'no path stands after =' : 'unknown output format', text);
    return [];
  });
  if (requests.filter((r) => r.path === null || r.path === '-').length > 1) {
    refuse('standard output can take only one text', options.join(' '));
  }
  if (mistakes.length > 0) throw new UserError(mistakes);
  return requests.length > 0 ? requests : [{ format: null, path: null }];
}

/** No dump and no manifest is written over, no text over another. */
function checkFiles(flags: Flags): void {
  const paths = flags.output.flatMap((text) => text.split('=').slice(1).join('=') || []);
  const toFiles = paths.filter((path) => path !== '-');
  checkStreams(
    flags,
    toFiles.map((path) => ({ format: 'text', path })),
  );
}

function isPlanFormat(name: string): name is PlanFormat {
  return FORMATS.includes(name);
}

function checkHost(flags: Flags): void {
  const given = [
    ...(flags.node === undefined ? [] : ['--node']),
    ...(flags.pod === undefined ? [] : ['--pod']),
    ...(flags.fabric ? ['--fabric'] : []),
  ];
  if (given.length < 2) return;
  const message = 'one host at a time';
  const accepted = 'one of --node, --pod, --fabric';
  throw new UserError([{ code: 'PLAN_HOST', message, found: given.join(' '), accepted }]);
}

function choosePlan(network: Network, flags: Flags): Plan {
  if (flags.fabric) return network.fabric;
  if (flags.pod !== undefined) {
    const name = flags.pod.replace(/^pod\//, '');
    if (network.pods.includes(name)) return network.podPlan(name);
    return refuse('--pod', name, network.pods);
  }
  const names = network.nodes.map((plan) => plan.host);
  const [only] = network.nodes;
  if (flags.node === undefined && only && names.length === 1) return only;
  const found = network.nodes.find((plan) => plan.host === flags.node);
  if (found) return found;
  if (flags.node !== undefined) return refuse('--node', flags.node, names);
  const message = 'the cluster has several nodes';
  const accepted = names.slice(0, SHOWN).join(', ');
  throw new UserError([{ code: 'PLAN_HOST', field: '--node', message, found: 'none', accepted }]);
}

/** Names that a message lists. */
const SHOWN = 10;

function refuse(field: string, found: string, known: readonly string[]): never {
  const near = nearest(found, known);
  const shown = known.slice(0, SHOWN).join(', ');
  const accepted = near ? `did you mean ${near}? (${shown})` : shown;
  throw new UserError([{ code: 'PLAN_HOST', field, message: 'no such host', found, accepted }]);
}
