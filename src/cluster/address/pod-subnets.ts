/**
 * Subnets that only pods are in: Azure CNI's dynamic and static allocation.
 *
 * Known by a node pool that names one (`podSubnet`, in AKS's JSON `podSubnetId`), by the nodes'
 * labels, or by addresses: a described subnet with pods in it and no node. AKS keeps a pod subnet
 * apart from the subnets of nodes ("Configure Azure CNI networking for dynamic allocation").
 * @module
 */
import type { Address, Prefix } from '../../wire/address/address.ts';
import { contains, formatPrefix } from '../../wire/address/address.ts';
import type { WiredPool, Wiring } from '../model.ts';
import { findPool } from '../node-pool.ts';

/** What a node pool's nodes are named after. */
export function poolOf(wiring: Pick<Wiring, 'nodePools'>, node: string): WiredPool | undefined {
  return findPool(wiring.nodePools, node);
}

/**
 * The pod subnets among `subnets`; null where pods have none. Empty: there are some, and nobody
 * says where.
 */
export function findPodSubnets(
  given: { readonly said: boolean; readonly named: readonly Prefix[] },
  subnets: readonly Prefix[],
  known: { readonly nodes: readonly Address[]; readonly pods: readonly Address[] },
): readonly Prefix[] | null {
  const seen = subnets.filter(
    (s) =>
      s.address.family === 4 &&
      known.pods.some((a) => contains(s, a)) &&
      !known.nodes.some((a) => contains(s, a)),
  );
  const found = new Map([...given.named, ...seen].map((p) => [formatPrefix(p), p]));
  return given.said || found.size > 0 ? [...found.values()] : null;
}
