/**
 * A rendered node in a real kernel: its namespace with everything that its plan says in it, a client
 * pod and a server pod in theirs, all other cables with their far ends in one more. What arrives at a
 * pod is counted and dropped there, at the first hook that there is.
 *
 * One laboratory of our own instead of that of the tests: no agent, no waiting, only `ip -batch`.
 * @module
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printEbtables } from '../../src/plan/ebtables/text.ts';
import { printIp } from '../../src/plan/ip-text.ts';
import { printIpsets } from '../../src/plan/ipset/text.ts';
import type { Interface, Network, Plan } from '../../src/plan/model.ts';
import { printNft } from '../../src/plan/nft/text/ruleset-text.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { printSysctls } from '../../src/plan/sysctl-text.ts';
import { run } from './programs.ts';

/** As send.c and inject.c lay a frame out. */
const PLACE = 64;
const ETHERNET = 14;
const MIN_FRAME = 60;
const ETHERTYPE_4 = [0x08, 0x00];
const LOCK_SECONDS = '120';

const COUNT_AND_DROP = `table netdev peers {
  chain arrivals {
    type filter hook ingress device "eth0" priority 0
    ip protocol udp counter drop
    drop
  }
}
`;

export interface KernelSample {
  readonly sent: number;
  /** Counted at the far end. */
  readonly arrived: number;
  readonly cpuNs: number;
  readonly wallNs: number;
}

export interface Senders {
  readonly send: string;
  readonly inject: string;
}

export class KernelLab {
  readonly #prefix: string;
  readonly #folder: string;
  readonly #node: Plan;
  readonly #client: Plan;
  readonly #server: Plan;
  readonly #cables: Network['links'];
  #made: string[] = [];

  /** @param folder where traces are written */
  constructor(network: Network, clientHost: string, serverHost: string, folder: string) {
    const [node] = network.nodes;
    const pods = [clientHost, serverHost].map((host) => {
      const pod = network.pods.find((one) => network.podPlan(one).host === host);
      if (pod === undefined) throw new RangeError(`no pod ${host}`);
      return network.podPlan(pod);
    });
    const [client, server] = pods;
    if (node === undefined || client === undefined || server === undefined) {
      throw new RangeError('a lab has a node and two pods');
    }
    this.#prefix = `wt${process.pid}-`;
    this.#folder = folder;
    this.#node = node;
    this.#client = client;
    this.#server = server;
    this.#cables = network.links.filter(([a]) => a.host === node.host);
  }

  build(): void {
    for (const name of ['node', 'client', 'server', 'rest']) {
      run(['ip', 'netns', 'add', this.#prefix + name]);
      this.#made.push(this.#prefix + name);
    }
    this.#layCables();
    this.#batch('node', ipLines(this.#node));
    this.#batch('client', ipLines(this.#client));
    this.#batch('server', ipLines(this.#server));
    for (const name of ['client', 'server']) this.#at(name, ['nft', '-f', '-'], COUNT_AND_DROP);
    this.#fill();
  }

  #layCables(): void {
    const lines = this.#cables.map(([near, far], i) => {
      const pod = [this.#client, this.#server].findIndex(({ host }) => host === far.host);
      const there = ['client', 'server'][pod];
      const end = there === undefined ? `p${i}` : 'eth0';
      const space = this.#prefix + (there ?? 'rest');
      return `link add name ${near.device} type veth peer name ${end} netns ${space}`;
    });
    this.#batch('node', lines);
    const idle = this.#at('rest', ['ip', '-o', 'link']).matchAll(/^\d+: (p\d+)@/gm);
    this.#batch(
      'rest',
      [...idle].map((m) => `link set ${m[1]} up`),
    );
  }

  /** The node's tables, by iptables-legacy: what the kernel is fastest with. */
  #fill(): void {
    const { ebtables, ipsets } = this.#node;
    if (ebtables.length > 0) {
      this.#at('node', ['ebtables-restore'], printEbtables(this.#node));
    }
    if (ipsets.length > 0) this.#at('node', ['ipset', 'restore'], printIpsets(this.#node));
    for (const family of [4, 6] as const) {
      const text = printIptables(this.#node, family);
      const tool = `${family === 4 ? 'iptables' : 'ip6tables'}-legacy-restore`;
      if (text !== '') this.#at('node', [tool, '-w', LOCK_SECONDS], text);
    }
    if (this.#node.nft !== undefined) this.#at('node', ['nft', '-f', '-'], printNft(this.#node));
    // The size of connection tables is the machine's: namespaces may not write it.
    const { 'net.netfilter.nf_conntrack_max': _max, ...sysctls } = this.#node.sysctls;
    this.#at('node', ['sysctl', '-q', '-p', '-'], printSysctls({ ...this.#node, sysctls }));
  }

  /** Frames as the client (or the server) puts them on its cable, in a file. */
  trace(name: string, from: 'client' | 'server', packets: readonly Uint8Array[]): Trace {
    const [sender, other] =
      from === 'client' ? [this.#client, this.#server] : [this.#server, this.#client];
    const near = this.#cables.find(([, far]) => far.host === sender.host)?.[0].device ?? '';
    const port = this.#node.interfaces.find((i) => i.name === near);
    const next = port?.master === undefined ? port : nic(other);
    const head = [...macBytes(next?.mac), ...macBytes(nic(sender)?.mac), ...ETHERTYPE_4];
    const bytes = new Uint8Array(packets.length * PLACE);
    let length = MIN_FRAME;
    for (const [i, packet] of packets.entries()) {
      bytes.set(head, i * PLACE);
      bytes.set(packet, i * PLACE + ETHERNET);
      length = Math.max(length, packet.length + ETHERNET);
    }
    const path = join(this.#folder, `${name}.trace`);
    writeFileSync(path, bytes);
    return { path, length, from, near };
  }

  /** Send from inside the pod, `seconds` long or (0) each frame once. */
  send(programs: Senders, trace: Trace, seconds: number, cpu: number): KernelSample {
    const args = [trace.path, String(trace.length), String(seconds), String(cpu)];
    return this.#counted(trace, () => this.#at(trace.from, [programs.send, 'eth0', ...args]));
  }

  /** Let the kernel itself put frames on the node's end of the pod's cable. */
  inject(programs: Senders, trace: Trace, seconds: number, cpu: number): KernelSample {
    const args = [trace.path, String(trace.length), String(seconds), String(cpu)];
    return this.#counted(trace, () => this.#at('node', [programs.inject, trace.near, ...args]));
  }

  #counted(trace: Trace, sending: () => string): KernelSample {
    const far = trace.from === 'client' ? 'server' : 'client';
    const before = this.#arrived(far);
    const said = JSON.parse(sending()) as Omit<KernelSample, 'arrived'>;
    return { ...said, arrived: this.#arrived(far) - before };
  }

  #arrived(space: string): number {
    const text = this.#at(space, ['nft', 'list', 'chain', 'netdev', 'peers', 'arrivals']);
    return Number(/counter packets (\d+)/.exec(text)?.[1]);
  }

  /** How many connections the node tracks. */
  connections(): number {
    return Number(this.#at('node', ['conntrack', '-C']));
  }

  forgetConnections(): void {
    this.#at('node', ['conntrack', '-F']);
  }

  close(): void {
    for (const name of this.#made) run(['ip', 'netns', 'del', name]);
    this.#made = [];
  }

  #batch(space: string, lines: readonly string[]): void {
    this.#at(space, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  }

  #at(space: string, argv: readonly string[], input?: string): string {
    return run(['ip', 'netns', 'exec', this.#prefix + space, ...argv], input);
  }
}

export interface Trace {
  readonly path: string;
  readonly length: number;
  readonly from: 'client' | 'server';
  /** The node's end of the sender's cable. */
  readonly near: string;
}

/** The cables are there already; neighbours must not be asked for while packets are counted. */
function ipLines(plan: Plan): readonly string[] {
  const given = (i: Interface): Interface => (i.kind === 'veth' ? { ...i, kind: 'physical' } : i);
  return printIp({ ...plan, interfaces: plan.interfaces.map(given) })
    .replaceAll(/^ip /gm, '')
    .replaceAll(/ nud \w+$/gm, ' nud permanent')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('-6 rule'));
}

function nic(plan: Plan): Interface | undefined {
  return plan.interfaces.find(({ name }) => name === 'eth0');
}

function macBytes(mac: string | undefined): readonly number[] {
  if (mac === undefined) throw new RangeError('both ends of a cable have addresses');
  return mac.split(':').map((byte) => Number.parseInt(byte, 16));
}
