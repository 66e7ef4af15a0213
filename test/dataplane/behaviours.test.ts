/**
 * Azure's tables of what its networks do, as probes: who reaches whom, and with whose address.
 * kubenet beside Azure CNI ("Use kubenet networking", table "Network model comparisons": peered and
 * on-premises VMs "works when initiated by pod" against "works both ways"; service endpoints, load
 * balancers and Azure DNS "supported" by all), overlay beside kubenet ("Azure CNI Overlay",
 * "Differences between kubenet and Azure CNI Overlay": scale, policy engines).
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { AzureWalk, datagram, syn } from '../fabric/azure-walk.ts';
import { forEachRow, wiretrial } from '../support/command.ts';
import { addressOf, twoNodeText, WIRINGS } from './two-node-cluster.ts';

/** A peered network and on-premises ranges around the cluster's. */
const ENDPOINTS =
  'serviceEndpoints: [{service: Microsoft.Storage, addressPrefixes: [20.60.0.0/16]}]';
const AROUND = `virtualNetworks:
- {name: own, addressPrefixes: [10.224.0.0/15], subnets: [{addressPrefix: 10.224.0.0/24, ${ENDPOINTS}}, {addressPrefix: 10.225.0.0/24}]}
- {name: hub, addressPrefixes: [10.50.0.0/16]}
virtualNetworkPeerings: [{remoteVirtualNetwork: hub}]
onPremisesRanges: [{addressPrefix: 172.20.0.0/16}]`;

/** A Service that the load balancer shows to everybody. */
const PUBLIC = `apiVersion: v1
kind: Service
metadata: {name: public}
spec: {type: LoadBalancer, selector: {app: a1}, ports: [{port: 80, nodePort: 30080}]}
status: {loadBalancer: {ingress: [{ip: 20.7.7.7}]}}`;

interface Behaviour {
  readonly stack: string;
  readonly text: string;
  readonly pods: 'range' | 'subnet';
  /** The source that a peer sees of a pod. */
  readonly seen: 'node' | 'pod';
  /** Whether a VM of a peer, or on-premises, may begin. */
  readonly bothWays: boolean;
}

const BEHAVIOURS: readonly Behaviour[] = [
  {
    stack: 'kubenet+none',
    text: twoNodeText({ wiring: `networkPlugin: kubenet\n${AROUND}`, single: true, more: PUBLIC }),
    pods: 'range',
    seen: 'node',
    bothWays: false,
  },
  {
    stack: 'azure-overlay+none',
    text: twoNodeText({
      wiring: `networkPlugin: azure\nnetworkPluginMode: overlay\n${AROUND}`,
      single: true,
      more: PUBLIC,
    }),
    pods: 'range',
    seen: 'node',
    bothWays: false,
  },
  {
    // Outside of its own virtual network Azure CNI hides pods, too: the agent's list ends there.
    stack: 'azure-podsubnet+none',
    text: twoNodeText({
      wiring: `networkPlugin: azure\n${AROUND}`,
      single: true,
      pods: 'subnet',
      more: PUBLIC,
    }),
    pods: 'subnet',
    seen: 'node',
    bothWays: true,
  },
];

const OUTSIDE = [
  ['a VM of a peered network', '10.50.1.1', 'peering'],
  ['a machine on premises', '172.20.1.1', 'gateway'],
] as const;

for (const { stack, text, pods, seen, bothWays } of BEHAVIOURS) {
  t.test(stack, async (t) => {
    const walk = new AzureWalk([text], { stack });
    const at = (name: string) => addressOf(name, 4, pods);
    const own = at('a1');
    t.equal(
      walk.syn('default/a1', `${own}:5000`, `${at('b1')}:80`),
      `delivered default/b1 ${own}:5000 > ${at('b1')}:80`,
      'pod to pod keeps its address',
    );
    t.equal(
      walk.syn('node-a', `${at('node-a')}:5000`, `${at('b1')}:80`),
      `delivered default/b1 ${at('node-a')}:5000 > ${at('b1')}:80`,
      'a node reaches pods of another',
    );
    t.match(
      walk.syn('default/a1', `${own}:5003`, `${at('node-b')}:80`),
      `delivered node-b ${pods === 'range' ? at('node-a') : own}:5003`,
      'another node sees the pod’s own address only where it is the virtual network’s',
    );
    for (const [who, address, edge] of OUTSIDE) {
      const source = seen === 'node' ? at('node-a') : own;
      t.equal(
        walk.syn('default/a1', `${own}:5001`, `${address}:80`),
        `exited ${edge} ${source}:5001 > ${address}:80`,
        `pod to ${who}`,
      );
      const inward = walk.send('edge', syn(`${address}:6000`, `${own}:80`));
      t.match(inward, bothWays ? 'delivered default/a1' : 'dropped fabric', `${who} to pod`);
    }
    t.equal(
      walk.syn('default/a1', `${own}:5004`, '20.60.1.1:443'),
      `exited internet ${at('node-a')}:5004 > 20.60.1.1:443`,
      'a service endpoint sees an address of the virtual network, not the load balancer’s',
    );
    t.match(
      walk.send('default/a1', datagram(`${own}:5005`, '168.63.129.16:53')),
      `exited internet ${at('node-a')}:`,
      'Azure’s DNS answers nodes',
    );
    t.match(
      walk.send('edge', syn('9.9.9.9:6001', '20.7.7.7:80')),
      /delivered default\/a1 /,
      'the load balancer reaches the pod',
    );
    t.match(
      walk.syn('default/a1', `${own}:5002`, '8.8.8.8:443'),
      'exited internet 198.51.100.1:',
      'the internet sees the load balancer',
    );
  });
}

t.test('by the command', async (t) => {
  t.setTimeout(120_000);
  const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-behaviours-'));
  t.teardown(() => rmSync(cwd, { recursive: true, force: true }));
  await forEachRow(BEHAVIOURS, async ({ stack, text, bothWays }) => {
    const inward = bothWays ? 'allowed' : 'denied';
    const tcp = { port: 80, protocol: 'TCP' };
    const probes = [
      { from: 'pod/default/a1', to: 'pod/default/b1', ...tcp, expect: 'allowed' },
      { from: 'pod/default/a1', to: 'svc/default/svc-b1', ...tcp, expect: 'allowed' },
      { from: 'node/node-a', to: 'pod/default/b1', ...tcp, expect: 'allowed' },
      { from: 'pod/default/a1', to: 'node/node-b', ...tcp, expect: 'allowed' },
      { from: 'pod/default/a1', to: '10.50.1.1', ...tcp, expect: 'allowed' },
      { from: 'pod/default/a1', to: '8.8.8.8', ...tcp, expect: 'allowed' },
      { from: '10.50.1.1', to: 'pod/default/a1', ...tcp, expect: inward },
      { from: '172.20.1.1', to: 'pod/default/b1', ...tcp, expect: inward },
    ];
    writeFileSync(join(cwd, `${stack}.yaml`), text);
    writeFileSync(join(cwd, `${stack}.json`), JSON.stringify(probes));
    const args = ['--stack', stack, '--probes', `${stack}.json`];
    const ran = await wiretrial(['probe', '-f', `${stack}.yaml`, ...args], { cwd });
    t.equal(ran.status, 0, `${stack}: ${ran.stdout}${ran.stderr}`);
  });
});

/** Codes that rendering a stack in this cluster is refused with. */
function refusals(stack: string, wiring: string): readonly string[] {
  const { cluster, policies } = parseInputs('c.yaml', twoNodeText({ wiring }));
  try {
    renderNetwork({ cluster, policies, stack: parseStack(stack) });
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map((d) => `${d.code} ${d.message}`);
  }
}

t.test('what Azure does not offer is refused with its reason, unless it is forced', async (t) => {
  t.match(refusals('azure-overlay+npm', WIRINGS.overlay), [/dual-stack clusters: .*IPv4 only/]);
  t.match(refusals('azure-overlay+calico', WIRINGS.overlay), [/one family only/]);
  t.strictSame(refusals('azure-overlay+npm,force=true', WIRINGS.overlay), []);
  t.strictSame(refusals('azure-overlay+calico,force=true', WIRINGS.overlay), []);
  t.strictSame(refusals('azure-overlay+none', WIRINGS.overlay), []);
  t.strictSame(refusals('byo+calico', WIRINGS.byo), []);
  t.throws(() => parseStack('kubenet+npm'), UserError);
  t.strictSame(refusals('kubenet+npm,force=true', WIRINGS.kubenet), []);
});

t.test('overlay beside kubenet: scale and policy engines', async (t) => {
  const nodes = (count: number) =>
    Array.from({ length: count }, (_, i) => `apiVersion: v1\nkind: Node\nmetadata: {name: n${i}}`);
  const codes = (plugin: string, count: number) => {
    const vnet = `podCidr: 10.64.0.0/11\nvirtualNetworks: [{addressPrefixes: [10.224.0.0/12], subnets: [{addressPrefix: 10.224.0.0/16}]}]`;
    const wiring = `apiVersion: wiretrial/v1\nkind: Wiring\n${plugin}\n${vnet}`;
    try {
      parseInputs('c.yaml', [wiring, ...nodes(count)].join('\n---\n'));
      return [];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return error.diagnostics.map((d) => d.code);
    }
  };
  const overlay = 'networkPlugin: azure\nnetworkPluginMode: overlay';
  t.strictSame(codes('networkPlugin: kubenet', 400), []);
  t.strictSame(codes('networkPlugin: kubenet', 401), ['AZURE_NODES']);
  t.strictSame(codes(overlay, 401), []);
  for (const engine of ['npm', 'calico']) t.ok(parseStack(`azure-overlay+${engine}`), engine);
  t.ok(parseStack('kubenet+calico'));
  t.throws(() => parseStack('kubenet+npm'), /supports calico only/);
  t.throws(() => parseStack('kubenet+cilium'), /supports calico only/);
});
