/**
 * Access rules of endpoints as netfilter rules: how the emulated host stands in for the switch.
 *
 *   FORWARD ─► established? accept        the switch keeps the flows of its ports
 *     ├─► OUT-azvA  (in by A's port)      allow ─► VFP-IN
 *     └─► VFP-IN ─► IN-azvB (out by B's)  allow ─► accept
 *   INPUT has the first, OUTPUT the second: the node itself is no endpoint.
 *
 * Rules stand in order of priority, the first that holds decides. What HNS' documents leave open is
 * not guessed: ICMP errors and packets of no flow that a rule would block are undocumented.
 * @module
 */
import type { IpSet } from '../../netfilter/ip-set.ts';
import type { Match } from '../../netfilter/match.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import type { AclTerm, HnsAcl, HnsEndpoint } from '../../plan/hns/model.ts';
import { type Address, contains, type Family, type Prefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { comment, ctstate } from '../kube-proxy/parts.ts';

/** Where what may come in is asked; every allowed way leads here. */
export const IN = 'VFP-IN';
const FIREWALL = 'VFP-FIREWALL';

/** Mark of what the node puts its own address in: set in nat, seen by the rules of that packet. */
export const THROUGH_NODE = 0x1;

export const onMark: Match = {
  kind: 'mark',
  value: THROUGH_NODE,
  mask: THROUGH_NODE,
  negate: false,
};

/** Flows that the ports let in are not asked about again; first of all in each chain. */
export function acceptKnown(builder: PlanBuilder, family: Family): void {
  for (const chain of ['INPUT', 'FORWARD', 'OUTPUT']) {
    builder.append(family, 'filter', chain, {
      matches: [ctstate('ESTABLISHED'), comment("of a flow that the ports' rules let in")],
      target: { kind: 'accept' },
    });
  }
}

/** Write the rules of all endpoints of one family. */
export function addAclRules(
  builder: PlanBuilder,
  family: Family,
  endpoints: readonly HnsEndpoint[],
  node: { readonly address: Address; readonly sets: readonly IpSet[] },
): void {
  addFirewall(builder, family);
  builder.ensureChain(family, 'filter', IN);
  for (const endpoint of endpoints) {
    const { device } = endpoint;
    const acls = switchAcls(endpoint, family);
    writeChain(builder, family, `OUT-${device}`, acls.out, { kind: 'jump', chain: IN });
    builder.append(family, 'filter', `IN-${device}`, { target: { kind: 'jump', chain: FIREWALL } });
    const ofNode = acls.in.flatMap((acl) => asFromNode(acl, node));
    if (acls.in.some((acl) => acl.source !== null)) {
      writeChain(builder, family, `VIA-${device}`, ofNode, { kind: 'accept' });
      builder.append(family, 'filter', `IN-${device}`, {
        matches: [onMark, comment("the node's address is put in before the port")],
        target: { kind: 'goto', chain: `VIA-${device}` },
      });
    }
    writeChain(builder, family, `IN-${device}`, acls.in, { kind: 'accept' });
    const from: RuleParts = {
      ip: { inInterface: { value: device, negate: false } },
      target: { kind: 'jump', chain: `OUT-${device}` },
    };
    builder.append(family, 'filter', 'INPUT', from);
    builder.append(family, 'filter', 'FORWARD', from);
    builder.append(family, 'filter', IN, {
      ip: { outInterface: { value: device, negate: false } },
      target: { kind: 'jump', chain: `IN-${device}` },
    });
  }
  builder.append(family, 'filter', IN, { target: { kind: 'accept' } });
  const toPorts: RuleParts = { target: { kind: 'jump', chain: IN } };
  builder.append(family, 'filter', 'FORWARD', toPorts);
  builder.append(family, 'filter', 'OUTPUT', toPorts);
}

/** The container's own firewall takes TCP, UDP, ICMP and IGMP in, and nothing else. */
function addFirewall(builder: PlanBuilder, family: Family): void {
  const own = family === 4 ? [Protocol.icmp, Protocol.igmp] : [Protocol.icmpv6];
  builder.ensureChain(family, 'filter', FIREWALL);
  for (const protocol of [Protocol.tcp, Protocol.udp, ...own]) {
    builder.append(family, 'filter', FIREWALL, {
      ip: { protocol: { value: protocol, negate: false } },
      target: { kind: 'return' },
    });
  }
  builder.append(family, 'filter', FIREWALL, {
    matches: [comment('Windows Server containers take in TCP, UDP, ICMP and IGMP only')],
    target: { kind: 'drop' },
  });
}

/** The switch's rules of both directions, in the order in which they are asked. */
function switchAcls(
  { acls }: HnsEndpoint,
  family: Family,
): { readonly in: readonly HnsAcl[]; readonly out: readonly HnsAcl[] } {
  const asked = acls
    .filter((acl) => acl.ruleType !== 'Host' && isOfFamily(acl, family))
    .toSorted((a, b) => a.priority - b.priority);
  return {
    in: asked.filter((acl) => acl.direction === 'In'),
    out: asked.filter((acl) => acl.direction === 'Out'),
  };
}

function isOfFamily({ source, destination }: HnsAcl, family: Family): boolean {
  return [source, destination].every((term) => {
    if (term?.kind !== 'nets') return family === 4 || term === null;
    return term.nets.some((net) => net.address.family === family);
  });
}

function writeChain(
  builder: PlanBuilder,
  family: Family,
  chain: string,
  acls: readonly HnsAcl[],
  allow: NonNullable<RuleParts['target']>,
): void {
  builder.ensureChain(family, 'filter', chain);
  for (const acl of acls) {
    for (const { ip, matches } of heads(acl, family)) {
      const { origin } = acl;
      const text = comment(describe(acl));
      if (acl.unsure !== undefined) {
        const unsure = [...matches, comment(acl.unsure)];
        builder.append(family, 'filter', chain, {
          ip,
          matches: unsure,
          target: UNDOCUMENTED,
          origin,
        });
        continue;
      }
      if (acl.action === 'Allow') {
        builder.append(family, 'filter', chain, {
          ip,
          matches: [...matches, text],
          target: allow,
          origin,
        });
        continue;
      }
      const open = [
        ctstate('RELATED', 'INVALID'),
        ...matches,
        comment(`${describe(acl)}, of no flow`),
      ];
      builder.append(family, 'filter', chain, { ip, matches: open, target: UNDOCUMENTED });
      builder.append(family, 'filter', chain, {
        ip,
        matches: [...matches, text],
        target: { kind: 'drop' },
        origin,
      });
    }
  }
}

const UNDOCUMENTED = { kind: 'undocumented' } as const;

/** `ACL azure-acl-shop-web Allow 222`. */
function describe({ id, action, priority }: HnsAcl): string {
  return `ACL ${id === '' ? '' : `${id} `}${action} ${priority}`.slice(0, 255);
}

type Head = Required<Pick<RuleParts, 'ip' | 'matches'>>;

/** One netfilter rule for each network and each range of ports. */
function heads(acl: HnsAcl, family: Family): readonly Head[] {
  const { protocol } = acl;
  const base = protocol === null ? {} : { protocol: { value: protocol, negate: false } };
  const ends = product(
    termHeads(acl.source, 'source', family),
    termHeads(acl.destination, 'destination', family),
  );
  const ports = portMatches(acl);
  return ends.flatMap(({ ip, matches }) =>
    ports.map((port) => ({ ip: { ...base, ...ip }, matches: [...port, ...matches] })),
  );
}

function portMatches({ protocol, ports }: HnsAcl): readonly (readonly Match[])[] {
  if (ports.length === 0) return [[]];
  const kind = protocol === Protocol.udp ? 'udp' : protocol === Protocol.sctp ? 'sctp' : 'tcp';
  return ports.map((value) => [{ kind, dport: { value, negate: false } }]);
}

function termHeads(
  term: AclTerm | null,
  side: 'source' | 'destination',
  family: Family,
): readonly Head[] {
  if (term === null) return [{ ip: {}, matches: [] }];
  if (term.kind === 'nets') {
    return term.nets
      .filter((net) => net.address.family === family)
      .map((net) => ({ ip: { [side]: { value: net, negate: false } }, matches: [] }));
  }
  const sets = term.kind === 'sets' ? term.sets : [term.set];
  const way = side === 'source' ? ('src' as const) : ('dst' as const);
  const matches = sets.map(
    (set): Match => ({ kind: 'set', set: set.name, directions: [way], negate: false }),
  );
  return [{ ip: {}, matches }];
}

function product(sources: readonly Head[], destinations: readonly Head[]): readonly Head[] {
  return sources.flatMap((a) =>
    destinations.map((b) => ({ ip: { ...a.ip, ...b.ip }, matches: [...a.matches, ...b.matches] })),
  );
}

/**
 * A rule for packets whose source will be the node's address at the port: translation stands behind
 * the rules of netfilter and before those of the port, so its source is answered here.
 */
function asFromNode(
  acl: HnsAcl,
  node: { readonly address: Address; readonly sets: readonly IpSet[] },
): readonly HnsAcl[] {
  const { source } = acl;
  if (source === null) return [acl];
  const holds =
    source.kind === 'nets'
      ? isIn(source.nets, node.address)
      : (source.kind === 'sets' ? source.sets : [source.set]).every((set) =>
          isMember(set, node.address, node.sets),
        );
  return holds ? [{ ...acl, source: null }] : [];
}

function isIn(nets: readonly Prefix[], address: Address): boolean {
  return nets.some((net) => net.address.family === address.family && contains(net, address));
}

function isMember(set: IpSet, address: Address, sets: readonly IpSet[]): boolean {
  return set.members.some((member) => {
    if (member.kind === 'net') return isIn([member.net], address);
    if (member.kind !== 'set') return false;
    const inner = sets.find((one) => one.name === member.set);
    return inner !== undefined && isMember(inner, address, sets);
  });
}
