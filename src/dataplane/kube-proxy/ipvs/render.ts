/**
 * kube-proxy in IPVS mode on one node: the dummy device with the Services' addresses, the sets, the
 * rules of both families, virtual servers, and settings.
 *
 * Where kube-proxy walks a map or a set (Services, endpoints, addresses) its order is chance; ours
 * is that of the input. Source: kubernetes v1.30.5 `pkg/proxy/ipvs/proxier.go` `NewProxier`,
 * `syncProxyRules`, `pkg/proxy/ipvs/netlink_linux.go`, `pkg/proxy/util/nodeport_addresses.go`.
 * @module
 */
import type { IpvsConfig, Node } from '../../../cluster/model.ts';
import { DEFAULT_VIRTUAL_TIMEOUTS, type VirtualServer } from '../../../netfilter/virtual-server.ts';
import type { PlanBuilder } from '../../../plan/builder.ts';
import {
  type Address,
  bits,
  contains,
  type Family,
  formatAddress,
} from '../../../wire/address/address.ts';
import { bridgeMac } from '../../azure-cni/mac.ts';
import { nodePortScope, type ProxySettings } from '../config.ts';
import { trafficDetector } from '../local-detector.ts';
import { constant } from '../parts.ts';
import type { ProxyTopology } from '../services/categorize.ts';
import type { ProxyEndpoint } from '../services/endpoints.ts';
import type { ProxyPort } from '../services/service-port.ts';
import { addIpvsRules } from './rules.ts';
import { layOut, type ServiceLayout } from './services.ts';

export const DUMMY = 'kube-ipvs0';

/** kube-proxy's own defaults: round robin, and the kernel's timeouts. */
const DEFAULTS: IpvsConfig = {
  scheduler: 'rr',
  strictArp: false,
  tcpTimeout: 0,
  tcpFinTimeout: 0,
  udpTimeout: 0,
};

/** What both families are made of. */
export interface IpvsProxyInput {
  readonly ports: (family: Family) => readonly {
    readonly port: ProxyPort;
    readonly all: readonly ProxyEndpoint[];
  }[];
  readonly node: Pick<Node, 'name' | 'addresses' | 'podCidrs'>;
  readonly topology: ProxyTopology;
  readonly settings: ProxySettings;
}

/** Add IPVS mode to a node that has its interfaces. */
export function renderIpvs(builder: PlanBuilder, input: IpvsProxyInput): void {
  const { settings, node } = input;
  const config = settings.ipvs ?? DEFAULTS;
  const own = builder.interfaces.flatMap((device) => device.addresses.map((a) => a.address));
  const servers: VirtualServer[] = [];
  const bound: Address[] = [];
  for (const family of [4, 6] as const) {
    const layout = layOutFamily(input, config, own, family);
    const detector = trafficDetector(settings.detectLocal, node, family);
    builder.ipsets.push(...layout.sets.build());
    addIpvsRules(builder, { family, settings, detector, layout });
    servers.push(...layout.servers);
    bound.push(...layout.bound);
  }
  addDummy(builder, node.name, bound);
  addSettings(builder, config);
  builder.virtualServers = { servers, timeouts: timeoutsOf(config) };
}

function layOutFamily(
  { ports, node, topology, settings }: IpvsProxyInput,
  { scheduler }: IpvsConfig,
  own: readonly Address[],
  family: Family,
): ServiceLayout {
  const counted = own.filter((a) => a.family === family && !isLoopback(a) && !isLinkLocal6(a));
  return layOut(ports(family), {
    family,
    scheduler,
    topology,
    address: node.addresses.find((a) => a.family === family) ?? null,
    own: counted,
    nodePortIps: nodePortIps(settings, own, counted, family),
  });
}

/** All addresses that count, or those of the ranges; never those of loopback. */
function nodePortIps(
  settings: ProxySettings,
  own: readonly Address[],
  counted: readonly Address[],
  family: Family,
): readonly Address[] {
  const { everywhere, ranges } = nodePortScope(settings, family);
  const chosen = everywhere
    ? counted
    : own.filter((a) => !isLoopback(a) && ranges.some((range) => contains(range, a)));
  return [...new Map(chosen.map((a) => [formatAddress(a), a])).values()];
}

function isLoopback(a: Address): boolean {
  return contains(constant(a.family === 4 ? '127.0.0.0/8' : '::1/128'), a);
}

function isLinkLocal6(a: Address): boolean {
  return a.family === 6 && contains(constant('fe80::/10'), a);
}

/** kube-proxy makes the device and never sets it up: its addresses are local all the same. */
function addDummy(builder: PlanBuilder, node: string, bound: readonly Address[]): void {
  builder.interfaces.push({
    name: DUMMY,
    kind: 'dummy',
    mac: bridgeMac(`${DUMMY} ${node}`),
    mtu: 1500,
    up: false,
    addresses: bound.map((address) => {
      return { address, length: bits(address.family), scope: 'global' };
    }),
  });
}

function addSettings(builder: PlanBuilder, { strictArp }: IpvsConfig): void {
  const { sysctls } = builder;
  sysctls['net.ipv4.vs.conntrack'] = '1';
  if (reusesBadly(builder.kernel)) sysctls['net.ipv4.vs.conn_reuse_mode'] = '0';
  sysctls['net.ipv4.vs.expire_nodest_conn'] = '1';
  sysctls['net.ipv4.vs.expire_quiescent_template'] = '1';
  sysctls['net.ipv4.ip_forward'] = '1';
  if (!strictArp) return;
  sysctls['net.ipv4.conf.all.arp_ignore'] = '1';
  sysctls['net.ipv4.conf.all.arp_announce'] = '2';
}

/** Kernels that have the setting (4.1) and not yet the repair (5.9). */
function reusesBadly(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  const number = major * 100 + minor;
  return number >= 401 && number < 509;
}

/** 0 leaves what the kernel has. */
function timeoutsOf({ tcpTimeout, tcpFinTimeout, udpTimeout }: IpvsConfig) {
  const { tcp, tcpFin, udp } = DEFAULT_VIRTUAL_TIMEOUTS;
  return { tcp: tcpTimeout || tcp, tcpFin: tcpFinTimeout || tcpFin, udp: udpTimeout || udp };
}
