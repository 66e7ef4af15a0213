/**
 * Load balancers and source translation of HNS as netfilter rules.
 *
 *   PREROUTING  from pods:  ClusterIPs      from the network:  node ports, external addresses
 *   POSTROUTING what goes through the node gets its address; what leaves it for none of the
 *               exceptions, too
 *
 * Known limits of the platform stand as rules that say so (kubernetes.io "Networking on Windows",
 * "Troubleshooting"): the node itself reaches no ClusterIP and none of its own node ports; ICMP is
 * not translated. What pods do at node ports and external addresses on their own node, and what
 * `preserve-destination` does, nobody documents.
 * @module
 */
import type { Match } from '../../netfilter/match.ts';
import type { Target } from '../../netfilter/target.ts';
import type { PlanBuilder, RuleParts } from '../../plan/builder.ts';
import { BalancerFlag, type HnsEndpoint, type HnsLoadBalancer } from '../../plan/hns/model.ts';
import { type Address, equalAddress, type Family, hostPrefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { UPLINK } from '../azure-cni/node-base.ts';
import {
  comment,
  ctstate,
  localAddress,
  protocolHead,
  protocolMatch,
  to,
} from '../kube-proxy/parts.ts';
import { onMark, THROUGH_NODE } from './acl-rules.ts';
import { MOST_BACKENDS, type WindowsPort } from './load-balancers.ts';

/** Pods' ports of the switch. */
const PORTS = 'azv+';
const BALANCED = 'VFP-LB';
const NAT = 'VFP-OUTBOUND-NAT';
const PLAIN = { random: false, randomFully: false, persistent: false } as const;
const UNDOCUMENTED: Target = { kind: 'undocumented' };

/** A node's part in it. */
export interface Translating {
  readonly family: Family;
  /** The node's address of the family. */
  readonly address: Address;
  readonly endpoints: readonly HnsEndpoint[];
  readonly ports: readonly WindowsPort[];
}

/** What the filter table says of Services, before the endpoints' rules are asked. */
export function addServiceLimits(builder: PlanBuilder, t: Translating): void {
  for (const one of t.ports) {
    const { port } = one;
    if (port.port.protocol === 'SCTP') continue;
    limitNode(builder, t, one);
    if (port.nodePort !== null) nodePortLimits(builder, t, one, port.nodePort);
    for (const ip of [...port.vips, ...port.externalIps]) {
      refuseAt(builder, t.family, 'FORWARD', one, {
        head: { in: PORTS, to: ip },
        port: port.port.port,
        why: "a pod asks an external address of a Service: its node's part is documented nowhere",
      });
    }
    if (isUnknown(one)) {
      const why = one.preserves
        ? 'preserve-destination is not emulated'
        : `more than ${MOST_BACKENDS} backends`;
      refuseAt(builder, t.family, 'FORWARD', one, {
        head: { to: port.clusterIp },
        port: port.port.port,
        why,
      });
    }
  }
}

interface Place {
  readonly head: { readonly in?: string; readonly to?: Address };
  readonly port: number;
  readonly why: string;
}

function refuseAt(
  builder: PlanBuilder,
  family: Family,
  chain: string,
  { port }: WindowsPort,
  { head, port: number, why }: Place,
  target: Target = UNDOCUMENTED,
  ...matches: readonly Match[]
): void {
  const { protocol } = port.port;
  builder.append(family, 'filter', chain, {
    ip: protocolHead(protocol, {
      ...(head.to === undefined ? {} : to(head.to)),
      ...(head.in === undefined ? {} : { inInterface: { value: head.in, negate: false } }),
    }),
    matches: [protocolMatch(protocol, number), ...matches, comment(`${port.name}: ${why}`)],
    target,
    origin: port.origin,
  });
}

/** "My Windows node cannot access my services using the service IP." */
function limitNode(builder: PlanBuilder, { family }: Translating, one: WindowsPort): void {
  const { clusterIp, port } = one.port;
  const why = 'Windows nodes do not reach ClusterIPs themselves';
  const place = { head: { to: clusterIp }, port: port.port, why };
  refuseAt(builder, family, 'OUTPUT', one, place, { kind: 'drop' });
}

function nodePortLimits(
  builder: PlanBuilder,
  { family }: Translating,
  one: WindowsPort,
  number: number,
): void {
  const local = localAddress('destination');
  const own = 'a Windows node does not reach its own node ports';
  refuseAt(builder, family, 'OUTPUT', one, { head: {}, port: number, why: own }, DROP, local);
  const pod = 'a pod asks a node port of its own node: what comes of it is documented nowhere';
  const place = { head: { in: PORTS }, port: number, why: pod };
  refuseAt(builder, family, 'INPUT', one, place, UNDOCUMENTED, local);
  const has = one.balancers.some((b) => b.role === 'nodePort');
  if (has && !isUnknown(one)) return;
  const why = has ? 'its load balancer is not emulated' : 'no load balancer: nobody listens';
  const closed = { head: {}, port: number, why };
  refuseAt(builder, family, 'INPUT', one, closed, has ? UNDOCUMENTED : refusal(one, family), local);
}

const DROP: Target = { kind: 'drop' };

function refusal({ port }: WindowsPort, family: Family): Target {
  if (port.port.protocol === 'TCP') return { kind: 'reject', with: 'tcp-reset' };
  return {
    kind: 'reject',
    with: family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable',
  };
}

/** Whether nobody can tell what the port's load balancers do. */
function isUnknown({ preserves, balancers }: WindowsPort): boolean {
  return preserves || balancers.some((b) => b.endpoints.length > MOST_BACKENDS);
}

/** Load balancers, as destination translation. */
export function addBalancers(builder: PlanBuilder, t: Translating): void {
  for (const one of t.ports) {
    if (isUnknown(one)) continue;
    one.balancers.forEach((balancer, i) => {
      addBalancer(builder, t, one, balancer, `${BALANCED}-${balancer.id.slice(0, 8)}-${i}`);
    });
  }
}

function addBalancer(
  builder: PlanBuilder,
  t: Translating,
  { port }: WindowsPort,
  balancer: HnsLoadBalancer,
  chain: string,
): void {
  const { family } = t;
  const { endpoints, internalPort, origin, role } = balancer;
  const isDirect = (balancer.flags & BalancerFlag.directServerReturn) !== 0;
  builder.ensureChain(family, 'nat', chain);
  if (!isDirect) {
    builder.append(family, 'nat', chain, {
      matches: [comment(`${port.name}: through the node (SourceVIP ${balancer.sourceVip})`)],
      target: { kind: 'mark', value: THROUGH_NODE, mask: THROUGH_NODE },
      origin,
    });
  }
  endpoints.forEach((address, i) => {
    const left = endpoints.length - i;
    const text = comment(`${port.name} ${role}`);
    const draw: Match[] =
      left === 1 ? [] : [{ kind: 'random', threshold: share(left), negate: false }];
    builder.append(family, 'nat', chain, {
      ip: protocolHead(port.port.protocol),
      matches: [text, ...draw, protocolMatch(port.port.protocol)],
      target: {
        kind: 'dnat',
        range: {
          low: address,
          high: address,
          ports: { low: internalPort, high: internalPort },
          ...PLAIN,
        },
      },
      origin,
    });
  });
  const from = role === 'clusterIp' ? PORTS : UPLINK;
  const jump = (head: RuleParts['ip'], ...matches: readonly Match[]): RuleParts => ({
    ip: protocolHead(port.port.protocol, { ...head, inInterface: { value: from, negate: false } }),
    matches: [
      protocolMatch(port.port.protocol, balancer.externalPort),
      ...matches,
      comment(`${port.name} ${role}`),
    ],
    target: { kind: 'jump', chain },
    origin: port.origin,
  });
  const jumps =
    balancer.vips.length === 0
      ? [jump({}, localAddress('destination'))]
      : balancer.vips.map((vip) => jump(to(vip)));
  builder.append(family, 'nat', 'PREROUTING', ...jumps);
}

/** xt_statistic's threshold for one of `count`. */
function share(count: number): number {
  return Math.round(Number((1 / count).toFixed(10)) * 2 ** 31);
}

/** Source translation, and what it can not do. */
export function addOutboundNat(builder: PlanBuilder, t: Translating): void {
  const { family, address } = t;
  const snat: Target = { kind: 'snat', range: { low: address, high: address, ...PLAIN } };
  builder.append(family, 'nat', 'POSTROUTING', {
    matches: [onMark, comment('through the node')],
    target: snat,
  });
  addLoopback(builder, t, snat);
  const exceptions = t.endpoints
    .flatMap((e) => e.outboundNats)
    .find((n) => n.exceptions.some((p) => p.address.family === family))?.exceptions;
  if (exceptions === undefined) return;
  const leaving = { outInterface: { value: UPLINK, negate: false } } as const;
  const foreign: Match = {
    kind: 'addrtype',
    source: { value: ['LOCAL'], negate: true },
    limitIfaceIn: false,
    limitIfaceOut: false,
  };
  const why = comment('OutBoundNAT');
  builder.append(family, 'nat', 'POSTROUTING', {
    ip: leaving,
    matches: [foreign, why],
    target: { kind: 'jump', chain: NAT },
  });
  for (const table of ['nat', 'filter'] as const) {
    builder.ensureChain(family, table, NAT);
    for (const exception of exceptions) {
      builder.append(family, table, NAT, {
        ip: { destination: { value: exception, negate: false } },
        matches: [comment('an exception of OutBoundNAT')],
        target: { kind: 'return' },
      });
    }
  }
  builder.append(family, 'nat', NAT, { target: snat });
  builder.append(family, 'filter', 'FORWARD', {
    ip: { ...leaving, inInterface: { value: PORTS, negate: false } },
    matches: [why],
    target: { kind: 'jump', chain: NAT },
  });
  untranslated(builder, family);
}

/** Only TCP and UDP are translated. */
function untranslated(builder: PlanBuilder, family: Family): void {
  const isV4 = family === 4;
  for (const protocol of [Protocol.tcp, Protocol.udp]) {
    builder.append(family, 'filter', NAT, {
      ip: { protocol: { value: protocol, negate: false } },
      target: { kind: 'return' },
    });
  }
  builder.append(family, 'filter', NAT, {
    ip: { protocol: { value: isV4 ? Protocol.icmp : Protocol.icmpv6, negate: false } },
    matches: [
      ctstate('NEW'),
      comment('VFP does not translate ICMP: no answer to a pod comes back from outside'),
    ],
    target: { kind: 'drop' },
  });
  builder.append(family, 'filter', NAT, {
    matches: [comment('only TCP, UDP and ICMP are documented')],
    target: UNDOCUMENTED,
  });
}

/** A pod that reaches itself by a ClusterIP has the node's address there (LoopbackDSR). */
function addLoopback(builder: PlanBuilder, t: Translating, snat: Target): void {
  const served = t.ports.flatMap(({ balancers }) =>
    balancers.filter((b) => b.role === 'clusterIp').flatMap((b) => b.endpoints),
  );
  for (const endpoint of t.endpoints) {
    for (const own of endpoint.addresses) {
      if (own.family !== t.family || !served.some((a) => equalAddress(a, own))) continue;
      const self = { value: hostPrefix(own), negate: false };
      builder.append(t.family, 'nat', 'POSTROUTING', {
        ip: { source: self, destination: self },
        matches: [comment('LoopbackDSR')],
        target: snat,
      });
      if (!hasPolicy(endpoint)) continue;
      builder.append(t.family, 'filter', 'FORWARD', {
        ip: {
          inInterface: { value: endpoint.device, negate: false },
          outInterface: { value: endpoint.device, negate: false },
        },
        matches: [
          ctstate('NEW'),
          comment('access rules on the way to oneself: documented nowhere'),
        ],
        target: UNDOCUMENTED,
      });
    }
  }
}

function hasPolicy({ acls }: HnsEndpoint): boolean {
  return acls.some((acl) => acl.origin.some(({ effect }) => effect !== 'platform'));
}
