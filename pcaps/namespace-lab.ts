/**
 * Nodes, pods and an outside host as network namespaces of this machine, wired as Azure CNI's bridge
 * mode wires them (a bridge `azure0` on each node with eth0 and the pods as its ports), real programs
 * in them, and tcpdump on each node's bridge. No policies: everything is answered.
 *
 * Needs root, iproute2, tcpdump, and python3 for ping.py. Everything is removed at the end, also
 * when something failed.
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openCaptures } from '../src/capture/reader.ts';
import { LinkType, type ResolvedName } from '../src/capture/record.ts';
import { openSink } from '../src/capture/write/byte-sink.ts';
import { PcapngWriter } from '../src/capture/write/pcapng-writer.ts';
import type { Answer, Command, Service } from './peer.ts';

export interface LabNode {
  readonly name: string;
  readonly address: string;
}

export interface LabPod extends LabNode {
  readonly node: string;
}

export interface LabLayout {
  readonly nodes: readonly LabNode[];
  readonly pods: readonly LabPod[];
  /** A host outside the cluster, on a network of its own behind the fabric's router. */
  readonly outside?: LabNode & { readonly gateway: string };
}

const SUBNET_GATEWAY = '10.240.0.1';
const SUBNET_LENGTH = 16;
const FABRIC = 'fabric';
/** What the last packets of a closing connection may need. */
const SETTLE_MS = 300;

/** A program in a namespace, told what to do line by line. */
class Peer {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    if (child.stdout === null) throw new Error('a peer answers on standard output');
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async answer(): Promise<Answer> {
    const line = await this.#answers.next();
    if (line.done === true) throw new Error(`${this.#name} ended before it answered`);
    return JSON.parse(line.value) as Answer;
  }

  /** Do it, and insist on the outcome that is wished for. */
  async run(command: Command): Promise<void> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const answer = await this.answer();
    const got = answer.ok ? undefined : answer.error;
    if (got === command.expect) return;
    throw new Error(`${this.#name} ${JSON.stringify(command)}: ${got ?? 'no error'}`);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await exited;
  }
}

export class NamespaceLab {
  readonly #layout: LabLayout;
  readonly #prefix = `wt${process.pid}-`;
  readonly #namespaces: string[] = [];
  readonly #peers = new Map<string, Peer>();
  readonly #dumps: { node: string; path: string; child: ChildProcess }[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'wiretrial-record-'));

  constructor(layout: LabLayout) {
    if (process.getuid?.() !== 0) throw new Error('recording needs root (network namespaces)');
    this.#layout = layout;
  }

  /** Make every namespace and cable. */
  build(): void {
    this.#namespace(FABRIC);
    this.#ip(
      FABRIC,
      `link add br0 address ${macOf(SUBNET_GATEWAY)} type bridge forward_delay 0 mcast_snooping 0`,
    );
    this.#ip(FABRIC, `addr add ${SUBNET_GATEWAY}/${SUBNET_LENGTH} dev br0`);
    this.#ip(FABRIC, 'link set br0 up');
    this.#in(FABRIC, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    this.#layout.nodes.forEach((node, i) => {
      this.#buildNode(node, i);
    });
    this.#layout.pods.forEach((pod, i) => {
      this.#buildPod(pod, i);
    });
    if (this.#layout.outside) this.#buildOutside(this.#layout.outside);
  }

  /** Start a program at a pod, a node or the outside host, and wait until it listens. */
  async start(name: string, serve: readonly Service[]): Promise<void> {
    const program = fileURLToPath(new URL('./peer.js', import.meta.url));
    const args = [process.execPath, program, JSON.stringify({ serve })];
    const child = spawn('ip', ['netns', 'exec', this.#prefix + name, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const peer = new Peer(name, child);
    this.#peers.set(name, peer);
    await peer.answer();
  }

  async tell(name: string, command: Command): Promise<void> {
    const peer = this.#peers.get(name);
    if (peer === undefined) throw new Error(`nothing runs at ${name}`);
    await peer.run(command);
  }

  /** One echo request, and its answer. */
  ping(name: string, address: string): void {
    this.#in(name, 'python3', join('pcaps', 'ping.py'), address);
  }

  /** Begin to record on every node's bridge. */
  async record(): Promise<void> {
    for (const { name } of this.#layout.nodes) {
      const path = join(this.#folder, `${name}.pcap`);
      const options = ['-i', 'azure0', '-U', '-s', '0', '-Z', 'root', '-w', path];
      const precision = ['--immediate-mode', '--time-stamp-precision=nano'];
      // Between the nodes this lab is one segment and Azure's fabric is none: its ARP is not theirs.
      const filter = ['not', 'arp'];
      const child = spawn(
        'ip',
        ['netns', 'exec', this.#prefix + name, 'tcpdump', ...options, ...precision, ...filter],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      this.#dumps.push({ node: name, path, child });
      if (child.stderr === null) throw new Error('tcpdump reports on standard error');
      for await (const line of createInterface({ input: child.stderr })) {
        if (line.includes('listening on')) break;
      }
      child.stderr?.resume();
    }
  }

  /** End the recording, and write what all nodes saw as one pcapng, merged by time. */
  async save(path: string, about: string): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await this.#stopDumps();
    const { nodes, pods, outside } = this.#layout;
    const writer = await PcapngWriter.create(await openSink(path), {
      application: 'tcpdump in network namespaces, merged by wiretrial',
      comments: [about],
    });
    const names: ResolvedName[] = [...nodes, ...pods, ...(outside ? [outside] : [])];
    await writer.writeNames(names.map(({ address, name }) => ({ address, name })));
    const interfaces = new Map<string, number>();
    for (const dump of this.#dumps) {
      const index = await writer.addInterface({
        linkType: LinkType.ethernet,
        name: `${dump.node}/azure0`,
        description: `the bridge of ${dump.node}`,
      });
      interfaces.set(dump.path, index);
    }
    for await (const batch of openCaptures(this.#dumps.map((dump) => dump.path))) {
      for (const { iface, timeNs, data, wireLength } of batch) {
        const index = interfaces.get(iface.file) ?? 0;
        await writer.write({ interface: index, timeNs, data, wireLength });
      }
    }
    await writer.close();
  }

  /** Stop every program and remove every namespace. */
  async remove(): Promise<void> {
    await this.#stopDumps();
    for (const peer of this.#peers.values()) await peer.stop();
    for (const name of this.#namespaces) execFileSync('ip', ['netns', 'del', this.#prefix + name]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #stopDumps(): Promise<void> {
    for (const { child } of this.#dumps) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await exited;
    }
  }

  #buildNode({ name, address }: LabNode, index: number): void {
    this.#namespace(name);
    this.#ip(
      name,
      `link add azure0 address ${macOf(address)} type bridge forward_delay 0 mcast_snooping 0`,
    );
    this.#cable(name, 'eth0', FABRIC, `vm${index}`);
    this.#ip(name, 'link set eth0 master azure0');
    this.#ip(FABRIC, `link set vm${index} master br0`);
    this.#ip(name, `addr add ${address}/${SUBNET_LENGTH} dev azure0`);
    this.#ip(name, 'link set azure0 up');
    this.#ip(name, `route add default via ${SUBNET_GATEWAY}`);
  }

  #buildPod({ name, node, address }: LabPod, index: number): void {
    this.#namespace(name);
    this.#cable(name, 'eth0', node, `azv${index}`);
    this.#ip(name, `link set eth0 address ${macOf(address)}`);
    this.#ip(node, `link set azv${index} master azure0`);
    this.#ip(name, `addr add ${address}/${SUBNET_LENGTH} dev eth0`);
    this.#ip(name, `route add default via ${SUBNET_GATEWAY}`);
  }

  #buildOutside({ name, address, gateway }: LabNode & { readonly gateway: string }): void {
    this.#namespace(name);
    this.#cable(name, 'eth0', FABRIC, 'outside');
    this.#ip(FABRIC, `addr add ${gateway}/24 dev outside`);
    this.#ip(name, `addr add ${address}/24 dev eth0`);
    this.#ip(name, `route add default via ${gateway}`);
  }

  #namespace(name: string): void {
    execFileSync('ip', ['netns', 'add', this.#prefix + name]);
    this.#namespaces.push(name);
    // Silent but for what its programs do.
    this.#in(name, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1');
    this.#in(name, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1');
    this.#ip(name, 'link set lo up');
  }

  #cable(a: string, deviceA: string, b: string, deviceB: string): void {
    const far = `peer name ${deviceB} netns ${this.#prefix}${b}`;
    this.#ip(a, `link add ${deviceA} type veth ${far}`);
    this.#ip(a, `link set ${deviceA} up`);
    this.#ip(b, `link set ${deviceB} up`);
  }

  #ip(name: string, words: string): void {
    execFileSync('ip', ['-n', this.#prefix + name, ...words.split(' ')]);
  }

  #in(name: string, ...command: string[]): void {
    execFileSync('ip', ['netns', 'exec', this.#prefix + name, ...command]);
  }
}

/** A link address that tells whose it is, and is the same in every recording. */
function macOf(address: string): string {
  const octets = address.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'));
  return ['02', '00', ...octets].join(':');
}

/** Build, do the work, and remove everything whatever happened. */
export async function withLab(
  layout: LabLayout,
  work: (lab: NamespaceLab) => Promise<void>,
): Promise<void> {
  const lab = new NamespaceLab(layout);
  try {
    lab.build();
    await work(lab);
  } finally {
    await lab.remove();
  }
}
