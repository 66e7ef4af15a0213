/**
 * What compares engines must see whatever `isDeepStrictEqual` sees.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { isSameValue } from '../support/same-value.ts';

const value = fc.anything({ withTypedArray: true, withMap: true, maxDepth: 3 });

t.test('values are the same exactly where Node says so', async (t) => {
  let alike = 0;
  fc.assert(
    fc.property(value, value, (a, b) => {
      for (const [left, right] of [
        [a, b],
        [a, structuredClone(a)],
        [
          { a, b },
          { b, a },
        ],
        [[a, b], structuredClone([a, b])],
        [
          { a, b },
          { a, b: structuredClone(a) },
        ],
        [{ a }, { a, b: undefined }],
      ]) {
        const same = isDeepStrictEqual(left, right);
        if (same) alike += 1;
        if (isSameValue(left, right) !== same) return false;
      }
      return true;
    }),
    { seed: 11, numRuns: 3000 },
  );
  t.ok(alike > 5000, `${alike} pairs were alike`);
});

t.test('bytes are told apart by each of them, and by how many there are', async (t) => {
  const bytes = Uint8Array.of(1, 2, 3);
  t.ok(isSameValue({ bytes }, { bytes: bytes.slice() }));
  t.notOk(isSameValue({ bytes }, { bytes: Uint8Array.of(1, 2, 4) }));
  t.notOk(isSameValue({ bytes }, { bytes: Uint8Array.of(1, 2) }));
  t.notOk(isSameValue({ bytes }, { bytes: [1, 2, 3] }));
});
