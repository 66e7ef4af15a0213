/**
 * The masquerade agent's ConfigMaps (ip-masq-agent, azure-ip-masq-agent-config*): which
 * destinations keep the pod's own address as source.
 * @module
 */
import type { Prefix } from '../wire/address.ts';
import { CIDR_DETAIL } from './decode/decode.ts';
import type { MasqueradeConfig } from './infer-wiring.ts';
import { parseCidr } from './manifest/cidr.ts';
import type { FieldErrors } from './manifest/field-error.ts';
import type { LoadedObject } from './manifest/load.ts';
import { parseYaml } from './manifest/parse-yaml.ts';
import { entries, get, items, sourceText, text } from './manifest/tree.ts';

/**
 * Read one ConfigMap. The user's `azure-ip-masq-agent-config` adds to what AKS reconciles; any
 * other stands for the whole.
 */
export function decodeMasquerade(errors: FieldErrors, object: LoadedObject): MasqueradeConfig {
  const cidrs: Prefix[] = [];
  for (const [key, entry] of entries(get(object.tree, 'data'))) {
    const field = `data[${key}]`;
    const { documents, problems } = parseYaml(sourceText(object.name, text(entry.value) ?? ''));
    for (const p of problems) {
      errors.invalidText('MASQUERADE_CONFIG', entry.value, field, 'this text', p.message);
    }
    items(get(documents[0], 'nonMasqueradeCIDRs')).forEach((item, i) => {
      const prefix = parseCidr(text(item) ?? '');
      const found = JSON.stringify(text(item) ?? '');
      const at = `${field}.nonMasqueradeCIDRs[${i}]`;
      if (prefix) cidrs.push(prefix);
      else errors.invalidText('CIDR_INVALID', entry.value, at, found, CIDR_DETAIL);
    });
  }
  return { cidrs, replaces: object.name !== 'azure-ip-masq-agent-config' };
}
