/**
 * The reference engine (being written): the signatures others compile against.
 * @module
 */
import type { ConnectionView, Engine, Injection, Journey } from './engine.ts';
import type { Topology } from './topology.ts';

/** Holds one emulated host per image and runs every packet to completion through all of them. */
export class ReferenceEngine implements Engine {
  readonly name = 'reference';
  readonly #topology: Topology;

  constructor(topology: Topology) {
    this.#topology = topology;
  }

  inject(injection: Injection): Journey {
    throw new Error(`not yet written: ${injection.host} ${this.#topology.links.length}`);
  }

  assumeOpen(injection: Injection): Journey {
    return this.inject(injection);
  }

  connections(host: string): readonly ConnectionView[] {
    throw new Error(`not yet written: ${host}`);
  }

  counters(host: string): ReadonlyMap<string, { packets: number; bytes: number }> {
    throw new Error(`not yet written: ${host}`);
  }
}
