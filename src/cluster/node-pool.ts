/**
 * Node pools, and which one a node is of by its name: AKS calls the VMs of Linux pools
 * `aks-POOL-NNNNNNNN-vmssNNNNNN` and those of Windows pools `aksPOOLNNNNNN`, since names of Windows
 * computers have at most 15 characters; a Windows pool's own name has at most 6.
 *
 * Source: AKS docs "Windows Server node pools" (limitations), AgentBaker `pkg/agent` node names.
 * @module
 */
import type { Node } from './model.ts';

/** The name of a pool's n-th node, from 0. */
export function nodeName(
  pool: { readonly name: string; readonly os: Node['os'] },
  index: number,
): string {
  const number = index.toString(36).padStart(6, '0');
  return pool.os === 'windows'
    ? `aks${pool.name}${number}`
    : `aks-${pool.name}-00000000-vmss${number}`;
}

/** The pool of a node; undefined where its name says none. */
export function findPool<Pool extends { readonly name: string }>(
  pools: readonly Pool[] | undefined,
  node: string,
): Pool | undefined {
  return pools?.find(
    ({ name }) =>
      node.startsWith(`aks-${name}-`) ||
      (node.startsWith(`aks${name}`) && /^[0-9a-z]{6}$/.test(node.slice(3 + name.length))),
  );
}
