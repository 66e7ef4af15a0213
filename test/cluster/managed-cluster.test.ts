/**
 * `az aks show -o json` is read as it is, alone or with a wiring document beside it.
 * @module
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress, formatPrefix } from '../../src/wire/address/address.ts';

/** The fields of a real answer, those that do not bear on packets cut down to a few. */
function shown(profile: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify(
    {
      agentPoolProfiles: [
        {
          availabilityZones: null,
          count: 2,
          localDnsProfile: { kubeDnsOverrides: {}, mode: 'Required' },
          maxPods: 30,
          mode: 'System',
          name: 'nodepool1',
          osSku: 'Ubuntu',
          osType: 'Linux',
          vnetSubnetId: null,
        },
      ],
      dnsPrefix: 'shop',
      kind: 'Base',
      kubernetesVersion: '1.30',
      name: 'shop',
      networkProfile: {
        dnsServiceIp: '10.2.0.10',
        ipFamilies: ['IPv4'],
        loadBalancerProfile: {
          allocatedOutboundPorts: null,
          effectiveOutboundIPs: [{ id: '/subscriptions/0/publicIPAddresses/1' }],
          idleTimeoutInMinutes: null,
          managedOutboundIPs: { count: 1, countIpv6: null },
        },
        loadBalancerSku: 'Standard',
        natGatewayProfile: null,
        networkDataplane: 'azure',
        networkMode: null,
        networkPlugin: 'azure',
        networkPluginMode: null,
        networkPolicy: 'calico',
        outboundType: 'loadBalancer',
        podCidr: null,
        podCidrs: null,
        serviceCidr: '10.2.0.0/16',
        serviceCidrs: ['10.2.0.0/16'],
        ...profile,
      },
      type: 'Microsoft.ContainerService/ManagedClusters',
    },
    null,
    2,
  );
}

function problems(text: string): string[] {
  try {
    parseInputs('aks.json', text);
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map((d) => `${d.line} ${d.code} ${d.field ?? ''}`.trim());
  }
}

t.test('plugin, policy, ranges, node pools and the way out', async (t) => {
  const { cluster } = parseInputs('aks.json', shown());
  const { wiring, nodes } = cluster;
  t.equal(wiring.networkPlugin, 'azure');
  t.equal(wiring.networkPolicy, 'calico');
  t.equal(wiring.inferred, false);
  t.strictSame(cluster.dns?.servers.map(formatAddress), ['169.254.10.11'], 'LocalDNS');
  t.strictSame(wiring.serviceCidrs.map(formatPrefix), ['10.2.0.0/16']);
  t.equal(wiring.dnsServiceIp && formatAddress(wiring.dnsServiceIp), '10.2.0.10');
  t.equal(wiring.azure?.outbound.type, 'loadBalancer');
  t.equal(wiring.azure?.loadBalancerSku, 'standard');
  t.equal(nodes.length, 2);
});

t.test('a wiring document beside it says what the JSON has by resource id only', async (t) => {
  const beside = `apiVersion: wiretrial/v1
kind: Wiring
loadBalancerProfile: {outboundIPs: [20.1.2.3]}
virtualNetworks: [{addressPrefixes: [10.9.0.0/16]}]`;
  const files = `${JSON.stringify(JSON.parse(shown()))}\n---\n${beside}\n`;
  const { wiring } = parseInputs('both.yaml', files).cluster;
  t.strictSame(wiring.vnet.map(formatPrefix), ['10.9.0.0/16']);
  t.strictSame(wiring.azure?.outbound.publicAddresses.map(formatAddress), ['20.1.2.3']);
  t.strictSame(wiring.serviceCidrs.map(formatPrefix), ['10.2.0.0/16'], 'the rest is the JSON’s');
});

t.test('what it says is held to the same rules', async (t) => {
  const line = (text: string, key: string) =>
    text.split('\n').findIndex((one) => one.trimStart().startsWith(`"${key}"`)) + 1;
  const wide = shown({ serviceCidr: '11.0.0.0/8', serviceCidrs: null });
  t.strictSame(problems(wide), [
    `${line(wide, 'dnsServiceIp')} AZURE_DNS_ADDRESS dnsServiceIP`,
    `${line(wide, 'serviceCidr')} AZURE_SERVICE_RANGE serviceCidr`,
  ]);
  const odd = shown({ networkPlugin: 'cni' });
  t.strictSame(problems(odd), [`${line(odd, 'networkPlugin')} WIRING_SCHEMA networkPlugin`]);
  const cilium = shown({ networkDataplane: 'cilium' });
  t.strictSame(problems(cilium), [`${line(cilium, 'networkDataplane')} KIND_UNSUPPORTED`]);
});
