/**
 * `wiretrial doctor`: what works on this machine and what would add to it; with `-f`, what the
 * cluster looks like as it was understood.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { Command } from 'commander';
import { type Capacity, capacityOf } from '../../cluster/limits/capacity.ts';
import { nearest } from '../../cluster/nearest.ts';
import { type Diagnostic, formatDiagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { findNative } from '../../engine/compiled/native-door.ts';
import type { World } from '../../lab/world.ts';
import type { Inputs } from '../../policy/inputs.ts';
import { type OutputRequest, openOutput, parseOutputs } from '../../report/formats.ts';
import { resultHead } from '../../report/json-shape.ts';
import { SCHEMAS } from '../../report/schema/kinds.ts';
import { formatTable, type Table } from '../../report/text/table.ts';
import { shownWarnings } from '../../report/text/warnings.ts';
import { VERSION } from '../../report/version.ts';
import { formatPrefix } from '../../wire/address/address.ts';
import type { CommandLine } from '../command-line.ts';
import { ExitCode } from '../exit-code.ts';
import { chooseStack, loadCluster, makeWorld } from '../input/inputs.ts';
import { type ClusterOptions, withCluster } from '../options.ts';
import { checkStreams } from '../output/destinations.ts';

interface Flags extends ClusterOptions {
  readonly stack?: string;
  readonly collect: boolean;
  /** True: of the wiring document. */
  readonly schema?: string | true;
  readonly output: readonly string[];
}

export function doctorCommand(line: CommandLine): Command {
  const command = new Command('doctor')
    .summary('what works on this machine; with -f, how a cluster was understood')
    .description(
      'Check the machine: nothing it lists is needed to replay, compare or probe; the tools are ' +
        'for the tests against a real kernel and for looking at results.',
    )
    .option('--stack <stack>', 'with -f: NETWORK+POLICY[,option=value]')
    .option(
      '--collect',
      'print the commands that dump a node, for whoever may run them there',
      false,
    )
    .option(
      '--schema [kind]',
      `print a JSON Schema, for editors and scripts: ${[...SCHEMAS.keys()].join(', ')} (default: Wiring)`,
    );
  return withCluster(command)
    .option(
      '-o, --output <format[=path]>',
      `${DOCTOR_FORMATS.join('|')}, to standard output or a file (repeatable)`,
      (value: string, all: readonly string[]) => [...all, value],
      [],
    )
    .action((flags: Flags) => line.finish(doctorVerb(line, flags)));
}

const DOCTOR_FORMATS = ['table', 'json'] as const;

/** Tools, the Debian package that brings them, and what they are good for. */
const TOOLS: readonly (readonly [tool: string, pkg: string, use: string])[] = [
  ['iptables-restore', 'iptables', 'tests against the real kernel'],
  ['ipset', 'ipset', 'tests against the real kernel'],
  ['ebtables-restore', 'ebtables', 'tests against the real kernel'],
  ['ip', 'iproute2', 'tests against the real kernel'],
  ['bridge', 'iproute2', 'tests against the real kernel'],
  ['conntrack', 'conntrack', 'tests against the real kernel'],
  ['tcpdump', 'tcpdump', 'tests of capture filters'],
  ['tshark', 'tshark', 'looking at annotated captures'],
];

function doctorVerb(line: CommandLine, flags: Flags): number {
  const [outputs] = line.check(
    () => chooseOutputs(flags),
    () => checkFlags(flags),
  );
  const known = flags.file.length > 0 ? understand(flags) : null;
  for (const request of outputs) {
    const text = textOf(flags, known, request.format === 'json');
    const out = openOutput(request);
    out.write(text);
    out.close();
  }
  return ExitCode.ok;
}

function chooseOutputs(flags: Flags): readonly OutputRequest<(typeof DOCTOR_FORMATS)[number]>[] {
  const outputs = parseOutputs<'table' | 'json'>(flags.output, DOCTOR_FORMATS);
  checkStreams(flags, outputs);
  return outputs;
}

function textOf(flags: Flags, known: Understood | null, isJson: boolean): string {
  if (flags.collect) return COLLECT;
  if (flags.schema !== undefined) return schemaText(flags.schema);
  if (known !== null) return clusterText(known, isJson);
  return isJson ? machineJson() : machineText();
}

/** The schema of a kind, in any case of letters. */
function schemaText(asked: string | true): string {
  const kinds = [...SCHEMAS.keys()];
  const kind = asked === true ? 'Wiring' : asked;
  const found = kinds.find((name) => name.toLowerCase() === kind.toLowerCase());
  if (found !== undefined) return `${JSON.stringify(SCHEMAS.get(found), null, 1)}\n`;
  const near = nearest(kind, kinds);
  const accepted = near === null ? kinds.join(', ') : `did you mean ${near}?`;
  const message = 'no such kind of document or result';
  const field = '--schema';
  throw new UserError([{ code: 'DOCTOR_SCHEMA', field, message, found: kind, accepted }]);
}

interface Tool {
  readonly tool: string;
  readonly package: string;
  readonly use: string;
  readonly found: boolean;
}

function findTools(): readonly Tool[] {
  return TOOLS.map(([tool, pkg, use]) => {
    const found = spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
    return { tool, package: pkg, use, found };
  });
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function machineText(): string {
  const tools = findTools();
  const missing = [...new Set(tools.filter((t) => !t.found).map((t) => t.package))];
  const rows = tools.map((t) => {
    return [t.tool, t.found ? 'yes' : 'no', t.use, t.found ? '' : `apt install ${t.package}`];
  });
  return (
    `wiretrial ${VERSION}  node ${process.version}  ${process.platform}-${process.arch}\n` +
    `engine     ${engineLine()}\n` +
    `root       ${isRoot() ? 'yes' : 'no'}  (only the tests against the real kernel need it)\n\n` +
    formatTable({ columns: ['TOOL', 'FOUND', 'FOR', 'TO ADD IT'], rows }) +
    (missing.length === 0 ? '' : `\nall of them: apt install ${missing.join(' ')}\n`)
  );
}

/** Which engines there are. */
function engineLine(): string {
  const native = findNative();
  if (native.addon !== null) return `reference, compiled (${native.path})`;
  return `reference (the compiled engine is not there: ${native.reason})`;
}

function machineJson(): string {
  const { version: node, platform, arch } = process;
  const engines = { reference: true, compiled: findNative().addon !== null };
  const machine = { node, platform, arch, root: isRoot() };
  const tools = findTools();
  const counts = { tools: tools.length, found: tools.filter(({ found }) => found).length };
  return toJson({ counts, machine, engines, tools });
}

/** No capture is read, no packet judged, nothing drawn. */
function toJson<T extends { readonly counts: object }>(values: T): string {
  const head = { ...resultHead('DoctorResult', null, null), inputs: [] };
  return `${JSON.stringify({ ...head, ...values }, null, 1)}\n`;
}

/** What does not go together would be passed over in silence. */
function checkFlags({ collect, schema, output, file, stack }: Flags): void {
  const mistakes: Diagnostic[] = [];
  const refuse = (code: string, message: string, accepted: string) =>
    mistakes.push({ code, message, accepted });
  if (collect && output.some((text) => text.startsWith('json'))) {
    refuse('DOCTOR_COLLECT', 'commands have no JSON form', '--collect, or -o json');
  }
  const ofCluster = file.length + (stack === undefined ? 0 : 1) > 0;
  const isSchema = schema !== undefined;
  if (collect && isSchema)
    refuse('DOCTOR_COLLECT', 'one thing at a time', '--collect, or --schema');
  if (collect && ofCluster) {
    refuse('DOCTOR_COLLECT', 'the commands are the same for every cluster', '--collect, or -f');
  } else if (isSchema && ofCluster) {
    refuse('DOCTOR_SCHEMA', 'the schema is the same for every cluster', '--schema, or -f');
  } else if (stack !== undefined && file.length === 0) {
    refuse('DOCTOR_STACK', '--stack needs a cluster to stand on', '--stack with -f');
  }
  if (mistakes.length > 0) throw new UserError(mistakes);
}

/** A cluster as it was understood. */
interface Understood {
  readonly inputs: Inputs;
  readonly world: World;
}

function understand(flags: Flags): Understood {
  const inputs = loadCluster(flags);
  return { inputs, world: makeWorld(inputs, chooseStack(flags.stack, inputs)) };
}

function clusterText({ inputs, world }: Understood, isJson: boolean): string {
  const { cluster, policies } = inputs;
  const { wiring } = cluster;
  const prefixes = (list: readonly Parameters<typeof formatPrefix>[0][]) =>
    list.map(formatPrefix).join(', ') || '-';
  const { warnings = [] } = world.network;
  if (isJson) {
    const facts = clusterFacts(inputs, world.stack.text);
    return toJson({ ...facts, warnings: warnings.map(formatDiagnostic) });
  }
  const skipped = [...inputs.ignored, ...inputs.unsupported].map(([kind, n]) => `${kind} ${n}`);
  const rows: Table['rows'] = [
    ['files', inputs.files.length],
    ['nodes', cluster.nodes.length],
    ['namespaces', cluster.namespaces.length],
    ['pods', cluster.pods.length],
    ['services', cluster.services.length],
    ['network policies', policies.length],
    ['ignored objects', skipped.join(', ')],
    ['wiring', wiring.inferred ? 'inferred from the objects' : 'given'],
    ['stack', world.stack.text],
    ['virtual network', prefixes(wiring.vnet)],
    ['subnets', prefixes(wiring.subnets)],
    ['pod ranges', prefixes(wiring.podCidrs)],
    ['service ranges', prefixes(wiring.serviceCidrs)],
    ['not masqueraded', prefixes(wiring.nonMasqueradeCidrs)],
  ];
  const text = `${formatTable({ columns: ['WHAT', 'FOUND'], rows })}\n${capacityText(capacityOf(cluster))}`;
  return warnings.length === 0
    ? text
    : `${text}\nWARNINGS\n${shownWarnings(warnings).join('\n')}\n`;
}

/** What is left of each range and limit, and what ends first. */
function capacityText({ supplies, first, fullest }: Capacity): string {
  const rows = supplies.map((s) => {
    const more = s.moreNodes === null ? '-' : `${s.moreNodes}`;
    return [s.what, s.range ?? '-', s.size, s.used, s.left, more];
  });
  const columns = ['ADDRESS PLAN', 'RANGE', 'ALL', 'TAKEN', 'LEFT', 'MORE NODES'];
  const ends =
    first === null
      ? ''
      : `ends first as nodes are added: ${first.what}${first.range === null ? '' : ` ${first.range}`} ` +
        `(${first.moreNodes} more)\n`;
  const room =
    fullest === null
      ? ''
      : `least room for pods: ${fullest.node}, ${fullest.pods} of ${fullest.maxPods}\n`;
  return `${formatTable({ columns, rows })}${ends}${room}`;
}

function clusterFacts(inputs: Inputs, stack: string) {
  const { cluster, policies, files, ignored, unsupported } = inputs;
  const { wiring } = cluster;
  return {
    stack,
    files,
    counts: {
      nodes: cluster.nodes.length,
      namespaces: cluster.namespaces.length,
      pods: cluster.pods.length,
      services: cluster.services.length,
      networkPolicies: policies.length,
    },
    ignored: Object.fromEntries(ignored),
    unsupported: Object.fromEntries(unsupported),
    addressPlan: {
      inferred: wiring.inferred,
      vnet: wiring.vnet.map(formatPrefix),
      subnets: wiring.subnets.map(formatPrefix),
      podCidrs: wiring.podCidrs.map(formatPrefix),
      serviceCidrs: wiring.serviceCidrs.map(formatPrefix),
      nonMasqueradeCidrs: wiring.nonMasqueradeCidrs.map(formatPrefix),
      ...capacityOf(cluster),
    },
  };
}

/** What an engineer runs on a node, as root, to take its dataplane home. */
const COLLECT = `# Run on the node as root; the folder is what --dump NODE=node-dump reads.
mkdir -p node-dump && cd node-dump
iptables-save -c > iptables-save.txt
ip6tables-save -c > ip6tables-save.txt
iptables-legacy-save -c > iptables-legacy-save.txt 2>/dev/null
ip6tables-legacy-save -c > ip6tables-legacy-save.txt 2>/dev/null
ipset save > ipset-save.txt
ebtables-save > ebtables-save.txt
nft -j list ruleset > nft.json
ipvsadm-save -n > ipvsadm-save.txt 2>/dev/null
ip -j addr > ip-addr.json
ip -j -d link > ip-link.json
ip -j route show table all > ip-route.json
ip -j -6 route show table all > ip-6-route.json
ip -j rule > ip-rule.json
ip -j -6 rule > ip-6-rule.json
ip -j neigh > ip-neigh.json
ip -j -6 neigh > ip-6-neigh.json
bridge -j -d link > bridge-link.json
bridge -j fdb > bridge-fdb.json
sysctl -a > sysctl.txt 2>/dev/null
uname -r > uname.txt
conntrack -L -f ipv4 -o extended > conntrack.txt 2>/dev/null
conntrack -L -f ipv6 -o extended >> conntrack.txt 2>/dev/null
`;
