/**
 * Calico's IPPools: which addresses are pods', and whether they are masqueraded outside.
 *
 * projectcalico/calico api/pkg/apis/projectcalico/v3/ippool.go. Pools that encapsulate (IPIP,
 * VXLAN) are refused: their tunnels are not emulated.
 * @module
 */
import { parseCidr } from '../../manifest/cidr.ts';
import type { FieldErrors } from '../../manifest/field-error.ts';
import type { LoadedObject } from '../../manifest/load.ts';
import { boolean, get, text } from '../../manifest/tree.ts';
import type { IpPool } from '../../model.ts';
import { CIDR_DETAIL, metaOf } from '../decode.ts';

/** Read one pool; null when it can not be used. */
export function decodeIpPool(errors: FieldErrors, object: LoadedObject): IpPool | null {
  const spec = get(object.tree, 'spec');
  for (const mode of ['ipipMode', 'vxlanMode']) {
    const at = get(spec, mode);
    const value = text(at);
    if (!at || value === undefined || value === 'Never') continue;
    const detail = 'tunnels of Calico are not emulated: "Never"';
    errors.invalidText('CALICO_POOL', at, `spec.${mode}`, JSON.stringify(value), detail);
  }
  const at = get(spec, 'cidr');
  const cidr = parseCidr(text(at) ?? '');
  if (!cidr) {
    const found = JSON.stringify(text(at) ?? '');
    errors.invalidText('CIDR_INVALID', at ?? object.tree, 'spec.cidr', found, CIDR_DETAIL);
    return null;
  }
  return { ...metaOf(object), cidr, natOutgoing: boolean(get(spec, 'natOutgoing')) ?? false };
}
