/**
 * The rows of a worker's share on their way to whoever joins them: written as text where an output
 * wants text, each with its place in the whole run.
 * @module
 */
import { Comparison, type Difference } from '../lab/compare/compare.ts';
import type { ConnectionResult, FrameResult } from '../lab/result.ts';
import type { RunSink } from '../lab/stack-run.ts';
import type { World } from '../lab/world.ts';
import { AnnotatedPackets } from '../report/annotated-capture.ts';
import { rowFilter } from '../report/narrow.ts';
import { TopConnections } from '../report/result/top-connections.ts';
import { rowText } from '../report/text/row-text.ts';
import type { Progress, RowsJob } from './job.ts';
import type { OwnShare } from './own-share.ts';
import { RowCollector } from './row-collector.ts';

export type Rows = Pick<Progress, 'rows' | 'packets' | 'differences'>;

/** One verb's rows. */
export interface ShareSink {
  readonly sinks: readonly RunSink[];
  readonly annotated: AnnotatedPackets | null;
  readonly comparison: Comparison | null;
  readonly top: TopConnections;
  /** The latest frame whose row came; frames without a number are those of the one before. */
  readonly lastFrame: number;
  take(): Rows;
}

/** Make the sinks of a share's stacks. */
export function shareSink(job: RowsJob, worlds: readonly World[], share: OwnShare): ShareSink {
  return job.verb === 'replay'
    ? new ReplaySink(job, worlds, share)
    : new CompareSink(worlds, share);
}

class ReplaySink implements ShareSink {
  readonly sinks: readonly RunSink[];
  readonly annotated: AnnotatedPackets | null;
  readonly comparison = null;
  readonly top = new TopConnections();
  lastFrame = 0;
  readonly #collectors: readonly (RowCollector | null)[];
  readonly #share: OwnShare;
  readonly #checked = new WeakSet<object>();

  constructor(
    job: Extract<RowsJob, { verb: 'replay' }>,
    worlds: readonly World[],
    share: OwnShare,
  ) {
    this.#share = share;
    const texts = job.formats.map((format) => rowText(format, job.rows));
    const outputs = texts.map((text) => ({ text, collector: new RowCollector() }));
    this.#collectors = outputs.map(({ text, collector }) => (text.of === 'top' ? null : collector));
    this.annotated = job.annotate ? new AnnotatedPackets() : null;
    const [world] = worlds;
    const isShown = world === undefined ? () => true : rowFilter(job.narrow, world);
    const wantsFrames = job.annotate || texts.some((text) => text.of === 'frames');
    this.sinks = worlds.map(() => ({
      wantsFrames,
      frame: (row: FrameResult) => {
        this.#meet(row);
        this.#check(row);
        this.annotated?.result(row);
        if (!isShown(row)) return;
        for (const { text, collector } of outputs) {
          if (text.of === 'frames') collector.add(this.lastFrame, text.text(row));
        }
      },
      connection: (row: ConnectionResult, { opening }) => {
        if (opening !== null) share.checkJourney(row.protocol, opening);
        if (!isShown(row)) return;
        this.top.add(row);
        for (const { text, collector } of outputs) {
          if (text.of === 'connections') collector.add(share.closed - 1, text.text(row));
        }
      },
    }));
  }

  take(): Rows {
    return {
      rows: this.#collectors.map((collector) => collector?.take() ?? null),
      packets: this.annotated?.take() ?? [],
      differences: [],
    };
  }

  /** Rows that are alike stand for one journey. */
  #check({ journey, protocol, like }: FrameResult): void {
    if (journey === null) return;
    if (like !== undefined) {
      if (this.#checked.has(like)) return;
      this.#checked.add(like);
    }
    this.#share.checkJourney(protocol, journey);
  }

  #meet({ frame }: FrameResult): void {
    if (frame === null) return;
    this.lastFrame = frame;
  }
}

class CompareSink implements ShareSink {
  readonly sinks: readonly RunSink[];
  readonly annotated = null;
  readonly comparison: Comparison;
  readonly top = new TopConnections();
  lastFrame = 0;
  #differences: (readonly [number, Difference])[] = [];

  constructor(worlds: readonly World[], share: OwnShare) {
    this.comparison = new Comparison(worlds, (difference) =>
      this.#differences.push([share.closed - 1, difference]),
    );
    this.sinks = worlds.map((_, index) => {
      const { connection } = this.comparison.sink(index, () => {});
      return {
        frame: (row: FrameResult) => {
          if (row.journey !== null) share.checkJourney(row.protocol, row.journey);
          if (index > 0 || row.frame === null) return;
          this.lastFrame = row.frame;
        },
        connection: (row: ConnectionResult, detail) => {
          if (detail.opening !== null) share.checkJourney(row.protocol, detail.opening);
          connection(row, detail);
        },
      };
    });
  }

  take(): Rows {
    const differences = this.#differences;
    this.#differences = [];
    return { rows: [], packets: [], differences };
  }
}
