/**
 * Sets whose members come and go: those that a SET rule names, and those with a timeout. They
 * answer as image/set/ip-set.ts does, from members that the host keeps (image/set/set-memory.ts).
 *
 * Source: net/netfilter/ipset/ip_set_hash_gen.h `mtype_add`, `mtype_del`, `mtype_test_cidrs`;
 * ip_set_hash_{ip,net,ipport,netport}.c `*_kadt`; ip_set_list_set.c `list_set_kadd`,
 * `list_set_kdel`. Compared with the kernel by test/differential/kernel/set-target.test.ts.
 * @module
 */
import type { IpSet, SetMember, SetType } from '../../netfilter/ip-set.ts';
import type { SetDirection } from '../../netfilter/match.ts';
import {
  type Address,
  addressKey,
  bits,
  type Family,
  maskAddress,
} from '../../wire/address/address.ts';
import { isAlive, type SetMembers, type SetMemory } from './set-memory.ts';
import {
  type ChangeResult,
  type CompiledSet,
  PORT_CUT,
  portDimensions,
  SET_DIMENSION,
  type SetAnswer,
  type SetChange,
  type SetView,
  storedPort,
} from './set-view.ts';

const NS_PER_S = 1e9;

/** A hash set that changes. */
export class ChangingSet implements CompiledSet {
  readonly name: string;
  readonly type: SetType;
  readonly dimension: number;
  readonly portDimensions: readonly number[];
  readonly changes = true;
  readonly #family: Family;
  readonly #isNet: boolean;
  readonly #maxElements: number;
  /** Default life of a member in seconds, 0 for ever; null when the set knows no timeouts. */
  readonly #timeout: number | null;
  readonly #initial: SetMembers = new Map();

  constructor(set: IpSet, family: Family) {
    this.name = set.name;
    this.type = set.type;
    this.dimension = SET_DIMENSION[set.type];
    this.portDimensions = portDimensions(set.type);
    this.#family = family;
    this.#isNet = set.type === 'hash:net' || set.type === 'hash:net,port';
    this.#maxElements = set.maxElements;
    this.#timeout = set.timeout ?? null;
    for (const member of set.members) this.#addInitial(member);
  }

  #addInitial(member: SetMember): void {
    // What has a third dimension, or no address, does not change (lowering/check-sets.ts).
    if (!('net' in member || 'address' in member) || 'second' in member || 'within' in member) {
      return;
    }
    const isNet = member.kind === 'net' || member.kind === 'net,port';
    const address = isNet ? member.net.address : member.address;
    const length = isNet ? member.net.length : bits(this.#family);
    const hasPort = member.kind === 'ip,port' || member.kind === 'net,port';
    const service = hasPort ? `${member.protocol}:${storedPort(this.#family, member)}` : '';
    const seconds = member.timeout ?? this.#timeout ?? 0;
    this.#initial.set(keyOf(address, length, service), {
      nomatch: isNet && member.nomatch,
      length,
      untilNs: this.#timeout === null ? null : until(seconds, 0),
    });
  }

  test(view: SetView, directions: readonly SetDirection[], memory?: SetMemory): SetAnswer {
    const asked = this.#asked(view, directions);
    if (asked === null) return false;
    if (asked === 'cut') return 'cut';
    const members = this.#members(memory);
    const nowNs = memory?.nowNs ?? 0;
    for (const length of lengths(members)) {
      const found = members.get(keyOf(asked.address, length, asked.service));
      if (found !== undefined && isAlive(found, nowNs)) return !found.nomatch;
    }
    return false;
  }

  change(
    view: SetView,
    directions: readonly SetDirection[],
    memory: SetMemory,
    change: SetChange,
  ): ChangeResult {
    const asked = this.#asked(view, directions);
    if (asked === null) return 'refused';
    if (asked === 'cut') return 'cut';
    const { address, service } = asked;
    if (this.type === 'hash:ip' && isUnspecified(address)) return 'refused';
    const members = this.#members(memory);
    // A net set takes the longest prefix length that it holds (`h->nets[0].cidr[0]`).
    const length = this.#isNet ? (lengths(members)[0] ?? bits(this.#family)) : bits(this.#family);
    const key = keyOf(address, length, service);
    const before = members.get(key);
    const isThere = before !== undefined && isAlive(before, memory.nowNs);
    if (change.operation === 'del') {
      members.delete(key);
      return isThere ? 'done' : 'refused';
    }
    if (isThere && !change.exist) return 'refused';
    if (!isThere && !this.#hasRoom(members, memory.nowNs)) return 'refused';
    const seconds = change.timeout ?? this.#timeout ?? 0;
    const untilNs = this.#timeout === null ? null : until(seconds, memory.nowNs);
    members.set(key, { nomatch: false, length, untilNs });
    return 'done';
  }

  /** The address and, for sets of two dimensions, `PROTOCOL:PORT`; null when it has none. */
  #asked(
    view: SetView,
    directions: readonly SetDirection[],
  ): { readonly address: Address; readonly service: string } | 'cut' | null {
    const [first, second] = directions;
    if (view.family !== this.#family || first === undefined) return null;
    const address = first === 'src' ? view.src : view.dst;
    if (this.dimension === 1) return { address, service: '' };
    if (second === undefined) return null;
    const port = view.setPort(second);
    if (port === PORT_CUT) return 'cut';
    return port < 0 ? null : { address, service: `${view.protocol}:${port}` };
  }

  #hasRoom(members: SetMembers, nowNs: number): boolean {
    if (members.size < this.#maxElements) return true;
    for (const [key, member] of members) if (!isAlive(member, nowNs)) members.delete(key);
    return members.size < this.#maxElements;
  }

  #members(memory: SetMemory | undefined): SetMembers {
    if (memory === undefined) return this.#initial;
    const known = memory.sets.get(this.name);
    if (known !== undefined) return known;
    const made: SetMembers = new Map(this.#initial);
    memory.sets.set(this.name, made);
    return made;
  }
}

/** list:set: the first member that takes the change. */
export function changeList(
  members: readonly CompiledSet[],
  view: SetView,
  directions: readonly SetDirection[],
  memory: SetMemory,
  change: SetChange,
): ChangeResult {
  for (const member of members) {
    const result = member.change?.(view, directions, memory, change) ?? 'missing';
    if (result !== 'refused') return result;
  }
  return 'refused';
}

function keyOf(address: Address, length: number, service: string): string {
  return `${length} ${service} ${addressKey(maskAddress(address, length))}`;
}

/** Prefix lengths present, longest first; members whose time is up count until they are swept. */
function lengths(members: SetMembers): readonly number[] {
  const present = new Set<number>();
  for (const { length } of members.values()) present.add(length);
  return [...present].sort((a, b) => b - a);
}

function until(seconds: number, nowNs: number): number | null {
  return seconds === 0 ? null : nowNs + seconds * NS_PER_S;
}

function isUnspecified({ family, w0, w1, w2, w3 }: Address): boolean {
  return w3 === 0 && (family === 4 || (w0 | w1 | w2) === 0);
}
