/**
 * A Service's cluster addresses and families as the API server checks them
 * (kubernetes pkg/apis/core/validation/validation.go `ValidateServiceClusterIPsRelatedFields`).
 * @module
 */
import { parseIp } from '../manifest/cidr.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import type { Tree } from '../manifest/tree.ts';
import { get, items, text, texts } from '../manifest/tree.ts';

export const IP_DETAIL = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

const CODE = 'SERVICE_CLUSTER_IP';
const FAMILIES = ['IPv4', 'IPv6'];
const FAMILY_POLICIES = ['SingleStack', 'PreferDualStack', 'RequireDualStack'];

/** Check `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` of any but ExternalName. */
export function validateServiceAddresses(errors: FieldErrors, spec: Tree): void {
  validateFamilies(errors, spec);
  const list = get(spec, 'clusterIPs');
  const clusterIps = texts(list);
  const primary = text(get(spec, 'clusterIP')) ?? '';
  const field = 'spec.clusterIPs';
  const written = JSON.stringify(clusterIps);
  const complain = (detail: string) => {
    errors.invalidText(CODE, list ?? spec, field, written, detail);
  };
  if (clusterIps.length === 0) {
    if (primary !== '') errors.required(CODE, spec, field);
    return;
  }
  if (primary === '') complain('must be empty when clusterIP is empty');
  else if (clusterIps[0] !== primary) complain('element [0] must match clusterIP');
  let bad = false;
  items(list).forEach((item, i) => {
    const value = text(item) ?? '';
    if (i === 0 && value === 'None') {
      if (clusterIps.length > 1) {
        bad = true;
        complain("'None' must be the first and only value");
      }
    } else if (!parseIp(value)) {
      bad = true;
      errors.invalid(CODE, item, `${field}[${i}]`, IP_DETAIL);
    }
  });
  if (clusterIps.length > 2) complain('may only hold up to 2 values');
  if (!bad) validateFamiliesMatch(errors, spec, list ?? spec, clusterIps, complain);
}

function validateFamilies(errors: FieldErrors, spec: Tree): void {
  const seen = new Set<string>();
  items(get(spec, 'ipFamilies')).forEach((item, i) => {
    const family = text(item) ?? '';
    const field = `spec.ipFamilies[${i}]`;
    if (!FAMILIES.includes(family)) {
      errors.notSupported('SERVICE_IP_FAMILY', item, field, FAMILIES);
    } else if (seen.has(family)) {
      errors.duplicate('SERVICE_IP_FAMILY', item, field);
    }
    seen.add(family);
  });
  const policy = get(spec, 'ipFamilyPolicy');
  if (policy && !FAMILY_POLICIES.includes(text(policy) ?? '')) {
    errors.notSupported('SERVICE_IP_FAMILY', policy, 'spec.ipFamilyPolicy', FAMILY_POLICIES);
  }
}

function validateFamiliesMatch(
  errors: FieldErrors,
  spec: Tree,
  list: Tree,
  clusterIps: readonly string[],
  complain: (detail: string) => void,
): void {
  const families = clusterIps.map((ip) => (parseIp(ip)?.family === 6 ? 'IPv6' : 'IPv4'));
  if (clusterIps.length > 1 && new Set(families).size !== 2) {
    complain('may specify no more than one IP for each IP family');
  }
  if (clusterIps[0] === 'None') return;
  texts(get(spec, 'ipFamilies')).forEach((wanted, i) => {
    const found = families[i];
    if (found === undefined || found === wanted || !FAMILIES.includes(wanted)) return;
    const detail = `expected an ${wanted} value as indicated by \`ipFamilies[${i}]\``;
    errors.invalid(CODE, items(list)[i] ?? list, `spec.clusterIPs[${i}]`, detail);
  });
}
