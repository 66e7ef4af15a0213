/**
 * The IP sets by which kube-proxy's rules in IPVS mode know addresses and ports of Services.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/ipvs/ipset.go` (names, comments, `NewIPSet` for names of
 * IPv6), `pkg/proxy/ipvs/proxier.go` `ipsetInfo`, `pkg/proxy/ipvs/ipset/ipset.go`
 * `setIPSetDefaults`.
 * @module
 */
import type { IpSet, SetMember, SetType } from '../../../netfilter/ip-set.ts';
import { formatMember } from '../../../plan/ipset/member.ts';
import type { Family } from '../../../wire/address/address.ts';

interface SetInfo {
  readonly name: string;
  readonly type: SetType;
  readonly comment: string;
}

const NODE_PORT = 'Kubernetes nodeport';
const LOCAL = 'with externalTrafficPolicy=local';
const LB = 'Kubernetes service load balancer ip + port';

/** In the order in which kube-proxy declares them. */
const SETS = {
  loopBack: {
    name: 'KUBE-LOOP-BACK',
    type: 'hash:ip,port,ip',
    comment: 'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose',
  },
  clusterIp: {
    name: 'KUBE-CLUSTER-IP',
    type: 'hash:ip,port',
    comment: 'Kubernetes service cluster ip + port for masquerade purpose',
  },
  externalIp: {
    name: 'KUBE-EXTERNAL-IP',
    type: 'hash:ip,port',
    comment: 'Kubernetes service external ip + port for masquerade and filter purpose',
  },
  externalIpLocal: {
    name: 'KUBE-EXTERNAL-IP-LOCAL',
    type: 'hash:ip,port',
    comment: `Kubernetes service external ip + port ${LOCAL}`,
  },
  loadBalancer: {
    name: 'KUBE-LOAD-BALANCER',
    type: 'hash:ip,port',
    comment: 'Kubernetes service lb portal',
  },
  loadBalancerFirewall: {
    name: 'KUBE-LOAD-BALANCER-FW',
    type: 'hash:ip,port',
    comment: `${LB} for load balancer with sourceRange`,
  },
  loadBalancerLocal: {
    name: 'KUBE-LOAD-BALANCER-LOCAL',
    type: 'hash:ip,port',
    comment: `${LB} ${LOCAL}`,
  },
  loadBalancerSourceIp: {
    name: 'KUBE-LOAD-BALANCER-SOURCE-IP',
    type: 'hash:ip,port,ip',
    comment: `${LB} + source IP for packet filter purpose`,
  },
  loadBalancerSourceCidr: {
    name: 'KUBE-LOAD-BALANCER-SOURCE-CIDR',
    type: 'hash:ip,port,net',
    comment: `${LB} + source cidr for packet filter purpose`,
  },
  nodePortTcp: {
    name: 'KUBE-NODE-PORT-TCP',
    type: 'bitmap:port',
    comment: `${NODE_PORT} TCP port for masquerade purpose`,
  },
  nodePortLocalTcp: {
    name: 'KUBE-NODE-PORT-LOCAL-TCP',
    type: 'bitmap:port',
    comment: `${NODE_PORT} TCP port ${LOCAL}`,
  },
  nodePortUdp: {
    name: 'KUBE-NODE-PORT-UDP',
    type: 'bitmap:port',
    comment: `${NODE_PORT} UDP port for masquerade purpose`,
  },
  nodePortLocalUdp: {
    name: 'KUBE-NODE-PORT-LOCAL-UDP',
    type: 'bitmap:port',
    comment: `${NODE_PORT} UDP port ${LOCAL}`,
  },
  nodePortSctp: {
    name: 'KUBE-NODE-PORT-SCTP-HASH',
    type: 'hash:ip,port',
    comment: `${NODE_PORT} SCTP port for masquerade purpose with type 'hash ip:port'`,
  },
  nodePortLocalSctp: {
    name: 'KUBE-NODE-PORT-LOCAL-SCTP-HASH',
    type: 'hash:ip,port',
    comment: `${NODE_PORT} SCTP port ${LOCAL} with type 'hash ip:port'`,
  },
  healthCheck: {
    name: 'KUBE-HEALTH-CHECK-NODE-PORT',
    type: 'bitmap:port',
    comment: 'Kubernetes health check node port',
  },
  addresses: {
    name: 'KUBE-IPVS-IPS',
    type: 'hash:ip',
    comment: 'Addresses on the ipvs interface',
  },
} as const satisfies Record<string, SetInfo>;

export type ProxySetName = keyof typeof SETS;

const NAMES = Object.keys(SETS) as readonly ProxySetName[];
/** IPSET_MAXNAMELEN without its closing zero. */
const LONGEST_NAME = 31;
const MAX_ELEMENTS = 65_536;

/** The sets of one family while they are filled; each member once. */
export class ProxySets {
  readonly #family: Family;
  readonly #members = new Map<ProxySetName, Map<string, SetMember>>();

  constructor(family: Family) {
    this.#family = family;
  }

  add(set: ProxySetName, member: SetMember): void {
    const members = this.#members.get(set) ?? new Map<string, SetMember>();
    this.#members.set(set, members);
    members.set(formatMember(member), member);
  }

  /** Rules of the set are written although nothing went in. */
  mention(set: ProxySetName): void {
    if (!this.#members.has(set)) this.#members.set(set, new Map());
  }

  isEmpty(set: ProxySetName): boolean {
    return !this.#members.has(set);
  }

  /** The set's name in this family. */
  name(set: ProxySetName): string {
    const { name } = SETS[set];
    if (this.#family === 4) return name;
    return name.replace('KUBE-', 'KUBE-6-').slice(0, LONGEST_NAME);
  }

  comment(set: ProxySetName): string {
    return SETS[set].comment;
  }

  /** All of them, also those that are empty: rules name them. */
  build(): readonly IpSet[] {
    return NAMES.map((set): IpSet => {
      const { type, comment } = SETS[set];
      const ports = type === 'bitmap:port';
      return {
        name: this.name(set),
        type,
        ...(ports ? { range: { low: 0, high: 0xffff } } : { family: this.#family }),
        maxElements: MAX_ELEMENTS,
        members: [...(this.#members.get(set)?.values() ?? [])],
        describes: comment,
      };
    });
  }
}
