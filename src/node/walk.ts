/**
 * The rule walk: one packet through one table, exactly as ipt_do_table does it.
 *
 * Publishes the context, the verdicts and the recorder that the host pipeline works with.
 * @module
 */
import type { HostImage, RulePart } from '../image/image.ts';
import type { LinkedRule, LinkedTable } from '../image/program.ts';
import type { Hook, TableName } from '../netfilter/hook.ts';
import type { Provenance } from '../netfilter/rule.ts';
import type { NatRange, RejectWith } from '../netfilter/target.ts';
import type { Packet } from '../packet/packet.ts';
import type { DropReason, UnknownReason } from '../wire/drop-reason.ts';
import type { RuleCounters } from './counters.ts';

/**
 * What rules may ask of, and do to, the packet's connection (`packet.connection`, never null when
 * these are called).
 */
export interface ConnectionFacts {
  mark(connection: object): number;
  setMark(connection: object, mark: number): void;
  /** IPS_SRC_NAT / IPS_DST_NAT. */
  isSourceTranslated(connection: object): boolean;
  isDestinationTranslated(connection: object): boolean;
}

/** What sees the rules go by. */
export interface Recorder {
  /** Whether `missed` is wanted. */
  readonly tracing: boolean;
  matched(rule: LinkedRule, packet: Packet): void;
  missed(rule: LinkedRule, part: RulePart, packet: Packet, ctx: WalkContext): void;
}

/** Everything a walk needs beside the packet; one per host and injection. */
export interface WalkContext {
  readonly image: HostImage;
  readonly counters: RuleCounters;
  readonly connections: ConnectionFacts;
  readonly recorder: Recorder;
  /** Virtual time. */
  readonly nowNs: number;
  /** Seed of everything the kernel would draw. */
  readonly seed: number;
}

/**
 * What a table did with the packet.
 *
 * `rule` is the rule that decided; null when the built-in chain's policy did. `origin` is whom the
 * verdict goes back to: the rule's own origin or, for a rule that only tests marks, the origins
 * of the rules that set them. `part` is the match that could not be answered.
 */
export type WalkVerdict =
  | { readonly kind: 'accept'; readonly rule: LinkedRule | null; readonly origin: Origins }
  | {
      readonly kind: 'drop';
      readonly reason: DropReason;
      readonly rule: LinkedRule | null;
      readonly origin: Origins;
    }
  | {
      readonly kind: 'reject';
      readonly with: RejectWith;
      readonly reason: DropReason;
      readonly rule: LinkedRule;
      readonly origin: Origins;
    }
  | {
      readonly kind: 'snat' | 'dnat' | 'masquerade';
      readonly range: NatRange;
      readonly rule: LinkedRule;
      readonly origin: Origins;
    }
  | {
      readonly kind: 'unknown';
      readonly reason: UnknownReason;
      readonly rule: LinkedRule;
      readonly part: RulePart;
      readonly origin: Origins;
    };

export type Origins = readonly Provenance[];

/** Run one table at one hook; a table the plan does not have accepts. */
export declare function runTable(
  ctx: WalkContext,
  table: TableName,
  hook: Hook,
  packet: Packet,
): WalkVerdict;

/**
 * Run several tables of one hook in order; stops at the first verdict that is not accept. Returns
 * the last accept that a rule gave, else the last table's.
 */
export declare function runHook(
  ctx: WalkContext,
  hook: Hook,
  packet: Packet,
  tables?: readonly TableName[],
): WalkVerdict;

export type { LinkedTable };
