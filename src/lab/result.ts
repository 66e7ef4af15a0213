/**
 * What a run says: the shapes behind `wiretrial/v1`. Only grows once released.
 * @module
 */
import type { Journey } from '../engine/engine.ts';
import type { Evidence } from '../plan/model.ts';
import type { DropReason, UnknownReason } from '../wire/drop-reason.ts';

/** What became of one input frame; every frame has exactly one (balance). */
export const FRAME_OUTCOMES = [
  'delivered',
  'exited',
  'dropped',
  'consumed',
  'suppressed',
  'unknown',
  'observed',
] as const;
export type FrameOutcome = (typeof FRAME_OUTCOMES)[number];

/** Why a frame was not sent, or counts as seen already. */
export type ReplayReason = 'causeNotDelivered' | 'flowEnded' | 'observation' | 'duplicate';

export type Verdict = 'allowed' | 'denied' | 'broken' | 'depends' | 'unknown';

/** How one direction of a connection fared. */
export interface DirectionResult {
  readonly result: 'delivered' | 'dropped' | 'notCaptured' | 'unknown';
  readonly reason: string | null;
  readonly decidedBy: DecidedBy | null;
}

/** The deciding place and rule, named for a person. */
export interface DecidedBy {
  readonly node: string;
  readonly hook: string;
  /** `filter/AZURE-NPM-INGRESS rule 3`. */
  readonly rule: string | null;
  /** The rule as iptables-save prints it. */
  readonly text: string | null;
  /** `shop/NetworkPolicy/deny-all`; several when an implicit deny stands for them all. */
  readonly policy: string | null;
  readonly policies: readonly string[];
  /** `policies.yaml:14`. */
  readonly source: string | null;
}

/** Numbers and names of one frame's five-tuple; ports null where the protocol has none. */
export interface Endpoints {
  readonly protocol: string;
  readonly src: string | null;
  readonly sport: number | null;
  readonly dst: string | null;
  readonly dport: number | null;
  /** `pod/shop/web`, `node/node-a`, or null for an address outside the cluster. */
  readonly from: string | null;
  readonly to: string | null;
}

/** Addresses and ports as reports print them. */
export interface HeaderEnds {
  readonly src: string;
  readonly dst: string;
  readonly sport: number | null;
  readonly dport: number | null;
}

/** How a connection fares under each choice that translation could have made for it. */
export interface Choice {
  readonly of: number;
  readonly allowed: number;
  /** Of being allowed, before anything is drawn. */
  readonly probability: number;
  /** `captured`: the capture shows which one was taken; `drawn`: the seed took one. */
  readonly by: 'captured' | 'drawn';
  /** False when there were more choices than could be tried. */
  readonly complete: boolean;
}

/** One row of `replay -o jsonl`. */
export interface FrameResult extends Endpoints {
  /** Null for packets that we generate; `cause` then names the frame behind it. */
  readonly frame: number | null;
  readonly cause?: number;
  readonly timeNs: bigint;
  readonly outcome: FrameOutcome;
  readonly reason: DropReason | UnknownReason | ReplayReason | null;
  readonly decidedBy: DecidedBy | null;
  readonly connection: number | null;
  /** Headers as delivered; null where nothing came out. */
  readonly out: HeaderEnds | null;
  /** True for a retransmission of a packet that was not delivered. */
  readonly retransmission: boolean;
  /** Notes a reader should see: offloaded checksum, aggregate above the MTU, cut by snaplen. */
  readonly notes: readonly string[];
  /** Null for frames that were not injected. */
  readonly journey: Journey | null;
  /** Rows that share one say the same but for frame, time and notes; absent: nobody knows. */
  readonly like?: object;
}

/** One row of `connections[]`. */
export interface ConnectionResult extends Endpoints {
  readonly id: number;
  readonly verdict: Verdict;
  readonly reason: string | null;
  readonly decidedBy: DecidedBy | null;
  readonly forward: DirectionResult;
  readonly reply: DirectionResult;
  readonly opening: 'seen' | 'assumed' | 'listed' | 'unknown';
  readonly evidence: Evidence;
  readonly packets: number;
  readonly bytes: number;
  readonly firstFrame: number;
  readonly contradicted: boolean;
  /** Its ends after translation, as far as the opening got; null when nothing changed them. */
  readonly translated: HeaderEnds | null;
  /** Backends and nodes that could have been chosen; null when nothing was. */
  readonly choice: Choice | null;
}

export interface ReplayCounts {
  readonly packets: number;
  readonly outcomes: Readonly<Record<FrameOutcome, number>>;
  readonly connections: Readonly<Record<Verdict | 'total' | 'contradicted', number>>;
  readonly generated: number;
  /** What the checksum, clock and duplicate rules met, by name. */
  readonly notes: Readonly<Record<string, number>>;
}

/** One row of the drop table: same reason, same rule. */
export interface DropRow {
  readonly reason: string;
  readonly packets: number;
  readonly connections: number;
  readonly decidedBy: DecidedBy | null;
}
