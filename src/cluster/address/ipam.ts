/**
 * Addresses for what has none, as the platform would give them, and always the same ones.
 *
 * - Azure keeps the first four and the last address of every subnet (facts: Azure virtual network
 *   FAQ). A node takes the next free address; where pods live in the subnet, its pods take those
 *   after it, `maxPods` (30 by default) being kept for them, as Azure CNI reserves them.
 * - With pod ranges of their own, nodes get /24 blocks (IPv6: /80) in order, and pods addresses
 *   from .2 on (.1 is the bridge's in kubenet).
 * An address that something already has is passed over.
 * @module
 */
import type { Address, Family, Prefix } from '../../wire/address/address.ts';
import {
  addressKey,
  addToAddress,
  contains,
  containsPrefix,
  maskAddress,
} from '../../wire/address/address.ts';
import { AddressMap } from '../../wire/address/address-map.ts';
import type { PodDraft } from '../decode/object/pod.ts';
import { hasPodRanges } from '../infer-wiring.ts';
import type { Node, Pod, SourceRef, Wiring } from '../model.ts';
import { poolOf } from './pod-subnets.ts';

const FIRST_IN_SUBNET = 4;
const FIRST_IN_POD_RANGE = 2;
const DEFAULT_MAX_PODS = 30;
/** More than any cluster has; keeps a search in a large IPv6 range finite. */
const SEARCH_LIMIT = 2 ** 20;

/** What could not be given an address, and from which range. */
export interface Exhausted {
  readonly what: string;
  readonly range: 'subnet' | 'podCidr' | 'serviceCidr';
  /** Where it stands; absent for what nobody wrote. */
  readonly source?: SourceRef;
}

/** Addresses in use, and the next free ones. */
export class AddressBook {
  readonly #used = new AddressMap<true>();
  readonly exhausted: Exhausted[] = [];

  claim(addresses: readonly Address[]): void {
    for (const a of addresses) this.#used.set(a, true);
  }

  /** The first free address of `prefix` at or after `offset`, else from `first` on; claimed. */
  take(prefix: Prefix, offset: number, first: number): Address | null {
    const base = maskAddress(prefix.address, prefix.length);
    const size = sizeOf(prefix);
    const start = Math.max(first, offset);
    for (let i = 0; i < Math.min(size, SEARCH_LIMIT); i++) {
      const at = start + i < size - 1 ? start + i : first + (start + i - (size - 1));
      if (at >= size - 1 || at < first) break;
      const address = addToAddress(base, at);
      if (this.#used.has(address)) continue;
      this.#used.set(address, true);
      return address;
    }
    return null;
  }
}

/** Number of addresses in a range, at most 2^31. */
export function sizeOf(prefix: Prefix): number {
  const width = prefix.address.family === 4 ? 32 : 128;
  return 2 ** Math.min(31, width - prefix.length);
}

/** How far into a range an address lies; ranges of more than 2^32 addresses count modulo. */
function offsetOf(prefix: Prefix, address: Address): number {
  return (address.w3 - maskAddress(prefix.address, prefix.length).w3) >>> 0;
}

/** Per-node pod ranges for nodes without one: around the pods that it has, else the next one. */
export function assignPodRanges(
  given: readonly Node[],
  drafts: readonly PodDraft[],
  wiring: Wiring,
  families: readonly Family[],
  book: AddressBook,
): readonly Node[] {
  if (!hasPodRanges(wiring)) return given;
  const nodes = withRangesOfPods(given, drafts, wiring);
  const taken: Prefix[] = nodes.flatMap((n) => n.podCidrs);
  const tried = new Map<Prefix, number>();
  return nodes.map((node) => {
    const added = families.flatMap((family) => {
      if (node.podCidrs.some((p) => p.address.family === family)) return [];
      const from = wiring.podCidrs.find((p) => p.address.family === family);
      const block = from && nextBlock(from, taken, tried);
      if (!block) {
        const { source } = node;
        book.exhausted.push({ what: `Node/${node.name}`, range: 'podCidr', source });
      } else taken.push(block);
      return block ? [block] : [];
    });
    return { ...node, podCidrs: [...node.podCidrs, ...added] };
  });
}

/** The /24 (IPv6: /80) of the pod range that a node's pods are in, where no other node's are. */
function withRangesOfPods(
  nodes: readonly Node[],
  drafts: readonly PodDraft[],
  wiring: Wiring,
): readonly Node[] {
  if (nodes.every((n) => n.podCidrs.length > 0)) return nodes;
  const owners = new Map<string, string | null>();
  const blocks = new Map<string, Map<string, Prefix>>();
  for (const { pod } of drafts) {
    if (pod.hostNetwork || pod.node === '') continue;
    for (const a of pod.addresses) {
      if (!wiring.podCidrs.some((p) => contains(p, a))) continue;
      const length = blockLength(a.family);
      const block = { address: maskAddress(a, length), length };
      const key = addressKey(block.address);
      const owner = owners.get(key);
      owners.set(key, owner === undefined || owner === pod.node ? pod.node : null);
      const own = blocks.get(pod.node) ?? new Map<string, Prefix>();
      blocks.set(pod.node, own.set(key, block));
    }
  }
  return nodes.map((node) => {
    if (node.podCidrs.length > 0) return node;
    const own = [...(blocks.get(node.name) ?? [])].filter(([key]) => owners.get(key) === node.name);
    const podCidrs = ([4, 6] as const).flatMap((family) => {
      const [only, ...others] = own.filter(([, p]) => p.address.family === family);
      return only && others.length === 0 ? [only[1]] : [];
    });
    return { ...node, podCidrs };
  });
}

/** The first block of `from` that overlaps none of `taken`; `tried`: those before are taken. */
function nextBlock(
  from: Prefix,
  taken: readonly Prefix[],
  tried: Map<Prefix, number>,
): Prefix | null {
  const v4 = from.address.family === 4;
  const length = Math.max(from.length, blockLength(from.address.family));
  const count = 2 ** Math.min(16, length - from.length);
  const base = maskAddress(from.address, from.length);
  for (let i = tried.get(from) ?? 0; i < count; i++) {
    tried.set(from, i);
    const address = v4 ? addToAddress(base, i * 256) : { ...base, w2: (base.w2 + i * 65536) >>> 0 };
    const block = { address, length };
    if (!taken.some((t) => containsPrefix(t, block) || containsPrefix(block, t))) return block;
  }
  return null;
}

/** How much of a pod range a node has. */
function blockLength(family: Family): number {
  return family === 4 ? 24 : 80;
}

/** Addresses for nodes, then for the pods on them; `maxPods` by node name. */
export function assignAddresses(
  nodes: readonly Node[],
  drafts: readonly PodDraft[],
  wiring: Wiring,
  families: readonly Family[],
  maxPods: ReadonlyMap<string, number>,
  book: AddressBook,
): { readonly nodes: readonly Node[]; readonly pods: readonly Pod[] } {
  const waiting = new Map<string, PodDraft[]>();
  for (const d of drafts) {
    if (!needsAddress(d)) continue;
    const list = waiting.get(d.pod.node);
    if (list) list.push(d);
    else waiting.set(d.pod.node, [d]);
  }
  const cursors = new Map<Family, number>();
  const given = new Map<Pod, readonly Address[]>();
  const placed = nodes.map((node) => {
    const pods = waiting.get(node.name) ?? [];
    const got = families.flatMap((family) => {
      const kept = maxPods.get(node.name) ?? DEFAULT_MAX_PODS;
      return placeNode({ node, pods, family, wiring, kept, cursors, given, book });
    });
    return { ...node, addresses: [...node.addresses, ...got] };
  });
  const byName = new Map(placed.map((n) => [n.name, n]));
  const pods = drafts.map(({ pod, running }) => {
    const own = byName.get(pod.node)?.addresses ?? [];
    const gone = pod.phase === 'Succeeded' || pod.phase === 'Failed';
    if (gone || (pod.hostNetwork && !running)) return { ...pod, addresses: [] };
    if (pod.hostNetwork) return { ...pod, addresses: own };
    const got = given.get(pod);
    return got ? { ...pod, addresses: [...pod.addresses, ...got] } : pod;
  });
  return { nodes: placed, pods };
}

function needsAddress(draft: PodDraft): boolean {
  const { pod } = draft;
  return draft.running && !pod.hostNetwork && pod.addresses.length === 0 && pod.node !== '';
}

interface Placing {
  readonly node: Node;
  readonly pods: readonly PodDraft[];
  readonly family: Family;
  readonly wiring: Wiring;
  /** Addresses kept for the node's pods where they live in the subnet. */
  readonly kept: number;
  /** Where the next node of a family starts looking. */
  readonly cursors: Map<Family, number>;
  readonly given: Map<Pod, readonly Address[]>;
  readonly book: AddressBook;
}

/** Give the node and its waiting pods their addresses of one family; the node's are returned. */
function placeNode(p: Placing): readonly Address[] {
  const { node, family, book, wiring } = p;
  const subnets = wiring.subnets.filter((s) => s.address.family === family);
  const has = node.addresses.find((a) => a.family === family);
  const subnet = (has && subnets.find((s) => contains(s, has))) ?? subnets[0];
  const cursor = p.cursors.get(family) ?? FIRST_IN_SUBNET;
  const taken = !has && subnet ? book.take(subnet, cursor, FIRST_IN_SUBNET) : null;
  if (!has && !taken) {
    book.exhausted.push({ what: `Node/${node.name}`, range: 'subnet', source: node.source });
  }
  const own = node.podCidrs.find((c) => c.address.family === family);
  const apart = family === 4 ? poolOf(wiring, node.name)?.podSubnet : undefined;
  const from = own ?? apart ?? subnet;
  const at = has ?? taken;
  const base = subnet && at && contains(subnet, at) ? offsetOf(subnet, at) : FIRST_IN_SUBNET;
  let next = own ? FIRST_IN_POD_RANGE : apart ? FIRST_IN_SUBNET : base + 1;
  for (const { pod } of p.pods) {
    const first = own ? FIRST_IN_POD_RANGE : FIRST_IN_SUBNET;
    const address = from ? book.take(from, next, first) : null;
    if (!address || !from) {
      const what = `${pod.namespace}/Pod/${pod.name}`;
      book.exhausted.push({ what, range: own ? 'podCidr' : 'subnet', source: pod.source });
      continue;
    }
    next = offsetOf(from, address) + 1;
    p.given.set(pod, [...(p.given.get(pod) ?? []), address]);
  }
  const isAlone = own !== undefined || apart !== undefined;
  if (taken) p.cursors.set(family, isAlone ? base + 1 : Math.max(base + 1 + p.kept, next));
  return taken ? [taken] : [];
}

/** Spread pods without node over the nodes that their selector admits, in turn. */
export function schedule(drafts: readonly PodDraft[], nodes: readonly Node[]): readonly PodDraft[] {
  let turn = 0;
  const fitting = new Map<string, readonly Node[]>();
  const fittingNodes = (selector: PodDraft['nodeSelector']) => {
    const wanted = Object.entries({ 'kubernetes.io/os': 'linux', ...selector });
    const key = JSON.stringify(wanted);
    const fit =
      fitting.get(key) ?? nodes.filter((n) => wanted.every(([k, value]) => n.labels[k] === value));
    fitting.set(key, fit);
    return fit;
  };
  return drafts.map((draft) => {
    if (draft.pod.node !== '' || !draft.running) return draft;
    const fit = fittingNodes(draft.nodeSelector);
    const node = fit[turn++ % Math.max(1, fit.length)];
    // No node fits: the pod waits, as the scheduler would let it.
    if (!node) return { ...draft, running: false, ready: false, pod: pending(draft.pod) };
    return { ...draft, pod: { ...draft.pod, node: node.name } };
  });
}

function pending(pod: Pod): Pod {
  return { ...pod, phase: 'Pending' };
}
