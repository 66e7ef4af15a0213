/**
 * `--map`: a capture from elsewhere put onto the cluster, address for address.
 *
 * Packets are rewritten as a translation would (datagram/rewrite.ts), and so is the packet that an
 * ICMP error quotes.
 * @module
 */

import type { AddressPlan } from '../../cluster/address/address-plan.ts';
import { nearest } from '../../cluster/nearest.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import {
  type Address,
  addressKey,
  compareAddress,
  formatAddress,
  parseAddress,
} from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';
import { type Ends, withEnds } from '../datagram/rewrite.ts';

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

  applyTuple<T extends Ends>(t: T): T {
    return { ...t, src: this.address(t.src), dst: this.address(t.dst) };
  }

  /** The packet with mapped addresses; itself when none of its addresses is mapped. */
  apply(d: Datagram): Datagram {
    if (this.#to.size === 0) return d;
    const to = this.applyTuple({ src: d.src, dst: d.dst, sport: d.sport, dport: d.dport });
    return withEnds(d, to, d.quoted && this.applyTuple(d.quoted));
  }
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
