/**
 * IPv4's own fields as filters test them: the fragment offset, and where the header ends.
 * @module
 */
import { equals, load, type Test, type Value } from './test.ts';

/** Not a fragment other than the first. */
export function firstFragment(payloadOffset: number): Test {
  return equals(load(payloadOffset + 6, 2), 0, 0x1fff);
}

/** Where the IPv4 payload starts, by the header length that the packet says. */
export function transportStart(payloadOffset: number): Value {
  const first = load(payloadOffset, 1);
  return (b, wire) => {
    const version = first(b, wire);
    return version < 0 ? -1 : payloadOffset + 4 * (version & 0x0f);
  };
}
