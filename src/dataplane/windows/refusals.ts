/**
 * Where AKS has no Windows nodes, or no such policy engine on them; and clusters taken as if all of
 * their nodes ran the other operating system.
 *
 * Sources: AKS docs "Use kubenet" (no Windows Server node pools) and "Use network policies" (NPM on
 * Windows Server 2022, Calico on 2019 and 2022); azure-container-networking docs/npm.md.
 * @module
 */
import type { Cluster, Node } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { NetworkName, RenderInput, Stack } from '../dataplane.ts';
import { FORCE } from '../offered.ts';
import { SERVER_2019, SERVER_2022, windowsBuild } from './build.ts';
import { NODE_OS } from './options.ts';

const WITHOUT_WINDOWS: Readonly<Partial<Record<NetworkName, string>>> = {
  kubenet: 'AKS has no Windows nodes with kubenet',
  byo: 'Windows nodes are emulated with Azure CNI only: what another plugin does there is its own',
  docker: 'Windows hosts are emulated as nodes of AKS only',
};

/** The input with every node of the operating system that the stack names. */
export function withNodeOs(input: RenderInput): RenderInput {
  const asked = input.stack.options[NODE_OS.name];
  if (asked !== 'linux' && asked !== 'windows') return input;
  const nodes = input.cluster.nodes.map((node) => ({ ...node, os: asked }) as const);
  return { ...input, cluster: { ...input.cluster, nodes } };
}

/** Why Windows nodes of this cluster can not be had on the stack, one a node. */
export function windowsProblems(cluster: Cluster, stack: Stack): readonly Diagnostic[] {
  return cluster.nodes
    .filter((node) => node.os === 'windows')
    .flatMap((node) => {
      const message = problemOf(node, stack);
      if (message === null) return [];
      const { file, line } = node.source;
      const object = `Node/${node.name}`;
      return [{ code: 'NODE_WINDOWS', file, line, object, message, found: stack.text }];
    });
}

function problemOf(node: Node, stack: Stack): string | null {
  const network = WITHOUT_WINDOWS[stack.network];
  if (network !== undefined) return network;
  if (stack.options[FORCE.name] === 'true') return null;
  const { build, text } = windowsBuild(node);
  if (stack.policy === 'npm' && build !== SERVER_2022) {
    return `Azure NPM runs on Windows Server 2022 (20348) only, not on ${text}`;
  }
  if (stack.policy === 'calico' && build !== SERVER_2022 && build !== SERVER_2019) {
    return `AKS has Calico on Windows Server 2019 and 2022 only, not on ${text}`;
  }
  return null;
}
