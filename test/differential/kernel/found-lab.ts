/**
 * The hosts of found-*.test.ts, and the question that those tests ask: does the engine do with these
 * frames what the kernel does? One host, from nothing for each case.
 * @module
 */
import type { Test } from 'tap';
import { parseEbtables } from '../../../src/plan/ebtables/parser.ts';
import type { Plan, Route } from '../../../src/plan/model.ts';
import * as ipv4 from '../../../src/wire/header/ipv4.ts';
import { hostPlan, iface, route } from '../../support/hosts.ts';
import { Agent } from './harness/agent.ts';
import { askEngine } from './harness/ask-engine.ts';
import { compare } from './harness/compare.ts';
import { SILENCE } from './harness/difference.ts';
import { kernelMissing } from './harness/laboratory.ts';
import type { Trial } from './harness/trial.ts';

export const skip =
  kernelMissing(['iptables-legacy', 'ip6tables-legacy', 'ebtables', 'conntrack']) ?? false;

export const BRIDGE = '02:00:00:00:0b:00';
export const ETH0 = '02:00:00:00:03:01';
export const ETH1 = '02:00:00:00:03:02';
export const [M1, M2, M3] = ['02:00:00:00:01:01', '02:00:00:00:01:02', '02:00:00:00:01:03'];
const GATEWAY = '02:00:00:00:00:fe';

const SETTINGS = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.conf.default.rp_filter': '0',
  'net.ipv4.conf.all.send_redirects': '0',
  'net.ipv4.conf.default.send_redirects': '0',
};

interface Parts {
  readonly iptables?: string;
  readonly ip6tables?: string;
  readonly ebtables?: string;
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly routes?: readonly Route[];
}

/** Two networks, 10.1/10.2 and 2001:db8:1/2, a neighbour `.2` in each. */
export function router(parts: Parts, mtu = 1500): Plan {
  return hostPlan('node', {
    interfaces: [
      iface('eth0', ETH0, { addresses: ['10.1.0.1/24', '2001:db8:1::1/64'] }),
      iface('eth1', ETH1, { addresses: ['10.2.0.1/24', '2001:db8:2::1/64'], mtu }),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'eth0', source: '10.1.0.1' }),
      route('10.2.0.0/24', { device: 'eth1', source: '10.2.0.1' }),
      route('2001:db8:1::/64', { device: 'eth0' }),
      route('2001:db8:2::/64', { device: 'eth1' }),
      ...(parts.routes ?? []),
    ],
    neighbors: [
      ['10.1.0.2', 'eth0', M1],
      ['10.2.0.2', 'eth1', M2],
      ['2001:db8:1::2', 'eth0', M1],
      ['2001:db8:2::2', 'eth1', M2],
    ],
    ...parts,
    sysctls: { ...SETTINGS, ...parts.sysctls },
  });
}

interface BridgeParts extends Parts {
  readonly promiscuous?: boolean;
  /** False: nothing leads out of the bridge's own network. */
  readonly gateway?: boolean;
}

/** Pods 10.1.0.11, .12 and .13 at p1, p2 and p3, and an uplink eth0. */
export function bridged(parts: BridgeParts): Plan {
  const { promiscuous = false, gateway = true, ebtables = '' } = parts;
  const pods = [M1, M2, M3].map((mac, i) => [`10.1.0.1${i + 1}`, `fd00:b::1${i + 1}`, mac]);
  const addresses = ['10.1.0.1/24', '192.168.1.1/24', 'fd00:b::1/64'];
  return hostPlan('node', {
    interfaces: [
      iface('br0', BRIDGE, { kind: 'bridge', addresses, promiscuous }),
      ...[1, 2, 3].map((i) => iface(`p${i}`, `02:00:00:00:02:0${i}`, { master: 'br0' })),
      iface('eth0', '02:00:00:00:03:00', { addresses: ['192.168.0.1/24', 'fd00:a::1/64'] }),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'br0', source: '10.1.0.1' }),
      route('192.168.1.0/24', { device: 'br0', source: '192.168.1.1' }),
      route('fd00:b::/64', { device: 'br0' }),
      route('192.168.0.0/24', { device: 'eth0', source: '192.168.0.1' }),
      route('fd00:a::/64', { device: 'eth0' }),
      ...(gateway ? [route('0.0.0.0/0', { device: 'eth0', via: '192.168.0.254' })] : []),
      ...(parts.routes ?? []),
    ],
    neighbors: [
      ['192.168.0.254', 'eth0', GATEWAY],
      ['192.168.1.254', 'br0', GATEWAY],
      ['fd00:a::fe', 'eth0', GATEWAY],
      ...pods.flatMap(([v4 = '', v6 = '', mac = '']) => [
        [v4, 'br0', mac] as const,
        [v6, 'br0', mac] as const,
      ]),
    ],
    iptables: parts.iptables ?? '',
    ip6tables: parts.ip6tables ?? '',
    sysctls: { ...SETTINGS, ...parts.sysctls },
    extend: (builder) => {
      if (ebtables !== '') builder.ebtables.push(...parseEbtables(ebtables, 'test'));
    },
  });
}

/** A frame, or one whose checksum is left to the device: where it starts and where it is stored. */
export type Sent = readonly [
  device: string,
  frame: Uint8Array,
  offload?: readonly [number, number],
];

/** Asks about one case after another. */
export class Question {
  readonly #agent = new Agent();
  readonly #t: Test;

  constructor(t: Test) {
    this.#t = t;
    t.teardown(() => this.#agent.close());
  }

  /** Frames, counters, connections: equal on both sides. */
  async agree(
    name: string,
    plan: Plan,
    sent: readonly Sent[],
    backend: Trial['backend'] = 'legacy',
  ): Promise<void> {
    const shots = sent.map(([device, frame, offload]) => {
      return { kind: 'frame', device, frame, ...(offload && { offload }) } as const;
    });
    const trial = { name, backend, plan, shots } as const;
    const { outcome } = await compare(this.#agent, trial, askEngine(trial));
    const lines = outcome.kind === 'different' ? outcome.difference.lines : [];
    this.#t.same([outcome.kind, ...lines], ['equal'], name);
  }
}

/** Of raw's OUTPUT in IPv6: what the kernel reports to routers on its own is not to be counted. */
export const QUIET = [143, 133]
  .map((type) => {
    const what = `-p ipv6-icmp -m icmp6 --icmpv6-type ${type}`;
    return `-A OUTPUT ${what} -m comment --comment "${SILENCE}" -j DROP\n`;
  })
  .join('');

/** Rules that only count, one for each state, at the head of a chain. */
export function states(chain: string): string {
  return ['NEW', 'INVALID', 'UNTRACKED', 'RELATED', 'ESTABLISHED']
    .map((state) => `-A ${chain} -m conntrack --ctstate ${state}\n`)
    .join('');
}

/** A table with these chains, all ACCEPT. */
export function table(name: string, chains: readonly string[], rules: string): string {
  return `*${name}\n${chains.map((c) => `:${c} ACCEPT [0:0]\n`).join('')}${rules}COMMIT\n`;
}

/** An IPv4 frame with these options (hex, a multiple of four bytes). */
export function withOptions(frame: Uint8Array, options: string): Uint8Array {
  const bytes = Buffer.from(options, 'hex');
  const all = Uint8Array.from([...frame.subarray(0, 34), ...bytes, ...frame.subarray(34)]);
  all[14] = 0x45 + bytes.length / 4;
  setLength(all, 16, bytes.length);
  ipv4.fillChecksum(all, 14);
  return all;
}

/** An IPv6 frame with an extension header of this type (hex, its first byte is filled in). */
export function withExtension(frame: Uint8Array, type: number, header: string): Uint8Array {
  const bytes = Buffer.from(header, 'hex');
  const all = Uint8Array.from([...frame.subarray(0, 54), ...bytes, ...frame.subarray(54)]);
  if (bytes.length > 0) all[54] = all[20] ?? 0;
  all[20] = type;
  setLength(all, 18, bytes.length);
  return all;
}

function setLength(bytes: Uint8Array, at: number, more: number): void {
  const length = (bytes[at]! << 8) + bytes[at + 1]! + more;
  bytes[at] = length >>> 8;
  bytes[at + 1] = length & 0xff;
}
