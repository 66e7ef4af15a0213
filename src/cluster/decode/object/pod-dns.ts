/**
 * What a pod's spec says about names: `dnsPolicy`, `dnsConfig`, `hostAliases`, checked as the API
 * server does (kubernetes pkg/apis/core/validation/validation.go `validateDNSPolicy`,
 * `validatePodDNSConfig`, `ValidateHostAliases`).
 * @module
 */
import type { FieldErrors } from '../../manifest/field-error.ts';
import { dnsSubdomainErrors } from '../../manifest/names.ts';
import type { Tree } from '../../manifest/tree.ts';
import { get, items, placeOf, text, texts } from '../../manifest/tree.ts';
import type { HostAlias, PodDns } from '../../model.ts';
import { addressAt } from '../decode.ts';

const CODE = 'POD_DNS';
const POLICIES = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'] as const;

const MOST_SERVERS = 3;
const MOST_SEARCHES = 32;
const MOST_SEARCH_LETTERS = 2048;

const plain = (policy: PodDns['policy']) => ({
  dns: { policy, nameservers: [], searches: [], options: [], hostAliases: [] },
});

/** What nearly all of a cluster's pods say, which is one object for each policy. */
const PLAIN = {
  ClusterFirst: plain('ClusterFirst'),
  ClusterFirstWithHostNet: plain('ClusterFirstWithHostNet'),
  Default: plain('Default'),
  None: plain('None'),
} as const;

/** The part of a pod's `spec` at `path`; nothing where it says nothing about names. */
export function decodePodDns(
  errors: FieldErrors,
  spec: Tree | undefined,
  path: string,
): { readonly dns?: PodDns } {
  const policyAt = get(spec, 'dnsPolicy');
  const config = get(spec, 'dnsConfig');
  const aliases = get(spec, 'hostAliases');
  if (!policyAt && !config && !aliases) return {};
  const policy = POLICIES.find((p) => p === text(policyAt));
  if (policyAt && !policy && text(policyAt) !== '') {
    errors.notSupported(CODE, policyAt, `${path}.dnsPolicy`, POLICIES);
  }
  validateConfig(errors, spec, `${path}.dnsConfig`, policy === 'None');
  if (!config && !aliases) return PLAIN[policy ?? 'ClusterFirst'];
  return {
    dns: {
      policy: policy ?? 'ClusterFirst',
      nameservers: items(get(config, 'nameservers')).flatMap((at, i) =>
        addressAt(errors, at, `${path}.dnsConfig.nameservers[${i}]`),
      ),
      searches: texts(get(config, 'searches')).map((search) => search.replace(/\.$/, '')),
      options: items(get(config, 'options')).map((option) => ({
        name: text(get(option, 'name')) ?? '',
        value: text(get(option, 'value')) ?? '',
      })),
      hostAliases: decodeAliases(errors, aliases, `${path}.hostAliases`),
    },
  };
}

function validateConfig(
  errors: FieldErrors,
  spec: Tree | undefined,
  path: string,
  isAlone: boolean,
): void {
  const config = get(spec, 'dnsConfig');
  const servers = get(config, 'nameservers');
  const given = items(servers).length;
  if (isAlone && !config && spec) {
    const detail = 'must provide `dnsConfig` when `dnsPolicy` is None';
    errors.required(CODE, spec, path, detail);
  } else if (isAlone && given === 0 && config) {
    const detail = 'must provide at least one DNS nameserver when `dnsPolicy` is None';
    errors.required(CODE, servers ?? config, `${path}.nameservers`, detail);
  }
  if (servers && given > MOST_SERVERS) {
    const detail = `must not have more than ${MOST_SERVERS} nameservers`;
    errors.invalid(CODE, servers, `${path}.nameservers`, detail);
  }
  const searches = get(config, 'searches');
  const written = texts(searches);
  if (searches && written.length > MOST_SEARCHES) {
    const detail = `must not have more than ${MOST_SEARCHES} search paths`;
    errors.invalid(CODE, searches, `${path}.searches`, detail);
  }
  if (searches && written.join(' ').length > MOST_SEARCH_LETTERS) {
    const most = `${MOST_SEARCH_LETTERS} characters (including spaces) in the search list`;
    errors.invalid(CODE, searches, `${path}.searches`, `must not have more than ${most}`);
  }
  items(searches).forEach((at, i) => {
    for (const e of dnsSubdomainErrors((text(at) ?? '').replace(/\.$/, ''))) {
      errors.invalid(CODE, at, `${path}.searches[${i}]`, e);
    }
  });
  items(get(config, 'options')).forEach((option, i) => {
    if ((text(get(option, 'name')) ?? '') !== '') return;
    errors.required(CODE, option, `${path}.options[${i}]`, 'must not be empty');
  });
}

function decodeAliases(
  errors: FieldErrors,
  list: Tree | undefined,
  path: string,
): readonly HostAlias[] {
  return items(list).flatMap((item, i) => {
    const at = get(item, 'ip');
    if (!at) errors.required(CODE, item, `${path}[${i}].ip`);
    const names = items(get(item, 'hostnames'));
    names.forEach((name, j) => {
      for (const e of dnsSubdomainErrors(text(name) ?? '')) {
        errors.invalid(CODE, name, `${path}[${i}].hostnames[${j}]`, e);
      }
    });
    const [address] = addressAt(errors, at, `${path}[${i}].ip`);
    if (!address) return [];
    return [{ address, names: names.map((name) => text(name) ?? ''), source: placeOf(item) }];
  });
}
