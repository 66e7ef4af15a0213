/**
 * One pcapng block under construction: fixed fields, padded data, options, the length at both ends.
 * @module
 */
import { assert } from '../../diagnostic/diagnostic.ts';
import { OptionCode, padded } from '../format/pcapng-layout.ts';

const OPTION_BYTES_MAX = 0xffff;

export class BlockBuilder {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;
  #options = 0;

  start(type: number): void {
    this.#used = 0;
    this.#options = 0;
    this.u32(type);
    this.u32(0);
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#used, value, true);
    this.#used += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#used, value, true);
    this.#used += 4;
  }

  u64(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#used, value, true);
    this.#used += 8;
  }

  /** Append, padded with zeros to a multiple of four. */
  bytes(data: Uint8Array): void {
    this.#reserve(padded(data.length));
    this.#bytes.set(data, this.#used);
    const end = this.#used + padded(data.length);
    this.#bytes.fill(0, this.#used + data.length, end);
    this.#used = end;
  }

  /** A value longer than the format's 65535 bytes is cut: only comments can be so long. */
  option(code: number, value: Uint8Array): void {
    const fits = value.length > OPTION_BYTES_MAX ? value.subarray(0, OPTION_BYTES_MAX) : value;
    this.u16(code);
    this.u16(fits.length);
    this.bytes(fits);
    this.#options = code === OptionCode.end ? 0 : this.#options + 1;
  }

  /** Close the option list and the block. @returns a view, valid until the next `start`. */
  finish(): Uint8Array {
    if (this.#options > 0) this.u32(OptionCode.end);
    const length = this.#used + 4;
    assert(length % 4 === 0, 'a block is a multiple of four bytes');
    this.u32(length);
    this.#view.setUint32(4, length, true);
    return this.#bytes.subarray(0, length);
  }

  #reserve(count: number): void {
    if (this.#used + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#used + count));
    grown.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
