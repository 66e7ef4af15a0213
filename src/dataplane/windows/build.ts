/**
 * Which Windows a node runs, and what hangs on that. The kubelet reports the build as the kernel's
 * version (`status.nodeInfo.kernelVersion: 10.0.20348.1668`).
 *
 * Sources: AKS docs "Update Azure CNI IPAM mode" (the warning about build 20348.1668);
 * azure-container-networking docs/npm.md (Windows Server 2022); kubernetes.io "Networking on
 * Windows" (session affinity since Windows Server 2022).
 * @module
 */
import type { Node } from '../../cluster/model.ts';

export interface WindowsBuild {
  /** 17763 is Windows Server 2019, 20348 is 2022, 26100 is 2025. */
  readonly build: number;
  readonly update: number;
  /** `20348.1668`. */
  readonly text: string;
  /** Nobody said: a node that the objects do not describe. */
  readonly assumed: boolean;
}

export const SERVER_2019 = 17_763;
export const SERVER_2022 = 20_348;

/** What a node of an AKS Windows Server 2022 pool runs, where nobody says. */
const ASSUMED: WindowsBuild = {
  build: SERVER_2022,
  update: 2966,
  text: `${SERVER_2022}.2966`,
  assumed: true,
};

/** First build whose overlay pods do not translate answers to the host network. */
const OVERLAY_FIXED = { build: SERVER_2022, update: 1668 };

export function windowsBuild(node: Pick<Node, 'kernel'>): WindowsBuild {
  const found = /^10\.0\.(\d+)(?:\.(\d+))?/.exec(node.kernel);
  if (!found) return ASSUMED;
  const build = Number(found[1]);
  const update = Number(found[2] ?? 0);
  return { build, update, text: `${build}.${update}`, assumed: false };
}

/**
 * Whether "Windows Overlay pods incorrectly SNAT packets from host network pods" on this build.
 */
export function hasOverlayFault({ build, update }: WindowsBuild): boolean {
  const fixed = OVERLAY_FIXED;
  return build < fixed.build || (build === fixed.build && update < fixed.update);
}
