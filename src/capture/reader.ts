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
import { MergedInputs } from './merge.ts';
import type { CaptureInterface, InputSummary, PacketRecord, ResolvedName } from './record.ts';
import { Selection } from './selection.ts';
import { type RecordWalker, type Slab, slabOf } from './slab.ts';
import type { TimeBound } from './time-bound.ts';

/** Records are handed out at most so many at a time. */
export const BATCH_MAX = 256;
/** And in bulk. */
const MOST_IN_SLAB = 65_536;
/** Where files take turns of fewer records than this, their records are put together. */
const WORTH_A_SLAB = 16;

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
   * order, however they come.
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
    const selection = await this.#selection(walker);
    const inputs = await this.#open();
    this.#inputs = inputs;
    const size = Math.max(1, Math.min(options.batchSize ?? BATCH_MAX, BATCH_MAX));
    // Of what is not in bulk: the more there was of it, the more is taken at a time.
    let few = 1;
    try {
      while (!selection.isFull) {
        const slab = walker === null ? null : inputs.slab(walker, MOST_IN_SLAB);
        if (slab !== null) {
          few = inputs.takesTurns && slab.count < WORTH_A_SLAB ? size : 1;
          const kept = selection.ofSlab(slab);
          if (kept.count > 0) yield kept;
          continue;
        }
        if (walker !== null && (await inputs.extend())) continue;
        const batch = await (walker === null ? inputs.next(size) : inputs.next(few, few));
        few = Math.min(few * 2, size);
        if (batch.length === 0) break;
        const kept = selection.of(batch);
        if (kept.length === 0) continue;
        const joined = walker !== null && inputs.takesTurns ? slabOf(kept, walker.columns) : null;
        yield joined ?? kept;
      }
    } finally {
      await inputs.finish(selection.isFull ? selection.surplus : null);
    }
  }

  /** Bounds resolved; a span before the end needs the end, so the files are read once before. */
  async #selection(walker: RecordWalker | null): Promise<Selection> {
    const { since, until, count, filter } = this.#options;
    const isRelative = since?.kind === 'beforeEnd' || until?.kind === 'beforeEnd';
    const end = isRelative ? await latestTime(this.paths, this.#options, walker) : 0n;
    const resolve = (bound: TimeBound) => (bound.kind === 'at' ? bound.timeNs : end - bound.spanNs);
    return new Selection({
      sinceNs: since === undefined ? null : resolve(since),
      untilNs: until === undefined ? null : resolve(until),
      filter: filter ?? null,
      count: count ?? null,
    });
  }

  #open(): Promise<MergedInputs> {
    return MergedInputs.open(this.paths, this.#options.clockOffsetsNs ?? new Map(), {
      stdin: () => this.#options.stdin ?? process.stdin,
      digest: this.#options.digest ?? true,
    });
  }
}

const BEFORE_ALL = -(1n << 100n);

async function latestTime(
  paths: readonly string[],
  { clockOffsetsNs }: CaptureOptions,
  walker: RecordWalker | null,
): Promise<bigint> {
  if (paths.includes('-')) {
    const mistake: Diagnostic = {
      code: 'TIME_BOUND_STDIN',
      field: '--since/--until',
      message: 'a span before the end needs the end, which standard input does not show beforehand',
      accepted: 'a moment (RFC 3339), or a file',
    };
    throw new UserError([mistake]);
  }
  const offsets = clockOffsetsNs === undefined ? {} : { clockOffsetsNs };
  const whole = openCaptures(paths, { ...offsets, digest: false });
  let latest = BEFORE_ALL;
  for await (const part of walker === null ? whole : whole.parts(walker)) {
    const times =
      'window' in part
        ? part.columns.times.subarray(0, part.count)
        : part.map(({ timeNs }) => timeNs);
    for (const timeNs of times) if (timeNs > latest) latest = timeNs;
  }
  return latest;
}
