/**
 * The masquerade agents' ConfigMaps: which destinations keep the pod's own address as source.
 *
 * Two agents read the same words and mean different things by their absence:
 *
 *   ip-masq-agent (v1)        one file laid over the defaults: a list that is not there is RFC 1918
 *   azure-ip-masq-agent (v2)  all files merged into nothing: lists united, booleans or-ed
 *
 * AKS writes the v2 agent's first file itself (`azure-ip-masq-agent-config-reconciled`: the virtual
 * network, the subnet, the pods' and the Services' ranges, and link-local masqueraded); the user's
 * `azure-ip-masq-agent-config` is merged with it. Sources: kubernetes-sigs/ip-masq-agent and
 * Azure/ip-masq-agent-v2 `cmd/…/ip-masq-agent.go` (`syncConfig`, `merge`, `validate`).
 * @module
 */
import type { Prefix } from '../wire/address/address.ts';
import { equalAddress, formatAddress, formatPrefix, maskAddress } from '../wire/address/address.ts';
import { CIDR_DETAIL } from './decode/decode.ts';
import { parseCidr } from './manifest/cidr.ts';
import type { FieldErrors } from './manifest/field-error.ts';
import type { LoadedObject } from './manifest/load.ts';
import { parseYaml } from './manifest/parse-yaml.ts';
import type { Tree } from './manifest/tree.ts';
import { boolean, entries, get, items, sourceText, text } from './manifest/tree.ts';
import type { Masquerade } from './model.ts';

/** One file of an agent; absent parts are not in it. */
export interface MasqueradeFile {
  readonly agent: Masquerade['agent'];
  /** What AKS keeps itself, which stands for its own defaults when given. */
  readonly reconciled: boolean;
  readonly cidrs: readonly Prefix[] | null;
  readonly linkLocal: boolean | null;
  readonly linkLocal6: boolean | null;
}

/** More ranges than this in one file, and the agent refuses it. */
const MOST_CIDRS = 64;

/** The ranges of RFC 1918, which v1 keeps when nobody says otherwise. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'].flatMap(
  (range) => parseCidr(range) ?? [],
);

/** Read one ConfigMap: each of its keys is a file. */
export function decodeMasquerade(
  errors: FieldErrors,
  object: LoadedObject,
): readonly MasqueradeFile[] {
  const isV1 = object.name === 'ip-masq-agent';
  return entries(get(object.tree, 'data')).map(([key, entry]) => {
    const field = `data[${key}]`;
    const source = sourceText(object.name, text(entry.value) ?? '');
    const { documents, problems } = parseYaml(source);
    for (const p of problems) {
      errors.invalidText('MASQUERADE_CONFIG', entry.value, field, 'this text', p.message);
    }
    const [file] = documents;
    const list = get(file, 'nonMasqueradeCIDRs');
    return {
      agent: isV1 ? 'ip-masq-agent' : 'azure-ip-masq-agent',
      reconciled: !isV1 && object.name !== 'azure-ip-masq-agent-config',
      cidrs: list ? readCidrs(errors, entry.value, field, list, isV1 ? file : undefined) : null,
      linkLocal: boolean(get(file, 'masqLinkLocal')) ?? null,
      linkLocal6: boolean(get(file, 'masqLinkLocalIPv6')) ?? null,
    };
  });
}

function readCidrs(
  errors: FieldErrors,
  at: Tree,
  field: string,
  list: Tree,
  v1: Tree | undefined,
): readonly Prefix[] {
  const found: Prefix[] = [];
  const written = items(list);
  const given = get(v1, 'cidrLimit');
  const limit = given?.kind === 'scalar' ? Number(given.value) : MOST_CIDRS;
  if (written.length > limit) {
    const message =
      `the daemon can only accept up to ${limit} CIDRs (excluding link-local), ` +
      `but got ${written.length} CIDRs (excluding link local)`;
    errors.invalidText('MASQUERADE_CONFIG', at, `${field}.nonMasqueradeCIDRs`, 'list', message);
  }
  written.forEach((item, i) => {
    const shown = text(item) ?? '';
    const prefix = parseCidr(shown);
    const place = `${field}.nonMasqueradeCIDRs[${i}]`;
    const quoted = JSON.stringify(shown);
    if (!prefix) {
      errors.invalidText('CIDR_INVALID', at, place, quoted, CIDR_DETAIL);
      return;
    }
    const network = { address: maskAddress(prefix.address, prefix.length), length: prefix.length };
    if (!equalAddress(network.address, prefix.address)) {
      const ip = formatAddress(prefix.address);
      const message =
        `CIDR ${quoted} is not aligned to a CIDR block, ` +
        `ip: "${ip}" network: "${formatPrefix(network)}"; the agent refuses the whole file`;
      errors.invalidText('MASQUERADE_CONFIG', at, place, quoted, message);
      return;
    }
    found.push(network);
  });
  return found;
}

/**
 * The agent of a cluster: v1 where its ConfigMap is given, else v2 on AKS (whatever else is given
 * is merged), else none. `own` are the cluster's ranges, as AKS lists them.
 */
export function settleMasquerade(
  files: readonly MasqueradeFile[],
  own: readonly Prefix[],
  isAks: boolean,
): Masquerade | null {
  const v2 = files.filter((f) => f.agent === 'azure-ip-masq-agent');
  const v1 = files.filter((f) => f.agent === 'ip-masq-agent');
  if (v1.length > 0 && v2.length === 0) return overDefaults(v1);
  if (v2.length === 0 && !isAks) return null;
  const kept = v2.some((f) => f.reconciled)
    ? v2.toSorted((a, b) => Number(b.reconciled) - Number(a.reconciled))
    : [ofAks(own), ...v2];
  return {
    agent: 'azure-ip-masq-agent',
    nonMasqueradeCidrs: united(kept.flatMap((f) => f.cidrs ?? [])),
    linkLocal: kept.some((f) => f.linkLocal === true),
    linkLocal6: kept.some((f) => f.linkLocal6 === true),
    ...ownPart(v2.filter((f) => !f.reconciled)),
  };
}

/** What AKS puts into the reconciled file of a cluster (aks-engine's and the 2022 dump's). */
function ofAks(own: readonly Prefix[]): MasqueradeFile {
  return {
    agent: 'azure-ip-masq-agent',
    reconciled: true,
    cidrs: own,
    linkLocal: true,
    linkLocal6: null,
  };
}

/** v1 unmarshals its file over the defaults. */
function overDefaults(files: readonly MasqueradeFile[]): Masquerade {
  const last = <T>(pick: (f: MasqueradeFile) => T | null) =>
    files.reduce<T | null>((found, f) => pick(f) ?? found, null);
  return {
    agent: 'ip-masq-agent',
    nonMasqueradeCidrs: last((f) => f.cidrs) ?? PRIVATE,
    linkLocal: last((f) => f.linkLocal) ?? false,
    linkLocal6: last((f) => f.linkLocal6) ?? false,
    ...ownPart(files),
  };
}

/** Ranges of the user's own files. */
function ownPart(files: readonly MasqueradeFile[]): Pick<Masquerade, 'own'> {
  return files.length === 0 ? {} : { own: united(files.flatMap((f) => f.cidrs ?? [])) };
}

function united(prefixes: readonly Prefix[]): readonly Prefix[] {
  return [...new Map(prefixes.map((p) => [formatPrefix(p), p])).values()];
}
