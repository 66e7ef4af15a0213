/**
 * The route table that AKS keeps for kubenet: each node's range by way of the node's address, on
 * every subnet that nodes are in. A table of the user's own gets these routes, too.
 *
 * Source: AKS docs "Use kubenet networking" (limits: 400 user-defined routes a table);
 * cloud-provider-azure `pkg/provider/azure_routes.go` (`CreateRoute`: next hop VirtualAppliance,
 * IPv4 and IPv6 ranges in one table).
 * @module
 */
import type { Subnet, UserRoute } from '../../cluster/azure/network.ts';
import type { Cluster, Node } from '../../cluster/model.ts';
import { contains, formatPrefix } from '../../wire/address/address.ts';
import type { BetweenNodes } from '../dataplane.ts';
import { nodeRanges } from '../plain/node-range.ts';

/** The cluster with these routes in its wiring; the same where none is needed. */
export function withRouteTable(cluster: Cluster, between: BetweenNodes): Cluster {
  const { azure } = cluster.wiring;
  if (between !== 'routes' || !azure) return cluster;
  const routes = cluster.nodes.flatMap(routesTo);
  const subnets = azure.subnets.map((subnet) => withRoutes(subnet, routes, cluster.nodes));
  return { ...cluster, wiring: { ...cluster.wiring, azure: { ...azure, subnets } } };
}

function routesTo(node: Node): readonly UserRoute[] {
  return nodeRanges(node).flatMap(({ range }) => {
    const address = node.addresses.find((a) => a.family === range.address.family);
    if (!address) return [];
    const nextHop = { type: 'VirtualAppliance', address } as const;
    return [{ name: `${node.name} ${formatPrefix(range)}`, prefix: range, nextHop }];
  });
}

function withRoutes(subnet: Subnet, routes: readonly UserRoute[], nodes: readonly Node[]): Subnet {
  const isOurs = nodes.some((n) => n.addresses.some((a) => contains(subnet.prefix, a)));
  if (!isOurs) return subnet;
  const table = subnet.routeTable ?? {
    name: 'aks-agentpool-routetable',
    ignoresGateways: false,
    routes: [],
  };
  const given = new Set(table.routes.map((r) => formatPrefix(r.prefix)));
  const added = routes.filter((r) => !given.has(formatPrefix(r.prefix)));
  return { ...subnet, routeTable: { ...table, routes: [...table.routes, ...added] } };
}
