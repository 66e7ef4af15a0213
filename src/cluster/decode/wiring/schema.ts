/**
 * The JSON Schema (2020-12) of the wiring document, for editors and for our own check.
 *
 * The words are AKS's own (`az aks create`, Microsoft.ContainerService managedClusters
 * networkProfile; Microsoft.Network virtualNetworks).
 * @module
 */
import type { MapTree } from '../../manifest/tree.ts';
import { get, text } from '../../manifest/tree.ts';
import {
  API_SERVER,
  APPLICATION_GATEWAYS,
  APPLICATION_SECURITY_GROUPS,
  CIDR,
  CIDRS,
  FIREWALLS,
  INGRESS_CONTROLLERS,
  LOAD_BALANCER_PROFILE,
  NAME,
  NAT_GATEWAY_PROFILE,
  NAT_GATEWAYS,
  ON_PREMISES,
  PEERINGS,
  ROUTE_TABLES,
  SECURITY_GROUPS,
  VIRTUAL_NETWORKS,
} from './schema-network.ts';

const OUTBOUND_TYPES = [
  'loadBalancer',
  'managedNATGateway',
  'userAssignedNATGateway',
  'userDefinedRouting',
  'none',
];

/** Labels of DNS-1123, with dots between them. */
const DOMAIN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';

export const WIRING_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'wiretrial/v1/wiring',
  title: 'How a cluster is wired, in the words of AKS',
  type: 'object',
  additionalProperties: false,
  required: ['apiVersion', 'kind'],
  properties: {
    apiVersion: { const: 'wiretrial/v1' },
    kind: { const: 'Wiring' },
    metadata: { type: 'object' },
    kubernetesVersion: { type: 'string', pattern: '^[0-9]+\\.[0-9]+(\\.[0-9]+)?$' },
    networkPlugin: { enum: ['azure', 'kubenet', 'none'] },
    networkPluginMode: { enum: ['overlay'] },
    networkPolicy: { enum: ['none', 'azure', 'calico', 'cilium'] },
    networkDataplane: { enum: ['azure', 'cilium'] },
    podCidr: CIDR,
    podCidrs: CIDRS,
    serviceCidr: CIDR,
    serviceCidrs: CIDRS,
    dnsServiceIP: { type: 'string', minLength: 1 },
    clusterDomain: { type: 'string', pattern: DOMAIN },
    outboundType: { enum: OUTBOUND_TYPES },
    loadBalancerSku: { enum: ['standard', 'basic'] },
    ipFamilies: {
      type: 'array',
      items: { enum: ['IPv4', 'IPv6'] },
      minItems: 1,
      maxItems: 2,
      uniqueItems: true,
    },
    nodePools: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name'],
        properties: {
          name: { type: 'string', pattern: '^[a-z][a-z0-9]{0,11}$' },
          count: { type: 'integer', minimum: 0, maximum: 5000 },
          maxPods: { type: 'integer', minimum: 10, maximum: 250 },
          osType: { enum: ['Linux', 'Windows'] },
          podSubnet: NAME,
          localDNSProfile: {
            type: 'object',
            additionalProperties: false,
            properties: { mode: { enum: ['Preferred', 'Required', 'Disabled'] } },
          },
          osSKU: { type: 'string' },
          windowsProfile: {
            type: 'object',
            additionalProperties: false,
            properties: { disableOutboundNat: { type: 'boolean' } },
          },
        },
      },
    },
    apiServerAccessProfile: API_SERVER,
    loadBalancerProfile: LOAD_BALANCER_PROFILE,
    natGatewayProfile: NAT_GATEWAY_PROFILE,
    nodeSecurityGroup: NAME,
    virtualNetworks: VIRTUAL_NETWORKS,
    virtualNetworkPeerings: PEERINGS,
    routeTables: ROUTE_TABLES,
    networkSecurityGroups: SECURITY_GROUPS,
    applicationSecurityGroups: APPLICATION_SECURITY_GROUPS,
    natGateways: NAT_GATEWAYS,
    azureFirewalls: FIREWALLS,
    onPremisesRanges: ON_PREMISES,
    applicationGateways: APPLICATION_GATEWAYS,
    ingressControllers: INGRESS_CONTROLLERS,
  },
} as const;

/** Fields of a wiring document whose meaning is not emulated yet, though it may change verdicts. */
export function notEmulated(wiring: MapTree): readonly string[] {
  return text(get(wiring, 'networkDataplane')) === 'cilium' ? ['networkDataplane'] : [];
}
