/**
 * The contract of everything that knows a product: from a cluster, its policies and the chosen
 * stack to the plans of all its hosts. Pure: no files, no clock, no chance.
 *
 * A stack is `NETWORK+POLICY[,option=value]`. The network renderer lays interfaces, routes and
 * bridges; kube-proxy's static chains follow; the policy renderer adds its chains and sets in the
 * position the product gives them.
 * @module
 */
import type { Cluster, Node, Pod } from '../cluster/model.ts';
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { PlanBuilder } from '../plan/builder.ts';
import type { Plan } from '../plan/model.ts';
import type { NetworkPolicy } from '../policy/model.ts';
import type { Portmap } from './portmap/portmap.ts';

export const NETWORKS = [
  'azure-bridge',
  'azure-transparent',
  'azure-overlay',
  'azure-podsubnet',
  'kubenet',
  'byo',
  'docker',
] as const;
export type NetworkName = (typeof NETWORKS)[number];

export const POLICY_ENGINES = ['none', 'npm', 'calico', 'cilium'] as const;
export type PolicyEngineName = (typeof POLICY_ENGINES)[number];

export interface Stack {
  /** As the user wrote it. */
  readonly text: string;
  readonly network: NetworkName;
  readonly policy: PolicyEngineName;
  readonly options: Readonly<Record<string, string>>;
}

/** What a renderer is given; the same for every node. */
export interface RenderInput {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  readonly stack: Stack;
  /** Backends of load balancers whose health probe was not answered (fabric/health.ts). */
  readonly unhealthy?: ReadonlySet<string>;
}

export interface NetworkRenderer {
  readonly name: NetworkName;
  /** Interfaces, addresses, bridge, routes, neighbours, ebtables and sysctls of a node. */
  node(input: RenderInput, node: Node, builder: PlanBuilder): void;
  /** The whole plan of a pod's network namespace. */
  pod(input: RenderInput, pod: Pod): Plan;
  /** The host's end of the pod's veth pair. */
  hostDevice(pod: Pod, stack: Stack): string;
  readonly options?: readonly OptionSpec[];
  /** How the network between nodes knows where pods are; absent: `nodes`. */
  readonly between?: BetweenNodes;
  /** How host ports are led to pods; absent, or null: they are not, or in another way. */
  portmap?(stack: Stack): Portmap | null;
  /** False where nodes run no kubelet and no kube-proxy; absent: they do. */
  readonly kubernetes?: boolean;
}

/**
 * What leads from one node to the pods of another:
 *
 *   nodes     the virtual network has every pod's address on its node's NIC
 *   overlay   a routing domain of the pods' own: each node's range; nobody else has a way in
 *   routes    a route of each node's range by way of the node (kubenet's route table)
 *   link      nodes are neighbours on one link and route to each other themselves
 */
export type BetweenNodes = 'nodes' | 'overlay' | 'routes' | 'link';

export interface OptionSpec {
  readonly name: string;
  readonly values: string;
  readonly default: string;
  readonly describes: string;
  /** Whether a given value is one; absent: every value is. */
  readonly accepts?: (value: string) => boolean;
}

export interface PolicyRenderer {
  readonly name: PolicyEngineName;
  readonly options: readonly OptionSpec[];
  /** Chains, rules and sets on a node that already has its network and kube-proxy's chains. */
  node(input: RenderInput, node: Node, network: NetworkRenderer, builder: PlanBuilder): void;
  /**
   * What the product would not do as written, for the whole cluster: policies that it rejects or
   * misreads. Not mistakes of the user's files; reports show them as warnings.
   */
  warnings?(input: RenderInput): readonly Diagnostic[];
}

/**
 * Whether a pod has a network namespace of its own with an address in it: not on the host's
 * network, has addresses, and has not ended (a completed pod's interface is gone, and its address
 * may already be another pod's).
 */
export function isAttached(pod: Pod): boolean {
  return (
    !pod.hostNetwork &&
    pod.addresses.length > 0 &&
    pod.phase !== 'Succeeded' &&
    pod.phase !== 'Failed'
  );
}

/** Host name of a pod in a network: `NAMESPACE/NAME`; nodes go by their own name. */
export function podHost(pod: Pod): string {
  return `${pod.namespace}/${pod.name}`;
}
