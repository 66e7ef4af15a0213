/**
 * NetworkPolicies as Calico's rules and sets, read as a person would check them by hand against
 * felix/rules/policy.go, felix/rules/endpoints.go and libcalico-go's conversion.
 * @module
 */
import t from 'tap';
import { workloadInterface } from '../../../src/dataplane/calico/names.ts';
import { RELEASES } from '../../../src/dataplane/calico/release.ts';
import { calico } from '../../../src/dataplane/calico/render.ts';
import { UserError } from '../../../src/diagnostic/diagnostic.ts';
import type { IpSet } from '../../../src/netfilter/ip-set.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import { findChain, findTable, type Plan } from '../../../src/plan/model.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import {
  chain,
  cluster,
  from,
  labels,
  namingNetwork,
  pod,
  policy,
  port,
  render,
  rule,
  stack,
} from './cluster.ts';

const web = pod('shop', 'web', {
  labels: { app: 'web' },
  ip: '10.224.0.10,fd00::10',
  ports: [
    { name: 'http', protocol: 'TCP', containerPort: 8080, init: false },
    { name: 'dns', protocol: 'UDP', containerPort: 53, init: false },
  ],
});
/** sha1("shop.web"). */
const WEB = namingNetwork('azv').hostDevice(web, stack());
const db = pod('shop', 'db', { labels: { app: 'db' }, ip: '10.224.0.11' });
const far = pod('team', 'far', { labels: { app: 'web' }, ip: '10.224.1.9', node: 'node-b' });

function withRules(more: Parameters<typeof policy>[2], options = {}): Plan {
  return render({
    cluster: cluster([web, db, far], { team: { tier: 'gold' } }),
    policies: [policy('shop', 'p', { podSelector: labels({ app: 'web' }), ...more })],
    options,
  });
}

/** The chain that a policy of namespace shop called `p` has in 3.30. */
function policyRules(plan: Plan, prefix: string): string[] {
  const names = findTable(plan, 4, 'filter')?.chains.map((c) => c.name) ?? [];
  return names.filter((n) => n.startsWith(prefix)).flatMap((n) => chain(plan, n));
}

function members(set: IpSet | undefined): string[] {
  return (set?.members ?? []).map((m) => {
    if (m.kind === 'net') return formatAddress(m.net.address);
    if (m.kind === 'ip,port') return `${formatAddress(m.address)},${m.protocol}:${m.port}`;
    return m.kind === 'ip' ? formatAddress(m.address) : m.kind;
  });
}

t.test('a pod without policy is left to its profiles, both ways', async (t) => {
  const plan = render({ cluster: cluster([web]) });
  const [, , ...rest] = chain(plan, `cali-tw-${WEB}`);
  t.same(rest, [
    '-j MARK --set-xmark 0x0/0x30000',
    '-j cali-pri-kns.shop',
    '-m mark --mark 0x10000/0x10000 -j RETURN',
    '-j cali-pri-ksa.shop.default',
    '-m mark --mark 0x10000/0x10000 -j RETURN',
    '-j DROP',
  ]);
  t.same(chain(plan, 'cali-pri-kns.shop'), ['-j MARK --set-xmark 0x10000/0x10000']);
  t.same(chain(plan, 'cali-pri-ksa.shop.default'), [''], 'a label-only profile decides nothing');
});

t.test('a policy for ingress leaves egress to the profiles', async (t) => {
  const plan = withRules({ ingress: [] });
  t.ok(chain(plan, `cali-tw-${WEB}`).some((line) => line.includes('cali-pi-')));
  t.notOk(chain(plan, `cali-fw-${WEB}`).some((line) => line.includes('cali-po-')));
  t.same(policyRules(plan, 'cali-pi-'), [''], 'no rule: the chain only says whose it is');
  t.same(policyRules(plan, 'cali-po-'), [], 'what nothing refers to is not written');
});

t.test('ports of one protocol are merged, sorted, and cut at 15 slots', async (t) => {
  const many = Array.from({ length: 16 }, (_, i) => port(1000 + 2 * i));
  const plan = withRules({ ingress: [rule([], [...many, port(81), port(80)])] });
  t.same(policyRules(plan, 'cali-pi-'), [
    '-j MARK --set-xmark 0x0/0x180000',
    `-p tcp -m multiport --dports 80:81,${list(1000, 13)} -j MARK --set-xmark 0x80000/0x80000`,
    '-p tcp -m multiport --dports 1026,1028,1030 -j MARK --set-xmark 0x80000/0x80000',
    '-p tcp -m mark --mark 0x80000/0x80000 -j MARK --set-xmark 0x10000/0x10000',
  ]);
});

const list = (low: number, count: number) =>
  Array.from({ length: count }, (_, i) => low + 2 * i).join(',');

t.test('a rule becomes one per protocol and peer, protocols in order', async (t) => {
  const peers = [from({ pods: labels({ app: 'db' }) }), from({ cidr: '192.0.2.7/24' })];
  const ports = [port(null, { protocol: 'UDP' }), port(443), port(53, { protocol: 'UDP' })];
  const plan = withRules({ ingress: [rule(peers, ports)] });
  const made = policyRules(plan, 'cali-pi-').filter((line) => !line.endsWith('RETURN'));
  t.match(made, [
    /^-p tcp -m set --match-set cali40s:\S+ src -m multiport --dports 443 -j MARK/,
    /^-s 192\.0\.2\.0\/24 -p tcp -m multiport --dports 443 -j MARK/,
    /^-p udp -m set --match-set cali40s:\S+ src -j MARK/,
    /^-s 192\.0\.2\.0\/24 -p udp -j MARK/,
  ]);
  t.equal(made.length, 4, 'UDP 53 is lost in all of UDP');
});

t.test('exceptions of an ipBlock clear the scratch bit', async (t) => {
  const block = from({ cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.2.0.0/16'] });
  const plan = withRules({ egress: [rule([block])], policyTypes: ['Egress'] });
  t.same(policyRules(plan, 'cali-po-'), [
    '-j MARK --set-xmark 0x80000/0x180000',
    '-d 10.1.0.0/16 -j MARK --set-xmark 0x0/0x80000',
    '-d 10.2.0.0/16 -j MARK --set-xmark 0x0/0x80000',
    '-d 10.0.0.0/8 -m mark --mark 0x80000/0x80000 -j MARK --set-xmark 0x10000/0x10000',
  ]);
  const names = findTable(plan, 6, 'filter')?.chains.map((c) => c.name) ?? [];
  const v6 = names.filter((n) => n.startsWith('cali-po-')).flatMap((n) => chain(plan, n, 6));
  t.same(v6, [''], 'an IPv4 block allows no IPv6');
});

t.test('a named port is a set of who has it; numbers beside it need a block', async (t) => {
  const plan = withRules({ ingress: [rule([], [port('http'), port(80)])] });
  const made = policyRules(plan, 'cali-pi-');
  t.match(made[1] ?? '', /^-p tcp -m multiport --dports 80 -j MARK --set-xmark 0x80000/);
  t.match(made[2] ?? '', /^-m set --match-set cali40n:\S+ dst,dst -j MARK --set-xmark 0x80000/);
  const set = plan.ipsets.find((s) => s.name.startsWith('cali40n:'));
  t.equal(set?.type, 'hash:ip,port');
  t.same(members(set), ['10.224.0.10,6:8080']);
  t.equal(set?.describes, 'TCP port named http of all pods');
});

t.test("an egress named port is looked up among the peer's pods only", async (t) => {
  const peer = from({ pods: labels({}), namespaces: labels({ tier: 'gold' }) });
  const plan = withRules({ egress: [rule([peer], [port('http')])], policyTypes: ['Egress'] });
  t.match(policyRules(plan, 'cali-po-'), [
    /^-p tcp -m set --match-set cali40n:\S+ dst,dst -j MARK --set-xmark 0x10000/,
  ]);
  const set = plan.ipsets.find((s) => s.name.startsWith('cali40n:'));
  t.same(members(set), [], 'the gold namespace has no pod with such a port');
  t.notOk(
    plan.ipsets.some((s) => s.name.startsWith('cali40s:')),
    'and no set of its addresses',
  );
});

t.test('peers are sets of addresses, both families, in words', async (t) => {
  const rows = [
    { peer: from({ pods: labels({ app: 'web' }) }), v4: ['10.224.0.10'], v6: ['fd00::10'] },
    { peer: from({ namespaces: labels({ tier: 'gold' }) }), v4: ['10.224.1.9'], v6: [] },
    {
      peer: from({ namespaces: labels({}) }),
      v4: ['10.224.0.10', '10.224.0.11', '10.224.1.9'],
      v6: ['fd00::10'],
    },
    {
      peer: from({
        namespaces: {
          matchLabels: {},
          matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['gold'] }],
        },
        pods: {
          matchLabels: {},
          matchExpressions: [{ key: 'app', operator: 'Exists', values: [] }],
        },
      }),
      v4: ['10.224.0.10', '10.224.0.11'],
      v6: ['fd00::10'],
    },
  ];
  for (const { peer, v4, v6 } of rows) {
    const plan = withRules({ ingress: [rule([peer])] });
    const sets = plan.ipsets.filter((s) => s.name.includes('s:'));
    t.same(members(sets.find((s) => s.family === 4)).sort(), v4);
    t.same(members(sets.find((s) => s.family === 6)), v6);
    t.match(sets[0]?.describes ?? '', /pods/);
  }
});

t.test('every rule says where it comes from', async (t) => {
  const plan = render({
    cluster: cluster([web, db]),
    policies: [
      policy('shop', 'b', { ingress: [rule([from({ pods: labels({}), line: 31 })])] }),
      policy('shop', 'a', { podSelector: labels({ app: 'web' }) }),
      policy('shop', 'c', { podSelector: labels({ app: 'db' }) }),
    ],
  });
  const filter = findTable(plan, 4, 'filter');
  const all = plan.tables.flatMap((table) => table.chains.flatMap((c) => c.rules));
  const unowned = all.filter((r) => (r.origin ?? []).length === 0);
  t.ok(
    unowned.every((r) => r.matches.some((m) => m.kind === 'mark' && m.value === 0x10000)),
    'except those that act on the accept bit: who set it is the one to name',
  );
  const end = findChain(filter, `cali-tw-${WEB}`)?.rules.find((r) =>
    r.matches.some((m) => m.kind === 'comment' && m.text.startsWith('End of tier')),
  );
  t.same(
    end?.origin?.map((o) => [o.object, o.direction, o.effect, o.source]),
    [
      ['shop/NetworkPolicy/a', 'ingress', 'isolate', 'policies.yaml:3'],
      ['shop/NetworkPolicy/b', 'ingress', 'isolate', 'policies.yaml:3'],
    ],
    'the drop names all policies that select the pod, not those of others',
  );
  const allow = all.find((r) => r.origin?.[0]?.effect === 'allow');
  t.same(allow?.origin, [
    {
      object: 'shop/NetworkPolicy/b',
      direction: 'ingress',
      effect: 'allow',
      field: 'spec.ingress[0].from[0]',
      source: 'policies.yaml:31',
    },
  ]);
});

t.test('policies with one selector in a row share a group, with a stop every five', async (t) => {
  const policies = Array.from({ length: 6 }, (_, i) => policy('shop', `p${i}`));
  const input = { cluster: cluster([web]), policies };
  const plan = render(input);
  const groups = findTable(plan, 4, 'filter')?.chains.filter((c) => c.name.startsWith('cali-gi-'));
  t.equal(groups?.length, 1);
  const made = chain(plan, groups?.[0]?.name ?? '');
  t.equal(made.length, 7);
  t.match(made[0] ?? '', /^-j cali-pi-/);
  t.match(made[1] ?? '', /^-m mark --mark 0x0\/0x30000 -j cali-pi-/);
  t.equal(made[5], '-m mark ! --mark 0x0/0x30000 -j RETURN');
  const old = render({ ...input, options: { version: '3.26' } });
  const names = findTable(old, 4, 'filter')?.chains.map((c) => c.name) ?? [];
  t.notOk(
    names.some((n) => n.startsWith('cali-gi-')),
    'Calico 3.26 had none',
  );
});

t.test('releases differ in marks, names and tier rules, as their sources say', async (t) => {
  const rows: Record<string, { clear: string; end: string; policy: RegExp; forward: string }> = {
    '3.26': {
      clear: '0x10000',
      end: 'Drop if',
      policy: /^cali-pi-shop\/knp.default.p$/,
      forward: '0xe0000',
    },
    '3.28': {
      clear: '0x30000',
      end: 'Drop if',
      policy: /^cali-pi-shop\/knp.default.p$/,
      forward: '0xe0000',
    },
    '3.29': { clear: '0x30000', end: 'Drop if', policy: /^cali-pi-_.{19}$/, forward: '0xe0000' },
    '3.30': {
      clear: '0x30000',
      end: 'End of tier default. Drop',
      policy: /^cali-pi-_.{19}$/,
      forward: '0x1a0000',
    },
    '3.31': {
      clear: '0x30000',
      end: 'End of tier default. Drop',
      policy: /^cali-pi-_.{19}$/,
      forward: '0x1a0000',
    },
    '3.32': {
      clear: '0x30000',
      end: 'End of tier default. Drop',
      policy: /^cali-pi-knp\/shop\/p$/,
      forward: '0x1a0000',
    },
  };
  t.same(
    Object.keys(rows),
    RELEASES.map((r) => r.name),
  );
  for (const [version, row] of Object.entries(rows)) {
    const plan = withRules({ ingress: [] }, { version });
    const filter = findTable(plan, 4, 'filter');
    const endpoint = chain(plan, `cali-tw-${WEB}`);
    t.equal(endpoint[2], `-j MARK --set-xmark 0x0/${row.clear}`, version);
    t.ok(
      filter?.chains.some((c) => row.policy.test(c.name)),
      version,
    );
    t.equal(chain(plan, 'cali-FORWARD')[0], `-j MARK --set-xmark 0x0/${row.forward}`, version);
    const comments = filter?.chains.flatMap((c) => c.rules.flatMap((r) => r.matches)) ?? [];
    t.ok(
      comments.some((m) => m.kind === 'comment' && m.text.startsWith(row.end)),
      version,
    );
  }
});

t.test('many pods are found by the first character in which they differ', async (t) => {
  const pods = Array.from({ length: 40 }, (_, i) =>
    pod('shop', `p${i}`, { ip: `10.224.0.${i + 20}` }),
  );
  const plan = render({ cluster: cluster(pods) });
  const root = chain(plan, 'cali-to-wl-dispatch');
  t.equal(root.at(-1), '-j DROP');
  for (const p of pods) {
    const device = namingNetwork('azv').hostDevice(p, stack());
    const bin = `cali-to-wl-dispatch-${device[3]}`;
    const leaf = `-o ${device} -g cali-tw-${device}`;
    t.ok(root.includes(leaf) || root.includes(`-o azv${device[3]}+ -g ${bin}`), device);
    t.ok(root.includes(leaf) || chain(plan, bin).includes(leaf), device);
    if (!root.includes(leaf)) t.equal(chain(plan, bin).at(-1), '-j DROP', 'a bin never returns');
  }
});

t.test('pods on the host network, without address or ended have no endpoint', async (t) => {
  const plan = render({
    cluster: cluster([
      pod('shop', 'host', { hostNetwork: true, ip: '10.224.0.4' }),
      pod('shop', 'early', { phase: 'Pending' }),
      pod('shop', 'done', { phase: 'Succeeded', ip: '10.224.0.12' }),
      pod('shop', 'starting', { phase: 'Pending', ip: '10.224.0.13' }),
    ]),
  });
  t.equal(chain(plan, 'cali-to-wl-dispatch').length, 2, 'one pod and the drop');
});

t.test('options decide what happens to allowed packets and to those for the node', async (t) => {
  const input = { cluster: cluster([web]) };
  const plan = render({
    ...input,
    options: { filterAllowAction: 'Return', defaultEndpointToHostAction: 'Drop' },
  });
  t.equal(chain(plan, 'cali-wl-to-host')[1], '-j DROP');
  t.same(chain(plan, `cali-tw-${WEB}`).slice(0, 2), [
    '-m conntrack --ctstate RELATED,ESTABLISHED -j MARK --set-xmark 0x10000/0x10000',
    '-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN',
  ]);
  t.equal(chain(plan, 'FORWARD')[1], '-m mark --mark 0x10000/0x10000 -j RETURN');
  t.match(chain(plan, 'cali-wl-to-host', 6)[0] ?? '', /icmp6 --icmpv6-type 130 -j RETURN/);
});

t.test('what Calico would not see or not read is refused or said', async (t) => {
  const whole = { cluster: cluster([web]), policies: [], stack: stack() };
  const builder = new PlanBuilder('node-a', 'node');
  const node = whole.cluster.nodes[0]!;
  const refused = () => calico.node(whole, node, namingNetwork('cali'), builder);
  t.throws(refused, UserError, 'interfaces that Felix does not know');
  const bad = { ...whole, stack: stack({ version: '2.6', filterAllowAction: 'Maybe' }) };
  try {
    calico.node(bad, node, namingNetwork('azv'), builder);
    t.fail('unknown values are refused');
  } catch (error) {
    t.equal(error instanceof UserError && error.diagnostics.length, 2, 'all at once');
  }
  const range = policy('shop', 'p', { ingress: [rule([], [port('http', { endPort: 99 })])] });
  const warnings = calico.warnings?.({ ...whole, policies: [range] }) ?? [];
  t.same(
    warnings.map((w) => [w.code, w.field]),
    [['CALICO_RULE_DROPPED', 'spec.ingress[0]']],
  );
});

t.test('pods of two real AKS nodes have the interfaces that Calico expects', async (t) => {
  const rows = [
    ['cali', 'calico-system', 'calico-kube-controllers-97794b47f-7wwq9', 'cali55f439ddb0e'],
    ['cali', 'kube-system', 'coredns-autoscaler-85f7d6b75d-cfg24', 'cali26cecacb712'],
    ['cali', 'kube-system', 'metrics-server-555d76c778-5zsr9', 'calic5a1f1aa0ed'],
    ['cali', 'kube-system', 'metrics-server-555d76c778-wcrhh', 'cali112d888c0c2'],
    ['azv', 'demo', 'server', 'azve0cf0fbcf9f'],
    ['azv', 'demo', 'client', 'azv0e8ee4fc632'],
  ] as const;
  for (const [prefix, namespace, name, device] of rows) {
    t.equal(workloadInterface(prefix, namespace, name), device);
  }
});
