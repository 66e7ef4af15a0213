/**
 * `--map`: a capture from elsewhere put onto the cluster, address for address.
 *
 * Packets are rewritten as a translation would: addresses in the network header and in the packet
 * an ICMP error quotes, with header and transport checksums updated by the difference (RFC 1624),
 * so that a wrong checksum stays wrong and an offloaded one stays offloaded.
 * @module
 */

import type { AddressPlan } from '../../cluster/address-plan.ts';
import { nearest } from '../../cluster/nearest.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import {
  type Address,
  addressKey,
  compareAddress,
  formatAddress,
  parseAddress,
  writeAddress,
} from '../../wire/address.ts';
import { setU16, u8, u16 } from '../../wire/bytes.ts';
import { sumAddress, sumBytes, updatePartial, updateSum } from '../../wire/checksum.ts';
import * as icmp from '../../wire/icmp.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';
import * as tcp from '../../wire/tcp.ts';
import * as udp from '../../wire/udp.ts';
import type { Datagram, Tuple } from '../datagram/datagram.ts';

export class AddressMap {
  readonly #to: ReadonlyMap<string, Address>;

  constructor(pairs: Iterable<readonly [Address, Address]>) {
    this.#to = new Map([...pairs].map(([from, to]) => [addressKey(from), to]));
  }

  get size(): number {
    return this.#to.size;
  }

  address(a: Address): Address {
    return this.#to.get(addressKey(a)) ?? a;
  }

  applyTuple(t: Tuple): Tuple {
    return { ...t, src: this.address(t.src), dst: this.address(t.dst) };
  }

  /** The packet with mapped addresses; itself when none of its addresses is mapped. */
  apply(d: Datagram): Datagram {
    const src = this.address(d.src);
    const dst = this.address(d.dst);
    if (src === d.src && dst === d.dst && d.quoted === null) return d;
    const bytes = d.bytes.slice();
    if (d.l4 >= 0) this.#fixTransport(bytes, d, src, dst);
    if (d.quoted !== null && d.l4 >= 0) this.#mapQuoted(bytes, d);
    setAddresses(bytes, 0, d.family, src, dst);
    return { ...d, bytes, src, dst };
  }

  #fixTransport(b: Uint8Array, d: Datagram, src: Address, dst: Address): void {
    const field = checksumField(d);
    if (field < 0 || field + 2 > b.length) return;
    const old = u16(b, field);
    if (d.protocol === Protocol.udp && old === 0) return;
    const from = sumAddress(d.src) + sumAddress(d.dst);
    const update = d.checksum === 'partial' ? updatePartial : updateSum;
    setU16(b, field, update(old, from, sumAddress(src) + sumAddress(dst)));
  }

  /** The quoted packet is mapped as well, and the ICMP checksum follows what changed under it. */
  #mapQuoted(b: Uint8Array, d: Datagram): void {
    const off = d.l4 + icmp.HEADER_LENGTH;
    const { quoted } = d;
    if (quoted === null) return;
    const src = this.address(quoted.src);
    const dst = this.address(quoted.dst);
    const before = sumBytes(b, off, b.length);
    const field = quotedChecksum(b, off, quoted);
    if (field + 2 <= b.length && u16(b, field) !== 0) {
      const from = sumAddress(quoted.src) + sumAddress(quoted.dst);
      setU16(b, field, updateSum(u16(b, field), from, sumAddress(src) + sumAddress(dst)));
    }
    setAddresses(b, off, d.family, src, dst);
    const own = d.l4 + icmp.CHECKSUM;
    setU16(b, own, updateSum(u16(b, own), before, sumBytes(b, off, b.length)));
  }
}

/** Offset of the quoted TCP or UDP checksum, past the end when there is none to keep right. */
function quotedChecksum(b: Uint8Array, off: number, quoted: Tuple): number {
  const isV4 = quoted.src.family === 4;
  const l4 = off + (isV4 ? ipv4.headerLength(b, off) : ipv6.HEADER_LENGTH);
  if (quoted.protocol === Protocol.udp) return l4 + udp.CHECKSUM;
  return quoted.protocol === Protocol.tcp ? l4 + tcp.CHECKSUM : b.length;
}

const IPV4_CHECKSUM = 10;

/** Write both addresses, updating the header checksum by the difference (IPv4). */
function setAddresses(b: Uint8Array, off: number, family: 4 | 6, src: Address, dst: Address): void {
  if (family === 6) {
    writeAddress(b, off + ipv6.SOURCE, src);
    writeAddress(b, off + ipv6.DESTINATION, dst);
    return;
  }
  const old = sumAddress(ipv4.src(b, off)) + sumAddress(ipv4.dst(b, off));
  writeAddress(b, off + ipv4.SOURCE, src);
  writeAddress(b, off + ipv4.DESTINATION, dst);
  const to = sumAddress(src) + sumAddress(dst);
  setU16(b, off + IPV4_CHECKSUM, updateSum(u16(b, off + IPV4_CHECKSUM), old, to));
}

/** Offset of a checksum that covers the addresses; -1 when there is none. */
function checksumField(d: Datagram): number {
  if (d.protocol === Protocol.tcp) return d.l4 + tcp.CHECKSUM;
  if (d.protocol === Protocol.udp || d.protocol === Protocol.udplite) return d.l4 + udp.CHECKSUM;
  return d.protocol === Protocol.icmpv6 && u8(d.bytes, 0) >>> 4 === 6 ? d.l4 + icmp.CHECKSUM : -1;
}

/** Addresses that captured packets had between them, by how many packets each pair shares. */
export interface PairCount {
  readonly a: Address;
  readonly b: Address;
  readonly packets: number;
}

/**
 * Assign captured addresses to pods so that as many packets as possible have an end in the cluster:
 * again and again the address with the most packets that no mapped end covers yet goes to the next
 * free pod of its family. Deterministic: ties go to the smaller address, pods are taken in order.
 *
 * @param taken addresses that are mapped or owned already; they cover their packets
 */
export function assignAutomatically(
  pairs: readonly PairCount[],
  pods: readonly Address[],
  taken: (address: Address) => boolean,
): readonly (readonly [Address, Address])[] {
  const ends = uncoveredEnds(pairs, taken);
  const result: (readonly [Address, Address])[] = [];
  for (const family of [4, 6] as const) {
    const candidates = [...ends.values()].filter((end) => end.address.family === family);
    for (const pod of pods.filter((address) => address.family === family)) {
      const best = heaviest(candidates);
      if (best === null) break;
      result.push([best.address, pod]);
      for (const [peer, packets] of best.peers) {
        const other = ends.get(peer);
        if (other) other.packets -= packets;
      }
      for (const peer of best.peers.keys()) ends.get(peer)?.peers.delete(addressKey(best.address));
      best.packets = 0;
    }
  }
  return result;
}

/** A captured address with the packets that no mapped end covers, by peer. */
interface UncoveredEnd {
  readonly address: Address;
  packets: number;
  readonly peers: Map<string, number>;
}

function uncoveredEnds(
  pairs: readonly PairCount[],
  taken: (address: Address) => boolean,
): ReadonlyMap<string, UncoveredEnd> {
  const ends = new Map<string, UncoveredEnd>();
  for (const { a, b, packets } of pairs) {
    if (taken(a) || taken(b)) continue;
    for (const [address, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const key = addressKey(address);
      const end = ends.get(key) ?? { address, packets: 0, peers: new Map() };
      end.packets += packets;
      end.peers.set(addressKey(peer), packets);
      ends.set(key, end);
    }
  }
  return ends;
}

function heaviest(ends: readonly UncoveredEnd[]): UncoveredEnd | null {
  let best: UncoveredEnd | null = null;
  for (const end of ends) {
    if (end.packets <= 0) continue;
    const isBetter = best === null || end.packets > best.packets;
    const isTie = best !== null && end.packets === best.packets;
    if (isBetter || (isTie && best && compareAddress(end.address, best.address) < 0)) best = end;
  }
  return best;
}

/** Read `--map FROM=TO` options (`auto` apart); every mistake is reported. */
export function parseMap(
  options: readonly string[],
  plan: AddressPlan,
): readonly (readonly [Address, Address])[] {
  const mistakes: Diagnostic[] = [];
  const pairs: (readonly [Address, Address])[] = [];
  const seen = new Map<string, string>();
  for (const text of options) {
    const read = readPair(text, plan);
    if ('code' in read) {
      mistakes.push(read);
      continue;
    }
    const key = addressKey(read.from);
    const earlier = seen.get(key);
    if (earlier !== undefined) {
      mistakes.push({
        code: 'MAP_TWICE',
        field: '--map',
        message: `gives ${formatAddress(read.from)} twice`,
        found: `${earlier} and ${text}`,
      });
    }
    seen.set(key, text);
    pairs.push([read.from, read.to]);
  }
  if (mistakes.length > 0) throw new UserError(mistakes);
  return pairs;
}

const MAP_ACCEPTED = 'ADDRESS=pod/NAMESPACE/NAME, ADDRESS=node/NAME, ADDRESS=ADDRESS, or auto';

function readPair(text: string, plan: AddressPlan): { from: Address; to: Address } | Diagnostic {
  const at = text.indexOf('=');
  const from = parseAddress(text.slice(0, Math.max(0, at)));
  if (at < 0 || from === null) {
    return {
      code: 'MAP_SYNTAX',
      field: '--map',
      message: 'can not be read',
      found: text,
      accepted: MAP_ACCEPTED,
    };
  }
  const target = text.slice(at + 1);
  const found = addressesOf(target, plan);
  if ('code' in found) return found;
  const to = found.addresses.find((a) => a.family === from.family);
  if (to === undefined) {
    return {
      code: 'MAP_FAMILY',
      field: '--map',
      message: `${target} has no IPv${from.family} address`,
      found: text,
    };
  }
  return { from, to };
}

function addressesOf(
  target: string,
  plan: AddressPlan,
): { addresses: readonly Address[] } | Diagnostic {
  const literal = parseAddress(target);
  if (literal) return { addresses: [literal] };
  const [kind, first = '', second = ''] = target.split('/');
  if (kind === 'pod') {
    const pod = plan.findPod(first, second);
    if (pod) return { addresses: pod.addresses };
    const near = nearest(`${first}/${second}`, [...plan.podsByName.keys()]);
    const accepted = near ? `did you mean pod/${near}?` : 'a pod of the cluster';
    return {
      code: 'MAP_POD_UNKNOWN',
      field: '--map',
      message: `no pod ${first}/${second} in the cluster`,
      found: target,
      accepted,
    };
  }
  if (kind === 'node') {
    const node = plan.findNode(first);
    if (node) return { addresses: node.addresses };
    return {
      code: 'MAP_NODE_UNKNOWN',
      field: '--map',
      message: `no node ${first} in the cluster`,
      found: target,
      accepted: MAP_ACCEPTED,
    };
  }
  return {
    code: 'MAP_SYNTAX',
    field: '--map',
    message: 'can not be read',
    found: target,
    accepted: MAP_ACCEPTED,
  };
}
