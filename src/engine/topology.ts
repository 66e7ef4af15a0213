/**
 * How hosts are wired, as plain data: what the engine must know of a network beside the hosts'
 * images. The shapes are those of plan/model.ts (`Attachment`, `Link`), said again here because
 * nothing that forwards may import a plan.
 * @module
 */
import type { HostImage } from '../image/image.ts';
import type { ListedConnection } from '../netfilter/listed-connection.ts';

/** One end of a cable or of a veth pair. */
export interface Attachment {
  readonly host: string;
  readonly device: string;
}

/** Two attachments that see each other's frames. */
export type Link = readonly [Attachment, Attachment];

/** Everything an engine is made from. */
export interface Topology {
  /** The image of a host, made when first asked for; undefined when there is no such host. */
  readonly hosts: (name: string) => HostImage | undefined;
  readonly links: readonly Link[];
  /** The far end of a device's cable, where that is known without walking all links. */
  readonly farEnd?: ((host: string, device: string) => Attachment | undefined) | undefined;
  /** Devices that lead out of the emulation: a frame sent there has exited. */
  readonly edges: readonly Attachment[];
  /** Hosts around which every neighbour answers that their images do not list. */
  readonly answered?: readonly string[];
  /** Connections that were open on a host when the engine's clock stood at 0. */
  readonly connections?: (host: string) => readonly ListedConnection[];
}

/** The far ends of all links, by host and device. */
export class Cables {
  readonly #far = new Map<string, Map<string, Attachment>>();
  readonly #edges = new Map<string, Set<string>>();
  readonly #answered: ReadonlySet<string>;
  readonly #known: Topology['farEnd'];

  constructor(topology: Pick<Topology, 'links' | 'farEnd' | 'edges' | 'answered'>) {
    this.#answered = new Set(topology.answered);
    this.#known = topology.farEnd;
    for (const [a, b] of topology.farEnd ? [] : topology.links) {
      this.#connect(a, b);
      this.#connect(b, a);
    }
    for (const edge of topology.edges) {
      const devices = this.#edges.get(edge.host) ?? new Set<string>();
      this.#edges.set(edge.host, devices.add(edge.device));
    }
  }

  /** Where a frame sent by this device arrives; undefined when nothing is plugged in. */
  farEnd(host: string, device: string): Attachment | undefined {
    return this.#known ? this.#known(host, device) : this.#far.get(host)?.get(device);
  }

  isEdge(host: string, device: string): boolean {
    return this.#edges.get(host)?.has(device) ?? false;
  }

  /** Whether somebody who is not emulated answers for the neighbours of this host. */
  isAnswered(host: string): boolean {
    return this.#answered.has(host);
  }

  #connect(from: Attachment, to: Attachment): void {
    const devices = this.#far.get(from.host) ?? new Map<string, Attachment>();
    this.#far.set(from.host, devices.set(from.device, to));
  }
}
