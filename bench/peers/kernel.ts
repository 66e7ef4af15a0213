/**
 * A rendered node in real kernel namespaces: two pods and the node between them, loaded with the
 * plan's own text by the real tools, and frames sent from one pod to the other.
 *
 * Needs root. Namespaces are named wt<pid>-… and always removed.
 * @module
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { podHost } from '../../src/dataplane/dataplane.ts';
import type { World } from '../../src/lab/world.ts';
import { printBridge } from '../../src/plan/bridge-text.ts';
import { printEbtables } from '../../src/plan/ebtables/text.ts';
import { printIp } from '../../src/plan/ip-text.ts';
import { printIpsets } from '../../src/plan/ipset/text.ts';
import type { Plan } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { printSysctls } from '../../src/plan/sysctl-text.ts';
import { formatAddress } from '../../src/wire/address.ts';

/** Which iptables loads the rules; `none` loads no rules at all. */
export type Backend = 'legacy' | 'nft' | 'none';

/** Packets that arrived, and what they cost the sender's core. */
export interface Rate {
  readonly delivered: number;
  readonly packetsPerSecond: number;
  readonly packetsPerCpuSecond: number;
}

interface Pod {
  readonly space: string;
  readonly mac: string;
  readonly address: string;
  /** Where its frames go first. */
  readonly gateway: string;
}

export class KernelPeer {
  readonly #node: string;
  readonly #pods: Pod[] = [];
  readonly #folder: string;

  constructor(world: World, backend: Backend) {
    this.#node = `wt${process.pid}-n`;
    this.#folder = mkdtempSync(join(tmpdir(), 'wiretrial-peers-'));
    try {
      this.#build(world, backend);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Send UDP frames of so many flows for so long; one way only. */
  send(seconds: number, flows: number, port: number): Rate {
    const [client, server] = this.#pods;
    if (client === undefined || server === undefined) throw new RangeError('two pods');
    const before = received(server.space);
    const args = [client.gateway, client.mac, client.address, server.address, 10_000, port, 's'];
    const [, wallNs = 1, cpuNs = 1] = this.#sender(client.space, seconds, flows, 0, args);
    const delivered = received(server.space) - before;
    return {
      delivered,
      packetsPerSecond: (delivered / wallNs) * 1e9,
      packetsPerCpuSecond: (delivered / cpuNs) * 1e9,
    };
  }

  /** One packet a flow there, and one back: the connections are answered. */
  answer(flows: number, port: number): void {
    const [client, server] = this.#pods;
    if (client === undefined || server === undefined) throw new RangeError('two pods');
    const there = [client.gateway, client.mac, client.address, server.address, 10_000, port, 's'];
    this.#sender(client.space, 0, flows, flows, there);
    const back = [server.gateway, server.mac, server.address, client.address, port, 10_000, 'd'];
    this.#sender(server.space, 0, flows, flows, back);
  }

  remove(): void {
    for (const { space } of this.#pods) spawnSync('ip', ['netns', 'del', space]);
    spawnSync('ip', ['netns', 'del', this.#node]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #sender(
    space: string,
    seconds: number,
    flows: number,
    count: number,
    rest: readonly (string | number)[],
  ): number[] {
    const program = join(this.#folder, 'sender');
    const args = ['eth0', seconds, flows, count, ...rest].map(String);
    const command = ['netns', 'exec', space, 'taskset', '-c', '0', program, ...args];
    return execFileSync('ip', command, { encoding: 'utf8' }).trim().split(' ').map(Number);
  }

  #build(world: World, backend: Backend): void {
    const [plan] = world.network.nodes;
    if (plan === undefined) throw new RangeError('a network has a node');
    const source = 'bench/peers/sender.c';
    execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', join(this.#folder, 'sender'), source]);
    shell(null, `ip netns add ${this.#node}`);
    shell(this.#node, 'ip link add eth0 type veth peer name wire0 && ip link set wire0 up');
    setSysctls(this.#node, plan);
    shell(this.#node, printIp(plan));
    // What a bridge has by itself can not be set again; that frames arrive is checked at the end.
    const bridging = printBridge(plan)
      .split('\n')
      .filter((line) => line !== '');
    shell(this.#node, bridging.map((line) => `${line} || true`).join('\n'));
    const veths = plan.interfaces.filter(({ kind }) => kind === 'veth').map(({ name }) => name);
    for (const [i, pod] of world.cluster.pods.entries()) {
      const space = `wt${process.pid}-p${i}`;
      const address = pod.addresses.find(({ family }) => family === 4);
      const own = world.network.podPlan(podHost(pod));
      const mac = own.interfaces.find(({ name }) => name === 'eth0')?.mac;
      if (address === undefined || mac === undefined) throw new RangeError('a pod has a device');
      const { veth, gateway } = this.#plug(plan, veths, mac, world, i);
      this.#pods.push({ space, mac, address: formatAddress(address), gateway });
      shell(null, `ip netns add ${space}`);
      shell(this.#node, `ip link set $(${peerOf(veth)}) netns ${space} name eth0`);
      const setUp = printIp(own).replace(/^ip link add name eth0 .*$/m, '');
      shell(space, `ip link set eth0 address ${mac}\n${setUp}`);
    }
    if (backend !== 'none') loadRules(this.#node, plan, backend);
    else shell(this.#node, 'sysctl -qw net.bridge.bridge-nf-call-iptables=0 || true');
  }

  /** The node's end of a pod's cable, and the MAC that the pod sends to. */
  #plug(plan: Plan, veths: readonly string[], mac: string, world: World, index: number) {
    const bridged = plan.fdb.find((entry) => entry.mac === mac);
    const others = world.cluster.pods.filter((_, i) => i !== index);
    const peer = others[0] && world.network.podPlan(podHost(others[0]));
    const peerMac = peer?.interfaces.find(({ name }) => name === 'eth0')?.mac ?? '';
    const routed = plan.neighbors.find((neighbor) => neighbor.mac === mac);
    const veth = bridged?.port ?? routed?.device ?? veths[index] ?? '';
    const own = plan.interfaces.find(({ name }) => name === veth);
    return { veth, gateway: bridged ? peerMac : (own?.mac ?? '') };
  }
}

/** A command that prints the name of a veth's other end, while both are in one namespace. */
function peerOf(veth: string): string {
  return `ip -o link show ${veth} | sed 's/.*${veth}@\\([^:]*\\):.*/\\1/'`;
}

function shell(space: string | null, script: string, input?: string): void {
  const head = space === null ? [] : ['netns', 'exec', space];
  const [command = 'sh', ...args] = space === null ? ['sh'] : ['ip', ...head, 'sh'];
  const text = input === undefined ? {} : { input };
  execFileSync(command, [...args, '-ec', script], { stdio: ['pipe', 'pipe', 'pipe'], ...text });
}

function setSysctls(space: string, plan: Plan): void {
  const lines = printSysctls(plan)
    .split('\n')
    .filter((line) => line.includes(' = '));
  // Those of a device that is not there yet, or that namespaces do not have, do not matter here.
  shell(space, lines.map((line) => `sysctl -qw '${line.replace(' = ', '=')}' || true`).join('\n'));
}

function loadRules(space: string, plan: Plan, backend: Backend): void {
  const tool = backend === 'legacy' ? 'iptables-legacy-restore' : 'iptables-nft-restore';
  if (plan.ipsets.length > 0) shell(space, 'ipset restore', printIpsets(plan));
  shell(space, tool, printIptables(plan, 4));
  if (plan.ebtables.length > 0) shell(space, 'ebtables-restore', printEbtables(plan));
}

function received(space: string): number {
  const path = '/sys/class/net/eth0/statistics/rx_packets';
  return Number(execFileSync('ip', ['netns', 'exec', space, 'cat', path], { encoding: 'utf8' }));
}
