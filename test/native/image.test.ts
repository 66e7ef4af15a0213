/**
 * Native code and JavaScript agree on which images of classes are whole: what one would follow
 * outside of the image, neither reads.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { ClassTables } from '../../src/image/classes/class-tables.ts';
import { freeze, thaw } from '../../src/image/classes/flat.ts';
import { World } from '../../src/lab/world.ts';
import { loadInputs } from '../../src/policy/inputs.ts';

const SEED = 20_261_121;
/** The word that holds the checksum, the first that it covers, and words of the head. */
const [CHECKSUM, CHECKED_FROM, HEAD] = [3, 4, 28];
const { addon } = findNative();
const skip = addon === null ? 'needs the native addon' : false;

/** Of the shop of the examples on a bridge with NPM: tables of every kind. */
function shopImage(): SharedArrayBuffer {
  const { cluster, policies } = loadInputs(['pcaps/shop']);
  const world = new World({ cluster, policies, stack: parseStack('azure-bridge+npm') });
  const tables = new ClassTables();
  for (const { host } of [world.network.fabric, ...world.network.nodes]) {
    const image = world.topology.hosts(host);
    if (image !== undefined) tables.takeIn(image);
  }
  return freeze(tables);
}

const image = shopImage();
const whole = new Uint32Array(image);
const { length } = whole;

/** A copy with some words changed, with its checksum made right. */
function spoilt(changes: readonly (readonly [number, number])[]): SharedArrayBuffer {
  const copy = new SharedArrayBuffer(image.byteLength);
  const words = new Uint32Array(copy);
  words.set(whole);
  for (const [at, value] of changes) words[at % length] = value;
  let sum = 0x811c9dc5;
  for (const word of words.subarray(CHECKED_FROM)) sum = Math.imul(sum ^ word, 0x01000193);
  words[CHECKSUM] = sum >>> 0;
  return copy;
}

function isThawed(buffer: SharedArrayBuffer): boolean {
  try {
    thaw(buffer);
    return true;
  } catch {
    return false;
  }
}

t.test('a whole image is one to both', { skip }, async (t) => {
  t.ok(addon?.isImage(new Uint32Array(spoilt([]))));
  t.ok(isThawed(spoilt([])));
  for (const words of [0, 1, 16, length - 16]) {
    t.notOk(addon?.isImage(new Uint32Array(image, 0, words)), `${words} words of it`);
  }
});

/** Places in the head, in the tables and in the tries; values that lead somewhere, or nowhere. */
const place = fc.oneof(
  fc.integer({ min: 0, max: HEAD - 1 }),
  fc.integer({ min: 0, max: length - 1 }),
  fc.integer({ min: Math.max(0, length - 140_000), max: length - 1 }),
);
const value = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0x80000000, max: 0x80000010 }),
  fc.integer({ min: 0, max: 0xffffffff }),
);

t.test('of images with changed words, both refuse the same', { skip }, async (t) => {
  const seen = new Map([
    [true, 0],
    [false, 0],
  ]);
  const changes = fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(changes, (drawn) => {
      const copy = spoilt(drawn.filter(([at]) => at !== CHECKSUM));
      const isRead = isThawed(copy);
      // The hosts' names are JSON that native code does not read.
      const isTextOnly = !isRead && addon?.isImage(new Uint32Array(copy)) && namesDiffer(copy);
      seen.set(isRead, (seen.get(isRead) ?? 0) + 1);
      return isTextOnly || addon?.isImage(new Uint32Array(copy)) === isRead;
    }),
    { seed: SEED, numRuns: 300 },
  );
  for (const [isRead, times] of seen) t.ok(times > 20, `${isRead ? 'read' : 'refused'}: ${times}`);
});

function namesDiffer(copy: SharedArrayBuffer): boolean {
  const names = (words: Uint32Array) => {
    const [offset = 0, bytes = 0] = words.subarray(CHECKED_FROM, CHECKED_FROM + 2);
    return Buffer.from(new Uint8Array(words.buffer).slice(offset, offset + bytes)).toString();
  };
  return names(new Uint32Array(copy)) !== names(whole);
}
