/**
 * What must hold for every set of policies, and the words of the API text that are easy to misread.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { addressPlan } from '../../src/cluster/address/address-plan.ts';
import type { End, Flow } from '../../src/policy/evaluate.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import type { LabelSelector, NetworkPolicy, Peer, PolicyRule } from '../../src/policy/model.ts';
import { selects } from '../../src/policy/select.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address/address.ts';
import { twoNodesOpenShop } from '../support/clusters.ts';

const SEED = { seed: 20261121, numRuns: 300 };
const { cluster } = twoNodesOpenShop();
const source = { file: 'law.yaml', line: 1, column: 1 };

const selector: fc.Arbitrary<LabelSelector> = fc.record({
  matchLabels: fc.constantFrom(
    {},
    { tier: 'web' },
    { tier: 'api' },
    { app: 'shop' },
    { app: 'client' },
  ),
  matchExpressions: fc.array(
    fc.record({
      key: fc.constantFrom('tier', 'app', 'team'),
      operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
      values: fc.constant(['web', 'shop']),
    }),
    { maxLength: 1 },
  ),
});
const peer: fc.Arbitrary<Peer> = fc.oneof(
  fc.record({
    kind: fc.constant('selector' as const),
    podSelector: selector,
    namespaceSelector: fc.option(selector),
    source: fc.constant(source),
  }),
  fc.record({
    kind: fc.constant('ipBlock' as const),
    cidr: fc.constantFrom(
      ...['10.240.0.0/16', '0.0.0.0/0', '10.240.0.32/27'].map((p) => parsePrefix(p)!),
    ),
    except: fc.constantFrom([], [parsePrefix('10.240.0.5/32')!]),
    source: fc.constant(source),
  }),
);
const rule: fc.Arbitrary<PolicyRule> = fc.record({
  peers: fc.array(peer, { maxLength: 2 }),
  ports: fc.array(
    fc.record({
      protocol: fc.constantFrom('TCP', 'UDP'),
      port: fc.constantFrom(null, 80, 'http', 79),
      endPort: fc.constant(null),
    }),
    { maxLength: 2 },
  ),
  source: fc.constant(source),
});
const policy: fc.Arbitrary<NetworkPolicy> = fc.record({
  name: fc.constant('p'),
  namespace: fc.constantFrom('shop', 'other'),
  labels: fc.constant({}),
  source: fc.constant(source),
  podSelector: selector,
  ingress: fc.array(rule, { maxLength: 2 }),
  egress: fc.array(rule, { maxLength: 2 }),
  policyTypes: fc.subarray(['Ingress', 'Egress'] as const, { minLength: 1 }),
});
const end: fc.Arbitrary<End> = fc.oneof(
  fc.constantFrom(...cluster.pods).map((pod) => ({ kind: 'pod' as const, pod })),
  fc.constant({ kind: 'address' as const, address: parseAddress('192.0.2.9')! }),
);
const flow: fc.Arbitrary<Flow> = fc.record({
  from: end,
  to: end,
  protocol: fc.constantFrom('TCP', 'UDP'),
  port: fc.constantFrom(80, 81, 8080),
});
const policies = fc.array(policy, { maxLength: 4 });

t.test('the order of policies does not matter', async (t) => {
  fc.assert(
    fc.property(policies, flow, (ps, f) => {
      const there = evaluate(cluster, ps, f);
      const back = evaluate(cluster, [...ps].reverse(), f);
      return there.allowed === back.allowed;
    }),
    SEED,
  );
  t.pass('held');
});

t.test('an added rule never takes a flow away', async (t) => {
  fc.assert(
    fc.property(policies, rule, flow, (ps, added, f) => {
      const [first, ...rest] = ps;
      if (!first) return true;
      const more = {
        ...first,
        ingress: [...first.ingress, added],
        egress: [...first.egress, added],
      };
      return !evaluate(cluster, ps, f).allowed || evaluate(cluster, [more, ...rest], f).allowed;
    }),
    SEED,
  );
  t.pass('held');
});

t.test('a pod that no policy selects is open, and an address outside always is', async (t) => {
  fc.assert(
    fc.property(policies, flow, (ps, f) => {
      const selected = (e: End) =>
        e.kind === 'pod' &&
        ps.some((p) => p.namespace === e.pod.namespace && selects(p.podSelector, e.pod.labels));
      const got = evaluate(cluster, ps, f);
      return (selected(f.to) || got.ingress.allowed) && (selected(f.from) || got.egress.allowed);
    }),
    SEED,
  );
  t.pass('held');
});

t.test('a direction that has no rules denies, whether its list is empty or left out', async (t) => {
  for (const list of ['ingress: []', '']) {
    const text = `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: d, namespace: shop}\nspec:\n  podSelector: {}\n  ${list}`;
    const loaded = parseInputs('f.yaml', text).policies;
    const plan = addressPlan(cluster);
    const to: End = { kind: 'pod', pod: plan.findPod('shop', 'db')! };
    const from: End = { kind: 'pod', pod: plan.findPod('shop', 'web')! };
    const got = evaluate(cluster, loaded, { from, to, protocol: 'TCP', port: 5432 });
    t.equal(got.ingress.allowed, false, JSON.stringify(list));
    t.equal(got.egress.allowed, true, 'the other direction stays open');
  }
});

t.test('policyTypes are defaulted from the egress rules, not from their absence', async (t) => {
  const types = (spec: string) =>
    parseInputs(
      'f.yaml',
      `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: d}\nspec: {podSelector: {}${spec}}`,
    ).policies[0]?.policyTypes;
  t.same(types(''), ['Ingress']);
  t.same(types(', egress: []'), ['Ingress'], 'an empty list adds nothing');
  t.same(types(', egress: [{}]'), ['Ingress', 'Egress']);
  t.same(types(', policyTypes: []'), ['Ingress']);
  t.same(types(', policyTypes: [Egress], ingress: [{}]'), ['Egress'], 'taken literally');
});

t.test('selectors', async (t) => {
  const expression = (
    key: string,
    operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
    ...values: string[]
  ) => ({
    matchLabels: {},
    matchExpressions: [{ key, operator, values }],
  });
  const rows: readonly (readonly [string, LabelSelector, Record<string, string>, boolean])[] = [
    ['an empty selector picks everything', { matchLabels: {}, matchExpressions: [] }, {}, true],
    ['NotIn picks what lacks the key', expression('a', 'NotIn', 'b'), {}, true],
    ['In does not', expression('a', 'In', 'b'), {}, false],
    ['Exists picks an empty value', expression('a', 'Exists'), { a: '' }, true],
    ['DoesNotExist does not', expression('a', 'DoesNotExist'), { a: '' }, false],
    ['a label called constructor', expression('constructor', 'Exists'), {}, false],
    [
      'matchLabels and matchExpressions both hold',
      { ...expression('a', 'Exists'), matchLabels: { b: 'c' } },
      { a: '1' },
      false,
    ],
  ];
  for (const [name, s, labels, want] of rows) t.equal(selects(s, labels), want, name);
});
