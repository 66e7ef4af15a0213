/**
 * The wiring document: checked against its schema, read, and held against what Azure refuses.
 * @module
 */
import { createRequire } from 'node:module';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import type { Diagnostic } from '../../../diagnostic/diagnostic.ts';
import type { Address, Family, Prefix } from '../../../wire/address/address.ts';
import { decodeAzureNetwork } from '../../azure/decode-network.ts';
import type { AzureNetwork } from '../../azure/network.ts';
import { parseCidr, parseIp } from '../../manifest/cidr.ts';
import { show } from '../../manifest/field-error.ts';
import type { MapTree, Tree } from '../../manifest/tree.ts';
import {
  boolean,
  get,
  items,
  number,
  placeAt,
  placeOf,
  text,
  toPlain,
} from '../../manifest/tree.ts';
import type { Node, Wiring } from '../../model.ts';
import { nearest } from '../../nearest.ts';
import { CIDR_DETAIL, IP_DETAIL } from '../decode.ts';
import { WIRING_SCHEMA } from './schema.ts';

export interface NodePool {
  readonly name: string;
  readonly count: number;
  readonly maxPods: number | null;
  readonly os: Node['os'];
  /** Range of its pods' subnet; null where it names one that is not described. */
  readonly podSubnet?: Prefix | null;
  /** `Windows2022`, `Ubuntu`; absent when nobody says. */
  readonly osSku?: string;
  readonly disableOutboundNat?: true;
}

/** What a wiring document says; null and empty for what it leaves out. */
export interface GivenWiring {
  readonly tree: MapTree;
  readonly kubernetesVersion: string | null;
  readonly networkPlugin: Wiring['networkPlugin'] | null;
  readonly networkPluginMode: Wiring['networkPluginMode'];
  readonly networkPolicy: Wiring['networkPolicy'] | null;
  readonly podCidrs: readonly Prefix[];
  readonly serviceCidrs: readonly Prefix[];
  readonly dnsServiceIp: Address | null;
  readonly clusterDomain: string | null;
  /** Whether a pool's nodes answer for names themselves (LocalDNS). */
  readonly localDns: boolean;
  readonly families: readonly Family[];
  readonly vnet: readonly Prefix[];
  readonly subnets: readonly Prefix[];
  readonly nodePools: readonly NodePool[];
  readonly azure: AzureNetwork;
}

const NAME = 'Wiring';

/** Read wiring documents: none gives null, several are a mistake. */
export function decodeWiring(
  documents: readonly MapTree[],
  problems: Diagnostic[],
): GivenWiring | null {
  const [tree, ...more] = documents;
  if (!tree) return null;
  for (const other of more) {
    const first = placeOf(tree);
    const message = `a cluster has one wiring; the first is at ${first.file}:${first.line}`;
    problems.push({ code: 'DUPLICATE_OBJECT', ...placeOf(other), object: NAME, message });
  }
  if (!matchesSchema(tree, problems)) return null;
  const prefixes = (at: Tree | undefined, field: string) =>
    (at?.kind === 'list' ? at.items : at ? [at] : []).flatMap((item, i) =>
      prefixAt(problems, item, at?.kind === 'list' ? `${field}[${i}]` : field),
    );
  const both = (one: string, many: string) => {
    const list = get(tree, many);
    return list ? prefixes(list, many) : prefixes(get(tree, one), one);
  };
  const networks = items(get(tree, 'virtualNetworks'));
  const azure = decodeAzureNetwork(tree, problems);
  return {
    tree,
    kubernetesVersion: text(get(tree, 'kubernetesVersion')) ?? null,
    networkPlugin: (text(get(tree, 'networkPlugin')) ?? null) as GivenWiring['networkPlugin'],
    networkPluginMode: text(get(tree, 'networkPluginMode')) === 'overlay' ? 'overlay' : 'none',
    networkPolicy: (text(get(tree, 'networkPolicy')) ?? null) as GivenWiring['networkPolicy'],
    podCidrs: both('podCidr', 'podCidrs'),
    serviceCidrs: both('serviceCidr', 'serviceCidrs'),
    dnsServiceIp: dnsAddress(problems, get(tree, 'dnsServiceIP')),
    clusterDomain: text(get(tree, 'clusterDomain')) ?? null,
    localDns: items(get(tree, 'nodePools')).some(
      (pool) => text(get(pool, 'localDNSProfile', 'mode')) === 'Required',
    ),
    families: items(get(tree, 'ipFamilies')).map((f) => (text(f) === 'IPv6' ? 6 : 4)),
    vnet: networks
      .slice(0, 1)
      .flatMap((n, i) =>
        prefixes(get(n, 'addressPrefixes'), `virtualNetworks[${i}].addressPrefixes`),
      ),
    subnets: networks
      .slice(0, 1)
      .flatMap((n, i) =>
        items(get(n, 'subnets')).flatMap((s, j) =>
          prefixes(get(s, 'addressPrefix'), `virtualNetworks[${i}].subnets[${j}].addressPrefix`),
        ),
      ),
    nodePools: items(get(tree, 'nodePools')).map((pool) => ({
      name: text(get(pool, 'name')) ?? '',
      count: number(get(pool, 'count')) ?? 3,
      maxPods: number(get(pool, 'maxPods')) ?? null,
      os: text(get(pool, 'osType')) === 'Windows' ? 'windows' : 'linux',
      ...podSubnetOf(pool, azure, problems),
      ...(get(pool, 'osSKU') === undefined ? {} : { osSku: text(get(pool, 'osSKU')) ?? '' }),
      ...(boolean(get(pool, 'windowsProfile', 'disableOutboundNat')) === true
        ? { disableOutboundNat: true as const }
        : {}),
    })),
    azure,
  };
}

/** The subnet that a pool's pods are in; a name has to be a subnet's where any are named. */
function podSubnetOf(
  pool: Tree,
  { subnets }: AzureNetwork,
  problems: Diagnostic[],
): Pick<NodePool, 'podSubnet'> {
  const at = get(pool, 'podSubnet');
  const name = text(at);
  if (!at || name === undefined) return {};
  const found = subnets.find((s) => s.name === name);
  const names = subnets.map((s) => s.name).filter((n) => !n.includes('/'));
  if (!found && names.length > 0) {
    problems.push({
      code: 'WIRING_NAME',
      ...placeOf(at),
      object: NAME,
      field: 'nodePools.podSubnet',
      message: 'no subnet of the virtual network has this name',
      found: show(at),
      accepted: names.join(', '),
    });
  }
  return { podSubnet: found?.prefix ?? null };
}

function prefixAt(problems: Diagnostic[], at: Tree, field: string): readonly Prefix[] {
  const prefix = parseCidr(text(at) ?? '');
  if (prefix) return [prefix];
  const found = show(at);
  problems.push({
    code: 'CIDR_INVALID',
    ...placeOf(at),
    object: NAME,
    field,
    message: CIDR_DETAIL,
    found,
  });
  return [];
}

function dnsAddress(problems: Diagnostic[], at: Tree | undefined): Address | null {
  if (!at) return null;
  const address = parseIp(text(at) ?? '');
  if (!address) {
    problems.push({
      code: 'ADDRESS_INVALID',
      ...placeOf(at),
      object: NAME,
      field: 'dnsServiceIP',
      message: IP_DETAIL,
      found: show(at),
    });
  }
  return address;
}

/** The schema's check, made when first needed: compiling it takes longer than all its uses. */
let compiled: ValidateFunction | undefined;

/** The validator is a hundred modules: they are loaded by those who have a wiring document. */
function compileSchema(): ValidateFunction {
  const require = createRequire(import.meta.url);
  const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js');
  return new Ajv2020({ allErrors: true, verbose: true }).compile(WIRING_SCHEMA);
}

function matchesSchema(tree: MapTree, problems: Diagnostic[]): boolean {
  compiled ??= compileSchema();
  const validate = compiled;
  if (validate(toPlain(tree))) return true;
  for (const error of validate.errors ?? []) problems.push(schemaProblem(tree, error));
  return false;
}

function schemaProblem(tree: MapTree, error: ErrorObject): Diagnostic {
  const steps = error.instancePath.split('/').slice(1);
  let at: Tree = tree;
  let field = '';
  for (const step of steps) {
    field = at.kind === 'list' ? `${field}[${step}]` : field === '' ? step : `${field}.${step}`;
    at = (at.kind === 'list' ? at.items[Number(step)] : get(at, step)) ?? at;
  }
  const base = { code: 'WIRING_SCHEMA', ...placeOf(at), object: NAME };
  const params = error.params as Readonly<Record<string, unknown>>;
  if (error.keyword === 'additionalProperties') {
    const name = String(params['additionalProperty']);
    const full = field === '' ? name : `${field}.${name}`;
    const schema = error.parentSchema as { readonly properties?: object } | undefined;
    const guess = nearest(name, Object.keys(schema?.properties ?? {}));
    const keyAt = at.kind === 'map' ? at.entries.get(name)?.keyAt : undefined;
    const place = keyAt === undefined ? {} : placeAt(at.source, keyAt);
    const hint = guess === null ? '' : `, did you mean "${guess}"?`;
    const message = `unknown field "${full}"${hint}`;
    return { ...base, ...place, code: 'UNKNOWN_FIELD', field: full, message };
  }
  const found = show(at);
  const where = field === '' ? {} : { field };
  if (error.keyword === 'enum') {
    const accepted = (params['allowedValues'] as readonly unknown[]).join(', ');
    return { ...base, ...where, message: 'unsupported value', found, accepted };
  }
  return { ...base, ...where, message: error.message ?? error.keyword, found };
}
