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
import { unreachable } from '../diagnostic/diagnostic.ts';
import type { IpSet, SetMember, SetType } from '../netfilter/ip-set.ts';
import type { SetDirection } from '../netfilter/match.ts';
import { type Address, bits, type Family, maskAddress } from '../wire/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { WordTable } from './word-table.ts';

/** What a set may ask of a packet (image knows no packets). */
export interface SetView {
  readonly family: Family;
  readonly src: Address;
  readonly dst: Address;
  readonly protocol: number;
  /**
   * The port that ip_set_getport.c reads: of TCP, UDP, UDP-Lite and SCTP the port, of ICMP type and
   * code as one number, of any other protocol 0.
   * @returns -1 when the packet has none, `PORT_CUT` when the capture cut it off.
   */
  setPort(direction: SetDirection): number;
}

export const PORT_CUT = -2;

export interface CompiledSet {
  readonly name: string;
  readonly type: SetType;
  /** How many dimensions a rule must give for the set to match at all. */
  readonly dimension: number;
  /**
   * `cut`: the answer lies in bytes that the capture does not have; `missing`: in members that
   * nobody knows.
   */
  test(view: SetView, directions: readonly SetDirection[]): SetAnswer;
}

export type SetAnswer = boolean | 'cut' | 'missing';

/** How many dimensions a type has (`ip_set_type.dimension`). */
export const SET_DIMENSION: Readonly<Record<SetType, number>> = {
  'hash:ip': 1,
  'hash:net': 1,
  'hash:ip,port': 2,
  'hash:net,port': 2,
  'list:set': 1,
};

/**
 * Compile one set. `resolve` gives the compiled members of a list:set.
 * Precondition: members fit the type and family (lowering/check-sets.ts has proved it).
 */
export function compileSet(set: IpSet, resolve: (name: string) => CompiledSet): CompiledSet {
  if (set.membersUnknown) return unknownSet(set.name);
  switch (set.type) {
    case 'hash:ip':
    case 'hash:net':
    case 'hash:ip,port':
    case 'hash:net,port':
      return new HashSet(set, set.family ?? 4);
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
  return { name, type: 'list:set', dimension: 1, test: () => 'missing' };
}

/** list:set: the members in order, the first that matches answers. */
class ListSet implements CompiledSet {
  readonly name: string;
  readonly type = 'list:set';
  readonly dimension = 1;
  readonly #members: readonly CompiledSet[];

  constructor(name: string, members: readonly CompiledSet[]) {
    this.name = name;
    this.#members = members;
  }

  test(view: SetView, directions: readonly SetDirection[]): SetAnswer {
    let answer: SetAnswer = false;
    for (const member of this.#members) {
      const found = member.test(view, directions);
      if (found === true) return true;
      if (found !== false) answer = found;
    }
    return answer;
  }
}

const MATCH = 0;
const NOMATCH = 1;

/** The four hash types: address words, then protocol and port, then the prefix length. */
class HashSet implements CompiledSet {
  readonly name: string;
  readonly type: SetType;
  readonly dimension: number;
  readonly #family: Family;
  readonly #withPort: boolean;
  /** Prefix lengths present, longest first. */
  readonly #lengths: readonly number[];
  readonly #table: WordTable;
  readonly #key: Uint32Array;

  constructor(set: IpSet, family: Family) {
    this.name = set.name;
    this.type = set.type;
    this.dimension = SET_DIMENSION[set.type];
    this.#family = family;
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

  /** Store a member; returns its prefix length. */
  #add(member: SetMember): number {
    if (member.kind === 'set') return 0;
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

/** Protocols whose members keep their port (`ip_set_proto_with_ports` and the family's ICMP). */
const WITH_PORTS: ReadonlySet<number> = new Set([
  Protocol.tcp,
  Protocol.udp,
  Protocol.udplite,
  Protocol.sctp,
]);

/** The port as the kernel stores it: 0 where the protocol has none. */
export function storedPort(
  family: Family,
  member: { readonly protocol: number; readonly port: number },
): number {
  const icmp = family === 4 ? Protocol.icmp : Protocol.icmpv6;
  return WITH_PORTS.has(member.protocol) || member.protocol === icmp ? member.port : 0;
}
