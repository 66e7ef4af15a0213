/**
 * What the decoders of all kinds share: metadata into model values.
 * @module
 */
import type { Address } from '../../wire/address/address.ts';
import { parseIp } from '../manifest/cidr.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import type { LoadedObject } from '../manifest/load.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, placeOf, text, textMap } from '../manifest/tree.ts';
import type { ObjectMeta, TransportProtocol } from '../model.ts';

export const IP_DETAIL = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
export const CIDR_DETAIL = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';

export function metaOf(object: LoadedObject): ObjectMeta {
  return {
    name: object.name,
    labels: textMap(get(object.tree, 'metadata', 'labels')),
    source: placeOf(object.tree),
  };
}

/** The address, or none and a complaint. */
export function addressAt(
  errors: FieldErrors,
  at: Tree | undefined,
  field: string,
): readonly Address[] {
  if (!at || text(at) === '') return [];
  const address = parseIp(text(at) ?? '');
  if (!address) errors.invalid('ADDRESS_INVALID', at, field, IP_DETAIL);
  return address ? [address] : [];
}

/** A protocol that validation has passed; TCP where it is left out. */
export function protocolOf(at: Tree | undefined): TransportProtocol {
  const name = text(at);
  return name === 'UDP' || name === 'SCTP' ? name : 'TCP';
}
