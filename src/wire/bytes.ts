/**
 * Big-endian reads and writes: the only place that indexes raw packet bytes.
 *
 * None of these checks bounds: a header's `check` has proved the length before (wire/*.ts), which
 * is why the non-null assertions here are the only ones allowed on packet bytes.
 * @module
 */

export function u8(b: Uint8Array, off: number): number {
  return b[off]!;
}

export function u16(b: Uint8Array, off: number): number {
  return (b[off]! << 8) | b[off + 1]!;
}

/** Read an unsigned 32-bit word; the result is never negative. */
export function u32(b: Uint8Array, off: number): number {
  return ((b[off]! << 24) | (b[off + 1]! << 16) | (b[off + 2]! << 8) | b[off + 3]!) >>> 0;
}

export function setU8(b: Uint8Array, off: number, value: number): void {
  b[off] = value;
}

export function setU16(b: Uint8Array, off: number, value: number): void {
  b[off] = value >>> 8;
  b[off + 1] = value;
}

export function setU32(b: Uint8Array, off: number, value: number): void {
  b[off] = value >>> 24;
  b[off + 1] = value >>> 16;
  b[off + 2] = value >>> 8;
  b[off + 3] = value;
}
