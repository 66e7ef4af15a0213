/**
 * An Azure cluster from its documents, walked by the reference engine: what becomes of a packet, in
 * one line.
 * @module
 */
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import type { Engine, Journey } from '../../src/engine/engine.ts';
import { ReferenceEngine } from '../../src/engine/reference.ts';
import type { HostImage } from '../../src/image/image.ts';
import { lower } from '../../src/lowering/link.ts';
import type { Network, Plan } from '../../src/plan/model.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import { icmpEcho, type PacketBuilder, parsedIp, tcp, udp } from '../support/packets.ts';

export interface WalkOptions {
  readonly stack?: string;
  readonly unhealthy?: ReadonlySet<string>;
}

/** `10.1.0.4:1024 > 8.8.8.8:443` as a packet has it. */
export interface Ends {
  readonly src: string;
  readonly sport: number;
  readonly dst: string;
  readonly dport: number;
}

export function node(name: string, address: string): string {
  return `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: ${address}}]}\n---\n`;
}

export function pod(name: string, onNode: string, address: string, labels = '{}'): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: ${labels}}
spec: {nodeName: ${onNode}, containers: [{name: c, ports: [{containerPort: 80}]}]}
status: {phase: Running, podIP: ${address}, conditions: [{type: Ready, status: "True"}]}\n---\n`;
}

export function wiring(text: string): string {
  return `apiVersion: wiretrial/v1\nkind: Wiring\n${text}\n---\n`;
}

/** Load the documents of a test. */
export function clusterOf(...documents: string[]) {
  return parseInputs('azure.yaml', documents.join('')).cluster;
}

export class AzureWalk {
  readonly network: Network;
  readonly engine: Engine;
  #frame = 0;
  #nowNs = 0;

  constructor(documents: readonly string[], options: WalkOptions = {}) {
    const { cluster, policies } = parseInputs('azure.yaml', documents.join(''));
    this.network = renderNetwork({
      cluster,
      policies,
      stack: parseStack(options.stack ?? 'azure-transparent+none'),
      ...(options.unhealthy === undefined ? {} : { unhealthy: options.unhealthy }),
    });
    const { nodes, fabric, appliances = [], pods, links, edges } = this.network;
    const plans = new Map<string, Plan>([...nodes, fabric, ...appliances].map((p) => [p.host, p]));
    const images = new Map<string, HostImage>();
    const hosts = (name: string): HostImage | undefined => {
      const known = images.get(name);
      if (known) return known;
      const plan = plans.get(name) ?? (pods.includes(name) ? this.network.podPlan(name) : null);
      if (!plan) return undefined;
      const made = lower(plan);
      images.set(name, made);
      return made;
    };
    this.engine = new ReferenceEngine({ hosts, links, edges }, { seed: 1 });
  }

  /** Let the capture's clock run. */
  pass(seconds: number): void {
    this.#nowNs += seconds * 1e9;
  }

  /** A packet of a pod (`default/a`), a node, or of somebody outside (`edge`). */
  journey(from: string, packet: PacketBuilder): Journey {
    this.#frame += 1;
    this.#nowNs += 1e6;
    const rest = { packet: packet.packet(), frame: this.#frame, nowNs: this.#nowNs };
    const [edge] = this.network.edges;
    if (from !== 'edge') return this.engine.inject({ ...rest, as: 'local', host: from });
    return this.engine.inject({
      ...rest,
      as: 'received',
      host: 'fabric',
      device: edge?.device ?? '',
    });
  }

  send(from: string, packet: PacketBuilder): string {
    return story(this.journey(from, packet));
  }

  /** A packet as it comes out of a cable into the fabric. */
  received(device: string, packet: PacketBuilder): string {
    this.#frame += 1;
    const rest = { packet: packet.packet(), frame: this.#frame, nowNs: this.#nowNs };
    return story(this.engine.inject({ ...rest, as: 'received', host: 'fabric', device }));
  }

  /** A SYN; `to` is `8.8.8.8:443`. */
  syn(from: string, own: string, to: string): string {
    return this.send(from, syn(own, to));
  }
}

function split(end: string): readonly [string, number] {
  const [address = '', port = '0'] = end.split(':');
  return [address, Number(port)];
}

export function syn(own: string, to: string): PacketBuilder {
  return tcp()
    .from(...split(own))
    .to(...split(to))
    .syn();
}

/** A segment without flags. */
export function tcpOf(own: string, to: string): PacketBuilder {
  return tcp()
    .from(...split(own))
    .to(...split(to));
}

export function datagram(own: string, to: string): PacketBuilder {
  return udp()
    .from(...split(own))
    .to(...split(to));
}

export function ping(own: string, to: string): PacketBuilder {
  return icmpEcho().from(own).to(to);
}

/** What answers the packet that arrived: a SYN-ACK, or a datagram back. */
export function answerTo(journey: Journey): PacketBuilder {
  const { src, sport, dst, dport } = endsOf(journey);
  const isUdp = journey.packet?.[9] === 17;
  const back = isUdp ? udp() : tcp();
  const packet = back.from(dst, dport).to(src, sport);
  return isUdp ? packet : packet.syn().ack(1);
}

export function endsOf(journey: Journey): Ends {
  const { src, dst, bytes, l4 } = parsedIp(journey.packet ?? new Uint8Array(0));
  const port = (at: number) => ((bytes[l4 + at] ?? 0) << 8) | (bytes[l4 + at + 1] ?? 0);
  return { src: formatAddress(src), sport: port(0), dst: formatAddress(dst), dport: port(2) };
}

/** `exited internet 198.51.100.1:1024 > 8.8.8.8:443`, `dropped fabric: why`. */
export function story(journey: Journey): string {
  const { outcome, end, reason, decision } = journey;
  if (outcome === 'delivered' || outcome === 'exited') {
    const { src, sport, dst, dport } = endsOf(journey);
    const where = outcome === 'exited' ? end.device : end.host;
    return `${outcome} ${where} ${src}:${sport} > ${dst}:${dport}`;
  }
  const comments = [...(decision?.text ?? '').matchAll(/--comment ("[^"]*"|\S+)/g)];
  const why = comments.map((c) => (c[1] ?? '').replaceAll('"', '')).join(' ');
  return `${outcome} ${decision?.host ?? end.host} ${reason}${why === '' ? '' : `: ${why}`}`;
}
