/**
 * Timestamps of one pcapng interface (`if_tsresol`, `if_tsoffset`) as nanoseconds since the epoch.
 *
 * Units finer than a nanosecond are rounded down. Timestamps are unsigned, the offset is signed.
 * @module
 */

const NS_PER_SECOND = 1_000_000_000n;
const BINARY_FLAG = 0x80;
const EXPONENT_MASK = 0x7f;
const WORD = 2 ** 32;

export class InterfaceClock {
  readonly #unitsPerSecond: bigint;
  readonly offsetNs: bigint;
  /** Nanoseconds a unit has, when that is a whole number that keeps doubles exact; else 0. */
  readonly nsPerUnit: number;
  /** The last high word and its nanoseconds: it changes every 71 minutes at microseconds. */
  #high = -1;
  #highNs = 0n;

  /** @param resolution the `if_tsresol` octet: a power of 10, or of 2 with the top bit set */
  constructor(resolution: number, offsetSeconds: bigint) {
    const exponent = BigInt(resolution & EXPONENT_MASK);
    this.#unitsPerSecond = (resolution & BINARY_FLAG) !== 0 ? 2n ** exponent : 10n ** exponent;
    this.offsetNs = offsetSeconds * NS_PER_SECOND;
    const whole = NS_PER_SECOND % this.#unitsPerSecond === 0n;
    const ns = whole ? Number(NS_PER_SECOND / this.#unitsPerSecond) : 0;
    this.nsPerUnit = ns <= 1_000_000 ? ns : 0;
  }

  toNs(high: number, low: number): bigint {
    if (this.nsPerUnit === 0) {
      const units = (BigInt(high) << 32n) | BigInt(low);
      return (units * NS_PER_SECOND) / this.#unitsPerSecond + this.offsetNs;
    }
    if (high !== this.#high) {
      this.#high = high;
      this.#highNs = BigInt(high) * BigInt(WORD) * BigInt(this.nsPerUnit) + this.offsetNs;
    }
    // At most 2^32 * 10^6: exact in a double.
    return this.#highNs + BigInt(low * this.nsPerUnit);
  }
}
