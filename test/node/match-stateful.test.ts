import t from 'tap';
import type { Match } from '../../src/netfilter/match.ts';
import { ask } from '../../src/node/match/match.ts';
import { address, udp } from '../support/packets.ts';
import { routerPlan, walkContext } from '../support/walks.ts';

/** Ask one match for a packet at each of these seconds; true where it holds. */
function holdsAt(matches: readonly Match[], seconds: readonly number[], from = '10.1.0.2') {
  const builder = routerPlan();
  for (const match of matches) builder.append(4, 'filter', 'INPUT', { matches: [match] });
  const ctx = walkContext(builder.build());
  return seconds.map((at) =>
    ctx.image.program.rules.map((rule) => {
      const packet = Object.assign(udp().from(from, 1).to('10.1.0.1', 2).parsed(), {
        inDevice: 'eth0',
      });
      return ask({ ...ctx, nowNs: at * 1e9 }, { rule, index: 0 }, packet) === 'hit';
    }),
  );
}

t.test('limit lets a burst through and then one packet each interval', async (t) => {
  const match = { kind: 'limit', interval: 10_000, burst: 3 } as const;
  const got = holdsAt([match], [0, 0, 0, 0, 0.5, 1, 1.5, 2.5, 10, 10, 10, 10]).flat();
  t.same(got, [true, true, true, false, false, true, false, true, true, true, true, false]);
});

t.test('nth holds for one packet of every so many', async (t) => {
  const nth = { kind: 'nth', every: 3, packet: 1, negate: false } as const;
  t.same(holdsAt([nth], [0, 0, 0, 0, 0, 0]).flat(), [false, true, false, false, true, false]);
});

t.test('random is drawn from seed, host, rule and frame, near its probability', async (t) => {
  const builder = routerPlan();
  const match = { kind: 'random', threshold: 2 ** 31 / 4, negate: false } as const;
  builder.append(4, 'filter', 'INPUT', { matches: [match] });
  const ctx = walkContext(builder.build());
  const [rule] = ctx.image.program.rules;
  const draw = (seed: number) =>
    Array.from({ length: 4000 }, (_, frame) => {
      const packet = { ...udp().parsed(), frame };
      return ask({ ...ctx, seed }, { rule: rule!, index: 0 }, packet) === 'hit';
    });
  const [one, again, other] = [draw(1), draw(1), draw(2)];
  t.same(one, again, 'the same seed draws the same');
  t.notSame(one, other);
  const share = one.filter(Boolean).length / 4000;
  t.ok(share > 0.22 && share < 0.28, `a quarter: ${share}`);
});

t.test('recent remembers an address, and for how long', async (t) => {
  const base = {
    kind: 'recent',
    negate: false,
    seconds: 0,
    reap: false,
    hitcount: 0,
    ttl: false,
    list: 'seen',
    mask: address('255.255.255.255'),
    side: 'source',
  } as const;
  const check = { ...base, operation: 'rcheck', seconds: 10 } as const;
  const set = { ...base, operation: 'set' } as const;
  t.same(
    holdsAt([check, set], [0, 5, 14, 30]),
    [
      [false, true],
      [true, true],
      [true, true],
      [false, true],
    ],
    'checked before it is set again',
  );
  const hits = { ...base, operation: 'update', seconds: 60, hitcount: 3 } as const;
  t.same(
    holdsAt([set, hits], [0, 1, 2, 3]).map(([, held]) => held),
    [false, false, true, true],
  );
  const remove = { ...base, operation: 'remove' } as const;
  t.same(holdsAt([set, remove, { ...base, operation: 'rcheck' }], [0]), [[true, true, false]]);
});
