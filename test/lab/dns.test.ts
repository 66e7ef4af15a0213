/**
 * Names in a cluster: what its DNS answers, what a pod's resolver asks, and who is reached by name.
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { type ProbeResult, Prober } from '../../src/lab/ask/probe.ts';
import { resolvConf } from '../../src/lab/dns/resolv-conf.ts';
import { candidates, resolve } from '../../src/lab/dns/resolver.ts';
import { type Answer, ClusterZone, type RecordType } from '../../src/lab/dns/zone.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import { FLAT_WIRING } from '../support/clusters.ts';

const CLUSTER = `${FLAT_WIRING}---
apiVersion: v1
kind: Node
metadata: { name: node-a }
status: { addresses: [{ type: InternalIP, address: 10.240.0.4 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { nodeName: node-a, containers: [{ name: c, ports: [{ containerPort: 8080, name: http }] }] }
status: { phase: Running, podIP: 10.240.0.10 }
---
apiVersion: v1
kind: Pod
metadata: { name: db-0, namespace: shop, labels: { app: db } }
spec:
  hostname: db-0
  subdomain: db
  nodeName: node-a
  containers: [{ name: c, ports: [{ containerPort: 5432, name: sql }] }]
status: { phase: Running, podIP: 10.240.0.11 }
---
apiVersion: v1
kind: Pod
metadata: { name: loose, namespace: shop, labels: { app: db } }
spec: { nodeName: node-a, containers: [{ name: c, ports: [{ containerPort: 5432, name: sql }] }] }
status: { phase: Running, podIP: 10.240.0.12 }
---
apiVersion: v1
kind: Pod
metadata: { name: coredns, namespace: kube-system, labels: { k8s-app: kube-dns } }
spec: { nodeName: node-a, containers: [{ name: c }] }
status: { phase: Running, podIP: 10.240.0.13 }
---
apiVersion: v1
kind: Service
metadata: { name: kube-dns, namespace: kube-system }
spec:
  clusterIP: 10.0.0.10
  selector: { k8s-app: kube-dns }
  ports: [{ name: dns, port: 53, protocol: UDP }, { name: dns-tcp, port: 53 }]
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  clusterIP: 10.0.7.1
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: http }]
---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: shop }
spec: { clusterIP: None, selector: { app: db }, ports: [{ name: sql, port: 5432 }] }
---
apiVersion: v1
kind: Service
metadata: { name: empty, namespace: shop }
spec: { clusterIP: None, selector: { app: nothing }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: bank, namespace: shop }
spec: { type: ExternalName, externalName: api.bank.example }
---
apiVersion: v1
kind: Service
metadata: { name: alias, namespace: shop }
spec: { type: ExternalName, externalName: web.shop.svc.cluster.local }
`;

const { cluster } = parseInputs('names.yaml', CLUSTER);
const zone = new ClusterZone(cluster);

function text(answer: Answer): string {
  switch (answer.kind) {
    case 'addresses':
      return answer.addresses.map(formatAddress).sort().join(' ');
    case 'alias':
      return `CNAME ${answer.name}`;
    case 'services':
      return answer.records
        .map((r) => `${r.port} ${r.target}`)
        .sort()
        .join(', ');
    case 'pointers':
      return answer.names.join(' ');
    default:
      return answer.kind;
  }
}

const DOMAIN = 'svc.cluster.local';
const QUESTIONS: readonly (readonly [string, RecordType, string])[] = [
  [`web.shop.${DOMAIN}`, 'A', '10.0.7.1'],
  [`WEB.Shop.${DOMAIN}.`, 'A', '10.0.7.1'],
  [`web.shop.${DOMAIN}`, 'AAAA', 'noData'],
  [`web.other.${DOMAIN}`, 'A', 'noName'],
  [`shop.${DOMAIN}`, 'A', 'noData'],
  [`nowhere.${DOMAIN}`, 'A', 'noName'],
  [`db.shop.${DOMAIN}`, 'A', '10.240.0.11 10.240.0.12'],
  [`db-0.db.shop.${DOMAIN}`, 'A', '10.240.0.11'],
  [`10-240-0-12.db.shop.${DOMAIN}`, 'A', '10.240.0.12'],
  [`db-1.db.shop.${DOMAIN}`, 'A', 'noName'],
  [`empty.shop.${DOMAIN}`, 'A', 'noName'],
  [`bank.shop.${DOMAIN}`, 'A', 'CNAME api.bank.example'],
  [`_http._tcp.web.shop.${DOMAIN}`, 'SRV', `80 web.shop.${DOMAIN}`],
  [`_http._udp.web.shop.${DOMAIN}`, 'SRV', 'noName'],
  [
    `_sql._tcp.db.shop.${DOMAIN}`,
    'SRV',
    `5432 10-240-0-12.db.shop.${DOMAIN}, 5432 db-0.db.shop.${DOMAIN}`,
  ],
  ['10-240-0-10.shop.pod.cluster.local', 'A', '10.240.0.10'],
  ['10-240-0-10.nowhere.pod.cluster.local', 'A', 'noName'],
  ['1.7.0.10.in-addr.arpa', 'PTR', `web.shop.${DOMAIN}`],
  ['11.0.240.10.in-addr.arpa', 'PTR', `db-0.db.shop.${DOMAIN}`],
  ['9.9.9.9.in-addr.arpa', 'PTR', 'elsewhere'],
  ['microsoft.com', 'A', 'elsewhere'],
  ['what.cluster.local', 'A', 'noName'],
];

t.test('questions as the DNS specification of Kubernetes answers them', async (t) => {
  for (const [name, type, expected] of QUESTIONS) {
    t.equal(text(zone.answer(name, type)), expected, `${name} ${type}`);
  }
});

t.test(
  'a pod on a Windows node has one suffix, and takes names with dots as they are',
  async (t) => {
    const [pod] = cluster.pods;
    if (pod === undefined) throw new Error('a pod');
    const conf = resolvConf(pod, { domain: 'cluster.local' }, 'windows');
    t.strictSame(candidates('db', conf), [`db.shop.${DOMAIN}`, 'db']);
    t.equal(resolve(zone, 'web', conf, [4]).end, 'found');
    t.equal(resolve(zone, 'web.shop', conf, [4]).end, 'elsewhere');
    t.equal(resolve(zone, `web.shop.${DOMAIN}`, conf, [4]).end, 'found');
  },
);

t.test('the search list of a pod, with five dots', async (t) => {
  const conf = (namespace: string) => {
    const searches = [`${namespace}.${DOMAIN}`, DOMAIN, 'cluster.local'];
    return { searches, ndots: 5 };
  };
  t.strictSame(candidates('web', conf('shop')), [
    `web.shop.${DOMAIN}`,
    `web.${DOMAIN}`,
    'web.cluster.local',
    'web',
  ]);
  t.equal(candidates('a.b.c.d.e.f', conf('shop'))[0], 'a.b.c.d.e.f', 'enough dots: itself first');
  t.strictSame(candidates('web.shop.', conf('x')), ['web.shop'], 'a final dot: nothing else');
  const found = (name: string, from: string) => {
    const { addresses, asked, end } = resolve(zone, name, conf(from), [4]);
    return `${addresses.map(formatAddress).sort().join(' ') || end} after ${asked.length}`;
  };
  t.equal(found('web', 'shop'), '10.0.7.1 after 1');
  t.equal(found('web', 'other'), 'elsewhere after 4', 'only the own namespace goes without saying');
  t.equal(found('web.shop', 'other'), '10.0.7.1 after 2');
  t.equal(found('web.shop.svc', 'other'), '10.0.7.1 after 3');
  t.equal(found(`web.shop.${DOMAIN}`, 'other'), '10.0.7.1 after 4');
  t.equal(found('alias', 'shop'), '10.0.7.1 after 1', 'an alias is followed');
  t.equal(found('bank', 'shop'), 'elsewhere after 1', 'and its end outside is not known');
  t.equal(found('microsoft.com', 'shop'), 'elsewhere after 4');
});

function policy(name: string, spec: string): string {
  return `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec: ${spec}
`;
}

function asker(manifests: string, stack: string): (from: string, to: string) => ProbeResult {
  const world = new World({ ...parseInputs('names.yaml', manifests), stack: parseStack(stack) });
  const prober = new Prober(world);
  return (from, to) => prober.ask({ from, to, protocol: 'TCP' });
}

for (const stack of ['azure-bridge+npm', 'azure-transparent+calico']) {
  t.test(`${stack}: who is reached by name`, async (t) => {
    const ask = asker(CLUSTER, stack);
    t.match(ask('pod/shop/db-0', 'http://web/index.html'), {
      verdict: 'allowed',
      port: 80,
      translated: { dst: '10.240.0.10', dport: 8080 },
      lookup: { name: 'web', addresses: ['10.0.7.1'], server: '10.0.0.10', verdict: 'allowed' },
    });
    t.match(ask('pod/shop/web', 'tcp://db:5432'), {
      verdict: 'allowed',
      choice: { of: 2, allowed: 2 },
      lookup: { addresses: ['10.240.0.11', '10.240.0.12'] },
    });
    t.match(ask('pod/shop/web', 'https://microsoft.com'), {
      verdict: 'unknown',
      reason: 'nameElsewhere',
    });
    t.match(ask('node/node-a', 'http://web.shop'), { verdict: 'unknown', reason: 'nameElsewhere' });
    t.match(ask('pod/shop/db-0', 'http://10.240.0.10:8080'), { verdict: 'allowed', lookup: null });
  });

  t.test(`${stack}: a pod that may not ask for names reaches nobody by name`, async (t) => {
    const toWeb = '{ to: [{ podSelector: { matchLabels: { app: web } } }] }';
    const spec = `{ podSelector: { matchLabels: { app: db } }, policyTypes: [Egress], egress: [${toWeb}] }`;
    const ask = asker(CLUSTER + policy('no-dns', spec), stack);
    t.match(ask('pod/shop/db-0', 'http://web'), {
      verdict: 'denied',
      reason: 'policyDenied',
      decidedBy: { policy: 'shop/NetworkPolicy/no-dns' },
      lookup: { name: 'web', asked: [], addresses: [], server: '10.0.0.10', verdict: 'denied' },
    });
    t.match(ask('pod/shop/db-0', 'http://10.0.7.1'), { verdict: 'allowed' }, 'by address it may');
    const withoutDns = CLUSTER.replace(/kind: Service\nmetadata: \{ name: kube-dns.*?---/s, (m) =>
      m.replaceAll('kube-dns', 'other').replace('10.0.0.10', '10.0.0.11'),
    );
    const blind = asker(withoutDns + policy('no-dns', spec), stack);
    t.match(blind('pod/shop/db-0', 'http://web'), {
      verdict: 'unknown',
      reason: 'dnsNotDescribed',
    });
    t.match(blind('pod/shop/web', 'http://web'), { lookup: { server: null, verdict: 'allowed' } });
  });

  t.test(`${stack}: one endpoint of a name may be reached and another not`, async (t) => {
    const spec =
      '{ podSelector: { matchExpressions: [{ key: app, operator: In, values: [db] }] }, ' +
      'ingress: [{ from: [{ ipBlock: { cidr: 10.240.0.10/32 } }] }] }';
    const open = asker(CLUSTER + policy('db', spec), stack);
    t.match(open('pod/shop/web', 'tcp://db:5432'), { verdict: 'allowed' });
    const one = CLUSTER.replace('name: loose, namespace: shop, labels: { app: db }', (m) =>
      m.replace('app: db', 'app: db, shut: "yes"'),
    );
    const shut = '{ podSelector: { matchLabels: { shut: "yes" } } }';
    const ask = asker(one + policy('shut', shut), stack);
    t.match(ask('pod/shop/web', 'tcp://db:5432'), {
      verdict: 'depends',
      choice: { of: 2, allowed: 1, probability: 0.5 },
      decidedBy: { policy: 'shop/NetworkPolicy/shut' },
    });
  });
}

/** What `kubectl run backend --expose --port 80` makes beside the pod. */
const BACKEND = `---
apiVersion: v1
kind: Service
metadata: { name: backend, namespace: development }
spec: { selector: { app: webapp, role: backend }, ports: [{ port: 80, targetPort: 80 }] }
`;

/** The tutorial's `wget -qO- --timeout=2 http://…` lines, by step, and what they print. */
const WGETS = [
  ['1-deny-all', 'pod/development/network-policy', 'http://backend', 'denied'],
  ['2-pod-label', 'pod/development/frontend', 'http://backend', 'allowed'],
  ['2-pod-label', 'pod/development/network-policy', 'http://backend', 'denied'],
  ['2-pod-label', 'pod/production/frontend', 'http://backend.development', 'allowed'],
  ['3-namespace-and-pod-label', 'pod/production/frontend', 'http://backend.development', 'denied'],
  ['3-namespace-and-pod-label', 'pod/development/frontend', 'http://backend', 'allowed'],
] as const;

t.test("the wget lines of Microsoft's tutorial, by name", async (t) => {
  const base = readFileSync('pcaps/tutorial/cluster.yaml', 'utf8');
  for (const stack of ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico']) {
    const before = asker(base + BACKEND, stack);
    t.match(before('pod/development/network-policy', 'http://backend'), { verdict: 'allowed' });
    for (const [step, from, to, verdict] of WGETS) {
      const policies = readFileSync(`pcaps/tutorial/${step}.yaml`, 'utf8');
      const ask = asker(`${base}${BACKEND}---\n${policies}`, stack);
      t.match(ask(from, to), { verdict, port: 80 }, `${stack}, step ${step}: ${from} wget ${to}`);
    }
  }
});
