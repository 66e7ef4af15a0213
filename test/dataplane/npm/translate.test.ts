/**
 * What one NetworkPolicy becomes in NPM's chains and sets, as iptables-save and ipset print it.
 *
 * Expectations are by hand from azure-container-networking `npm/pkg/controlplane/translation`
 * (`translatePolicy.go`, `parseSelector.go` and their tests), commit cbd7560cf.
 * @module
 */
import t from 'tap';
import { kernelSetName } from '../../../src/dataplane/npm/hash.ts';
import { renderNetwork } from '../../../src/dataplane/render.ts';
import type { SetMember } from '../../../src/netfilter/ip-set.ts';
import { findChain, findTable, type Network, type Plan } from '../../../src/plan/model.ts';
import { formatRule } from '../../../src/plan/rule/rule-text.ts';
import type { NetworkPolicy } from '../../../src/policy/model.ts';
import { formatPrefix } from '../../../src/wire/address/address.ts';
import * as make from '../objects.ts';

const { block, on, peer, policy, rule, selector, where } = make;

const small = make.cluster({
  nodes: [make.node('node-a', '10.240.0.4')],
  pods: [make.pod('x/a', 'node-a', '10.240.0.5', { pod: 'a' })],
  subnets: ['10.240.0.0/16'],
});

function render(of: NetworkPolicy | readonly NetworkPolicy[], options = ''): Network {
  const policies = Array.isArray(of) ? of : [of];
  return renderNetwork(make.input(small, `azure-transparent+npm${options}`, policies));
}

function node(network: Network): Plan {
  const [plan] = network.nodes;
  if (plan === undefined) throw new Error('the cluster has a node');
  return plan;
}

/** The rules of the only policy's chain, sets under the names that people gave them. */
function chain(network: Network, direction: 'INGRESS' | 'EGRESS'): string[] {
  const plan = node(network);
  const filter = findTable(plan, 4, 'filter');
  const [found] = (filter?.chains ?? []).filter(
    (c) => c.name.startsWith(`AZURE-NPM-${direction}-`) && !c.name.endsWith('-ALLOW-MARK'),
  );
  return (found?.rules ?? []).map((r) =>
    formatRule(r, 'C')
      .replace(/ -m comment --comment (\S+)/, '')
      .replaceAll(/azure-npm-\w+/g, (name) => named(plan, name)),
  );
}

function named(plan: Plan, kernel: string): string {
  return plan.ipsets.find((set) => set.name === kernel)?.describes ?? kernel;
}

function comments(network: Network, direction: 'INGRESS' | 'EGRESS'): string[] {
  const filter = findTable(node(network), 4, 'filter');
  const rules = (filter?.chains ?? [])
    .filter((c) => c.name.startsWith(`AZURE-NPM-${direction}-`))
    .filter((c) => !c.name.endsWith('-ALLOW-MARK'))
    .flatMap((c) => c.rules);
  return rules.flatMap((r) => r.matches.flatMap((m) => (m.kind === 'comment' ? [m.text] : [])));
}

function members(network: Network, prefixed: string): readonly SetMember[] | undefined {
  const name = kernelSetName(prefixed, 'sha256');
  return node(network).ipsets.find((set) => set.name === name)?.members;
}

const MARK = 'AZURE-NPM-INGRESS-ALLOW-MARK';
const DROP = '-A C -j MARK --set-xmark 0x400/0x400';

t.test('ports and peers of an ingress rule multiply', async (t) => {
  const network = render(
    policy('x/p', selector({ pod: 'a' }), {
      ingress: [
        rule(
          [peer(selector({ app: 'web' })), peer(null, selector({ team: 'red' }))],
          [on('TCP', 80), on('UDP', 8000, 9000), on('SCTP')],
        ),
      ],
    }),
  );
  t.strictSame(chain(network, 'INGRESS'), [
    `-A C -p tcp -m tcp --dport 80 -m set --match-set pods labelled app=web src -m set --match-set pods of namespace x src -j ${MARK}`,
    `-A C -p udp -m udp --dport 8000:9000 -m set --match-set pods labelled app=web src -m set --match-set pods of namespace x src -j ${MARK}`,
    `-A C -p sctp -m set --match-set pods labelled app=web src -m set --match-set pods of namespace x src -j ${MARK}`,
    `-A C -p tcp -m tcp --dport 80 -m set --match-set pods of namespaces labelled team=red src -j ${MARK}`,
    `-A C -p udp -m udp --dport 8000:9000 -m set --match-set pods of namespaces labelled team=red src -j ${MARK}`,
    `-A C -p sctp -m set --match-set pods of namespaces labelled team=red src -j ${MARK}`,
    DROP,
  ]);
  t.strictSame(comments(network, 'INGRESS'), [
    'ALLOW-FROM-podlabel-app:web-AND-ns-x-ON-TCP-TO-PORT-80',
    'ALLOW-FROM-podlabel-app:web-AND-ns-x-ON-UDP-TO-PORT-8000:9000',
    'ALLOW-FROM-podlabel-app:web-AND-ns-x-ON-SCTP',
    'ALLOW-FROM-nslabel-team:red-ON-TCP-TO-PORT-80',
    'ALLOW-FROM-nslabel-team:red-ON-UDP-TO-PORT-8000:9000',
    'ALLOW-FROM-nslabel-team:red-ON-SCTP',
    'DROP-ALL',
  ]);
});

t.test('selectors become sets that must, or must not, hold the address', async (t) => {
  for (const [name, of, want] of [
    [
      'every operator on pods',
      peer(
        selector({}, [
          where('a', 'Exists'),
          where('b', 'DoesNotExist'),
          where('c', 'In', '1'),
          where('d', 'In', '1', '2'),
          where('e', 'NotIn', '1', '2'),
        ]),
      ),
      [
        '-m set --match-set pods with label a src -m set ! --match-set pods with label b src ' +
          '-m set --match-set pods labelled c=1 src -m set --match-set pods labelled d in (1, 2) src ' +
          '-m set ! --match-set pods labelled e in (1, 2) src -m set --match-set pods of namespace x src',
      ],
    ],
    ['all pods of the namespace', peer(selector()), ['-m set --match-set pods of namespace x src']],
    [
      'all pods of all namespaces',
      peer(null, selector()),
      ['-m set --match-set pods of all namespaces src'],
    ],
    [
      'namespace and pod in one item',
      peer(selector({ app: 'web' }), selector({}, [where('env', 'Exists')])),
      [
        '-m set --match-set pods of namespaces with label env src -m set --match-set pods labelled app=web src',
      ],
    ],
    [
      'several values of a namespace label are alternatives, and multiply',
      peer(null, selector({}, [where('a', 'In', '1', '2'), where('b', 'In', '3', '4')])),
      [
        ['1', '3'],
        ['1', '4'],
        ['2', '3'],
        ['2', '4'],
      ].map(
        ([a, b]) =>
          `-m set --match-set pods of namespaces labelled a=${a} src -m set --match-set pods of namespaces labelled b=${b} src`,
      ),
    ],
    [
      'a label named twice is one set',
      peer(selector({ app: 'web' }, [where('app', 'In', 'web')])),
      ['-m set --match-set pods labelled app=web src -m set --match-set pods of namespace x src'],
    ],
  ] as const) {
    const network = render(policy('x/p', selector(), { ingress: [rule([of])] }));
    t.strictSame(
      chain(network, 'INGRESS'),
      [...want.map((sets) => `-A C ${sets} -j ${MARK}`), DROP],
      name,
    );
  }
});

t.test('a named port is looked up at the destination, in both directions', async (t) => {
  const p = policy('x/p', selector(), {
    ingress: [rule([], [on('TCP', 'http')])],
    egress: [rule([peer(selector({ app: 'db' }))], [on('UDP', 'dns')])],
  });
  const network = render(p);
  t.strictSame(chain(network, 'INGRESS'), [
    `-A C -p tcp -m set --match-set container ports named http dst,dst -j ${MARK}`,
    DROP,
  ]);
  t.strictSame(chain(network, 'EGRESS'), [
    '-A C -p udp -m set --match-set pods labelled app=db dst -m set --match-set pods of namespace x dst -m set --match-set container ports named dns dst,dst -j AZURE-NPM-ACCEPT',
    '-A C -j MARK --set-xmark 0x800/0x800',
  ]);
  t.strictSame(comments(network, 'INGRESS')[0], 'ALLOW-ALL-ON-TCP-TO-namedport:http');
});

t.test('an ipBlock is a set of its own, exceptions are nomatch', async (t) => {
  for (const [cidr, except, want] of [
    ['10.1.0.0/16', ['10.1.2.0/24'], ['10.1.0.0/16', '10.1.2.0/24 nomatch']],
    ['0.0.0.0/0', [], ['0.0.0.0/1', '128.0.0.0/1']],
    ['0.0.0.0/0', ['10.0.0.0/8'], ['0.0.0.0/1', '128.0.0.0/1', '10.0.0.0/8 nomatch']],
    ['0.0.0.0/0', ['128.0.0.0/1'], ['0.0.0.0/1', '128.0.0.0/1 nomatch']],
    ['10.1.2.3/16', ['10.1.4.0/24', '10.1.4.0/24'], ['10.1.0.0/16', '10.1.4.0/24 nomatch']],
  ] as const) {
    const network = render(policy('x/p', selector(), { egress: [rule([block(cidr, ...except)])] }));
    const got = members(network, 'cidr-p:in-ns:x-0-0OUT')?.map((m) =>
      m.kind === 'net' ? `${formatPrefix(m.net)}${m.nomatch ? ' nomatch' : ''}` : m.kind,
    );
    t.strictSame(got, want, `${cidr} except ${except}`);
  }
});

t.test('an IPv6 ipBlock takes its whole policy out', async (t) => {
  const p = policy('x/p', selector(), {
    ingress: [rule([peer(selector({ app: 'web' })), block('fd00::/8')])],
  });
  const network = render(p);
  t.strictSame(chain(network, 'INGRESS'), [], 'nothing is enforced');
  t.strictSame(
    network.warnings?.map((w) => [w.code, w.field, w.found, w.line]),
    [['NPM_POLICY_REJECTED', 'spec.ingress[0].from[1].ipBlock.cidr', 'fd00::/8', 7]],
  );
  const older = render(p, ',version=1.4.41');
  t.equal(chain(older, 'INGRESS').length, 3, 'before 1.4.42 the other peer works');
  t.strictSame(
    older.warnings?.map((w) => w.code),
    ['NPM_IPV6_SKIPPED'],
  );
});

t.test('a rule without peers and ports allows the direction', async (t) => {
  const among = policy('x/p', selector(), { ingress: [rule([], [on('TCP', 80)]), rule([])] });
  t.strictSame(chain(render(among), 'INGRESS'), [`-A C -j ${MARK}`], 'and no drop follows');
  const older = render(among, ',version=1.5.16');
  t.strictSame(
    chain(older, 'INGRESS'),
    [`-A C -p tcp -m tcp --dport 80 -j ${MARK}`, DROP],
    'before 1.5.17 it counted only when alone',
  );
  t.strictSame(
    older.warnings?.map((w) => w.code),
    ['NPM_EMPTY_RULE_IGNORED'],
  );
  const denied = policy('x/p', selector(), { ingress: [] });
  t.strictSame(chain(render(denied), 'INGRESS'), [DROP], 'no rules at all deny');
});

t.test('NotIn on namespaces is a version’s bug', async (t) => {
  const of = (...values: string[]) =>
    policy('x/p', selector(), {
      egress: [rule([peer(null, selector({}, [where('ns', 'NotIn', ...values)]))])],
    });
  const set = (value: string) => `-m set ! --match-set pods of namespaces labelled ns=${value} dst`;
  const all = '-m set --match-set pods of all namespaces dst';
  const accept = '-j AZURE-NPM-ACCEPT';
  const drop = '-A C -j MARK --set-xmark 0x800/0x800';
  const now = render(of('a', 'b'));
  t.strictSame(
    chain(now, 'EGRESS'),
    [`-A C ${set('a')} ${set('b')} ${all} ${accept}`, drop],
    'main: none of the values, in any namespace',
  );
  t.equal(now.warnings, undefined);
  const then = render(of('a', 'b'), ',version=1.6.48');
  t.strictSame(
    chain(then, 'EGRESS'),
    [`-A C ${set('a')} ${accept}`, `-A C ${set('b')} ${accept}`, drop],
    '1.6.48: not a, or not b: anything',
  );
  t.strictSame(
    then.warnings?.map((w) => w.code),
    ['NPM_NOT_IN_ALLOWS_ALL', 'NPM_NEGATION_MATCHES_OUTSIDE'],
  );
  t.strictSame(
    chain(render(of('a'), ',version=1.6.48'), 'EGRESS'),
    [`-A C ${set('a')} ${accept}`, drop],
    '1.6.48: addresses outside the cluster are not in the set either',
  );
});

t.test('every rule says which part of which policy it is', async (t) => {
  const p = policy('x/p', selector({ pod: 'a' }), {
    ingress: [rule([peer(selector()), block('10.0.0.0/8')], [on('TCP', 80), on('TCP', 81)])],
    egress: [],
  });
  const plan = node(render(p));
  const filter = findTable(plan, 4, 'filter');
  const origins = (filter?.chains ?? []).flatMap((c) =>
    c.rules.flatMap((r) => (r.origin ?? []).map((o) => [c.name.slice(10, 17), o.effect, o.field])),
  );
  t.strictSame(
    origins,
    [
      ['INGRESS', 'select', 'spec.podSelector'],
      ['EGRESS', 'select', 'spec.podSelector'],
      ['INGRESS', 'allow', 'spec.ingress[0].from[0].ports[0]'],
      ['INGRESS', 'allow', 'spec.ingress[0].from[0].ports[1]'],
      ['INGRESS', 'allow', 'spec.ingress[0].from[1].ports[0]'],
      ['INGRESS', 'allow', 'spec.ingress[0].from[1].ports[1]'],
      ['INGRESS', 'isolate', 'spec.policyTypes'],
      ['EGRESS-', 'isolate', 'spec.policyTypes'],
    ].map(([c, ...rest]) => [c === 'EGRESS' ? 'EGRESS' : c, ...rest]),
  );
  const jump = findChain(filter, 'AZURE-NPM-INGRESS')?.rules[0]?.origin?.[0];
  t.strictSame(jump, {
    object: 'x/NetworkPolicy/p',
    direction: 'ingress',
    effect: 'select',
    field: 'spec.podSelector',
    source: 'test.yaml:7',
  });
});

t.test('without policies AZURE-NPM is there and empty', async (t) => {
  const filter = findTable(node(render([])), 4, 'filter');
  t.strictSame(findChain(filter, 'AZURE-NPM')?.rules, []);
  t.equal(findChain(filter, 'AZURE-NPM-INGRESS')?.rules.length, 1);
  t.equal(findChain(filter, 'AZURE-NPM-EGRESS')?.rules.length, 2);
  t.equal(findChain(filter, 'AZURE-NPM-ACCEPT')?.rules.length, 1);
});

t.test('IPv6 tables hold nothing of NPM', async (t) => {
  const plan = node(render(policy('x/p', selector(), { ingress: [] })));
  const chains = plan.tables.filter((table) => table.family === 6).flatMap((table) => table.chains);
  t.ok(chains.length > 0);
  t.strictSame(
    chains.filter((c) => c.name.startsWith('AZURE')),
    [],
  );
});
