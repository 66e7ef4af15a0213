/**
 * What changes in the sets of one host while packets pass: members that rules add and delete
 * (xt_SET), and members whose time runs out. Only sets that can change have an entry here.
 *
 * Source: net/netfilter/ipset/ip_set_hash_gen.h `mtype_add`, `mtype_del`, `mtype_expire`.
 * @module
 */

/** One member; `untilNs` is the last moment at which it is there, null for ever. */
export interface TimedMember {
  readonly nomatch: boolean;
  readonly length: number;
  readonly untilNs: number | null;
}

/** Members by key (`ChangingSet.keyOf`). */
export type SetMembers = Map<string, TimedMember>;

export interface SetMemory {
  readonly nowNs: number;
  readonly sets: Map<string, SetMembers>;
}

/** Is the member there at this time? A member of whose time nothing is left is still there. */
export function isAlive(member: TimedMember, nowNs: number): boolean {
  return member.untilNs === null || nowNs <= member.untilNs;
}
