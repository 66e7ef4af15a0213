/**
 * Text put together as bytes: the same as the strings would have been.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { ByteText } from '../../src/report/text/byte-text.ts';

const SEED = { seed: 17 };

/** A piece: how it is added, and what it is as a string. */
type Piece = readonly [(to: ByteText) => void, string];

const TEXT = fc.string({ unit: 'grapheme', maxLength: 40 });
const PIECE: fc.Arbitrary<Piece> = fc.oneof(
  TEXT.map((s): Piece => [(to) => to.text(s), s]),
  TEXT.map((s): Piece => [(to) => to.copy(Buffer.from(s)), s]),
  TEXT.map((s): Piece => [(to) => to.few(Buffer.from(s)), s]),
  fc.maxSafeNat().map((n): Piece => [(to) => to.number(n), String(n)]),
  fc.nat(1e9 - 1).map((n): Piece => [(to) => to.number(n), String(n)]),
  fc.nat(1e9 - 1).map((n): Piece => [(to) => to.padded(n, 9), String(n).padStart(9, '0')]),
);

t.test('pieces stand one behind the other, in memory that is used again', async (t) => {
  const text = new ByteText(new ArrayBuffer(7));
  fc.assert(
    fc.property(fc.array(PIECE, { maxLength: 80 }), (pieces) => {
      text.clear();
      for (const [add] of pieces) add(text);
      const want = pieces.map(([, said]) => said).join('');
      const got = Buffer.from(text.bytes).toString('utf8');
      return got === want && text.size === Buffer.byteLength(want);
    }),
    SEED,
  );
  t.pass('holds');
});

t.test('numbers at the ends of their widths, and text of any length', async (t) => {
  const numbers = [0, 9, 10, 99, 100, 999_999_999, 1_000_000_000, 2 ** 32, 2 ** 53 - 1];
  const text = new ByteText();
  for (const number of numbers) {
    text.clear();
    text.number(number);
    t.equal(Buffer.from(text.bytes).toString(), String(number));
  }
  for (const length of [1, 4095, 4096, 70_000]) {
    text.clear();
    text.text('é'.repeat(length));
    t.equal(Buffer.from(text.bytes).toString('utf8'), 'é'.repeat(length));
  }
});
