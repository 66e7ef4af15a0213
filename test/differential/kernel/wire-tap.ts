/**
 * A router in a private network namespace with a sender before and a listener behind it, to see
 * what the real kernel does with packets:
 *
 *   sender [s0] ── [eth0] router [eth1] ── [d0] listener
 *
 * Sender and listener have no addresses, so they never answer; frames go in and out by AF_PACKET.
 * @module
 */

import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn, spawnSync } from 'node:child_process';

/** Why the kernel can not be asked here, or null. */
export function kernelMissing(tools: readonly string[]): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = ['ip', 'python3', ...tools].filter(
    (tool) => spawnSync('which', [tool], { stdio: 'ignore' }).status !== 0,
  );
  return missing.length === 0 ? null : `needs ${missing.join(', ')}`;
}

const SEND = `
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line.strip()))
    if sys.argv[2] != '0': time.sleep(int(sys.argv[2]) / 1000)
`;

const LISTEN = `
import socket, sys, select
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
s.bind((sys.argv[1], 0))
print('ready', flush=True)
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if s in ready:
        data, address = s.recvfrom(65536)
        if address[2] != 4: print(data.hex(), flush=True)
    elif sys.stdin.readline() == '': break
`;

export const ROUTER_MAC = '02:00:00:00:00:aa';
const LISTENER_MAC = '02:00:00:00:00:bb';
const SENDER_MAC = '02:00:00:00:00:cc';

export class WireTap {
  readonly #names: readonly [string, string, string];
  #listener: ChildProcess | null = null;
  #heard: string[] = [];
  #partial = '';

  constructor(tag: string) {
    const base = `wt${process.pid}-${tag}`;
    this.#names = [`${base}s`, `${base}r`, `${base}d`];
  }

  /**
   * Lay the wires. `neighbors` are addresses behind the router, all at the listener's MAC; those of
   * 10.1.0.0/24 and 2001:db8:1::/64 are the sender's, so that no answer waits for a neighbour in vain.
   */
  up(neighbors: readonly string[]): void {
    const [sender, router, listener] = this.#names;
    for (const name of this.#names) execFileSync('ip', ['netns', 'add', name]);
    for (const name of [sender, listener]) {
      this.#sysctl(
        name,
        'net.ipv6.conf.all.disable_ipv6=1',
        'net.ipv6.conf.default.disable_ipv6=1',
      );
    }
    this.#sysctl(router, 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0');
    this.#wire(
      { name: 's0', in: sender, mac: SENDER_MAC },
      { name: 'eth0', in: router, mac: ROUTER_MAC },
    );
    this.#wire(
      { name: 'd0', in: listener, mac: LISTENER_MAC },
      { name: 'eth1', in: router, mac: '02:00:00:00:00:ab' },
    );
    for (const [device, address] of [
      ['eth0', '10.1.0.1/24'],
      ['eth0', '2001:db8:1::1/64'],
      ['eth1', '10.2.0.1/24'],
      ['eth1', '2001:db8:2::1/64'],
    ] as const) {
      this.ip('addr', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
    }
    this.ip('link', 'set', 'lo', 'up');
    for (const address of neighbors) {
      const isSender = address.startsWith('10.1.') || address.startsWith('2001:db8:1:');
      const [device, mac] = isSender ? ['eth0', SENDER_MAC] : ['eth1', LISTENER_MAC];
      this.ip('neigh', 'replace', address, 'dev', device, 'lladdr', mac, 'nud', 'permanent');
    }
    this.#sysctl(
      router,
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.icmp_echo_ignore_all=1',
      'net.ipv6.icmp.echo_ignore_all=1',
    );
  }

  #wire(
    a: { name: string; in: string; mac: string },
    b: { name: string; in: string; mac: string },
  ): void {
    execFileSync('ip', [
      'link',
      'add',
      a.name,
      'netns',
      a.in,
      'address',
      a.mac,
      'type',
      'veth',
      'peer',
      'name',
      b.name,
      'netns',
      b.in,
      'address',
      b.mac,
    ]);
    for (const end of [a, b]) execFileSync('ip', ['-n', end.in, 'link', 'set', end.name, 'up']);
  }

  #sysctl(netns: string, ...settings: readonly string[]): void {
    execFileSync('ip', ['netns', 'exec', netns, 'sysctl', '-qw', ...settings]);
  }

  /** Run `ip` in the router. */
  ip(...words: readonly string[]): string {
    return execFileSync('ip', ['-n', this.#names[1], ...words], { encoding: 'utf8' });
  }

  /** Run a command in the router; returns what it prints. */
  run(command: readonly string[], input = ''): string {
    const result = spawnSync('ip', ['netns', 'exec', this.#names[1], ...command], {
      input,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    if (result.status === 0) return result.stdout;
    throw new Error(`${command.join(' ')}: ${result.stderr}${result.stdout}\n${input}`);
  }

  /** Send whole frames in order, by the sender or by the listener, with a pause after each. */
  send(
    frames: readonly Uint8Array[],
    { from = 'sender', pauseMs = 0 }: { from?: 'sender' | 'listener'; pauseMs?: number } = {},
  ): void {
    const lines = frames.map((frame) => Buffer.from(frame).toString('hex')).join('\n');
    const [netns, device] = from === 'sender' ? [this.#names[0], 's0'] : [this.#names[2], 'd0'];
    const command = ['netns', 'exec', netns, 'python3', '-c', SEND, device, `${pauseMs}`];
    const result = spawnSync('ip', command, { input: `${lines}\n`, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(result.stderr);
  }

  async listen(): Promise<void> {
    const command = ['netns', 'exec', this.#names[2], 'python3', '-c', LISTEN, 'd0'];
    const child = spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#listener = child;
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

  /** Frames that came out since the last call, once the wire has been quiet for a while. */
  async heard(): Promise<readonly Buffer[]> {
    let before = -1;
    while (before !== this.#heard.length) {
      before = this.#heard.length;
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    const frames = this.#heard.map((line) => Buffer.from(line, 'hex'));
    this.#heard = [];
    return frames;
  }

  /** Take everything down again. */
  down(): void {
    this.#listener?.stdin?.end();
    for (const name of this.#names) spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  }
}
