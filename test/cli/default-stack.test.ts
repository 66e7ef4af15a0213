/**
 * Which network and policy engine a cluster has when nobody asks for a stack: by its wiring
 * document, by `az aks show`, by the labels that AKS writes on nodes.
 *
 * Facts: AKS docs "Azure CNI networking overview"; node labels as AKS nodes have them
 * (`KUBELET_NODE_LABELS`; NodeNetworkConfigs of a cluster with pod subnets).
 * @module
 */
import t from 'tap';
import { chooseStack } from '../../src/cli/input/inputs.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress, formatPrefix } from '../../src/wire/address/address.ts';
import { twoNodeText, WIRINGS } from '../dataplane/two-node-cluster.ts';

const load = (text: string) => parseInputs('c.yaml', text);
const stackOf = (text: string) => chooseStack(undefined, load(text)).text;

const wiring = (lines: string) => `apiVersion: wiretrial/v1\nkind: Wiring\n${lines}\n---\n`;

function node(name: string, address: string, labels = '{}'): string {
  return `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}, labels: ${labels}}
status: {addresses: [{type: InternalIP, address: ${address}}]}\n---\n`;
}

function pod(name: string, at: string, address = ''): string {
  const status = address === '' ? '' : `\nstatus: {phase: Running, podIP: ${address}}`;
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}
spec: {nodeName: ${at}, containers: [{name: c}]}${status}\n---\n`;
}

/** Two subnets: the first with nodes, the second with whatever is said. */
const SUBNETS = `networkPlugin: azure
virtualNetworks:
- addressPrefixes: [10.224.0.0/12]
  subnets: [{name: nodes, addressPrefix: 10.224.0.0/24}, {name: pods, addressPrefix: 10.225.0.0/24}]`;

/** A node's label of the network. */
const label = (name: string, value: string) => `{kubernetes.azure.com/${name}: "${value}"}`;
const LABELLED = (labels: string) => node('n', '10.224.0.4', labels) + pod('p', 'n', '10.225.0.7');

const MANAGED = (pool: string, profile: string) =>
  `{"agentPoolProfiles": [{"name": "np", "count": 1, ${pool}}], "kubernetesVersion": "1.30", "networkProfile": {${profile}}}`;
const POD_SUBNET_ID =
  '"podSubnetId": "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/pods"';

const CHOICES: readonly (readonly [string, string, string])[] = [
  ['nothing is said', pod('p', 'n', '10.1.0.7'), 'azure-transparent+none'],
  ['an empty wiring', wiring('metadata: {}'), 'azure-transparent+none'],
  ['Azure CNI', wiring('networkPlugin: azure\nnetworkPolicy: azure'), 'azure-transparent+npm'],
  ['overlay', wiring('networkPluginMode: overlay\nnetworkPolicy: calico'), 'azure-overlay+calico'],
  ['dual-stack overlay', wiring(WIRINGS.overlay), 'azure-overlay+none'],
  ['kubenet', wiring('networkPlugin: kubenet\nnetworkPolicy: calico'), 'kubenet+calico'],
  ['dual-stack kubenet', wiring(WIRINGS.kubenet), 'kubenet+none'],
  ['a network of one’s own', wiring('networkPlugin: none'), 'byo+none'],
  [
    'pods in a subnet of their own, by their addresses',
    twoNodeText({ wiring: WIRINGS.podSubnet, single: true, pods: 'subnet' }),
    'azure-podsubnet+none',
  ],
  [
    'two subnets of nodes, pods among them',
    wiring(SUBNETS) +
      node('a', '10.224.0.4') +
      node('b', '10.225.0.4') +
      pod('p', 'a', '10.224.0.7') +
      pod('q', 'b', '10.225.0.7'),
    'azure-transparent+none',
  ],
  [
    'a second subnet that nobody is in',
    wiring(SUBNETS) + node('a', '10.224.0.4') + pod('p', 'a', '10.224.0.7'),
    'azure-transparent+none',
  ],
  [
    'a pool that names its pods’ subnet',
    wiring(`${SUBNETS}\nnodePools: [{name: np, count: 2, podSubnet: pods}]`),
    'azure-podsubnet+none',
  ],
  [
    'az aks show with pod subnets',
    MANAGED(POD_SUBNET_ID, '"networkPlugin": "azure", "networkPolicy": "azure"'),
    'azure-podsubnet+npm',
  ],
  [
    'az aks show without',
    MANAGED('"podSubnetId": null', '"networkPlugin": "azure", "networkPolicy": null'),
    'azure-transparent+none',
  ],
  [
    'az aks show of an overlay',
    MANAGED('"maxPods": 250', '"networkPlugin": "azure", "networkPluginMode": "overlay"'),
    'azure-overlay+none',
  ],
  ['nodes labelled overlay', LABELLED(label('podnetwork-type', 'overlay')), 'azure-overlay+none'],
  ['an older label', LABELLED(label('azure-cni-overlay', 'true')), 'azure-overlay+none'],
  ['pod subnets', LABELLED(label('podnetwork-type', 'vnet')), 'azure-podsubnet+none'],
  [
    'blocks of pod subnets',
    LABELLED(label('podnetwork-type', 'vnetblock')),
    'azure-podsubnet+none',
  ],
  ['the engine', LABELLED(label('network-policy', 'azure')), 'azure-transparent+npm'],
  [
    'nodes that do not agree',
    LABELLED(label('network-policy', 'azure')) +
      node('m', '10.224.0.5', label('network-policy', 'calico')),
    'azure-transparent+none',
  ],
  [
    'a document goes before labels',
    wiring('networkPlugin: kubenet\nnetworkPolicy: none') +
      node('n', '10.224.0.4', label('podnetwork-type', 'overlay')),
    'kubenet+none',
  ],
  [
    'a document that says nothing of it does not',
    wiring('dnsServiceIP: 10.0.0.10') +
      node('n', '10.224.0.4', label('podnetwork-type', 'overlay')),
    'azure-overlay+none',
  ],
];

t.test('a wiring means a network', async (t) => {
  for (const [name, text, want] of CHOICES) t.equal(stackOf(text), want, name);
  for (const labels of [label('ebpf-dataplane', 'cilium'), label('network-policy', 'cilium')]) {
    t.throws(() => stackOf(LABELLED(labels)), UserError, 'Cilium is not taken for another');
  }
});

t.test('ranges of a labelled cluster are those of its objects', async (t) => {
  const overlay = load(
    node('a', '10.224.0.4', label('podnetwork-type', 'overlay')) +
      node('b', '10.224.0.5', label('podnetwork-type', 'overlay')) +
      pod('p', 'a', '192.168.3.7') +
      pod('q', 'b', '192.168.1.9'),
  ).cluster;
  t.strictSame(overlay.wiring.podCidrs.map(formatPrefix), ['192.168.0.0/16']);
  t.strictSame(
    overlay.nodes.map((n) => n.podCidrs.map(formatPrefix)),
    [['192.168.3.0/24'], ['192.168.1.0/24']],
    'a node has the /24 that its pods are in',
  );
  t.strictSame(overlay.wiring.nonMasqueradeCidrs.map(formatPrefix), ['192.168.0.0/16']);
  const apart = load(
    node('a', '10.1.0.4', label('podnetwork-type', 'vnet')) + pod('p', 'a', '10.1.1.7'),
  ).cluster;
  t.strictSame(apart.wiring.podSubnets?.map(formatPrefix), ['10.1.1.0/24']);
});

t.test('pods without addresses get them from their pool’s subnet', async (t) => {
  const { cluster } = load(
    wiring(`${SUBNETS}\nnodePools: [{name: np, count: 2, podSubnet: pods}]`) +
      pod('p', 'aks-np-00000000-vmss000000') +
      pod('q', 'aks-np-00000000-vmss000001'),
  );
  t.strictSame(
    cluster.nodes.flatMap((n) => n.addresses.map(formatAddress)),
    ['10.224.0.4', '10.224.0.5'],
    'nodes keep nothing for pods',
  );
  t.strictSame(
    cluster.pods.flatMap((p) => p.addresses.map(formatAddress)),
    ['10.225.0.4', '10.225.0.5'],
  );
  t.strictSame(cluster.wiring.podSubnets?.map(formatPrefix), ['10.225.0.0/24']);
});

t.test('a subnet that is not there is refused where subnets have names', async (t) => {
  t.throws(() => load(wiring(`${SUBNETS}\nnodePools: [{name: np, podSubnet: pod}]`)), {
    message: /c\.yaml:\d+:\d+: Wiring nodePools\.podSubnet: no subnet .*accepted: nodes, pods/,
  });
});
