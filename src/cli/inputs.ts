/**
 * From options to loaded inputs: cluster, policies, worlds, captures.
 * @module
 */
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseFilter } from '../capture/filter.ts';
import { type CaptureStream, openCaptures } from '../capture/reader.ts';
import { parseTimeBound } from '../capture/time-bound.ts';
import type { Stack } from '../dataplane/dataplane.ts';
import { parseStack } from '../dataplane/stack.ts';
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { autoMap } from '../lab/auto-map.ts';
import { AddressMap, parseMap } from '../lab/mapping.ts';
import { Survey } from '../lab/survey.ts';
import type { TrafficOptions } from '../lab/traffic.ts';
import { Vantages } from '../lab/vantage.ts';
import { type EntryPoint, World } from '../lab/world.ts';
import { type Inputs, loadInputs } from '../policy/inputs.ts';
import type { CaptureOptions, ClusterOptions, ReplayFlags, RunFlags } from './options.ts';

/** Load what `-f` names; nothing to load is a usage error. */
export function loadCluster(options: ClusterOptions): Inputs {
  if (options.file.length === 0) {
    throw new UserError([
      {
        code: 'CLUSTER_MISSING',
        field: '-f',
        message: 'no cluster was given',
        accepted: '-f PATH with Pods, Nodes and NetworkPolicies (kubectl get … -o yaml is fine)',
      },
    ]);
  }
  return loadInputs(options.file, {
    recursive: options.recursive,
    ignoreUnsupported: options.ignoreUnsupported,
    readStdin: () => readFileSync(0, 'utf8'),
  });
}

/** The stack asked for, or the one that the wiring implies. */
export function chooseStack(text: string | undefined, inputs: Inputs): Stack {
  if (text !== undefined) return parseStack(text);
  const { wiring } = inputs.cluster;
  const policy = { none: 'none', azure: 'npm', calico: 'calico', cilium: 'cilium' }[
    wiring.networkPolicy
  ];
  const azure = wiring.networkPluginMode === 'overlay' ? 'azure-overlay' : 'azure-transparent';
  const network = { azure, kubenet: 'kubenet', none: 'byo' }[wiring.networkPlugin];
  return parseStack(`${network}+${policy}`);
}

/** The reference engine is the only one there is; asking for the other one is refused. */
export function checkEngine(flags: Pick<RunFlags, 'engine'>): void {
  if (flags.engine !== 'compiled') return;
  throw new UserError(
    [
      {
        code: 'ENGINE_MISSING',
        field: '--engine',
        message: 'the compiled engine is not part of this version',
        found: 'compiled',
        accepted: 'auto, reference',
      },
    ],
    'environment',
  );
}

export function makeWorld(inputs: Inputs, stack: Stack, at: string): World {
  const { cluster, policies } = inputs;
  const entry = parseEntry(at);
  const world = new World({ cluster, policies, stack, ...(entry ? { at: entry } : {}) });
  if (entry) checkEntry(world, entry, at);
  return world;
}

const AT_ACCEPTED = 'auto, pod/NAMESPACE/NAME, node/NAME, node/NAME/IFACE, edge';

function parseEntry(at: string): EntryPoint | null {
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

function checkEntry(world: World, entry: EntryPoint, at: string): void {
  if (entry.as === 'edge') return;
  const node = world.network.nodes.find((plan) => plan.host === entry.host);
  const isPod = world.network.pods.includes(entry.host);
  const hasDevice =
    entry.as === 'local' || node?.interfaces.some((i) => i.name === entry.device) === true;
  if ((node || isPod) && hasDevice) return;
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

/** Captures that can be read twice: standard input is kept in a file until the run is over. */
export class CaptureSource {
  readonly paths: readonly string[];
  readonly #options: CaptureOptions;
  readonly #filter: string;
  readonly #folder: string | null;

  private constructor(
    paths: readonly string[],
    options: CaptureOptions,
    filter: string,
    folder: string | null,
  ) {
    this.paths = paths;
    this.#options = options;
    this.#filter = filter;
    this.#folder = folder;
  }

  static async open(options: CaptureOptions, words: readonly string[]): Promise<CaptureSource> {
    if (options.read.length === 0) {
      throw new UserError([
        {
          code: 'CAPTURE_MISSING',
          field: '-r',
          message: 'no capture was given',
          accepted: '-r FILE (pcap or pcapng, .gz too), a folder, or -',
        },
      ]);
    }
    const filter = words.join(' ');
    if (filter !== '') parseFilter(filter);
    if (!options.read.includes('-')) return new CaptureSource(options.read, options, filter, null);
    const folder = mkdtempSync(join(tmpdir(), 'wiretrial-'));
    const kept = join(folder, 'stdin');
    await pipeline(process.stdin, createWriteStream(kept));
    const paths = options.read.map((path) => (path === '-' ? kept : path));
    return new CaptureSource(paths, options, filter, folder);
  }

  /** Start reading from the beginning. */
  stream(): CaptureStream {
    const { since, until, count, clockOffset } = this.#options;
    return openCaptures(this.paths, {
      ...(this.#filter === '' ? {} : { filter: parseFilter(this.#filter) }),
      ...(since === undefined ? {} : { since: parseTimeBound(since, '--since') }),
      ...(until === undefined ? {} : { until: parseTimeBound(until, '--until') }),
      ...(count === undefined ? {} : { count }),
      clockOffsetsNs: parseOffsets(clockOffset),
    });
  }

  close(): void {
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true });
  }
}

function parseOffsets(options: readonly string[]): ReadonlyMap<string, bigint> {
  const mistakes: Diagnostic[] = [];
  const offsets = options.flatMap((text) => {
    const at = text.lastIndexOf('=');
    const written = text.slice(at + 1);
    const bound = parseTimeBound(written.replace(/^[+-]/, ''), '--clock-offset');
    if (at > 0 && bound.kind === 'beforeEnd') {
      const span = written.startsWith('-') ? -bound.spanNs : bound.spanNs;
      return [[text.slice(0, at), span] as const];
    }
    const accepted = 'FILE=+1.5s or FILE=-200ms';
    mistakes.push({
      code: 'CLOCK_OFFSET',
      field: '--clock-offset',
      message: 'can not be read',
      found: text,
      accepted,
    });
    return [];
  });
  if (mistakes.length > 0) throw new UserError(mistakes);
  return new Map(offsets);
}

/** The first pass over the capture, and what follows from it for the second. */
export async function prepareTraffic(
  world: World,
  source: CaptureSource,
  flags: ReplayFlags,
): Promise<TrafficOptions> {
  const given = parseMap(
    flags.map.filter((text) => text !== 'auto'),
    world.addresses,
  );
  const survey = new Survey();
  for await (const batch of source.stream()) for (const record of batch) survey.add(record);
  const assigned = flags.map.includes('auto') ? autoMap(world, survey.pairs(), given) : [];
  return {
    identities: world.identities,
    map: new AddressMap([...given, ...assigned]),
    checksums: flags.checksums,
    survey: survey.checksums,
    midstream: flags.midstream,
    vantages: Vantages.parse(flags.vantage),
    entryIsGiven: flags.at !== 'auto',
  };
}
