/**
 * The JSON of `az aks show` as a wiring document: its network profile and its node pools, in the
 * words that both share. Values keep their places, so that mistakes are shown in the user's file.
 *
 * Source: Microsoft.ContainerService managedClusters (`networkProfile`, `agentPoolProfiles`), as
 * the Azure CLI prints it. What the JSON names by resource id only (subnets, public addresses) has
 * to come from a wiring document beside it, which goes before it.
 * @module
 */
import type { MapEntry, MapTree, Tree } from '../../manifest/tree.ts';
import { get, isNull, items, text, withValue } from '../../manifest/tree.ts';

/** Fields of the network profile, and what a wiring calls them. */
const PROFILE: readonly (readonly [string, string])[] = [
  ['networkPlugin', 'networkPlugin'],
  ['networkPluginMode', 'networkPluginMode'],
  ['networkPolicy', 'networkPolicy'],
  ['networkDataplane', 'networkDataplane'],
  ['podCidr', 'podCidr'],
  ['podCidrs', 'podCidrs'],
  ['serviceCidr', 'serviceCidr'],
  ['serviceCidrs', 'serviceCidrs'],
  ['dnsServiceIp', 'dnsServiceIP'],
  ['dnsServiceIP', 'dnsServiceIP'],
  ['outboundType', 'outboundType'],
  ['loadBalancerSku', 'loadBalancerSku'],
  ['ipFamilies', 'ipFamilies'],
];

const POOL = ['name', 'count', 'maxPods', 'osType', 'osSKU', 'windowsProfile'] as const;
const BALANCER = ['allocatedOutboundPorts', 'idleTimeoutInMinutes'] as const;
const GATEWAY = ['idleTimeoutInMinutes'] as const;

/** Whether a document is what `az aks show` prints. */
export function isManagedCluster(tree: Tree): tree is MapTree {
  return tree.kind === 'map' && get(tree, 'networkProfile')?.kind === 'map';
}

/** The wiring that a managed cluster's JSON tells. */
export function wiringOfManagedCluster(tree: MapTree): MapTree {
  const entries = new Map<string, MapEntry>();
  const say = (key: string, text: string) => {
    const value: Tree = { kind: 'scalar', value: text, source: tree.source, at: tree.at };
    entries.set(key, { keyAt: tree.at, value });
  };
  say('apiVersion', 'wiretrial/v1');
  say('kind', 'Wiring');
  const profile = get(tree, 'networkProfile');
  for (const [theirs, ours] of PROFILE) {
    const entry = entryOf(profile, theirs);
    if (entry) entries.set(ours, theirs === 'loadBalancerSku' ? lowerCased(entry) : entry);
  }
  const version = entryOf(tree, 'currentKubernetesVersion') ?? entryOf(tree, 'kubernetesVersion');
  if (version) entries.set('kubernetesVersion', version);
  const server = get(tree, 'apiServerAccessProfile');
  if (server?.kind === 'map') {
    const value = apiServerOf(server);
    entries.set('apiServerAccessProfile', { keyAt: server.at, value });
  }
  part(entries, profile, 'loadBalancerProfile', BALANCER);
  part(entries, profile, 'natGatewayProfile', GATEWAY);
  const pools = get(tree, 'agentPoolProfiles');
  if (pools?.kind === 'list') {
    const value: Tree = { ...pools, items: items(pools).map(poolOf) };
    entries.set('nodePools', { keyAt: pools.at, value });
  }
  return { kind: 'map', source: tree.source, at: tree.at, entries };
}

/** A wiring document over what a managed cluster's JSON says: its fields go first. */
export function overManagedCluster(wiring: MapTree, managed: MapTree): MapTree {
  return { ...wiring, entries: new Map([...managed.entries, ...wiring.entries]) };
}

function entryOf(tree: Tree | undefined, key: string): MapEntry | null {
  const entry = tree?.kind === 'map' ? tree.entries.get(key) : undefined;
  if (entry === undefined || isNull(entry.value)) return null;
  return entry.value.kind === 'list' && entry.value.items.length === 0 ? null : entry;
}

/** Who may reach the API server; the CLI writes `authorizedIpRanges`. */
function apiServerOf(server: MapTree): Tree {
  const kept = only(server, ['enablePrivateCluster']);
  const ranges = entryOf(server, 'authorizedIpRanges') ?? entryOf(server, 'authorizedIPRanges');
  if (kept.kind !== 'map' || !ranges) return kept;
  return withValue(kept, 'authorizedIPRanges', ranges.value);
}

/** A pool with the last word of its pods' subnet's id, which is the subnet's name. */
function poolOf(pool: Tree): Tree {
  const kept = withLocalDns(withProfile(only(pool, POOL)), pool);
  const entry = entryOf(pool, 'podSubnetId') ?? entryOf(pool, 'podSubnetID');
  const name = text(entry?.value)?.split('/').at(-1);
  if (kept.kind !== 'map' || !entry || !name) return kept;
  return withValue(kept, 'podSubnet', { ...entry.value, kind: 'scalar', value: name });
}

/** Whether the pool's nodes answer for names; the CLI writes `localDnsProfile`. */
function withLocalDns(kept: Tree, pool: Tree): Tree {
  const profile = entryOf(pool, 'localDnsProfile') ?? entryOf(pool, 'localDNSProfile');
  if (kept.kind !== 'map' || profile === null) return kept;
  return withValue(kept, 'localDNSProfile', only(profile.value, ['mode']));
}

/** Of what Azure says of a Windows pool, what bears on packets. */
function withProfile(pool: Tree): Tree {
  const profile = entryOf(pool, 'windowsProfile');
  if (pool.kind !== 'map' || profile === null) return pool;
  return withValue(pool, 'windowsProfile', only(profile.value, ['disableOutboundNat']));
}

/** Azure writes `Standard` and `standard`. */
function lowerCased(entry: MapEntry): MapEntry {
  const { value } = entry;
  if (value.kind !== 'scalar' || typeof value.value !== 'string') return entry;
  return { ...entry, value: { ...value, value: value.value.toLowerCase() } };
}

function only(tree: Tree, keys: readonly string[]): Tree {
  if (tree.kind !== 'map') return tree;
  const kept = keys.flatMap((key) => {
    const entry = entryOf(tree, key);
    return entry ? [[key, entry] as const] : [];
  });
  return { ...tree, entries: new Map(kept) };
}

function part(
  entries: Map<string, MapEntry>,
  profile: Tree | undefined,
  key: string,
  keys: readonly string[],
): void {
  const entry = entryOf(profile, key);
  if (entry) entries.set(key, { ...entry, value: only(entry.value, keys) });
}
