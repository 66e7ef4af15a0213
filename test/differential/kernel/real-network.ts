/**
 * A rendered network in a real kernel: every host a namespace with what its printed plan says in it,
 * real cables, real connections. Outside of the fabric's edge stands one more host with one address.
 * @module
 */
import type { Test } from 'tap';
import type { Network } from '../../../src/plan/model.ts';
import { type Answer, OUTSIDE, OUTSIDE_ADDRESS } from '../../dataplane/shop.ts';
import { Agent, type Attempt, type BuildStep, type Cable } from './harness/agent.ts';
import { networkSteps } from './harness/kernel-host.ts';

export class RealNetwork {
  readonly #agent: Agent;

  private constructor(agent: Agent) {
    this.#agent = agent;
  }

  /** Build all hosts; they are gone when the test is over. */
  static async build(t: Test, network: Network): Promise<RealNetwork> {
    const agent = new Agent();
    t.teardown(() => agent.close());
    const plans = [network.fabric, ...network.pods.map((pod) => network.podPlan(pod))];
    plans.push(...network.nodes);
    const hosts = plans.map((plan) => ({ host: plan.host, ...networkSteps(plan, 'nft') }));
    await agent.network([...plans.map((plan) => plan.host), OUTSIDE]);
    for (const { host, early } of hosts) await agent.at(host, early);
    await agent.lay(cablesOf(network));
    for (const { host, making } of hosts) await agent.at(host, making);
    await agent.at(OUTSIDE, outsideSteps());
    for (const { host, settling } of hosts) await agent.at(host, settling);
    return new RealNetwork(agent);
  }

  /** Try TCP connections, all begun before any ends; a port without listener answers with RST. */
  async connect(attempts: readonly Attempt[]): Promise<readonly Answer[]> {
    const outcomes = await this.#agent.connect(attempts);
    return outcomes.map((one) => (one === 'OK' || one === 'ECONNREFUSED' ? 'answered' : 'silent'));
  }

  /** Send from now on with this TTL. */
  async setTtl(host: string, ttl: number): Promise<void> {
    const values = { 'net.ipv4.ip_default_ttl': String(ttl) };
    await this.#agent.at(host, [{ kind: 'sysctls', values }]);
  }
}

function cablesOf(network: Network): readonly Cable[] {
  const edges = network.edges.map((edge) => [edge, { host: OUTSIDE, device: 'eth0' }] as const);
  return [...network.links, ...edges].map(([a, b]) => [a.host, a.device, b.host, b.device]);
}

function outsideSteps(): readonly BuildStep[] {
  const lines = [
    'link set dev eth0 address 12:34:56:78:9a:bc',
    'link set dev eth0 up',
    `addr add ${OUTSIDE_ADDRESS}/32 dev eth0`,
    'route add 169.254.0.2 dev eth0',
    'neigh replace 169.254.0.2 lladdr 12:34:56:78:9a:bc dev eth0 nud permanent',
    'route add default via 169.254.0.2 dev eth0',
  ];
  return [
    { kind: 'run', argv: ['ip', '-batch', '-'], stdin: `${lines.join('\n')}\n` },
    { kind: 'running', devices: ['eth0'] },
  ];
}
