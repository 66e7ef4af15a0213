/**
 * Policies on which Azure NPM and Calico agree though Cilium does not, and those that older versions
 * of NPM read otherwise: each a connection, named where it differs.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { TWO_NODES_SHOP } from '../support/clusters.ts';
import { differencesOf, type Opening } from '../support/differences.ts';

const WEB = '10.240.0.5';
const DB = '10.240.0.6';
const CLIENT = '10.240.0.7';
const API = '10.240.0.36';
const NODE_B = '10.240.0.35';

const policy = (spec: string) => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: it, namespace: shop }
spec: ${spec}
`;

const AGREED: readonly (readonly [
  what: string,
  spec: string,
  openings: readonly Opening[],
  want: string,
])[] = [
  [
    'an ipBlock holds for pods and nodes (Cilium: for neither)',
    '{ podSelector: { matchLabels: { tier: web } }, policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.240.0.6/32] } }] }] }',
    [
      [WEB, API, 80],
      [WEB, NODE_B, 80],
      [WEB, DB, 5432],
    ],
    'allowed allowed denied',
  ],
  [
    'a port name that is another number in each pod (Cilium: may drop)',
    '{ podSelector: {}, ingress: [{ ports: [{ port: http }] }] }',
    [
      [CLIENT, WEB, 80],
      [CLIENT, API, 8080],
      [CLIENT, API, 80],
    ],
    'allowed allowed denied',
  ],
  [
    'a range of ports (Cilium: from 1.17)',
    '{ podSelector: {}, ingress: [{ ports: [{ port: 8000, endPort: 8100 }] }] }',
    [
      [CLIENT, API, 8050],
      [CLIENT, API, 8101],
    ],
    'allowed denied',
  ],
];

t.test('what differs from Cilium alone is no difference here', async (t) => {
  const stacks = ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico'];
  for (const [what, spec, openings, want] of AGREED) {
    const inputs = parseInputs('shop.yaml', `${TWO_NODES_SHOP}---\n${policy(spec)}`);
    const asker = new Prober(new World({ ...inputs, stack: parseStack('azure-transparent+npm') }));
    const found = openings.map(
      ([from, to, port]) => asker.ask({ from, to, port, protocol: 'TCP' }).verdict,
    );
    t.equal(found.join(' '), want, what);
    t.strictSame(await differencesOf([TWO_NODES_SHOP, policy(spec)], stacks, openings), [], what);
  }
});

t.test('NPM before PR 4866 reads NotIn of several values as any of them', async (t) => {
  const spec = `{ podSelector: { matchLabels: { tier: api } }, ingress: [{ from: [
    { namespaceSelector: { matchExpressions: [{ key: team, operator: NotIn, values: [other, lab] }] } }] }] }`;
  const [d, ...more] = await differencesOf(
    [TWO_NODES_SHOP, policy(spec)],
    ['azure-transparent+npm,version=1.6.48', 'azure-transparent+calico'],
    [
      [CLIENT, API, 8080],
      [WEB, API, 8080],
    ],
  );
  t.equal(more.length, 0);
  t.match(d, { class: { id: 'npm-namespace-negation' }, connection: { src: CLIENT } });
  t.match(d?.class.source, /#4866/);
  t.strictSame(Object.values(d?.verdicts ?? {}), ['allowed', 'denied']);
});
