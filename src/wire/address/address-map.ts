/**
 * A map from addresses. IPv4 addresses are numbers in it: a million of them take no strings.
 * @module
 */
import { type Address, addressKey } from './address.ts';

export class AddressMap<V> {
  readonly #four = new Map<number, V>();
  readonly #six = new Map<string, V>();

  get(address: Address): V | undefined {
    return address.family === 4
      ? this.#four.get(address.w3 | 0)
      : this.#six.get(addressKey(address));
  }

  has(address: Address): boolean {
    return address.family === 4
      ? this.#four.has(address.w3 | 0)
      : this.#six.has(addressKey(address));
  }

  set(address: Address, value: V): void {
    if (address.family === 4) this.#four.set(address.w3 | 0, value);
    else this.#six.set(addressKey(address), value);
  }
}
