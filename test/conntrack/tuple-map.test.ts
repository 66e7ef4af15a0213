/**
 * The table's index against a plain map keyed by text: whatever is put in, taken out and asked for,
 * both say the same.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { type Tuple, tupleKey } from '../../src/conntrack/tuple.ts';
import { TupleMap } from '../../src/conntrack/tuple-map.ts';
import { ipv4, ipv6 } from '../../src/wire/address/address.ts';

// Few values, so that tuples meet again, and with ends exchanged.
const address = fc.oneof(
  fc.constantFrom(0x0a000001, 0xffffffff).map(ipv4),
  fc.constantFrom(1, 2).map((n) => ipv6(0xfd000000, 0, n, 0)),
);
const port = fc.constantFrom(80, 0xffff);
const tuple: fc.Arbitrary<Tuple> = fc.record({
  protocol: fc.constantFrom(6, 17),
  src: address,
  dst: address,
  sport: port,
  dport: port,
});
const zone = fc.constantFrom(0, 0xffff);
const step = fc.record({ what: fc.constantFrom('set', 'set', 'delete'), tuple, zone });

t.test('tuples find what a map by text finds', async (t) => {
  let met = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 400 }), (steps) => {
      const map = new TupleMap<number>();
      const texts = new Map<string, number>();
      for (const [i, { what, tuple, zone }] of steps.entries()) {
        const key = `${zone} ${tupleKey(tuple)}`;
        if (texts.has(key)) met += 1;
        if (map.has(tuple, zone) !== texts.has(key)) return false;
        if (map.get(tuple, zone) !== texts.get(key)) return false;
        if (what === 'delete') {
          if (map.delete(tuple, zone) !== texts.delete(key)) return false;
        } else {
          map.set(tuple, i, zone);
          texts.set(key, i);
        }
      }
      return steps.every(
        ({ tuple, zone }) => map.get(tuple, zone) === texts.get(`${zone} ${tupleKey(tuple)}`),
      );
    }),
    { seed: 5, numRuns: 200 },
  );
  t.ok(met > 500, `${met} tuples were there before`);
});

t.test('two hundred thousand tuples have places of their own', async (t) => {
  const map = new TupleMap<number>();
  const of = (n: number): Tuple => ({
    protocol: 6,
    src: ipv4(0x0a000000 + (n % 1000)),
    dst: ipv4(0x0a010000 + (n % 77)),
    sport: n & 0xffff,
    dport: n >>> 16,
  });
  // So many hashes of 32 bits meet about five times: chains are walked, too.
  const count = 200_000;
  for (let n = 0; n < count; n++) map.set(of(n), n);
  let wrong = 0;
  for (let n = 0; n < count; n++) if (map.get(of(n)) !== n) wrong += 1;
  for (let n = 0; n < count; n += 2) if (!map.delete(of(n))) wrong += 1;
  for (let n = 0; n < count; n++) if (map.get(of(n)) !== (n % 2 ? n : undefined)) wrong += 1;
  t.equal(wrong, 0);
});
