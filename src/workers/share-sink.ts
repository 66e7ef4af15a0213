/**
 * The rows of a worker's share on their way to whoever joins them: written as text where an output
 * wants text, each with its place in the whole run.
 * @module
 */
import { Comparison, type Difference } from '../lab/compare/compare.ts';
import type { ConnectionResult, FrameResult } from '../lab/result.ts';
import { rowWith } from '../lab/run/row-terms.ts';
import type { RunSink } from '../lab/stack-run.ts';
import type { World } from '../lab/world.ts';
import { AnnotatedPackets } from '../report/annotated-capture.ts';
import { rowFilter } from '../report/narrow.ts';
import { TopConnections } from '../report/result/top-connections.ts';
import { FrameOutputs } from '../report/text/frame-outputs.ts';
import { rowText } from '../report/text/row-text.ts';
import type { Progress, RowsJob } from './job.ts';
import type { OwnShare } from './own-share.ts';
import { type Reuse, RowCollector } from './row-collector.ts';

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
export function shareSink(
  job: RowsJob,
  worlds: readonly World[],
  share: OwnShare,
  reuse: Reuse,
): ShareSink {
  return job.verb === 'replay'
    ? new ReplaySink(job, worlds, share, reuse)
    : new CompareSink(worlds, share);
}

class ReplaySink implements ShareSink {
  readonly sinks: readonly RunSink[];
  readonly annotated: AnnotatedPackets | null;
  readonly comparison = null;
  readonly top = new TopConnections();
  lastFrame = 0;
  readonly #collectors: readonly (RowCollector | null)[];

  constructor(
    job: Extract<RowsJob, { verb: 'replay' }>,
    worlds: readonly World[],
    share: OwnShare,
    reuse: Reuse,
  ) {
    const texts = job.formats.map((format) => rowText(format, job.rows));
    const outputs = texts.map((text) => ({ text, collector: new RowCollector(reuse) }));
    this.#collectors = outputs.map(({ text, collector }) => (text.of === 'top' ? null : collector));
    this.annotated = job.annotate ? new AnnotatedPackets() : null;
    const [world] = worlds;
    const isShown = world === undefined ? () => true : rowFilter(job.narrow, world);
    const frames = new FrameOutputs(
      outputs.flatMap(({ text, collector }) =>
        text.of === 'frames' ? [{ lines: text.lines, to: collector }] : [],
      ),
      isShown,
    );
    this.sinks = worlds.map(() => ({
      wantsFrames: job.annotate || texts.some((text) => text.of === 'frames'),
      frame: (row: FrameResult) => {
        this.lastFrame = row.frame ?? this.lastFrame;
        if (row.journey !== null) share.checkJourney(row.protocol, row.journey);
        this.annotated?.result(row);
        frames.row(row, this.lastFrame);
      },
      alike: (terms, frame, timeNs, notes) => {
        this.lastFrame = frame;
        // Rows that are alike stand for one journey.
        const { words, journey, protocol } = terms;
        if (words === null && journey !== null) share.checkJourney(protocol, journey);
        this.annotated?.result(rowWith(terms, { frame, timeNs, notes }));
        frames.alike(terms, frame, timeNs, notes);
      },
      connection: (row: ConnectionResult, { opening }) => {
        if (opening !== null) share.checkJourney(row.protocol, opening);
        if (!isShown(row)) return;
        this.top.add(row);
        for (const { text, collector } of outputs) {
          if (text.of !== 'connections') continue;
          collector.text.text(text.text(row));
          collector.added(share.closed - 1);
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
