/**
 * Services where some nodes run Windows: what kube-proxy gives HNS, and who reaches a Service.
 * @module
 */
import t from 'tap';
import { BalancerFlag, type HnsLoadBalancer, MappingFlag } from '../../../src/plan/hns/model.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import {
  type Asked,
  hnsOf,
  NODE,
  OUTSIDE,
  podAddress,
  verdictOf,
  worldOf,
} from './mixed-cluster.ts';

function service(name: string, app: string, spec: string): string {
  return `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {selector: {app: ${app}}, ${spec}}`;
}

const DENY_DB = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`;

const CLUSTER_IP = service(
  'db',
  'db',
  'clusterIP: 10.0.0.20, ports: [{port: 80, targetPort: 8080}]',
);
const NODE_PORT = service(
  'np',
  'db',
  'type: NodePort, clusterIP: 10.0.0.21, ports: [{port: 80, nodePort: 30080}]',
);
const LOCAL = service(
  'local',
  'db',
  'type: NodePort, externalTrafficPolicy: Local, clusterIP: 10.0.0.22, ports: [{port: 80, nodePort: 30081}]',
);
const EXTERNAL = service(
  'ext',
  'db',
  'type: LoadBalancer, clusterIP: 10.0.0.23, externalIPs: [198.51.100.7], ports: [{port: 80, nodePort: 30082}]',
);

function show(b: HnsLoadBalancer): string {
  const names = [
    ...((b.flags & BalancerFlag.directServerReturn) === 0 ? [] : ['DSR']),
    ...((b.mappingFlags & MappingFlag.localRoutedVip) === 0 ? [] : ['LocalRoutedVIP']),
    ...((b.mappingFlags & MappingFlag.vipExternalIp) === 0 ? [] : ['VipExternalIP']),
    ...((b.mappingFlags & MappingFlag.preserveDip) === 0 ? [] : ['PreserveDIP']),
  ];
  const to = b.endpoints.map(formatAddress).join();
  return `${b.role} ${b.vips.map(formatAddress).join()}:${b.externalPort} > ${to}:${b.internalPort} ${names.join()}`;
}

t.test('kube-proxy gives HNS a load balancer for each address, with its flags', async (t) => {
  const more = [CLUSTER_IP, NODE_PORT, LOCAL, EXTERNAL].join('\n---\n');
  const world = worldOf('azure-transparent+none', { more });
  const db = podAddress('db');
  t.strictSame(hnsOf(world, 'win-a').loadBalancers.map(show), [
    `clusterIp 10.0.0.20:80 > ${db}:8080 DSR`,
    `clusterIp 10.0.0.21:80 > ${db}:80 DSR`,
    `nodePort :30080 > ${db}:80 LocalRoutedVIP,VipExternalIP`,
    `clusterIp 10.0.0.22:80 > ${db}:80 DSR`,
    `nodePort :30081 > ${db}:80 DSR,LocalRoutedVIP,VipExternalIP`,
    `clusterIp 10.0.0.23:80 > ${db}:80 DSR`,
    `nodePort :30082 > ${db}:80 LocalRoutedVIP,VipExternalIP`,
    `externalIp 198.51.100.7:80 > ${db}:80 VipExternalIP`,
  ]);
  const far = hnsOf(world, 'win-b').loadBalancers.map(show);
  t.notOk(
    far.some((text) => text.includes(':30081')),
    'traffic policy Local has no load balancer where no endpoint is',
  );
});

t.test('a pod reaches a ClusterIP, and policies see the two pods', async (t) => {
  const world = worldOf('azure-transparent+npm', { more: `${CLUSTER_IP}\n---\n${DENY_DB}` });
  const rows: readonly (readonly [Asked, string])[] = [
    [['web', 'svc/shop/db', 80], 'allowed'],
    [['api', 'svc/shop/db', 80], 'denied policyDenied'],
    [['client', 'svc/shop/db', 80], 'denied policyDenied'],
    [['win-a', 'svc/shop/db', 80], 'denied ruleDenied'],
    [['db', 'svc/shop/db', 80], 'unknown undocumented'],
  ];
  for (const [asked, want] of rows) t.equal(verdictOf(world, asked), want, asked.join(' '));
});

t.test('egress rules judge the backend, not the address of the Service', async (t) => {
  const egress = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: shop}
spec: {podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 8080}]}]}`;
  for (const engine of ['npm', 'calico']) {
    const world = worldOf(`azure-transparent+${engine}`, { more: `${CLUSTER_IP}\n---\n${egress}` });
    t.equal(verdictOf(world, ['api', 'svc/shop/db', 80]), 'allowed', engine);
    t.equal(verdictOf(world, ['api', 'web', 8080]), 'denied policyDenied', engine);
  }
});

t.test('without direct return a policy sees the node instead of the pod', async (t) => {
  const more = `${CLUSTER_IP}\n---\n${DENY_DB}`;
  const direct = worldOf('azure-transparent+npm', { more });
  const through = worldOf('azure-transparent+npm,windows-dsr=false', { more });
  t.equal(verdictOf(direct, ['api', 'svc/shop/db', 80]), 'denied policyDenied');
  t.equal(verdictOf(direct, ['web', 'svc/shop/db', 80]), 'allowed');
  t.equal(verdictOf(through, ['web', 'svc/shop/db', 80]), 'allowed', 'the node may always come in');
  t.equal(
    verdictOf(through, ['api', 'svc/shop/db', 80]),
    'denied policyDenied',
    'another node may not',
  );
  const world = worldOf('azure-transparent+none,windows-dsr=false', { more: CLUSTER_IP });
  t.equal(verdictOf(world, ['web', 'svc/shop/db', 80]), 'allowed', 'answers find their way back');
});

t.test('a node port: the client becomes the node, which its own pods always let in', async (t) => {
  const world = worldOf('azure-transparent+npm', { more: `${NODE_PORT}\n---\n${DENY_DB}` });
  t.equal(verdictOf(world, [OUTSIDE, NODE['win-a'], 30_080]), 'allowed', 'on the node of the pod');
  t.equal(
    verdictOf(world, [OUTSIDE, NODE['win-b'], 30_080]),
    'denied policyDenied',
    'by another node, whose address nobody allows',
  );
  t.equal(verdictOf(world, ['client', NODE['win-b'], 30_080]), 'denied policyDenied');
  const open = worldOf('azure-transparent+none', { more: NODE_PORT });
  for (const node of ['win-a', 'win-b', 'lin'] as const) {
    t.equal(verdictOf(open, [OUTSIDE, NODE[node], 30_080]), 'allowed', node);
  }
});

t.test('traffic policy Local keeps the client, and other nodes answer nothing', async (t) => {
  const only = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: ${OUTSIDE}/32}}]}]}`;
  const world = worldOf('azure-transparent+npm', {
    more: `${LOCAL}\n---\n${NODE_PORT}\n---\n${only}`,
  });
  t.equal(verdictOf(world, [OUTSIDE, NODE['win-a'], 30_081]), 'allowed');
  t.equal(verdictOf(world, ['203.0.113.10', NODE['win-a'], 30_081]), 'denied policyDenied');
  t.equal(
    verdictOf(world, ['203.0.113.10', NODE['win-a'], 30_080]),
    'allowed',
    'Cluster: as the node',
  );
  t.equal(verdictOf(world, [OUTSIDE, NODE['win-b'], 30_081]), 'denied rejected');
});

t.test('what the platform can not do, or nobody documents, is said so', async (t) => {
  const more = [NODE_PORT, EXTERNAL].join('\n---\n');
  const world = worldOf('azure-transparent+none', { more });
  const rows: readonly (readonly [Asked, string])[] = [
    [['win-a', NODE['win-a'], 30_080], 'denied ruleDenied'],
    [['win-a', NODE['win-b'], 30_080], 'allowed'],
    [['web', NODE['win-a'], 30_080], 'unknown undocumented'],
    [['web', NODE['win-b'], 30_080], 'allowed'],
    [['web', '198.51.100.7', 80], 'unknown undocumented'],
    [['client', '198.51.100.7', 80], 'allowed'],
  ];
  for (const [asked, want] of rows) t.equal(verdictOf(world, asked), want, asked.join(' '));
});

t.test('several backends: a draw, and a policy that one of them has makes it depend', async (t) => {
  const many = `apiVersion: v1
kind: Service
metadata: {name: all, namespace: shop}
spec: {clusterIP: 10.0.0.30, selector: null, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: all-1, namespace: shop, labels: {kubernetes.io/service-name: all}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [${podAddress('db')}], nodeName: akswin000001}, {addresses: [${podAddress('api')}], nodeName: akswin000002}]`;
  const closed = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}`;
  const world = worldOf('azure-transparent+npm', { more: `${many}\n---\n${closed}` });
  t.match(verdictOf(world, ['web', '10.0.0.30', 80]), /^depends/);
});

t.test('named ports, SCTP, affinity and preserve-destination are warned of', async (t) => {
  const more = [
    service('named', 'db', 'clusterIP: 10.0.0.24, ports: [{port: 80, targetPort: http}]'),
    service('sctp', 'db', 'clusterIP: 10.0.0.25, ports: [{port: 80, protocol: SCTP}]'),
    service('sticky', 'db', 'clusterIP: 10.0.0.26, sessionAffinity: ClientIP, ports: [{port: 80}]'),
    CLUSTER_IP.replace(
      'name: db,',
      'name: kept, annotations: {preserve-destination: "true"},',
    ).replace('10.0.0.20', '10.0.0.27'),
  ].join('\n---\n');
  const world = worldOf('azure-transparent+none', { more });
  const codes = (world.network.warnings ?? []).map(({ code, object }) => `${code} ${object}`);
  t.ok(codes.includes('SERVICE_WINDOWS_SCTP shop/Service/sctp'));
  t.ok(codes.includes('SERVICE_WINDOWS_AFFINITY shop/Service/sticky'));
  t.ok(codes.includes('SERVICE_WINDOWS_PRESERVE shop/Service/kept'));
  t.equal(verdictOf(world, ['web', 'svc/shop/named', 80]), 'allowed');
  t.equal(verdictOf(world, ['web', 'svc/shop/kept', 80]), 'unknown undocumented');
  const sticky = hnsOf(world, 'win-a').loadBalancers.find((b) => b.distribution === 'SourceIP');
  t.equal(sticky?.externalPort, 80);
});
