/**
 * One router, in the kernel and in the engine, with the same rules: packets go through both, and
 * after each step every rule's counters and every frame that came out must be equal.
 * @module
 */
import type { Test } from 'tap';
import { parseIpsets } from '../../../src/plan/ipset-text.ts';
import { MAIN_TABLE, type Plan } from '../../../src/plan/model.ts';
import { u16 } from '../../../src/wire/bytes.ts';
import { engineOf, hostPlan, iface, route, sentBy } from '../../support/hosts.ts';
import type { PacketBuilder } from '../../support/packets.ts';
import { ROUTER_MAC, type WireTap } from './wire-tap.ts';

export const ROUTER_OUT_MAC = '02:00:00:00:00:ab';

export interface StatefulStep {
  /** Seconds to wait before. */
  readonly wait?: number;
  /** From the side of the servers. */
  readonly back?: true;
  readonly send: readonly PacketBuilder[];
}

export interface StatefulCase {
  readonly name: string;
  readonly family?: 4 | 6;
  /** Rules as `[TABLE] -A CHAIN …`; the filter table when none is named. */
  readonly rules: readonly string[];
  /** `ipset restore` lines. */
  readonly sets?: readonly string[];
  readonly steps: readonly StatefulStep[];
  /** Milliseconds between packets of a step. */
  readonly pauseMs?: number;
}

const TABLES = ['raw', 'mangle', 'nat', 'filter'] as const;

/** Restore text of all tables, so that what a case does not name is empty. */
function restoreText({ rules }: StatefulCase, mine: boolean): string {
  return TABLES.map((table) => {
    const own = rules.flatMap((rule) => {
      const m = /^(?:(\w+) )?(-A .*)$/.exec(rule);
      return (m?.[1] ?? 'filter') === table ? [m?.[2] ?? ''] : [];
    });
    if (mine && own.length === 0) return '';
    const chains = [...new Set(own.map((rule) => rule.split(' ')[1] ?? ''))];
    const user = chains.filter((chain) => chain !== chain.toUpperCase());
    const made = user.map((chain) => `:${chain} - [0:0]`);
    return [`*${table}`, ...made, ...own, 'COMMIT', ''].join('\n');
  }).join('');
}

function planOf(test: StatefulCase): Plan {
  const text = restoreText(test, true);
  const plan = hostPlan('router', {
    interfaces: [
      iface('eth0', ROUTER_MAC, { addresses: ['10.1.0.1/24', '2001:db8:1::1/64'] }),
      iface('eth1', ROUTER_OUT_MAC, { addresses: ['10.2.0.1/24', '2001:db8:2::1/64'] }),
    ],
    routes: ['10.1.0.0/24', '2001:db8:1::/64']
      .map((net) => route(net, { device: 'eth0' }))
      .concat(['10.2.0.0/24', '2001:db8:2::/64'].map((net) => route(net, { device: 'eth1' }))),
    neighbors: NEIGHBORS.map(([address, side]) =>
      side === 'in'
        ? ([address, 'eth0', '02:00:00:00:00:cc'] as const)
        : ([address, 'eth1', '02:00:00:00:00:bb'] as const),
    ),
    sysctls: {
      'net.ipv4.ip_forward': '1',
      'net.ipv6.conf.all.forwarding': '1',
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.conf.default.rp_filter': '0',
    },
    ...(test.family === 6 ? { ip6tables: text } : { iptables: text }),
    extend: (builder) => {
      builder.ipsets.push(...parseIpsets((test.sets ?? []).join('\n'), 'sets'));
    },
  });
  return { ...plan, routes: plan.routes.map((one) => ({ ...one, table: MAIN_TABLE })) };
}

/** Who is where; addresses beyond the list are sources that nobody answers. */
export const NEIGHBORS: readonly (readonly [string, 'in' | 'out'])[] = [
  ['10.1.0.2', 'in'],
  ['10.1.0.3', 'in'],
  ['2001:db8:1::2', 'in'],
  ['2001:db8:1::3', 'in'],
  ['10.2.0.2', 'out'],
  ['10.2.0.3', 'out'],
  ['2001:db8:2::2', 'out'],
];

function tool({ family = 4 }: StatefulCase, verb: string, backend: string): string {
  return `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}-${verb}`;
}

/** Run one case against the kernel. */
export async function compareCase(
  t: Test,
  tap: WireTap,
  test: StatefulCase,
  backend: 'legacy' | 'nft',
): Promise<void> {
  await reset(tap);
  tap.run(['ipset', 'restore'], `${(test.sets ?? []).join('\n')}\n`);
  tap.run([tool(test, 'restore', backend)], restoreText(test, false));
  const engine = engineOf([planOf(test)]);
  await tap.heard();
  const start = performance.now();
  let frame = 0;
  for (const [at, step] of test.steps.entries()) {
    if (step.wait !== undefined) await sleep(step.wait * 1000);
    const from = step.back ? 'listener' : 'sender';
    const mac = step.back ? ROUTER_OUT_MAC : ROUTER_MAC;
    const frames = step.send.map((builder) => builder.frame({ dstMac: mac }));
    const pauseMs = test.pauseMs ?? 0;
    tap.send(frames, { from, pauseMs });
    // Most of that time went into starting the sender.
    const nowNs = Math.round((performance.now() - start - frames.length * pauseMs) * 1e6);
    const out: string[] = [];
    frames.forEach((bytes, i) => {
      frame += 1;
      const journey = engine.inject({
        as: 'frame',
        host: 'router',
        device: step.back ? 'eth1' : 'eth0',
        frameBytes: bytes,
        frame,
        nowNs: nowNs + i * (1000 + pauseMs * 1e6),
        utcSeconds: Math.floor(Date.now() / 1000),
      });
      const sent = sentBy(journey).filter((one) => one.device === 'eth1');
      out.push(...sent.map((one) => Buffer.from(one.frame).toString('hex')));
    });
    const name = `${test.name} (${backend}), step ${at + 1}`;
    const heard = (await tap.heard()).filter((bytes) => isTraffic(bytes));
    if (!step.back) {
      t.same(
        out.toSorted(),
        heard.map((bytes) => bytes.toString('hex')).toSorted(),
        `${name}: frames`,
      );
    }
    const kernel = readCounters(tap.run([tool(test, 'save', backend), '-c']));
    const mine = new Map(
      [...engine.counters('router')].map(([key, { packets, bytes }]) => [
        key.slice(2),
        `${packets}:${bytes}`,
      ]),
    );
    t.same(Object.fromEntries(mine), Object.fromEntries(kernel), `${name}: counters`);
  }
}

/** Neighbour discovery and the like are the router's own. */
function isTraffic(bytes: Buffer): boolean {
  const type = u16(bytes, 12);
  if (type === 0x0800) return bytes[23] !== 2;
  return type === 0x86dd && bytes[20] !== 0 && !(bytes[20] === 58 && (bytes[54] ?? 0) > 129);
}

async function reset(tap: WireTap): Promise<void> {
  const tables = TABLES.map((table) => `*${table}\nCOMMIT\n`).join('');
  for (const family of ['iptables', 'ip6tables']) {
    for (const backend of ['legacy', 'nft']) tap.run([`${family}-${backend}-restore`], tables);
  }
  tap.run(['conntrack', '-F']);
  // A list holds on to its members.
  tap.run(['ipset', 'flush']);
  for (let tries = 0; ; tries++) {
    try {
      tap.run(['ipset', 'destroy']);
      return;
    } catch (error) {
      if (tries === 50) throw error;
      await sleep(20);
    }
  }
}

function readCounters(text: string): Map<string, string> {
  const counts = new Map<string, string>();
  const lengths = new Map<string, number>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const rule = /^\[(\d+:\d+)\] -A (\S+)/.exec(line);
    if (!rule) continue;
    const chain = `${table}/${rule[2]}`;
    lengths.set(chain, (lengths.get(chain) ?? 0) + 1);
    counts.set(`${chain} rule ${lengths.get(chain)}`, rule[1] ?? '');
  }
  return counts;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
