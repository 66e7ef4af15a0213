/**
 * What Azure asks for before a cluster moves from one network to another, and what `compare` of the
 * two can not show.
 *
 * Source: AKS docs "Update Azure CNI IPAM mode and data plane technology" (`update-azure-cni.md`):
 * Kubernetes 1.27 or later; no dynamic pod subnets; no network policy engine, which is installed
 * again afterwards; no `azure-ip-masq-agent-config` of the user's own; all node pools are reimaged
 * at once; there is no way back.
 * @module
 */
import type { Cluster } from '../cluster/model.ts';
import { formatPrefix } from '../wire/address.ts';
import type { Stack } from './dataplane.ts';

/** What stands between the two stacks, one sentence each; empty where Azure has no such move. */
export function moveConditions(from: Stack, to: Stack, cluster: Cluster): readonly string[] {
  if (from.network === to.network) return [];
  if (from.network === 'azure-overlay') return leaving(from, to);
  const isAks = from.network === 'kubenet' || from.network.startsWith('azure-');
  if (to.network !== 'azure-overlay' || !isAks) return [];
  const said = [
    'the move to azure-overlay reimages all node pools at once and has no way back; it needs ' +
      'Kubernetes 1.27 or later',
  ];
  if (from.network === 'azure-podsubnet') {
    said.push('Azure does not move clusters with pod subnets (dynamic addresses) to overlay');
  }
  if (from.policy !== 'none') {
    said.push(
      `Azure wants policy engine ${from.policy} uninstalled before the move: nothing enforces ` +
        'policies until one is installed again',
    );
  }
  if (hasOwnMasquerade(cluster)) {
    said.push(
      'Azure does not move a cluster with a masquerade list of its own ' +
        '(azure-ip-masq-agent-config)',
    );
  }
  if (from.network !== 'kubenet') {
    said.push(
      'pods get new addresses of the pod range; here they keep those of the files, so that both ' +
        'sides name the same pods',
    );
  }
  return said;
}

function leaving(from: Stack, to: Stack): readonly string[] {
  return [`Azure has no move from ${from.network} to ${to.network}: overlay has no way back`];
}

/** A list that is not the one that AKS keeps. */
function hasOwnMasquerade({ wiring }: Cluster): boolean {
  if (!wiring.masquerade || wiring.inferred) return false;
  const own = [...wiring.vnet, ...wiring.subnets, ...wiring.podCidrs, ...wiring.serviceCidrs];
  const known = new Set(own.map(formatPrefix));
  return wiring.masquerade.nonMasqueradeCidrs.some((p) => !known.has(formatPrefix(p)));
}
