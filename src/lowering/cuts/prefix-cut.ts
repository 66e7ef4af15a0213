/**
 * The simplest question: whether an address lies in a prefix.
 * @module
 */
import type { AddressCut } from '../../image/classes/cut.ts';
import { formatPrefix, maskAddress, type Prefix } from '../../wire/address/address.ts';

/** Is the address in the prefix? */
export function prefixCut(given: Prefix, sides: AddressCut['sides'], what: string): AddressCut {
  const { length } = given;
  const prefix = { address: maskAddress(given.address, length), length };
  const key = `${sides.join()} ${formatPrefix(prefix)}`;
  const { family } = prefix.address;
  const answers = () => [{ prefix, answer: 'in' }];
  return { kind: 'address', family, sides, what, key, answers, chained: false };
}
