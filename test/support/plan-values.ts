/**
 * fast-check arbitraries of the values in plans, in the form in which the tools print them.
 *
 * With `loadable` only what any kernel with the modules takes: no conntrack helpers or nfacct
 * objects, which would have to be made first, and sets only of the names in `LOADABLE_SETS`.
 * @module
 */
import fc from 'fast-check';
import type { TableName } from '../../src/netfilter/hook.ts';
import type { Negatable } from '../../src/netfilter/match.ts';
import {
  type Address,
  bits,
  type Family,
  ipv4,
  ipv6,
  maskAddress,
  type Prefix,
} from '../../src/wire/address/address.ts';

export interface RuleScope {
  readonly family: Family;
  readonly table: TableName;
  readonly loadable: boolean;
}

/** Sets that the kernel test makes before it loads rules. */
export const LOADABLE_SETS: Readonly<Record<Family, string>> = { 4: 'pods4', 6: 'pods6' };

export const byte = fc.integer({ min: 0, max: 255 });
export const port = fc.integer({ min: 0, max: 65535 });
export const u32 = fc.oneof(fc.constantFrom(0, 1, 0x4000, 0xffffffff), fc.nat(0xffffffff));

export function addressOf(family: Family): fc.Arbitrary<Address> {
  if (family === 4) return u32.map(ipv4);
  // Global unicast, so that no text form is an IPv4 address in disguise.
  return fc.tuple(u32, u32, u32).map(([a, b, c]) => ipv6(0xfd000000, a, b, c));
}

/** A network of length 1 or more, host bits cleared. */
export function networkOf(family: Family): fc.Arbitrary<Prefix> {
  const length = fc.oneof(fc.constant(bits(family)), fc.integer({ min: 1, max: bits(family) }));
  return fc
    .tuple(addressOf(family), length)
    .map(([address, n]) => ({ address: maskAddress(address, n), length: n }));
}

export function negatable<T>(value: fc.Arbitrary<T>): fc.Arbitrary<Negatable<T>> {
  return fc.record({ value, negate: fc.boolean() });
}

export function rangeOf(value: fc.Arbitrary<number>) {
  return fc.tuple(value, value).map(([a, b]) => ({ low: Math.min(a, b), high: Math.max(a, b) }));
}

/**
 * One port, or a range that touches neither end: an inverted range from 0 is printed by the nft
 * backend as the range above it.
 */
export const ports = fc.oneof(
  port.map((one) => ({ low: one, high: one })),
  rangeOf(fc.integer({ min: 1, max: 65534 })),
);

export const interfaceName = fc
  .tuple(fc.constantFrom('eth', 'azv', 'cali', 'veth'), fc.nat(99), fc.constantFrom('', '+'))
  .map((parts) => parts.join(''));

/** Text with every kind of character that the tools quote. */
export const text = (max: number) =>
  fc.string({ unit: fc.constantFrom(...'aZ09-_ "\'\\:/!,.é[]#%'), maxLength: max, minLength: 1 });

export function some<T>(all: readonly T[]): fc.Arbitrary<readonly T[]> {
  return fc.subarray([...all], { minLength: 1 });
}

const setName = (scope: RuleScope) =>
  scope.loadable
    ? fc.constant(LOADABLE_SETS[scope.family])
    : fc.string({ unit: fc.constantFrom(...'abz019-:.'), minLength: 1, maxLength: 31 });

const directions = fc.array(fc.constantFrom('src' as const, 'dst' as const), {
  minLength: 1,
  maxLength: 3,
});

/** Set name and directions, for the match and for the target. */
export const setReference = (scope: RuleScope) => fc.record({ set: setName(scope), directions });
