/**
 * Deep equality of what engines say, as `isDeepStrictEqual` has it and several times as fast: the
 * engines' laws compare millions of journeys.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';

/** Whether two values are alike in every part. */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const prototype: unknown = Object.getPrototypeOf(a);
  if (prototype !== Object.getPrototypeOf(b)) return false;
  if (prototype === Object.prototype) return haveSameFields(a, b);
  if (Array.isArray(a) && Array.isArray(b)) return haveSameElements(a, b);
  if (prototype === Uint8Array.prototype) return Buffer.compare(bytes(a), bytes(b)) === 0;
  return isDeepStrictEqual(a, b);
}

type Fields = Readonly<Record<string, unknown>>;

function haveSameFields(a: object, b: object): boolean {
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  for (const key of keys) {
    if (!Object.hasOwn(b, key) || !isSameValue((a as Fields)[key], (b as Fields)[key]))
      return false;
  }
  return true;
}

function haveSameElements(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!isSameValue(a[i], b[i])) return false;
  return true;
}

function bytes(value: object): Uint8Array {
  return value as Uint8Array;
}
