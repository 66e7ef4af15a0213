/**
 * The cluster's names: the domain and the servers that kubelet writes for pods
 * (KubeletConfiguration, as a document or in kubeadm's ConfigMap), and what CoreDNS' Corefile says
 * of the domain (ConfigMaps `coredns`, and AKS's `coredns-custom`, whose `*.override` keys are
 * imported into the main server block).
 *
 * Source: kubelet.config.k8s.io/v1beta1 `clusterDomain`, `clusterDNS`; coredns
 * plugin/kubernetes/README.md (zones, `pods`), AKS "Customize CoreDNS".
 * @module
 */
import { type Address, ipv4 } from '../../wire/address/address.ts';
import type { FieldErrors } from '../manifest/field-error.ts';
import type { LoadedObject } from '../manifest/load.ts';
import { dnsSubdomainErrors } from '../manifest/names.ts';
import { parseYaml } from '../manifest/parse-yaml.ts';
import type { Tree } from '../manifest/tree.ts';
import { entries, get, items, sourceText, text } from '../manifest/tree.ts';
import type { ClusterDns } from '../model.ts';
import { addressAt } from './decode.ts';

const CLUSTER_DOMAIN = 'cluster.local';

/** What AKS and kubeadm configure. */
export const USUAL_DNS: ClusterDns = {
  domain: CLUSTER_DOMAIN,
  servers: [],
  zones: [CLUSTER_DOMAIN],
  podNames: 'insecure',
  altered: null,
};

const KIND = 'KubeletConfiguration';
const CODE = 'CLUSTER_DNS';

/** What one object says of the cluster's names. */
export interface DnsPart {
  readonly domain?: string;
  readonly servers?: readonly Address[];
  readonly zones?: readonly string[];
  readonly podNames?: ClusterDns['podNames'];
  readonly plugins?: readonly Plugin[];
}

/** A plugin that answers in place of `kubernetes`, for these domains; none: for all. */
interface Plugin {
  readonly name: string;
  readonly zones: readonly string[];
}

/** A document of kind KubeletConfiguration. */
export function decodeKubelet(errors: FieldErrors, tree: Tree): DnsPart {
  const at = get(tree, 'clusterDomain');
  const domain = (text(at) ?? '').replace(/\.$/, '');
  if (at && domain !== '') {
    for (const e of dnsSubdomainErrors(domain)) errors.invalid(CODE, at, 'clusterDomain', e);
  }
  const servers = items(get(tree, 'clusterDNS')).flatMap((item, i) =>
    addressAt(errors, item, `clusterDNS[${i}]`),
  );
  return {
    ...(domain === '' ? {} : { domain }),
    ...(servers.length === 0 ? {} : { servers }),
  };
}

/** A ConfigMap of kubelet's configuration or of CoreDNS'; null for any other. */
export function decodeDnsMap(errors: FieldErrors, object: LoadedObject): DnsPart | null {
  if (object.namespace !== 'kube-system') return null;
  const data = entries(get(object.tree, 'data'));
  if (object.name === 'coredns-custom') {
    const overrides = data.filter(([key]) => key.endsWith('.override'));
    return { plugins: overrides.flatMap(([, e]) => pluginsOf(text(e.value) ?? '')) };
  }
  const find = (key: string) => data.find(([name]) => name === key)?.[1].value;
  if (object.name === 'coredns') return corefile(text(find('Corefile')) ?? '');
  const kubelet = find('kubelet');
  if (!kubelet) return null;
  const { documents, problems } = parseYaml(
    sourceText(`${object.name} kubelet`, text(kubelet) ?? ''),
  );
  for (const p of problems) {
    errors.invalidText(CODE, kubelet, 'data[kubelet]', 'this text', p.message);
  }
  const config = documents.find((d) => text(get(d, 'kind')) === KIND);
  return config ? decodeKubelet(errors, config) : null;
}

/**
 * Plugins that answer or rewrite what the `kubernetes` plugin would answer, and how many words
 * stand before their zones; null: they have none.
 */
const ALTERING: ReadonlyMap<string, number | null> = new Map([
  ['rewrite', null],
  ['dns64', null],
  ['template', 2],
  ['hosts', 1],
  ['file', 1],
  ['auto', 0],
  ['secondary', 0],
  ['acl', 0],
]);

function pluginsOf(block: string): readonly Plugin[] {
  return lines(block).flatMap(([name = '', ...words]) => {
    const before = ALTERING.get(name);
    if (before === undefined) return [];
    const zones = before === null ? [] : words.filter((word) => word !== '{').slice(before);
    return [{ name, zones: zones.map(zoneOf) }];
  });
}

function zoneOf(written: string): string {
  return written.replace(/\.$/, '').toLowerCase();
}

/** Whether a name can be in both domains. */
function meets(a: string, b: string): boolean {
  return a === b || a === '' || b === '' || a.endsWith(`.${b}`) || b.endsWith(`.${a}`);
}

/** Lines of a Corefile as words, without comments. */
function lines(corefile: string): readonly (readonly string[])[] {
  return corefile
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/));
}

/** The server block that has the `kubernetes` plugin; null when none has. */
function corefile(written: string): DnsPart | null {
  let depth = 0;
  let block: string[] = [];
  for (const words of lines(written)) {
    const line = words.join(' ');
    block.push(line);
    depth += (line.match(/\{/g) ?? []).length - (line.match(/\}/g) ?? []).length;
    if (depth > 0) continue;
    const part = serverBlock(block.join('\n'));
    if (part !== null) return part;
    block = [];
  }
  return null;
}

const REVERSE = /(^|\.)(in-addr|ip6)\.arpa\.?$/;

function serverBlock(block: string): DnsPart | null {
  const all = lines(block);
  const own = all.find(([word]) => word === 'kubernetes');
  if (!own) return null;
  const zones = own
    .slice(1)
    .filter((word) => word !== '{' && !REVERSE.test(word))
    .map(zoneOf);
  const mode = all.find(([word]) => word === 'pods')?.[1];
  const podNames = mode === 'insecure' || mode === 'verified' ? mode : 'disabled';
  return { zones, podNames, plugins: pluginsOf(block) };
}

/** What a wiring document says of names. */
interface GivenDns {
  readonly clusterDomain: string | null;
  readonly localDns: boolean;
}

/** What pods are told on nodes with LocalDNS (AKS docs, "LocalDNS in AKS"). */
const LOCAL_DNS: readonly Address[] = [ipv4(0xa9fe0a0b)];

/** All parts together: a wiring document's domain goes before what the objects say. */
export function settleDns(given: GivenDns | null, parts: readonly DnsPart[]): ClusterDns | null {
  const domain = given?.clusterDomain ?? null;
  const localDns = given?.localDns === true;
  if (domain === null && parts.length === 0 && !localDns) return null;
  const found: DnsPart = Object.assign({}, ...parts);
  const plugins = parts.flatMap((part) => part.plugins ?? []);
  const searched = domain ?? found.domain ?? found.zones?.[0] ?? CLUSTER_DOMAIN;
  const zones = found.zones ?? [searched];
  const altering = plugins.find(
    (p) => p.zones.length === 0 || p.zones.some((a) => zones.some((b) => meets(a, b))),
  );
  return {
    domain: searched,
    servers: localDns ? LOCAL_DNS : (found.servers ?? []),
    zones,
    podNames: found.podNames ?? 'insecure',
    altered: altering?.name ?? null,
  };
}
