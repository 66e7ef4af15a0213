/**
 * Where Azure NPM on a bridge and Calico at the pod differ because of Services: each kind once, as
 * a connection, and named.
 * @module
 */
import t from 'tap';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';
import { differencesOf, type Opening } from '../support/differences.ts';

const CLIENT = '10.240.0.7';
const API = '10.240.0.36';
const NODE_A = '10.240.0.4';
const NODE_B = '10.240.0.35';
const BALANCED = '10.240.0.200';

const SERVICES = `apiVersion: v1
kind: Service
metadata: { name: api, namespace: shop }
spec:
  type: LoadBalancer
  clusterIP: 10.0.10.1
  selector: { tier: api }
  ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }]
status: { loadBalancer: { ingress: [{ ip: ${BALANCED} }] } }
`;

/** The differences of some openings between NPM and Calico. */
function differences(openings: readonly Opening[]) {
  const stacks = ['azure-transparent+npm', 'azure-transparent+calico'];
  return differencesOf([TWO_NODES_SHOP, SHOP_POLICIES, SERVICES], stacks, openings);
}

t.test('what comes in by a node port or a load balancer is not policed by Azure NPM', async (t) => {
  const found = await differences([
    [CLIENT, NODE_B, 30_080],
    [CLIENT, BALANCED, 80],
  ]);
  t.match(
    found.map((d) => [d.connection.dst, d.class.id]),
    [[NODE_B, 'lb-nodeport-cluster']],
  );
  for (const d of found) {
    t.strictSame(Object.values(d.verdicts), ['allowed', 'denied']);
    t.match(d.class.explanation, /KUBE-FORWARD accepts marked packets/);
    t.match(d.class.source, /migrate-from-npm-to-cilium/);
    t.match(d.decidedBy['azure-transparent+calico'], {
      policy: 'shop/NetworkPolicy/api-from-web',
      node: 'node-b',
    });
  }
});

t.test('where the backend is on another node, both see a node and refuse it', async (t) => {
  // The first node hides the client behind its own address, which no policy selects.
  t.strictSame(await differences([[CLIENT, NODE_A, 30_080]]), []);
});

t.test('a pod that reaches itself through its Service', async (t) => {
  const [d, ...more] = await differences([[API, '10.0.10.1', 80]]);
  t.equal(more.length, 0);
  t.match(d, {
    class: { id: 'service-hairpin' },
    verdicts: { 'azure-transparent+npm': 'allowed', 'azure-transparent+calico': 'denied' },
  });
});

t.test("the Service's cluster address is policed by both", async (t) => {
  t.strictSame(await differences([[CLIENT, '10.0.10.1', 80]]), []);
});
