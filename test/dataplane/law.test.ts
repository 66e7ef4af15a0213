/**
 * NPM on emulated nodes equals the API's text, for drawn clusters, policies and flows between pods
 * and with the world outside; only loopback is left out (it never leaves the pod).
 *
 * Holds for `version=main`: earlier versions misread some selectors (src/dataplane/npm/README.md).
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import type { Pod } from '../../src/cluster/model.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { syntheticPacket } from '../../src/lab/datagram/synthetic.ts';
import { World } from '../../src/lab/world.ts';
import { type End, evaluate } from '../../src/policy/evaluate.ts';
import type { LabelExpression, NetworkPolicy, Peer } from '../../src/policy/model.ts';
import type { Address } from '../../src/wire/address.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import * as make from './objects.ts';

const SEED = 20_260_915;
const RUNS = Number(process.env['FC_RUNS'] ?? 60);

const PORTS = [80, 81, 8080] as const;

const shop = make.cluster({
  nodes: [make.node('n1', '10.240.0.4'), make.node('n2', '10.240.0.5')],
  namespaces: { x: { ns: 'x', team: 'red' }, y: { ns: 'y' }, z: { ns: 'z', team: 'blue' } },
  pods: ['x', 'y', 'z'].flatMap((ns, i) =>
    ['a', 'b', 'c'].map((name, j) =>
      make.pod(
        `${ns}/${name}`,
        (i + j) % 2 === 0 ? 'n1' : 'n2',
        `10.240.0.${10 + i * 3 + j}`,
        j === 2 ? { pod: name } : { pod: name, tier: String(j) },
        {
          ports: [
            make.port('http', j === 0 ? 80 : 8080),
            make.port('dns', 81, { protocol: 'UDP' }),
          ],
        },
      ),
    ),
  ),
  subnets: ['10.240.0.0/16'],
});

const OUTSIDE = make.ip('203.0.113.9');

const expression = (key: string, values: readonly string[]): fc.Arbitrary<LabelExpression> =>
  fc.oneof(
    fc.record({
      key: fc.constant(key),
      operator: fc.constantFrom('In', 'NotIn'),
      values: fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({
      key: fc.constant(key),
      operator: fc.constantFrom('Exists', 'DoesNotExist'),
      values: fc.constant([]),
    }),
  ) as fc.Arbitrary<LabelExpression>;

const podSelector = fc
  .record({
    labels: fc.option(fc.constantFrom({ pod: 'a' }, { tier: '1' }), { nil: {} }),
    expressions: fc.array(
      fc.oneof(expression('pod', ['a', 'b', 'c']), expression('tier', ['0', '1'])),
      { maxLength: 2 },
    ),
  })
  .map(({ labels, expressions }) => make.selector(labels, expressions));

const namespaceSelector = fc
  .array(fc.oneof(expression('ns', ['x', 'y', 'z']), expression('team', ['red', 'blue'])), {
    maxLength: 2,
  })
  .map((expressions) => make.selector({}, expressions));

const anyPeer: fc.Arbitrary<Peer> = fc.oneof(
  podSelector.map((s) => make.peer(s)),
  namespaceSelector.map((s) => make.peer(null, s)),
  fc.tuple(podSelector, namespaceSelector).map(([p, n]) => make.peer(p, n)),
  fc.constantFrom(
    make.block('0.0.0.0/0'),
    make.block('0.0.0.0/0', '10.240.0.0/28'),
    make.block('10.240.0.8/29', '10.240.0.10/32'),
    make.block('203.0.113.0/24'),
  ),
);

const anyPort = fc.constantFrom(
  make.on('TCP'),
  make.on('TCP', 80),
  make.on('TCP', 80, 8000),
  make.on('UDP', 81),
  make.on('TCP', 'http'),
  make.on('UDP', 'dns'),
);

const rules = fc.array(
  fc
    .tuple(fc.array(anyPeer, { maxLength: 2 }), fc.array(anyPort, { maxLength: 2 }))
    .map(([peers, ports]) => make.rule(peers, ports)),
  { maxLength: 2 },
);

const policies: fc.Arbitrary<readonly NetworkPolicy[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom('x', 'y', 'z'),
      selector: podSelector,
      ingress: fc.option(rules, { nil: undefined }),
      egress: fc.option(rules, { nil: undefined }),
    }),
    { maxLength: 4 },
  )
  .map((drawn) =>
    drawn.map(({ namespace, selector, ingress, egress }, i) =>
      make.policy(`${namespace}/p${i}`, selector, {
        ...(ingress ? { ingress } : {}),
        ...(egress ? { egress } : {}),
      }),
    ),
  );

const end = fc.constantFrom<Pod | null>(...shop.pods, null);
const flows = fc.array(
  fc
    .record({
      from: end,
      to: end,
      protocol: fc.constantFrom('TCP' as const, 'UDP' as const),
      port: fc.constantFrom(...PORTS),
    })
    .filter(({ from, to }) => from !== to),
  { minLength: 12, maxLength: 12 },
);

function addressOf(of: Pod | null): Address {
  return of?.addresses[0] ?? OUTSIDE;
}

function endOf(of: Pod | null): End {
  return of === null ? { kind: 'address', address: OUTSIDE } : { kind: 'pod', pod: of };
}

for (const stack of ['azure-bridge+npm', 'azure-transparent+npm,place-first=true']) {
  t.test(`${stack}: what the walk delivers is what the policies allow`, async (t) => {
    let judged = 0;
    fc.assert(
      fc.property(policies, flows, (drawn, wanted) => {
        const world = new World({ cluster: shop, policies: drawn, stack: parseStack(stack) });
        for (const [i, { from, to, protocol, port }] of wanted.entries()) {
          const packet = syntheticPacket({
            src: addressOf(from),
            dst: addressOf(to),
            protocol: protocol === 'TCP' ? Protocol.tcp : Protocol.udp,
            sport: 20_000 + i,
            dport: port,
            step: 'request',
          });
          const at = { packet, frame: i + 1, nowNs: i };
          const journey = world.engine.inject(
            from === null
              ? { ...at, as: 'received', ...world.edge() }
              : { ...at, as: 'local', host: `${from.namespace}/${from.name}` },
          );
          const got = journey.outcome === (to === null ? 'exited' : 'delivered');
          const { allowed } = evaluate(shop, drawn, {
            from: endOf(from),
            to: endOf(to),
            protocol,
            port,
          });
          if (got !== allowed) {
            throw new Error(
              `${from?.name} ${to?.name} ${protocol} ${port}: ` +
                `${journey.outcome} ${journey.reason} ${journey.decision?.text}, allowed ${allowed}`,
            );
          }
          judged++;
        }
      }),
      { seed: SEED, numRuns: RUNS },
    );
    t.ok(judged >= RUNS * 12, `${judged} flows judged`);
  });
}
