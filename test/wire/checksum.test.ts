/**
 * Checksums: known values, and the law that the incremental update equals the full sum.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { setU16, u16 } from '../../src/wire/bytes.ts';
import { checksum, crc32c, fold, sumBytes, update16, updateSum } from '../../src/wire/checksum.ts';

t.test('the Internet checksum of known data', async (t) => {
  for (const [name, text, want] of [
    ['the example of RFC 1071 section 3', '0001f203f4f5f6f7', 0x220d],
    ['an odd length', '000102', 0xfdfe],
    ['nothing', '', 0xffff],
  ] as const) {
    const b = Buffer.from(text, 'hex');
    t.equal(checksum(b, 0, b.length), want, name);
  }
});

t.test('CRC32c of the test vectors of RFC 3720 appendix B.4', async (t) => {
  for (const [name, bytes, want] of [
    ['32 zeros', new Uint8Array(32), 0xaa36918a],
    ['32 ones', new Uint8Array(32).fill(0xff), 0x43aba862],
    ['counting up', Uint8Array.from({ length: 32 }, (_, i) => i), 0x4e79dd46],
  ] as const) {
    t.equal(crc32c(bytes, 0, bytes.length, bytes.length), want, name);
  }
});

t.test('a changed word or address updates the checksum as a full sum would', async (t) => {
  const law = fc.property(
    fc.uint8Array({ minLength: 20, maxLength: 60 }),
    fc.integer({ min: 0, max: 8 }),
    fc.integer({ min: 0, max: 0xffff }),
    fc.integer({ min: 0, max: 0xffff }),
    (b, place, high, low) => {
      setU16(b, 0, 0);
      setU16(b, 0, checksum(b, 0, b.length));
      const at = 2 + 2 * (place % 7);
      const oldSum = u16(b, at) + u16(b, at + 2);
      const bothAtOnce = updateSum(u16(b, 0), oldSum, high + low);
      const first = update16(u16(b, 0), u16(b, at), high);
      const stepwise = update16(first, u16(b, at + 2), low);
      setU16(b, at, high);
      setU16(b, at + 2, low);
      // Both forms of zero are the same sum: what counts is that the receiver's check passes.
      return [bothAtOnce, stepwise].every((sum) => {
        setU16(b, 0, sum);
        const total = fold(sumBytes(b, 0, b.length));
        return total === 0xffff || (total === 0 && b.every((byte) => byte === 0));
      });
    },
  );
  fc.assert(law, { seed: 11, numRuns: 1000 });
  t.pass('RFC 1624 equation 3');
});
