/**
 * Ingresses and their classes: read with defaults, refused as the API server refuses them.
 * @module
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress } from '../../src/wire/address/address.ts';

const ingress = (spec: string, metadata = '') =>
  `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: web, namespace: shop${metadata} }
spec: ${spec}
`;
const PORT = 'backend: { service: { name: web, port: { number: 80 } } }';

t.test('an Ingress, its class and its rules', async (t) => {
  const { cluster } = parseInputs(
    'i.yaml',
    `${ingress(
      `{ ingressClassName: nginx, tls: [{ hosts: [a.example.com] }],
        defaultBackend: { service: { name: web, port: { name: http } } },
        rules: [{ host: '*.example.com', http: { paths: [{ path: /a, pathType: Exact, ${PORT} }] } }] }
status: { loadBalancer: { ingress: [{ ip: 20.1.2.3 }] } }`,
    )}---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: nginx, annotations: { ingressclass.kubernetes.io/is-default-class: 'true' } }
spec: { controller: k8s.io/ingress-nginx }
`,
  );
  const [found] = cluster.ingresses ?? [];
  t.match(found, {
    className: 'nginx',
    defaultBackend: { service: 'web', port: 'http' },
    tlsHosts: ['a.example.com'],
    rules: [
      {
        host: '*.example.com',
        paths: [{ path: '/a', pathType: 'Exact', backend: { service: 'web', port: 80 } }],
      },
    ],
  });
  t.strictSame(found?.addresses.map(formatAddress), ['20.1.2.3']);
  t.match(cluster.ingressClasses, [{ controller: 'k8s.io/ingress-nginx', isDefault: true }]);
  t.ok(
    cluster.namespaces.some((n) => n.name === 'shop'),
    'its namespace exists',
  );
});

const paths = (path: string) => `{ rules: [{ http: { paths: [{ ${path} }] } }] }`;
const REFUSED: readonly (readonly [spec: string, field: string, message: RegExp])[] = [
  ['{}', 'spec', /either `defaultBackend` or `rules` must be specified/],
  [paths(`path: /, ${PORT}`), 'spec.rules[0].http.paths[0].pathType', /must be specified/],
  [paths(`path: /, pathType: Foo, ${PORT}`), 'spec.rules[0].http.paths[0].pathType', /unsupported/],
  [paths(`path: a, pathType: Prefix, ${PORT}`), 'spec.rules[0].http.paths[0].path', /absolute/],
  [paths(`path: /a//b, pathType: Exact, ${PORT}`), 'spec.rules[0].http.paths[0].path', /'\/\/'/],
  [paths(`path: /a/.., pathType: Prefix, ${PORT}`), 'spec.rules[0].http.paths[0].path', /end with/],
  [
    paths('path: /, pathType: Prefix'),
    'spec.rules[0].http.paths[0].backend',
    /resource or service backend is required/,
  ],
  [
    paths('path: /, pathType: Prefix, backend: { service: { name: web } }'),
    'spec.rules[0].http.paths[0].backend',
    /port name or number is required/,
  ],
  [
    '{ defaultBackend: { service: { name: web, port: { name: http, number: 80 } } } }',
    'spec.defaultBackend',
    /cannot set both port name & port number/,
  ],
  ['{ rules: [{ host: 10.0.0.1 }] }', 'spec.rules[0].host', /not an IP address/],
  ["{ rules: [{ host: 'a.*.com' }] }", 'spec.rules[0].host', /wildcard DNS-1123 subdomain/],
  ['{ rules: [{ host: A.com }] }', 'spec.rules[0].host', /lowercase RFC 1123 subdomain/],
  ["{ rules: [{ host: a.com }], tls: [{ hosts: ['*'] }] }", 'spec.tls[0].hosts[0]', /wildcard/],
];

t.test('Ingresses are refused in the words of the API server', async (t) => {
  for (const [spec, field, message] of REFUSED) {
    try {
      parseInputs('i.yaml', ingress(spec));
      t.fail(`accepted: ${spec}`);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      t.match(error.diagnostics, [{ field, message, object: 'shop/Ingress/web' }], spec);
    }
  }
});

t.test('a class that is given twice, differently', async (t) => {
  const annotated = ', annotations: { kubernetes.io/ingress.class: nginx }';
  const spec = (name: string) => `{ ingressClassName: ${name}, rules: [{ host: a.com }] }`;
  t.throws(() => parseInputs('i.yaml', ingress(spec('other'), annotated)), /must match/);
  t.doesNotThrow(() => parseInputs('i.yaml', ingress(spec('nginx'), annotated)));
});

t.test('what the wiring document names must exist', async (t) => {
  const wiring = `apiVersion: wiretrial/v1
kind: Wiring
ingressControllers: [{ ingressClass: nginx, service: shop/proxy }]
applicationGateways: [{ name: agw, subnetPrefix: 10.1/16, frontendIpAddresses: [20.1.2.300] }]
`;
  try {
    parseInputs('i.yaml', wiring);
    t.fail('accepted');
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const fields = error.diagnostics.map((d) => d.field).toSorted();
    t.strictSame(fields, [
      'applicationGateways[0].frontendIpAddresses[0]',
      'applicationGateways[0].subnetPrefix',
      'ingressControllers[0].service',
    ]);
  }
});
