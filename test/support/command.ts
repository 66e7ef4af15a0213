/**
 * The real command, spawned, and a small case to give it: the three-tier shop of clusters.ts with a
 * capture whose every packet's fate is written down by hand.
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LinkType } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from './clusters.ts';
import { icmpEcho, type PacketBuilder, tcp, udp } from './packets.ts';

/** The built command beside the built tests. */
export const COMMAND = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/**
 * Node as a user has it. The test runner puts hooks into every process that a test starts, by
 * NODE_OPTIONS, which makes loading our modules take three times as long.
 */
export const NODE: readonly [string, ...string[]] = ['env', '-u', 'NODE_OPTIONS', process.execPath];

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Standard input. */
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
}

/** Run the command to its end. */
export function wiretrial(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { cwd, input, env } = options;
  const [command, ...first] = NODE;
  const child = spawn(command, [...first, COMMAND, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
    stdio: 'pipe',
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  // A command that refuses its options does not read what it is given.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      const stdout = Buffer.concat(out).toString();
      resolve({ status, stdout, stderr: Buffer.concat(err).toString() });
    });
  });
}

/** Do something for every row, a few at a time: a process each takes a third of a second. */
export async function forEachRow<T>(
  rows: readonly T[],
  act: (row: T, index: number) => Promise<void>,
): Promise<void> {
  const waiting = rows.entries();
  const worker = async () => {
    for (const [i, row] of waiting) await act(row, i);
  };
  await Promise.all([worker(), worker(), worker()]);
}

/** Start the command and leave it running. */
export function start(args: readonly string[], cwd: string): ChildProcess {
  const [command, ...first] = NODE;
  const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
  return spawn(command, [...first, COMMAND, ...args], { cwd, stdio });
}

/** Whether the machine has a tool. */
export function hasTool(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/** Start of the capture: 2023-11-14T22:13:20Z. */
const START_NS = 1_700_000_000_000_000_000n;
const STEP_NS = 1_000_000n;

const WEB = '10.240.0.5';
const DB = '10.240.0.6';
const CLIENT = '10.240.0.7';
const NODE_B = '10.240.0.35';
const API = '10.240.0.36';
/** What no output may repeat: it stands in a payload. */
export const SECRET = 'hunter2-in-the-payload';

/** A TCP opening that was answered, and the first data. */
function conversation(src: string, sport: number, dst: string, dport: number): PacketBuilder[] {
  const there = tcp().from(src, sport).to(dst, dport);
  const back = tcp().from(dst, dport).to(src, sport);
  return [
    there.seq(100).syn().id(sport),
    back
      .seq(900)
      .syn()
      .ack(101)
      .id(sport + 1),
    there
      .seq(101)
      .ack(901)
      .id(sport + 2),
    there
      .seq(101)
      .ack(901)
      .psh()
      .payload(SECRET)
      .id(sport + 3),
  ];
}

/**
 * The case. Fates on `azure-bridge+npm`, by the policies of SHOP_POLICIES and EGRESS:
 *
 *   1–4    web → api:8080, answered       delivered, allowed
 *   5–8    web → db:5432, answered        5 dropped (db takes only api), 6–8 suppressed: contradicted
 *   9      client → db, echo request      dropped, denied
 *   10     client → 203.0.113.9:53 udp    exited, allowed
 *   11     api → its own node:10250       delivered by NPM (it polices FORWARD only), denied by Calico
 *   12     203.0.113.8 → 203.0.113.9      unknown: nobody of the cluster
 */
export const FATES = [
  ...['delivered', 'delivered', 'delivered', 'delivered'],
  ...['dropped', 'suppressed', 'suppressed', 'suppressed'],
  ...['dropped', 'exited', 'delivered', 'unknown'],
];

const FRAMES: readonly PacketBuilder[] = [
  ...conversation(WEB, 40_000, API, 8080),
  ...conversation(WEB, 41_000, DB, 5432),
  icmpEcho(7).from(CLIENT).to(DB).id(3),
  udp().from(CLIENT, 42_000).to('203.0.113.9', 53).payload('query').id(4),
  tcp().from(API, 43_000).to(NODE_B, 10_250).syn().id(5),
  udp().from('203.0.113.8', 44_000).to('203.0.113.9', 53).payload('far').id(6),
];

/** api may only ask web: it may not reach its own node where egress is policed at the interface. */
const EGRESS = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-egress, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: api}}
  policyTypes: [Egress]
  egress:
  - to: [{podSelector: {matchLabels: {tier: web}}}]
`;

/** A folder with `cluster.yaml`, `policies.yaml` and `case.pcap`; `done` removes it. */
export async function caseFolder(): Promise<{ readonly path: string; done(): void }> {
  const path = mkdtempSync(join(tmpdir(), 'wiretrial-cli-'));
  writeFileSync(join(path, 'cluster.yaml'), TWO_NODES_SHOP);
  writeFileSync(join(path, 'policies.yaml'), `${SHOP_POLICIES}---\n${EGRESS}`);
  await writeCapture(join(path, 'case.pcap'), FRAMES);
  return { path, done: () => rmSync(path, { recursive: true, force: true }) };
}

/** Write packets as a capture, one a millisecond. */
export async function writeCapture(
  path: string,
  packets: readonly PacketBuilder[],
  startNs = START_NS,
): Promise<void> {
  const writer = await PcapWriter.create(openSink(path), { linkType: LinkType.ethernet });
  for (const [i, packet] of packets.entries()) {
    const data = packet.frame();
    await writer.write({ timeNs: startNs + BigInt(i) * STEP_NS, data, wireLength: data.length });
  }
  await writer.close();
}

/** The files of the case, as options. */
export const CASE = ['-f', 'cluster.yaml', '-f', 'policies.yaml', '-r', 'case.pcap'];
export const NPM = ['--stack', 'azure-bridge+npm'];
export const CALICO = ['--stack', 'azure-transparent+calico'];
