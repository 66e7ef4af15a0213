/**
 * The ranges that a node's pods take their addresses from, and the address in each that the node
 * keeps for itself: the first one, as the `host-local` plugin does.
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import {
  type Address,
  addToAddress,
  type Family,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';

export interface NodeRange {
  /** Network address. */
  readonly range: Prefix;
  readonly gateway: Address;
}

/** A node's ranges, in its order. */
export function nodeRanges(node: Pick<Node, 'podCidrs'>): readonly NodeRange[] {
  return node.podCidrs.map(({ address, length }) => {
    const base = maskAddress(address, length);
    return { range: { address: base, length }, gateway: addToAddress(base, 1) };
  });
}

/** The node's address towards its pods of a family; undefined without a range of it. */
export function gatewayOf(ranges: readonly NodeRange[], family: Family): Address | undefined {
  return ranges.find(({ gateway }) => gateway.family === family)?.gateway;
}
