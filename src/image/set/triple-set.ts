/**
 * Sets of three dimensions, and sets of ports.
 *
 * Source: net/netfilter/ipset/ip_set_hash_ipportip.c `hash_ipportip4_kadt`, ip_set_hash_ipportnet.c
 * `hash_ipportnet4_kadt` (the third dimension is the net, tried by its lengths, longest first),
 * ip_set_bitmap_port.c `bitmap_port_kadt`, `ip_set_get_ip_port` (TCP and UDP alike, whatever the
 * address; no other protocol). Compared with the kernel by
 * test/differential/kernel/triple-set.test.ts.
 * @module
 */
import type { IpSet, SetType } from '../../netfilter/ip-set.ts';
import type { SetDirection } from '../../netfilter/match.ts';
import { type Address, bits, type Family, maskAddress } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import {
  type CompiledSet,
  PORT_CUT,
  portDimensions,
  SET_DIMENSION,
  type SetAnswer,
  type SetView,
  storedPort,
} from './set-view.ts';
import { WordTable } from './word-table.ts';

const MATCH = 0;
const NOMATCH = 1;

/** hash:ip,port,ip and hash:ip,port,net: address, service, and an address or a net. */
export class TripleSet implements CompiledSet {
  readonly name: string;
  readonly type: SetType;
  readonly dimension: number;
  readonly portDimensions: readonly number[];
  readonly changes = false;
  readonly #family: Family;
  /** Prefix lengths of the third dimension, longest first. */
  readonly #lengths: readonly number[];
  readonly #table: WordTable;
  readonly #key: Uint32Array;

  constructor(set: IpSet, family: Family) {
    this.name = set.name;
    this.type = set.type;
    this.dimension = SET_DIMENSION[set.type];
    this.portDimensions = portDimensions(set.type);
    this.#family = family;
    const width = 2 * (family === 4 ? 1 : 4) + 2;
    this.#key = new Uint32Array(width);
    this.#table = new WordTable(width, set.members.length);
    const lengths = new Set<number>();
    for (const member of set.members) {
      if (member.kind !== 'ip,port,ip' && member.kind !== 'ip,port,net') continue;
      const hasNet = member.kind === 'ip,port,net';
      const length = hasNet ? member.within.length : bits(family);
      const third = hasNet ? member.within.address : member.second;
      const service = serviceWord(member.protocol, storedPort(family, member));
      this.#fillKey(member.address, service, { address: third, length });
      this.#table.set(this.#key, hasNet && member.nomatch ? NOMATCH : MATCH);
      lengths.add(length);
    }
    this.#lengths = [...lengths].sort((a, b) => b - a);
  }

  test(view: SetView, directions: readonly SetDirection[]): SetAnswer {
    const [first, second, third] = directions;
    if (view.family !== this.#family) return false;
    if (first === undefined || second === undefined || third === undefined) return false;
    const port = view.setPort(second);
    if (port === PORT_CUT) return 'cut';
    if (port < 0) return false;
    const address = first === 'src' ? view.src : view.dst;
    const last = third === 'src' ? view.src : view.dst;
    const service = serviceWord(view.protocol, port);
    for (const length of this.#lengths) {
      this.#fillKey(address, service, { address: last, length });
      const found = this.#table.get(this.#key);
      if (found >= 0) return found === MATCH;
    }
    return false;
  }

  #fillKey(
    address: Address,
    service: number,
    third: { readonly address: Address; readonly length: number },
  ): void {
    const at = this.#fillAddress(address, 0);
    const next = this.#fillAddress(maskAddress(third.address, third.length), at);
    this.#key[next] = service;
    this.#key[next + 1] = third.length;
  }

  #fillAddress({ w0, w1, w2, w3 }: Address, from: number): number {
    const words = this.#family === 6 ? [w0, w1, w2, w3] : [w3];
    this.#key.set(words, from);
    return from + words.length;
  }
}

function serviceWord(protocol: number, port: number): number {
  return ((protocol << 16) | port) >>> 0;
}

/** bitmap:port. */
export class PortSet implements CompiledSet {
  readonly name: string;
  readonly type = 'bitmap:port';
  readonly dimension = 1;
  readonly portDimensions = portDimensions('bitmap:port');
  readonly changes = false;
  readonly #ports: ReadonlySet<number>;

  constructor(set: IpSet) {
    this.name = set.name;
    this.#ports = new Set(set.members.flatMap((m) => (m.kind === 'port' ? [m.port] : [])));
  }

  test(view: SetView, directions: readonly SetDirection[]): SetAnswer {
    const [first] = directions;
    const hasPorts = view.protocol === Protocol.tcp || view.protocol === Protocol.udp;
    if (first === undefined || !hasPorts) return false;
    const port = view.setPort(first);
    if (port === PORT_CUT) return 'cut';
    return port >= 0 && this.#ports.has(port);
  }
}
