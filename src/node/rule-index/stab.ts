/**
 * Which of many ranges hold a value: address prefixes by their lengths, port ranges cut into
 * prefixes of 16 bits. Building is linear in ranges, a lookup in the lengths that occur.
 * @module
 */
import type { PortRange } from '../../netfilter/match.ts';
import {
  type Address,
  addressKey,
  bits,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';

/** Numbers under keys that fit a prefix. */
type Held<K> = Map<K, number[]>;

function hold<K>(held: Held<K>, key: K, id: number): void {
  const known = held.get(key);
  if (known === undefined) held.set(key, [id]);
  else if (known.at(-1) !== id) known.push(id);
}

export class AddressStab {
  readonly #byLength = new Map<number, Held<string>>();

  /** Add one range under a number; the numbers of one range after the other may only rise. */
  add(prefix: Prefix, id: number): void {
    const { address, length } = prefix;
    let held = this.#byLength.get(length);
    if (held === undefined) {
      held = new Map();
      this.#byLength.set(length, held);
    }
    hold(held, addressKey(maskAddress(address, length)), id);
  }

  /** Told the number of every range that holds the address; of overlapping ones more than once. */
  find(address: Address, found: (id: number) => void): void {
    const whole = bits(address.family);
    for (const [length, held] of this.#byLength) {
      // Ranges of the other family can have lengths that this one lacks.
      if (length > whole) continue;
      const masked = length === whole ? address : maskAddress(address, length);
      for (const id of held.get(addressKey(masked)) ?? NOBODY) found(id);
    }
  }
}

const NOBODY: readonly number[] = [];
const PORT_BITS = 16;

export class PortStab {
  readonly #held: Held<number> = new Map();
  readonly #lengths = new Set<number>();

  add({ low, high }: PortRange, id: number): void {
    for (let at = low; at <= high; ) {
      // The widest aligned block that starts here and does not end behind the range.
      let zeros = 0;
      while (
        zeros < PORT_BITS &&
        at % 2 ** (zeros + 1) === 0 &&
        at + 2 ** (zeros + 1) - 1 <= high
      ) {
        zeros += 1;
      }
      this.#lengths.add(zeros);
      hold(this.#held, keyOf(at, zeros), id);
      at += 2 ** zeros;
    }
  }

  find(port: number, found: (id: number) => void): void {
    for (const zeros of this.#lengths) {
      for (const id of this.#held.get(keyOf(port, zeros)) ?? NOBODY) found(id);
    }
  }
}

/** The bits above `zeros`, and how many were left out. */
function keyOf(port: number, zeros: number): number {
  return (port >>> zeros) * (PORT_BITS + 1) + zeros;
}
