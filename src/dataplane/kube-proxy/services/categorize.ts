/**
 * Which endpoints of a port a node uses: for traffic policy Cluster those that are ready (near ones
 * where all carry hints), for Local those on the node; where none is ready, those that still serve
 * while they terminate.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/topology.go` `CategorizeEndpoints`, `canUseTopology`; hints
 * for nodes as in v1.34 (`topologyModeFromHints`).
 * @module
 */
import { hintsAnnotation } from '../../../cluster/topology-hints.ts';
import type { ProxyEndpoint } from './endpoints.ts';
import { type ProxyPort, usesClusterEndpoints, usesLocalEndpoints } from './service-port.ts';

/**
 * Which hints a release follows: those for zones where the Service has the annotation (whatever it
 * says but `disabled`), those for zones, those for nodes too.
 */
export type HintReading = 'annotated' | 'zones' | 'all';

/** The node as topology knows it; an empty zone is none. */
export interface ProxyTopology {
  readonly node: string;
  readonly zone: string;
  /** Absent: all. */
  readonly hints?: HintReading | undefined;
}

export interface UsedEndpoints {
  readonly cluster: readonly ProxyEndpoint[];
  readonly local: readonly ProxyEndpoint[];
  /** Both together, each once, sorted. */
  readonly reachable: readonly ProxyEndpoint[];
  /** Whether any node has one that could be used. */
  readonly any: boolean;
}

/** Choose among a port's endpoints, sorted by their text. */
export function categorize(
  port: ProxyPort,
  endpoints: readonly ProxyEndpoint[],
  topology: ProxyTopology,
): UsedEndpoints {
  const usable = endpoints.filter((e) => e.ready || isLeaving(e));
  const cluster = usesClusterEndpoints(port) ? clusterEndpoints(port, endpoints, topology) : [];
  const local = usesLocalEndpoints(port) ? localEndpoints(endpoints) : [];
  const any = usesLocalEndpoints(port) ? usable.length > 0 : cluster.length > 0;
  const used = new Set([...cluster, ...local]);
  const reachable = usable.filter((e) => used.has(e));
  return { cluster, local, reachable, any };
}

function isLeaving(endpoint: ProxyEndpoint): boolean {
  return endpoint.serving && endpoint.terminating;
}

function clusterEndpoints(
  port: ProxyPort,
  endpoints: readonly ProxyEndpoint[],
  topology: ProxyTopology,
): readonly ProxyEndpoint[] {
  const ready = endpoints.filter((e) => e.ready);
  return ready.length > 0 ? near(port, ready, topology) : endpoints.filter(isLeaving);
}

/** Hints count only if every ready endpoint has them and one is for this node or zone. */
function near(
  { service }: ProxyPort,
  ready: readonly ProxyEndpoint[],
  { node, zone, hints = 'all' }: ProxyTopology,
): readonly ProxyEndpoint[] {
  const annotation = hintsAnnotation(service) ?? '';
  if (hints === 'annotated' && /^(disabled|Disabled)?$/.test(annotation)) return ready;
  if (hints === 'all' && ready.every((e) => e.nodeHints.length > 0)) {
    const here = ready.filter((e) => e.nodeHints.includes(node));
    if (here.length > 0) return here;
  }
  if (zone === '' || !ready.every((e) => e.zoneHints.length > 0)) return ready;
  const here = ready.filter((e) => e.zoneHints.includes(zone));
  return here.length > 0 ? here : ready;
}

function localEndpoints(endpoints: readonly ProxyEndpoint[]): readonly ProxyEndpoint[] {
  const here = endpoints.filter((e) => e.local);
  const ready = here.filter((e) => e.ready);
  return ready.length > 0 ? ready : here.filter(isLeaving);
}
