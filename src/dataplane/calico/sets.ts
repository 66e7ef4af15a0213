/**
 * Felix's IP sets: one per selector and one per named port, named by the hash of what they stand
 * for, each with a twin for IPv6; and the sets that every node has.
 *
 * Source: felix/calc/rule_scanner.go `IPSetData.UniqueID`, felix/labelindex (members),
 * felix/dataplane/linux/{masq_mgr,hostip_mgr,dscp_mgr}.go (base sets), felix/config
 * `MaxIpsetSize`. An endpoint counts with all its addresses; named ports only where it has them.
 * @module
 */
import type { IpPool } from '../../cluster/model.ts';
import type { IpSet, SetMember } from '../../netfilter/ip-set.ts';
import type { Interface } from '../../plan/model.ts';
import { addressKey, type Family, hostPrefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Endpoint, EndpointIndex } from './endpoints.ts';
import { setName, uniqueId } from './names.ts';
import type { CalicoRule, Direction } from './policy/conversion.ts';
import { ALL, formatSelector, type Selector } from './policy/selector.ts';
import type { Release } from './release.ts';

export const FAMILIES: readonly Family[] = [4, 6];
const MAX_ELEMENTS = 1048576;

/** Set of the pools with natOutgoing (felix/rules `IPSetIDNATOutgoingMasqPools`). */
export const MASQUERADED = 'masq-ipam-pools';

/** The set ids that a rule refers to, as Felix's rule scanner gives them. */
export interface RuleSets {
  /** Set of the peer's addresses; null when the rule has no selector, or named ports cover it. */
  readonly peer: string | null;
  /** Sets of (address, protocol, port), one per named port. */
  readonly namedPorts: readonly string[];
}

interface Wanted {
  readonly id: string;
  readonly selector: Selector;
  readonly describes: string;
  readonly namedPort?: { readonly name: string; readonly protocol: 'TCP' | 'UDP' | 'SCTP' };
}

/**
 * Which sets a rule needs. The destination's selector is folded into its named-port sets; an
 * ingress rule has no destination selector, so its named ports stand for all endpoints.
 */
function wantedSets(rule: CalicoRule, direction: Direction): { peer?: Wanted; ports: Wanted[] } {
  const destination = direction === 'egress' ? rule.selector : null;
  const protocol = rule.protocol ?? 'TCP';
  const ports = rule.namedPorts.map((name): Wanted => {
    const selector = destination ?? ALL;
    const content = `${selectorId(selector)},${protocol.toLowerCase()},${name}`;
    const whose = destination === null ? 'all pods' : rule.describes;
    return {
      id: uniqueId('n', content),
      selector,
      describes: `${protocol} port named ${name} of ${whose}`,
      namedPort: { name, protocol },
    };
  });
  const covered = direction === 'egress' && ports.length > 0 && rule.ports.length === 0;
  if (rule.selector === null || covered) return { ports };
  const { selector, describes } = rule;
  return { peer: { id: selectorId(selector), selector, describes }, ports };
}

function selectorId(selector: Selector): string {
  return uniqueId('s', formatSelector(selector));
}

export function ruleSets(rule: CalicoRule, direction: Direction): RuleSets {
  const { peer, ports } = wantedSets(rule, direction);
  return { peer: peer?.id ?? null, namedPorts: ports.map((p) => p.id) };
}

/** Members of every set, worked out once for all nodes. */
export class SetCatalog {
  readonly #index: EndpointIndex;
  readonly #made = new Map<string, readonly IpSet[]>();

  constructor(index: EndpointIndex) {
    this.#index = index;
  }

  /** The sets that the rules need, each once, both families. */
  forRules(rules: readonly { rule: CalicoRule; direction: Direction }[]): IpSet[] {
    const found = new Map<string, readonly IpSet[]>();
    for (const { rule, direction } of rules) {
      const { peer, ports } = wantedSets(rule, direction);
      for (const wanted of peer === undefined ? ports : [peer, ...ports]) {
        if (!found.has(wanted.id)) found.set(wanted.id, this.#make(wanted));
      }
    }
    return [...found.values()].flat();
  }

  #make(wanted: Wanted): readonly IpSet[] {
    const known = this.#made.get(wanted.id);
    if (known) return known;
    const endpoints = this.#index.select(wanted.selector);
    const made = FAMILIES.map(
      (family): IpSet => ({
        name: setName(family, wanted.id),
        type: wanted.namedPort === undefined ? 'hash:net' : 'hash:ip,port',
        family,
        maxElements: MAX_ELEMENTS,
        members: unique(endpoints.flatMap((e) => members(e, wanted, family))),
        describes: wanted.describes,
      }),
    );
    this.#made.set(wanted.id, made);
    return made;
  }
}

function members(endpoint: Endpoint, wanted: Wanted, family: Family): SetMember[] {
  const addresses = endpoint.addresses.filter((a) => a.family === family);
  const { namedPort } = wanted;
  if (namedPort === undefined) {
    return addresses.map((a) => ({ kind: 'net', net: hostPrefix(a), nomatch: false }));
  }
  const protocol = { TCP: Protocol.tcp, UDP: Protocol.udp, SCTP: Protocol.sctp }[
    namedPort.protocol
  ];
  return endpoint.ports
    .filter((p) => p.name === namedPort.name && p.protocol === namedPort.protocol)
    .flatMap(({ port }) =>
      addresses.map((address): SetMember => ({ kind: 'ip,port', address, protocol, port })),
    );
}

/** Two pods may own one address for a moment; a set has it once. */
function unique(list: readonly SetMember[]): SetMember[] {
  const seen = new Map<string, SetMember>();
  for (const member of list) {
    if (member.kind === 'net') seen.set(addressKey(member.net.address), member);
    if (member.kind === 'ip,port') seen.set(`${addressKey(member.address)}${member.port}`, member);
  }
  return [...seen.values()];
}

/**
 * The sets of an AKS node without any policy. There are no tunnels, so all-hosts-net and
 * all-vxlan-net do not exist; the pools are empty unless IPPools are given; `this-host` has the
 * node's own addresses.
 */
export function baseSets(
  release: Release,
  interfaces: readonly Interface[],
  pools: readonly IpPool[],
): IpSet[] {
  const dscp = release.dscp
    ? [{ id: 'dscp-src-net', describes: 'pods with a DSCP annotation' }]
    : [];
  const masqueraded = pools.filter((pool) => pool.natOutgoing);
  const fixed = [
    { id: release.poolsSet, describes: 'all Calico IP pools', pools },
    { id: MASQUERADED, describes: 'Calico IP pools with natOutgoing', pools: masqueraded },
    ...dscp.map((set) => ({ ...set, pools: [] })),
  ];
  return FAMILIES.flatMap((family): IpSet[] => {
    const common = { family, maxElements: MAX_ELEMENTS };
    const own = interfaces.flatMap((i) => i.addresses).filter((a) => a.address.family === family);
    const hosts = new Map(own.map(({ address }) => [addressKey(address), address]));
    return [
      ...fixed.map(({ id, describes, pools: own }): IpSet => {
        const nets = own.map((pool) => pool.cidr).filter((p) => p.address.family === family);
        const members = nets.map((net): SetMember => ({ kind: 'net', net, nomatch: false }));
        return { name: setName(family, id), type: 'hash:net', ...common, members, describes };
      }),
      {
        name: setName(family, 'this-host'),
        type: 'hash:ip',
        ...common,
        members: [...hosts.values()].map((address) => ({ kind: 'ip', address })),
        describes: "the node's own addresses",
      },
    ];
  });
}
