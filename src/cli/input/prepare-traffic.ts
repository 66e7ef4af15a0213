/**
 * The first pass over a capture: what must be known of all of it before its first packet is judged.
 * @module
 */
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import type { CaptureStream } from '../../capture/reader.ts';
import type { InputSummary } from '../../capture/record.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { type CaptureIndex, makeEntries } from '../../lab/lane/capture-index.ts';
import { findWalker } from '../../lab/lane/columns.ts';
import { BulkSurvey } from '../../lab/lane/look.ts';
import { autoMap } from '../../lab/traffic/auto-map.ts';
import { ListedOpeners } from '../../lab/traffic/listed-openers.ts';
import { AddressMap, type PairCount, parseMap } from '../../lab/traffic/mapping.ts';
import { MAX_PAIRS, Survey } from '../../lab/traffic/survey.ts';
import type { TrafficOptions } from '../../lab/traffic/traffic.ts';
import { fragmentKey, type TupleCensus } from '../../lab/traffic/tuple-census.ts';
import { isOf, Vantages } from '../../lab/traffic/vantage.ts';
import type { World } from '../../lab/world.ts';
import { addressKey, formatAddress } from '../../wire/address/address.ts';
import type { TrafficJob } from '../../workers/job.ts';
import { SharedLook } from '../../workers/shared-look.ts';
import { together } from '../mistakes.ts';
import type { ReplayFlags, RunFlags } from '../options.ts';
import type { Interruption } from '../output/interruption.ts';
import { withProgress, withProgressInBulk } from '../output/progress.ts';
import { say, warn } from '../output/say.ts';
import type { CaptureSource } from './capture-source.ts';
import { checkEntry, isEntry, parseEntry } from './inputs.ts';

/** How to read the traffic, and what the first pass saw of the files. */
export interface Prepared {
  readonly traffic: TrafficOptions;
  /** The same for those who make the options themselves. */
  readonly job: TrafficJob;
  readonly census: TupleCensus;
  /** What the first pass left for the second of a capture of one file; null when it has none. */
  readonly index: CaptureIndex | null;
  /** Who talks with whom, as mapped. */
  readonly pairs: readonly PairCount[];
  readonly inputs: readonly InputSummary[];
}

/** Places of the cluster that options name. */
export interface Places {
  readonly given: ReturnType<typeof parseMap>;
  readonly vantages: Vantages;
}

/** Find the places that options name; every mistake is reported. */
export function findPlaces(flags: ReplayFlags, world: World): Places {
  const [, given, vantages] = together(
    () => checkEntry(world, flags.at),
    () => readMap(flags.map, world),
    () => checkVantages(flags.vantage, world),
  );
  return { given, vantages };
}

/**
 * Read once, and say what follows for the second reading.
 *
 * @param flags `digest`: the summaries' digests are asked for, too
 */
export async function prepareTraffic(
  world: World,
  source: CaptureSource,
  flags: ReplayFlags & Pick<RunFlags, 'quiet'> & { readonly digest?: boolean },
  { given, vantages: byGivenName }: Places,
  interruption?: Interruption,
): Promise<Prepared> {
  await source.open();
  const vantages = new Vantages(
    byGivenName.given.map((g) => ({ ...g, file: source.resolved([g.file])[0] ?? g.file })),
  );
  const digest = flags.digest ?? false;
  const shared = await surveyTogether(world, source, flags, interruption);
  const stream = shared?.stream ?? source.stream({ digest });
  const { survey, index } = shared ?? (await surveyOf(stream, world, source, flags, interruption));
  const named = vantages.given.map((g) => g.file);
  const isWhole = !source.isCounted && (interruption?.code ?? 0) === 0;
  together(
    () => source.checkNames(stream, '--clock-offset', source.offsetNames),
    () => source.checkNames(stream, '--vantage', named),
    () => isWhole && checkInterfaces(vantages, stream),
  );
  if (isWhole) warnOfUnusedMap(given, survey.pairs());
  correctClocks(source, survey, flags.quiet);
  const assigned = flags.map.includes('auto') ? autoMap(world, survey.pairs(), given) : [];
  const { census } = survey;
  const map = [...given, ...assigned];
  const mapped = new AddressMap(map);
  const fragmented = [...census.fragmented.values()].map(({ protocol, address }) =>
    fragmentKey(protocol, mapped.address(address)),
  );
  const job: TrafficJob = {
    map,
    checksums: flags.checksums,
    senders: survey.checksums.senders,
    translations: survey.translations.all(),
    midstream: flags.midstream,
    vantages: vantages.given,
    fragmented: new Set(fragmented),
  };
  const traffic: TrafficOptions = {
    identities: world.identities,
    map: mapped,
    checksums: flags.checksums,
    survey: survey.checksums,
    translations: survey.translations,
    midstream: flags.midstream,
    listed: new ListedOpeners(world.network.nodes),
    vantages,
    entryIsGiven: flags.at !== 'auto',
  };
  const pairs = survey.pairs().map(({ a, b, packets }) => {
    return { a: mapped.address(a), b: mapped.address(b), packets };
  });
  return { traffic, job, census, index, pairs, inputs: source.summaries(stream) };
}

/** What a first pass saw. */
interface Surveyed {
  readonly survey: Survey;
  readonly index: CaptureIndex | null;
}

/** Look at every packet once; in bulk where the compiled engine serves, or workers. */
async function surveyOf(
  stream: CaptureStream,
  world: World,
  source: CaptureSource,
  { quiet, workers = 1 }: Pick<RunFlags, 'quiet'> & Pick<ReplayFlags, 'workers'>,
  interruption?: Interruption,
): Promise<Surveyed> {
  const walker = world.engine.name === 'compiled' || workers > 1 ? findWalker() : null;
  const path = walker === null ? null : source.wholeFile();
  const entries = path === null ? null : makeEntries(source.sizeOf(path));
  const bulk = walker && new BulkSurvey(walker, { entries });
  const survey = new Survey();
  const parts =
    walker === null
      ? withProgress(stream, source, quiet, 'looking')
      : withProgressInBulk(stream, walker, source, quiet, 'looking');
  for await (const part of parts) {
    if (bulk !== null) bulk.take(part, stream.paths.length === 1);
    else if (!('window' in part)) for (const record of part) survey.add(record);
    await interruption?.listen();
    if (interruption && interruption.code !== 0) break;
  }
  // Of what was not looked at an index knows nothing, and says more than it knows of the rest.
  const isWhole = (interruption?.code ?? 0) === 0;
  return { survey: bulk?.survey ?? survey, index: (isWhole ? bulk?.index() : null) ?? null };
}

/** Captures below this are looked at before further threads have begun to. */
const LEAST_SHARED_BYTES = 128 * 1024 * 1024;

/**
 * The same by several threads, of a large capture of one file; null where one has to look at it. A
 * digest is not made: that of a run that is shared out is made beside it.
 */
async function surveyTogether(
  world: World,
  source: CaptureSource,
  flags: ReplayFlags & Pick<RunFlags, 'quiet'> & { readonly digest?: boolean },
  interruption?: Interruption,
): Promise<(Surveyed & { readonly stream: CaptureStream }) | null> {
  const threads = flags.workers ?? availableParallelism();
  const path = flags.digest || flags.map.includes('auto') ? null : source.wholeFile();
  if (threads < 2 || path === null || source.sizeOf(path) < LEAST_SHARED_BYTES) return null;
  const walker =
    world.engine.name === 'compiled' || flags.workers !== undefined ? findWalker() : null;
  if (walker === null) return null;
  const shared = new SharedLook({
    walker,
    path,
    threads,
    entries: makeEntries(source.sizeOf(path)),
  });
  try {
    const stream = source.stream({ digest: false });
    let frames = 0;
    for await (const part of withProgressInBulk(stream, walker, source, flags.quiet, 'looking')) {
      frames += 'window' in part ? part.count : part.length;
      shared.bulk.take(part, true);
      if (shared.isGivenUp) return null;
      await interruption?.listen();
      if (interruption && interruption.code !== 0)
        return { survey: shared.bulk.joined([]), index: null, stream };
    }
    const survey = await shared.joined(frames);
    return survey && { survey, index: shared.index, stream };
  } finally {
    await shared.close();
  }
}

/** A vantage of an interface that its capture does not have would silently do nothing. */
function checkInterfaces(vantages: Vantages, { interfaces }: CaptureStream): void {
  const mistakes = vantages.given.flatMap((g): readonly Diagnostic[] => {
    const there = interfaces.filter((iface) => isOf(g, iface));
    if (g.iface === null || there.some(({ name }) => name === g.iface)) return [];
    const names = there.flatMap(({ name }) => name ?? []);
    return [
      {
        code: 'VANTAGE_IFACE_UNKNOWN',
        field: '--vantage',
        message: 'the capture has no such interface',
        found: `${g.file}:${g.iface}`,
        accepted: names.length > 0 ? names.join(', ') : 'FILE=WHERE: this capture names none',
      },
    ];
  });
  if (mistakes.length > 0) throw new UserError(mistakes);
}

/** Say which mapped addresses no packet has: mostly a slip of the pen. */
function warnOfUnusedMap(given: Places['given'], pairs: readonly PairCount[]): void {
  if (given.length === 0 || pairs.length >= MAX_PAIRS) return;
  const seen = new Set(pairs.flatMap(({ a, b }) => [addressKey(a), addressKey(b)]));
  for (const [from] of given) {
    if (!seen.has(addressKey(from)))
      warn(`--map: no packet has the address ${formatAddress(from)}`);
  }
}

/** Files whose clock is off, and of which nobody said by how much, are corrected and named. */
function correctClocks(source: CaptureSource, survey: Survey, quiet: boolean): void {
  const given = source.offsetNames;
  const off = survey.clocks
    .estimate()
    .filter(({ file }) => !given.includes(file) && !given.includes(basename(file)));
  source.correctClocks(new Map(off.map(({ file, addNs }) => [file, addNs])));
  if (quiet) return;
  for (const { file, reference, addNs, sharedPackets } of off) {
    const seconds = `${addNs > 0n ? '+' : ''}${Number(addNs) / 1e9}s`;
    say(
      `note: ${basename(file)}: ${sharedPackets} packets also in ${basename(reference)} show its ` +
        `clock to be off; corrected by ${seconds} (--clock-offset ${basename(file)}=${seconds})`,
    );
  }
}

function readMap(options: readonly string[], world: World): ReturnType<typeof parseMap> {
  const pairs = options.filter((text) => text !== 'auto');
  return parseMap(pairs, world.addresses);
}

/** Vantages whose places exist. */
function checkVantages(options: readonly string[], world: World): Vantages {
  const vantages = Vantages.parse(options);
  const mistakes = vantages.given.flatMap(({ where }): readonly Diagnostic[] => {
    const entry = parseEntry(where);
    if (entry === null || isEntry(world, entry)) return [];
    return [
      {
        code: 'VANTAGE_UNKNOWN',
        field: '--vantage',
        message: 'no such place in the cluster',
        found: where,
        accepted: 'pod/NAMESPACE/NAME, node/NAME[/IFACE] or edge',
      },
    ];
  });
  if (mistakes.length > 0) throw new UserError(mistakes);
  return vantages;
}
