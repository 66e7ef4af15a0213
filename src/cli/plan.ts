/**
 * `wiretrial plan`: a node's dataplane as the text that Linux tools read.
 * @module
 */
import { Command, Option } from 'commander';
import { nearest } from '../cluster/nearest.ts';
import { UserError } from '../diagnostic/diagnostic.ts';
import { printBridge } from '../plan/bridge-text.ts';
import { printEbtables } from '../plan/ebtables-text.ts';
import { printIp } from '../plan/ip-text.ts';
import { printIpsets } from '../plan/ipset-text.ts';
import { printIptables } from '../plan/iptables-text.ts';
import type { Network, Plan } from '../plan/model.ts';
import { planToJson } from '../plan/plan-json.ts';
import { printSysctls } from '../plan/sysctl-text.ts';
import { standardOutput } from '../report/text-output.ts';
import { ExitCode } from './exit-code.ts';
import { chooseStack, loadCluster, makeWorld } from './inputs.ts';
import { type ClusterOptions, withCluster } from './options.ts';

const PLAN_FORMATS = {
  'iptables-save': (plan: Plan) => printIptables(plan, 4),
  'ip6tables-save': (plan: Plan) => printIptables(plan, 6),
  ipset: printIpsets,
  ip: (plan: Plan) => printIp(plan),
  bridge: printBridge,
  ebtables: printEbtables,
  sysctl: printSysctls,
  json: (plan: Plan) => `${JSON.stringify(planToJson(plan), null, 1)}\n`,
} as const;
type PlanFormat = keyof typeof PLAN_FORMATS;

interface Flags extends ClusterOptions {
  readonly stack?: string;
  readonly node?: string;
  readonly pod?: string;
  readonly fabric: boolean;
  readonly output: PlanFormat;
}

export function planCommand(finish: (code: number) => void): Command {
  const command = new Command('plan')
    .summary("a node's dataplane as Linux text")
    .description(
      'Print what the chosen products program on a node, as the text that iptables-restore, ' +
        'ipset restore, ip, bridge and ebtables accept.',
    )
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]');
  return withCluster(command)
    .option('--node <name>', 'which node (the only one when there is one)')
    .option('--pod <ns/name>', "a pod's network namespace instead of a node")
    .option('--fabric', 'the Azure network instead of a node', false)
    .addOption(
      new Option('-o, --output <format>', 'which text')
        .choices(Object.keys(PLAN_FORMATS))
        .default('iptables-save'),
    )
    .addHelpText('after', EXAMPLES)
    .action((flags: Flags) => finish(planVerb(flags)));
}

const EXAMPLES = `
Examples:
  wiretrial plan -f cluster.yaml --node node-a --stack azure-bridge+npm
  wiretrial plan -f cluster.yaml --node node-a -o ipset | ipset restore
`;

function planVerb(flags: Flags): number {
  const inputs = loadCluster(flags);
  const world = makeWorld(inputs, chooseStack(flags.stack, inputs), 'auto');
  const out = standardOutput();
  out.write(PLAN_FORMATS[flags.output](choosePlan(world.network, flags)));
  out.close();
  return ExitCode.ok;
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
  return found ?? refuse('--node', flags.node ?? '(none)', names);
}

function refuse(field: string, found: string, known: readonly string[]): never {
  const near = nearest(found, known);
  const shown = known.slice(0, 10).join(', ');
  const accepted = near ? `did you mean ${near}? (${shown})` : shown;
  throw new UserError([{ code: 'PLAN_HOST', field, message: 'no such host', found, accepted }]);
}
