/**
 * P3 where nodes run Windows: whatever conversations do, both engines alike on each packet, with the
 * same connections and counters in between and at the end.
 *
 * `ENGINE_PACKETS` (of all stacks together) and `ENGINE_SEED` roam.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { World } from '../../../src/lab/world.ts';
import { DrawnTraffic } from '../../support/drawn-traffic.ts';
import { speakersOf } from '../../support/speakers.ts';
import { type TwinEngine, twins } from '../../support/twin-engine.ts';
import { mixedCluster, nodeName, ON_PREMISES, OUTSIDE, podAddress } from './mixed-cluster.ts';

t.setTimeout(600_000);

const PACKETS = Number(process.env['ENGINE_PACKETS'] ?? 12_000);
const SEED = Number(process.env['ENGINE_SEED'] ?? 20_261_121);
const native = findNative();
const skip = native.addon === null ? native.reason : false;
/** Packets after which tables and counters are compared; a prime. */
const ROUND = 997;

const objects = (overlay: boolean) => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}, {port: 80}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress: [{to: [{ipBlock: {cidr: 10.224.0.0/16}}, {namespaceSelector: {}}]}, {ports: [{port: 53, protocol: UDP}]}]
---
apiVersion: v1
kind: Service
metadata: {name: all, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.0.0.20
  ports: [{name: a, port: 80, targetPort: 8080, nodePort: 30080}, {name: b, port: 53, protocol: UDP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: all-1, namespace: shop, labels: {kubernetes.io/service-name: all}}
addressType: IPv4
endpoints:
- {addresses: [${podAddress('db', overlay)}], nodeName: ${nodeName('win-a')}}
- {addresses: [${podAddress('api', overlay)}], nodeName: ${nodeName('win-b')}}
- {addresses: [${podAddress('client', overlay)}], nodeName: ${nodeName('lin')}}
ports: [{name: a, port: 8080}, {name: b, port: 53, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.0.0.21
  externalTrafficPolicy: Local
  sessionAffinity: ClientIP
  externalIPs: [198.51.100.7]
  selector: {app: db}
  ports: [{port: 443, targetPort: 80, nodePort: 30443}]`;

/** Addresses that nobody in the cluster has: outside, Services, the wire server. */
const OTHERS = [OUTSIDE, ON_PREMISES, '10.0.0.20', '10.0.0.21', '198.51.100.7', '168.63.129.16'];
const PORTS = [80, 443, 53, 8080, 32_526, 30_080, 30_443];

const STACKS = [
  ['azure-transparent+none', { overlay: false }],
  ['azure-transparent+none,windows-dsr=false', { overlay: false }],
  ['azure-transparent+npm', { overlay: false }],
  ['azure-transparent+calico', { overlay: false }],
  ['azure-overlay+calico', { overlay: true }],
  ['azure-overlay+npm', { overlay: true, build: '10.0.20348.1607' }],
] as const;

for (const [i, [stack, options]] of STACKS.entries()) {
  t.test(`${stack}: both engines alike`, { skip }, async (t) => {
    const { overlay } = options;
    const { cluster, policies } = mixedCluster({ ...options, more: objects(overlay) });
    const made: TwinEngine[] = [];
    const makeEngine = twins((twin) => made.push(twin));
    const world = new World({ cluster, policies, stack: parseStack(stack), makeEngine });
    const services = [
      { address: '10.0.0.20', port: 80 },
      { address: '10.0.0.21', port: 443 },
      { address: '10.224.0.40', port: 30_080 },
      { address: '10.224.0.40', port: 30_443 },
      { address: '10.224.0.80', port: 30_080 },
      { address: '198.51.100.7', port: 443 },
    ];
    const traffic = new DrawnTraffic(SEED + i, speakersOf(world, OTHERS), {
      heard: true,
      ports: PORTS,
      services,
    });
    const [twin] = made;
    if (twin === undefined) throw new Error('a world has an engine');
    const outcomes = new Map<string, number>();
    for (let n = 1; n <= Math.ceil(PACKETS / STACKS.length); n++) {
      const journey = world.engine.inject(traffic.next());
      traffic.heard(journey);
      const key = `${journey.outcome} ${journey.reason ?? ''}`.trim();
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
      if (n % ROUND === 0) twin.compareState();
    }
    twin.compareState();
    const { moved, slow } = twin.compiled.statistics();
    t.comment(JSON.stringify({ moved, slow, outcomes: Object.fromEntries(outcomes) }));
    t.ok(moved > twin.packets / 40, 'packets are moved by the compiled engine');
    t.ok(outcomes.has('unknown undocumented'), 'what nobody documents is met');
  });
}
