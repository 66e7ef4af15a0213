/**
 * Pods that ask for the host's network on a Windows node and do not get it: there only HostProcess
 * containers run on it, for all others `hostNetwork` is as good as unsaid (KEP-3503; kubernetes.io
 * "Networking on Windows", "Host networking is not supported").
 * @module
 */
import type { PodDraft } from './decode/object/pod.ts';
import type { Node } from './model.ts';

/** The drafts, with a network of their own for pods that can not have their Windows host's. */
export function withoutHostNetwork(
  drafts: readonly PodDraft[],
  nodes: readonly Node[],
): readonly PodDraft[] {
  const windows = new Set(nodes.filter(({ os }) => os === 'windows').map(({ name }) => name));
  if (windows.size === 0) return drafts;
  return drafts.map((draft) => {
    const { pod } = draft;
    if (!pod.hostNetwork || pod.hostProcess === true || !windows.has(pod.node)) return draft;
    return { ...draft, pod: { ...pod, hostNetwork: false, hostNetworkIgnored: true } };
  });
}
