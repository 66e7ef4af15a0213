/**
 * The compiled engine beside its peers, in one run, on the same packets and policies:
 * `npm run bench:peers [-- --seconds 2] [--policies 1000]`. Needs root.
 *
 * The kernel moves real frames between devices; the engine works out the same verdict and rewrite on
 * copies of headers. Figures are packets a CPU second of one core; ratios are what counts. A peer
 * that is not on the machine is a loud "not measured", never a pass.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { parseStack } from '../src/dataplane/stack.ts';
import { enginesOf, measuredPairs } from '../src/lab/bench/bench-world.ts';
import { measureCompiled, packetsPerSecond } from '../src/lab/bench/measure.ts';
import { drawWorkload, type TrafficKind } from '../src/lab/bench/workload.ts';
import { World } from '../src/lab/world.ts';
import { formatTable } from '../src/report/table.ts';
import { generateCluster, OPEN_PORT } from './clusters.ts';
import { type Backend, KernelPeer } from './peers/kernel.ts';

const FLOWS = 1000;
const PACKETS = 1 << 20;
/** UDP payload that makes a frame of 60 bytes. */
const PAYLOAD = 18;
const SEED = 1;

interface Peer {
  readonly name: string;
  readonly stack: string;
  readonly backend: Backend;
  readonly kind: TrafficKind;
  /** The ratio that the project wants; null where it names none. */
  readonly goal: number | null;
}

const NPM = 'azure-bridge+npm';
const CALICO = 'azure-transparent+calico';
const PEERS: readonly Peer[] = [
  { name: 'bridge, no rules', stack: NPM, backend: 'none', kind: 'established', goal: 12 },
  { name: 'bridge, iptables-legacy', stack: NPM, backend: 'legacy', kind: 'established', goal: 45 },
  { name: 'bridge, iptables-legacy', stack: NPM, backend: 'legacy', kind: 'new', goal: 3000 },
  { name: 'bridge, iptables-nft', stack: NPM, backend: 'nft', kind: 'established', goal: null },
  {
    name: 'routed, iptables-legacy',
    stack: CALICO,
    backend: 'legacy',
    kind: 'established',
    goal: null,
  },
  { name: 'routed, iptables-legacy', stack: CALICO, backend: 'legacy', kind: 'new', goal: 10_000 },
];

/** Peers that this run has no harness for on this machine, and why. */
function absent(): readonly (readonly [string, string])[] {
  const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
  const missing: (readonly [string, string])[] = [
    ['in-kernel injector (XDP live frames)', 'needs an eBPF program; none is built yet'],
    ['nftables verdict map', 'no stack renders one; not built yet'],
  ];
  const bpf =
    has('bpftool') && has('clang') ? 'not built yet' : 'bpftool or clang is not installed';
  missing.push(['eBPF program, bpftool prog run', bpf]);
  const dpdk = has('dpdk-testpmd') ? 'not built yet' : 'DPDK is not installed';
  missing.push(['DPDK rte_acl', dpdk]);
  return missing;
}

function worldOf(stack: string, policies: number): World {
  const inputs = generateCluster({ nodes: 1, podsPerNode: 2, policies });
  return new World({ ...inputs, stack: parseStack(stack), seed: SEED });
}

/** Our packets a second on the same traffic; one thread, so a second is a CPU second. */
function ours(world: World, kind: TrafficKind): number {
  const engines = enginesOf(world, SEED, { connections: FLOWS * 2 });
  const options = {
    ...{ kind, connections: FLOWS, packets: PACKETS, protocol: 'udp' as const },
    ...{ ports: [OPEN_PORT], payload: PAYLOAD, seed: SEED },
  };
  const pairs = measuredPairs(world, engines.compiled(), 4, options);
  const clock = () => BigInt(process.cpuUsage().user + process.cpuUsage().system) * 1000n;
  const measured = measureCompiled(engines, drawWorkload(pairs, options), {
    ...{ samples: 10, gapS: 0, clock },
  });
  return packetsPerSecond(measured.samples).median;
}

function kernels(world: World, peer: Peer, seconds: number): number {
  const kernel = new KernelPeer(world, peer.backend);
  try {
    if (peer.kind === 'established') kernel.answer(FLOWS, OPEN_PORT);
    kernel.send(seconds / 4, FLOWS, OPEN_PORT);
    const { delivered, packetsPerCpuSecond } = kernel.send(seconds, FLOWS, OPEN_PORT);
    if (delivered === 0) throw new Error('the kernel delivered nothing');
    return packetsPerCpuSecond;
  } finally {
    kernel.remove();
  }
}

function main(): void {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '2' },
      policies: { type: 'string', default: '1000' },
      only: { type: 'string', default: '' },
    },
  });
  const policies = Number(values.policies);
  const rows: (string | number)[][] = [];
  const million = (n: number) => (n / 1e6).toFixed(n < 1e5 ? 4 : 2);
  for (const peer of PEERS.filter(({ name }) => name.includes(values.only))) {
    const what = `${peer.name}, ${policies} policies, ${peer.kind}`;
    process.stderr.write(`${what} …\n`);
    try {
      const world = worldOf(peer.stack, policies);
      const theirs = kernels(world, peer, Number(values.seconds));
      const own = ours(world, peer.kind);
      const ratio = `${(own / theirs).toFixed(1)}×`;
      rows.push([what, million(theirs), million(own), ratio, peer.goal ? `≥ ${peer.goal}×` : '-']);
    } catch (error) {
      const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
      rows.push([what, 'NOT MEASURED', '-', why ?? '', peer.goal ? `≥ ${peer.goal}×` : '-']);
      process.exitCode = 1;
    }
  }
  for (const [name, why] of absent()) rows.push([name, 'NOT MEASURED', '-', why, '-']);
  const columns = ['PEER', 'Mpps EACH CPU s', 'OURS', 'RATIO', 'GOAL'];
  process.stdout.write(formatTable({ columns, rows }));
}

if (process.getuid?.() === 0) main();
else {
  process.stderr.write('bench:peers needs root: it makes network namespaces\n');
  process.exitCode = 1;
}
