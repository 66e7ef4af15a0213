/**
 * Text as UTF-8 bytes, put together piece by piece in one stretch of memory that is used again:
 * rows by the million are written without strings of their own.
 * @module
 */

const TEN = 10;
const ZERO = 0x30;
/** Numbers below it are written digit by digit in 32 bits. */
const SMALL = 1e9;
/** Bytes of the longest character of a string's unit. */
const MOST_BYTES = 3;
/** Text of so many units is measured before it is added. */
const LONG = 4096;
const LEAST_ROOM = 4096;

export class ByteText {
  #bytes: Buffer;
  #size = 0;

  /** `memory`: where it begins, and stays as long as there is room. */
  constructor(memory: ArrayBufferLike = Buffer.allocUnsafeSlow(LEAST_ROOM).buffer) {
    this.#bytes = Buffer.from(memory);
  }

  get size(): number {
    return this.#size;
  }

  /** What was added since it was last cleared; good until something is added. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  clear(): void {
    this.#size = 0;
  }

  text(text: string): void {
    const { length } = text;
    const most = length < LONG ? length * MOST_BYTES : Buffer.byteLength(text);
    this.#makeRoom(most);
    this.#size += this.#bytes.write(text, this.#size, most, 'utf8');
  }

  /** Bytes that are UTF-8 already. */
  copy(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#makeRoom(length);
    this.#bytes.set(bytes, this.#size);
    this.#size += length;
  }

  /** A few such bytes, for which a call costs more than they do. */
  few(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#makeRoom(length);
    const all = this.#bytes;
    const at = this.#size;
    for (let i = 0; i < length; i++) all[at + i] = bytes[i] ?? 0;
    this.#size = at + length;
  }

  /** A whole number from 0 on, as short as it can be. */
  number(value: number): void {
    if (value >= SMALL) {
      this.text(String(value));
      return;
    }
    let digits = 1;
    for (let most = TEN; most <= value; most *= TEN) digits++;
    this.padded(value, digits);
  }

  /** A whole number from 0 on below a thousand million, in so many digits. */
  padded(value: number, digits: number): void {
    this.#makeRoom(digits);
    const all = this.#bytes;
    const end = this.#size + digits;
    let rest = value | 0;
    for (let at = end - 1; at >= this.#size; at--) {
      const less = (rest / TEN) | 0;
      all[at] = ZERO + rest - less * TEN;
      rest = less;
    }
    this.#size = end;
  }

  #makeRoom(more: number): void {
    const needed = this.#size + more;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.bytes);
    this.#bytes = larger;
  }
}
