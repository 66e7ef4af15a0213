/**
 * Health of load balancers' backends, before any traffic: each probe is sent through the emulated
 * network as the load balancer would, and a backend that it does not reach, or that does not reach
 * the load balancer back, takes no traffic. So a policy that denies the probe empties the pool.
 *
 * A probe to a port that is translated again can have several ways; the backend lives when one of
 * them answers, as the load balancer asks again and again.
 * @module
 */
import type { Engine, Injection, Journey } from '../engine/engine.ts';
import type { Attachment, HealthProbe } from '../plan/model.ts';
import { Protocol } from '../wire/protocol.ts';
import { packetOf } from './datagram/headers.ts';
import { inverse } from './datagram/rewrite.ts';
import { syntheticPacket } from './datagram/synthetic.ts';
import { arrived } from './verdict.ts';

const SPORT = 40_000;

/** The keys of the backends whose probes fail (`RenderInput.unhealthy`). */
export function unhealthyBackends(
  engine: Engine,
  probes: readonly HealthProbe[],
  edge: Attachment,
): ReadonlySet<string> {
  const failed = probes.filter((probe) => !isAnswered(engine, probe, edge));
  return new Set(failed.flatMap((probe) => probe.keys));
}

function isAnswered(engine: Engine, probe: HealthProbe, edge: Attachment): boolean {
  const { source, destination, port } = probe;
  const request = syntheticPacket({
    src: source,
    dst: destination,
    protocol: Protocol.tcp,
    sport: SPORT,
    dport: port,
    step: 'request',
  });
  const opening: Injection = { as: 'received', ...edge, frame: 0, nowNs: 0, packet: request };
  const { courses } = engine.courses(opening, answerTo);
  return courses.some(({ forward, reply }) => arrived(forward) && reply?.outcome === 'exited');
}

/** Whoever took the probe answers it. */
function answerTo(forward: Journey): Injection | null {
  const seen = forward.outcome === 'delivered' ? packetOf(forward.packet) : null;
  if (seen === null) return null;
  const { src, dst, sport, dport } = inverse(seen);
  const ports = { sport: sport ?? 0, dport: dport ?? 0 };
  const packet = syntheticPacket({ src, dst, ...ports, protocol: Protocol.tcp, step: 'answer' });
  return { as: 'local', host: forward.end.host, frame: 0, nowNs: 0, packet };
}
