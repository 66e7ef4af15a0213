/**
 * One stack brought to life: the cluster rendered to plans, the plans lowered to images, an engine
 * that holds them, and where each address's packets enter.
 * @module
 */
import { type AddressPlan, addressPlan } from '../cluster/address/address-plan.ts';
import type { Cluster } from '../cluster/model.ts';
import { podHost, type Stack } from '../dataplane/dataplane.ts';
import { renderNetwork } from '../dataplane/render.ts';
import { assert } from '../diagnostic/diagnostic.ts';
import type { Engine, Injection } from '../engine/engine.ts';
import { type MakeEngine, referenceEngine } from '../engine/make-engine.ts';
import { Cables, type Topology } from '../engine/topology.ts';
import type { HostImage } from '../image/image.ts';
import { lower } from '../lowering/link.ts';
import type { Attachment, Network } from '../plan/model.ts';
import type { NetworkPolicy } from '../policy/model.ts';
import { type Address, ANY4, ANY6, equalAddress, formatAddress } from '../wire/address/address.ts';
import { BROADCAST_MAC, ZERO_MAC } from '../wire/address/mac.ts';
import * as arp from '../wire/header/arp.ts';
import { ArpOperation } from '../wire/header/arp.ts';
import * as ethernet from '../wire/header/ethernet.ts';
import { EtherType } from '../wire/protocol.ts';
import { packetOf, visiblePorts } from './datagram/headers.ts';
import { type DumpedHost, locateAmong } from './dump-places.ts';
import type { EntryPoint } from './entry.ts';
import { probeHealth } from './health.ts';
import { Identities, type Place } from './identity.ts';
import type { Endpoints } from './result.ts';
import { HiddenPods } from './run/hidden-pods.ts';
import type { Conversation } from './traffic/conversation.ts';

export type { EntryPoint } from './entry.ts';

/** The device by which pods and nodes are plugged in. */
const NIC = 'eth0';

/** `--seed`'s default. */
export const DEFAULT_SEED = 1;

export interface WorldInput {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  readonly stack: Stack;
  /** `--at`: every packet enters here, whoever sent it. */
  readonly at?: EntryPoint;
  /** Of every choice that a kernel would draw. */
  readonly seed?: number;
  /** Hosts to use instead of rendering them: a rendered network that somebody changed. */
  readonly network?: Network;
  /** The network's nodes are dumps: their own tables say where addresses are. */
  readonly dumped?: boolean;
  /** Who moves packets; absent: the reference engine. */
  readonly makeEngine?: MakeEngine;
}

/** The parts of an injection that are not its place. */
export type InjectionOptions = Omit<Extract<Injection, { as: 'local' }>, 'as' | 'host' | 'packet'>;

export class World {
  readonly cluster: Cluster;
  readonly stack: Stack;
  readonly policies: readonly NetworkPolicy[];
  readonly network: Network;
  readonly addresses: AddressPlan;
  readonly identities: Identities;
  readonly engine: Engine;
  /** What the engine was made from. */
  readonly topology: Topology;
  readonly #at: EntryPoint | undefined;
  readonly #fabric: () => HostImage | undefined;
  readonly #cables: Cables;

  constructor(input: WorldInput) {
    this.cluster = input.cluster;
    this.stack = input.stack;
    this.policies = input.policies;
    this.#at = input.at;
    this.network = input.network ?? healthyNetwork(input);
    this.addresses = addressPlan(input.cluster);
    const hosts = imagesOf(this.network);
    this.#fabric = () => hosts(this.network.fabric.host);
    const locate = input.dumped ? locateAmong(dumpedHosts(this.network, hosts)) : null;
    const hidden = new HiddenPods(this);
    this.identities = new Identities(input.cluster, this.addresses, locate, (node, destination) =>
      hidden.hides(node, destination),
    );
    this.topology = topologyOf(this.network, hosts);
    this.#cables = new Cables(this.topology);
    const make = input.makeEngine ?? referenceEngine;
    this.engine = make(this.topology, { seed: input.seed ?? DEFAULT_SEED });
  }

  /** The injection of an IP packet where its sender is. */
  injectAt(from: Place, packet: Uint8Array, options: InjectionOptions): Injection {
    const entry = this.#at ?? this.entryOf(from);
    if (entry.as === 'edge') {
      return { ...options, as: 'received', ...this.#edgeOf(packet), packet };
    }
    if (entry.as === 'local') return sentBy(entry.host, packet, options);
    if (entry.as !== 'endpoint') return { ...options, ...entry, packet };
    const { host, device } = entry;
    const frameBytes = framedBy(entry, packet);
    const { wireLength, ...rest } = options;
    const length = wireLength === undefined ? {} : { wireLength: wireLength + HEADER };
    return { ...rest, ...length, as: 'frame', host, device, frameBytes };
  }

  /** Where the packets of a placed address enter. */
  entryOf(place: Place): EntryPoint {
    if ('entry' in place && place.entry !== undefined) return place.entry;
    if (place.kind === 'pod') return { as: 'local', host: podHost(place.pod) };
    if (place.kind === 'node') return { as: 'local', host: place.node.name };
    return { as: 'edge' };
  }

  /** Whether a node has this address on a device of its own. */
  isOwn(place: Place, address: Address): boolean {
    if (place.kind !== 'node') return false;
    const plan = this.network.nodes.find(({ host }) => host === place.node.name);
    const own = plan?.interfaces.flatMap((device) => device.addresses) ?? [];
    return own.some((a) => equalAddress(a.address, address));
  }

  /** The device of the fabric behind which everything outside the cluster is. */
  edge(): Attachment {
    const [edge] = this.network.edges;
    assert(edge !== undefined, 'a network has an edge');
    return edge;
  }

  /** The device behind which a sender outside is: the one by which the fabric reaches it. */
  #edgeOf(packet: Uint8Array): Attachment {
    const { edges } = this.network;
    const src = edges.length > 1 ? packetOf(packet)?.src : undefined;
    const route = src && this.#fabric()?.fib.lookup({ destination: src, mark: 0 });
    return edges.find(({ device }) => device === route?.device) ?? this.edge();
  }

  /** An ARP frame as its sender would send it, and the device that it reaches first. */
  arpFrame(
    from: Place,
    to: Place,
    packet: { readonly operation: number; readonly sender: Address; readonly target: Address },
  ): { host: string; device: string; frameBytes: Uint8Array } | null {
    const sender = this.#nic(from);
    if (sender === null) return null;
    const isRequest = packet.operation === ArpOperation.request;
    const targetMac = isRequest ? ZERO_MAC : (this.#nic(to)?.mac ?? BROADCAST_MAC);
    const payload = arp.emit({
      operation: packet.operation,
      senderMac: sender.mac,
      senderIp: packet.sender,
      targetMac,
      targetIp: packet.target,
    });
    const destination = isRequest ? BROADCAST_MAC : targetMac;
    const header = { destination, source: sender.mac, tags: [], etherType: EtherType.arp };
    return { ...sender.far, frameBytes: ethernet.emit(header, payload) };
  }

  /** The device a placed host sends by, and what its cable leads to. */
  #nic(place: Place): { mac: string; far: Attachment } | null {
    if (place.kind !== 'pod' && place.kind !== 'node') return null;
    const host = place.kind === 'pod' ? podHost(place.pod) : place.node.name;
    const plan =
      place.kind === 'pod'
        ? this.network.podPlan(host)
        : this.network.nodes.find((node) => node.host === host);
    const nic = plan?.interfaces.find((i) => i.name === NIC);
    const { far } = this.#cables.port(host, NIC);
    return nic && far ? { mac: nic.mac, far } : null;
  }

  /** A conversation's ends as reports name them. */
  describeEnds(c: Conversation): Omit<Endpoints, 'protocol'> {
    return {
      src: formatAddress(c.src),
      dst: formatAddress(c.dst),
      ...(c.protocol.includes('icmp')
        ? { sport: null, dport: null }
        : { sport: c.sport, dport: c.dport }),
      from: c.from.name,
      to: c.to.name,
    };
  }

  /** The ends of a packet that an engine made. */
  describePacket(packet: Uint8Array | null): Endpoints {
    const d = packetOf(packet);
    if (d === null) {
      return {
        protocol: 'arp',
        src: null,
        sport: null,
        dst: null,
        dport: null,
        from: null,
        to: null,
      };
    }
    return {
      protocol: d.protocolName,
      src: formatAddress(d.src),
      dst: formatAddress(d.dst),
      ...visiblePorts(d),
      from: this.identities.placeOf(d.src).name,
      to: this.identities.placeOf(d.dst).name,
    };
  }
}

const HEADER = ethernet.HEADER_LENGTH;

/** Field by field where options are the usual ones: this is done for every packet. */
function sentBy(host: string, packet: Uint8Array, options: InjectionOptions): Injection {
  const { frame, nowNs, utcSeconds, wireLength, segmentSize, trace, choices } = options;
  const { checksumOffloaded, walkPastPolicyDrops } = options;
  const isUsual =
    utcSeconds !== undefined &&
    wireLength === undefined &&
    segmentSize === undefined &&
    trace === undefined &&
    choices === undefined &&
    walkPastPolicyDrops === undefined;
  if (!isUsual) return { ...options, as: 'local', host, packet };
  return checksumOffloaded === undefined
    ? { as: 'local', host, packet, frame, nowNs, utcSeconds }
    : { as: 'local', host, packet, frame, nowNs, utcSeconds, checksumOffloaded };
}

/** The frame that somebody behind a device sends. */
function framedBy(entry: Extract<EntryPoint, { as: 'endpoint' }>, packet: Uint8Array): Uint8Array {
  const isV6 = (packet[0] ?? 0) >>> 4 === 6;
  const d = packetOf(packet);
  const none = isV6 ? ANY6 : ANY4;
  const macs = entry.macs(d?.src ?? none, d?.dst ?? none);
  const etherType = isV6 ? EtherType.ipv6 : EtherType.ipv4;
  return ethernet.emit({ ...macs, tags: [], etherType }, packet);
}

/** The nodes of a dumped network; the first end of each cable is a node's uplink. */
function dumpedHosts(
  network: Network,
  image: (host: string) => HostImage | undefined,
): readonly DumpedHost[] {
  return network.links.flatMap(([{ host, device }]) => {
    const found = image(host);
    return found === undefined ? [] : [{ image: found, uplink: device }];
  });
}

/** The network with the backends in its load balancers' pools that answer probes. */
function healthyNetwork(input: WorldInput): Network {
  const asked = { ...input, masquerade: true };
  const network = renderNetwork(asked);
  const { healthProbes = [], edges } = network;
  const [edge] = edges;
  if (healthProbes.length === 0 || edge === undefined) return network;
  const topology = topologyOf(network, imagesOf(network));
  const engine = referenceEngine(topology, { seed: input.seed ?? DEFAULT_SEED });
  const { unhealthy, warnings } = probeHealth(engine, healthProbes, edge);
  if (unhealthy.size === 0) return network;
  return renderNetwork({ ...asked, unhealthy }, { nodes: network.nodes, warnings });
}

function topologyOf(network: Network, hosts: Topology['hosts']): Topology {
  const { nodes, farEnd, edges, answered = [] } = network;
  const open = new Map(nodes.map(({ host, connections = [] }) => [host, connections]));
  return {
    hosts,
    get links() {
      return network.links;
    },
    farEnd,
    edges,
    answered,
    connections: (host) => open.get(host) ?? [],
  };
}

type Images = (host: string) => HostImage | undefined;

/** Worlds on one network share its images: what packets change is in the hosts' states. */
const IMAGES = new WeakMap<Network, Images>();

/** Images of all hosts, lowered when first asked for. */
function imagesOf(network: Network): Images {
  const known = IMAGES.get(network) ?? lowered(network);
  IMAGES.set(network, known);
  return known;
}

function lowered(network: Network): Images {
  const { nodes, fabric, appliances = [] } = network;
  const plans = new Map([...nodes, fabric, ...appliances].map((plan) => [plan.host, plan]));
  const pods = network.isPod ? null : new Set(network.pods);
  const isPod = (host: string) => network.isPod?.(host) ?? pods?.has(host) === true;
  const images = new Map<string, HostImage>();
  return (host) => {
    const known = images.get(host);
    if (known) return known;
    const plan = plans.get(host) ?? (isPod(host) ? network.podPlan(host) : undefined);
    if (plan === undefined) return undefined;
    const image = lower(plan);
    images.set(host, image);
    return image;
  };
}
