/**
 * What stands between two stacks of one AKS cluster: Azure's own conditions for the move, those
 * that the cluster does not meet or that nothing here can tell, and what `compare` of the two can
 * not show.
 * @module
 */
import type { Cluster } from '../../cluster/model.ts';
import type { Stack } from '../dataplane.ts';
import { engineMove } from './engine-move.ts';
import { isAksNetwork, networkMove } from './network-move.ts';

/** One sentence each; empty where nothing has to be said, and for clusters that are not AKS's. */
export function moveConditions(from: Stack, to: Stack, cluster: Cluster): readonly string[] {
  if (!isAksNetwork(from.network) || !isAksNetwork(to.network)) return [];
  return [...networkMove(from, to, cluster), ...engineMove(from, to, cluster)];
}
