/**
 * Rendered nodes beside real ones of the same objects: names, routes and MACs of AKS nodes, line by
 * line, every line that differs with its reason; and the two flows that were captured on both nodes
 * of an Azure CNI cluster with Calico, walked through rendered plans.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hostVethName } from '../../src/dataplane/azure-cni/mac.ts';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import type { Plan } from '../../src/plan/model.ts';
import { formatRule } from '../../src/plan/rule/rule-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress, maskAddress, parseAddress } from '../../src/wire/address/address.ts';
import { AzureWalk, node, pod, syn, wiring } from '../fabric/azure-walk.ts';
import { sharedPath } from '../support/shared.ts';
import * as make from './objects.ts';

const folder = sharedPath('data/clusters');
const needs = { skip: folder === null ? 'needs ../shared' : false };
const file = (name: string) => readFileSync(join(folder ?? '', name), 'utf8');

interface Endpoint {
  readonly HostIfName: string;
  readonly PODName: string;
  readonly PODNameSpace: string;
  readonly IPAddresses: readonly { readonly IP: string }[];
}

interface CniState {
  readonly Network: {
    readonly ExternalInterfaces: Readonly<
      Record<
        string,
        {
          readonly MacAddress: string;
          readonly Networks: Readonly<
            Record<string, { readonly Mode: string; readonly Endpoints: Record<string, Endpoint> }>
          >;
        }
      >
    >;
  };
}

t.test('Azure CNI’s own state of an AKS node', needs, async (t) => {
  const state = JSON.parse(file('aks-azure-cni-state/azure-vnet.json')) as CniState;
  const eth0 = state.Network.ExternalInterfaces['eth0'];
  const network = eth0?.Networks['azure'];
  t.equal(network?.Mode, 'transparent');
  const mac = Buffer.from(eth0?.MacAddress ?? '', 'base64').toString('hex');
  t.equal(mac.slice(0, 6), '000d3a', 'a NIC of Microsoft’s first range, as ours are');
  const endpoints = Object.values(network?.Endpoints ?? {});
  t.equal(endpoints.length, 2);
  const pods = endpoints.map((e) =>
    make.pod(`${e.PODNameSpace}/${e.PODName}`, 'n', e.IPAddresses[0]?.IP ?? ''),
  );
  const cluster = make.cluster({
    nodes: [make.node('n', '10.240.0.4')],
    pods,
    subnets: ['10.240.0.0/12'],
  });
  const [plan] = renderNetwork(make.input(cluster, 'azure-transparent+none')).nodes;
  for (const e of endpoints) {
    const address = e.IPAddresses[0]?.IP ?? '';
    const name = `${e.PODNameSpace}/${e.PODName}`;
    // Version 1.2.6 of 2021 names a veth by the endpoint's id, `azv` and 11 digits: the name is not
    // the pod's. What follows from it is the same: a host route of the address by such a device.
    const device = routeOf(plan, address);
    t.match(e.HostIfName, /^azv[0-9a-f]{11}$/, name);
    t.match(device, /^azv[0-9a-f]{11}$/, name);
  }
});

/** The device of an address's host route. */
function routeOf(plan: Plan | undefined, address: string): string {
  const found = plan?.routes.find(
    (r) => r.destination.length === 32 && formatAddress(r.destination.address) === address,
  );
  return found?.device ?? 'none';
}

/** `route -n`: destination, gateway, mask, device. */
function routeLines(plan: Plan): string[] {
  return plan.routes
    .filter((r) => r.family === 4)
    .map((r) => {
      const mask = maskAddress(make.ip('255.255.255.255'), r.destination.length);
      const via = r.via ? formatAddress(r.via) : '0.0.0.0';
      const to = formatAddress(r.destination.address);
      return `${to} ${via} ${formatAddress(mask)} ${r.device}`;
    })
    .toSorted();
}

t.test('kubenet with Calico: a node’s routes and devices', needs, async (t) => {
  const facts = file('aks-kubenet-calico-2023/node-facts.txt').split('\n');
  const pods = facts.flatMap((line) => {
    const [namespace = '', name = '', address = '', ...more] = line.trim().split(/\s+/);
    return more.length === 0 && /^10\.244\.0\./.test(address) ? [{ namespace, name, address }] : [];
  });
  t.equal(pods.length, 5, 'the pods that the page names');
  const real = facts
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words.length === 8 && parseAddress(words[0] ?? '') !== null)
    .map(([to, via, mask, , , , , device]) => `${to} ${via} ${mask} ${device}`);
  t.equal(real.length, 11);
  const cluster = make.cluster({
    nodes: [{ ...make.node('n', '192.168.1.4'), podCidrs: [make.net('10.244.0.0/24')] }],
    pods: pods.map((p) => make.pod(`${p.namespace}/${p.name}`, 'n', p.address)),
    subnets: ['192.168.1.0/24'],
    podCidrs: ['10.244.0.0/16'],
  });
  const stack = parseStack('kubenet+calico');
  const [plan] = renderNetwork({ cluster, policies: [], stack }).nodes;
  if (!plan) throw new Error('one node was rendered');
  const ours = routeLines(plan);
  const only = (a: readonly string[], b: readonly string[]) =>
    a.filter((line) => !b.includes(line));
  t.strictSame(only(real, ours).toSorted(), [
    // Pods that the page does not name.
    '10.244.0.2 0.0.0.0 255.255.255.255 calif6abb148530',
    '10.244.0.5 0.0.0.0 255.255.255.255 cali9d7310e16e7',
    // Azure's DHCP options: its platform addresses and the gateway, where the default leads, too.
    '168.63.129.16 192.168.1.1 255.255.255.255 eth0',
    '169.254.169.254 192.168.1.1 255.255.255.255 eth0',
    '192.168.1.1 0.0.0.0 255.255.255.255 eth0',
  ]);
  t.strictSame(
    only(ours, real).map((line) => line.split(' ')[0]),
    // Its pod began after the routes were listed.
    ['10.244.0.12'],
  );
  const veths = plan.interfaces.filter((i) => i.name.startsWith('cali'));
  t.ok(facts.some((line) => line.includes('mac ee:ee:ee:ee:ee:ee')));
  t.ok(veths.every((v) => v.mac === 'ee:ee:ee:ee:ee:ee' && v.mtu === 1500));
  t.notOk(
    plan.interfaces.some((i) => i.kind === 'bridge'),
    'and no cbr0',
  );
});

t.test('kubenet with Calico: rules that are not about pods or Services', needs, async (t) => {
  const dump = file('aks-kubenet-calico-2023/iptables-save.txt').split('\n');
  t.ok(dump.includes('-A FORWARD -d 168.63.129.16/32 -p tcp -m tcp --dport 80 -j DROP'));
  const { cluster } = parseInputs(
    'c.yaml',
    wiring('networkPlugin: kubenet') + node('n', '10.224.0.4'),
  );
  const [plan] = renderNetwork({ cluster, policies: [], stack: parseStack('kubenet+none') }).nodes;
  const forward = plan?.tables
    .find((x) => x.family === 4 && x.name === 'filter')
    ?.chains.find((c) => c.name === 'FORWARD')?.rules;
  const last = forward?.at(-1);
  t.equal(last?.target.kind, 'drop');
  t.equal(
    last?.ip.destination && formatAddress(last.ip.destination.value.address),
    '168.63.129.16',
  );
});

t.test('flannel and Docker: the rules of a kubeadm node', needs, async (t) => {
  const dump = file('kubeadm-flannel-docker-2024/iptables-save.txt').split('\n');
  const node = { ...make.node('n', '192.168.1.4'), podCidrs: [make.net('10.244.0.0/24')] };
  const cluster = make.cluster({
    nodes: [node],
    pods: [],
    subnets: ['192.168.1.0/24'],
    podCidrs: ['10.244.0.0/16'],
  });
  const rendered = (stack: string, of = cluster) => {
    const [plan] = renderNetwork({ cluster: of, policies: [], stack: parseStack(stack) }).nodes;
    const tables = plan?.tables.filter((x) => x.family === 4) ?? [];
    return tables.flatMap((table) =>
      table.chains.flatMap((c) => c.rules.map((r) => formatRule(r, c.name, 4))),
    );
  };
  const sorted = (lines: readonly string[], what: RegExp) =>
    lines.filter((line) => line.startsWith('-A') && what.test(line)).toSorted();
  const flannel = /flannel|FLANNEL/;
  t.equal(sorted(dump, flannel).length, 10);
  t.strictSame(sorted(rendered('byo+none,cni=flannel'), flannel), sorted(dump, flannel));
  const bridged = make.cluster({
    nodes: [{ ...node, podCidrs: [make.net('172.17.0.0/16')] }],
    pods: [],
    subnets: ['192.168.1.0/24'],
  });
  const docker = /docker0|DOCKER/;
  t.equal(sorted(dump, docker).length, 15);
  t.strictSame(sorted(rendered('docker+none', bridged), docker), sorted(dump, docker));
});

const POLICY = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: demo-policy}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80, protocol: TCP}]}]
---
`;

t.test('the allowed and the denied flow of two AKS nodes, rendered', needs, async (t) => {
  const page = file('aks-azurecni-calico-2024/calico-ingress-sample.md');
  const server = make.pod('demo/server', 'n', '10.224.0.81');
  t.equal(hostVethName(server), 'azve0cf0fbcf9f');
  t.match(page, '10.224.0.81 dev azve0cf0fbcf9f scope link');
  const walk = (labels: string, address: string) =>
    new AzureWalk(
      [
        wiring(
          'networkPolicy: calico\nvirtualNetworks: [{addressPrefixes: [10.224.0.0/12], subnets: [{addressPrefix: 10.224.0.0/16}]}]',
        ),
        node('vmss000003', '10.224.0.62'),
        node('vmss000004', '10.224.0.33'),
        pod('server', 'vmss000003', '10.224.0.81', '{app: server}'),
        pod('client', 'vmss000004', address, labels),
        POLICY,
      ],
      { stack: 'azure-transparent+calico' },
    );
  // Flags [S] on both nodes, and its answer.
  const allowed = walk('{app: client}', '10.224.0.34');
  const open = allowed.journey('default/client', syn('10.224.0.34:41296', '10.224.0.81:80'));
  t.equal(open.outcome, 'delivered');
  t.equal(open.end.host, 'default/server');
  // The SYN is seen on the server's node again and again; nothing answers.
  const denied = walk('{run: client}', '10.224.0.40');
  const shut = denied.journey('default/client', syn('10.224.0.40:38062', '10.224.0.81:80'));
  t.equal(shut.outcome, 'dropped');
  t.equal(shut.decision?.host, 'vmss000003', 'at the server’s node, as captured');
  const repeated = page
    .split('\n')
    .filter((l) => /IP 10\.224\.0\.40\.38062 > .*Flags \[S\]/.test(l));
  t.equal(repeated.length, 10, 'five SYNs on each of the two nodes');
  t.notOk(/10\.224\.0\.81\.http > 10\.224\.0\.40/.test(page), 'and no answer on either');
});
