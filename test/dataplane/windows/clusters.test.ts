/**
 * Windows node pools in a cluster's documents: names, places of pods, what AKS refuses, and how HNS'
 * state reads as JSON.
 * @module
 */
import t from 'tap';
import { capacityOf } from '../../../src/cluster/limits/capacity.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { UserError } from '../../../src/diagnostic/diagnostic.ts';
import { World } from '../../../src/lab/world.ts';
import { hnsToJson } from '../../../src/plan/hns/text.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import { hnsOf, mixedCluster, NODE, verdictOf, worldOf } from './mixed-cluster.ts';

function refusals(stack: string, build?: string): readonly string[] {
  const { cluster, policies } = mixedCluster(build === undefined ? {} : { build });
  try {
    new World({ cluster, policies, stack: parseStack(stack) });
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map(({ code, message }) => `${code} ${message}`);
  }
}

t.test('Windows nodes are refused where AKS has none', async (t) => {
  t.match(refusals('kubenet+none')[0], /NODE_WINDOWS.*kubenet/);
  t.match(refusals('byo+none')[0], /NODE_WINDOWS.*Azure CNI only/);
  t.equal(refusals('kubenet+none').length, 2, 'each node');
});

t.test('policy engines are refused on builds that AKS does not have them on', async (t) => {
  t.match(
    refusals('azure-transparent+npm', '10.0.17763.6532')[0],
    'Windows Server 2022 (20348) only',
  );
  t.match(refusals('azure-transparent+npm', '10.0.26100.1')[0], 'not on 26100.1');
  t.strictSame(refusals('azure-transparent+calico', '10.0.17763.6532'), []);
  t.match(refusals('azure-transparent+calico', '10.0.26100.1')[0], 'not on 26100.1');
  t.strictSame(refusals('azure-transparent+npm,force=true', '10.0.26100.1'), []);
  t.strictSame(refusals('azure-transparent+none', '10.0.26100.1'), []);
});

const POOLS = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
nodePools: [{name: sys, count: 1}, {name: win, count: 2, osType: Windows, osSKU: Windows2019}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: iis}
spec:
  replicas: 4
  selector: {matchLabels: {app: iis}}
  template:
    metadata: {labels: {app: iis}}
    spec: {nodeSelector: {kubernetes.io/os: windows}, containers: [{name: c}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: linux}
spec:
  replicas: 2
  selector: {matchLabels: {app: linux}}
  template:
    metadata: {labels: {app: linux}}
    spec: {containers: [{name: c}]}
`;

t.test('pools give nodes with their names and builds, and selectors place the pods', async (t) => {
  const { cluster } = parseInputs('pools.yaml', POOLS);
  t.strictSame(
    cluster.nodes.map(({ name, os, kernel }) => [
      name,
      os,
      kernel.split('.').slice(0, 3).join('.'),
    ]),
    [
      ['aks-sys-00000000-vmss000000', 'linux', '5.15.0-1075-azure'],
      ['akswin000000', 'windows', '10.0.17763'],
      ['akswin000001', 'windows', '10.0.17763'],
    ],
  );
  const where = (app: string) =>
    new Set(cluster.pods.filter((p) => p.labels['app'] === app).map((p) => p.node));
  t.strictSame(where('iis'), new Set(['akswin000000', 'akswin000001']));
  t.strictSame(where('linux'), new Set(['aks-sys-00000000-vmss000000']));
});

t.test('nodes that only pods name are those of their pool', async (t) => {
  const text = `${POOLS.split('---')[0]}---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {nodeName: akswin000007, containers: [{name: c}]}
`;
  const { cluster } = parseInputs('named.yaml', text);
  t.strictSame(
    cluster.nodes.map(({ name, os }) => [name, os]),
    [['akswin000007', 'windows']],
  );
});

const HOST_NETWORK = `apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: shop}
spec: {nodeName: akswin000001, hostNetwork: true, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: shop}
spec:
  nodeName: akswin000001
  hostNetwork: true
  securityContext: {windowsOptions: {hostProcess: true, runAsUserName: 'NT AUTHORITY\\SYSTEM'}}
  containers: [{name: c}]`;

t.test("only HostProcess pods are on a Windows node's network", async (t) => {
  const world = worldOf('azure-transparent+none', { more: HOST_NETWORK });
  const pods = new Map(world.cluster.pods.map((pod) => [pod.name, pod]));
  t.equal(pods.get('agent')?.hostNetwork, false);
  t.notMatch(pods.get('agent')?.addresses.map(formatAddress), [NODE['win-a']]);
  t.equal(pods.get('host')?.hostNetwork, true);
  t.strictSame(pods.get('host')?.addresses.map(formatAddress), [NODE['win-a']]);
  const names = hnsOf(world, 'win-a').endpoints.map(({ name }) => name);
  t.ok(names.includes('shop/agent'));
  t.notOk(names.includes('shop/host'));
  const said = (world.network.warnings ?? []).filter((w) => w.code === 'POD_WINDOWS_HOST_NETWORK');
  t.strictSame(
    said.map(({ object }) => object),
    ['shop/Pod/agent'],
  );
});

t.test('doctor counts the pods of the fullest Windows node of an overlay', async (t) => {
  const asked = (overlay: boolean) =>
    capacityOf(mixedCluster({ overlay }).cluster).supplies.filter((s) => /Windows/.test(s.what));
  t.match(asked(true), [{ size: 110, used: 2, left: 108, moreNodes: null }]);
  t.strictSame(asked(false), []);
});

t.test('the state of HNS is written as HCN takes it', async (t) => {
  const more = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1433}]}]}`;
  const state = JSON.parse(
    JSON.stringify(hnsToJson(hnsOf(worldOf('azure-transparent+npm', { more }), 'win-a'))),
  );
  const db = state.Endpoints.find((e: { Name: string }) => e.Name === 'shop/db');
  // AgentBaker, staging/cse/windows/azurecnifunc.tests.suites/AzureCNI.Expect.Swift.conflist
  t.strictSame(db.Policies[0], {
    Type: 'OutBoundNAT',
    Settings: { Exceptions: ['10.224.0.0/12'] },
  });
  const acls = db.Policies.filter((p: { Type: string }) => p.Type === 'ACL');
  t.strictSame(acls[0].Settings, {
    Protocols: '6',
    Action: 'Block',
    Direction: 'Out',
    RemoteAddresses: '168.63.129.16/32',
    RemotePorts: '80',
    RuleType: 'Switch',
    Priority: 200,
  });
  t.strictSame(acls[2].Settings, { Action: 'Allow', Direction: 'In', Priority: 65_500 });
  // npm policy_windows.go: by sets the source is Local, whatever the direction.
  const allow = acls.find((p: { Settings: { Priority: number } }) => p.Settings.Priority === 222);
  t.equal(allow.Settings.Id, 'azure-acl-shop-db');
  t.match(allow.Settings.LocalAddresses, /^azure-npm-[0-9a-z]{20},azure-npm-[0-9a-z]{20}$/);
  t.equal(allow.Settings.LocalPorts, '1433');
  t.equal(allow.Settings.RemoteAddresses, undefined);
  const ids = state.Network.Policies.map((p: { Settings: { Id: string } }) => p.Settings.Id);
  for (const id of allow.Settings.LocalAddresses.split(','))
    t.ok(ids.includes(id), 'its set is there');
});

t.test('one option takes all nodes for Windows, or for Linux', async (t) => {
  const policy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: odd, namespace: shop}
spec: {podSelector: {}, ingress: [{ports: [{port: http}]}]}`;
  const { cluster, policies } = mixedCluster({ more: policy });
  const on = (stack: string) => new World({ cluster, policies, stack: parseStack(stack) });
  t.equal(verdictOf(on('azure-transparent+npm,os=linux'), ['api', 'db', 7]), 'denied policyDenied');
  t.equal(verdictOf(on('azure-transparent+npm,os=windows'), ['api', 'client', 7]), 'allowed');
});
