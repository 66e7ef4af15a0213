/**
 * Bad input never crashes: whatever is done to a manifest, it loads or is refused with messages.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';

const WIRING = `apiVersion: wiretrial/v1
kind: Wiring
networkPluginMode: overlay
serviceCidr: 10.0.0.0/16
nodePools: [{name: a, count: 2, maxPods: 30}]
virtualNetworks: [{addressPrefixes: [10.240.0.0/16], subnets: [{addressPrefix: 10.240.0.0/24}]}]
`;

const KINDS = [
  ['v1', 'Pod'],
  ['v1', 'Node'],
  ['v1', 'Namespace'],
  ['v1', 'Service'],
  ['v1', 'Endpoints'],
  ['v1', 'ConfigMap'],
  ['discovery.k8s.io/v1', 'EndpointSlice'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'StatefulSet'],
  ['apps/v1', 'DaemonSet'],
  ['batch/v1', 'CronJob'],
  ['wiretrial/v1', 'Wiring'],
] as const;

/** Loads, or throws what a user can read: at least one diagnostic, each with code and message. */
function survives(file: string, text: string): boolean {
  try {
    parseInputs(file, text);
    return true;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.length > 0 && error.diagnostics.every((d) => d.code && d.message);
  }
}

t.test('text with pieces cut, doubled, swapped for noise', async (t) => {
  const whole = `${TWO_NODES_SHOP}---\n${SHOP_POLICIES}---\n${WIRING}`;
  const edit = fc.record({
    at: fc.nat(whole.length),
    length: fc.nat(30),
    by: fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom('', '\n', '- ', '{', ']', ': ', '&a ', '*a', '<<: ', '"', '|', '\t', '~'),
    ),
  });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      let text = whole;
      for (const e of edits) text = text.slice(0, e.at) + e.by + text.slice(e.at + e.length);
      return survives('f.yaml', text);
    }),
    { seed: 7, numRuns: 250 },
  );
  t.pass('held');
});

t.test('any value in any field of any kind', async (t) => {
  const keys = fc.constantFrom(
    ...'spec status metadata name namespace labels annotations generateName selector matchLabels matchExpressions key operator values ports port protocol endPort targetPort nodePort containers containerPort hostPort hostNetwork nodeName podIP podIPs ip addresses address type podCIDR podCIDRs ingress egress from to ipBlock cidr except podSelector namespaceSelector policyTypes template replicas clusterIP clusterIPs externalIPs ipFamilies sessionAffinity subsets endpoints conditions ready addressType data config nodePools virtualNetworks addressPrefixes podCidr dnsServiceIP items __proto__ constructor'.split(
      ' ',
    ),
  );
  const leaf = fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    80,
    1e10,
    '',
    'a',
    'TCP',
    '10.0.0.1',
    '10.0.0.0/8',
    'fd00::/200',
    'None',
    'In',
    'Ingress',
    '***HIDDEN***',
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(keys, tie('value'), { maxKeys: 4 }),
    ),
  }));
  const object = fc
    .tuple(fc.constantFrom(...KINDS), fc.dictionary(keys, value, { maxKeys: 4 }), value, value)
    .map(([[apiVersion, kind], rest, metadata, spec]) => ({
      metadata: { name: 'x', ...(typeof metadata === 'object' && metadata) },
      spec,
      ...rest,
      apiVersion,
      kind,
    }));
  fc.assert(
    fc.property(fc.array(object, { minLength: 1, maxLength: 3 }), (items) =>
      survives('f.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items })),
    ),
    { seed: 7, numRuns: 1500 },
  );
  t.pass('held');
});
