/**
 * What annotations of ingress-nginx and AGIC do to a request: who serves it, whom it is refused to,
 * and which of them leave it open.
 *
 * Expectations: ingress-nginx docs/user-guide/ingress-path-matching.md (its own examples), its
 * nginx-configuration/annotations.md, and AGIC's annotations.md.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { routeOf } from '../../src/lab/ask/ingress/route.ts';
import { type ProbeResult, Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { TWO_NODES_SHOP } from '../support/clusters.ts';

const NGINX = 'nginx.ingress.kubernetes.io/';
const GATEWAY = 'appgw.ingress.kubernetes.io/';
const HOST = 'shop.example.com';

type PathRow = readonly [
  path: string,
  type: 'Exact' | 'Prefix' | 'ImplementationSpecific',
  to: string,
];

function ingress(
  name: string,
  annotations: Readonly<Record<string, string>>,
  paths: readonly PathRow[],
  { host = HOST, more = '', className = 'nginx' } = {},
): string {
  const rows = paths.map(
    ([path, type, to]) =>
      `          - { path: ${JSON.stringify(path)}, pathType: ${type}, backend: { service: { name: ${to}, port: { number: 80 } } } }`,
  );
  return `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: ${name}, namespace: shop, annotations: ${JSON.stringify(annotations)} }
spec:
  ingressClassName: ${className}
  ${more}
  rules:
    - host: ${host}
      http:
        paths:
${rows.join('\n')}
`;
}

function routed(documents: readonly string[], path: string, host = HOST, gateway = false): string {
  const { cluster } = parseInputs('i.yaml', documents.join('---\n'));
  const route = routeOf(cluster.ingresses ?? [], host, path, gateway ? 'gateway' : 'nginx');
  switch (route.kind) {
    case 'backend':
      return route.backend?.service ?? 'a resource';
    case 'unclear':
      return `? ${route.annotation}`;
    case 'none':
      return '-';
  }
}

const regex = { [`${NGINX}use-regex`]: 'true' };

// The page's first example: three paths, the longest expression first.
const DOCUMENTED = [
  ingress('one', {}, [
    ['/foo/bar', 'Prefix', 'service1'],
    ['/foo/bar/', 'Prefix', 'service2'],
  ]),
  ingress('two', { [`${NGINX}rewrite-target`]: '/$1' }, [
    ['/foo/bar/(.+)', 'ImplementationSpecific', 'service3'],
  ]),
];

const ROWS: readonly (readonly [string, readonly string[], string, string])[] = [
  ['an expression of one Ingress', DOCUMENTED, '/foo/bar/bar', 'service3'],
  ['case does not count where expressions are', DOCUMENTED, '/FOO/BAR/x', 'service3'],
  ['a shorter one where the longest does not hold', DOCUMENTED, '/foo/bar/', 'service2'],
  ['prefixes of other Ingresses turn into expressions', DOCUMENTED, '/foo/barter', 'service1'],
  ['nobody', DOCUMENTED, '/foo', '-'],
  [
    'an expression holds for what begins with it',
    [ingress('one', regex, [['/a.c', 'ImplementationSpecific', 'x']])],
    '/abcd',
    'x',
  ],
  [
    'an Exact path is an expression too',
    [
      ingress('one', regex, [
        ['/a', 'Exact', 'x'],
        ['/', 'Prefix', 'y'],
      ]),
    ],
    '/abc',
    'x',
  ],
  [
    'a rewrite to the path itself is none',
    [ingress('one', { [`${NGINX}rewrite-target`]: '/a' }, [['/a', 'Exact', 'x']])],
    '/abc',
    '-',
  ],
  [
    'expressions that PCRE reads otherwise are not guessed',
    [ingress('one', regex, [['/(?i)a', 'ImplementationSpecific', 'x']])],
    '/a',
    '? use-regex',
  ],
  [
    'a target that is a URL sends the client elsewhere',
    [ingress('one', { [`${NGINX}rewrite-target`]: 'https://b.example/' }, [['/', 'Prefix', 'x']])],
    '/',
    '? rewrite-target',
  ],
  [
    'app-root: who asks for / asks again for the root',
    [
      ingress('one', { [`${NGINX}app-root`]: '/app' }, [
        ['/', 'Prefix', 'x'],
        ['/app', 'Prefix', 'y'],
      ]),
    ],
    '/',
    'y',
  ],
  [
    'an annotation of another path leaves this one alone',
    [
      ingress('one', { [`${NGINX}auth-url`]: 'http://who/' }, [['/a', 'Prefix', 'x']]),
      ingress('two', {}, [['/b', 'Prefix', 'y']]),
    ],
    '/b',
    'y',
  ],
  [
    'a canary of the same host does not',
    [
      ingress('one', {}, [['/', 'Prefix', 'x']]),
      ingress('two', { [`${NGINX}canary`]: 'true' }, [['/', 'Prefix', 'y']]),
    ],
    '/',
    `? ${NGINX}canary`,
  ],
];

t.test('which path of a host takes a request', async (t) => {
  for (const [what, documents, path, wanted] of ROWS) {
    t.equal(routed(documents, path), wanted, `${what}: ${path}`);
  }
});

t.test('further names of a host', async (t) => {
  const alias = ingress('one', { [`${NGINX}server-alias`]: 'www.example.com, *.b.example' }, [
    ['/', 'Prefix', 'x'],
  ]);
  const own = ingress('two', {}, [['/', 'Prefix', 'y']], { host: 'www.example.com' });
  t.equal(routed([alias], '/', 'www.example.com'), 'x');
  t.equal(routed([alias], '/', 'c.b.example'), 'x');
  t.equal(routed([alias, own], '/', 'www.example.com'), 'y', 'a rule goes before an alias');
  t.equal(routed([alias], '/', 'other.example.com'), '-');
  const extension = { [`${GATEWAY}hostname-extension`]: 'a.example, b.example' };
  t.equal(routed([ingress('g', extension, [['/', 'Prefix', 'x']])], '/', 'b.example', true), 'x');
});

t.test('a gateway: what changes only the path asked of the backend changes no route', async (t) => {
  const prefix = ingress('g', { [`${GATEWAY}backend-path-prefix`]: '/v2/' }, [
    ['/', 'Prefix', 'x'],
  ]);
  t.equal(routed([prefix], '/a', HOST, true), 'x');
  const rules = ingress('g', { [`${GATEWAY}rewrite-rule-set`]: 'set' }, [['/', 'Prefix', 'x']]);
  t.equal(routed([rules], '/a', HOST, true), `? ${GATEWAY}rewrite-rule-set`);
});

const CONTROLLER = (policy: string) => `apiVersion: v1
kind: Pod
metadata:
  name: controller
  namespace: ingress-nginx
  labels: { app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller }
spec: { nodeName: node-a, containers: [{ name: main, ports: [{ containerPort: 80 }] }] }
status: { phase: Running, podIP: 10.240.0.20 }
---
apiVersion: v1
kind: Service
metadata: { name: ingress-nginx-controller, namespace: ingress-nginx }
spec:
  type: LoadBalancer
  clusterIP: 10.0.20.1
  externalTrafficPolicy: ${policy}
  selector: { app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller }
  ports: [{ name: http, port: 80 }, { name: https, port: 443 }]
status: { loadBalancer: { ingress: [{ ip: 20.50.0.1 }] } }
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: nginx }
spec: { controller: k8s.io/ingress-nginx }
`;

const SERVICES = ['web', 'gone', 'sorry']
  .map((name, i) => {
    const tier = name === 'sorry' ? 'api' : name;
    return `apiVersion: v1\nkind: Service\nmetadata: { name: ${name}, namespace: shop }
spec: { clusterIP: 10.0.20.${i + 2}, selector: { tier: ${tier} }, ports: [{ port: 80 }] }\n`;
  })
  .join('---\n');

const WIRING = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
virtualNetworks:
  - { name: v, addressPrefixes: [10.240.0.0/12], subnets: [{ name: s, addressPrefix: 10.240.0.0/16 }] }
`;

function ask(
  annotations: Readonly<Record<string, string>>,
  { policy = 'Local', to = 'web', from = '203.0.113.9' } = {},
): ProbeResult {
  const documents = [
    TWO_NODES_SHOP,
    WIRING,
    SERVICES,
    CONTROLLER(policy),
    ingress('shop', annotations, [['/', 'Prefix', to]]),
  ];
  const inputs = parseInputs('shop.yaml', documents.join('---\n'));
  const world = new World({ ...inputs, stack: parseStack('azure-transparent+npm') });
  return new Prober(world).ask({ from, to: `http://${HOST}/`, protocol: 'TCP' });
}

t.test('a proxy refuses clients by the address that it sees', async (t) => {
  const office = { [`${NGINX}whitelist-source-range`]: '198.18.0.0/16, 203.0.113.0/24' };
  t.match(ask(office), { verdict: 'allowed' });
  t.match(ask(office, { from: '198.51.100.7' }), {
    verdict: 'denied',
    reason: 'proxySourceDenied',
    proxy: { decidedLeg: 'client', clientSeenAs: ['198.51.100.7'], backends: [] },
  });
  t.match(
    ask(office, { policy: 'Cluster' }),
    { verdict: 'denied', reason: 'proxySourceDenied' },
    'nodes hide the client',
  );
  const nodes = { [`${NGINX}allowlist-source-range`]: '10.240.0.4' };
  t.match(
    ask(nodes, { policy: 'Cluster' }),
    { verdict: 'depends', choice: { probability: 0.5 } },
    'one node of two',
  );
  const denied = { [`${NGINX}denylist-source-range`]: '203.0.113.9/32' };
  t.match(ask(denied), { verdict: 'denied', reason: 'proxySourceDenied' });
  const wrong = { [`${NGINX}denylist-source-range`]: 'everybody' };
  t.match(ask(wrong), { verdict: 'unknown', reason: 'proxyRouteUnknown' });
});

t.test('where nobody is ready the Service of default-backend answers', async (t) => {
  t.match(ask({}, { to: 'gone' }), { verdict: 'denied', reason: 'noProxyBackend' });
  t.match(ask({ [`${NGINX}default-backend`]: 'sorry' }, { to: 'gone' }), {
    verdict: 'allowed',
    proxy: { backend: 'svc/shop/sorry:80' },
  });
  t.match(ask({ [`${NGINX}default-backend`]: 'sorry' }), { proxy: { backend: 'svc/shop/web:80' } });
});
