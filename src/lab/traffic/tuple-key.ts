/**
 * The name of a captured connection, whichever way a packet of it goes.
 * @module
 */
import { type Address, addressKey, compareAddress } from '../../wire/address/address.ts';

/** Map key of a tuple, equal for both directions. */
export function tupleKey(
  protocol: number,
  a: { readonly address: Address; readonly port: number },
  b: { readonly address: Address; readonly port: number },
): string {
  const order = compareAddress(a.address, b.address) || a.port - b.port;
  const [low, high] = order <= 0 ? [a, b] : [b, a];
  // In one piece: strings that are put together are copied when they are looked up.
  if (low.address.family === 4) {
    const [x, y] = [low.address.w3, high.address.w3];
    return String.fromCharCode(
      protocol,
      low.port,
      high.port,
      x >>> 16,
      x & 0xffff,
      y >>> 16,
      y & 0xffff,
    );
  }
  const ports = String.fromCharCode(protocol, low.port, high.port);
  return ports + addressKey(low.address) + addressKey(high.address);
}
