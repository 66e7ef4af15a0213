/**
 * What becomes of the first packet of a TCP connection in the shop, walked by the engine.
 * @module
 */

import type { Journey } from '../../src/engine/engine.ts';
import { syntheticPacket } from '../../src/lab/datagram/synthetic.ts';
import type { World } from '../../src/lab/world.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import * as make from './objects.ts';
import { OUTSIDE, OUTSIDE_ADDRESS, shop } from './shop.ts';

const ADDRESSES: Readonly<Record<string, string>> = {
  [OUTSIDE]: OUTSIDE_ADDRESS,
  ...Object.fromEntries(
    shop.pods.map((p) => [`${p.namespace}/${p.name}`, make.text(p.addresses[0])]),
  ),
  ...Object.fromEntries(shop.nodes.map((n) => [n.name, make.text(n.addresses[0])])),
};

/** Send a SYN from a pod, a node or the world outside. `frame` tells connections apart. */
export function firstPacket(
  world: World,
  from: string,
  connection: { readonly to: string; readonly port: number; readonly frame: number },
): Journey {
  const { to, port, frame } = connection;
  const packet = syntheticPacket({
    src: make.ip(ADDRESSES[from] ?? ''),
    dst: make.ip(to),
    protocol: Protocol.tcp,
    sport: 20_000 + frame,
    dport: port,
    step: 'request',
  });
  const at = { packet, frame, nowNs: frame };
  return world.engine.inject(
    from === OUTSIDE
      ? { ...at, as: 'received', ...world.edge() }
      : { ...at, as: 'local', host: from },
  );
}

/** Whether it reached a host that would answer it. */
export function arrived(journey: Journey): boolean {
  return journey.outcome === 'delivered' || journey.outcome === 'exited';
}
