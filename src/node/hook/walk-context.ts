/**
 * What a walk through rules is given beside the packet, and what it comes back with.
 * @module
 */
import type { ConntrackTable } from '../../conntrack/table.ts';
import type { HostImage, RulePart } from '../../image/image.ts';
import type { LinkedRule } from '../../image/program.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import type { NatRange, RejectWith } from '../../netfilter/target.ts';
import type { DropReason, UnknownReason } from '../../wire/drop-reason.ts';
import type { RuleCounters } from '../counters.ts';
import type { Draws } from '../match/memory/draws.ts';
import type { RuleMemory } from '../match/memory/rule-memory.ts';
import type { RuleIndexes } from '../rule-index/rule-indexes.ts';
import type { VirtualConnections } from '../virtual-server/connections.ts';
import type { Recorder } from './walk-recorder.ts';

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

/** Everything a walk needs beside the packet; one per host and injection. */
export interface WalkContext {
  readonly image: HostImage;
  readonly counters: RuleCounters;
  readonly connections: ConnectionFacts;
  readonly recorder: Recorder;
  /** Virtual time. */
  readonly nowNs: number;
  /** What it is in the world, in whole seconds since 1970; absent when nobody knows. */
  readonly utcSeconds?: number | undefined;
  /** What rules remember; absent: in `counters`. */
  readonly memory?: RuleMemory;
  /** The host's connections, for rules that count them. */
  readonly table?: ConntrackTable;
  /** Whom its virtual servers gave connections to, for rules that ask. */
  readonly virtual?: VirtualConnections;
  /** Of long chains: what spares the walk rules that miss. Absent: every rule is looked at. */
  readonly indexes?: RuleIndexes | null;
  /** Seed of everything the kernel would draw. */
  readonly seed: number;
  /** The chances of a new connection, while the nat table is asked about it. */
  draws?: Draws | undefined;
  /**
   * Asked when a rule drops the packet for a NetworkPolicy; true walks on at the next rule, as if
   * the rule had only counted. For diagnoses, never for verdicts.
   */
  readonly forgive?: ((verdict: DropVerdict) => boolean) | undefined;
}

export type Origins = readonly Provenance[];

export interface DropVerdict {
  readonly kind: 'drop';
  readonly reason: DropReason;
  readonly rule: LinkedRule | null;
  readonly origin: Origins;
}

export interface RejectVerdict {
  readonly kind: 'reject';
  readonly with: RejectWith;
  readonly reason: DropReason;
  readonly rule: LinkedRule;
  readonly origin: Origins;
}

/**
 * What a table did with the packet.
 *
 * `rule` is the rule that decided; null when the built-in chain's policy did. `origin` is whom the
 * verdict goes back to: the rule's own origin; for a rule that only tests marks, the origins of
 * the rules that set them; else those of the jump that led there. `part` is the match that could
 * not be answered; one past the last match when it is the target.
 */
export type WalkVerdict =
  | { readonly kind: 'accept'; readonly rule: LinkedRule | null; readonly origin: Origins }
  | DropVerdict
  | RejectVerdict
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
