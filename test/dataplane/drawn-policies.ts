/**
 * Clusters, policies and flows drawn for laws: three namespaces on two nodes, and policies whose
 * selectors, peers and ports overlap in all the ways that products have got wrong.
 * @module
 */
import fc from 'fast-check';
import type { Cluster, Pod } from '../../src/cluster/model.ts';
import type { End } from '../../src/policy/evaluate.ts';
import type { LabelExpression, NetworkPolicy, Peer, PolicyPort } from '../../src/policy/model.ts';
import type { Address } from '../../src/wire/address/address.ts';
import * as make from './objects.ts';

const PORTS = [80, 81, 8080] as const;

/** Nine pods, three of each namespace, on two nodes. */
export const shop: Cluster = make.cluster({
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

const PLAIN_BLOCKS = [make.block('0.0.0.0/0'), make.block('203.0.113.0/24')] as const;
const BLOCKS = [
  ...PLAIN_BLOCKS,
  make.block('0.0.0.0/0', '10.240.0.0/28'),
  make.block('10.240.0.8/29', '10.240.0.10/32'),
] as const;

const PLAIN_PORTS = [
  make.on('TCP'),
  make.on('TCP', 80),
  make.on('TCP', 80, 8000),
  make.on('UDP', 81),
] as const;
const RULE_PORTS = [...PLAIN_PORTS, make.on('TCP', 'http'), make.on('UDP', 'dns')] as const;

const peersOf = (blocks: readonly Peer[]): fc.Arbitrary<Peer> =>
  fc.oneof(
    podSelector.map((s) => make.peer(s)),
    namespaceSelector.map((s) => make.peer(null, s)),
    fc.tuple(podSelector, namespaceSelector).map(([p, n]) => make.peer(p, n)),
    fc.constantFrom(...blocks),
  );

const rulesOf = (blocks: readonly Peer[], ports: readonly PolicyPort[]) =>
  fc.array(
    fc
      .tuple(
        fc.array(peersOf(blocks), { maxLength: 2 }),
        fc.array(fc.constantFrom(...ports), { maxLength: 2 }),
      )
      .map(([peers, on]) => make.rule(peers, on)),
    { maxLength: 2 },
  );

const policiesOf = (
  blocks: readonly Peer[],
  ports: readonly PolicyPort[],
): fc.Arbitrary<readonly NetworkPolicy[]> =>
  fc
    .array(
      fc.record({
        namespace: fc.constantFrom('x', 'y', 'z'),
        selector: podSelector,
        ingress: fc.option(rulesOf(blocks, ports), { nil: undefined }),
        egress: fc.option(rulesOf(blocks, ports), { nil: undefined }),
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

/** Up to four policies with all that the API has. */
export const policies = policiesOf(BLOCKS, RULE_PORTS);
/** The same without named ports and `except`; each of a direction, as the API server leaves them. */
export const plainPolicies = policiesOf(PLAIN_BLOCKS, PLAIN_PORTS).map((drawn) =>
  drawn.filter(({ policyTypes }) => policyTypes.length > 0),
);

const end = fc.constantFrom<Pod | null>(...shop.pods, null);
/** Twelve connections between pods and with one address outside (null). */
export const flows = fc.array(
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

export function addressOf(of: Pod | null): Address {
  return of?.addresses[0] ?? OUTSIDE;
}

export function endOf(of: Pod | null): End {
  return of === null ? { kind: 'address', address: OUTSIDE } : { kind: 'pod', pod: of };
}
