/**
 * A small shop on two nodes under two policies, and who reaches whom in it: one table for the
 * emulated hosts and for the real kernel.
 * @module
 */
import * as make from './objects.ts';

/** A host behind the fabric's edge. */
export const OUTSIDE = 'outside';
export const OUTSIDE_ADDRESS = '203.0.113.9';

/** What a TCP SYN to a port without listener comes back with: RST, or nothing. */
export type Answer = 'answered' | 'silent';

const { on, peer, policy, rule, selector } = make;

export const shop = make.cluster({
  nodes: [make.node('node-a', '10.240.0.4'), make.node('node-b', '10.240.0.5')],
  pods: [
    make.pod('shop/web', 'node-a', '10.240.0.10', { app: 'web' }),
    make.pod('shop/db', 'node-a', '10.240.0.11', { app: 'db' }),
    make.pod('shop/api', 'node-b', '10.240.0.12', { app: 'api' }),
    make.pod('shop/quiet', 'node-b', '10.240.0.13', { app: 'quiet' }),
  ],
  subnets: ['10.240.0.0/16'],
});

/** One pod that takes one client on one port, and one that may send nothing. */
export const policies = [
  policy('shop/db-from-web', selector({ app: 'db' }), {
    ingress: [rule([peer(selector({ app: 'web' }))], [on('TCP', 80)])],
  }),
  policy('shop/quiet', selector({ app: 'quiet' }), { egress: [] }),
];

/** From, to, port, and what NPM leaves of it. */
export const CONNECTIONS: readonly (readonly [string, string, number, Answer])[] = [
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
