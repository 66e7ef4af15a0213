/**
 * Where Azure NPM on a bridge and Calico at the pod differ because of Services: each kind once, as
 * a connection, and named.
 * @module
 */
import t from 'tap';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Comparison, type Difference } from '../../src/lab/compare/compare.ts';
import { replay } from '../../src/lab/replay.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';
import { tcp } from '../support/packets.ts';

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
async function differences(
  openings: readonly (readonly [from: string, to: string, dport: number])[],
): Promise<readonly Difference[]> {
  const inputs = parseInputs('shop.yaml', [TWO_NODES_SHOP, SHOP_POLICIES, SERVICES].join('---\n'));
  const worlds = ['azure-transparent+npm', 'azure-transparent+calico'].map(
    (stack) => new World({ ...inputs, stack: parseStack(stack) }),
  );
  const [first] = worlds;
  if (first === undefined) throw new Error('two worlds');
  const iface = { id: 0, file: 'x.pcap', linkType: LinkType.ethernet, snapLength: 65535 };
  const records = openings.map(([from, to, dport], i): PacketRecord => {
    const data = tcp()
      .from(from, 40_000 + i)
      .to(to, dport)
      .syn()
      .seq(i)
      .frame();
    return { frame: i + 1, iface, timeNs: BigInt(i), data, wireLength: data.length };
  });
  const survey = new Survey();
  for (const record of records) survey.add(record);
  const found: Difference[] = [];
  const comparison = new Comparison(worlds, (difference) => found.push(difference));
  async function* batches() {
    yield records;
  }
  await replay({
    records: batches(),
    traffic: {
      identities: first.identities,
      map: new AddressMap([]),
      checksums: 'auto',
      survey: survey.checksums,
      translations: survey.translations,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
    },
    stacks: worlds.map((world, i) => ({ world, sink: comparison.sink(i, () => {}) })),
    options: { openLoop: false },
    onClosed: (conversation) => comparison.closed(conversation),
  });
  return found;
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
