/**
 * A plan built in a real network namespace, with every cable's far end in another one, from which
 * frames are sent and where what comes out is heard:
 *
 *   world  w-eth0 ── eth0  host (the plan)
 *          w-p1   ── p1
 *
 * The world has no addresses and answers nothing.
 * @module
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { printBridge } from '../../../src/plan/bridge-text.ts';
import { printEbtables } from '../../../src/plan/ebtables-text.ts';
import { printIp } from '../../../src/plan/ip-text.ts';
import { printIptables } from '../../../src/plan/iptables-text.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { printSysctls } from '../../../src/plan/sysctl-text.ts';

/** Reads `DEVICE HEX` to send, prints `DEVICE HEX` of what is heard. */
const WIRE = `
import socket, sys, select
socks = {}
for dev in sys.argv[1:]:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    s.setsockopt(263, 8, 1)  # PACKET_AUXDATA: VLAN tags come beside the frame
    s.bind((dev, 0))
    socks[dev] = s
names = {s: dev for dev, s in socks.items()}
print('ready', flush=True)
while True:
    ready, _, _ = select.select(list(names) + [sys.stdin], [], [])
    for s in ready:
        if s is sys.stdin:
            line = sys.stdin.readline()
            if line == '': sys.exit(0)
            dev, frame = line.split()
            socks[dev].send(bytes.fromhex(frame))
            continue
        try: data, aux, _, address = s.recvmsg(65536, 256)
        except OSError: sys.exit(0)
        if address[2] == 4: continue
        for level, kind, body in aux:
            if level == 263 and kind == 8:
                status = int.from_bytes(body[0:4], sys.byteorder)
                tci = int.from_bytes(body[16:18], sys.byteorder)
                if status & 16: data = data[:12] + bytes.fromhex('8100') + tci.to_bytes(2, 'big') + data[12:]
        print(names[s], data.hex(), flush=True)
`;

export class KernelHost {
  readonly #plan: Plan;
  readonly #host: string;
  readonly #world: string;
  readonly #devices: readonly string[];
  #wire: ChildProcess | null = null;
  #heard: string[] = [];
  #partial = '';

  constructor(plan: Plan, tag: string) {
    this.#plan = plan;
    this.#host = `wt${process.pid}-${tag}h`;
    this.#world = `wt${process.pid}-${tag}w`;
    this.#devices = plan.interfaces
      .filter((device) => device.kind === 'veth' || device.kind === 'physical')
      .map((device) => device.name);
  }

  async up(): Promise<void> {
    const plan = this.#plan;
    for (const name of [this.#host, this.#world]) execFileSync('ip', ['netns', 'add', name]);
    for (const key of ['all', 'default']) {
      this.#in(this.#world, ['sysctl', '-qw', `net.ipv6.conf.${key}.disable_ipv6=1`]);
      this.#in(this.#host, ['sysctl', '-qw', `net.ipv6.conf.${key}.accept_dad=0`]);
    }
    this.#in(this.#host, ['sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0']);
    this.#in(this.#host, ['sysctl', '-qw', 'net.ipv4.icmp_msgs_per_sec=100000']);
    this.#in(this.#host, ['sysctl', '-qw', 'net.ipv6.icmp.ratelimit=0']);
    const sysctls = printSysctls(plan);
    this.#in(this.#host, ['sysctl', '-qp', '-'], conf(sysctls, 'default'));
    const commands = printIp(plan, {
      peerOf: (device) => ({ name: `w-${device.name}`, netns: this.#world }),
    });
    const [links, rest] = split(commands);
    this.#in(this.#host, ['sh', '-e'], links);
    for (const name of this.#devices) {
      this.#in(this.#host, ['ethtool', '-K', name, 'tx', 'off', 'rx', 'off', 'gro', 'off']);
      this.#in(this.#host, ['sysctl', '-qw', `net.ipv4.neigh.${name}.proxy_delay=0`]);
      const world = `ip link set w-${name} arp off mtu 9000 up; ethtool -K w-${name} tx off rx off`;
      this.#in(this.#world, ['sh', '-ec', world]);
    }
    for (const bridge of plan.interfaces.filter((device) => device.kind === 'bridge')) {
      const quiet = ['forward_delay', '0', 'mcast_snooping', '0'];
      this.#in(this.#host, ['ip', 'link', 'set', bridge.name, 'type', 'bridge', ...quiet]);
    }
    this.#in(this.#host, ['sh', '-e'], rest);
    this.#in(this.#host, ['sh', '-e'], printBridge(plan));
    this.#in(this.#host, ['sysctl', '-qp', '-'], sysctls);
    if (plan.ebtables.length > 0) {
      this.#in(this.#host, ['ebtables-restore'], printEbtables(plan));
    }
    this.#in(this.#host, ['iptables-restore'], printIptables(plan, 4));
    this.#in(this.#host, ['ip6tables-restore'], printIptables(plan, 6));
    await this.#listen();
    await this.heard();
  }

  #in(netns: string, command: readonly string[], input = ''): string {
    const result = spawnSync('ip', ['netns', 'exec', netns, ...command], {
      input,
      encoding: 'utf8',
    });
    if (result.status === 0) return result.stdout;
    throw new Error(`${command.join(' ')}: ${result.stderr}\n${input}`);
  }

  /** Run a command on the host. */
  run(...command: readonly string[]): string {
    return this.#in(this.#host, command);
  }

  async #listen(): Promise<void> {
    const names = this.#devices.map((name) => `w-${name}`);
    const command = ['netns', 'exec', this.#world, 'python3', '-c', WIRE, ...names];
    const child = spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#wire = child;
    await new Promise<void>((resolve) => {
      child.stdout.setEncoding('utf8');
      child.stdout.on('data', (text: string) => {
        const lines = (this.#partial + text).split('\n');
        this.#partial = lines.pop() ?? '';
        if (lines.includes('ready')) resolve();
        this.#heard.push(...lines.filter((line) => line !== 'ready'));
      });
    });
  }

  /** Send one frame to the host's device. */
  send(device: string, frame: Uint8Array): void {
    this.#wire?.stdin?.write(`w-${device} ${Buffer.from(frame).toString('hex')}\n`);
  }

  /**
   * What came out since the last call, `DEVICE HEX`, once the wires have been quiet for a while.
   */
  async heard(): Promise<readonly string[]> {
    let before = -1;
    while (before !== this.#heard.length) {
      before = this.#heard.length;
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    const lines = this.#heard.map((line) => line.slice(2));
    this.#heard = [];
    return lines;
  }

  /** Packets and bytes of every iptables rule, in iptables-save's order. */
  counters(family: 4 | 6): readonly string[] {
    const text = this.run(family === 4 ? 'iptables-save' : 'ip6tables-save', '-c');
    const found: string[] = [];
    let table = '';
    const index = new Map<string, number>();
    for (const line of text.split('\n')) {
      if (line.startsWith('*')) table = line.slice(1);
      const rule = /^\[(\d+):(\d+)\] -A (\S+)/.exec(line);
      if (rule === null) continue;
      const chain = `${family} ${table}/${rule[3]}`;
      const number = (index.get(chain) ?? 0) + 1;
      index.set(chain, number);
      found.push(`${chain} rule ${number} ${rule[1]}:${rule[2]}`);
    }
    return found;
  }

  down(): void {
    this.#wire?.stdin?.end();
    for (const name of [this.#host, this.#world]) {
      spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    }
  }
}

/** The keys that hold before interfaces exist. */
function conf(text: string, which: string): string {
  return text
    .split('\n')
    .filter((line) => line.includes(`.conf.${which}.`))
    .join('\n');
}

/** Making links first, so that their offloads are off before anything is sent. */
function split(commands: string): [string, string] {
  const lines = commands.split('\n');
  const isLink = (line: string) => /^ip link add /.test(line);
  return [lines.filter(isLink).join('\n'), lines.filter((line) => !isLink(line)).join('\n')];
}
