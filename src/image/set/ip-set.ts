/**
 * Compiled ip sets: the answer the kernel's set types give to a packet.
 *
 * Source: net/netfilter/ipset/ip_set_core.c `ip_set_test` (a set of another family, or one with
 * more dimensions than the rule names, never matches), ip_set_hash_gen.h `mtype_test_cidrs` (prefix
 * lengths present, longest first; the first entry found decides, and a nomatch entry decides no),
 * ip_set_hash_{ip,net,ipport,netport}.c `*_kadt`, ip_set_list_set.c `list_set_ktest`,
 * ip_set_getport.c. Compared with the kernel by test/differential/kernel/walk.test.ts.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { IpSet, SetMember, SetType } from '../../netfilter/ip-set.ts';
import type { SetDirection } from '../../netfilter/match.ts';
import {
  type Address,
  bits,
  type Family,
  hostPrefix,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';
import { ChangingSet, changeList } from './changing-set.ts';
import type { SetMemory } from './set-memory.ts';
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
import { PortSet, TripleSet } from './triple-set.ts';
import { WordTable } from './word-table.ts';

export {
  type CompiledSet,
  PORT_CUT,
  SET_DIMENSION,
  type SetAnswer,
  type SetView,
  storedPort,
} from './set-view.ts';

/**
 * Compile one set. `resolve` gives the compiled members of a list:set; `changes` says that a rule
 * adds to it or deletes from it.
 * Precondition: members fit the type and family (lowering/check-sets.ts has proved it).
 */
export function compileSet(
  set: IpSet,
  resolve: (name: string) => CompiledSet,
  changes = false,
): CompiledSet {
  if (set.membersUnknown) return unknownSet(set.name);
  if (set.type !== 'list:set' && (changes || set.timeout !== undefined)) {
    return new ChangingSet(set, set.family ?? 4);
  }
  switch (set.type) {
    case 'hash:ip':
    case 'hash:net':
    case 'hash:ip,port':
    case 'hash:net,port':
      return new HashSet(set, set.family ?? 4);
    case 'hash:ip,port,ip':
    case 'hash:ip,port,net':
      return new TripleSet(set, set.family ?? 4);
    case 'bitmap:port':
      return new PortSet(set);
    case 'list:set': {
      const names = set.members.flatMap((m) => (m.kind === 'set' ? [m.set] : []));
      return new ListSet(set.name, names.map(resolve));
    }
    default:
      return unreachable(set.type);
  }
}

/** A set that nobody knows the members of. */
function unknownSet(name: string): CompiledSet {
  const nothing = { dimension: 1, portDimensions: [], changes: false };
  return { name, type: 'list:set', ...nothing, test: () => 'missing' };
}

/** list:set: the members in order, the first that matches answers. */
class ListSet implements CompiledSet {
  readonly name: string;
  readonly type = 'list:set';
  readonly dimension = 1;
  readonly portDimensions: readonly number[];
  readonly changes: boolean;
  readonly #members: readonly CompiledSet[];

  constructor(name: string, members: readonly CompiledSet[]) {
    this.name = name;
    this.changes = members.some((member) => member.changes);
    this.portDimensions = [...new Set(members.flatMap((member) => member.portDimensions))];
    this.#members = members;
  }

  test(view: SetView, directions: readonly SetDirection[], memory?: SetMemory): SetAnswer {
    let answer: SetAnswer = false;
    for (const member of this.#members) {
      // `ip_set_test` asks each member anew for its dimensions.
      if (directions.length < member.dimension) continue;
      const found = member.test(view, directions, memory);
      if (found === true) return true;
      if (found !== false) answer = found;
    }
    return answer;
  }

  prefixes(): Iterable<Prefix> | null {
    const members = this.#members.map((member) => member.prefixes?.() ?? null);
    return members.every((own) => own !== null) ? flat(members) : null;
  }

  change(
    view: SetView,
    directions: readonly SetDirection[],
    memory: SetMemory,
    change: SetChange,
  ): ChangeResult {
    return changeList(this.#members, view, directions, memory, change);
  }
}

function* flat(members: readonly Iterable<Prefix>[]): Iterable<Prefix> {
  for (const own of members) yield* own;
}

const MATCH = 0;
const NOMATCH = 1;

type HashSetMember = Extract<SetMember, { kind: 'ip' | 'net' | 'ip,port' | 'net,port' }>;

function isOfHashSet(member: SetMember): member is HashSetMember {
  const { kind } = member;
  return kind === 'ip' || kind === 'net' || kind === 'ip,port' || kind === 'net,port';
}

/**
 * The four hash types of one and two dimensions: address words, then protocol and port, then the
 * prefix length.
 */
class HashSet implements CompiledSet {
  readonly name: string;
  readonly type: SetType;
  readonly dimension: number;
  readonly portDimensions: readonly number[];
  readonly changes = false;
  readonly #family: Family;
  readonly #withPort: boolean;
  /** Prefix lengths present, longest first. */
  readonly #lengths: readonly number[];
  readonly #table: WordTable;
  readonly #key: Uint32Array;
  readonly #members: readonly SetMember[];

  constructor(set: IpSet, family: Family) {
    this.#members = set.members;
    this.name = set.name;
    this.type = set.type;
    this.dimension = SET_DIMENSION[set.type];
    this.#family = family;
    this.portDimensions = portDimensions(set.type);
    this.#withPort = this.dimension === 2;
    const width = (family === 4 ? 1 : 4) + 2;
    this.#key = new Uint32Array(width);
    this.#table = new WordTable(width, set.members.length);
    const lengths = new Set<number>();
    for (const member of set.members) lengths.add(this.#add(member));
    this.#lengths = [...lengths].sort((a, b) => b - a);
  }

  test(view: SetView, directions: readonly SetDirection[]): SetAnswer {
    const [first, second] = directions;
    if (view.family !== this.#family || first === undefined) return false;
    let port = 0;
    if (this.#withPort) {
      if (second === undefined) return false;
      port = view.setPort(second);
      if (port === PORT_CUT) return 'cut';
      if (port < 0) return false;
    }
    const address = first === 'src' ? view.src : view.dst;
    const service = this.#withPort ? ((view.protocol << 16) | port) >>> 0 : 0;
    for (const length of this.#lengths) {
      this.#fillKey(address, length, service);
      const found = this.#table.get(this.#key);
      if (found >= 0) return found === MATCH;
    }
    return false;
  }

  prefixes(): Iterable<Prefix> | null {
    return this.#withPort ? null : prefixesOf(this.#members);
  }

  /** Store a member; returns its prefix length. */
  #add(member: SetMember): number {
    if (!isOfHashSet(member)) return 0;
    const hasNet = member.kind === 'net' || member.kind === 'net,port';
    const address = hasNet ? member.net.address : member.address;
    const length = hasNet ? member.net.length : bits(this.#family);
    const service =
      member.kind === 'ip,port' || member.kind === 'net,port'
        ? ((member.protocol << 16) | storedPort(this.#family, member)) >>> 0
        : 0;
    this.#fillKey(address, length, service);
    this.#table.set(this.#key, hasNet && member.nomatch ? NOMATCH : MATCH);
    return length;
  }

  #fillKey(address: Address, length: number, service: number): void {
    const masked = length === bits(this.#family) ? address : maskAddress(address, length);
    const key = this.#key;
    let at = 0;
    if (this.#family === 6) {
      key[at++] = masked.w0;
      key[at++] = masked.w1;
      key[at++] = masked.w2;
    }
    key[at++] = masked.w3;
    key[at++] = service;
    key[at] = length;
  }
}

/** Where the members of a set of addresses or nets are. */
function* prefixesOf(members: readonly SetMember[]): Iterable<Prefix> {
  for (const member of members) {
    if (member.kind === 'ip') yield hostPrefix(member.address);
    else if (member.kind === 'net') yield member.net;
  }
}
