/**
 * What Azure refuses about a wiring is refused with its reason, and only what it refuses.
 * @module
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';

/** Code and message of each refusal of a wiring (and further documents). */
function refusals(text: string): readonly string[] {
  try {
    parseInputs('w.yaml', `apiVersion: wiretrial/v1\nkind: Wiring\n${text}`);
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map((d) => `${d.code} ${d.message}`);
  }
}

const vnet = (range: string, subnet = range) =>
  `virtualNetworks: [{addressPrefixes: [${range}], subnets: [{addressPrefix: ${subnet}}]}]`;
const node = (address: string) =>
  `---\napiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [{type: InternalIP, address: ${address}}]}`;

const pools = (name: string, more = '') =>
  `nodePools: [{name: sys}, {name: ${name}, osType: Windows${more}}]`;

t.test('refused', async (t) => {
  const rows: readonly (readonly [string, string, string])[] = [
    [
      'overlay on kubenet',
      'networkPlugin: kubenet\nnetworkPluginMode: overlay',
      'AZURE_COMBINATION AKS refuses overlay mode with networkPlugin kubenet',
    ],
    [
      'NPM on kubenet',
      'networkPlugin: kubenet\nnetworkPolicy: azure',
      'AZURE_COMBINATION AKS refuses networkPolicy azure with kubenet',
    ],
    [
      'authorized ranges of a private API server',
      'apiServerAccessProfile: {enablePrivateCluster: true, authorizedIPRanges: [20.0.0.0/8]}',
      'AZURE_COMBINATION AKS refuses authorized IP ranges in private clusters',
    ],
    [
      'authorized ranges with a basic load balancer',
      'loadBalancerSku: basic\napiServerAccessProfile: {authorizedIPRanges: [20.0.0.0/8]}',
      'AZURE_COMBINATION AKS refuses authorized IP ranges with loadBalancerSku basic',
    ],
    [
      'a policy engine without a plugin',
      'networkPlugin: none\nnetworkPolicy: calico',
      'AZURE_COMBINATION AKS installs no policy engine without a network plugin',
    ],
    [
      'Calico on dual-stack overlay',
      'networkPluginMode: overlay\nipFamilies: [IPv4, IPv6]\nnetworkPolicy: calico',
      'AZURE_COMBINATION AKS refuses networkPolicy calico in dual-stack overlay clusters',
    ],
    [
      'services in the network',
      `${vnet('10.0.0.0/8', '10.1.0.0/16')}`,
      'AZURE_RANGE_OVERLAP 10.0.0.0/16 overlaps 10.0.0.0/8 of virtualNetworks',
    ],
    [
      'overlay pods in the service range',
      'networkPluginMode: overlay\npodCidr: 10.0.0.0/16',
      'AZURE_RANGE_OVERLAP 10.0.0.0/16 overlaps 10.0.0.0/16 of serviceCidr',
    ],
    [
      'a reserved pod range',
      'networkPluginMode: overlay\npodCidr: 172.16.0.0/12',
      'AZURE_RESERVED_RANGE 172.16.0.0/12 overlaps 172.30.0.0/16, which Azure reserves',
    ],
    [
      'the platform address in the network',
      vnet('168.63.129.0/24'),
      'AZURE_RESERVED_RANGE 168.63.129.0/24 overlaps 168.63.129.16/32, which Azure reserves',
    ],
    [
      'a service range of /12',
      'serviceCidr: 10.0.0.0/12',
      'AZURE_SERVICE_RANGE the service range 10.0.0.0/12 is too large',
    ],
    [
      'DNS outside the service range',
      'serviceCidr: 10.5.0.0/16\ndnsServiceIP: 10.6.0.10',
      'AZURE_DNS_ADDRESS 10.6.0.10 is not in the service range',
    ],
    [
      'DNS on the first service address',
      'serviceCidr: 10.5.0.0/16\ndnsServiceIP: 10.5.0.1',
      'AZURE_DNS_ADDRESS 10.5.0.1 is the first address of the service range, which is kept',
    ],
    [
      'a subnet outside',
      vnet('10.9.0.0/16', '10.8.0.0/24'),
      'AZURE_SUBNET subnet 10.8.0.0/24 is not inside the virtual network',
    ],
    [
      'a subnet too small',
      `${vnet('10.9.0.0/16', '10.9.0.0/30')}\nnodePools: [{name: a, count: 0}]`,
      'AZURE_SUBNET subnet 10.9.0.0/30 has a size that Azure refuses',
    ],
    [
      'a node on a reserved address',
      `${vnet('10.9.0.0/16')}\n${node('10.9.0.3')}`,
      'AZURE_ADDRESS the address 10.9.0.3 is one of the five that Azure keeps in subnet 10.9.0.0/16',
    ],
    [
      'a node on the last address',
      `${vnet('10.9.0.0/24')}\n${node('10.9.0.255')}`,
      'AZURE_ADDRESS the address 10.9.0.255 is one of the five that Azure keeps in subnet 10.9.0.0/24',
    ],
    [
      'a node outside',
      `${vnet('10.9.0.0/16')}\n${node('10.8.0.4')}`,
      'AZURE_ADDRESS the address 10.8.0.4 is in no subnet of the cluster',
    ],
    [
      'a basic load balancer and another way out',
      'loadBalancerSku: basic\noutboundType: managedNATGateway',
      'AZURE_COMBINATION AKS refuses outboundType managedNATGateway with loadBalancerSku basic',
    ],
    [
      'a NAT gateway in a dual-stack cluster',
      'networkPluginMode: overlay\nipFamilies: [IPv4, IPv6]\noutboundType: managedNATGateway',
      'AZURE_COMBINATION AKS refuses outboundType managedNATGateway in dual-stack clusters: a NAT gateway has IPv4 only',
    ],
    [
      'Windows on kubenet',
      `networkPlugin: kubenet\n${pools('win')}`,
      'AZURE_COMBINATION AKS refuses Windows node pools with networkPlugin kubenet',
    ],
    [
      'Windows with Cilium',
      `networkPluginMode: overlay\nnetworkPolicy: cilium\n${pools('win')}`,
      'AZURE_COMBINATION AKS refuses Windows node pools with networkPolicy cilium',
    ],
    [
      'a long name of a Windows pool',
      pools('windows'),
      'AZURE_NODE_POOL the name of the Windows node pool windows is longer than 6 characters',
    ],
    [
      'Windows alone',
      'nodePools: [{name: win, osType: Windows}]',
      'AZURE_NODE_POOL AKS refuses a cluster of Windows node pools only: its system pool runs Linux',
    ],
    [
      'OutboundNAT disabled behind the load balancer',
      pools('win', ', windowsProfile: {disableOutboundNat: true}'),
      'AZURE_OUTBOUND AKS refuses disableOutboundNat of win with outboundType loadBalancer',
    ],
    [
      'a name that nothing has',
      'virtualNetworks: [{addressPrefixes: [10.9.0.0/16], subnets: [{addressPrefix: 10.9.0.0/24, routeTable: r}]}]',
      'WIRING_NAME nothing in the wiring has this name',
    ],
    [
      'a peer that overlaps',
      `virtualNetworks: [{addressPrefixes: [10.9.0.0/16]}, {name: hub, addressPrefixes: [10.9.8.0/24]}]\nvirtualNetworkPeerings: [{remoteVirtualNetwork: hub}]`,
      "AZURE_RANGE_OVERLAP 10.9.8.0/24 overlaps the cluster's virtual network",
    ],
    [
      'services in a peer',
      'virtualNetworks: [{addressPrefixes: [10.9.0.0/16]}, {name: hub, addressPrefixes: [10.0.128.0/24]}]\nvirtualNetworkPeerings: [{remoteVirtualNetwork: hub}]',
      'AZURE_RANGE_OVERLAP 10.0.0.0/16 overlaps 10.0.128.0/24 of virtualNetworkPeerings',
    ],
    [
      'overlay pods in a range on-premises',
      'networkPluginMode: overlay\nonPremisesRanges: [{addressPrefix: 10.244.9.0/24}]',
      'AZURE_RANGE_OVERLAP 10.244.0.0/16 overlaps 10.244.9.0/24 of onPremisesRanges',
    ],
    [
      'an appliance without an address',
      'routeTables: [{name: r, routes: [{addressPrefix: 0.0.0.0/0, nextHopType: VirtualAppliance}]}]',
      'AZURE_ROUTE a next hop VirtualAppliance needs nextHopIpAddress',
    ],
    [
      'two rules of one priority',
      'networkSecurityGroups: [{name: g, securityRules: [{name: x, priority: 100, direction: Inbound, access: Allow, protocol: Tcp}, {name: y, priority: 100, direction: Inbound, access: Deny, protocol: Udp}]}]',
      'AZURE_SECURITY_RULE rules x and y have the same priority and direction',
    ],
    [
      'a service tag of Microsoft’s weekly list',
      'networkSecurityGroups: [{name: g, securityRules: [{priority: 100, direction: Outbound, access: Allow, protocol: Tcp, destinationAddressPrefix: AzureCloud.westeurope}]}]',
      'AZURE_SERVICE_TAG the addresses of this service tag are not known here',
    ],
    [
      'a NAT gateway of seventeen addresses',
      `natGateways: [{name: g, publicIpAddresses: [${Array.from({ length: 17 }, (_, i) => `20.0.0.${i}`).join(', ')}]}]`,
      'AZURE_NAT_GATEWAY a NAT gateway has at most 16 public addresses',
    ],
    [
      'an outbound type of the user’s own without a route',
      `outboundType: userDefinedRouting\n${vnet('10.9.0.0/16', '10.9.0.0/24')}\n${node('10.9.0.4')}`,
      'AZURE_OUTBOUND outboundType userDefinedRouting needs a route table with a default route on the subnet of the nodes',
    ],
    [
      'more ports than addresses have',
      `loadBalancerProfile: {allocatedOutboundPorts: 32000}\nnodePools: [{name: p, count: 3}]`,
      'AZURE_OUTBOUND 3 nodes with 32000 ports each need more than the 64000 of 1 outbound address',
    ],
  ];
  for (const [name, text, want] of rows) t.same(refusals(text), [want], name);
});

t.test('accepted', async (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['nothing said', ''],
    ['defaults said', 'networkPlugin: azure\nserviceCidr: 10.0.0.0/16\ndnsServiceIP: 10.0.0.10'],
    ['a service range of /13', 'serviceCidr: 10.0.0.0/13'],
    ['overlay in two families', 'networkPluginMode: overlay\nipFamilies: [IPv4, IPv6]'],
    ['kubenet with Calico', 'networkPlugin: kubenet\nnetworkPolicy: calico'],
    ['bring your own', 'networkPlugin: none'],
    ['Windows', pools('win6ch')],
    [
      'OutboundNAT disabled behind a NAT gateway',
      `outboundType: managedNATGateway\n${pools('w', ', windowsProfile: {disableOutboundNat: true}')}`,
    ],
    [
      'another network that is not peered',
      'virtualNetworks: [{addressPrefixes: [10.9.0.0/16]}, {addressPrefixes: [10.8.0.0/16]}]',
    ],
    ['the smallest subnet', `${vnet('10.9.0.0/16', '10.9.0.0/29')}\n${node('10.9.0.4')}`],
  ];
  for (const [name, text] of rows) t.same(refusals(text), [], name);
});
