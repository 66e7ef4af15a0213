/**
 * Health probes of the load balancers: what Azure would send before it sends a client's packets.
 *
 * A probe is an ordinary packet: groups, policies and kube-proxy's rules let it through or not, so
 * whether a backend is healthy is found by sending it through the emulator, on the plans as they
 * are. Whoever does so renders the fabric again with the keys of those that got no answer
 * (`RenderInput.unhealthy`).
 *
 * Not probed: UDP rules.
 * @module
 */
import type { Cluster } from '../cluster/model.ts';
import type { HealthProbe } from '../plan/model.ts';
import { backendAddress, backendKey, loadBalancerRules } from './frontends.ts';
import { PROBE_SOURCE } from './parts.ts';

/** Every probe of every rule, each once. */
export function healthProbes(cluster: Cluster): readonly HealthProbe[] {
  const found = new Map<string, { keys: string[]; probe: Omit<HealthProbe, 'keys'> }>();
  for (const rule of loadBalancerRules(cluster)) {
    const { probe, service } = rule;
    if (probe.kind === 'none') continue;
    for (const node of rule.candidates) {
      const destination = backendAddress(rule, node);
      if (destination === undefined) continue;
      const name = `${service.namespace}/${service.name}`;
      const { family } = rule.address;
      const key = `${name} ${node.name} ${family} ${probe.port}`;
      const entry = found.get(key) ?? {
        keys: [],
        probe: {
          service: name,
          node: node.name,
          source: PROBE_SOURCE[family],
          destination,
          port: probe.port,
          kind: probe.kind,
        },
      };
      entry.keys.push(backendKey(rule, node));
      found.set(key, entry);
    }
  }
  return [...found.values()].map(({ keys, probe }) => ({ ...probe, keys }));
}
