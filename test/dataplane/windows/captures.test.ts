/**
 * Captures replayed in a cluster of Linux and Windows nodes: connections are delivered packet by
 * packet, denied at the Windows pod that a policy selects, and translated by HNS' load balancers.
 * @module
 */
import t from 'tap';
import { exchange } from '../../support/exchange.ts';
import { udp } from '../../support/packets.ts';
import { outcomesOf, type Ran, replayFrames } from '../../support/replays.ts';
import { mixedCluster, NODE, OUTSIDE, podAddress } from './mixed-cluster.ts';

const OBJECTS = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1433}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.0.0.20, selector: {app: db}, ports: [{port: 80, targetPort: 1433}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {type: NodePort, clusterIP: 10.0.0.21, selector: {app: api}, ports: [{port: 80, nodePort: 30080}]}`;

const ENGINES = ['npm', 'calico'] as const;
const cluster = mixedCluster({ more: OBJECTS });
const DELIVERED = new Array<string>(8).fill('delivered');

const replayed = (engine: string, ...ends: readonly [string, string, number]): Promise<Ran> =>
  replayFrames(cluster, `azure-transparent+${engine}`, exchange(...ends));

for (const engine of ENGINES) {
  t.test(`${engine}: what a policy allows is delivered, every packet of it`, async (t) => {
    const ran = await replayed(engine, podAddress('web'), podAddress('db'), 1433);
    t.strictSame(outcomesOf(ran), DELIVERED);
    t.match(ran.connections, [{ verdict: 'allowed', evidence: 'documentation' }]);
  });

  t.test(`${engine}: a Linux pod is denied at the Windows pod, by name`, async (t) => {
    for (const port of [1433, 80]) {
      const ran = await replayed(engine, podAddress('client'), podAddress('db'), port);
      t.equal(outcomesOf(ran)[0], 'dropped', `${port}`);
      t.match(ran.connections, [
        {
          verdict: 'denied',
          reason: 'policyDenied',
          evidence: 'documentation',
          decidedBy: { policies: ['shop/NetworkPolicy/db'] },
        },
      ]);
    }
  });

  t.test(`${engine}: a pod reaches another node's pod by its Service, both ways`, async (t) => {
    for (const [from, to] of [
      ['web', '10.0.0.21'],
      ['client', '10.0.0.21'],
      ['web', '10.0.0.20'],
    ] as const) {
      const ran = await replayed(engine, podAddress(from), to, 80);
      t.strictSame(outcomesOf(ran), DELIVERED, `${from} ${to}`);
    }
    const denied = await replayed(engine, podAddress('client'), '10.0.0.20', 80);
    t.match(denied.connections, [{ verdict: 'denied', reason: 'policyDenied' }]);
  });

  t.test(`${engine}: a node port of a Windows node answers from outside`, async (t) => {
    const ran = await replayed(engine, OUTSIDE, NODE['win-a'], 30_080);
    // The server's frames are the second, the fifth and the seventh.
    const answers = outcomesOf(ran).map((outcome, i) => [i, outcome] as const);
    for (const [i, outcome] of answers) {
      t.equal(outcome, [1, 4, 6].includes(i) ? 'exited' : 'delivered', `frame ${i + 1}`);
    }
    t.match(ran.connections, [{ verdict: 'allowed', evidence: 'documentation' }]);
  });
}

t.test('datagrams and their answers pass alike', async (t) => {
  const c = udp().from(podAddress('web'), 40_000).to(podAddress('api'), 53).payload(30);
  const s = udp().from(podAddress('api'), 53).to(podAddress('web'), 40_000).payload(60);
  const frames = [c, s, c, s].map((p, i) => p.id(i + 1).frame());
  const ran = await replayFrames(cluster, 'azure-transparent+npm', frames);
  t.strictSame(outcomesOf(ran), ['delivered', 'delivered', 'delivered', 'delivered']);
});

t.test('one capture twice says the same', async (t) => {
  const once = await replayed('npm', podAddress('web'), '10.0.0.20', 80);
  const again = await replayed('npm', podAddress('web'), '10.0.0.20', 80);
  t.strictSame(again.connections, once.connections);
  t.strictSame(again.frames, once.frames);
});
