/**
 * Which names a pod asks for, whom, and how: `dnsPolicy`, `dnsConfig`, `hostAliases`, the host
 * network, a domain of the cluster's own, Corefiles, and answers that are too long for a datagram.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { type ProbeResult, Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { FLAT_WIRING } from '../support/clusters.ts';

const WIRING = (more = '') => `${FLAT_WIRING}serviceCidr: 10.0.0.0/16
${more}`;

const NODE = `apiVersion: v1
kind: Node
metadata: { name: n1 }
status: { addresses: [{ type: InternalIP, address: 10.240.0.4 }] }
`;

function pod(name: string, ip: string, spec = '', namespace = 'shop', app = name): string {
  return `apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: ${namespace}, labels: { app: ${app} } }
spec: { nodeName: n1, containers: [{ name: c }]${spec === '' ? '' : `, ${spec}`} }
status: { phase: Running, podIP: ${ip} }
`;
}

function service(name: string, spec: string, namespace = 'shop'): string {
  return `apiVersion: v1\nkind: Service\nmetadata: { name: ${name}, namespace: ${namespace} }
spec: { ${spec} }\n`;
}

const BASE = [
  NODE,
  pod('web', '10.240.0.10'),
  pod('coredns', '10.240.0.13', '', 'kube-system'),
  service(
    'kube-dns',
    'clusterIP: 10.0.0.10, selector: { app: coredns }, ports: [{ name: dns, port: 53, protocol: UDP }, { name: dns-tcp, port: 53 }]',
    'kube-system',
  ),
  service('web', 'clusterIP: 10.0.7.1, selector: { app: web }, ports: [{ port: 80 }]'),
];

function egress(spec: string, selector = '{}'): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: out, namespace: shop }
spec: { podSelector: ${selector}, policyTypes: [Egress], egress: [${spec}] }
`;
}

interface Question {
  readonly documents: readonly string[];
  readonly wiring?: string;
  readonly from?: string;
  readonly to?: string;
}

function ask({ documents, wiring = '', from = 'asker', to = 'http://web' }: Question): ProbeResult {
  const text = [WIRING(wiring), ...BASE, ...documents].join('---\n');
  const world = new World({
    ...parseInputs('names.yaml', text),
    stack: parseStack('azure-transparent+calico'),
  });
  return new Prober(world).ask({ from: `pod/shop/${from}`, to, protocol: 'TCP' });
}

const asker = (spec = '', ip = '10.240.0.20') => pod('asker', ip, spec);
const NAMES = 'searches: [shop.svc.cluster.local]';
const HOST = 'hostNetwork: true';

const POLICIES: readonly (readonly [
  what: string,
  spec: string,
  to: string,
  want: Partial<ProbeResult> | Record<string, unknown>,
])[] = [
  [
    'nothing said: the DNS Service, the own namespace first',
    '',
    'http://web',
    { verdict: 'allowed', lookup: { server: '10.0.0.10', asked: ['web.shop.svc.cluster.local'] } },
  ],
  [
    'Default: the server of the nodes, which knows no Services',
    'dnsPolicy: Default',
    'http://web.shop.svc.cluster.local',
    { verdict: 'unknown', reason: 'nameElsewhere', lookup: { server: '168.63.129.16' } },
  ],
  [
    'None with the DNS Service and a search list of its own',
    `dnsPolicy: None, dnsConfig: { nameservers: [10.0.0.10], ${NAMES} }`,
    'http://web',
    { verdict: 'allowed', lookup: { asked: ['web.shop.svc.cluster.local'] } },
  ],
  [
    'None without a search list: the name as it is, which the cluster does not know',
    'dnsPolicy: None, dnsConfig: { nameservers: [10.0.0.10] }',
    'http://web',
    { verdict: 'unknown', reason: 'nameElsewhere', lookup: { asked: ['web'] } },
  ],
  [
    "None with CoreDNS' own address",
    'dnsPolicy: None, dnsConfig: { nameservers: [10.240.0.13] }',
    'http://web.shop.svc.cluster.local',
    { verdict: 'allowed', lookup: { server: '10.240.0.13' } },
  ],
  [
    'None with a server outside',
    'dnsPolicy: None, dnsConfig: { nameservers: [8.8.8.8] }',
    'http://web.shop.svc.cluster.local',
    { verdict: 'unknown', reason: 'nameElsewhere', lookup: { server: '8.8.8.8' } },
  ],
  [
    'ndots 1: a name with a dot goes out as it is, before the search list',
    'dnsConfig: { options: [{ name: ndots, value: "1" }] }',
    'http://web.shop',
    { verdict: 'unknown', reason: 'nameElsewhere', lookup: { asked: ['web.shop'] } },
  ],
  [
    'a domain more to search, behind those of the cluster',
    'dnsConfig: { searches: [x.example] }',
    'http://nothing',
    { reason: 'nameElsewhere', lookup: { asked: { length: 4 } } },
  ],
  [
    'a name that the cluster would have to have',
    '',
    'http://wbe.shop.svc.cluster.local.',
    { verdict: 'unknown', reason: 'noSuchName' },
  ],
  [
    'a cache on the node',
    'dnsPolicy: None, dnsConfig: { nameservers: [169.254.20.10] }',
    'http://web',
    { verdict: 'unknown', reason: 'dnsOnNode' },
  ],
  [
    'hostAliases go before every server',
    'hostAliases: [{ ip: 10.0.7.1, hostnames: [bank.example, web2] }]',
    'http://Web2',
    { verdict: 'allowed', lookup: { server: null, asked: [], addresses: ['10.0.7.1'] } },
  ],
];

t.test("what a pod's spec says about names", async (t) => {
  for (const [what, spec, to, want] of POLICIES) {
    t.match(ask({ documents: [asker(spec)], to }), want, what);
  }
});

t.test(
  'on the host network the server is the node’s, unless the pod asks for the other',
  async (t) => {
    const documents = (spec: string) => [asker(`${HOST}, ${spec}`, '10.240.0.4')];
    t.match(ask({ documents: documents('dnsPolicy: ClusterFirst') }), {
      verdict: 'unknown',
      reason: 'nameElsewhere',
      lookup: { server: '168.63.129.16' },
    });
    t.match(ask({ documents: documents('dnsPolicy: ClusterFirstWithHostNet') }), {
      verdict: 'allowed',
      lookup: { server: '10.0.0.10', asked: ['web.shop.svc.cluster.local'] },
    });
  },
);

t.test('the next server is asked where a policy keeps a pod from the first', async (t) => {
  const toOthers = egress('{ to: [{ ipBlock: { cidr: 10.240.0.0/16 } }] }');
  const servers = (list: string) =>
    asker(`dnsPolicy: None, dnsConfig: { nameservers: [${list}], ${NAMES} }`);
  const blocked = ask({ documents: [servers('8.8.8.8'), toOthers] });
  t.match(blocked, { verdict: 'denied', lookup: { server: '8.8.8.8', verdict: 'denied' } });
  const second = ask({ documents: [servers('8.8.8.8, 10.0.0.10'), toOthers] });
  t.match(second, { verdict: 'allowed', lookup: { server: '10.0.0.10' } });
});

/** A headless Service of so many pods; each has its record of 16 bytes in the answer. */
function many(count: number): readonly string[] {
  const pods = Array.from({ length: count }, (_, i) =>
    pod(`m-${i}`, `10.240.1.${i + 1}`, '', 'shop', 'many'),
  );
  return [
    ...pods,
    service('many', 'clusterIP: None, selector: { app: many }, ports: [{ port: 80 }]'),
  ];
}

const UDP_ONLY = egress(
  '{ ports: [{ port: 53, protocol: UDP }] }, { to: [{ podSelector: { matchLabels: { app: many } } }] }',
  '{ matchLabels: { app: asker } }',
);

t.test('an answer of more than 512 bytes needs TCP', async (t) => {
  // 12 of the header, 26 + 2 of the name and 4 of the question: 468 left, 29 records of 16 bytes.
  const to = 'tcp://many:80';
  const asked = (count: number, spec: string, policy: string) =>
    ask({ documents: [asker(spec), ...many(count), policy], to });
  t.match(asked(29, '', UDP_ONLY), { verdict: 'allowed', choice: { of: 29 } });
  t.match(asked(30, '', UDP_ONLY), {
    verdict: 'unknown',
    reason: 'dnsTruncated',
    lookup: { addresses: { length: 30 } },
  });
  const both = UDP_ONLY.replace('protocol: UDP }', 'protocol: UDP }, { port: 53 }');
  t.match(asked(30, '', both), { verdict: 'allowed', choice: { of: 30 } });
  const edns = 'dnsConfig: { options: [{ name: edns0 }] }';
  t.match(asked(30, edns, UDP_ONLY), { verdict: 'allowed' }, 'a longer datagram is offered');
  const always = 'dnsConfig: { options: [{ name: use-vc }] }';
  t.match(asked(1, always, UDP_ONLY), { verdict: 'denied', lookup: { verdict: 'denied' } });
  t.match(asked(1, always, both), { verdict: 'allowed' });
});

const KUBELET = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
clusterDomain: corp.internal
clusterDNS: [10.0.0.10]
cgroupDriver: systemd
`;
const IN_MAP = `apiVersion: v1
kind: ConfigMap
metadata: { name: kubelet-config, namespace: kube-system }
data:
  kubelet: |
    ${KUBELET.replaceAll('\n', '\n    ')}
`;

function corefile(plugins: string, name = 'coredns', key = 'Corefile'): string {
  return `apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}, namespace: kube-system }
data:
  ${key}: |
    ${plugins.replaceAll('\n', '\n    ')}
`;
}

const COREFILE = `stub.example:53 {
    hosts {
        10.1.1.1 a.stub.example
    }
}
.:53 {
    errors
    ready # rewrite nothing
    import custom/*.override
    template ANY ANY internal.cloudapp.net {
      match "^(?:[^.]+\\.){4,}internal\\.cloudapp\\.net\\.$"
      rcode NXDOMAIN
      fallthrough
    }
    kubernetes corp.internal in-addr.arpa ip6.arpa {
        pods verified
        ttl 30
    }
    forward . /etc/resolv.conf
}`;

t.test("a domain of the cluster's own", async (t) => {
  const documents = [asker()];
  const own = { verdict: 'allowed', lookup: { asked: ['web.shop.svc.corp.internal'] } };
  t.match(ask({ documents, wiring: 'clusterDomain: corp.internal\n' }), own);
  t.match(ask({ documents: [...documents, KUBELET] }), own);
  t.match(ask({ documents: [...documents, IN_MAP] }), own);
  t.match(ask({ documents: [...documents, corefile(COREFILE)] }), own);
  const to = 'http://web.shop.svc.cluster.local';
  t.match(ask({ documents: [...documents, KUBELET], to }), { reason: 'nameElsewhere' });
});

t.test('names of pods are answered as the Corefile says', async (t) => {
  const named = (address: string, mode: string) => {
    const text = corefile(COREFILE.replace('pods verified', mode));
    const to = `http://${address}.shop.pod.corp.internal`;
    return ask({ documents: [asker(), text], to });
  };
  t.match(named('10-240-0-10', 'pods verified'), { verdict: 'allowed' });
  t.match(named('10-240-0-99', 'pods verified'), { reason: 'noSuchName' });
  t.match(named('10-240-0-99', 'pods insecure'), { lookup: { addresses: ['10.240.0.99'] } });
  t.match(named('10-240-0-10', ''), { reason: 'noSuchName' });
});

t.test('plugins that answer otherwise are named, not guessed', async (t) => {
  const rewrite = corefile(COREFILE.replace('errors', 'rewrite name a.b web.shop.svc'));
  t.match(ask({ documents: [asker(), rewrite] }), { verdict: 'unknown', reason: 'dnsAltered' });
  const template = corefile(COREFILE.replace('internal.cloudapp.net {', 'svc.corp.internal {'));
  t.match(ask({ documents: [asker(), template] }), { reason: 'dnsAltered' });
  const override = corefile('rewrite name a.b c.d', 'coredns-custom', 'x.override');
  t.match(ask({ documents: [asker(), override] }), { reason: 'dnsAltered' });
  const server = corefile('x.example:53 {\n  hosts\n}', 'coredns-custom', 'x.server');
  t.match(ask({ documents: [asker(), server] }), { verdict: 'allowed' });
  const local = 'nodePools: [{ name: np, count: 1, localDNSProfile: { mode: Required } }]\n';
  t.match(ask({ documents: [asker()], wiring: local }), { reason: 'dnsOnNode' });
  const off = local.replace('Required', 'Preferred');
  t.match(ask({ documents: [asker()], wiring: off }), { verdict: 'allowed' });
  const cache = pod('cache', '10.240.0.4', HOST, 'kube-system').replace(
    'labels: {',
    'labels: { k8s-app: node-local-dns,',
  );
  t.match(ask({ documents: [asker(), cache] }), { verdict: 'unknown', reason: 'dnsOnNode' });
});

const MISTAKES: readonly (readonly [spec: string, field: string, message: string])[] = [
  ['dnsPolicy: First', 'spec.dnsPolicy', 'unsupported value'],
  ['dnsPolicy: None', 'spec.dnsConfig', 'must provide `dnsConfig` when `dnsPolicy` is None'],
  [
    'dnsPolicy: None, dnsConfig: { searches: [a.b] }',
    'spec.dnsConfig.nameservers',
    'must provide at least one DNS nameserver when `dnsPolicy` is None',
  ],
  [
    'dnsConfig: { nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4] }',
    'spec.dnsConfig.nameservers',
    'must not have more than 3 nameservers',
  ],
  [
    'dnsConfig: { nameservers: [dns.example] }',
    'spec.dnsConfig.nameservers[0]',
    'must be a valid IP',
  ],
  [
    'dnsConfig: { searches: ["a_b"] }',
    'spec.dnsConfig.searches[0]',
    'a lowercase RFC 1123 subdomain',
  ],
  ['dnsConfig: { options: [{ value: "1" }] }', 'spec.dnsConfig.options[0]', 'must not be empty'],
  ['hostAliases: [{ ip: x, hostnames: [a] }]', 'spec.hostAliases[0].ip', 'must be a valid IP'],
];

t.test('what the API server refuses about names', async (t) => {
  for (const [spec, field, message] of MISTAKES) {
    const wanted = new RegExp(message.replaceAll(/[`.[\]]/g, '.'));
    const error = t.throws(() => ask({ documents: [asker(spec)] }));
    t.match(error, { diagnostics: [{ field, message: wanted }] }, spec);
  }
});
