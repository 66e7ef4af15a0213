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

/** Where a device of a host leads. */
export interface Port {
  /** What is plugged in at the other end; null when nothing is. */
  readonly far: Attachment | null;
  /** It leads out of the emulation. */
  readonly isEdge: boolean;
}

/** Where all cables lead, by host and device. */
export class Cables {
  /** Of links, and of whatever was asked for before. */
  readonly #ports = new Map<string, Map<string, Port>>();
  readonly #edges = new Map<string, Set<string>>();
  readonly #answered: ReadonlySet<string>;
  readonly #known: Topology['farEnd'];

  constructor(topology: Pick<Topology, 'links' | 'farEnd' | 'edges' | 'answered'>) {
    this.#answered = new Set(topology.answered);
    this.#known = topology.farEnd;
    for (const { host, device } of topology.edges) {
      const devices = this.#edges.get(host) ?? new Set<string>();
      this.#edges.set(host, devices.add(device));
    }
    for (const [a, b] of topology.farEnd ? [] : topology.links) {
      this.#connect(a, b);
      this.#connect(b, a);
    }
  }

  port(host: string, device: string): Port {
    const known = this.#ports.get(host)?.get(device);
    if (known !== undefined) return known;
    return this.#connect({ host, device }, this.#known?.(host, device) ?? null);
  }

  /** Whether somebody who is not emulated answers for the neighbours of this host. */
  isAnswered(host: string): boolean {
    return this.#answered.has(host);
  }

  #connect({ host, device }: Attachment, far: Attachment | null): Port {
    const made = { far, isEdge: this.#edges.get(host)?.has(device) ?? false };
    const devices = this.#ports.get(host) ?? new Map<string, Port>();
    this.#ports.set(host, devices.set(device, made));
    return made;
  }
}
