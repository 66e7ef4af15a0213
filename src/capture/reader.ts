/**
 * Read captures: several files, folders and standard input as one stream of numbered packets.
 *
 *   files ─► formats ─► merge by time ─► number ─► time window, filter, count ─► batches
 *
 * The merge is stable: of equal times the input named first goes first, and the order within a file
 * never changes, also when its clock went backwards. A file is opened only when its first packet's
 * turn comes, so a thousand rotated files need one or two at a time. Frames are numbered before
 * anything is selected, as Wireshark numbers them.
 * @module
 */
import type { Readable } from 'node:stream';
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { captureFiles } from './capture-files.ts';
import type { Filter } from './filter/filter.ts';
import { matches } from './filter/filter.ts';
import { MergedInputs } from './merge.ts';
import type { CaptureInterface, InputSummary, PacketRecord, ResolvedName } from './record.ts';
import type { RecordWalker, Slab } from './slab.ts';
import type { TimeBound } from './time-bound.ts';

/** Records are handed out at most so many at a time. */
export const BATCH_MAX = 256;
/** And in bulk. */
const MOST_IN_SLAB = 65_536;

export interface CaptureOptions {
  readonly filter?: Filter;
  /** Keep packets not before / not after. */
  readonly since?: TimeBound;
  readonly until?: TimeBound;
  /** Stop after so many packets that were kept. */
  readonly count?: number;
  /** Nanoseconds to add to every timestamp of a file, by its path as given or resolved. */
  readonly clockOffsetsNs?: ReadonlyMap<string, bigint>;
  /** At most `BATCH_MAX`, which is the default. */
  readonly batchSize?: number;
  /** False: files are not digested, and their summaries' `sha256` is ''. */
  readonly digest?: boolean;
  /** What `-` reads; the process's standard input by default. */
  readonly stdin?: Readable;
}

/** A reading under way. Iterate it once; ask for summaries afterwards. */
export interface CaptureStream extends AsyncIterable<readonly PacketRecord[]> {
  /**
   * The same reading, in its stead: ordinary records in bulk. The records are the same, in the same
   * order, however they come; with a filter, a time window or a count
   * all come one by one.
   */
  parts(walker: RecordWalker): AsyncIterable<readonly PacketRecord[] | Slab>;
  /** The files behind the paths, known after the first batch. */
  readonly paths: readonly string[];
  /** One per file, in the order of `paths`; complete when the iteration is over. */
  readonly summaries: readonly InputSummary[];
  /** Interfaces seen so far, by id. */
  readonly interfaces: readonly CaptureInterface[];
  /** Names from name resolution blocks read so far. */
  readonly names: readonly ResolvedName[];
  /** Bytes of stored files read so far, for a progress bar. */
  readonly bytesRead: number;
}

/**
 * Open captures for reading.
 *
 * Nothing is touched before the first batch is asked for. Iterating throws one UserError (exit 3)
 * that names every input that can not be read or is no capture. One that ends too early is not
 * thrown: its whole packets come, and its summary's `truncated` says where it was cut.
 *
 * @param paths files, folders, `-` for standard input
 */
export function openCaptures(
  paths: readonly string[],
  options: CaptureOptions = {},
): CaptureStream {
  return new Captures(paths, options);
}

class Captures implements CaptureStream {
  paths: readonly string[] = [];
  readonly #given: readonly string[];
  readonly #options: CaptureOptions;
  #inputs: MergedInputs | null = null;

  constructor(paths: readonly string[], options: CaptureOptions) {
    this.#given = paths;
    this.#options = options;
  }

  get summaries(): readonly InputSummary[] {
    return this.#inputs?.summaries ?? [];
  }

  get interfaces(): readonly CaptureInterface[] {
    return this.#inputs?.interfaces ?? [];
  }

  get names(): readonly ResolvedName[] {
    return this.#inputs?.names ?? [];
  }

  get bytesRead(): number {
    return this.#inputs?.bytesRead ?? 0;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly PacketRecord[]> {
    for await (const part of this.#read(null)) if (!('window' in part)) yield part;
  }

  parts(walker: RecordWalker): AsyncIterable<readonly PacketRecord[] | Slab> {
    return this.#read(walker);
  }

  async *#read(walker: RecordWalker | null): AsyncGenerator<readonly PacketRecord[] | Slab> {
    const options = this.#options;
    this.paths = await captureFiles(this.#given);
    const window = await timeWindow(this.paths, options);
    const inputs = await this.#open();
    this.#inputs = inputs;
    const size = Math.max(1, Math.min(options.batchSize ?? BATCH_MAX, BATCH_MAX));
    let left = options.count ?? Number.POSITIVE_INFINITY;
    // What was read beyond the last packet counts as read: equal however records come.
    const isWhole = window === null && options.filter === undefined && options.count === undefined;
    const bulk = isWhole ? walker : null;
    // Of what is not in bulk: the more there was of it, the more is taken at a time.
    let few = 1;
    try {
      while (left > 0) {
        const slab = bulk === null ? null : inputs.slab(bulk, MOST_IN_SLAB);
        if (slab !== null) {
          few = 1;
          yield slab;
          continue;
        }
        if (bulk !== null && (await inputs.extend())) continue;
        const batch = await (bulk === null ? inputs.next(size) : inputs.next(few, few));
        few = Math.min(few * 2, size);
        if (batch.length === 0) break;
        const kept = select(batch, window, options.filter ?? null, left);
        left -= kept.length;
        if (kept.length > 0) yield kept;
      }
    } finally {
      await inputs.finish();
    }
  }

  #open(): Promise<MergedInputs> {
    return MergedInputs.open(this.paths, this.#options.clockOffsetsNs ?? new Map(), {
      stdin: () => this.#options.stdin ?? process.stdin,
      digest: this.#options.digest ?? true,
    });
  }
}

interface TimeWindow {
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
}

function select(
  batch: readonly PacketRecord[],
  window: TimeWindow | null,
  filter: Filter | null,
  limit: number,
): readonly PacketRecord[] {
  if (window === null && filter === null && batch.length <= limit) return batch;
  const kept: PacketRecord[] = [];
  for (const record of batch) {
    if (kept.length >= limit) break;
    if (window !== null && !inWindow(window, record.timeNs)) continue;
    if (filter === null || matches(filter, record)) kept.push(record);
  }
  return kept;
}

function inWindow(window: TimeWindow, timeNs: bigint): boolean {
  return timeNs >= window.sinceNs && timeNs <= window.untilNs;
}

const BEFORE_ALL = -(1n << 100n);
const AFTER_ALL = 1n << 100n;

/** Resolve the bounds; a span before the end needs the end, so the files are read once before. */
async function timeWindow(
  paths: readonly string[],
  options: CaptureOptions,
): Promise<TimeWindow | null> {
  const { since, until } = options;
  if (since === undefined && until === undefined) return null;
  const relative = since?.kind === 'beforeEnd' || until?.kind === 'beforeEnd';
  const end = relative ? await latestTime(paths, options) : 0n;
  const resolve = (bound: TimeBound) => (bound.kind === 'at' ? bound.timeNs : end - bound.spanNs);
  return {
    sinceNs: since === undefined ? BEFORE_ALL : resolve(since),
    untilNs: until === undefined ? AFTER_ALL : resolve(until),
  };
}

async function latestTime(paths: readonly string[], options: CaptureOptions): Promise<bigint> {
  if (paths.includes('-')) {
    const mistake: Diagnostic = {
      code: 'TIME_BOUND_STDIN',
      field: '--since/--until',
      message: 'a span before the end needs the end, which standard input does not show beforehand',
      accepted: 'a moment (RFC 3339), or a file',
    };
    throw new UserError([mistake]);
  }
  const { clockOffsetsNs } = options;
  let latest = BEFORE_ALL;
  const whole = openCaptures(paths, clockOffsetsNs === undefined ? {} : { clockOffsetsNs });
  for await (const batch of whole) {
    for (const record of batch) if (record.timeNs > latest) latest = record.timeNs;
  }
  return latest;
}
