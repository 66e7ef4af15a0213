import t from 'tap';
import type { Provenance } from '../../src/netfilter/rule.ts';
import { runHook, runTable } from '../../src/node/hook/walk.ts';
import type { RuleParts } from '../../src/plan/builder.ts';
import { tcp, udp } from '../support/packets.ts';
import { counted, prefix, routerPlan, walkContext } from '../support/walks.ts';

const NO = { ip: { source: { value: prefix('9.9.9.9/32'), negate: false } } };

/** A router whose filter chains are these. */
function host(chains: Readonly<Record<string, readonly RuleParts[]>>) {
  const builder = routerPlan();
  for (const [chain, rules] of Object.entries(chains)) builder.append(4, 'filter', chain, ...rules);
  return walkContext(builder.build());
}

function forward(ctx: ReturnType<typeof walkContext>, packet = udp().parsed()) {
  packet.inDevice = 'eth0';
  packet.outDevice = 'eth1';
  return runTable(ctx, 'filter', 'forward', packet);
}

const at = (chain: string, index: number) => ({ table: 'filter', chain, index });

t.test('return and the end of a chain go back to behind the jump', async (t) => {
  const ctx = host({
    FORWARD: [{ target: { kind: 'jump', chain: 'a' } }, {}, { target: { kind: 'drop' } }],
    a: [{ target: { kind: 'jump', chain: 'b' } }, { target: { kind: 'return' } }, {}],
    b: [{}],
  });
  const verdict = forward(ctx);
  t.match(verdict, { kind: 'drop', reason: 'ruleDenied', rule: { address: at('FORWARD', 3) } });
  t.equal(counted(ctx, at('b', 1)), 1);
  t.equal(counted(ctx, at('a', 2)), 1);
  t.equal(counted(ctx, at('a', 3)), 0, 'behind the return');
  t.equal(counted(ctx, at('FORWARD', 2)), 1);
});

t.test(
  'a chain entered by goto returns to behind the last jump, not to behind the goto',
  async (t) => {
    const ctx = host({
      FORWARD: [{ target: { kind: 'jump', chain: 'a' } }, { target: { kind: 'accept' } }],
      a: [{ target: { kind: 'goto', chain: 'b' } }, { target: { kind: 'drop' } }],
      b: [{}],
    });
    t.match(forward(ctx), { kind: 'accept', rule: { address: at('FORWARD', 2) } });
    t.equal(counted(ctx, at('a', 2)), 0);
  },
);

t.test('a goto out of a built-in chain ends in its policy', async (t) => {
  const builder = routerPlan();
  builder.append(4, 'filter', 'FORWARD', { target: { kind: 'goto', chain: 'b' } }, {});
  builder.append(4, 'filter', 'b', { target: { kind: 'return' } });
  const plan = builder.build();
  const tables = plan.tables.map((table) => ({
    ...table,
    chains: table.chains.map((c) => (c.name === 'FORWARD' ? { ...c, policy: 'DROP' as const } : c)),
  }));
  const ctx = walkContext({ ...plan, tables });
  t.match(forward(ctx), { kind: 'drop', reason: 'chainPolicy', rule: null, origin: [] });
  const chain = ctx.image.program.table(4, 'filter')?.chains.get('FORWARD');
  t.same(ctx.counters.policy(chain!), { packets: 1, bytes: 28 });
});

t.test('rules count the bytes of the IP packet, without link header and padding', async (t) => {
  const ctx = host({ FORWARD: [{}] });
  const packet = udp().payload(10).parsed();
  packet.bytes = Uint8Array.of(...packet.bytes, 0, 0, 0, 0);
  packet.wireLength += 4;
  forward(ctx, packet);
  const [rule] = ctx.image.program.rules;
  t.equal(ctx.counters.bytes(rule!), 38);
});

t.test('a table the host does not have accepts', async (t) => {
  const ctx = host({});
  t.match(runTable(ctx, 'mangle', 'forward', udp().parsed()), { kind: 'accept', rule: null });
});

t.test('a hook runs its tables in order and stops at the first refusal', async (t) => {
  const builder = routerPlan();
  builder.append(4, 'mangle', 'FORWARD', { target: { kind: 'mark', value: 1, mask: 1 } });
  builder.append(4, 'filter', 'FORWARD', {
    matches: [{ kind: 'mark', value: 1, mask: 1, negate: false }],
    target: { kind: 'reject', with: 'icmp-port-unreachable' },
  });
  builder.append(4, 'security', 'FORWARD', {});
  const ctx = walkContext(builder.build());
  const verdict = runHook(ctx, 'forward', udp().parsed());
  t.match(verdict, { kind: 'reject', with: 'icmp-port-unreachable', reason: 'rejected' });
  t.equal(counted(ctx, { table: 'security', chain: 'FORWARD', index: 1 }), 0);
});

const policy = (name: string, effect: Provenance['effect'] = 'isolate'): Provenance => ({
  object: `shop/NetworkPolicy/${name}`,
  effect,
});

const testMark = (bits: number) => ({
  matches: [{ kind: 'mark', value: bits, mask: bits, negate: false } as const],
});

t.test('a drop by mark names the policies whose rules set the mark, in order, once', async (t) => {
  const isolate = (name: string, value: number): RuleParts => ({
    target: { kind: 'mark', value, mask: value },
    origin: [policy(name)],
  });
  const ctx = host({
    FORWARD: [
      isolate('first', 0x400),
      isolate('second', 0x400),
      isolate('first', 0x400),
      isolate('other', 0x800),
      { ...testMark(0x400), target: { kind: 'drop' } },
    ],
  });
  const verdict = forward(ctx);
  t.match(verdict, { kind: 'drop', reason: 'policyDenied' });
  t.same(verdict.origin, [policy('first'), policy('second')]);
});

t.test('a mark that was cleared and set again belongs to who set it last', async (t) => {
  const ctx = host({
    FORWARD: [
      { target: { kind: 'mark', value: 1, mask: 1 }, origin: [policy('old')] },
      { target: { kind: 'mark', value: 0, mask: 0xffffffff } },
      { target: { kind: 'mark', value: 1, mask: 1 }, origin: [policy('new')] },
      { ...testMark(1), target: { kind: 'drop' } },
    ],
  });
  t.same(forward(ctx).origin, [policy('new')]);
});

t.test('a verdict in a shared chain belongs to the jump that led there', async (t) => {
  const allow = policy('web', 'allow');
  const ctx = host({
    FORWARD: [
      { target: { kind: 'jump', chain: 'mark-it' }, origin: [allow] },
      { ...testMark(0x200), target: { kind: 'jump', chain: 'yes' } },
    ],
    'mark-it': [{ target: { kind: 'mark', value: 0x200, mask: 0x200 } }],
    yes: [{ target: { kind: 'accept' } }],
  });
  t.match(forward(ctx), { kind: 'accept', rule: { address: at('yes', 1) }, origin: [allow] });
});

t.test('a drop of INVALID packets says so, unless a policy asked for it', async (t) => {
  const invalid = { matches: [{ kind: 'conntrack', states: ['INVALID'], negate: false } as const] };
  const drop = { ...invalid, target: { kind: 'drop' } as const };
  const packet = udp().parsed();
  packet.ctState = 'invalid';
  t.match(forward(host({ FORWARD: [drop] }), packet), { reason: 'ctInvalid' });
  const owned = host({ FORWARD: [{ ...drop, origin: [policy('p')] }] });
  t.match(forward(owned, packet), { reason: 'policyDenied' });
});

t.test(
  'what no packet answers leaves the verdict unknown, where it would have decided',
  async (t) => {
    const owner = { kind: 'owner', uid: { value: { low: 0, high: 0 }, negate: false } } as const;
    const dropOwned = { matches: [owner], target: { kind: 'drop' } } as const;
    const make = (...rules: RuleParts[]) => {
      const builder = routerPlan();
      builder.append(4, 'filter', 'OUTPUT', ...rules);
      return walkContext(builder.build());
    };
    const run = (ctx: ReturnType<typeof walkContext>) =>
      runTable(ctx, 'filter', 'output', udp().parsed());
    t.match(run(make(dropOwned)), { kind: 'unknown', reason: 'unsupportedRule', part: 0 });
    t.match(run(make({ ...dropOwned, ...NO })), { kind: 'accept' }, 'the head misses');
    const tcpOnly = { kind: 'mark', value: 7, mask: 7, negate: false } as const;
    t.match(
      run(make({ ...dropOwned, matches: [owner, tcpOnly] })),
      { kind: 'accept' },
      'a later match misses',
    );
    t.match(run(make({ matches: [owner] })), { kind: 'accept' }, 'a rule that only counts');
  },
);

t.test(
  'a header that the capture cut is unknown, one that is truly short is dropped',
  async (t) => {
    const port = { low: 80, high: 80 };
    const rule: RuleParts = {
      ip: { protocol: { value: 6, negate: false } },
      matches: [{ kind: 'tcp', dport: { value: port, negate: false } }],
      target: { kind: 'accept' },
    };
    const cut = tcp().parsed();
    cut.bytes = cut.bytes.slice(0, 14 + 20 + 8);
    t.match(forward(host({ FORWARD: [rule] }), cut), {
      kind: 'unknown',
      reason: 'headerCut',
      part: 0,
    });
    const short = tcp().fragment(0, true, 8).parsed();
    const verdict = forward(host({ FORWARD: [rule] }), short);
    t.match(verdict, { kind: 'drop', reason: 'tcpTruncated', rule: { address: at('FORWARD', 1) } });
    t.same(verdict.origin, []);
  },
);

t.test('a policy drop can be forgiven: the walk goes on behind it', async (t) => {
  const ctx = host({
    FORWARD: [
      { target: { kind: 'drop' }, origin: [policy('in')] },
      { target: { kind: 'reject', with: 'icmp-port-unreachable' }, origin: [policy('out')] },
      { target: { kind: 'drop' } },
    ],
  });
  const seen: (string | undefined)[] = [];
  const forgive = ({ reason, origin }: { reason: string; origin: readonly Provenance[] }) => {
    seen.push(origin[0]?.object);
    return reason === 'policyDenied';
  };
  t.match(forward({ ...ctx, forgive }), { kind: 'drop', reason: 'ruleDenied' });
  t.same(seen, ['shop/NetworkPolicy/in', 'shop/NetworkPolicy/out', undefined]);
});

t.test('translations are handed to the caller with the rule that asks for them', async (t) => {
  const builder = routerPlan();
  const range = { random: false, randomFully: false, persistent: false };
  const to = prefix('10.2.0.0/24');
  builder.append(4, 'nat', 'POSTROUTING', { target: { kind: 'masquerade', range } });
  builder.append(4, 'nat', 'PREROUTING', { target: { kind: 'netmap', to } });
  builder.append(4, 'nat', 'OUTPUT', { target: { kind: 'redirect', range } });
  const ctx = walkContext(builder.build());
  const run = (hook: 'prerouting' | 'output' | 'postrouting') =>
    runTable(ctx, 'nat', hook, udp().from('10.1.0.2', 1).to('10.9.0.7', 2).parsed());
  t.match(run('postrouting'), { kind: 'masquerade', range });
  t.match(
    run('prerouting'),
    { kind: 'dnat', range: { low: { w3: 0x0a020007 } } },
    'host part kept',
  );
  t.match(run('output'), { kind: 'dnat', range: { low: { w3: 0x7f000001 } } }, 'to loopback');
});

t.test('a trace says of each rule what missed and what the packet had', async (t) => {
  const ctx = host({
    FORWARD: [
      NO,
      { ...testMark(2), target: { kind: 'drop' } },
      { target: { kind: 'accept' }, origin: [policy('p')] },
    ],
  });
  forward(ctx, udp().from('10.1.0.2', 7).to('10.2.0.2', 8).parsed());
  t.same(ctx.recorder.take(), [
    {
      rule: { family: 4, ...at('FORWARD', 1) },
      target: '',
      matched: false,
      missed: '-s 9.9.9.9/32',
      found: 'src 10.1.0.2',
    },
    {
      rule: { family: 4, ...at('FORWARD', 2) },
      target: 'DROP',
      matched: false,
      missed: '-m mark --mark 0x2/0x2',
      found: 'mark 0x0',
    },
    {
      rule: { family: 4, ...at('FORWARD', 3) },
      target: 'ACCEPT',
      matched: true,
      origin: [policy('p')],
    },
  ]);
  t.same(ctx.recorder.take(), []);
});
