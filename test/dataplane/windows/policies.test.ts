/**
 * NetworkPolicies on Windows nodes: which access rules NPM and Calico give an endpoint, what they
 * leave out, and which packets get through in a cluster that has Linux nodes too.
 * @module
 */
import t from 'tap';
import type { HnsAcl } from '../../../src/plan/hns/model.ts';
import { formatPrefix } from '../../../src/wire/address/address.ts';
import { endpointOf, NODE, verdictOf, worldOf } from './mixed-cluster.ts';

function policy(name: string, spec: string): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: shop}
spec: ${spec}`;
}

const FROM_WEB = policy(
  'db',
  '{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1433}]}]}',
);
const DENY = policy('deny', '{podSelector: {}, policyTypes: [Ingress, Egress]}');

/** `In Allow 222 6/1433 from 2 sets`. */
function show(acl: HnsAcl): string {
  const peer = acl.source ?? acl.destination;
  const term =
    peer === null
      ? ''
      : peer.kind === 'nets'
        ? ` ${peer.nets.map(formatPrefix).join()}`
        : peer.kind === 'sets'
          ? ` ${peer.sets.length} sets`
          : ` ${peer.set.members.length} addresses`;
  const ports = acl.ports.map(({ low, high }) => (low === high ? low : `${low}-${high}`)).join();
  const what = `${acl.protocol ?? 'any'}${ports === '' ? '' : `/${ports}`}`;
  return `${acl.direction} ${acl.action} ${acl.priority} ${what}${term}`;
}

const BASE = [
  'Out Block 200 6/80 168.63.129.16/32',
  'Out Block 200 6/32526 168.63.129.16/32',
  'In Allow 65500 any',
  'Out Allow 65500 any',
];

t.test('an endpoint without policy has the rules of Azure CNI alone', async (t) => {
  const world = worldOf('azure-transparent+npm', { more: FROM_WEB });
  t.strictSame(endpointOf(world, 'web').acls.map(show), BASE);
});

t.test(
  'NPM allows at 222, blocks at 3000 and lets the node in at 201, once a policy',
  async (t) => {
    const world = worldOf('azure-transparent+npm', { more: `${FROM_WEB}\n---\n${DENY}` });
    t.strictSame(endpointOf(world, 'db').acls.map(show), [
      ...BASE,
      'In Allow 222 6/1433 2 sets',
      'In Block 3000 any',
      `In Allow 201 any ${NODE['win-a']}/32`,
      'In Block 3000 any',
      'Out Block 3000 any',
      `In Allow 201 any ${NODE['win-a']}/32`,
    ]);
  },
);

t.test('Calico lets the node in at 900, and blocks behind what the policies allow', async (t) => {
  const world = worldOf('azure-transparent+calico', { more: FROM_WEB });
  t.strictSame(endpointOf(world, 'db').acls.slice(BASE.length).map(show), [
    `In Allow 900 any ${NODE['win-a']}/32`,
    'In Allow 1000 6/1433 1 addresses',
    'In Block 1001 any',
    'Out Allow 1000 any',
    'Out Block 1001 any',
    'In Allow 100 any',
    'Out Allow 100 any',
  ]);
});

for (const engine of ['npm', 'calico']) {
  t.test(`${engine}: a policy holds at the endpoint of a Windows pod, whoever asks`, async (t) => {
    const world = worldOf(`azure-transparent+${engine}`, { more: FROM_WEB });
    const rows = [
      [['web', 'db', 1433], 'allowed'],
      [['web', 'db', 1434], 'denied policyDenied'],
      [['api', 'db', 1433], 'denied policyDenied'],
      [['client', 'db', 1433], 'denied policyDenied'],
      [['db', 'api', 80], 'allowed'],
      [['db', 'client', 80], 'allowed'],
      [['win-a', 'db', 9], 'allowed'],
      [['win-b', 'db', 1433], 'denied policyDenied'],
    ] as const;
    for (const [asked, want] of rows) t.equal(verdictOf(world, asked), want, asked.join(' '));
  });
}

t.test('NPM judges a Windows pod where it is: another node of Windows asks nothing', async (t) => {
  const world = worldOf('azure-transparent+npm', { more: FROM_WEB });
  t.equal(verdictOf(world, ['api', 'db', 1433]), 'denied policyDenied');
  t.equal(endpointOf(world, 'api').acls.length, BASE.length, 'nothing stands on the sender');
});

const REFUSED = [
  ['{podSelector: {}, ingress: [{ports: [{port: http}]}]}', 'unsupported namedport translation'],
  ['{podSelector: {}, ingress: [{ports: [{port: 80, protocol: SCTP}]}]}', 'unsupported SCTP'],
  [
    '{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}',
    'unsupported Except CIDR block',
  ],
  [
    '{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}',
    'unsupported NotExist operator',
  ],
  [
    '{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: x, operator: DoesNotExist}]}}]}]}',
    'unsupported NotExist operator',
  ],
  [
    '{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: x, operator: DoesNotExist}]}}]}]}',
    'Negative match types is not supported',
  ],
] as const;

for (const [spec, words] of REFUSED) {
  t.test(
    `NPM on Windows refuses the whole policy (${words}) and enforces nothing of it`,
    async (t) => {
      const world = worldOf('azure-transparent+npm', { more: policy('odd', spec) });
      const [said] = (world.network.warnings ?? []).filter((w) => w.code === 'NPM_WINDOWS_REFUSED');
      t.match(said?.message, words);
      t.equal(said?.object, 'shop/NetworkPolicy/odd');
      t.equal(verdictOf(world, ['api', 'db', 7]), 'allowed', 'Windows to Windows');
      t.strictSame(endpointOf(world, 'db').acls.map(show), BASE);
    },
  );
}

t.test('a policy that selects no Windows pod warns of nothing', async (t) => {
  const more = policy(
    'lin',
    '{podSelector: {matchLabels: {app: client}}, ingress: [{ports: [{port: http}]}]}',
  );
  const world = worldOf('azure-transparent+npm', { more });
  t.strictSame(world.network.warnings ?? [], []);
  t.equal(verdictOf(world, ['api', 'client', 81]), 'denied policyDenied', 'Linux enforces it');
});

t.test(
  'NPM drops the negation of a namespaceSelector in egress: the wrong pods are let in',
  async (t) => {
    const other = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system, labels: {team: system}}
---
${policy('out', '{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [shop]}]}}]}]}')}`;
    const world = worldOf('azure-transparent+npm', { more: other });
    t.ok((world.network.warnings ?? []).some((w) => w.code === 'NPM_WINDOWS_NEGATION'));
    t.equal(verdictOf(world, ['web', 'api', 80]), 'allowed', 'the excluded namespace');
    const calico = worldOf('azure-transparent+calico', { more: other });
    t.equal(verdictOf(calico, ['web', 'api', 80]), 'denied policyDenied', 'as the policy says');
  },
);

t.test(
  'Calico for Windows leaves single rules out, and what they allow stays denied',
  async (t) => {
    const more = policy(
      'some',
      '{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: http}]}, {ports: [{port: 81}]}]}',
    );
    const world = worldOf('azure-transparent+calico', { more });
    t.match(
      (world.network.warnings ?? []).find((w) => w.code === 'CALICO_WINDOWS_RULE')?.message,
      'named ports',
    );
    t.equal(verdictOf(world, ['api', 'db', 80]), 'denied policyDenied');
    t.equal(verdictOf(world, ['api', 'db', 81]), 'allowed');
  },
);

t.test('port ranges are lists on Windows, and hold', async (t) => {
  const more = policy(
    'range',
    '{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1000, endPort: 1002}]}]}',
  );
  const world = worldOf('azure-transparent+npm', { more });
  t.equal(verdictOf(world, ['api', 'db', 1002]), 'allowed');
  t.equal(verdictOf(world, ['api', 'db', 1003]), 'denied policyDenied');
});

t.test(
  'every engine: an unmatched protocol of the container firewall is not taken in',
  async (t) => {
    for (const engine of ['none', 'npm', 'calico']) {
      const world = worldOf(`azure-transparent+${engine}`);
      t.equal(verdictOf(world, ['api', 'db', 80, 'SCTP']), 'denied ruleDenied', engine);
      t.equal(verdictOf(world, ['api', 'db', 0, 'ICMP']), 'allowed', engine);
      t.equal(verdictOf(world, ['api', 'db', 53, 'UDP']), 'allowed', engine);
    }
  },
);

t.test('the wire server is closed to pods, and open again where nobody knows', async (t) => {
  const azure = '168.63.129.16';
  const npm = worldOf('azure-transparent+npm');
  t.equal(verdictOf(npm, ['web', azure, 80]), 'denied ruleDenied');
  t.equal(verdictOf(npm, ['web', azure, 32_526]), 'denied ruleDenied');
  t.equal(verdictOf(npm, ['web', azure, 53, 'UDP']), 'allowed');
  const calico = worldOf('azure-transparent+calico');
  t.equal(verdictOf(calico, ['web', azure, 80]), 'unknown undocumented');
});

t.test('what a verdict on Windows stands on is documentation', async (t) => {
  const world = worldOf('azure-transparent+npm');
  const found = world.network.nodes.map(({ evidence }) => evidence);
  t.strictSame(found, ['source', 'documentation', 'documentation']);
});
