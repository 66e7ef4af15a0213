/**
 * Moves from one policy engine to another.
 *
 * Source: AKS docs "Secure pod traffic with network policies" (`use-network-policies.md`,
 * 025967d2): an engine is installed into and uninstalled from an existing cluster, each by an
 * update that reimages all node pools at once; policies stay in the cluster and are not enforced
 * without one; Azure NPM has 250 nodes and 20,000 pods; Calico on Windows nodes is for new
 * clusters; no change from one engine to the other is described but that to Cilium (cilium.ts).
 * Retirement of Azure NPM: `includes/network-policy-manager-retirement.md`.
 * @module
 */
import { hasNetwork } from '../../cluster/address/address-plan.ts';
import { NPM_NODES, NPM_PODS } from '../../cluster/limits/capacity.ts';
import type { Cluster } from '../../cluster/model.ts';
import type { Stack } from '../dataplane.ts';

/** What Azure says of the way from one engine to another. */
export function engineMove(from: Stack, to: Stack, cluster: Cluster): readonly string[] {
  if (from.policy === to.policy) return [];
  const hasWindows = cluster.nodes.some((n) => n.os === 'windows');
  return [
    ...change(from, to),
    ...(to.policy === 'npm' ? npmLimits(cluster) : []),
    ...(to.policy === 'calico' && hasWindows
      ? ['Azure has calico on Windows nodes in new clusters only']
      : []),
  ];
}

function change(from: Stack, to: Stack): readonly string[] {
  const reimages = 'reimages all node pools at once';
  if (from.policy === 'none') return [`installing ${to.policy} ${reimages}`];
  if (to.policy === 'none') {
    return [
      `uninstalling ${from.policy} ${reimages}; the NetworkPolicies stay in the cluster, and ` +
        'nothing enforces them',
    ];
  }
  return [
    `Azure describes no change from ${from.policy} to ${to.policy} in one step: uninstalling ` +
      `${from.policy} (az aks update --network-policy none) and installing ${to.policy} each ` +
      `${reimages}, and in between nothing enforces policies`,
  ];
}

function npmLimits(cluster: Cluster): readonly string[] {
  const pods = cluster.pods.filter((pod) => hasNetwork(pod) && !pod.hostNetwork).length;
  const nodes = cluster.nodes.length;
  const isOver = nodes > NPM_NODES || pods > NPM_PODS;
  return [
    ...(isOver
      ? [
          `Azure has npm up to ${NPM_NODES} nodes and ${NPM_PODS} pods; this cluster has ` +
            `${nodes} nodes and ${pods} pods`,
        ]
      : []),
    'Azure retires npm on Linux nodes on 2028-09-30',
  ];
}
