/**
 * What IPVS mode makes of the Services of one family on a node: virtual servers with their real
 * servers, the addresses of the dummy device, and the members of the sets.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/ipvs/proxier.go` `syncProxyRules`, `syncService`,
 * `syncEndpoint`.
 * @module
 */
import type { SetMember } from '../../../netfilter/ip-set.ts';
import type { RealServer, Scheduler, VirtualServer } from '../../../netfilter/virtual-server.ts';
import { formatVirtualName } from '../../../plan/virtual-server-text.ts';
import {
  type Address,
  addressKey,
  bits,
  contains,
  type Family,
  type Prefix,
} from '../../../wire/address/address.ts';
import { protocolNumber } from '../parts.ts';
import { categorize, type ProxyTopology, type UsedEndpoints } from '../services/categorize.ts';
import type { ProxyEndpoint } from '../services/endpoints.ts';
import type { ProxyPort } from '../services/service-port.ts';
import { ProxySets } from './sets.ts';

/** What the Services are laid out on. */
export interface ServiceNode {
  readonly family: Family;
  readonly scheduler: Scheduler;
  readonly topology: ProxyTopology;
  /** The node's first address of the family. */
  readonly address: Address | null;
  /** Addresses of all devices but the dummy; they are not bound a second time. */
  readonly own: readonly Address[];
  /** Addresses at which node ports answer. */
  readonly nodePortIps: readonly Address[];
}

export interface ServiceLayout {
  readonly servers: readonly VirtualServer[];
  /** Of the dummy device. */
  readonly bound: readonly Address[];
  readonly sets: ProxySets;
  /** Load balancer addresses that the node itself must not reach, with their ports. */
  readonly closedToNode: readonly { readonly port: ProxyPort; readonly vip: Address }[];
}

/** Lay out all ports with their endpoints. */
export function layOut(
  ports: readonly { readonly port: ProxyPort; readonly all: readonly ProxyEndpoint[] }[],
  node: ServiceNode,
): ServiceLayout {
  const draft = new LayoutDraft(node);
  for (const { port, all } of ports) draft.port(port, all);
  return draft.build();
}

class LayoutDraft {
  readonly #node: ServiceNode;
  readonly #sets: ProxySets;
  /** By name: of two Services with one address and port the last counts. */
  readonly #servers = new Map<string, VirtualServer>();
  readonly #bound = new Map<string, Address>();
  readonly #closed: { readonly port: ProxyPort; readonly vip: Address }[] = [];
  readonly #own: ReadonlySet<string>;

  constructor(node: ServiceNode) {
    this.#node = node;
    this.#sets = new ProxySets(node.family);
    this.#own = new Set(node.own.map(addressKey));
  }

  build(): ServiceLayout {
    const bound = [...this.#bound.values()];
    for (const address of bound) this.#sets.add('addresses', { kind: 'ip', address });
    const servers = [...this.#servers.values()];
    return { servers, bound, sets: this.#sets, closedToNode: this.#closed };
  }

  port(port: ProxyPort, all: readonly ProxyEndpoint[]): void {
    const used = categorize(port, all, this.#node.topology);
    const protocol = protocolNumber(port.port.protocol);
    // A pod that its own Service sends to itself.
    for (const { local, address, port: number } of all) {
      const kind = 'ip,port,ip';
      if (local)
        this.#sets.add('loopBack', { kind, address, protocol, port: number, second: address });
    }
    this.#sets.add('clusterIp', memberOf(port, port.clusterIp));
    this.#serve(port, port.clusterIp, endpointsOf(used, port.internalLocal), 'bound');
    const external = endpointsOf(used, port.externalLocal);
    for (const ip of port.externalIps) {
      this.#sets.add(port.externalLocal ? 'externalIpLocal' : 'externalIp', memberOf(port, ip));
      this.#serve(port, ip, external, 'bound');
    }
    for (const vip of port.vips) {
      this.#loadBalancer(port, vip);
      this.#serve(port, vip, external, 'bound');
    }
    const hasNodePort = port.nodePort !== null;
    if (hasNodePort && this.#node.nodePortIps.length === 0) return;
    if (hasNodePort) this.#nodePort(port, external);
    if (port.healthCheckNodePort !== null) {
      this.#sets.add('healthCheck', { kind: 'port', port: port.healthCheckNodePort });
    }
  }

  #loadBalancer(port: ProxyPort, vip: Address): void {
    const sets = this.#sets;
    const member = memberOf(port, vip);
    sets.add('loadBalancer', member);
    if (port.externalLocal) sets.add('loadBalancerLocal', member);
    if (port.sourceRanges.length === 0) return;
    sets.add('loadBalancerFirewall', member);
    const service = { address: vip, protocol: member.protocol, port: member.port };
    for (const range of port.sourceRanges) this.#sourceRange(service, range);
    const { address } = this.#node;
    const allowsNode = address !== null && port.sourceRanges.some((r) => contains(r, address));
    if (allowsNode) {
      sets.add('loadBalancerSourceIp', { kind: 'ip,port,ip', ...service, second: vip });
    } else this.#closed.push({ port, vip });
  }

  /**
   * Sets hold no net of length 0: ipset refuses it, kube-proxy logs that and goes on, and whom
   * `0.0.0.0/0` was to let in stays out.
   */
  #sourceRange(
    service: { readonly address: Address; readonly protocol: number; readonly port: number },
    range: Prefix,
  ): void {
    if (range.length === 0) {
      this.#sets.mention('loadBalancerSourceCidr');
      return;
    }
    const kind = 'ip,port,net';
    this.#sets.add('loadBalancerSourceCidr', { kind, ...service, within: range, nomatch: false });
  }

  #nodePort(port: ProxyPort, external: readonly ProxyEndpoint[]): void {
    const { nodePort } = port;
    if (nodePort === null) return;
    const { nodePortIps } = this.#node;
    const { protocol } = port.port;
    const sctp = nodePortIps.map((ip) => memberOf(port, ip, nodePort));
    const members: readonly SetMember[] =
      protocol === 'SCTP' ? sctp : [{ kind: 'port', port: nodePort }];
    const [all, local] = NODE_PORT_SETS[protocol];
    for (const member of members) {
      this.#sets.add(all, member);
      if (port.externalLocal) this.#sets.add(local, member);
    }
    for (const ip of nodePortIps) this.#serve(port, ip, external, nodePort);
  }

  /** `at`: the node port, or that the address is bound to the dummy device. */
  #serve(
    port: ProxyPort,
    address: Address,
    endpoints: readonly ProxyEndpoint[],
    at: number | 'bound',
  ): void {
    const { affinitySeconds } = port;
    const { scheduler } = this.#node;
    const server: VirtualServer = {
      protocol: protocolNumber(port.port.protocol),
      address,
      port: at === 'bound' ? port.port.port : at,
      scheduler,
      // The flag that kube-proxy sets for this scheduler alone (`FlagSourceHash`).
      ...(scheduler === 'mh' ? { flags: ['mh-port'] } : {}),
      ...(affinitySeconds === null
        ? {}
        : { persistence: { seconds: affinitySeconds, bits: bits(address.family) } }),
      realServers: endpoints.map((endpoint): RealServer => {
        const { address: to, port: number, origin } = endpoint;
        return { address: to, port: number, weight: 1, origin: [...port.origin, origin] };
      }),
      origin: port.origin,
    };
    this.#servers.set(formatVirtualName(server), server);
    const key = addressKey(address);
    if (at === 'bound' && !this.#own.has(key)) this.#bound.set(key, address);
  }
}

const NODE_PORT_SETS = {
  TCP: ['nodePortTcp', 'nodePortLocalTcp'],
  UDP: ['nodePortUdp', 'nodePortLocalUdp'],
  SCTP: ['nodePortSctp', 'nodePortLocalSctp'],
} as const;

function memberOf(port: ProxyPort, address: Address, number = port.port.port) {
  const protocol = protocolNumber(port.port.protocol);
  return { kind: 'ip,port', address, protocol, port: number } as const;
}

/** Policy Local takes what is on the node, and where nothing is, all. */
function endpointsOf(used: UsedEndpoints, onlyLocal: boolean): readonly ProxyEndpoint[] {
  return onlyLocal && used.local.length > 0 ? used.local : used.cluster;
}
