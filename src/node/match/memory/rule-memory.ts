/**
 * What the rules of one host remember of packets (stateful.ts and its neighbours): plain data, so
 * that a dry run can work on a copy.
 * @module
 */
import type { SetMembers } from '../../../image/set/set-memory.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import { emptyNftMemory, type NftMemory } from '../../nft/memory.ts';
import type { CountedConnection } from './connlimit.ts';
import type { HashlimitMatch } from './hashlimit.ts';
import type { RecentList } from './recent.ts';

/**
 * A bucket of xt_limit or xt_hashlimit: what it holds at least and at most, because nobody knows
 * the back end, or when the kernel last looked for buckets that are over.
 */
export interface Bucket {
  readonly least: number;
  readonly most: number;
  readonly atNs: number;
}

/** A table of xt_hashlimit: the first rule that names it says how it works. */
export interface HashlimitTable {
  readonly rule: HashlimitMatch;
  readonly buckets: Map<string, Bucket>;
}

export interface RuleMemory {
  readonly limits: Map<string, Bucket>;
  readonly nths: Map<string, number>;
  /** Bytes that are left of a quota. */
  readonly quotas: Map<string, number>;
  readonly recents: Map<string, RecentList>;
  readonly hashlimits: Map<string, HashlimitTable>;
  /** Connections counted by a rule, by the address they count for. */
  readonly connlimits: Map<string, CountedConnection[]>;
  /** Members of sets that change. */
  readonly sets: Map<string, SetMembers>;
  readonly nft: NftMemory;
}

export function emptyMemory(): RuleMemory {
  return {
    limits: new Map(),
    nths: new Map(),
    quotas: new Map(),
    recents: new Map(),
    hashlimits: new Map(),
    connlimits: new Map(),
    sets: new Map(),
    nft: emptyNftMemory(),
  };
}

/** A memory of its own with the same content; most rules remember nothing. */
export function copyMemory(memory: RuleMemory): RuleMemory {
  const { nft, ...own } = memory;
  const parts = [...Object.values(own), ...Object.values(nft)];
  return parts.every((part) => part.size === 0) ? emptyMemory() : structuredClone(memory);
}

/** The memory that a walk works on: the host's, or in a dry run a copy of it. */
export function memoryOf(ctx: WalkContext): RuleMemory {
  return ctx.memory ?? ctx.counters.memory;
}
