/**
 * Ingress controllers in the path: two connections, each judged, the addresses that both ends see,
 * and what nobody can tell.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { type ProbeRequest, type ProbeResult, Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';

const CLIENT = '203.0.113.9';
const CONTROLLER = '10.240.0.8';
const BALANCED = '20.50.0.1';
const STACKS = ['azure-bridge+npm', 'azure-transparent+calico'];

const wiring = (more = '') => `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
virtualNetworks:
  - name: vnet
    addressPrefixes: [10.240.0.0/12]
    subnets:
      - { name: nodes, addressPrefix: 10.240.0.0/16 }
      - { name: gateways, addressPrefix: 10.241.0.0/24 }
${more}`;

const controller = (policy: string) => `apiVersion: v1
kind: Pod
metadata:
  name: controller
  namespace: ingress-nginx
  labels: { app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller }
spec: { nodeName: node-a, containers: [{ name: main, ports: [{ containerPort: 80 }] }] }
status: { phase: Running, podIP: ${CONTROLLER} }
---
apiVersion: v1
kind: Service
metadata: { name: ingress-nginx-controller, namespace: ingress-nginx }
spec:
  type: LoadBalancer
  clusterIP: 10.0.20.1
  externalTrafficPolicy: ${policy}
  selector: { app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller }
  ports:
    - { name: http, port: 80, nodePort: 31080 }
    - { name: https, port: 443, nodePort: 31443 }
status: { loadBalancer: { ingress: [{ ip: ${BALANCED} }] } }
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: nginx }
spec: { controller: k8s.io/ingress-nginx }
`;

const service = (name: string, address: string, tier: string, port: string) => `apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { clusterIP: ${address}, selector: { tier: ${tier} }, ports: [${port}] }
`;

const SERVICES = [
  service('web', '10.0.20.2', 'web', '{ port: 80 }'),
  service('api', '10.0.20.3', 'api', '{ name: http, port: 80, targetPort: 8080 }'),
  service('gone', '10.0.20.4', 'gone', '{ port: 80 }'),
].join('---\n');

const backend = (name: string, port = 'number: 80') =>
  `backend: { service: { name: ${name}, port: { ${port} } } }`;

const ingress = (className: string, more = '') => `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: shop, namespace: shop }
spec:
  ingressClassName: ${className}
  ${more}
  rules:
    - host: shop.example.com
      http:
        paths:
          - { path: /, pathType: Prefix, ${backend('web')} }
          - { path: /api, pathType: Prefix, ${backend('api', 'name: http')} }
          - { path: /api/gone, pathType: Exact, ${backend('gone')} }
`;

const policy = (name: string, namespace: string, spec: string) =>
  `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;

function prober(stack: string, ...documents: readonly string[]): Prober {
  const inputs = parseInputs('shop.yaml', [TWO_NODES_SHOP, ...documents].join('---\n'));
  return new Prober(new World({ ...inputs, stack: parseStack(stack) }));
}

function ask(asker: Prober, to: string, more: Partial<ProbeRequest> = {}): ProbeResult {
  return asker.ask({ from: CLIENT, to, protocol: 'TCP', ...more });
}

const NGINX = [wiring(), SERVICES, ingress('nginx'), controller('Local')];
const FROM_CONTROLLER = policy(
  'api-from-ingress',
  'shop',
  `{ podSelector: { matchLabels: { tier: api } },
  ingress: [{ from: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ingress-nginx } } }] }] }`,
);

for (const stack of STACKS) {
  t.test(`${stack}: the backend sees the controller, the controller the client`, async (t) => {
    const found = ask(prober(stack, ...NGINX, SHOP_POLICIES), 'http://shop.example.com/');
    t.match(found, { verdict: 'allowed', port: 80, lookup: { addresses: [BALANCED] } });
    t.match(found.proxy, {
      proxy: 'svc/ingress-nginx/ingress-nginx-controller',
      ingress: 'shop/Ingress/shop',
      backend: 'svc/shop/web:80',
      decidedLeg: null,
      clientVerdict: 'allowed',
      clientSeenAs: [CLIENT],
      clientAddress: /sees 203\.0\.113\.9 \(externalTrafficPolicy Local\).*X-Forwarded-For/,
    });
    t.strictSame(
      found.proxy?.backends.map((b) => [b.from, b.to, b.name, b.verdict]),
      [
        [CONTROLLER, '10.240.0.5:80', 'pod/shop/web', 'allowed'],
        [CONTROLLER, '10.240.0.37:80', 'pod/shop/web-2', 'allowed'],
      ],
    );
  });

  t.test(`${stack}: policies of the backend judge the controller`, async (t) => {
    const closed = ask(prober(stack, ...NGINX, SHOP_POLICIES), 'http://shop.example.com/api/v1');
    t.match(closed, {
      verdict: 'denied',
      reason: 'policyDenied',
      decidedBy: { policy: 'shop/NetworkPolicy/api-from-web' },
      proxy: {
        decidedLeg: 'backend',
        clientVerdict: 'allowed',
        backends: [{ from: CONTROLLER, to: '10.240.0.36:8080', verdict: 'denied' }],
      },
    });
    const open = prober(stack, ...NGINX, SHOP_POLICIES, FROM_CONTROLLER);
    t.equal(ask(open, 'http://shop.example.com/api/v1').verdict, 'allowed');
    // The Service itself, asked by the client without a proxy, stays closed to it.
    t.equal(ask(open, 'pod/shop/api', { port: 8080 }).verdict, 'denied');
  });

  t.test(`${stack}: policies of the controller judge the client`, async (t) => {
    const own = policy(
      'only-office',
      'ingress-nginx',
      '{ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 198.18.0.0/16 } }] }] }',
    );
    const closed = prober(stack, ...NGINX, own);
    t.match(ask(closed, 'http://shop.example.com/'), {
      verdict: 'denied',
      decidedBy: { policy: 'ingress-nginx/NetworkPolicy/only-office' },
      proxy: { decidedLeg: 'client', clientVerdict: 'denied', backends: [] },
    });
    t.equal(ask(closed, 'http://shop.example.com/', { from: '198.18.4.5' }).verdict, 'allowed');
  });

  t.test(`${stack}: one endpoint of two refuses: it depends`, async (t) => {
    const one = policy(
      'web-2-closed',
      'shop',
      '{ podSelector: { matchExpressions: [{ key: tier, operator: In, values: [api] }] } }',
    );
    const both = `${service('any', '10.0.20.9', 'any', '{ port: 80 }')}---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: any-1, namespace: shop, labels: { kubernetes.io/service-name: any } }
addressType: IPv4
ports: [{ name: '', port: 8080 }]
endpoints:
  - { addresses: [10.240.0.36], conditions: { ready: true } }
  - { addresses: [10.240.0.5], conditions: { ready: true } }
  - { addresses: [10.240.0.6], conditions: { ready: false } }
`;
    const other = ingress('nginx').replace('name: web', 'name: any');
    const asker = prober(stack, wiring(), SERVICES, both, other, controller('Local'), one);
    t.match(ask(asker, 'http://shop.example.com/'), {
      verdict: 'depends',
      choice: { of: 2, allowed: 1, probability: 0.5, complete: true },
      proxy: { decidedLeg: 'backend', backends: [{ verdict: 'denied' }, { verdict: 'allowed' }] },
    });
  });
}

t.test('a proxy without a rule, or without endpoints, answers itself', async (t) => {
  const asker = prober('azure-transparent+npm', ...NGINX);
  const to = 'svc/ingress-nginx/ingress-nginx-controller:80';
  t.match(ask(asker, to, { from: 'pod/other/client', host: 'other.example.com' }), {
    verdict: 'denied',
    reason: 'noProxyRule',
    proxy: { ingress: null, backends: [] },
  });
  t.match(ask(asker, 'http://shop.example.com/api/gone'), {
    verdict: 'denied',
    reason: 'noProxyBackend',
    proxy: { backend: 'svc/shop/gone:80', decidedLeg: 'backend' },
  });
  // The same Service asked for nothing but a connection is asked for no more.
  t.match(ask(asker, to, { from: 'pod/other/client' }), { verdict: 'allowed', proxy: null });
});

t.test('a Host beside an address finds the same rules as the name', async (t) => {
  const asker = prober('azure-transparent+npm', ...NGINX, SHOP_POLICIES);
  const host = 'shop.example.com';
  for (const to of ['svc/ingress-nginx/ingress-nginx-controller:80', `http://${BALANCED}`]) {
    t.match(ask(asker, to, { host, from: 'pod/other/client' }), {
      verdict: 'allowed',
      proxy: { host, path: '/', backend: 'svc/shop/web:80' },
    });
  }
  t.equal(ask(asker, 'pod/shop/web', { host, port: 80 }).reason, 'proxyUnknown');
});

t.test('with externalTrafficPolicy Cluster the controller sees nodes', async (t) => {
  const asker = prober(
    'azure-transparent+npm',
    wiring(),
    SERVICES,
    ingress('nginx'),
    controller('Cluster'),
  );
  const { proxy, verdict } = ask(asker, 'http://shop.example.com/');
  t.equal(verdict, 'allowed');
  t.notOk(proxy?.clientSeenAs.includes(CLIENT));
  t.match(proxy?.clientAddress, /another address in the client's place.*Cluster.*10\.240\.0\./);
});

t.test('a host with a certificate is sent on to TLS', async (t) => {
  const tls = ingress('nginx', 'tls: [{ hosts: [shop.example.com], secretName: shop }]');
  const asker = prober('azure-transparent+npm', wiring(), SERVICES, tls, controller('Local'));
  t.match(ask(asker, 'http://shop.example.com/'), {
    verdict: 'allowed',
    proxy: { redirectedTo: 443 },
  });
  t.match(ask(asker, 'https://shop.example.com/'), {
    verdict: 'allowed',
    port: 443,
    proxy: { redirectedTo: null },
  });
});

t.test('what nobody can tell is unknown', async (t) => {
  const nobody = prober('azure-transparent+npm', wiring(), SERVICES, ingress('traefik'));
  t.match(ask(nobody, 'http://shop.example.com/'), { verdict: 'unknown', reason: 'proxyUnknown' });
  t.match(ask(nobody, 'http://elsewhere.example.com/'), { reason: 'nameElsewhere' });
  const snippet = ingress('nginx').replace(
    'namespace: shop }',
    "namespace: shop, annotations: { nginx.ingress.kubernetes.io/auth-url: 'http://who' } }",
  );
  const unclear = prober('azure-transparent+npm', wiring(), SERVICES, snippet, controller('Local'));
  t.match(ask(unclear, 'http://shop.example.com/'), {
    verdict: 'unknown',
    reason: 'proxyRouteUnknown',
  });
  const unpublished = controller('Local').replace(/status: \{ loadBalancer.*\n/, '');
  const inside = prober('azure-transparent+npm', wiring(), SERVICES, ingress('nginx'), unpublished);
  t.match(ask(inside, 'http://shop.example.com/'), { reason: 'proxyAddressUnknown' });
});

t.test('a controller that its labels do not show is named in the wiring document', async (t) => {
  const named =
    'ingressControllers: [{ ingressClass: traefik, service: ingress-nginx/ingress-nginx-controller }]\n';
  const asker = prober(
    'azure-transparent+npm',
    wiring(named),
    SERVICES,
    ingress('traefik'),
    controller('Local'),
  );
  t.equal(ask(asker, 'http://shop.example.com/').verdict, 'allowed');
});

const GATEWAY_CLASS = `apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: azure-application-gateway }
spec: { controller: azure/application-gateway }
`;
const GATEWAY =
  'applicationGateways: [{ name: agw, subnetPrefix: 10.241.0.0/24, frontendIpAddresses: [20.60.0.1] }]\n';

t.test('an Application Gateway comes from its subnet straight to the pods', async (t) => {
  for (const stack of STACKS) {
    const only = policy(
      'api-from-gateway',
      'shop',
      `{ podSelector: { matchLabels: { tier: api } },
  ingress: [{ from: [{ ipBlock: { cidr: 10.241.0.0/24 } }] }] }`,
    );
    const made = (...more: readonly string[]) =>
      prober(
        stack,
        wiring(GATEWAY),
        SERVICES,
        ingress('azure-application-gateway'),
        GATEWAY_CLASS,
        ...more,
      );
    const open = ask(made(SHOP_POLICIES, only), 'http://shop.example.com/api');
    t.match(open, {
      verdict: 'allowed',
      proxy: {
        proxy: 'application gateway agw',
        clientVerdict: null,
        clientAddress: /X-Forwarded-For; the backend sees the gateway/,
      },
    });
    t.strictSame(
      open.proxy?.backends.map((b) => [b.from, b.to]),
      [
        ['10.241.0.4', '10.240.0.36:8080'],
        ['10.241.0.254', '10.240.0.36:8080'],
      ],
    );
    t.match(ask(made(SHOP_POLICIES), 'http://shop.example.com/api'), {
      verdict: 'denied',
      decidedBy: { policy: 'shop/NetworkPolicy/api-from-web' },
      proxy: { decidedLeg: 'backend' },
    });
    const half = only.replace('10.241.0.0/24', '10.241.0.0/25');
    t.equal(ask(made(SHOP_POLICIES, half), 'http://shop.example.com/api').verdict, 'depends');
  }
});

/** The shop with pods in a range of their own, behind a gateway whose subnet is so long. */
function ranged(mode: string, stack: string, length: number): Prober {
  const gateway = GATEWAY.replace('/24', `/${length}`);
  const overlay = wiring(gateway)
    .replace('10.241.0.0/24 }', `10.241.0.0/${length} }`)
    .replace('networkPlugin: azure', `${mode}\npodCidr: 192.168.0.0/16`);
  const nodes = TWO_NODES_SHOP.replaceAll(
    /name: node-(a|b)}\nstatus/g,
    (_, n) => `name: node-${n}}\nspec: {podCIDR: 192.168.${n === 'a' ? 0 : 1}.0/24}\nstatus`,
  );
  const shop = nodes
    .replaceAll(/podIP: 10\.240\.0\.([567])\b/g, 'podIP: 192.168.0.1$1')
    .replaceAll(/podIP: 10\.240\.0\.(\d+)/g, 'podIP: 192.168.1.$1');
  const inputs = parseInputs(
    'shop.yaml',
    [shop, overlay, SERVICES, ingress('azure-application-gateway'), GATEWAY_CLASS].join('---\n'),
  );
  return new Prober(new World({ ...inputs, stack: parseStack(stack) }));
}

const OVERLAY = 'networkPlugin: azure\nnetworkPluginMode: overlay';

t.test('a gateway reaches pods of an overlay that is extended to its subnet', async (t) => {
  t.match(ask(ranged(OVERLAY, 'azure-overlay+npm', 24), 'http://shop.example.com/api'), {
    verdict: 'allowed',
    proxy: {
      backends: [{ from: '10.241.0.4', to: '192.168.1.36:8080' }, { from: '10.241.0.254' }],
    },
  });
  t.match(ask(ranged(OVERLAY, 'azure-overlay+npm', 25), 'http://shop.example.com/api'), {
    verdict: 'unknown',
    reason: 'proxyNotOffered',
    proxy: { decidedLeg: 'backend' },
  });
});

t.test("a gateway reaches kubenet's pods by the nodes' routes", async (t) => {
  const prober = ranged('networkPlugin: kubenet', 'kubenet+calico', 25);
  t.match(ask(prober, 'http://shop.example.com/api'), {
    verdict: 'allowed',
    proxy: { backends: [{ from: '10.241.0.4', to: '192.168.1.36:8080' }, {}] },
  });
});
