/**
 * What HNS holds as the JSON of HCN's own calls (schema version 2), so that it can be held against
 * `Get-HnsEndpoint | ConvertTo-Json -Depth 20` and `Get-HnsPolicyList` of a node.
 *
 * Source: microsoft/hcsshim `hcn/hcnpolicy.go`, `hcn/hcnloadbalancer.go`. Which of an access rule's
 * ends is Local and which Remote: azure-container-networking
 * `npm/pkg/dataplane/policies/policy_windows.go` `convertToAclSettings` (with sets Local is the
 * source whatever the direction; with addresses Remote is the other end).
 * @module
 */
import type { PortRange } from '../../netfilter/match.ts';
import { formatAddress, formatPrefix } from '../../wire/address/address.ts';
import { formatMember } from '../ipset/member.ts';
import type { Json } from '../json.ts';
import type { Plan } from '../model.ts';
import type { AclTerm, HnsAcl, HnsEndpoint, HnsLoadBalancer, HnsState } from './model.ts';

/** The text of `plan -o hns`; hosts without HNS have none. */
export function printHns(plan: Plan): string {
  const { hns } = plan;
  return hns === undefined ? '' : `${JSON.stringify(hnsToJson(hns), null, 1)}\n`;
}

/** The JSON value. */
export function hnsToJson(state: HnsState): Json {
  const ids = new Map(
    state.endpoints.flatMap(({ id, addresses }) =>
      addresses.map((address) => [formatAddress(address), id] as const),
    ),
  );
  return {
    Network: {
      Name: state.network,
      Type: 'L2Bridge',
      WindowsBuild: state.build,
      Policies: state.sets.map((set) => ({
        Type: 'SetPolicy',
        Settings: {
          Id: set.name,
          Name: set.describes ?? set.name,
          Type: set.type === 'list:set' ? 'NESTEDIPSET' : 'IPSET',
          Values: set.members.map(formatMember).join(','),
        },
      })),
    },
    Endpoints: state.endpoints.map((endpoint) => endpointJson(state.network, endpoint)),
    LoadBalancers: state.loadBalancers.map((balancer) => balancerJson(balancer, ids)),
  };
}

function endpointJson(network: string, endpoint: HnsEndpoint): Json {
  return {
    ID: endpoint.id,
    Name: endpoint.name,
    HostComputeNetwork: network,
    MacAddress: endpoint.mac.replaceAll(':', '-').toUpperCase(),
    IpConfigurations: endpoint.addresses.map((a) => ({ IpAddress: formatAddress(a) })),
    Policies: [
      ...endpoint.outboundNats.map(({ exceptions, destinations }) => ({
        Type: 'OutBoundNAT',
        Settings: {
          ...(exceptions.length === 0 ? {} : { Exceptions: exceptions.map(formatPrefix) }),
          ...(destinations.length === 0 ? {} : { Destinations: destinations.map(formatAddress) }),
        },
      })),
      ...endpoint.acls.map((acl) => ({ Type: 'ACL', Settings: aclJson(acl) })),
    ],
  };
}

/** Only what was set: HNS takes an absent field for any. */
function aclJson(acl: HnsAcl): Json {
  const bySets = acl.source?.kind === 'sets' || acl.destination?.kind === 'sets';
  const isIn = acl.direction === 'In';
  const local = bySets || !isIn ? acl.source : acl.destination;
  const remote = bySets || !isIn ? acl.destination : acl.source;
  const ports = formatPorts(acl.ports);
  return {
    ...(acl.id === '' ? {} : { Id: acl.id }),
    ...(acl.protocol === null ? {} : { Protocols: String(acl.protocol) }),
    Action: acl.action,
    Direction: acl.direction,
    ...(local === null ? {} : { LocalAddresses: formatTerm(local) }),
    ...(remote === null ? {} : { RemoteAddresses: formatTerm(remote) }),
    ...(ports === '' ? {} : { [isIn ? 'LocalPorts' : 'RemotePorts']: ports }),
    ...(acl.ruleType === null ? {} : { RuleType: acl.ruleType }),
    Priority: acl.priority,
  };
}

function formatTerm(term: AclTerm): string {
  switch (term.kind) {
    case 'sets':
      return term.sets.map((set) => set.name).join(',');
    case 'members':
      return term.set.members.map(formatMember).join(',');
    case 'nets':
      return term.nets.map(formatPrefix).join(',');
  }
}

function formatPorts(ports: readonly PortRange[]): string {
  return ports.map(({ low, high }) => (low === high ? `${low}` : `${low}-${high}`)).join(',');
}

function balancerJson(balancer: HnsLoadBalancer, ids: ReadonlyMap<string, string>): Json {
  const { vips, endpoints, distribution } = balancer;
  return {
    ID: balancer.id,
    // Endpoints elsewhere are remote ones, which HNS is told of by address.
    HostComputeEndpoints: endpoints.map((a) => ids.get(formatAddress(a)) ?? formatAddress(a)),
    SourceVIP: balancer.sourceVip,
    FrontendVIPs: vips.map(formatAddress),
    PortMappings: [
      {
        Protocol: balancer.protocol,
        InternalPort: balancer.internalPort,
        ExternalPort: balancer.externalPort,
        DistributionType: distribution,
        Flags: balancer.mappingFlags,
      },
    ],
    Flags: balancer.flags,
  };
}
