/**
 * A rendered network built from network namespaces, veths and the real tools' commands.
 *
 * Every host is one namespace `wt<pid>-<n>`; everything in it comes from the printed plan. Outside
 * of the fabric's edge stands one more namespace with one address.
 * @module
 */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { printBridge } from '../../../src/plan/bridge-text.ts';
import { printEbtables } from '../../../src/plan/ebtables-text.ts';
import { printIp } from '../../../src/plan/ip-text.ts';
import { printIpsets } from '../../../src/plan/ipset-text.ts';
import { printIptables } from '../../../src/plan/iptables-text.ts';
import type { Interface, Network, Plan } from '../../../src/plan/model.ts';
import { printSysctls } from '../../../src/plan/sysctl-text.ts';
import { type Answer, OUTSIDE, OUTSIDE_ADDRESS } from '../../dataplane/shop.ts';

const run = promisify(execFile);

export class RealNetwork {
  readonly #spaces = new Map<string, string>();
  readonly #network: Network;

  /** Build all hosts; call `remove` whatever happens. */
  constructor(network: Network, tag: string) {
    this.#network = network;
    // Nodes last: a bridge port forwards only once its far end is up.
    const pods = network.pods.map((pod) => network.podPlan(pod));
    const plans = [network.fabric, ...pods, ...network.nodes];
    const hosts = [...plans.map((plan) => plan.host), OUTSIDE];
    for (const [i, host] of hosts.entries()) {
      const space = `wt${process.pid}-${tag}${i}`;
      execFileSync('ip', ['netns', 'add', space]);
      this.#spaces.set(host, space);
    }
    try {
      this.#wire();
      this.#buildOutside();
      for (const plan of plans) this.#build(plan);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  remove(): void {
    for (const space of this.#spaces.values()) {
      execFileSync('ip', ['netns', 'del', space], { stdio: 'ignore' });
    }
    this.#spaces.clear();
  }

  /** Try a TCP connection; a port without listener answers with RST. */
  async connect(from: string, address: string, port: number): Promise<Answer> {
    const script = `exec 3<>/dev/tcp/${address}/${port}`;
    try {
      await this.#exec(from, 'timeout', ['2', 'bash', '-c', script]);
      return 'answered';
    } catch (error) {
      const { stderr = '' } = error as { stderr?: string };
      return stderr.includes('Connection refused') ? 'answered' : 'silent';
    }
  }

  /** Send from now on with this TTL. */
  setTtl(host: string, ttl: number): void {
    inSpace(this.#space(host), 'sysctl', ['-qw', `net.ipv4.ip_default_ttl=${ttl}`]);
  }

  async #exec(host: string, command: string, args: readonly string[]): Promise<void> {
    await run('ip', ['netns', 'exec', this.#space(host), command, ...args]);
  }

  #space(host: string): string {
    const space = this.#spaces.get(host);
    if (space === undefined) throw new Error(`no host ${host}`);
    return space;
  }

  #wire(): void {
    const edges = this.#network.edges.map(
      (edge) => [edge, { host: OUTSIDE, device: 'eth0' }] as const,
    );
    for (const [a, b] of [...this.#network.links, ...edges]) {
      const ends = ['link', 'add', a.device, 'netns', this.#space(a.host), 'type', 'veth'];
      const far = ['peer', 'name', b.device, 'netns', this.#space(b.host)];
      execFileSync('ip', [...ends, ...far]);
    }
  }

  #build(plan: Plan): void {
    const space = this.#space(plan.host);
    // All veths are made by now: to the printer they are given devices.
    const given = (i: Interface): Interface => (i.kind === 'veth' ? { ...i, kind: 'physical' } : i);
    const ready = { ...plan, interfaces: plan.interfaces.map(given) };
    batch(space, 'ip', printIp(ready));
    patiently(() => batch(space, 'bridge', printBridge(ready)));
    const sysctls = printSysctls(plan).replaceAll(' = ', '=').split('\n').filter(Boolean);
    if (sysctls.length > 0) inSpace(space, 'sysctl', ['-qw', ...sysctls]);
    if (plan.ebtables.length > 0) inSpace(space, 'ebtables-restore', [], printEbtables(plan));
    if (plan.ipsets.length > 0) inSpace(space, 'ipset', ['restore'], printIpsets(plan));
    for (const [family, tool] of [
      [4, 'iptables-restore'],
      [6, 'ip6tables-restore'],
    ] as const) {
      const text = printIptables(plan, family);
      if (text !== '') inSpace(space, tool, [], text);
    }
  }

  #buildOutside(): void {
    const lines = [
      'ip link set dev eth0 address 12:34:56:78:9a:bc',
      'ip link set dev eth0 up',
      `ip addr add ${OUTSIDE_ADDRESS}/32 dev eth0`,
      'ip route add 169.254.0.2 dev eth0',
      'ip neigh replace 169.254.0.2 lladdr 12:34:56:78:9a:bc dev eth0 nud permanent',
      'ip route add default via 169.254.0.2 dev eth0',
    ];
    batch(this.#space(OUTSIDE), 'ip', `${lines.join('\n')}\n`);
  }
}

/** Carrier comes up some time after the device: entries of a port are refused until then. */
function patiently(step: () => void): void {
  for (let attempt = 1; ; attempt++) {
    try {
      step();
      return;
    } catch (error) {
      if (attempt === 30) throw error;
      execFileSync('sleep', ['0.1']);
    }
  }
}

function batch(space: string, tool: string, text: string): void {
  const lines = text.replaceAll(new RegExp(`^${tool} `, 'gm'), '');
  if (lines !== '') inSpace(space, tool, ['-batch', '-'], lines);
}

function inSpace(space: string, command: string, args: readonly string[], input = ''): void {
  execFileSync('ip', ['netns', 'exec', space, command, ...args], {
    input,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
}
