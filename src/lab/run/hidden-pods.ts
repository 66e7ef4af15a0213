/**
 * Whether a node hides its pods behind its own address on their way to a destination outside: asked
 * of the emulator itself, by a packet that one of them would send. Whoever masquerades there (an
 * agent, the network's plugin, a pool) does not matter.
 *
 * Asked of an engine of its own, on fresh state, past what policies drop, so no verdict can change.
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import type { Engine } from '../../engine/engine.ts';
import { referenceEngine } from '../../engine/make-engine.ts';
import { type Address, addressKey, equalAddress } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { syntheticPacket } from '../datagram/synthetic.ts';
import type { World } from '../world.ts';

/** Answers remembered; beyond that all are forgotten. */
const MOST_ANSWERS = 10_000;
const PORTS = { sport: 40_000, dport: 443 };

export class HiddenPods {
  readonly #world: World;
  readonly #known = new Map<string, boolean>();
  #engine: Engine | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  /** Whether a pod of `node` would be seen under the node's address by `destination`. */
  hides(node: Node, destination: Address): boolean {
    const key = `${node.name} ${addressKey(destination)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const found = this.#ask(node, destination);
    if (this.#known.size >= MOST_ANSWERS) this.#known.clear();
    this.#known.set(key, found);
    return found;
  }

  #ask(node: Node, destination: Address): boolean {
    const { cluster, identities, topology } = this.#world;
    const { family } = destination;
    const isThere = (a: Address) => a.family === family;
    const pod = cluster.pods.find(
      (p) => p.node === node.name && !p.hostNetwork && p.addresses.some(isThere),
    );
    const src = pod?.addresses.find(isThere);
    if (src === undefined) return false;
    const place = identities.placeOf(src);
    if (place.kind !== 'pod') return false;
    const step = 'request' as const;
    const packet = syntheticPacket({
      src,
      dst: destination,
      protocol: Protocol.tcp,
      ...PORTS,
      step,
    });
    this.#engine ??= referenceEngine(topology, { seed: 0 });
    const options = { frame: 0, nowNs: 0, walkPastPolicyDrops: true };
    const journey = this.#engine.inject(this.#world.injectAt(place, packet, options));
    return journey.crossings.some(({ ends }) =>
      node.addresses.some((a) => equalAddress(a, ends.src)),
    );
  }
}
