import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { lower } from '../../src/lowering/link.ts';
import type { TableName } from '../../src/netfilter/hook.ts';
import type { Match } from '../../src/netfilter/match.ts';
import type { PlanBuilder, RuleParts } from '../../src/plan/builder.ts';
import type { Plan } from '../../src/plan/model.ts';
import { address } from '../support/packets.ts';
import { iface, prefix, routerPlan } from '../support/walks.ts';
import { RULES } from './legality.ts';

/** The codes of all mistakes, sorted; empty when the plan lowers. */
function mistakes(plan: Plan): readonly string[] {
  try {
    lower(plan);
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map((d) => d.code).sort();
  }
}

function withRule(
  table: TableName,
  chain: string,
  rule: RuleParts,
  family: 4 | 6 = 4,
): PlanBuilder {
  const builder = routerPlan();
  builder.append(family, table, chain, rule);
  return builder;
}

const RANGE = { random: false, randomFully: false, persistent: false };

t.test('a rule that the kernel would refuse where it stands is refused', async (t) => {
  for (const { name, table, chain, rule, faults } of RULES) {
    t.same(mistakes(withRule(table, chain, rule).build()), faults, name);
  }
});

t.test('what a user chain may do follows from the hooks that reach it', async (t) => {
  const builder = routerPlan();
  const reject = { target: { kind: 'reject', with: 'icmp-port-unreachable' } } as const;
  builder.append(4, 'nat', 'masq', { target: { kind: 'masquerade', range: RANGE } });
  builder.append(4, 'filter', 'refuse', reject);
  t.same(mistakes(builder.build()), [], 'reached by nothing');
  builder.append(4, 'nat', 'middle', { target: { kind: 'goto', chain: 'masq' } });
  builder.append(4, 'nat', 'POSTROUTING', { target: { kind: 'jump', chain: 'middle' } });
  t.same(mistakes(builder.build()), []);
  builder.append(4, 'nat', 'PREROUTING', { target: { kind: 'jump', chain: 'middle' } });
  t.same(mistakes(builder.build()), ['PLAN_TARGET_HOOK']);
});

t.test('chains that jump in a circle are refused', async (t) => {
  const builder = routerPlan();
  builder.append(4, 'filter', 'a', { target: { kind: 'jump', chain: 'b' } });
  builder.append(4, 'filter', 'b', { target: { kind: 'goto', chain: 'a' } });
  t.same(mistakes(builder.build()), ['PLAN_CHAIN_LOOP']);
});

t.test('sets that ipset would refuse are refused', async (t) => {
  const builder = routerPlan();
  const base = { maxElements: 2, family: 4 } as const;
  const ip = (text: string) => ({ kind: 'ip', address: address(text) }) as const;
  const net = (text: string, nomatch = false) =>
    ({ kind: 'net', net: prefix(text), nomatch }) as const;
  builder.ipsets.push(
    { ...base, name: 'fine', type: 'hash:ip', members: [ip('10.0.0.1'), ip('10.0.0.1')] },
    { ...base, name: 'zero', type: 'hash:ip', members: [ip('0.0.0.0')] },
    { ...base, name: 'all', type: 'hash:net', members: [net('0.0.0.0/0')] },
    {
      ...base,
      name: 'both',
      type: 'hash:net',
      members: [net('10.0.0.0/8'), net('10.1.0.0/8', true)],
    },
    { ...base, name: 'full', type: 'hash:ip', members: ['1.1.1.1', '1.1.1.2', '1.1.1.3'].map(ip) },
    { ...base, name: 'mixed', type: 'hash:ip', members: [ip('fd00::1'), net('10.0.0.0/8')] },
    { name: 'list', type: 'list:set', maxElements: 8, members: [{ kind: 'set', set: 'gone' }] },
    { name: 'lists', type: 'list:set', maxElements: 8, members: [{ kind: 'set', set: 'list' }] },
    { name: 'bare', type: 'hash:ip', maxElements: 2, members: [] },
  );
  t.same(mistakes(builder.build()), [
    'PLAN_SET_FAMILY',
    'PLAN_SET_FULL',
    'PLAN_SET_LOOP',
    'PLAN_SET_MEMBER',
    'PLAN_SET_MEMBER',
    'PLAN_SET_MEMBER',
    'PLAN_SET_MEMBER',
    'PLAN_SET_MEMBER_FAMILY',
    'PLAN_SET_MISSING',
  ]);
});

t.test('a set match is of the family of its set; too few dimensions never match', async (t) => {
  const builder = routerPlan();
  builder.ipsets.push(
    { name: 'port', type: 'hash:ip,port', family: 4, maxElements: 9, members: [] },
    { name: 'six', type: 'hash:ip', family: 6, maxElements: 9, members: [] },
  );
  const match = (set: string, directions: ('src' | 'dst')[]) =>
    ({ matches: [{ kind: 'set', set, directions, negate: false }] }) as const;
  builder.append(4, 'filter', 'INPUT', match('port', ['src', 'dst']));
  t.same(mistakes(builder.build()), []);
  builder.append(4, 'filter', 'INPUT', match('port', ['src']), match('six', ['src']));
  t.same(mistakes(builder.build()), ['PLAN_SET_FAMILY']);
});

t.test('names that lead nowhere are refused, all of them at once', async (t) => {
  const builder = routerPlan();
  const to = prefix('10.9.0.0/24');
  const route = { family: 4, destination: to, table: 254, metric: 0, scope: 'global' } as const;
  builder.interfaces.push(iface('eth0', []), iface('port', [], { master: 'br0' }));
  builder.interfaces.push(iface('a-name-far-too-long', [], { mac: 'AA:BB:CC:DD:EE:FF' }));
  builder.routes.push({ ...route, type: 'unicast' }, { ...route, type: 'unicast', device: 'gone' });
  builder.routes.push({ ...route, type: 'blackhole' });
  const mac = '02:00:00:00:00:01';
  builder.neighbors.push({ address: address('10.1.0.9'), device: 'gone', mac, state: 'permanent' });
  builder.fdb.push({ mac, bridge: 'br0', port: 'port', kind: 'static' });
  t.same(mistakes(builder.build()), [
    'PLAN_DEVICE_MAC',
    'PLAN_DEVICE_MASTER',
    'PLAN_DEVICE_NAME',
    'PLAN_DEVICE_TWICE',
    'PLAN_FDB_BRIDGE',
    'PLAN_NEIGHBOR_DEVICE',
    'PLAN_ROUTE_DEVICE',
    'PLAN_ROUTE_DEVICE',
  ]);
});

t.test(
  'a mistake names host, table, chain and rule, and the line of the dump it was read from',
  async (t) => {
    const builder = routerPlan();
    builder.append(4, 'filter', 'INPUT', { matches: [{ kind: 'tcp' }] });
    const plan = builder.build();
    const [table] = plan.tables;
    const chains = table!.chains.map((c) => ({
      ...c,
      rules: c.rules.map((r) => ({ ...r, place: 'node.rules:12' })),
    }));
    t.throws(() => lower({ ...plan, tables: [{ ...table!, chains }] }), {
      message:
        'node.rules:12: router iptables filter/INPUT rule 1: match tcp needs its protocol ' +
        '(accepted: -p tcp) [PLAN_MATCH_PROTOCOL]',
    });
  },
);

t.test('connections are tracked where a rule asks for it, of that family only', async (t) => {
  const state: Match = { kind: 'conntrack', states: ['NEW'], negate: false };
  for (const [name, table, chain, rule, want] of [
    ['no rule', 'filter', 'INPUT', {}, false],
    ['ctstate', 'filter', 'INPUT', { matches: [state] }, true],
    ['ctstate in a chain that nothing reaches', 'filter', 'lost', { matches: [state] }, true],
    [
      'a nat table without translations',
      'nat',
      'PREROUTING',
      { target: { kind: 'accept' } },
      false,
    ],
    ['MASQUERADE', 'nat', 'POSTROUTING', { target: { kind: 'masquerade', range: RANGE } }, true],
    ['NOTRACK', 'raw', 'PREROUTING', { target: { kind: 'notrack' } }, false],
  ] as const) {
    const image = lower(withRule(table, chain, rule as RuleParts).build());
    t.equal(image.conntrackActive(4), want, name);
    t.equal(image.defragActive(4), want, name);
    t.equal(image.conntrackActive(6), false, name);
  }
});

t.test('the image says rules and their parts as iptables-save would', async (t) => {
  const builder = routerPlan();
  builder.append(4, 'filter', 'FORWARD', {
    ip: {
      source: { value: prefix('10.1.0.0/24'), negate: true },
      protocol: { value: 6, negate: false },
    },
    matches: [{ kind: 'tcp', dport: { value: { low: 80, high: 80 }, negate: false } }],
    target: { kind: 'drop' },
  });
  const { texts, program } = lower(builder.build());
  const [rule] = program.rules;
  t.same(rule?.address, { family: 4, table: 'filter', chain: 'FORWARD', index: 1 });
  t.equal(texts.rule(0), '-A FORWARD ! -s 10.1.0.0/24 -p tcp -m tcp --dport 80 -j DROP');
  t.equal(texts.part(0, 'source'), '! -s 10.1.0.0/24');
  t.equal(texts.part(0, 0), '-m tcp --dport 80');
  t.equal(texts.target(0), 'DROP');
});

t.test('bridges know their ports, forwarding entries and neighbours are found', async (t) => {
  const builder = routerPlan();
  builder.interfaces.push(
    iface('br0', ['10.5.0.1/24'], { kind: 'bridge' }),
    iface('p1', [], { master: 'br0', hairpin: true }),
    iface('p2', [], { master: 'br0' }),
  );
  const mac = '02:00:00:00:05:01';
  builder.fdb.push({ mac, bridge: 'br0', port: 'p1', kind: 'static' });
  builder.neighbors.push({ address: address('10.5.0.9'), device: 'br0', mac, state: 'permanent' });
  const image = lower(builder.build());
  t.same(image.bridges.get('br0')?.ports, ['p1', 'p2']);
  t.equal(image.interfaces.get('p1')?.hairpin, true);
  t.equal(image.fdb.get('br0')?.get(mac)?.port, 'p1');
  t.equal(image.neighbor('br0', address('10.5.0.9'))?.mac, mac);
  t.equal(image.neighbor('eth0', address('10.5.0.9')), null);
});
