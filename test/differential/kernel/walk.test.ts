/**
 * The rule walk against the real kernel: random rule sets over the vocabulary, random packets
 * through a routed namespace; every rule counter and every packet's fate must be equal.
 *
 * A difference is made small before it is shown: packets one by one, then rules taken away while it
 * stays. `WALK_SEED=n WALK_SETS=1` repeats one rule set. Needs root.
 */
import t from 'tap';
import { lower } from '../../../src/lowering/link.ts';
import type { TableName } from '../../../src/netfilter/hook.ts';
import { RuleCounters } from '../../../src/node/counters.ts';
import { runTable } from '../../../src/node/hook/walk.ts';
import type { WalkContext } from '../../../src/node/hook/walk-context.ts';
import { RuleLooks } from '../../../src/node/hook/walk-recorder.ts';
import { applyTtl } from '../../../src/node/target/header.ts';
import { printIpsets } from '../../../src/plan/ipset/text.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { printIptables } from '../../../src/plan/rule/iptables-text.ts';
import {
  type Address,
  type Family,
  formatAddress,
  readIpv4,
  readIpv6,
} from '../../../src/wire/address/address.ts';
import { setU8, setU16, u16 } from '../../../src/wire/bytes.ts';
import {
  icmpMessage,
  type PacketBuilder,
  parsed,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../support/packets.ts';
import { TEST_CONNECTIONS, type TestConnection } from '../../support/walks.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import type { Backend } from './harness/trial.ts';
import { farSide, intoRouter, ROUTER_MAC, routerIn } from './router.ts';
import {
  DESTINATIONS,
  Draw,
  drawSets,
  drawTables,
  PORTS,
  type RuleSetShape,
  SOURCES,
} from './rule-space.ts';

/** Everybody on the router's two sides but itself. */
const NEIGHBORS = [...DESTINATIONS[4], ...DESTINATIONS[6], ...SOURCES[4], ...SOURCES[6]].filter(
  (a) => /^(10\.[12]\.|2001:db8:[12]:)/.test(a) && a !== '10.1.0.1' && a !== '2001:db8:1::1',
);

const SETS = Number(process.env['WALK_SETS'] ?? 40);
const FIRST_SEED = Number(process.env['WALK_SEED'] ?? 1);
const PACKETS = 120;

interface Case {
  readonly plan: Plan;
  readonly family: Family;
  readonly tracked: boolean;
  readonly backend: Backend;
}

function drawCase(seed: number): Case {
  const draw = new Draw(seed);
  const shape: RuleSetShape = { family: draw.chance(65) ? 4 : 6, tracked: draw.chance(35) };
  const backend = draw.chance(60) ? 'legacy' : 'nft';
  const ipsets = drawSets(draw, shape.family);
  const plan = routerIn(NEIGHBORS, { ipsets, tables: drawTables(draw, shape) });
  return { plan, ...shape, backend };
}

/** One packet; its IPv4 identifier or IPv6 flow label says which. */
function drawPacket(draw: Draw, { family, tracked, backend }: Case, id: number): Uint8Array {
  const from = draw.of(SOURCES[family]);
  const toForward = DESTINATIONS[family].filter((a) => !a.includes('.1.0.') && !a.includes(':1::'));
  // What the router would answer must not leave by eth1, where it would be counted too.
  const to = draw.of(behind(from) || draw.chance(80) ? toForward : DESTINATIONS[family]);
  const sport = tracked ? 1024 + (id % 60000) : draw.of(PORTS);
  const dport = draw.of(PORTS.slice(tracked ? 1 : 0));
  const base = (builder: PacketBuilder, ports: boolean) =>
    (ports ? builder.from(from, sport).to(to, dport) : builder.from(from).to(to))
      .id(id)
      .ttl(19 + draw.below(3))
      .tos(draw.of([0, 0x10, 0xb8]));
  const roll = draw.below(100);
  let builder: PacketBuilder;
  if (roll < 40) {
    builder = base(tcp(), true);
    builder =
      tracked || draw.chance(50) ? builder.syn() : builder.flags(draw.of([0x10, 0x12, 0x14, 0x11]));
    if (draw.chance(40)) builder = builder.tcpOptions(Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 7));
  } else if (roll < 70) builder = base(udp().payload(draw.below(40)), true);
  else if (roll < 80) {
    builder = tracked ? base(udp().payload(8), true) : base(sctp().chunks(sctpInit(7)), true);
  } else if (roll < 95 || tracked) {
    const echo = family === 4 ? 8 : 128;
    const type = tracked ? echo : draw.of(family === 4 ? [8, 3, 0, 13] : [128, 1, 129, 3]);
    const code = tracked ? 0 : draw.below(3);
    builder = base(icmpMessage(type, code, id * 0x10000 + 1).payload(24), false);
  } else builder = base(rawIp(47).payload(20), false);
  // Fragments go by xt_* modules only: what iptables-nft turns into payload expressions reads the
  // data of later fragments as ports (nft_payload_fast_eval), unless defragmentation comes before.
  if (!tracked && backend === 'legacy' && to !== DESTINATIONS[family][3] && draw.chance(15)) {
    builder = builder.fragment(draw.of([0, 8, 16]), true, 8);
  }
  const frame = builder.frame({ dstMac: ROUTER_MAC });
  if (family === 6) {
    setU8(frame, 14 + 1, id >>> 16);
    setU16(frame, 14 + 2, id);
  }
  return frame;
}

function idOf(frame: Uint8Array): number {
  return u16(frame, 12) === 0x86dd ? u16(frame, 16) : u16(frame, 18);
}

/** Counters by rule and by policy, and the packets that came out. */
interface Seen {
  readonly counts: ReadonlyMap<string, string>;
  readonly out: ReadonlySet<number>;
}

/** Walk a frame as a stateless router does. Returns whether it left by eth1. */
function walk(ctx: WalkContext, frame: Uint8Array, tracked: boolean): boolean {
  const packet = parsed(frame);
  const passes = (table: TableName, hook: 'prerouting' | 'input' | 'forward' | 'postrouting') => {
    const verdict = runTable(ctx, table, hook, packet);
    if (verdict.kind === 'unknown') throw new Error('a whole packet left a rule open');
    return verdict.kind === 'accept';
  };
  packet.inDevice = 'eth0';
  if (!passes('raw', 'prerouting')) return false;
  if (tracked && packet.ctState !== 'untracked') {
    packet.ctState = 'new';
    packet.connection = { mark: 0, snat: false, dnat: false } satisfies TestConnection;
  }
  if (!passes('mangle', 'prerouting')) return false;
  const route = ctx.image.fib.lookup({
    destination: packet.dst,
    source: packet.src,
    inDevice: 'eth0',
    mark: packet.mark,
  });
  if (route.type === 'local') {
    if (passes('mangle', 'input')) passes('filter', 'input');
    return false;
  }
  packet.outDevice = route.device;
  // ip_forward and ip6_forward lower TTL and hop limit before the hook.
  applyTtl({ kind: 'ttl', operation: 'dec', value: 1 }, packet);
  if (!passes('mangle', 'forward') || !passes('filter', 'forward')) return false;
  return passes('mangle', 'postrouting');
}

function ours(test: Case, frames: readonly Uint8Array[]): Seen {
  const image = lower(test.plan);
  const ctx: WalkContext = {
    image,
    counters: new RuleCounters(image.program),
    connections: TEST_CONNECTIONS,
    recorder: new RuleLooks({ tracing: true }),
    nowNs: 0,
    seed: 1,
  };
  const isTracked = image.conntrackActive(test.family);
  const out = new Set<number>();
  for (const frame of frames) if (walk(ctx, frame.slice(), isTracked)) out.add(idOf(frame));
  const counts = new Map<string, string>();
  for (const rule of image.program.rules) {
    const { table, chain, index } = rule.address;
    counts.set(
      `${table}/${chain} ${index}`,
      `${ctx.counters.packets(rule)}:${ctx.counters.bytes(rule)}`,
    );
  }
  for (const { name } of test.plan.tables) {
    for (const chain of image.program.table(test.family, name)?.chains.values() ?? []) {
      if (chain.policy === null || !COMPARED.has(chain.name)) continue;
      const { packets, bytes } = ctx.counters.policy(chain);
      counts.set(`${name}/${chain.name}`, `${packets}:${bytes}`);
    }
  }
  return { counts, out };
}

/** Built-in chains that only our packets pass; the router's own traffic passes the others. */
const COMPARED: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD']);

/** The plan in fresh namespaces, the frames through it. */
async function kernels(
  lab: Laboratory,
  { plan, family, backend }: Case,
  frames: readonly Uint8Array[],
): Promise<Seen> {
  await lab.build(plan, backend);
  const out = new Set(
    farSide(await lab.send(frames.map(intoRouter)))
      .filter(isOurs)
      .map(idOf),
  );
  const save = `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}-save`;
  return { counts: readCounts(await lab.run([save, '-c'])), out };
}

/** The router's own packets (refusals, neighbour discovery) are none of the drawn ones. */
function isOurs(frame: Uint8Array): boolean {
  const type = u16(frame, 12);
  if (type === 0x0800) return isSource(readIpv4(frame, 14 + 12));
  return type === 0x86dd && isSource(readIpv6(frame, 14 + 8));
}

function isSource(address: Address): boolean {
  return SOURCES[address.family].includes(formatAddress(address));
}

function readCounts(text: string): Map<string, string> {
  const counts = new Map<string, string>();
  const lengths = new Map<string, number>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const policy = /^:(\S+) \S+ \[(\d+:\d+)\]/.exec(line);
    if (policy?.[1] !== undefined && COMPARED.has(policy[1])) {
      counts.set(`${table}/${policy[1]}`, policy[2] ?? '');
    }
    const rule = /^\[(\d+:\d+)\] -A (\S+)/.exec(line);
    if (!rule) continue;
    const chain = `${table}/${rule[2]}`;
    lengths.set(chain, (lengths.get(chain) ?? 0) + 1);
    counts.set(`${chain} ${lengths.get(chain)}`, rule[1] ?? '');
  }
  return counts;
}

/** The first difference, said; null when there is none. */
function difference(mine: Seen, theirs: Seen): string | null {
  for (const [name, count] of mine.counts) {
    const kernel = theirs.counts.get(name) ?? '0:0';
    if (kernel !== count) return `${name}: kernel counted ${kernel}, we ${count}`;
  }
  for (const id of mine.out) if (!theirs.out.has(id)) return `packet ${id}: we let it out`;
  for (const id of theirs.out) if (!mine.out.has(id)) return `packet ${id}: the kernel let it out`;
  return null;
}

async function compare(lab: Laboratory, test: Case, frames: readonly Uint8Array[]) {
  return difference(ours(test, frames), await kernels(lab, test, frames));
}

/** Make a differing case small: one packet if one suffices, then as few rules as keep it. */
async function shrink(lab: Laboratory, test: Case, frames: readonly Uint8Array[]): Promise<string> {
  let left = frames;
  for (const frame of frames) {
    if (left.length > 1 && (await compare(lab, test, [frame])) !== null) left = [frame];
  }
  let small = test;
  for (const [ti, table] of test.plan.tables.entries()) {
    for (const [ci, chain] of table.chains.entries()) {
      for (let ri = chain.rules.length - 1; ri >= 0; ri--) {
        const without = removeRule(small, ti, ci, ri);
        if ((await compare(lab, without, left)) !== null) small = without;
      }
    }
  }
  const what = await compare(lab, small, left);
  return [
    what,
    `${small.backend}, tracked ${small.tracked}`,
    printIpsets(small.plan),
    printIptables(small.plan, small.family),
    ...left.map((frame) => Buffer.from(frame).toString('hex')),
  ].join('\n');
}

function removeRule(test: Case, table: number, chain: number, rule: number): Case {
  const tables = test.plan.tables.map((old, ti) =>
    ti !== table
      ? old
      : {
          ...old,
          chains: old.chains.map((c, ci) =>
            ci !== chain ? c : { ...c, rules: c.rules.filter((_, ri) => ri !== rule) },
          ),
        },
  );
  return { ...test, plan: { ...test.plan, tables } };
}

const skip = kernelMissing(['iptables-legacy', 'iptables-nft', 'ipset']) ?? false;

t.test('random rules count and decide packets as the kernel does', { skip }, async (t) => {
  t.setTimeout(1_200_000);
  const lab = new Laboratory(t);
  let hits = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SETS; seed++) {
    const test = drawCase(seed);
    const draw = new Draw(seed * 7919);
    const first = 1 + ((seed * PACKETS) % 60000);
    const frames = Array.from({ length: PACKETS }, (_, i) => drawPacket(draw, test, first + i));
    const found = await compare(lab, test, frames);
    const counts = ours(test, frames).counts;
    hits += [...counts.values()].filter((count) => !count.startsWith('0:')).length;
    if (found !== null) {
      t.fail(`seed ${seed}: ${found}`);
      console.error(await shrink(lab, test, frames));
      return;
    }
  }
  t.pass(`${SETS} rule sets, ${SETS * PACKETS} packets, no difference`);
  if (SETS > 10) t.ok(hits > SETS * 5, `rules were hit: ${hits}`);
});

function behind(address: string): boolean {
  return address.startsWith('10.2.0.') || address.startsWith('2001:db8:2::');
}
