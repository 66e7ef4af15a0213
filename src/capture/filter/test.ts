/**
 * The elements a filter is compiled to: tests of a packet's bytes, as BPF instructions make them.
 *
 * A test says no, yes, or that it read behind the captured bytes: then the whole program ends and
 * the packet is not selected, also under a `not` (bpf_filter: an out-of-bounds load returns 0).
 * @module
 */
import { u8, u16, u32 } from '../../wire/bytes.ts';

export const NO = 0;
export const YES = 1;
export const OUT_OF_BOUNDS = 2;
export type Answer = typeof NO | typeof YES | typeof OUT_OF_BOUNDS;

/** @param wire the packet's original length, what `len` means */
export type Test = (b: Uint8Array, wire: number) => Answer;

/** A value of 32 unsigned bits, or -1 when it lies behind the captured bytes. */
export type Value = (b: Uint8Array, wire: number) => number;

export const always: Test = () => YES;
export const never: Test = () => NO;

export function and(first: Test, second: Test): Test {
  return (b, wire) => {
    const answer = first(b, wire);
    return answer === YES ? second(b, wire) : answer;
  };
}

export function or(first: Test, second: Test): Test {
  return (b, wire) => {
    const answer = first(b, wire);
    return answer === NO ? second(b, wire) : answer;
  };
}

export function not(test: Test): Test {
  return (b, wire) => {
    const answer = test(b, wire);
    return answer === OUT_OF_BOUNDS ? OUT_OF_BOUNDS : answer === YES ? NO : YES;
  };
}

/** Read one, two or four bytes at a fixed place. */
export function load(off: number, size: 1 | 2 | 4): Value {
  if (size === 1) return (b) => (off + 1 > b.length ? -1 : u8(b, off));
  if (size === 2) return (b) => (off + 2 > b.length ? -1 : u16(b, off));
  return (b) => (off + 4 > b.length ? -1 : u32(b, off));
}

/** Read at a computed place. Offsets wrap at 32 bits, as the machine's index register does. */
export function loadAt(off: Value, size: 1 | 2 | 4): Value {
  const read = size === 1 ? u8 : size === 2 ? u16 : u32;
  return (b, wire) => {
    const at = off(b, wire);
    return at < 0 || at + size > b.length ? -1 : read(b, at);
  };
}

/** Whether `value & mask` equals `wanted`. */
export function equals(value: Value, wanted: number, mask = 0xffffffff): Test {
  return (b, wire) => {
    const found = value(b, wire);
    if (found < 0) return OUT_OF_BOUNDS;
    return (found & mask) >>> 0 === wanted ? YES : NO;
  };
}

/** Whether the value lies between two bounds, both included. */
export function between(value: Value, low: number, high: number): Test {
  return (b, wire) => {
    const found = value(b, wire);
    if (found < 0) return OUT_OF_BOUNDS;
    return found >= low && found <= high ? YES : NO;
  };
}
