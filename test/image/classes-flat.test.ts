/**
 * The flat image of classes: read as it was written, and refused whenever it was not.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { ClassTables } from '../../src/image/classes/class-tables.ts';
import type { Cut } from '../../src/image/classes/cut.ts';
import { freeze, IMAGE_VERSION, sectionsOf, thaw } from '../../src/image/classes/flat.ts';
import { ipv4 } from '../../src/wire/address/address.ts';
import { address } from '../support/packets.ts';
import { prefix } from '../support/walks.ts';

const SEED = 20_261_121;
/** The word that holds the checksum, and the one that holds the version. */
const [VERSION, CHECKSUM] = [1, 3];

function cuts(...texts: readonly string[]): readonly Cut[] {
  return [
    ...texts.map((text): Cut => {
      const at = prefix(text);
      const answers = () => [{ prefix: at, answer: 'in' }];
      const sides = ['source'] as const;
      return {
        kind: 'address',
        family: at.address.family,
        sides,
        what: text,
        chained: false,
        answers,
      };
    }),
    {
      ...{ kind: 'port', protocols: ['tcp'], sides: ['destination'], what: 'web' },
      answers: () => [{ low: 80, high: 90, answer: 'in' }],
    },
  ];
}

function made(): ClassTables {
  const tables = new ClassTables();
  const host = { host: 'node-a', cuts: () => cuts('10.0.0.0/8', '10.1.2.3/32', 'fd00::/64') };
  tables.takeIn(host);
  return tables;
}

t.test('an image is read as it was written', async (t) => {
  const tables = made();
  const read = thaw(freeze(tables));
  t.strictSame([...read.hosts], ['node-a']);
  const want = sectionsOf(tables);
  for (const [i, [name, section]] of sectionsOf(read).entries()) {
    t.ok(Buffer.compare(bytesOf(section), bytesOf(want[i]?.[1])) === 0, name);
  }
});

function bytesOf(section: Uint32Array | Uint16Array = new Uint32Array(0)): Buffer {
  return Buffer.from(
    Uint8Array.from(new Uint8Array(section.buffer)).subarray(
      section.byteOffset,
      section.byteOffset + section.byteLength,
    ),
  );
}

t.test('whoever adds to an image gets a copy; what is shared stays as it was', async (t) => {
  const image = freeze(made());
  const before = Buffer.from(new Uint8Array(image).slice());
  const [one, other] = [thaw(image), thaw(image)];
  one.takeIn({ host: 'node-a', cuts: () => cuts('10.9.9.9/32') });
  t.notOk(hasChanged(one), 'a host that it knows is not taken in again');
  one.takeIn({ host: 'node-b', cuts: () => cuts('10.9.9.0/24', '10.9.9.9/32', 'fd00::1/128') });
  t.ok(hasChanged(one));
  t.ok(before.equals(Buffer.from(new Uint8Array(image).slice())));
  for (const text of ['10.9.9.9', '10.9.9.8', 'fd00::1']) {
    const at = address(text);
    t.not(one.classOf(at, 'source'), other.classOf(at, 'source'), text);
  }
  t.equal(one.fields.direct.source.classOf(0x0a090909), one.classOf(ipv4(0x0a090909), 'source'));
});

function hasChanged(tables: ClassTables): boolean {
  tables.takeChanged();
  const sizes = sectionsOf(tables).map(([, section]) => section.buffer);
  return sizes.some((buffer) => !(buffer instanceof SharedArrayBuffer));
}

t.test('an image that is not whole is one clear error', async (t) => {
  const image = freeze(made());
  const spoilt = (act: (words: Uint32Array) => void) => {
    const copy = new SharedArrayBuffer(image.byteLength);
    const words = new Uint32Array(copy);
    words.set(new Uint32Array(image));
    act(words);
    return copy;
  };
  const cut = new SharedArrayBuffer(image.byteLength - 64);
  new Uint8Array(cut).set(new Uint8Array(image).subarray(0, cut.byteLength));
  for (const [name, buffer, message] of [
    ['nothing', new SharedArrayBuffer(0), /was cut/],
    ['cut short', cut, /was cut/],
    ['no image', spoilt((w) => w.fill(0)), /no image/],
    ['another version', spoilt((w) => w.fill(IMAGE_VERSION + 1, VERSION, 2)), /another version/],
    ['another checksum', spoilt((w) => w.fill(1, CHECKSUM, 4)), /was changed/],
  ] as const) {
    t.throws(() => thaw(buffer), { name: 'UserError', message }, name);
  }
});

t.test('no change of a word makes an image that leads outside of itself', async () => {
  const image = freeze(made());
  const { length } = new Uint32Array(image);
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 20_000 }), fc.integer(), (at, value) => {
      const copy = new SharedArrayBuffer(image.byteLength);
      const words = new Uint32Array(copy);
      words.set(new Uint32Array(image));
      words[Math.min(at, length - 1)] = value;
      // As if somebody had made it so: with the right checksum.
      words[CHECKSUM] = sumOf(words);
      try {
        const read = thaw(copy);
        for (const a of [0, 0x0a010203, 0x7f000001, 0xffffffff]) {
          if (read.fields.direct.source.classOf(a) === undefined) return false;
          read.classOf(ipv4(a), 'destination');
        }
      } catch (error) {
        return error instanceof UserError;
      }
      return true;
    }),
    { seed: SEED, numRuns: 60 },
  );
});

function sumOf(words: Uint32Array): number {
  return (
    words.subarray(4).reduce((sum, word) => Math.imul(sum ^ word, 0x01000193), 0x811c9dc5) >>> 0
  );
}
