/**
 * Classes of addresses and ports: two values are in one class exactly when no question that was
 * asked answers them differently, whatever the order of questions.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { AddressClasses } from '../../src/image/classes/address-classes.ts';
import { ClassTables } from '../../src/image/classes/class-tables.ts';
import type { AddressCut, PrefixAnswer } from '../../src/image/classes/cut.ts';
import { DirectTable } from '../../src/image/classes/direct-table.ts';
import { PortClasses } from '../../src/image/classes/port-classes.ts';
import { type Address, contains, ipv4, ipv6, maskAddress } from '../../src/wire/address/address.ts';
import { prefixesOfRange } from '../../src/wire/address/address-range.ts';
import { address } from '../support/packets.ts';
import { prefix } from '../support/walks.ts';

const SEED = 20_261_121;

type Question = Pick<AddressCut, 'answers' | 'chained' | 'what'>;

/** What a question says of an address, as the definition has it (image/classes/cut.ts). */
function answerTo({ answers: given, chained }: Question, asked: Address): string {
  const holding = given()
    .filter((entry) => contains(entry.prefix, asked))
    .sort((a, b) => a.prefix.length - b.prefix.length);
  const whole = holding[0]?.prefix.length === 0 ? holding[0] : undefined;
  const rest = whole?.answer ?? '';
  const longer = whole === undefined ? holding : holding.slice(1);
  if (!chained) return longer.at(-1)?.answer ?? rest;
  return longer.reduce((text, { answer }) => `${text}/${answer}`, rest);
}

/** Prefixes over the last `bits` bits of one /24, or of one IPv6 prefix. */
function drawnQuestions(family: 4 | 6, bits: number): fc.Arbitrary<readonly Question[]> {
  const whole = family === 4 ? 32 : 128;
  const make = (low: number) =>
    family === 4 ? ipv4(0x0a000000 + low) : ipv6(0x20010db8, 0, 0, low);
  const entry = fc
    .record({
      low: fc.nat(2 ** bits - 1),
      length: fc.oneof(fc.integer({ min: whole - bits, max: whole }), fc.constant(0)),
      answer: fc.constantFrom('', 'a', 'b'),
    })
    .map(({ low, length, answer }): PrefixAnswer => {
      return { prefix: { address: maskAddress(make(low), length), length }, answer };
    });
  const key = ({ prefix: p }: PrefixAnswer) => `${p.address.w3}/${p.length}`;
  const question = fc.record({
    answers: fc.uniqueArray(entry, { selector: key, maxLength: 6 }).map((answers) => () => answers),
    chained: fc.boolean(),
    what: fc.constant('drawn'),
  });
  return fc.array(question, { maxLength: 6 });
}

for (const family of [4, 6] as const) {
  t.test(`IPv${family} classes are exactly what the questions tell apart`, async () => {
    const bits = 4;
    fc.assert(
      fc.property(drawnQuestions(family, bits), (questions) => {
        const classes = new AddressClasses(family);
        for (const question of questions) classes.refine(question);
        const known = new Map<string, number>();
        const seen = new Set<number>();
        for (let low = 0; low < 2 ** bits; low++) {
          const at = family === 4 ? ipv4(0x0a000000 + low) : ipv6(0x20010db8, 0, 0, low);
          const answers = JSON.stringify(questions.map((question) => answerTo(question, at)));
          const cls = classes.classOf(at);
          if (known.has(answers) ? known.get(answers) !== cls : seen.has(cls)) return false;
          known.set(answers, cls);
          seen.add(cls);
        }
        return true;
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
}

t.test('a direct table has the class that its trie has, also painted piece by piece', async () => {
  fc.assert(
    fc.property(drawnQuestions(4, 20), fc.array(fc.nat(2 ** 20)), (questions, lows) => {
      const classes = new AddressClasses(4);
      const table = new DirectTable();
      for (const question of questions) {
        classes.refine(question);
        table.paint(classes.trie, classes.takeChanged());
      }
      const edges = questions.flatMap(({ answers }) =>
        answers().flatMap(({ prefix: { address: a, length } }) => {
          const last = (a.w3 + 2 ** (32 - length) - 1) >>> 0;
          return [a.w3, last, (a.w3 - 1) >>> 0, (last + 1) >>> 0];
        }),
      );
      const all = [...lows.map((low) => 0x0a000000 + low), ...edges, 0, 0xffffffff];
      return all.every((w3) => table.classOf(w3) === classes.classOf(ipv4(w3)));
    }),
    { seed: SEED, numRuns: 500 },
  );
});

t.test('a class that is split keeps its number for those it says nothing of', async (t) => {
  const classes = new AddressClasses(4);
  const before = classes.classOf(address('10.0.0.9'));
  classes.refine({
    what: 'set shop',
    chained: false,
    answers: () => [{ prefix: prefix('10.0.0.5/32'), answer: 'in' }],
  });
  t.equal(classes.classOf(address('10.0.0.9')), before);
  const split = classes.classOf(address('10.0.0.5'));
  t.not(split, before);
  t.match(classes.originOf(split), { what: 'set shop', answer: 'in' });
  t.equal(classes.count, 2);
});

t.test('a question that tells nobody apart changes nothing', async (t) => {
  const tables = new ClassTables();
  const cut: AddressCut = {
    ...{ kind: 'address' as const, family: 4 as const, sides: ['source'] as const, what: 'x' },
    ...{ chained: false, answers: () => [{ prefix: prefix('192.0.2.0/24'), answer: 'in' }] },
  };
  t.ok(tables.takeChanged(), 'the kinds of addresses');
  tables.add([cut]);
  t.ok(tables.takeChanged());
  tables.add([cut, { ...cut, what: 'the same again', key: 'k' }]);
  t.notOk(tables.takeChanged());
  t.not(
    tables.classOf(address('192.0.2.1'), 'source'),
    tables.classOf(address('192.0.3.1'), 'source'),
  );
  t.equal(
    tables.classOf(address('192.0.2.1'), 'destination'),
    tables.classOf(address('192.0.3.1'), 'destination'),
    'only sources were asked about',
  );
});

t.test('ports are told apart by ranges and by what sets say of them', async (t) => {
  const ports = new PortClasses();
  ports.refine({ what: 'a', answers: () => [{ low: 0, high: 1023, answer: 'in' }] });
  ports.refine({
    what: 'b',
    answers: () => [
      { low: 80, high: 80, answer: 'x' },
      { low: 443, high: 443, answer: 'x' },
    ],
  });
  t.equal(ports.count, 3);
  for (const [one, other, alike] of [
    [80, 443, true],
    [80, 81, false],
    [0, 1023, true],
    [1023, 1024, false],
    [1024, 65_535, true],
  ] as const) {
    t.equal(ports.classOf(one) === ports.classOf(other), alike, `${one} and ${other}`);
  }
  t.notOk(ports.refine({ what: 'c', answers: () => [{ low: 1024, high: 65_535, answer: 'in' }] }));
});

t.test('a range of addresses is the fewest prefixes', async (t) => {
  for (const [low, high, want] of [
    ['10.0.0.1', '10.0.0.6', ['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/31', '10.0.0.6/32']],
    ['0.0.0.0', '255.255.255.255', ['0.0.0.0/0']],
    ['10.0.0.9', '10.0.0.8', []],
    ['2001:db8::fffe', '2001:db8::1:1', ['2001:db8::fffe/127', '2001:db8::1:0/127']],
  ] as const) {
    t.strictSame(prefixesOfRange(address(low), address(high)), want.map(prefix), `${low}-${high}`);
  }
});
