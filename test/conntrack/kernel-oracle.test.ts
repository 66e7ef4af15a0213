/**
 * The experiments of the kernel oracle that concern connection tracking alone, segment by segment: the
 * state that a 6.18 kernel gave each packet, its table afterwards, and what NAT made of the packets.
 * @module
 */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Defragmenter } from '../../src/conntrack/fragment/defrag.ts';
import { type NatContext, nullBinding, setupNat } from '../../src/conntrack/nat/nat.ts';
import { translatePacket } from '../../src/conntrack/nat/translate.ts';
import { conntrackSettings } from '../../src/conntrack/protocol/timeouts.ts';
import { formatConnection, snapshot } from '../../src/conntrack/snapshot.ts';
import { ConntrackTable, connectionOf } from '../../src/conntrack/table.ts';
import type { NatRange } from '../../src/netfilter/target.ts';
import type { Packet } from '../../src/packet/packet.ts';
import { ipBytes } from '../../src/packet/parse.ts';
import { address, parsedIp } from '../support/packets.ts';
import { sharedPath } from '../support/shared.ts';

interface Seen {
  readonly dev: string;
  readonly hex: string;
  readonly brief: string;
}
interface OracleStep {
  readonly label: string;
  readonly inject: readonly Seen[];
  readonly observed: readonly Seen[];
  readonly ctstate?: readonly string[];
}
interface Experiment {
  readonly name: string;
  readonly setup: { readonly sysctl: readonly string[]; readonly iptables: string };
  readonly steps: readonly OracleStep[];
  readonly notes?: Readonly<Record<string, readonly string[]>>;
}

const path = sharedPath('suites/kernel-oracle/facts-observed.json');
const STEP_NS = 1e8;
const WAIT_NS = 23e8;

function load(): readonly Experiment[] {
  if (path === null) return [];
  return (JSON.parse(readFileSync(path, 'utf8')) as { experiments: Experiment[] }).experiments;
}

function experiment(name: string): Experiment {
  const found = load().find((e) => e.name === name);
  if (found === undefined) throw new Error(`no experiment ${name}`);
  return found;
}

function packetOf(seen: Seen): Packet {
  return parsedIp(Uint8Array.from(Buffer.from(seen.hex, 'hex')));
}

function sysctlsOf(e: Experiment): Record<string, string> {
  return Object.fromEntries(e.setup.sysctl.map((line) => line.split('=') as [string, string]));
}

/** Without the use count, and without timeouts, which a slow machine moves. */
function timeless(line: string): string {
  return line.replace(/ use=\d+$/, '').replace(/^(\w+ \d+) \d+/, '$1');
}

const skip = path === null ? 'needs ../shared' : false;

for (const name of ['ctstate-tcp', 'ctstate-tcp-strict', 'ctstate-tcp-liberal', 'ctstate-other']) {
  t.test(`every packet of ${name} gets the state that the kernel gave it`, { skip }, async (t) => {
    const e = experiment(name);
    const table = new ConntrackTable(conntrackSettings(sysctlsOf(e)));
    let nowNs = 0;
    for (const step of e.steps) {
      nowNs += STEP_NS;
      const packet = packetOf(step.inject[0]!);
      t.equal(table.track(packet, nowNs, 'prerouting'), null, `${step.label}: judged`);
      t.same(
        [packet.ctState.toUpperCase()],
        step.ctstate,
        `${step.label}: ${step.inject[0]!.brief}`,
      );
      t.ok(table.confirm(packet, nowNs), `${step.label}: confirmed`);
      if (step.label === 'SYN reuse in TIME_WAIT')
        compareTables(t, table, nowNs, e.notes!['after']!);
    }
    const list = e.notes?.['conntrack'];
    if (list !== undefined) compareTables(t, table, nowNs, list);
  });
}

function compareTables(
  t: Test,
  table: ConntrackTable,
  nowNs: number,
  want: readonly string[],
): void {
  const got = snapshot(table, nowNs).map((line) => timeless(formatConnection(line)));
  t.same(got.sort(), want.map(timeless).sort(), 'the table is the kernel’s');
}

t.test('timeouts are those that conntrack -L shows after each packet', { skip }, async (t) => {
  const e = experiment('timeouts');
  const table = new ConntrackTable(conntrackSettings({}));
  const notes = Object.entries(e.notes!);
  let nowNs = 0;
  for (const [i, step] of e.steps.entries()) {
    nowNs += step.label === 'udp after 2s' ? WAIT_NS : STEP_NS;
    const packet = packetOf(step.inject[0]!);
    table.track(packet, nowNs, 'prerouting');
    t.same([packet.ctState.toUpperCase()], step.ctstate, step.label);
    table.confirm(packet, nowNs);
    // The kernel was asked a moment after the packet, so a full second has begun.
    const got = snapshot(table, nowNs + STEP_NS / 2).map((line) => formatConnection(line));
    const [note, lines] = notes[i]!;
    const latest = (rows: readonly string[]) =>
      rows.find((row) => row.startsWith(step.label.slice(0, 3) === 'udp' ? 'udp' : 'tcp'));
    t.equal(latest(got), latest(lines)?.replace(/ use=\d+$/, ''), note);
  }
});

t.test('fragments are put together before they are judged', { skip }, async (t) => {
  const e = experiment('fragments-with-conntrack');
  const settings = conntrackSettings({});
  const table = new ConntrackTable(settings);
  const defragmenter = new Defragmenter(settings);
  let nowNs = 0;
  for (const step of e.steps) {
    nowNs += STEP_NS;
    const states: string[] = [];
    for (const seen of step.inject) {
      const result = defragmenter.add(packetOf(seen), nowNs);
      if (result.kind !== 'complete') continue;
      table.track(result.packet, nowNs, 'prerouting');
      states.push(result.packet.ctState.toUpperCase());
      t.equal(result.packet.fragmentPieces?.length, step.observed.length, `${step.label}: pieces`);
      table.confirm(result.packet, nowNs);
    }
    t.same(states, step.ctstate, step.label);
  }
});

const range = (low: string, high = low): NatRange => ({
  low: address(low),
  high: address(high),
  random: false,
  randomFully: false,
  persistent: false,
});

/** A router with one rule: everything that leaves by wan0 gets a source of this range. */
function sourceNatRouter(source: NatRange, draw: NatContext['draw'] = () => 0) {
  const table = new ConntrackTable();
  return (packet: Packet, from: string, nowNs: number): Uint8Array | null => {
    const context = { table, nowNs, draw };
    if (table.track(packet, nowNs, 'prerouting') !== null) return null;
    const connection = connectionOf(packet);
    if (connection !== null) nullBinding(connection, 'destination', context);
    if (translatePacket(packet, 'destination') !== null) return null;
    if (connection !== null && from === 'lan0') setupNat(connection, source, 'source', context);
    if (translatePacket(packet, 'source') !== null) return null;
    return table.confirm(packet, nowNs) ? ipBytes(packet) : null;
  };
}

/** What the kernel lowers on the way is not NAT’s doing. */
function withoutTtl(bytes: Uint8Array): string {
  const copy = bytes.slice();
  copy[8] = 0;
  copy[10] = 0;
  copy[11] = 0;
  return Buffer.from(copy).toString('hex');
}

for (const [name, source] of [
  ['snat-multi-ip-range', range('198.51.100.10', '198.51.100.13')],
  ['icmp-error-through-masquerade', range('198.51.100.1')],
] as const) {
  t.test(`${name} comes out byte for byte as from the kernel`, { skip }, async (t) => {
    let want = new Uint8Array();
    // What the kernel drew at random can only be read off its answer.
    const forward = sourceNatRouter(source, () => ((want[20]! << 8) | want[21]!) - 1024);
    let nowNs = 0;
    for (const step of experiment(name).steps) {
      nowNs += STEP_NS;
      const seen = step.inject[0]!;
      want = Uint8Array.from(Buffer.from(step.observed[0]!.hex, 'hex'));
      const out = forward(packetOf(seen), seen.dev, nowNs);
      t.equal(out && withoutTtl(out), withoutTtl(want), `${step.label}: ${seen.brief}`);
    }
  });
}

t.test('ports are kept, moved and used again as by the kernel', { skip }, async (t) => {
  // The kernel's random choice is in the note; every other step is determined.
  const e = experiment('masquerade-port-selection');
  const remapped = Number(e.notes!['remapped port']);
  const forward = sourceNatRouter(range('198.51.100.1'), () => remapped - 1024);
  let nowNs = 0;
  for (const step of e.steps) {
    nowNs += STEP_NS;
    const seen = step.inject[0]!;
    const out = forward(packetOf(seen), seen.dev, nowNs);
    const want = Uint8Array.from(Buffer.from(step.observed[0]!.hex, 'hex'));
    if (/clash/.test(step.label)) {
      const port = (b: Uint8Array) => (b[20]! << 8) | b[21]!;
      const low = /<512/.test(step.label) ? 1 : 600;
      const high = /<512/.test(step.label) ? 511 : 1023;
      if (/icmp/.test(step.label)) t.not(out!.slice(24, 26), want.slice(24, 26), step.label);
      else t.ok(port(out!) >= low && port(out!) <= high, `${step.label}: ${port(out!)}`);
      continue;
    }
    t.equal(out && withoutTtl(out), withoutTtl(want), `${step.label}: ${seen.brief}`);
  }
});

t.test(
  'an error from behind a DNAT comes from the address that was asked for',
  { skip },
  async (t) => {
    const table = new ConntrackTable();
    const vip = '198.51.100.200';
    const dnat = { ...range('10.0.0.80'), ports: { low: 8080, high: 8080 } };
    let nowNs = 0;
    for (const step of experiment('icmp-error-through-dnat').steps) {
      nowNs += STEP_NS;
      const packet = packetOf(step.inject[0]!);
      const context = { table, nowNs, draw: () => 0 };
      table.track(packet, nowNs, 'prerouting');
      t.same([packet.ctState.toUpperCase()], step.ctstate, `${step.label}: state`);
      const connection = connectionOf(packet)!;
      const asked = step.inject[0]!.dev === 'wan0' && step.inject[0]!.brief.includes(vip);
      if (asked) setupNat(connection, dnat, 'destination', context);
      else nullBinding(connection, 'destination', context);
      t.equal(translatePacket(packet, 'destination'), null, `${step.label}: destination`);
      nullBinding(connection, 'source', context);
      t.equal(translatePacket(packet, 'source'), null, `${step.label}: source`);
      t.ok(table.confirm(packet, nowNs), `${step.label}: confirmed`);
      const want = Uint8Array.from(Buffer.from(step.observed[0]!.hex, 'hex'));
      t.equal(withoutTtl(ipBytes(packet)), withoutTtl(want), step.label);
    }
  },
);
