/**
 * Services that an API server would refuse are refused in its words, with their place; those that it
 * takes and nobody answers are warned of.
 * @module
 */
import t from 'tap';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { formatDiagnostic, UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';

const WIRING = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
serviceCidr: 10.0.0.0/16
virtualNetworks: [{addressPrefixes: [10.224.0.0/12], subnets: [{addressPrefix: 10.224.0.0/16}]}]
`;

/** The lines for a text, none when it loads. */
function messages(text: string): readonly string[] {
  try {
    parseInputs('f.yaml', text);
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message.split('\n');
  }
}

/** One document of five lines; `spec` is the last. */
function service(name: string, spec: string): string {
  return `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {${spec}}\n`;
}

const HTTP = 'ports: [{port: 80}]';

const REFUSED: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'the same port twice',
    service('a', 'ports: [{name: x, port: 80}, {name: y, port: 80}]'),
    ['f.yaml:10:37: default/Service/a spec.ports[1]: duplicate value (found a map) [SERVICE_PORT]'],
  ],
  [
    'the same node port twice in a Service',
    service(
      'a',
      'type: NodePort, ports: [{name: x, port: 80, nodePort: 30080}, {name: y, port: 81, nodePort: 30080}]',
    ),
    [
      'f.yaml:10:100: default/Service/a spec.ports[1].nodePort: duplicate value (found 30080) [SERVICE_NODE_PORT]',
    ],
  ],
  [
    'one node port of two Services, whatever the protocol',
    service('a', 'type: NodePort, ports: [{port: 80, nodePort: 30080}]') +
      service('b', 'type: NodePort, ports: [{port: 80, protocol: UDP, nodePort: 30080}]'),
    [
      'f.yaml:15:32: default/Service/b spec.ports[0].nodePort: provided port is already allocated (by the Service default/a) (found 30080) [SERVICE_NODE_PORT]',
    ],
  ],
  [
    'a port for health checks that is a node port of the same Service',
    service(
      'a',
      'type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30080, ports: [{port: 80, nodePort: 30080}]',
    ),
    [
      'f.yaml:7:1: default/Service/a spec.healthCheckNodePort: failed to allocate requested HealthCheck NodePort 30080: provided port is already allocated (found 30080) [SERVICE_NODE_PORT]',
    ],
  ],
  [
    'a node port outside of the range',
    service('a', 'type: NodePort, ports: [{port: 80, nodePort: 8080}]'),
    [
      'f.yaml:10:53: default/Service/a spec.ports[0].nodePort: provided port is not in the valid range. The range of valid ports is 30000-32767 (found 8080; accepted: 30000..32767) [SERVICE_NODE_PORT]',
    ],
  ],
  [
    'a ClusterIP outside of the service range',
    service('a', `clusterIP: 10.1.0.1, ${HTTP}`),
    [
      'f.yaml:7:1: default/Service/a spec.clusterIPs: failed to allocate IP 10.1.0.1: the provided IP (10.1.0.1) is not in the valid range. The range of valid IPs is 10.0.0.0/16 (found ["10.1.0.1"]) [SERVICE_CLUSTER_IP]',
    ],
  ],
  [
    'one ClusterIP of two Services',
    service('a', `clusterIP: 10.0.0.9, ${HTTP}`) + service('b', `clusterIP: 10.0.0.9, ${HTTP}`),
    [
      'f.yaml:12:1: default/Service/b spec.clusterIPs: failed to allocate IP 10.0.0.9: provided IP is already allocated (by the Service default/a) (found ["10.0.0.9"]) [SERVICE_CLUSTER_IP]',
    ],
  ],
  [
    'both families in a cluster of one',
    service('a', `ipFamilyPolicy: RequireDualStack, ${HTTP}`),
    [
      'f.yaml:7:1: default/Service/a spec.ipFamilyPolicy: this cluster is not configured for dual-stack services (found "RequireDualStack") [SERVICE_IP_FAMILY]',
    ],
  ],
  [
    'a family that the cluster has not',
    service('a', `ipFamilies: [IPv6], ${HTTP}`),
    [
      'f.yaml:7:1: default/Service/a spec.ipFamilies[0]: not configured on this cluster (found "IPv6") [SERVICE_IP_FAMILY]',
    ],
  ],
  [
    'an external traffic policy where nothing comes from outside',
    service('a', `externalTrafficPolicy: Local, ${HTTP}`),
    [
      'f.yaml:10:31: default/Service/a spec.externalTrafficPolicy: may only be set for externally-accessible services (found "Local") [SERVICE_TRAFFIC_POLICY]',
    ],
  ],
  [
    'a health check port that nobody asks',
    service('a', `type: LoadBalancer, healthCheckNodePort: 32000, ${HTTP}`),
    [
      "f.yaml:10:49: default/Service/a spec.healthCheckNodePort: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local' (found 32000) [SERVICE_TRAFFIC_POLICY]",
    ],
  ],
  [
    'traffic policies that do not exist',
    service('a', `internalTrafficPolicy: Node, trafficDistribution: Near, ${HTTP}`),
    [
      'f.yaml:10:31: default/Service/a spec.internalTrafficPolicy: unsupported value (found "Node"; accepted: Cluster, Local) [SERVICE_TRAFFIC_POLICY]',
      'f.yaml:10:58: default/Service/a spec.trafficDistribution: unsupported value (found "Near"; accepted: PreferClose, PreferSameNode, PreferSameZone) [SERVICE_TRAFFIC_POLICY]',
    ],
  ],
  [
    'an ingress that only a newer load balancer has',
    `${service('a', `type: LoadBalancer, ${HTTP}`)}status: {loadBalancer: {ingress: [{ip: 1.2.3.4, ipMode: Vip}]}}\n`,
    [
      'f.yaml:11:57: default/Service/a status.loadBalancer.ingress[0].ipMode: unsupported value (found "Vip"; accepted: Proxy, VIP) [SERVICE_INGRESS]',
    ],
  ],
  [
    'a slice with an address of the other family',
    '---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\nendpoints: [{addresses: ["fd00::1"]}]\n',
    [
      'f.yaml:11:26: default/EndpointSlice/s endpoints[0].addresses[0]: must be an IPv4 address (found "fd00::1") [SLICE_ADDRESS_TYPE]',
    ],
  ],
  [
    'kube-proxy in a mode that there is no more',
    '---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: userspace\n',
    [
      'f.yaml:9:7: KubeProxyConfiguration/ mode: must be iptables, ipvs, nftables or blank (blank means the best-available proxy [currently iptables]) (found "userspace") [KUBE_PROXY_MODE]',
    ],
  ],
  [
    'settings of IPVS mode that are none',
    '---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n' +
      'ipvs: {scheduler: fo, excludeCIDRs: [here], tcpTimeout: soon}\n',
    [
      'f.yaml:10:19: KubeProxyConfiguration/ ipvs.scheduler: unsupported value (found "fo"; accepted: rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq, mh, ) [KUBE_PROXY_CONFIG]',
      'f.yaml:10:38: KubeProxyConfiguration/ ipvs.excludeCIDRs[0]: must be a valid CIDR (found "here") [KUBE_PROXY_CONFIG]',
      'f.yaml:10:57: KubeProxyConfiguration/ ipvs.tcpTimeout: not a duration (found "soon"; accepted: 24h0m0s) [KUBE_PROXY_CONFIG]',
    ],
  ],
  [
    'pod ranges of kube-proxy that are none',
    '---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: 10.0.0.0/8,10.1.0.0/16\nnodePortAddresses: [here]\n',
    [
      'f.yaml:9:14: KubeProxyConfiguration/ clusterCIDR: must be a valid DualStack CIDR (e.g. 10.100.0.0/16,fde4:8dba:82e1::/48) (found "10.0.0.0/8,10.1.0.0/16") [KUBE_PROXY_CONFIG]',
      'f.yaml:10:21: KubeProxyConfiguration/ nodePortAddresses[0]: must be a valid CIDR (found "here") [KUBE_PROXY_CONFIG]',
    ],
  ],
];

t.test('what the API server would refuse is refused as it says it', async (t) => {
  for (const [what, text, wanted] of REFUSED) t.strictSame(messages(WIRING + text), wanted, what);
});

const RANGES: readonly (readonly [string, string, string])[] = [
  [
    'a service range that holds the pods',
    'networkPluginMode: overlay\npodCidr: 10.0.128.0/17\n',
    'AZURE_RANGE_OVERLAP',
  ],
  ['a service range of /12', 'serviceCidr: 10.16.0.0/12\n', 'AZURE_SERVICE_RANGE'],
  ['a service range that Azure keeps', 'serviceCidr: 172.30.0.0/16\n', 'AZURE_RESERVED_RANGE'],
];

t.test('service ranges that Azure refuses are refused', async (t) => {
  for (const [what, more, code] of RANGES) {
    const without = more.includes('serviceCidr') ? WIRING.replace(/serviceCidr.*\n/, '') : WIRING;
    const [first, ...others] = messages(`${without}${more}`);
    t.match(first, new RegExp(`^f\\.yaml:\\d+:\\d+: Wiring .*\\[${code}\\]$`), what);
    t.strictSame(
      others.filter((line) => !line.includes(code)),
      [],
      `${what}: nothing else`,
    );
  }
});

function warnings(text: string): readonly string[] {
  const { cluster, policies } = parseInputs('f.yaml', `${WIRING}${text}`);
  const stack = parseStack('azure-transparent+none');
  return (renderNetwork({ cluster, policies, stack }).warnings ?? []).map(formatDiagnostic);
}

function pod(name: string, condition: string): string {
  return `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${name}}}
status: {phase: Running, conditions: [{type: Ready, status: "${condition}"}]}\n`;
}

t.test('Services that nobody answers are named', async (t) => {
  const all = [
    pod('up', 'True'),
    pod('down', 'False'),
    service('good', `selector: {app: up}, ${HTTP}`),
    service('typo', `selector: {app: uo}, ${HTTP}`),
    service('waiting', `selector: {app: down}, ${HTTP}`),
    service('early', `selector: {app: down}, publishNotReadyAddresses: true, ${HTTP}`),
    service('manual', HTTP),
    service('unnamed', 'selector: {app: up}, ports: [{port: 80, targetPort: web}]'),
    service('nameless', 'clusterIP: None, selector: {app: uo}'),
    service('kubernetes', HTTP),
    service('other', 'type: ExternalName, externalName: example.org'),
  ].join('');
  t.strictSame(
    warnings(all).map((line) => line.replace(/^f\.yaml:\d+: default\/Service\//, '')),
    [
      'typo: its selector matches no pod: connections are refused [SERVICE_NO_ENDPOINTS]',
      'waiting: none of its endpoints is ready: connections are refused [SERVICE_NO_ENDPOINTS]',
      'manual: it has no selector and no EndpointSlice: connections are refused [SERVICE_NO_ENDPOINTS]',
      'unnamed: no endpoint has a port for TCP 80 (targetPort "web"): connections are refused [SERVICE_NO_ENDPOINTS]',
      'nameless: its selector matches no pod: its name has no addresses [SERVICE_NO_ENDPOINTS]',
    ],
  );
});

t.test('hints that no controller could work out are not made up', async (t) => {
  const auto = service('a', `selector: {app: up}, ${HTTP}`).replace(
    'name: a',
    'name: a, annotations: {service.kubernetes.io/topology-mode: Auto}',
  );
  const [line, ...others] = warnings(pod('up', 'True') + auto);
  t.match(line, /Auto makes no hints, so all endpoints count: node \S+ tells no zone/);
  t.strictSame(others, []);
});

const ZONED = (name: string, zone: string) =>
  `---\napiVersion: v1\nkind: Node\nmetadata: {name: ${name}, labels: {topology.kubernetes.io/zone: ${zone}}}\n`;

t.test('trafficDistribution hints endpoints to their zone, and to their node', async (t) => {
  const pods = ['n1', 'n2'].map((node) =>
    pod('up', 'True')
      .replace('name: up,', `name: up-${node},`)
      .replace('status:', `spec: {nodeName: ${node}}\nstatus:`),
  );
  const hintsOf = (spread: string) => {
    const spec = `selector: {app: up}, trafficDistribution: ${spread}, ${HTTP}`;
    const text = [WIRING, ZONED('n1', 'z1'), ZONED('n2', 'z2'), ...pods, service('a', spec)].join(
      '',
    );
    const [slice] = parseInputs('f.yaml', text).cluster.endpointSlices;
    return slice?.endpoints.map((e) => [...e.zoneHints, ...e.nodeHints].join());
  };
  t.strictSame(hintsOf('PreferClose'), ['z1', 'z2']);
  t.strictSame(hintsOf('PreferSameZone'), ['z1', 'z2']);
  t.strictSame(hintsOf('PreferSameNode'), ['z1,n1', 'z2,n2']);
});

t.test('ports and addresses that a Service leaves out are assigned', async (t) => {
  const text = [
    WIRING,
    service(
      'dns',
      'type: LoadBalancer, externalTrafficPolicy: Local, ports: [{name: t, port: 53}, {name: u, port: 53, protocol: UDP}]',
    ),
    service('bare', `type: LoadBalancer, allocateLoadBalancerNodePorts: false, ${HTTP}`),
  ].join('');
  const { services } = parseInputs('f.yaml', text).cluster;
  const shown = services.map((s) => [
    s.ports.map((p) => p.nodePort ?? null),
    s.healthCheckNodePort,
  ]);
  t.strictSame(shown, [
    [[30_086, 30_086], 30_087],
    [[null], null],
  ]);
  t.strictSame(
    services.map((s) => [s.ipFamilies, s.ipFamilyPolicy]),
    [
      [[4], 'SingleStack'],
      [[4], 'SingleStack'],
    ],
  );
});
