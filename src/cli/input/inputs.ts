/**
 * From options to loaded inputs: cluster, policies, stacks, worlds.
 * @module
 */
import { readFileSync } from 'node:fs';
import type { Wiring } from '../../cluster/model.ts';
import type { NetworkName, Stack } from '../../dataplane/dataplane.ts';
import { parseStack } from '../../dataplane/stack.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { findNative } from '../../engine/compiled/native-door.ts';
import { chooseEngine } from '../../engine/make-engine.ts';
import { DUMP_STACK, type DumpCluster } from '../../lab/dump-world.ts';
import { Vantages } from '../../lab/traffic/vantage.ts';
import { DEFAULT_SEED, type EntryPoint, World } from '../../lab/world.ts';
import type { Network } from '../../plan/model.ts';
import { type Inputs, loadInputs } from '../../policy/inputs.ts';
import { together } from '../mistakes.ts';
import type { ClusterOptions, RunFlags } from '../options.ts';
import { warn } from '../output/say.ts';
import { loadDumps } from './dump-inputs.ts';

/** What is known of a cluster; `dump` when its nodes are real ones' dumps. */
export interface Given extends Inputs {
  readonly dump?: Network;
}

/** Load what `-f` and `--dump` name; nothing to load is a usage error. */
export function loadCluster(options: ClusterOptions): Given {
  const { dump = [] } = options;
  if (dump.length === 0) return loadObjects(options);
  const [given, dumps] = withObjects(options, dump);
  return { ...given, cluster: dumps.cluster, dump: dumps.network };
}

/** Dumps, and the cluster objects beside them when there are any. */
function withObjects(
  options: ClusterOptions,
  dump: readonly string[],
): readonly [Inputs, DumpCluster] {
  if (options.file.length > 0) {
    const given = loadObjects(options);
    const policies = given.policies.length;
    if (policies > 0) {
      const them = `${policies} NetworkPolicies of -f have no effect`;
      warn(`${them}: a dumped node enforces what was installed on it`);
    }
    return [given, loadDumps(dump, given.cluster)];
  }
  const dumps = loadDumps(dump, null);
  const nothing = {
    loaded: 0,
    ignored: new Map(),
    unsupported: new Map(),
    files: [],
    policies: [],
  };
  return [{ ...nothing, cluster: dumps.cluster }, dumps];
}

function loadObjects(options: ClusterOptions): Inputs {
  if (options.file.length === 0) {
    throw new UserError([
      {
        code: 'CLUSTER_MISSING',
        field: '-f',
        message: 'no cluster was given',
        accepted: `-f PATH with ${CLUSTER_ACCEPTED}`,
      },
    ]);
  }
  const inputs = loadInputs(options.file, {
    recursive: options.recursive,
    ignoreUnsupported: options.ignoreUnsupported,
    readStdin: () => readFileSync(0),
  });
  if (inputs.loaded + inputs.unsupported.size === 0)
    throw new UserError([nothingIn(options.file, inputs)]);
  for (const [kind, count] of inputs.unsupported) {
    warn(`${count} ${kind} skipped: not emulated, so what they decide is missing`);
  }
  if (inputs.ignored.has('Kustomization')) {
    warn('a Kustomization changes nothing here: -f takes what kubectl kustomize prints');
  }
  return inputs;
}

/** What a pipeline whose first half failed ends with: to judge an invented cluster is no answer. */
function nothingIn(files: readonly string[], { ignored }: Inputs): Diagnostic {
  const kinds = [...ignored].map(([kind, count]) => `${count} ${kind}`).join(', ');
  return {
    code: 'CLUSTER_EMPTY',
    field: '-f',
    message: 'no objects that bear on packets',
    found: `${kinds === '' ? 'none' : kinds} in ${files.join(', ')}`,
    accepted: CLUSTER_ACCEPTED,
  };
}

const CLUSTER_ACCEPTED =
  'Pods, Nodes, Services and NetworkPolicies (kubectl get … -o yaml is fine)';

/** A stack as `--stack` gives it; mistakes name the option. */
function readStack(text: string): Stack {
  try {
    return parseStack(text);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      error.diagnostics.map((d) => ({ field: '--stack', ...d })),
      error.fault,
      error,
    );
  }
}

/** The network that a wiring means; Azure CNI's bridge mode has no setting and is asked for. */
function networkOf(wiring: Wiring): NetworkName {
  switch (wiring.networkPlugin) {
    case 'azure':
      if (wiring.networkPluginMode === 'overlay') return 'azure-overlay';
      return wiring.podSubnets ? 'azure-podsubnet' : 'azure-transparent';
    case 'kubenet':
      return 'kubenet';
    case 'none':
      return 'byo';
  }
}

/** The stack asked for, or the one that the wiring implies. */
export function chooseStack(text: string | undefined, inputs: Given): Stack {
  if (inputs.dump !== undefined) {
    if (text === undefined) return DUMP_STACK;
    const message =
      'a dumped node has what was installed on it: --stack and --dump exclude each other';
    throw new UserError([{ code: 'DUMP_STACK', field: '--stack', message, found: text }]);
  }
  if (text !== undefined) return readStack(text);
  const { wiring } = inputs.cluster;
  const policy = { none: 'none', azure: 'npm', calico: 'calico', cilium: 'cilium' }[
    wiring.networkPolicy
  ];
  if (policy === 'none' && wiring.inferred && inputs.policies.length > 0) {
    const them = `${inputs.policies.length} NetworkPolicies have no effect`;
    warn(`${them}: nothing says which engine enforces them (accepted: --stack, a Wiring document)`);
  }
  return parseStack(`${networkOf(wiring)}+${policy}`);
}

/** What can be checked of a run's options before anything is loaded; every mistake is reported. */
export function checkRun(flags: {
  readonly engine: RunFlags['engine'];
  readonly stack?: string | readonly string[];
  readonly at?: string;
  readonly vantage?: readonly string[];
  readonly maxConnections?: number;
}): void {
  const { stack = [], at = 'auto', vantage = [] } = flags;
  const stacks = typeof stack === 'string' ? [stack] : stack;
  together(
    () => checkEngine(flags),
    () => checkTables(flags),
    () => parseEntry(at),
    () => Vantages.parse(vantage),
    ...stacks.map((text) => () => readStack(text)),
  );
}

/** Asking for an engine that is not there is refused. */
function checkEngine(flags: Pick<RunFlags, 'engine'>): void {
  if (flags.engine !== 'compiled') return;
  const native = findNative();
  if (native.addon !== null) return;
  throw new UserError(
    [
      {
        code: 'ENGINE_MISSING',
        field: '--engine',
        message: `the compiled engine is not there: ${native.reason}`,
        found: 'compiled',
        accepted: 'auto, reference',
      },
    ],
    'environment',
  );
}

/** The reference engine's tables grow as a kernel's do, up to its own limit. */
function checkTables(flags: Pick<RunFlags, 'engine'> & { readonly maxConnections?: number }): void {
  const { engine, maxConnections } = flags;
  if (engine !== 'reference' || maxConnections === undefined) return;
  throw new UserError([
    {
      code: 'TABLES_UNUSED',
      field: '--max-connections',
      message: 'only the compiled engine has tables of a fixed size',
      found: `${maxConnections} with --engine reference`,
      accepted: '--engine auto or compiled',
    },
  ]);
}

interface WorldFlags {
  readonly maxConnections?: number;
  readonly at?: string;
  readonly seed?: number;
  readonly engine?: RunFlags['engine'];
}

export function makeWorld(
  inputs: Given,
  stack: Stack,
  { at = 'auto', seed = DEFAULT_SEED, engine = 'auto', maxConnections }: WorldFlags = {},
): World {
  const { cluster, policies, dump } = inputs;
  const entry = parseEntry(at);
  return new World({
    cluster,
    policies,
    stack,
    seed,
    ...(entry ? { at: entry } : {}),
    ...(dump ? { network: dump, dumped: true } : {}),
    // Who can tell whether the compiled engine is worth its tables asks for it by name.
    ...(engine === 'compiled' ? { makeEngine: chooseEngine(engine, maxConnections).make } : {}),
  });
}

const AT_ACCEPTED = 'auto, pod/NAMESPACE/NAME, node/NAME, node/NAME/IFACE, edge';

/** Read `--at`; null: at each packet's sender. */
export function parseEntry(at: string): EntryPoint | null {
  if (at === 'auto') return null;
  const pod = /^pod\/([^/]+\/[^/]+)$/.exec(at);
  if (pod?.[1]) return { as: 'local', host: pod[1] };
  const node = /^node\/([^/]+)(?:\/([^/]+))?$/.exec(at);
  if (node?.[1] && node[2]) return { as: 'received', host: node[1], device: node[2] };
  if (node?.[1]) return { as: 'local', host: node[1] };
  if (at === 'edge') return { as: 'edge' };
  throw new UserError([
    {
      code: 'AT_SYNTAX',
      field: '--at',
      message: 'no such place',
      found: at,
      accepted: AT_ACCEPTED,
    },
  ]);
}

/** Whether the cluster has the place. */
export function isEntry(world: World, entry: EntryPoint): boolean {
  if (entry.as === 'edge') return true;
  const node = world.network.nodes.find((plan) => plan.host === entry.host);
  if (entry.as === 'local') return node !== undefined || world.network.pods.includes(entry.host);
  return node?.interfaces.some((i) => i.name === entry.device) === true;
}

/** Refuse an `--at` that the cluster does not have. */
export function checkEntry(world: World, at: string): void {
  const entry = parseEntry(at);
  if (entry === null || isEntry(world, entry)) return;
  throw new UserError([
    {
      code: 'AT_UNKNOWN',
      field: '--at',
      message: 'no such place in the cluster',
      found: at,
      accepted: AT_ACCEPTED,
    },
  ]);
}
