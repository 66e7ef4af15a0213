/**
 * Lowering at size: seconds and memory from a cluster to the classes of its addresses and ports.
 *
 *   node --max-old-space-size=16384 dist/bench/classes.js [NODES] [PODS-A-NODE] [POLICIES] [HOSTS] [STACK]
 *
 * Pods have one of 2,000 labels and stand in one of 50 namespaces; each policy lets one label reach
 * another on a port, and every fifth an outside block with an exception. HOSTS nodes (and the
 * fabric, and as many pods) are lowered and taken in; classes are those of the whole cluster all the
 * same, because every node's sets name every pod.
 * @module
 */

import { podHost } from '../src/dataplane/dataplane.ts';
import { parseStack } from '../src/dataplane/stack.ts';
import { ClassTables } from '../src/image/classes/class-tables.ts';
import { SIDES } from '../src/image/classes/cut.ts';
import { World } from '../src/lab/world.ts';
import { parseInputs } from '../src/policy/inputs.ts';

const LABELS = 2000;
const NAMESPACES = 50;

function documents(nodes: number, pods: number, policies: number): string {
  const items: object[] = [];
  for (let n = 0; n < nodes; n++) {
    items.push({
      ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: `node-${n}` } },
      status: { addresses: [{ type: 'InternalIP', address: address(n, 1) }] },
    });
  }
  for (let i = 0; i < nodes * pods; i++) {
    const n = i % nodes;
    const podIP = address(n, 2 + Math.floor(i / nodes));
    const metadata = {
      ...{ name: `pod-${i}`, namespace: `ns-${i % NAMESPACES}` },
      labels: { app: `app-${i % LABELS}` },
    };
    items.push({
      ...{ apiVersion: 'v1', kind: 'Pod', metadata },
      spec: { nodeName: `node-${n}`, containers: [{ name: 'c', image: 'x' }] },
      status: { phase: 'Running', podIP },
    });
  }
  for (let i = 0; i < policies; i++) items.push(policy(i));
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

/** 1,024 addresses a node, from 10.64.0.0 on. */
function address(node: number, host: number): string {
  const value = 0x0a400000 + node * 1024 + host;
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

function policy(i: number): object {
  const app = (n: number) => ({ matchLabels: { app: `app-${n % LABELS}` } });
  const block = { cidr: `20.${i & 127}.0.0/16`, except: [`20.${i & 127}.${(i >> 7) & 255}.0/24`] };
  const from: object[] = [{ podSelector: app(i * 7 + 1) }];
  if (i % 5 === 0) from.push({ ipBlock: block });
  return {
    ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
    metadata: { name: `policy-${i}`, namespace: `ns-${i % NAMESPACES}` },
    spec: {
      podSelector: app(i),
      ingress: [{ from, ports: [{ port: 1024 + (i % 5000) }] }],
    },
  };
}

/** Seconds of processor time: other work on the machine does not count. */
function step<T>(name: string, act: () => T): T {
  const began = process.cpuUsage();
  const result = act();
  const { user, system } = process.cpuUsage(began);
  const seconds = ((user + system) / 1e6).toFixed(2);
  const size = `${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`;
  process.stdout.write(`${name.padEnd(28)} ${seconds.padStart(8)} s  rss ${size.padStart(9)}\n`);
  return result;
}

function main(): void {
  const [
    nodes = '400',
    pods = '250',
    policies = '10000',
    hosts = '2',
    stack = 'azure-transparent+npm',
  ] = process.argv.slice(2);
  const text = documents(Number(nodes), Number(pods), Number(policies));
  const inputs = step('load', () => parseInputs('classes.json', text));
  const world = step('render', () => new World({ ...inputs, stack: parseStack(stack) }));
  const nodeNames = world.network.nodes.slice(0, Number(hosts)).map(({ host }) => host);
  const podNames = world.cluster.pods.slice(0, Number(hosts)).map(podHost);
  const tables = new ClassTables();
  for (const host of [world.network.fabric.host, ...nodeNames, ...podNames]) {
    const image = step(`lower ${host}`, () => world.topology.hosts(host));
    if (image !== undefined) step(`classes of ${host}`, () => tables.add(image.cuts()));
  }
  for (const side of SIDES) {
    const { addresses, direct, ports } = tables.fields;
    const cells = (direct[side].cells.length * 4) / 2 ** 20;
    const nodesMiB = (addresses[4][side].trie.words.length * 4) / 2 ** 20;
    process.stdout.write(
      `${side}: ${addresses[4][side].count} IPv4 classes, table ${cells.toFixed(1)} MiB, ` +
        `trie ${nodesMiB.toFixed(1)} MiB; TCP ports ${ports.tcp[side].count} classes\n`,
    );
  }
}

main();
