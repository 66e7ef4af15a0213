/**
 * The wiring of a cluster: what the wiring document says, AKS's defaults for what it leaves out,
 * and, without a document, ranges guessed from the addresses that the objects have.
 *
 * How ranges are guessed: a private address (RFC 1918, RFC 6598, RFC 4193) stands for its /16
 * (IPv6: /64), any other for itself; a range is halved until none of the other side's addresses is
 * in it, where the sides are nodes and pods against ClusterIPs. One range covering all ClusterIPs
 * is preferred while AKS would accept it. Without any address, AKS's defaults stand; only a guessed
 * service range steps aside for the nodes (AKS would refuse its default there, and so do we when
 * there is a wiring document).
 * @module
 */
import type { Address, Family, Prefix } from '../wire/address/address.ts';
import {
  addToAddress,
  contains,
  formatPrefix,
  maskAddress,
  overlaps,
  parsePrefix,
} from '../wire/address/address.ts';
import { findPodSubnets } from './address/pod-subnets.ts';
import type { GivenWiring, NodePool } from './decode/wiring/wiring.ts';
import type { MasqueradeFile } from './masquerade.ts';
import { settleMasquerade } from './masquerade.ts';
import type { WiredPool, Wiring } from './model.ts';
import type { LabelledNetwork } from './node-labels.ts';

/** What the objects themselves tell. */
export interface KnownAddresses {
  readonly nodes: readonly Address[];
  readonly pods: readonly Address[];
  readonly clusterIps: readonly Address[];
  readonly dns: Address | null;
  readonly labelled: LabelledNetwork;
}

const DEFAULTS = {
  vnet: { 4: '10.224.0.0/12', 6: 'fd12:3456:789a:8::/64' },
  subnet: { 4: '10.224.0.0/16', 6: 'fd12:3456:789a:8::/64' },
  pods: { 4: '10.244.0.0/16', 6: 'fd12:3456:789a::/64' },
  services: { 4: '10.0.0.0/16', 6: 'fd12:3456:789a:1::/108' },
} as const;

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map(
  range,
);

function range(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (!prefix) throw new RangeError(text);
  return prefix;
}

/** Whether pods have ranges of their own, one for each node, apart from the virtual network. */
export function hasPodRanges(wiring: Pick<Wiring, 'networkPlugin' | 'networkPluginMode'>): boolean {
  return wiring.networkPlugin !== 'azure' || wiring.networkPluginMode === 'overlay';
}

/** Address families of the cluster, primary first. */
export function clusterFamilies(
  given: GivenWiring | null,
  known: KnownAddresses,
): readonly Family[] {
  if (given && given.families.length > 0) return given.families;
  const seen = [...known.pods, ...known.nodes, ...known.clusterIps].map((a) => a.family);
  const said = given
    ? [...given.podCidrs, ...given.serviceCidrs, ...given.vnet].map((p) => p.address.family)
    : [];
  const families = [...new Set([...said, ...seen])];
  return families.length > 0 ? families : [4];
}

/** Settle the whole wiring. */
export function settleWiring(
  given: GivenWiring | null,
  known: KnownAddresses,
  masquerade: readonly MasqueradeFile[],
): Wiring {
  const families = clusterFamilies(given, known);
  const plugin = settlePlugin(given, known.labelled);
  const ownRanges = hasPodRanges(plugin);
  const podCidrs = complete(given?.podCidrs ?? [], ownRanges ? families : [], (f) => {
    const pods = given ? [] : known.pods.filter((a) => a.family === f);
    const covered = cover(pods, [...known.nodes, ...known.clusterIps]);
    return covered.length > 0 ? covered : [range(DEFAULTS.pods[f])];
  });
  const inVnet = [...known.nodes, ...(ownRanges ? [] : known.pods)];
  const vnet = complete(given?.vnet ?? [], families, (f) => {
    const covered = cover(
      inVnet.filter((a) => a.family === f),
      known.clusterIps,
    );
    return covered.length > 0 ? covered : [range(DEFAULTS.vnet[f])];
  });
  const subnets = complete(given?.subnets ?? [], families, (f) => {
    const inside = vnet.filter((p) => p.address.family === f);
    if (f === 4 && given === null && known.labelled.podSubnets) return apart(known);
    const usual = range(DEFAULTS.subnet[f]);
    const isDefault = inside.some((p) => formatPrefix(p) === DEFAULTS.vnet[f]);
    return isDefault && inVnet.every((a) => a.family !== f || contains(usual, a))
      ? [usual]
      : inside;
  });
  const serviceCidrs = complete(given?.serviceCidrs ?? [], families, (f) =>
    serviceRange(f, known, given ? [] : [...vnet, ...podCidrs]),
  );
  // Pods with ranges of their own are hidden from the virtual network, too: AKS lists these alone.
  const own = unique([...vnet, ...subnets, ...podCidrs, ...serviceCidrs]);
  const isAks = plugin.networkPlugin !== 'none';
  const agent = settleMasquerade(masquerade, ownRanges && isAks ? podCidrs : own, isAks);
  return {
    ...plugin,
    networkPolicy: given?.networkPolicy ?? known.labelled.networkPolicy ?? 'none',
    podCidrs,
    serviceCidrs,
    dnsServiceIp: given?.dnsServiceIp ?? known.dns ?? tenth(serviceCidrs[0], known),
    vnet,
    subnets,
    nonMasqueradeCidrs: agent?.nonMasqueradeCidrs ?? own,
    masquerade: agent,
    inferred: given === null,
    ...(given?.kubernetesVersion ? { kubernetesVersion: given.kubernetesVersion } : {}),
    ...(given && given.nodePools.length > 0 ? { nodePools: given.nodePools.map(poolOf) } : {}),
    ...(ownRanges ? {} : podSubnetPart(given, known, subnets)),
    ...(given && plugin.networkPlugin !== 'none' ? { azure: given.azure } : {}),
  };
}

/** What the document says; where it says nothing of it, what AKS wrote on the nodes. */
function settlePlugin(
  given: GivenWiring | null,
  labelled: LabelledNetwork,
): Pick<Wiring, 'networkPlugin' | 'networkPluginMode'> {
  const isSaid = given && (given.networkPlugin !== null || given.networkPluginMode !== 'none');
  if (isSaid) {
    const { networkPlugin, networkPluginMode } = given;
    return { networkPlugin: networkPlugin ?? 'azure', networkPluginMode };
  }
  return { networkPlugin: 'azure', networkPluginMode: labelled.networkPluginMode ?? 'none' };
}

/** Guessed subnets of nodes and of pods that have some of their own. */
function apart({ nodes, pods }: KnownAddresses): readonly Prefix[] {
  const four = (list: readonly Address[]) => list.filter((a) => a.family === 4);
  const found = [...cover(four(nodes), four(pods)), ...cover(four(pods), four(nodes))];
  return found.length > 0 ? found : [range(DEFAULTS.subnet[4])];
}

function podSubnetPart(
  given: GivenWiring | null,
  known: KnownAddresses,
  subnets: readonly Prefix[],
): Pick<Wiring, 'podSubnets'> {
  const pools = given?.nodePools ?? [];
  const isLabelled = known.labelled.podSubnets === true;
  const said = isLabelled || pools.some((p) => p.podSubnet !== undefined);
  const named = pools.flatMap((p) => p.podSubnet ?? []);
  // Guessed ranges of a cluster that does not say so are nobody's subnets.
  const real = given || isLabelled ? subnets : [];
  const podSubnets = findPodSubnets({ said, named }, real, known);
  return podSubnets ? { podSubnets } : {};
}

function poolOf({ name, maxPods, os, podSubnet, disableOutboundNat }: NodePool): WiredPool {
  return {
    name,
    maxPods,
    os,
    ...(podSubnet ? { podSubnet } : {}),
    ...(disableOutboundNat ? { disableOutboundNat } : {}),
  };
}

/** Ranges given, and for each family that they leave out the guessed ones. */
function complete(
  given: readonly Prefix[],
  families: readonly Family[],
  guess: (family: Family) => readonly Prefix[],
): readonly Prefix[] {
  const missing = families.filter((f) => !given.some((p) => p.address.family === f));
  return [...given, ...missing.flatMap(guess)];
}

/** The tenth address of the service range, as AKS gives it to DNS, unless it is taken. */
function tenth(services: Prefix | undefined, known: KnownAddresses): Address | null {
  if (!services || known.clusterIps.length > 0) return null;
  return addToAddress(maskAddress(services.address, services.length), 10);
}

function serviceRange(
  family: Family,
  known: KnownAddresses,
  taken: readonly Prefix[],
): readonly Prefix[] {
  const ips = known.clusterIps.filter((a) => a.family === family);
  const others = [...known.nodes, ...known.pods];
  if (ips.length > 0) {
    const common = commonPrefix(ips);
    const largest = family === 4 ? 13 : 108;
    const length = Math.max(largest, Math.min(common.length, family === 4 ? 16 : 108));
    const one = cut(common.address, length);
    const whole = ips.every((ip) => contains(one, ip)) && !others.some((o) => contains(one, o));
    return whole ? [one] : cover(ips, others);
  }
  if (family === 6) return [range(DEFAULTS.services[6])];
  for (let second = 0; second < 256; second++) {
    const candidate = range(`10.${second}.0.0/16`);
    if (!taken.some((t) => overlaps(t, candidate))) return [candidate];
  }
  return [range('192.168.0.0/16')];
}

/** The ranges that stand for `addresses`, none holding one of `avoid`. */
function cover(addresses: readonly Address[], avoid: readonly Address[]): readonly Prefix[] {
  const found: Prefix[] = [];
  for (const address of addresses) {
    if (found.some((p) => contains(p, address))) continue;
    const width = address.family === 4 ? 32 : 128;
    const isPrivate = PRIVATE.some((p) => contains(p, address));
    let length = !isPrivate ? width : address.family === 4 ? 16 : 64;
    while (length < width && avoid.some((a) => contains(cut(address, length), a))) length++;
    found.push(cut(address, length));
  }
  return unique(found);
}

function cut(address: Address, length: number): Prefix {
  return { address: maskAddress(address, length), length };
}

/** The longest prefix that holds all addresses (at least one, of one family). */
function commonPrefix(addresses: readonly Address[]): Prefix {
  const [first, ...rest] = addresses;
  if (!first) throw new RangeError('no addresses');
  let length = first.family === 4 ? 32 : 128;
  while (length > 0 && !rest.every((a) => contains(cut(first, length), a))) length--;
  return cut(first, length);
}

function unique(prefixes: readonly Prefix[]): readonly Prefix[] {
  const byText = new Map(
    prefixes.map((p) => {
      const plain = cut(p.address, p.length);
      return [formatPrefix(plain), plain] as const;
    }),
  );
  return [...byText.values()];
}
