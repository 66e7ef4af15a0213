/**
 * NetworkPolicy as the API server checks it: its fields, and every rule of
 * pkg/apis/networking/validation/validation.go `ValidateNetworkPolicySpec`.
 * @module
 */
import { parseCidr } from '../cluster/manifest/cidr.ts';
import type { FieldErrors } from '../cluster/manifest/field-error.ts';
import { dnsSubdomainErrors } from '../cluster/manifest/names.ts';
import type { Shape } from '../cluster/manifest/schema.ts';
import {
  INTEGER,
  INTEGER_OR_STRING,
  list,
  object,
  STRING,
  STRINGS,
} from '../cluster/manifest/schema.ts';
import { kindShape, SELECTOR } from '../cluster/manifest/schema-core.ts';
import type { Tree } from '../cluster/manifest/tree.ts';
import { get, items, number, text } from '../cluster/manifest/tree.ts';
import { validateMeta, validatePortOrName, validateSelector } from '../cluster/validate/meta.ts';
import { containsPrefix } from '../wire/address/address.ts';

const PEER = object({
  podSelector: SELECTOR,
  namespaceSelector: SELECTOR,
  ipBlock: object({ cidr: STRING, except: STRINGS }),
});

const PORT = object({ protocol: STRING, port: INTEGER_OR_STRING, endPort: INTEGER });

export const NETWORK_POLICY: Shape = kindShape({
  spec: object({
    podSelector: SELECTOR,
    policyTypes: STRINGS,
    ingress: list(object({ from: list(PEER), ports: list(PORT) })),
    egress: list(object({ to: list(PEER), ports: list(PORT) })),
  }),
  status: object({}, 'conditions'),
});

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];
const POLICY_TYPES = ['Ingress', 'Egress'];

/** Check a NetworkPolicy that decodes; values left out have their defaults. */
export function validateNetworkPolicy(errors: FieldErrors, policy: Tree): void {
  validateMeta(errors, policy, { namespaced: true, nameErrors: dnsSubdomainErrors });
  const spec = get(policy, 'spec');
  validateSelector(errors, get(spec, 'podSelector'), 'spec.podSelector');
  for (const [direction, peersKey] of [
    ['ingress', 'from'],
    ['egress', 'to'],
  ] as const) {
    items(get(spec, direction)).forEach((rule, i) => {
      const path = `spec.${direction}[${i}]`;
      items(get(rule, 'ports')).forEach((port, j) => {
        validatePort(errors, port, `${path}.ports[${j}]`);
      });
      items(get(rule, peersKey)).forEach((peer, j) => {
        validatePeer(errors, peer, `${path}.${peersKey}[${j}]`);
      });
    });
  }
  validatePolicyTypes(errors, get(spec, 'policyTypes'));
}

function validatePolicyTypes(errors: FieldErrors, types: Tree | undefined): void {
  if (types && items(types).length > 2) {
    const detail = 'may not specify more than two policyTypes';
    errors.invalid('POLICY_TYPES', types, 'spec.policyTypes', detail, POLICY_TYPES.join(', '));
    return;
  }
  items(types).forEach((type, i) => {
    if (!POLICY_TYPES.includes(text(type) ?? '')) {
      errors.notSupported('POLICY_TYPES', type, `spec.policyTypes[${i}]`, POLICY_TYPES);
    }
  });
}

function validatePort(errors: FieldErrors, item: Tree, path: string): void {
  const protocol = get(item, 'protocol');
  if (protocol && !PROTOCOLS.includes(text(protocol) ?? '')) {
    errors.notSupported('POLICY_PROTOCOL', protocol, `${path}.protocol`, PROTOCOLS);
  }
  const port = get(item, 'port');
  if (port) validatePortOrName(errors, 'POLICY_PORT', port, `${path}.port`);
  const endPort = get(item, 'endPort');
  if (endPort) validateEndPort(errors, port, endPort, `${path}.endPort`);
}

function validateEndPort(
  errors: FieldErrors,
  port: Tree | undefined,
  endPort: Tree,
  path: string,
): void {
  const code = 'POLICY_PORT_RANGE';
  if (!port) {
    errors.invalid(code, endPort, path, 'may not be specified when `port` is not specified');
    return;
  }
  const first = number(port);
  if (first === undefined) {
    errors.invalid(code, endPort, path, 'may not be specified when `port` is non-numeric');
    return;
  }
  const last = number(endPort) ?? 0;
  const accepted = `${Math.max(1, first)}..65535`;
  if (last < first) {
    const detail = 'must be greater than or equal to `port`';
    errors.invalid(code, endPort, path, detail, accepted);
  }
  if (last < 1 || last > 65535) {
    errors.invalid(code, endPort, path, 'must be between 1 and 65535, inclusive', accepted);
  }
}

function validatePeer(errors: FieldErrors, peer: Tree, path: string): void {
  const parts = ['podSelector', 'namespaceSelector', 'ipBlock'] as const;
  const given = parts.filter((part) => get(peer, part) !== undefined);
  validateSelector(errors, get(peer, 'podSelector'), `${path}.podSelector`);
  validateSelector(errors, get(peer, 'namespaceSelector'), `${path}.namespaceSelector`);
  const block = get(peer, 'ipBlock');
  if (block) validateIpBlock(errors, block, `${path}.ipBlock`);
  if (given.length === 0) {
    errors.push(
      {
        code: 'POLICY_PEER',
        type: 'FieldValueRequired',
        field: path,
        detail: 'must specify a peer',
        at: peer,
      },
      parts.join(', '),
    );
  }
  if (block && given.length > 1) {
    errors.forbidden('POLICY_PEER', peer, path, 'may not specify both ipBlock and another peer');
  }
}

function validateIpBlock(errors: FieldErrors, block: Tree, path: string): void {
  const cidr = get(block, 'cidr');
  if (!cidr || text(cidr) === '') {
    errors.required('POLICY_CIDR', block, `${path}.cidr`);
    return;
  }
  const outer = parseCidr(text(cidr) ?? '');
  if (!outer) {
    notCidr(errors, cidr, `${path}.cidr`);
    return;
  }
  items(get(block, 'except')).forEach((item, i) => {
    const field = `${path}.except[${i}]`;
    const inner = parseCidr(text(item) ?? '');
    if (!inner) {
      notCidr(errors, item, field);
    } else if (!containsPrefix(outer, inner) || inner.length <= outer.length) {
      const detail = 'must be a strict subset of `cidr`';
      errors.invalid('POLICY_EXCEPT', item, field, detail, `a range inside ${text(cidr)}`);
    }
  });
}

function notCidr(errors: FieldErrors, at: Tree, field: string): void {
  const detail = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
  errors.invalid('POLICY_CIDR', at, field, detail, 'ADDRESS/LENGTH');
}
