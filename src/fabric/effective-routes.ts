/**
 * Effective routes of a subnet, as Azure selects them.
 *
 * Longest prefix first; of equal prefixes the user's route before what gateways learned (BGP)
 * before the system's. System routes of the virtual network and of peerings stand against more
 * specific BGP routes. A user's route for 0.0.0.0/0 takes the system's away for the private ranges,
 * too (azure-docs virtual-networks-udr-overview `0239a4e2`, "How Azure selects a route",
 * "Routing example" Subnet1).
 * @module
 */
import type { AzureNetwork, NextHop, RouteTable } from '../cluster/azure/network.ts';
import { containsPrefix, formatPrefix, type Prefix, parsePrefix } from '../wire/address/address.ts';
import { ANY } from './parts.ts';

export type EffectiveHop =
  | NextHop
  | { readonly type: 'VNetPeering' | 'VirtualNetworkServiceEndpoint' };

export interface EffectiveRoute {
  readonly prefix: Prefix;
  readonly source: 'Default' | 'VirtualNetworkGateway' | 'User';
  readonly hop: EffectiveHop;
}

/** What no route leads to unless a virtual network has it (RFC 1918, RFC 6598). */
export const PRIVATE_RANGES: readonly Prefix[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
].flatMap((range) => parsePrefix(range) ?? []);

/**
 * The active routes of a subnet with this route table and these service endpoints; `vnet` is its
 * network's address space.
 */
export function effectiveRoutes(
  network: AzureNetwork,
  vnet: readonly Prefix[],
  table: RouteTable | null,
  endpoints: readonly Prefix[] = [],
): readonly EffectiveRoute[] {
  const found = new Map<string, EffectiveRoute>();
  const put = (route: EffectiveRoute) => {
    found.set(formatPrefix(route.prefix), route);
  };
  const fixed = [...vnet, ...network.peerings.flatMap((p) => p.prefixes), ...endpoints];
  const isDefault = (prefix: Prefix) => prefix.length === 0;
  const isForced = table?.routes.some((r) => isDefault(r.prefix)) ?? false;
  put({ prefix: ANY[4], source: 'Default', hop: { type: 'Internet' } });
  put({ prefix: ANY[6], source: 'Default', hop: { type: 'Internet' } });
  if (!isForced && network.isConnectivityKnown) {
    for (const prefix of PRIVATE_RANGES) put({ prefix, source: 'Default', hop: { type: 'None' } });
  }
  for (const prefix of vnet) put({ prefix, source: 'Default', hop: { type: 'VnetLocal' } });
  for (const peering of network.peerings) {
    const hop = { type: peering.access ? 'VNetPeering' : 'None' } as const;
    for (const prefix of peering.prefixes) put({ prefix, source: 'Default', hop });
  }
  for (const prefix of endpoints) {
    put({ prefix, source: 'Default', hop: { type: 'VirtualNetworkServiceEndpoint' } });
  }
  if (table?.ignoresGateways !== true) {
    for (const { prefix } of network.onPremises) {
      if (fixed.some((f) => containsPrefix(f, prefix))) continue;
      const hop = { type: 'VirtualNetworkGateway' } as const;
      put({ prefix, source: 'VirtualNetworkGateway', hop });
    }
  }
  for (const { prefix, nextHop } of table?.routes ?? []) {
    put({ prefix, source: 'User', hop: nextHop });
  }
  return [...found.values()].toSorted((a, b) => b.prefix.length - a.prefix.length);
}
