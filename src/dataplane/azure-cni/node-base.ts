/**
 * What a node has whatever mode Azure CNI is in: loopback, routes of its subnet, sysctls.
 *
 * Sysctls: AgentBaker `parts/linux/cloud-init/artifacts/cse_config.sh` (`ip_forward`, `forwarding`,
 * `bridge-nf-call-iptables`) and `sysctl-d-60-CIS.conf` (redirects); rp_filter is Ubuntu's loose
 * mode (procps `10-network-security.conf`, systemd `50-default.conf`: 2), which AKS does not
 * change. bridge-nf-call-ip6tables is the module's default, 1: no file sets it.
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import { type Interface, type InterfaceAddress, MAIN_TABLE, type Route } from '../../plan/model.ts';
import { type Address, ANY4, ANY6, hostPrefix, type Prefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { FABRIC_MAC, nodeMac } from './mac.ts';
import { GATEWAY6, literal, neighbor } from './neighbors.ts';
import type { AddressRanges } from './ranges.ts';

/** MTU of Azure NICs; Azure CNI copies it to both ends of a veth pair. */
export const MTU = 1500;

/** A VM's NIC. */
export const UPLINK = 'eth0';

export const LOOPBACK: Interface = {
  name: 'lo',
  kind: 'loopback',
  mac: '00:00:00:00:00:00',
  mtu: 65_536,
  up: true,
  addresses: [
    { address: literal('127.0.0.1'), length: 8, scope: 'host' },
    { address: literal('::1'), length: 128, scope: 'host' },
  ],
};

const NODE_SYSCTLS: Readonly<Record<string, string>> = {
  'net.ipv4.ip_forward': '1',
  'net.ipv4.conf.all.forwarding': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.conf.all.rp_filter': '2',
  'net.ipv4.conf.default.rp_filter': '2',
  'net.ipv4.conf.all.send_redirects': '0',
  'net.ipv4.conf.default.send_redirects': '0',
  'net.ipv4.conf.all.accept_redirects': '0',
  'net.ipv4.conf.all.accept_source_route': '0',
  'net.bridge.bridge-nf-call-iptables': '1',
  'net.bridge.bridge-nf-call-ip6tables': '1',
};

/** Sysctls of every AKS Linux node. */
export function setNodeSysctls(builder: PlanBuilder): void {
  Object.assign(builder.sysctls, NODE_SYSCTLS);
}

/** Ports of Azure's wire server and of the host's agent behind it. */
const WIRESERVER_PORTS = [32_526, 80];

/**
 * Pods may not ask the wire server: rules that AgentBaker puts into FORWARD when the node is made,
 * before kube-proxy and the policy engines put theirs above them (AgentBaker
 * `parts/linux/cloud-init/artifacts/block_wireserver.sh`; AKS dumps of 2021 to 2023 have
 * the first).
 */
export function blockWireserver(builder: PlanBuilder): void {
  for (const port of WIRESERVER_PORTS) {
    builder.append(4, 'filter', 'FORWARD', {
      ip: {
        destination: { value: hostPrefix(literal('168.63.129.16')), negate: false },
        protocol: { value: Protocol.tcp, negate: false },
      },
      matches: [{ kind: 'tcp', dport: { value: { low: port, high: port }, negate: false } }],
      target: { kind: 'drop' },
    });
  }
}

/**
 * Addresses as an interface of the cluster holds them: IPv4 with the length of the range each is
 * in, IPv6 single (Azure hands out /128).
 */
export function interfaceAddresses(
  addresses: readonly Address[],
  ranges: AddressRanges,
): InterfaceAddress[] {
  return addresses.map((address) => interfaceAddress(address, ranges));
}

/** One of them. */
export function interfaceAddress(address: Address, ranges: AddressRanges): InterfaceAddress {
  const length = address.family === 4 ? ranges.rangeOf(address).length : 128;
  return { address, length, scope: 'global' };
}

/**
 * Routes of a node: its connected ranges, and a default by the subnet's gateway, which is the
 * fabric. Also the gateway's neighbour entries.
 */
export function addSubnetRoutes(
  builder: PlanBuilder,
  node: Node,
  ranges: AddressRanges,
  device: string,
): void {
  for (const address of node.addresses) {
    if (address.family === 6) continue;
    builder.routes.push(connected(ranges.rangeOf(address), device, address));
  }
  const primary = node.addresses.find((address) => address.family === 4);
  if (primary) {
    const gateway = ranges.gatewayOf(ranges.rangeOf(primary));
    builder.routes.push(defaultRoute(gateway, device));
    builder.neighbors.push(neighbor(gateway, device, FABRIC_MAC));
  }
  if (node.addresses.some((address) => address.family === 6)) {
    builder.routes.push(defaultRoute(GATEWAY6, device));
    builder.neighbors.push(neighbor(GATEWAY6, device, FABRIC_MAC));
  }
}

/** A node whose NIC has its addresses itself, the usual routes, and no pods yet. */
export function addUplink(builder: PlanBuilder, node: Node, ranges: AddressRanges): void {
  builder.interfaces.push(LOOPBACK, {
    name: UPLINK,
    kind: 'physical',
    mac: nodeMac(node.name),
    mtu: MTU,
    up: true,
    addresses: interfaceAddresses(node.addresses, ranges),
  });
  addSubnetRoutes(builder, node, ranges, UPLINK);
  setNodeSysctls(builder);
}

/** The route that the kernel makes for an address's range (`proto kernel scope link src`). */
export function connected(destination: Prefix, device: string, source: Address): Route {
  return { ...onLinkRoute(destination, device), source };
}

/** A range that is reached directly. */
export function onLinkRoute(destination: Prefix, device: string): Route {
  return {
    family: destination.address.family,
    type: 'unicast',
    destination,
    table: MAIN_TABLE,
    device,
    metric: destination.address.family === 6 ? 1024 : 0,
    scope: destination.address.family === 6 ? 'global' : 'link',
  };
}

/** A default route by a gateway. */
export function defaultRoute(via: Address, device: string): Route {
  return {
    family: via.family,
    type: 'unicast',
    destination: { address: via.family === 4 ? ANY4 : ANY6, length: 0 },
    table: MAIN_TABLE,
    device,
    via,
    metric: via.family === 6 ? 1024 : 0,
    scope: 'global',
  };
}
