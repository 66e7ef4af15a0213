/**
 * What a worker is told and what it tells: plain data that can be copied between threads.
 * @module
 */
import type { InputSummary } from '../capture/record.ts';
import type { TimeBound } from '../capture/time-bound.ts';
import type { Cluster } from '../cluster/model.ts';
import type { Stack } from '../dataplane/dataplane.ts';
import type { Diagnostic, FaultClass } from '../diagnostic/diagnostic.ts';
import type { Engine } from '../engine/engine.ts';
import type { ComparisonPart, Difference } from '../lab/compare/compare.ts';
import type { ChecksumMode, Seen } from '../lab/datagram/checksums.ts';
import type { CaptureIndex } from '../lab/lane/capture-index.ts';
import type { ConnectionResult } from '../lab/result.ts';
import type { TallyPart } from '../lab/tally.ts';
import type { Midstream } from '../lab/traffic/conversation.ts';
import type { Views } from '../lab/traffic/translations.ts';
import type { Given } from '../lab/traffic/vantage.ts';
import type { NetworkPolicy } from '../policy/model.ts';
import type { AnnotatedPacket } from '../report/annotated-capture.ts';
import type { Format } from '../report/formats.ts';
import type { NarrowFlags } from '../report/narrow.ts';
import type { RowKind } from '../report/text/row-text.ts';
import type { Address } from '../wire/address/address.ts';

/** How the capture is read; the same for everybody. */
export interface CaptureJob {
  /** Files: what came through standard input or a pipe stands in one by now. */
  readonly paths: readonly string[];
  /** A pcap filter expression. */
  readonly filter: string | null;
  readonly since: TimeBound | null;
  readonly until: TimeBound | null;
  readonly count: number | null;
  readonly offsetsNs: ReadonlyMap<string, bigint>;
}

/** What the first pass learned, and what options say of the traffic. */
export interface TrafficJob {
  readonly map: readonly (readonly [Address, Address])[];
  readonly checksums: ChecksumMode;
  readonly senders: ReadonlyMap<string, Seen>;
  readonly translations: readonly Views[];
  readonly midstream: Midstream;
  readonly vantages: readonly Given[];
  readonly fragmented: ReadonlySet<string>;
}

/** What is wanted of the rows. */
export type RowsJob =
  | {
      readonly verb: 'replay';
      readonly formats: readonly Format[];
      readonly rows: RowKind;
      readonly annotate: boolean;
      readonly narrow: NarrowFlags;
    }
  | { readonly verb: 'compare' };

/** One run, the same for all its workers. */
export interface Job {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  readonly stacks: readonly Stack[];
  readonly seed: number;
  readonly engine: Engine['name'];
  /** For which the compiled engine has room; null: as many as it likes. */
  readonly maxConnections: number | null;
  readonly openLoop: boolean;
  readonly capture: CaptureJob;
  readonly traffic: TrafficJob;
  /** In memory that all share; null where the first pass left none. */
  readonly index: CaptureIndex | null;
  readonly rows: RowsJob;
  readonly clientsHidden: boolean;
  /** The worker of each shard. */
  readonly owners: readonly number[];
  readonly workers: number;
  /** Records that are taken at a time. */
  readonly batch: number;
}

/** Rows of one stream as bytes: where each ends, and its place among all workers' rows. */
export interface RowChunk {
  readonly keys: Float64Array;
  readonly ends: Uint32Array;
  readonly bytes: Uint8Array;
}

/** What was settled since the last message. */
export interface Progress {
  /** One of each output that writes text of rows; null for the others. */
  readonly rows: readonly (RowChunk | null)[];
  readonly packets: readonly AnnotatedPacket[];
  readonly differences: readonly (readonly [number, Difference])[];
  /** Rows of frames up to this one are all sent. */
  readonly framesThrough: number;
  /** Rows of connections that were closed as one of the first so many are all sent. */
  readonly closedBelow: number;
  readonly bytesRead: number;
  readonly packetsRead: number;
  readonly isLast: boolean;
}

/** What a worker has counted when its share is over. */
export interface ShareResult {
  readonly parts: readonly TallyPart[];
  readonly comparison: ComparisonPart | null;
  /** Connections that a table of the results may show. */
  readonly top: readonly ConnectionResult[];
  readonly clock: { readonly backwardSteps: number; readonly longGaps: number };
  readonly inputs: readonly InputSummary[];
  readonly frames: number;
  readonly connections: number;
  readonly interrupted: boolean;
  readonly orderedPackets: number;
  readonly orderedConnections: number;
  /** Packets for whose connections the compiled engine's tables had no room. */
  readonly tableFull: number;
}

/** How a worker's share ended. */
export type ShareOutcome =
  | { readonly ok: true; readonly result: ShareResult }
  | {
      readonly ok: false;
      readonly fault: FaultClass | 'internal';
      readonly diagnostics: readonly Diagnostic[];
      readonly message: string;
    };
