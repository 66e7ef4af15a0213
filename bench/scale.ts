/**
 * The largest clusters that Azure has, loaded, rendered and walked: seconds, processor time (all
 * threads, the collector's too) and memory of each step.
 *
 *   node --max-old-space-size=16384 dist/bench/scale.js [overlay|npm|calico|services]
 *     [NODES] [PODS-A-NODE]
 *
 * overlay: 5,000 nodes of 250 pods, policy engine none. npm: 250 nodes, 20,000 pods. calico: 5,000
 * nodes of 4 pods (AKS names no bound of its own for it). The last two have fifty namespaces with a
 * policy each that lets in its own pods only. services: 50 nodes of 40 pods behind 200 Services of
 * ten pods each, whose ClusterIPs the packets go to. Ways of a thousand first packets between drawn pods
 * are checked: each is delivered exactly if the policies let it. A wrong one ends with exit 1.
 * @module
 */

import { parseStack } from '../src/dataplane/stack.ts';
import { syntheticPacket } from '../src/lab/datagram/synthetic.ts';
import { World } from '../src/lab/world.ts';
import { parseInputs } from '../src/policy/inputs.ts';
import { parseAddress } from '../src/wire/address/address.ts';
import { Protocol } from '../src/wire/protocol.ts';

const SHAPES = {
  overlay: { stack: 'azure-overlay+none', nodes: 5000, pods: 250, policies: 0, services: 0 },
  npm: { stack: 'azure-overlay+npm', nodes: 250, pods: 80, policies: 50, services: 0 },
  calico: { stack: 'azure-overlay+calico', nodes: 5000, pods: 4, policies: 50, services: 0 },
  services: { stack: 'azure-overlay+none', nodes: 50, pods: 40, policies: 0, services: 200 },
} as const;

const NAMESPACES = 50;
/** Divisible by the namespaces, so that an app is in one of them. */
const APPS = 200;
const FLOWS = 1000;

type Shape = Readonly<{
  stack: string;
  nodes: number;
  pods: number;
  policies: number;
  services: number;
}>;

/** A List as `kubectl get … -o json` prints it. */
function documents({ nodes, pods, policies, services }: Shape): string {
  const meta = (name: string, namespace?: string, labels = {}) => ({ name, namespace, labels });
  const items: string[] = [];
  const put = (object: object) => items.push(JSON.stringify(object));
  const subnets = [{ addressPrefix: '10.224.0.0/16' }];
  put({
    apiVersion: 'wiretrial/v1',
    kind: 'Wiring',
    networkPluginMode: 'overlay',
    podCidr: '10.64.0.0/11',
    virtualNetworks: [{ addressPrefixes: ['10.224.0.0/12'], subnets }],
  });
  for (let n = 0; n < nodes; n++) {
    const address = `10.224.${(n + 4) >> 8}.${(n + 4) & 255}`;
    const podCIDR = `10.${64 + (n >> 8)}.${n & 255}.0/24`;
    put({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: meta(`node-${n}`),
      spec: { podCIDR, podCIDRs: [podCIDR] },
      status: { addresses: [{ type: 'InternalIP', address }] },
    });
  }
  for (let i = 0; i < nodes * pods; i++) {
    const n = Math.floor(i / pods);
    const podIP = `10.${64 + (n >> 8)}.${n & 255}.${(i % pods) + 2}`;
    put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: meta(`p${i}`, `ns-${i % NAMESPACES}`, { app: `app-${i % APPS}` }),
      spec: { nodeName: `node-${n}`, containers: [{ name: 'c' }] },
      status: { phase: 'Running', podIP },
    });
  }
  for (let i = 0; i < policies; i++) {
    put({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: meta('own', `ns-${i}`),
      spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] },
    });
  }
  for (let i = 0; i < services; i++) {
    put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(`s${i}`, `ns-${i % NAMESPACES}`),
      spec: {
        clusterIP: clusterIp(i),
        selector: { app: `app-${i % APPS}` },
        ports: [{ port: 80 }],
      },
    });
  }
  return `{"apiVersion":"v1","kind":"List","items":[\n${items.join(',\n')}\n]}\n`;
}

function clusterIp(service: number): string {
  return `10.0.${(service >> 8) + 1}.${service & 255}`;
}

function step<T>(name: string, act: () => T): T {
  const began = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const result = act();
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  const { rss, heapUsed } = process.memoryUsage();
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const busy = ((user + system) / 1e6).toFixed(1);
  process.stdout.write(`${name.padEnd(10)} ${seconds.toFixed(1).padStart(7)} s   `);
  process.stdout.write(`cpu ${busy.padStart(7)} s   `);
  process.stdout.write(`heap ${mib(heapUsed).padStart(9)}   rss ${mib(rss).padStart(9)}\n`);
  return result;
}

/** A drawn number below `most`, the same ones every time (Knuth's MMIX generator, upper bits). */
function drawing(): (most: number) => number {
  let state = 1n;
  return (most) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number((state >> 33n) % BigInt(most));
  };
}

function main(): void {
  const [name = 'overlay', nodes, pods] = process.argv.slice(2);
  const known = SHAPES[name as keyof typeof SHAPES];
  const shape: Shape = {
    ...known,
    nodes: Number(nodes ?? known.nodes),
    pods: Number(pods ?? known.pods),
  };
  process.stdout.write(`${shape.stack}: ${shape.nodes} nodes of ${shape.pods} pods\n`);
  const text = step('write', () => documents(shape));
  const inputs = step('load', () => parseInputs('scale.json', text));
  const stack = parseStack(shape.stack);
  const world = step('render', () => new World({ ...inputs, stack }));
  const wrong = step('walk', () => walk(world, shape));
  process.stdout.write(`${FLOWS} first packets, ${wrong} not as they should be\n`);
  process.exitCode = wrong === 0 ? 0 : 1;
}

function walk(world: World, { policies, services }: Shape): number {
  const draw = drawing();
  const { pods } = world.cluster;
  let wrong = 0;
  for (let i = 0; i < FLOWS; i++) {
    const from = pods[draw(pods.length)];
    const to = pods[draw(pods.length)];
    const service = services === 0 ? null : parseAddress(clusterIp(draw(services)));
    const [src, dst] = [from?.addresses[0], service ?? to?.addresses[0]];
    if (!from || !to || !src || !dst || from === to) continue;
    const ends = { src, dst, protocol: Protocol.tcp, sport: 20_000 + i, dport: 80 };
    const packet = syntheticPacket({ ...ends, step: 'request' });
    const host = `${from.namespace}/${from.name}`;
    const at = { frame: i + 1, nowNs: i + 1 };
    const { outcome } = world.engine.inject({ ...at, as: 'local', host, packet });
    const may = policies === 0 || from.namespace === to.namespace;
    if ((outcome === 'delivered') !== may) wrong++;
  }
  return wrong;
}

main();
