/**
 * Whether a run's connections can be judged apart, and by how many.
 *
 * What is asked here only chooses: that connections which were judged apart had nothing to do with
 * each other is checked while they are judged (worker.ts), whatever was concluded here.
 * @module
 */
import type { Pod } from '../cluster/model.ts';
import { conntrackSettings } from '../conntrack/protocol/timeouts.ts';
import { syntheticPacket } from '../lab/datagram/synthetic.ts';
import type { TupleCensus } from '../lab/traffic/tuple-census.ts';
import type { World } from '../lab/world.ts';
import { type Address, equalAddress } from '../wire/address/address.ts';
import { Protocol, protocolNumber } from '../wire/protocol.ts';
import { orderedRule } from './ordered-rules.ts';

/** Packets below which starting workers costs more than they save. */
export const LEAST_PACKETS = 10_000;

/**
 * What a second worker saves of each connection, on the longest way through the run. Measured on
 * 2026-11-21 with the machine busy (load 4 to 15), by processor time: an opening takes 28
 * microseconds by one and 19 by two, neither of whom is as warm. Of a packet in lanes that is only
 * counted it saves nothing: by one it takes about 110 ns in both passes, by two 130, who both read
 * the whole capture twice and follow each other's connections.
 */
const SAVED_NS = { opening: 10_000 };
/** What starting workers costs: their threads load, render, compile and collect. */
const START_NS = 0.6e9;

/**
 * Whether a run of which most packets go in bulk gains by several workers: reading and following
 * all of the capture is most of what such a packet costs, and every worker does it.
 */
export function gainsInBulk(packets: number, connections: number): boolean {
  return Math.min(packets, connections) * SAVED_NS.opening > START_NS;
}

export interface SharingInput {
  readonly worlds: readonly World[];
  readonly packets: number;
  readonly census: Pick<TupleCensus, 'tuples'>;
  /** Workers asked for. */
  readonly workers: number;
  /** `--at` was given: every packet enters there, whoever sent it. */
  readonly entryIsGiven: boolean;
  /** Hosts are dumps of real ones. */
  readonly dumped: boolean;
  readonly leastPackets?: number;
}

export interface Sharing {
  /** 1: all is judged in this process. */
  readonly workers: number;
  /** Why it is one although more were asked for; null when it is not, or the input is small. */
  readonly reason: string | null;
  /** Services put an address of their own in the place of clients that are pods. */
  readonly clientsHidden: boolean;
}

/** By how many workers this run can be judged. */
export function shareOut(input: SharingInput): Sharing {
  const { workers, packets, leastPackets = LEAST_PACKETS } = input;
  const alone = (reason: string | null) => ({ workers: 1, reason, clientsHidden: false });
  if (workers < 2 || packets < leastPackets) return alone(null);
  if (input.entryIsGiven) return alone('--at sends all packets in at one place');
  if (input.dumped) return alone('nodes that were dumped may remember anything');
  for (const world of input.worlds) {
    const hasAffinity = world.cluster.services.some((s) => s.sessionAffinitySeconds !== null);
    const rule = orderedRule(world.network, hasAffinity);
    if (rule !== null) return alone(`${rule} sees all connections`);
    if (input.census.tuples > leastRoom(world) / 2) {
      return alone('connection tables may become full');
    }
    if (podsHidden(world)) return alone('pods reach each other under addresses of nodes');
  }
  return { workers, reason: null, clientsHidden: input.worlds.some(servicesHide) };
}

/** Entries that fit the smallest connection table. */
function leastRoom({ network: { nodes, fabric, appliances = [] } }: World): number {
  const limits = [...nodes, fabric, ...appliances].map(({ sysctls }) => {
    const { max } = conntrackSettings(sysctls);
    return max === 0 ? Number.POSITIVE_INFINITY : max;
  });
  return Math.min(...limits);
}

/** Nodes and Services that are tried; a network treats those of a kind alike. */
const TRIED = 8;

/** One pod of each of a few nodes. */
function somePods({ cluster }: World): readonly Pod[] {
  const byNode = new Map<string, Pod>();
  for (const pod of cluster.pods) {
    const isOn = !pod.hostNetwork && pod.phase === 'Running' && pod.addresses.length > 0;
    if (isOn && !byNode.has(pod.node)) byNode.set(pod.node, pod);
    if (byNode.size >= TRIED) break;
  }
  return [...byNode.values()];
}

/** Whether some pod is hidden from another. */
function podsHidden(world: World): boolean {
  const pods = somePods(world);
  return pods.some((from) =>
    pods.some((to) =>
      to.addresses.some((dst) => from !== to && isHidden(world, from, dst, Protocol.tcp, 80)),
    ),
  );
}

/** Whether some pod is hidden from the endpoints of a Service that are other pods. */
function servicesHide(world: World): boolean {
  const pods = somePods(world);
  const { services, endpointSlices } = world.cluster;
  const backends = new Map(
    endpointSlices.map((slice) => [
      `${slice.namespace}/${slice.service}`,
      new Set(slice.endpoints.flatMap(({ pod }) => (pod ? [`${slice.namespace}/${pod}`] : []))),
    ]),
  );
  const tried = services.filter((s) => s.clusterIps.length > 0 && s.type === 'ClusterIP');
  return tried.slice(0, TRIED).some((service) => {
    const own = backends.get(`${service.namespace}/${service.name}`);
    return service.ports.some(({ protocol, port }) =>
      service.clusterIps.some((dst) =>
        pods
          .filter((pod) => !own?.has(`${pod.namespace}/${pod.name}`))
          .some((pod) => isHidden(world, pod, dst, protocolNumber(protocol) ?? 0, port)),
      ),
    );
  });
}

/** Whether the packet that opens such a connection leaves some host with another source. */
function isHidden(world: World, from: Pod, dst: Address, protocol: number, dport: number): boolean {
  const src = from.addresses.find((address) => address.family === dst.family);
  if (src === undefined) return false;
  const packet = syntheticPacket({ src, dst, sport: 40_000, dport, protocol, step: 'request' });
  const place = world.identities.placeOf(src);
  const opening = world.injectAt(place, packet, { frame: 1, nowNs: 0, utcSeconds: 0 });
  const { courses } = world.engine.courses(opening, () => null);
  return courses.some(({ forward }) =>
    forward.crossings.some(({ ends }) => !equalAddress(ends.src, src)),
  );
}
