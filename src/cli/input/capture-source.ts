/**
 * What `-r` names, readable twice: the first pass learns who leaves checksums to hardware and who
 * talks with whom, the second judges. Standard input and pipes (`-r <(zcat …)`) can be read only
 * once, so they are kept in a temporary file until the run is over.
 * @module
 */
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { captureFiles } from '../../capture/capture-files.ts';
import type { Filter } from '../../capture/filter/filter.ts';
import { parseFilter } from '../../capture/filter/filter.ts';
import { type CaptureStream, openCaptures } from '../../capture/reader.ts';
import type { InputSummary } from '../../capture/record.ts';
import { parseTimeBound, type TimeBound } from '../../capture/time-bound.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { CaptureJob } from '../../workers/job.ts';
import { together } from '../mistakes.ts';
import type { CaptureOptions } from '../options.ts';

const STDIN = '-';

/** What the options ask for, checked. */
interface Asked {
  readonly paths: readonly string[];
  readonly filter: Filter | null;
  /** The filter as it was given. */
  readonly words: string | null;
  readonly since: TimeBound | null;
  readonly until: TimeBound | null;
  readonly count: number | null;
  readonly offsetsNs: ReadonlyMap<string, bigint>;
}

export class CaptureSource {
  readonly #asked: Asked;
  /** By path as given: the file that holds what came through it. */
  readonly #kept = new Map<string, string>();
  /** What the paths stand for: a folder's captures are those that it had at the beginning. */
  #files: readonly string[] | null = null;
  /** Offsets that the first pass found, by resolved path; what the user gave goes first. */
  #estimatedNs: ReadonlyMap<string, bigint> = new Map();
  #folder: string | null = null;

  private constructor(asked: Asked) {
    this.#asked = asked;
  }

  /** Check the options; nothing is opened yet. Every mistake is reported. */
  static parse(options: CaptureOptions, words: readonly string[]): CaptureSource {
    const { read, since, until, count, clockOffset } = options;
    const [paths, filter, from, to, offsetsNs] = together(
      () => checkPaths(read),
      () => (words.length === 0 ? null : parseFilter(words.join(' '))),
      () => (since === undefined ? null : parseTimeBound(since, '--since')),
      () => (until === undefined ? null : parseTimeBound(until, '--until')),
      () => parseOffsets(clockOffset),
    );
    const expression = words.length === 0 ? null : words.join(' ');
    checkWindow(from, to);
    const window = { since: from, until: to, count: count ?? null };
    const asked = { paths, filter, words: expression, ...window, offsetsNs };
    return new CaptureSource(asked);
  }

  /** Paths as given. */
  get paths(): readonly string[] {
    return this.#asked.paths;
  }

  /** Whether a count may end the reading before the end. */
  get isCounted(): boolean {
    return this.#asked.count !== null;
  }

  /** Take in what can be read only once. Call before `stream`. */
  async open(): Promise<void> {
    for (const path of new Set(this.paths)) {
      if (path !== STDIN && !isPipe(path)) continue;
      this.#folder ??= mkdtempSync(join(tmpdir(), 'wiretrial-'));
      const folder = join(this.#folder, String(this.#kept.size));
      mkdirSync(folder);
      // The name stays, also that of standard input, so that --vantage finds it by its name.
      const file = join(folder, basename(path));
      await pipeline(
        path === STDIN ? process.stdin : createReadStream(path),
        createWriteStream(file),
      );
      this.#kept.set(path, file);
    }
    this.#files = await captureFiles(this.resolved(this.paths));
  }

  /** Start reading from the beginning; without a digest where nobody asks for the summaries'. */
  stream({ digest = true } = {}): CaptureStream {
    const { filter } = this.#asked;
    const { paths, since, until, count, offsetsNs } = this.job();
    return openCaptures(paths, {
      digest,
      ...(filter === null ? {} : { filter }),
      ...(since === null ? {} : { since }),
      ...(until === null ? {} : { until }),
      ...(count === null ? {} : { count }),
      clockOffsetsNs: offsetsNs,
    });
  }

  /** The reading, for somebody else to do. */
  job(): CaptureJob {
    const { words: filter, since, until, count, offsetsNs } = this.#asked;
    const paths = this.#files ?? this.resolved(this.paths);
    // A file is called by its path or by its name alone, as --vantage has it.
    const byFile = paths.flatMap((path) => {
      const name = basename(this.#given(path));
      const ns = offsetsNs.get(this.#given(path)) ?? offsetsNs.get(name);
      return ns === undefined ? [] : [[path, ns] as const];
    });
    return {
      paths,
      filter,
      since,
      until,
      count,
      offsetsNs: new Map([...this.#estimatedNs, ...byFile]),
    };
  }

  /** Correct these files' clocks from the next reading on. */
  correctClocks(offsetsNs: ReadonlyMap<string, bigint>): void {
    this.#estimatedNs = offsetsNs;
  }

  /** Summaries with the paths that the user gave. */
  summaries({ summaries }: Pick<CaptureStream, 'summaries'>): readonly InputSummary[] {
    return summaries.map((s) => ({ ...s, path: this.#given(s.path) }));
  }

  /** What was thrown, with the paths that the user gave: readers know only those of files. */
  named(error: unknown): unknown {
    if (!(error instanceof UserError) || this.#kept.size === 0) return error;
    const diagnostics = error.diagnostics.map((d) =>
      d.file === undefined ? d : { ...d, file: this.#given(d.file) },
    );
    return new UserError(diagnostics, error.fault, error.cause);
  }

  /** The path that the user gave for a file. */
  #given(file: string): string {
    for (const [path, kept] of this.#kept) if (kept === file) return path;
    return file;
  }

  /** Paths as the user gave them, as readers are given them. */
  resolved(paths: readonly string[]): readonly string[] {
    return paths.map((path) => this.#resolve(path));
  }

  #resolve(path: string): string {
    return this.#kept.get(path) ?? path;
  }

  /** Stored bytes behind a resolved path, for a progress bar; 0 when nobody knows. */
  sizeOf(path: string): number {
    return statSync(this.#kept.get(path) ?? path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** The same of several paths together. */
  sizeOfAll(paths: readonly string[]): number {
    return paths.reduce((sum, path) => sum + this.sizeOf(path), 0);
  }

  /** The one file that is read as it is, whole and not compressed; null when it is not so. */
  wholeFile(): string | null {
    const { paths, filter, since, until, count, offsetsNs } = this.#asked;
    const [path] = paths;
    const isAll = filter === null && since === null && until === null && count === null;
    if (!isAll || offsetsNs.size > 0 || paths.length !== 1 || path === undefined || path === STDIN)
      return null;
    const file = this.#kept.get(path) ?? path;
    const isFile = statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
    return isFile && !file.endsWith('.gz') ? file : null;
  }

  /** Options that speak of a file which is not among the inputs would silently do nothing. */
  checkNames(stream: CaptureStream, option: string, names: readonly string[]): void {
    const known = stream.paths.flatMap((path) => [path, basename(path)]);
    const mistakes = names
      .filter((name) => !known.includes(name) && !this.#kept.has(name))
      .map((name) => ({
        code: 'CAPTURE_NAME_UNKNOWN',
        field: option,
        message: 'names a file that is not among the captures',
        found: name,
        accepted: stream.paths
          .slice(0, 10)
          .map((path) => this.#given(path))
          .join(', '),
      }));
    if (mistakes.length > 0) throw new UserError(mistakes);
  }

  /** Files whose clocks are corrected. */
  get offsetNames(): readonly string[] {
    return [...this.#asked.offsetsNs.keys()];
  }

  close(): void {
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true });
    this.#folder = null;
  }
}

/** A FIFO or `/dev/fd/N`: what comes through it comes once. */
function isPipe(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && !found.isFile() && !found.isDirectory();
}

/** A window that ends before it begins lets nothing through, which nobody asks for. */
function checkWindow(since: TimeBound | null, until: TimeBound | null): void {
  if (since === null || until === null || since.kind !== until.kind) return;
  const [from, to] = [placeInTime(since), placeInTime(until)];
  if (from <= to) return;
  throw new UserError([
    {
      code: 'TIME_WINDOW',
      field: '--since',
      message: 'the window begins after its end',
      accepted: '--since before --until; a span counts back from the end of the capture',
    },
  ]);
}

/** Grows with time, within bounds of one kind. */
function placeInTime(bound: TimeBound): bigint {
  return bound.kind === 'at' ? bound.timeNs : -bound.spanNs;
}

function checkPaths(read: readonly string[]): readonly string[] {
  const missing = read.filter((path) => path !== STDIN && !existsSync(path));
  if (missing.length > 0) {
    const message = 'no such file or directory';
    const mistakes = missing.map((file) => ({ code: 'CAPTURE_UNREADABLE', file, message }));
    throw new UserError(mistakes, 'input');
  }
  if (read.length > 0) return read;
  throw new UserError([
    {
      code: 'CAPTURE_MISSING',
      field: '-r',
      message: 'no capture was given',
      accepted: '-r FILE (pcap or pcapng, .gz too), a folder, or -',
    },
  ]);
}

function parseOffsets(options: readonly string[]): ReadonlyMap<string, bigint> {
  const mistakes: Diagnostic[] = [];
  const offsets = options.flatMap((text) => {
    const at = text.lastIndexOf('=');
    const span = at > 0 ? parseSpan(text.slice(at + 1)) : null;
    if (span !== null) return [[text.slice(0, at), span] as const];
    mistakes.push({
      code: 'CLOCK_OFFSET',
      field: '--clock-offset',
      message: 'can not be read',
      found: text,
      accepted: 'FILE=+1.5s or FILE=-200ms',
    });
    return [];
  });
  if (mistakes.length > 0) throw new UserError(mistakes);
  return new Map(offsets);
}

/** `+1.5s`, `-200ms`, `3s` in nanoseconds; null when it is no span. */
function parseSpan(text: string): bigint | null {
  try {
    const bound = parseTimeBound(text.replace(/^[+-]/, ''), '--clock-offset');
    if (bound.kind !== 'beforeEnd') return null;
    return text.startsWith('-') ? -bound.spanNs : bound.spanNs;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}
