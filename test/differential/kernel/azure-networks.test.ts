/**
 * Azure CNI's two modes, kube-proxy's chains, NPM and the fabric, loaded into real kernels: packets
 * go where they should, and are dropped where NPM says.
 *
 * Expectations by hand: the FORWARD hook sees pod traffic of both modes (bridged by br_netfilter),
 * INPUT and OUTPUT have no NPM; hops that lower TTL are the nodes of transparent mode only.
 * @module
 */
import t from 'tap';
import { renderNetwork } from '../../../src/dataplane/render.ts';
import * as make from '../../dataplane/objects.ts';
import { type Answer, OUTSIDE, OUTSIDE_ADDRESS, RealNetwork } from './real-network.ts';

const needs = { skip: process.getuid?.() === 0 ? false : 'needs root: network namespaces' };

const { on, peer, policy, rule, selector } = make;

const shop = make.cluster({
  nodes: [make.node('node-a', '10.240.0.4'), make.node('node-b', '10.240.0.5')],
  pods: [
    make.pod('shop/web', 'node-a', '10.240.0.10', { app: 'web' }),
    make.pod('shop/db', 'node-a', '10.240.0.11', { app: 'db' }),
    make.pod('shop/api', 'node-b', '10.240.0.12', { app: 'api' }),
    make.pod('shop/quiet', 'node-b', '10.240.0.13', { app: 'quiet' }),
  ],
  subnets: ['10.240.0.0/16'],
});

const policies = [
  policy('shop/db-from-web', selector({ app: 'db' }), {
    ingress: [rule([peer(selector({ app: 'web' }))], [on('TCP', 80)])],
  }),
  policy('shop/quiet', selector({ app: 'quiet' }), { egress: [] }),
];

/** From, to, port, and what NPM leaves of it. */
const CONNECTIONS: readonly (readonly [string, string, number, Answer])[] = [
  ['shop/web', '10.240.0.11', 80, 'answered'],
  ['shop/web', '10.240.0.11', 81, 'silent'],
  ['shop/web', '10.240.0.12', 80, 'answered'],
  ['shop/api', '10.240.0.10', 80, 'answered'],
  ['shop/api', '10.240.0.11', 80, 'silent'],
  ['shop/quiet', '10.240.0.12', 80, 'silent'],
  ['shop/quiet', '10.240.0.10', 80, 'silent'],
  // A pod's own node is reached by INPUT, another node by FORWARD on the way.
  ['shop/quiet', '10.240.0.5', 80, 'answered'],
  ['shop/quiet', '10.240.0.4', 80, 'silent'],
  ['shop/web', '10.240.0.4', 80, 'answered'],
  ['shop/web', '10.240.0.5', 80, 'answered'],
  // Nodes: OUTPUT to their own pods, FORWARD on the other node.
  ['node-a', '10.240.0.11', 80, 'answered'],
  ['node-b', '10.240.0.11', 80, 'silent'],
  ['node-b', '10.240.0.10', 80, 'answered'],
  ['node-a', '10.240.0.5', 80, 'answered'],
  // The world outside, both ways.
  [OUTSIDE, '10.240.0.10', 80, 'answered'],
  [OUTSIDE, '10.240.0.11', 80, 'silent'],
  [OUTSIDE, '10.240.0.4', 80, 'answered'],
  ['shop/web', OUTSIDE_ADDRESS, 80, 'answered'],
  ['shop/quiet', OUTSIDE_ADDRESS, 80, 'silent'],
  ['node-a', OUTSIDE_ADDRESS, 80, 'answered'],
  // An address of the subnet that nobody has.
  ['shop/web', '10.240.9.9', 80, 'silent'],
];

/** From, to, the TTL that the sender gives, and whether that is enough. */
const HOPS: Readonly<Record<string, readonly (readonly [string, string, number, Answer])[]>> = {
  'azure-bridge': [
    ['shop/web', '10.240.0.12', 1, 'answered'],
    ['shop/api', '10.240.0.10', 1, 'answered'],
  ],
  'azure-transparent': [
    ['shop/web', '10.240.0.12', 3, 'answered'],
    ['shop/web', '10.240.0.12', 2, 'silent'],
  ],
};

for (const mode of ['azure-bridge', 'azure-transparent']) {
  t.test(`${mode} with NPM on a real kernel`, needs, async (t) => {
    const network = renderNetwork(make.input(shop, `${mode}+npm`, policies));
    const real = new RealNetwork(network, mode === 'azure-bridge' ? 'ab' : 'at');
    t.teardown(() => real.remove());
    const answers = await Promise.all(
      CONNECTIONS.map(([from, to, port]) => real.connect(from, to, port)),
    );
    for (const [i, [from, to, port, want]] of CONNECTIONS.entries()) {
      t.equal(answers[i], want, `${from} to ${to}:${port}`);
    }
    for (const [from, to, ttl, want] of HOPS[mode] ?? []) {
      real.setTtl(from, ttl);
      t.equal(await real.connect(from, to, 80), want, `${from} to ${to} with TTL ${ttl}`);
    }
  });
}
