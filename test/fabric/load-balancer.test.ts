/**
 * Azure Load Balancer in front of nodes: where a client's packet arrives and with which addresses,
 * who answers, and what no frontend passes on.
 *
 * Expectations by hand from Azure's and cloud-provider-azure's documentation (src/fabric/README.md).
 * @module
 */
import t from 'tap';
import { loadBalancerRules } from '../../src/fabric/frontends.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import {
  AzureWalk,
  answerTo,
  clusterOf,
  datagram,
  endsOf,
  node,
  pod,
  story,
  syn,
  wiring,
} from './azure-walk.ts';

const NET = `virtualNetworks: [{name: v, addressPrefixes: [10.1.0.0/16], subnets: [{name: nodes, addressPrefix: 10.1.0.0/24}]}]`;
const BASE = [
  wiring(NET),
  node('na', '10.1.0.4'),
  node('nb', '10.1.0.5'),
  pod('a', 'na', '10.1.0.10', '{app: web}'),
  pod('b', 'nb', '10.1.0.11', '{app: web}'),
];
const VIP = '20.7.7.7';
const INTERNAL = '10.1.0.99';

interface Parts {
  readonly address?: string;
  readonly annotations?: string;
  readonly spec?: string;
  readonly ports?: string;
}

function service(name: string, parts: Parts = {}): string {
  const ports = parts.ports ?? '{port: 80, targetPort: 80, nodePort: 30080}';
  return `apiVersion: v1\nkind: Service
metadata: {name: ${name}, annotations: {${parts.annotations ?? ''}}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [${ports}]${parts.spec ?? ''}}
status: {loadBalancer: {ingress: [{ip: ${parts.address ?? VIP}}]}}\n---\n`;
}

const PREFIX = 'service.beta.kubernetes.io/azure-';
const CLIENT = '9.9.9.9:4000';

for (const stack of ['azure-bridge+none', 'azure-transparent+none']) {
  t.test(
    `${stack}: a packet reaches a node with the frontend’s address, and a pod by kube-proxy`,
    async (t) => {
      const walk = new AzureWalk([...BASE, service('web')], { stack });
      const journey = walk.journey('edge', syn(CLIENT, `${VIP}:80`));
      t.match(story(journey), /^delivered default\/[ab] /);
      const onNode = journey.steps.find((s) => s.stage === 'link-input' && s.host.startsWith('n'));
      t.ok(onNode, 'by a node');
      const arrived = journey.steps.flatMap((s) =>
        s.host.startsWith('n') && s.hook === 'prerouting' ? s.rules.map((r) => r.rule.chain) : [],
      );
      t.ok(
        arrived.some((chain) => chain.startsWith('KUBE-EXT-')),
        'kube-proxy’s rules for the load balancer answered it',
      );
      const { src } = endsOf(journey);
      t.match(
        src,
        /^10\.1\.0\.[45]$/,
        'externalTrafficPolicy Cluster hides the client behind a node',
      );
      t.equal(
        walk.send(journey.end.host, answerTo(journey)),
        `exited internet ${VIP}:80 > ${CLIENT}`,
        'the answer leaves with the frontend’s address',
      );
    },
  );
}

t.test('every node is drawn, and a connection keeps its node', async (t) => {
  const walk = new AzureWalk([...BASE, service('web')]);
  const first = (sport: number) => {
    const packet = syn(`9.9.9.9:${sport}`, `${VIP}:80`);
    const via = (j: ReturnType<AzureWalk['journey']>) => j.hosts.find((h) => h.startsWith('n'));
    return [via(walk.journey('edge', packet)), via(walk.journey('edge', packet))];
  };
  const seen = new Set<string | undefined>();
  for (let sport = 5000; sport < 5040; sport++) {
    const [once, again] = first(sport);
    t.equal(once, again, `port ${sport}`);
    seen.add(once);
  }
  t.strictSame([...seen].toSorted(), ['na', 'nb']);
});

t.test(
  'externalTrafficPolicy Local: nodes with an endpoint only, and the client’s address',
  async (t) => {
    const local = [
      ...BASE.slice(0, 4),
      service('web', { spec: ', externalTrafficPolicy: Local, healthCheckNodePort: 31000' }),
    ];
    const walk = new AzureWalk(local);
    for (let sport = 5000; sport < 5010; sport++) {
      t.equal(
        walk.syn('edge', `9.9.9.9:${sport}`, `${VIP}:80`),
        `delivered default/a 9.9.9.9:${sport} > 10.1.0.10:80`,
      );
    }
    t.strictSame(walk.network.healthProbes, [
      {
        keys: [`default/web ${VIP} tcp/80 na`],
        service: 'default/web',
        node: 'na',
        source: walk.network.healthProbes?.[0]?.source,
        destination: walk.network.healthProbes?.[0]?.destination,
        port: 31_000,
        kind: 'http',
      },
    ]);
  },
);

t.test('without floating IP the node port is asked', async (t) => {
  const annotations = `"${PREFIX}disable-load-balancer-floating-ip": "true"`;
  const walk = new AzureWalk([...BASE, service('web', { annotations })]);
  const fabric = printIptables(walk.network.fabric, 4);
  t.match(
    fabric,
    /-A LB-\w+-tcp-80 .*--comment "backend na" -j DNAT --to-destination 10\.1\.0\.4:30080/,
  );
  const journey = walk.journey('edge', syn(CLIENT, `${VIP}:80`));
  t.match(story(journey), /^delivered default\/[ab] /);
  t.equal(walk.send(journey.end.host, answerTo(journey)), `exited internet ${VIP}:80 > ${CLIENT}`);
});

t.test('what a frontend does not pass on', async (t) => {
  const walk = new AzureWalk([...BASE, service('web')]);
  const no = `load balancer frontend ${VIP}: no rule for this port`;
  t.equal(walk.syn('edge', CLIENT, `${VIP}:81`), `dropped fabric ruleDenied: ${no}`);
  t.equal(walk.send('edge', datagram(CLIENT, `${VIP}:80`)), `dropped fabric ruleDenied: ${no}`);
  t.equal(
    walk.received('nic-na', syn(`${VIP}:80`, '9.9.9.9:4001')),
    `dropped fabric ruleDenied: load balancer frontend ${VIP}: only answers`,
    'a node can not open connections with the frontend’s address',
  );
  const keys = ['na', 'nb'].map((n) => `default/web ${VIP} tcp/80 ${n}`);
  const dead = new AzureWalk([...BASE, service('web')], { unhealthy: new Set(keys) });
  t.equal(
    dead.syn('edge', CLIENT, `${VIP}:80`),
    `dropped fabric ruleDenied: load balancer frontend ${VIP}: no healthy backend`,
  );
  const half = new AzureWalk([...BASE, service('web')], { unhealthy: new Set(keys.slice(0, 1)) });
  const via = half.journey('edge', syn(CLIENT, `${VIP}:80`)).hosts.find((h) => h.startsWith('n'));
  t.equal(via, 'nb', 'only the healthy one is drawn');
});

t.test('internal load balancers: annotation or address, and no way back to oneself', async (t) => {
  const rules = (parts: Parts) => {
    const found = loadBalancerRules(clusterOf(...BASE, service('web', parts)));
    return found.map((r) => [r.internal, r.floating, r.sticky, r.probe]);
  };
  const probe = { kind: 'tcp', port: 30_080 };
  t.strictSame(rules({}), [[false, true, false, probe]]);
  t.strictSame(rules({ address: INTERNAL }), [[true, true, false, probe]]);
  t.strictSame(rules({ annotations: `"${PREFIX}load-balancer-internal": "true"` }), [
    [true, true, false, probe],
  ]);
  t.strictSame(rules({ spec: ', sessionAffinity: ClientIP' }), [[false, true, true, probe]]);
  t.strictSame(rules({ ports: '{port: 53, protocol: UDP, nodePort: 30053}' }), [
    [false, true, false, { kind: 'none' }],
  ]);
  const asked = `"${PREFIX}load-balancer-health-probe-protocol": http`;
  t.strictSame(rules({ annotations: asked })[0]?.[3], { kind: 'http', port: 30_080 });
  t.strictSame(
    rules({ annotations: '"service.beta.kubernetes.io/port_80_no_lb_rule": "true"' }),
    [],
  );
  const walk = new AzureWalk([
    ...BASE.slice(0, 2),
    pod('a', 'na', '10.1.0.10', '{app: web}'),
    service('web', { address: INTERNAL }),
  ]);
  // Seen from a machine of the network the one node answers, from itself kube-proxy is faster.
  t.match(
    walk.syn('edge', '10.1.9.9:4000', `${INTERNAL}:80`),
    /^delivered default\/a 10\.1\.0\.4:\d+ > 10\.1\.0\.10:80$/,
  );
  t.equal(
    walk.received('nic-na', syn('10.1.0.4:4000', `${INTERNAL}:80`)),
    'dropped fabric ruleDenied: a backend can not reach itself by an internal frontend',
  );
  const translated = new AzureWalk([
    ...BASE.slice(0, 2),
    pod('a', 'na', '10.1.0.10', '{app: web}'),
    service('web', {
      address: INTERNAL,
      annotations: `"${PREFIX}disable-load-balancer-floating-ip": "true"`,
    }),
  ]);
  t.match(
    translated.received('nic-na', syn('10.1.0.4:4000', `${INTERNAL}:80`)),
    'a backend can not reach itself',
    'nor by its node port',
  );
});

t.test('clients of a sticky Service keep their node', async (t) => {
  const walk = new AzureWalk([...BASE, service('web', { spec: ', sessionAffinity: ClientIP' })]);
  const via = (client: string) =>
    walk.journey('edge', syn(client, `${VIP}:80`)).hosts.find((h) => h.startsWith('n'));
  const clients = Array.from({ length: 12 }, (_, i) => `9.9.9.${i + 1}`);
  const first = clients.map((c) => via(`${c}:4000`));
  t.equal(new Set(first).size, 2, 'different clients, different nodes');
  for (let sport = 4001; sport < 4006; sport++) {
    t.strictSame(
      clients.map((c) => via(`${c}:${sport}`)),
      first,
    );
  }
});

t.test('nodes labelled out of the pool are not drawn', async (t) => {
  const out = node('nb', '10.1.0.5').replace(
    '{name: nb}',
    '{name: nb, labels: {node.kubernetes.io/exclude-from-external-load-balancers: "true"}}',
  );
  const found = loadBalancerRules(clusterOf(BASE[0] ?? '', BASE[1] ?? '', out, service('web')));
  t.strictSame(
    found.map((r) => r.candidates.map((n) => n.name)),
    [['na']],
  );
});
