/**
 * Health of load balancers' backends, before any traffic: each probe is sent through the emulated
 * network as the load balancer would, and a backend that it does not reach, or that does not reach
 * the load balancer back, takes no traffic. So a policy that denies the probe empties the pool.
 *
 * A probe to a port that is translated again can have several ways; the backend lives when one of
 * them answers, as the load balancer asks again and again.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { Engine, Injection, Journey } from '../engine/engine.ts';
import type { Attachment, HealthProbe } from '../plan/model.ts';
import { Protocol } from '../wire/protocol.ts';
import { packetOf } from './datagram/headers.ts';
import { inverse } from './datagram/rewrite.ts';
import { syntheticPacket } from './datagram/synthetic.ts';
import { arrived, decidedBy } from './verdict.ts';

const SPORT = 40_000;

/** What the probes of all load balancers came to. */
export interface Health {
  /** The backends whose probes fail (`RenderInput.unhealthy`). */
  readonly unhealthy: ReadonlySet<string>;
  /** One a Service: how many of its nodes fail, and why. */
  readonly warnings: readonly Diagnostic[];
}

interface Failure {
  readonly probe: HealthProbe;
  readonly why: string;
}

/** Send every probe. */
export function probeHealth(
  engine: Engine,
  probes: readonly HealthProbe[],
  edge: Attachment,
): Health {
  const failures = probes.flatMap((probe): readonly Failure[] => {
    const why = failureOf(engine, probe, edge);
    return why === null ? [] : [{ probe, why }];
  });
  const services = new Set(failures.map(({ probe }) => probe.service));
  return {
    unhealthy: new Set(failures.flatMap(({ probe }) => probe.keys)),
    warnings: [...services].map((service) => warningOf(service, probes, failures)),
  };
}

function warningOf(
  service: string,
  probes: readonly HealthProbe[],
  failures: readonly Failure[],
): Diagnostic {
  const nodes = (all: readonly HealthProbe[]) =>
    new Set(all.filter((probe) => probe.service === service).map((probe) => probe.node));
  const failed = failures.filter(({ probe }) => probe.service === service);
  const lost = nodes(failed.map(({ probe }) => probe));
  const asked = nodes(probes).size;
  const why = [...new Set(failed.map((failure) => failure.why))].join('; ');
  return {
    code: 'LB_PROBE_FAILS',
    object: `svc/${service}`,
    message: `its load balancer gets no answer to health probes of ${lost.size} of ${asked} nodes, and sends them nothing: ${why}`,
    found: [...lost].join(', '),
  };
}

/** Why a probe is not answered; null when it is, on one of its ways. */
function failureOf(engine: Engine, probe: HealthProbe, edge: Attachment): string | null {
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
  const isLive = courses.some(({ forward, reply }) => {
    return arrived(forward) && reply?.outcome === 'exited';
  });
  if (isLive) return null;
  const [first] = courses;
  const lost = first && (arrived(first.forward) ? first.reply : first.forward);
  const by = decidedBy(lost?.decision ?? null);
  const what = lost?.reason ?? 'no answer';
  return by?.policy ? `${what} by ${by.policy}` : what;
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
