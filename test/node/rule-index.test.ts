/**
 * What the index of rules is made of, against the plain way of saying the same: ranges that hold a
 * value, sets of entries, counts of runs, and whose a mark is.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import type { LinkedRule } from '../../src/image/program.ts';
import type { Provenance } from '../../src/netfilter/rule.ts';
import {
  eachBit,
  emptyBits,
  nextBit,
  rangeMask,
  setBit,
} from '../../src/node/rule-index/bit-vector.ts';
import {
  addUp,
  type Count,
  PassedRules,
  type RuleRun,
} from '../../src/node/rule-index/rule-run.ts';
import { AddressStab, PortStab } from '../../src/node/rule-index/stab.ts';
import { MarkOrigins, mergeOrigins } from '../../src/packet/mark-origins.ts';
import { contains, ipv4, ipv6, type Prefix } from '../../src/wire/address/address.ts';

const SEED = 20_261_121;
const port = fc.oneof(fc.nat(65_535), fc.constantFrom(0, 1, 80, 1023, 1024, 65_534, 65_535));
const ranges = fc.array(
  fc.tuple(port, port).map(([a, b]) => ({ low: Math.min(a, b), high: Math.max(a, b) })),
  { maxLength: 12 },
);

t.test('a port is found in the ranges that hold it, and in no other', async (t) => {
  const law = fc.property(ranges, port, fc.nat(11), (all, anywhere, pick) => {
    const stab = new PortStab();
    for (const [id, range] of all.entries()) stab.add(range, id);
    const edge = all[pick];
    const asked = [anywhere, ...(edge ? [edge.low, edge.high, (edge.high + 1) & 65_535] : [])];
    return asked.every((value) => {
      const found = new Set<number>();
      stab.find(value, (id) => found.add(id));
      return all.every(({ low, high }, id) => found.has(id) === (low <= value && value <= high));
    });
  });
  t.doesNotThrow(() => fc.assert(law, { seed: SEED, numRuns: 400 }));
});

const word = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0x0a000000, 0xffffffff));
const prefix = fc.tuple(fc.boolean(), word, word, fc.nat(128)).map(([v6, a, b, length]): Prefix => {
  return v6
    ? { address: ipv6(0x2001_0db8, a, 0, b), length }
    : { address: ipv4(a), length: length % 33 };
});

t.test('an address is found in the prefixes that hold it, of both families', async (t) => {
  const law = fc.property(fc.array(prefix, { maxLength: 12 }), prefix, (all, { address }) => {
    const stab = new AddressStab();
    for (const [id, own] of all.entries()) stab.add(own, id);
    return [address, ...all.map((own) => own.address)].every((asked) => {
      const found = new Set<number>();
      stab.find(asked, (id) => found.add(id));
      return all.every((own, id) => found.has(id) === contains(own, asked));
    });
  });
  t.doesNotThrow(() => fc.assert(law, { seed: SEED, numRuns: 400 }));
});

const SIZE = 200;
const place = fc.nat(SIZE);
const members = fc.uniqueArray(fc.nat(SIZE - 1), { maxLength: 40 });

function bitsOf(members: readonly number[]): Uint32Array {
  const words = emptyBits(SIZE);
  for (const at of members) setBit(words, at);
  return words;
}

t.test('entries of a range are told in order, and the next one is the first of them', async (t) => {
  const law = fc.property(members, place, place, (own, a, b) => {
    const words = bitsOf(own);
    const [from, to] = [Math.min(a, b), Math.max(a, b)];
    const want = own.filter((at) => at >= from && at < to).sort((x, y) => x - y);
    const got: number[] = [];
    eachBit(words, from, to, (at) => got.push(at));
    const masked = own.filter((at) => (rangeMask(at >>> 5, from, to) >>> (at & 31)) & 1);
    const next = Math.min(...own.filter((at) => at >= from));
    return (
      got.join() === want.join() &&
      masked.sort((x, y) => x - y).join() === want.join() &&
      nextBit(words, from) === next
    );
  });
  t.doesNotThrow(() => fc.assert(law, { seed: SEED, numRuns: 500 }));
});

t.test('runs counted together count what their rules count one by one', async (t) => {
  const rules = Array.from({ length: SIZE }, (_, id) => ({ id }) as LinkedRule);
  const walk = fc.tuple(place, place, fc.integer({ min: 1, max: 9 }), fc.nat(1500));
  const law = fc.property(members, members, fc.array(walk, { maxLength: 20 }), (a, b, walks) => {
    const chains = [a, b].map((own) => new PassedRules(bitsOf(own), rules, []));
    const runs = new Map<RuleRun, Count>();
    const want = new Float64Array(SIZE);
    for (const [i, [x, y, packets, bytes]] of walks.entries()) {
      const run = chains[i % 2]?.run(Math.min(x, y), Math.max(x, y)) ?? null;
      for (const { id } of run?.rules() ?? []) want[id] = (want[id] ?? 0) + packets * 1e6 + bytes;
      const known = run && runs.get(run);
      if (run) {
        const { packets: p = 0, bytes: q = 0 } = known ?? {};
        runs.set(run, { packets: p + packets, bytes: q + bytes });
      }
    }
    const got = new Float64Array(SIZE);
    addUp(runs, ({ id }, packets, bytes) => {
      got[id] = (got[id] ?? 0) + packets * 1e6 + bytes;
    });
    return got.join() === want.join();
  });
  t.doesNotThrow(() => fc.assert(law, { seed: SEED, numRuns: 300 }));
});

const origin = (n: number): Provenance => ({ object: `policy-${n}`, effect: 'isolate' });
const own = fc.array(fc.nat(6).map(origin), { maxLength: 3 });

t.test('a mark is whose it was, and then of all who set it again, each once', async (t) => {
  const law = fc.property(fc.array(fc.tuple(own, fc.boolean()), { maxLength: 6 }), (parts) => {
    let history: MarkOrigins | undefined;
    const want: string[] = [];
    for (const [part, isLate] of parts) {
      history = MarkOrigins.after(history, isLate ? { origins: () => part } : part);
      for (const { object } of part) if (!want.includes(object)) want.push(object);
    }
    const got = new Set((history?.list() ?? []).map(({ object }) => object));
    return [...got].join() === want.join();
  });
  t.doesNotThrow(() => fc.assert(law, { seed: SEED, numRuns: 300 }));
  const [first, second] = [[origin(1), origin(2)], [origin(2)]];
  t.equal(mergeOrigins([first, second]), first, 'a list that has them all stays itself');
  const history = MarkOrigins.after(MarkOrigins.after(undefined, first), second);
  t.equal(MarkOrigins.after(MarkOrigins.after(undefined, first), second), history);
  t.equal(history.list(), first);
});
