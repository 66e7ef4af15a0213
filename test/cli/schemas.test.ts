/**
 * What the verbs really print against the schemas that `doctor --schema` prints: every field of
 * every result is described, and every result has the head that the contract promises.
 *
 * The shipped schemas are open, because shapes grow. Here they are closed first, so that a field
 * without a description is found.
 * @module
 */
import { strict as assert } from 'node:assert';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import t, { type Test } from 'tap';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { SCHEMAS } from '../../src/report/schema/kinds.ts';
import {
  CALICO,
  CASE,
  caseFolder,
  forEachRow,
  NPM,
  wiretrial,
  writeCapture,
} from '../support/command.ts';
import { device, LO, lines, PLAIN } from '../support/dumps.ts';
import { tcp, udp } from '../support/packets.ts';

// A process each takes a third of a second, and this machine may have others to run.
t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;

const HEAD = ['apiVersion', 'kind', 'tool', 'seed', 'inputs', 'counts'];
const CLUSTER = CASE.slice(0, 4);
const service = (name: string, address: string, selector: string, more = '') => `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { clusterIP: ${address}, selector: ${selector}, ports: [{ port: 80, targetPort: 8080 }]${more} }
`;

/** Services to choose from, an Ingress and who serves it, a Windows node. */
const MORE = `apiVersion: v1
kind: Node
metadata: { name: win-0, labels: { kubernetes.io/os: windows } }
status: { addresses: [{ type: InternalIP, address: 10.240.0.66 }] }
${service('any', '10.0.10.5', '{ app: shop }')}${service('api', '10.0.10.1', '{ tier: api }')}---
apiVersion: v1
kind: Pod
metadata:
  name: controller
  namespace: ingress-nginx
  labels: { app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller }
spec: { nodeName: node-a, containers: [{ name: main, ports: [{ containerPort: 80 }] }] }
status: { phase: Running, podIP: 10.240.0.8 }
---
apiVersion: v1
kind: Service
metadata: { name: ingress-nginx-controller, namespace: ingress-nginx }
spec:
  type: LoadBalancer
  clusterIP: 10.0.20.1
  selector: { app.kubernetes.io/name: ingress-nginx, app.kubernetes.io/component: controller }
  ports: [{ name: http, port: 80, nodePort: 31080 }]
status: { loadBalancer: { ingress: [{ ip: 20.50.0.1 }] } }
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: nginx }
spec: { controller: k8s.io/ingress-nginx }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: shop, namespace: shop }
spec:
  ingressClassName: nginx
  rules:
    - host: shop.example.com
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: api, port: { number: 80 } } } }] }
`;
writeFileSync(join(cwd, 'more.yaml'), MORE);
await writeCapture(join(cwd, 'odd.pcap'), [
  tcp().from('10.240.0.7', 40_000).to('10.0.10.5', 80).syn().seq(1),
  tcp().from('10.240.0.5', 40_001).to('10.0.10.1', 80).syn().seq(2),
  tcp().from('10.240.0.5', 40_001).to('10.0.10.1', 80).syn().seq(2),
  udp().from('10.240.0.5', 1000).to('10.240.0.36', 53).ttl(1).payload('x'),
]);
writeFileSync(
  join(cwd, 'asked.json'),
  JSON.stringify([
    { from: 'pod/shop/web', to: 'pod/shop/api', port: 'http', protocol: 'TCP', expect: 'allowed' },
    { from: 'pod/shop/web', to: 'svc/shop/any:80', protocol: 'TCP', expect: 'denied' },
    { from: 'pod/shop/web', to: 'http://api.shop', protocol: 'TCP' },
    { from: '203.0.113.9', to: 'http://shop.example.com/x', protocol: 'TCP' },
    { from: '203.0.113.9', to: 'node/node-a', protocol: 'ICMP' },
  ]),
);
writeDump('dump');

/** A node that was collected in part: no ebtables, a connection, a rule with counters. */
function writeDump(name: string): void {
  const { 'ebtables-save.txt': _, ...rest } = PLAIN;
  const texts = {
    ...rest,
    'iptables-save.txt': lines(
      '*filter',
      ':INPUT ACCEPT [1:60]',
      ':FORWARD DROP [0:0]',
      ':OUTPUT ACCEPT [0:0]',
      '[3:180] -A FORWARD -s 10.1.0.0/24 -j ACCEPT',
      'COMMIT',
    ),
    'ip-addr.txt': lines(LO, device(2, 'eth0', ['10.1.0.4/16'])),
    'ip-route.txt':
      'default via 10.1.0.1 dev eth0\n10.1.0.0/16 dev eth0 proto kernel scope link src 10.1.0.4\n',
    'conntrack.txt':
      'ipv4     2 tcp      6 86399 ESTABLISHED src=10.1.0.4 dst=10.1.0.9 sport=4000 dport=80 ' +
      'src=10.1.0.9 dst=10.1.0.4 sport=80 dport=4000 [ASSURED] mark=0 use=1\n',
  };
  mkdirSync(join(cwd, name));
  for (const [file, text] of Object.entries(texts)) writeFileSync(join(cwd, name, file), text);
}

type Json = Readonly<Record<string, unknown>>;

function schemaOf(kind: string): Json {
  return SCHEMAS.get(kind) ?? assert.fail(`no schema of ${kind}`);
}

/** The schema with every object closed that says which fields it has. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const parts = Object.fromEntries(Object.entries(schema).map(([k, v]) => [k, closed(v)]));
  const isOpen = 'properties' in schema && !('additionalProperties' in schema);
  return isOpen ? { ...parts, additionalProperties: false } : parts;
}

const validators = new Map<string, ValidateFunction>();

function validatorOf(kind: string): ValidateFunction {
  const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
  const validate = validators.get(kind) ?? ajv.compile(closed(schemaOf(kind)) as object);
  validators.set(kind, validate);
  return validate;
}

function holds(t: Test, kind: string, value: unknown, name: string): void {
  const validate = validatorOf(kind);
  t.ok(validate(value), `${name} is a ${kind}: ${JSON.stringify(validate.errors?.slice(0, 3))}`);
}

const ODD = ['-f', 'more.yaml', '-r', 'odd.pcap', '--vantage', 'odd.pcap=pod/shop/web'];
const FLOW = ['--from', 'pod/shop/web', '--to', 'svc/shop/any:80'];
const BY_INGRESS = ['--from', '203.0.113.9', '--to', 'http://shop.example.com/'];
const NODE_A = ['--node', 'node-a'];

/** A result of each kind in each of its shapes; `exit` where it is not 0. */
const RESULTS: readonly (readonly [kind: string, args: readonly string[], exit?: number])[] = [
  ['ReplayResult', ['replay', ...CASE, ...NPM]],
  ['ReplayResult', ['replay', ...CLUSTER, ...ODD, ...CALICO]],
  ['ReplayResult', ['replay', ...CLUSTER, '-r', 'cut.pcap', ...NPM], 3],
  ['ReplayResult', ['replay', '--dump', 'node-a=dump', '-r', 'case.pcap']],
  ['CompareResult', ['compare', ...CASE, ...NPM, ...CALICO]],
  ['CompareResult', ['compare', ...CLUSTER, ...ODD, ...NPM, ...CALICO]],
  ['ProbeResult', ['probe', ...CLUSTER, '-f', 'more.yaml', '--probes', 'asked.json'], 1],
  ['ProbeResult', ['probe', ...CLUSTER, ...NPM, '--all-pairs', '--port', '80']],
  ['ExplainResult', ['explain', ...CASE, ...NPM, '--frame', '5']],
  ['ExplainResult', ['explain', ...CASE, ...NPM, '--frame', '6']],
  ['ExplainResult', ['explain', ...CLUSTER, '-f', 'more.yaml', ...NPM, ...FLOW]],
  ['ExplainResult', ['explain', ...CLUSTER, '-f', 'more.yaml', ...NPM, ...BY_INGRESS]],
  ['DoctorResult', ['doctor']],
  ['DoctorResult', ['doctor', '-f', 'cluster.yaml', '-f', 'more.yaml']],
  ['Plan', ['plan', ...CLUSTER, ...NPM, ...NODE_A]],
  ['Plan', ['plan', ...CLUSTER, ...CALICO, ...NODE_A]],
  ['Plan', ['plan', ...CLUSTER, '--stack', 'azure-overlay+none,kube-proxy=nftables', ...NODE_A]],
  ['Plan', ['plan', ...CLUSTER, '--stack', 'kubenet+none,kube-proxy=ipvs', ...NODE_A]],
  [
    'Plan',
    [
      'plan',
      ...CLUSTER,
      '-f',
      'more.yaml',
      '--stack',
      'azure-transparent+calico',
      '--node',
      'win-0',
    ],
  ],
  ['Plan', ['plan', ...CLUSTER, '--fabric']],
  ['Plan', ['plan', ...CLUSTER, '--pod', 'shop/web']],
  ['Plan', ['plan', '--dump', 'node-a=dump']],
];

/** A file that ends in a record. */
writeFileSync(join(cwd, 'cut.pcap'), readFileSync(join(cwd, 'case.pcap')).subarray(0, -5));

t.test('every result has its head, and every field of it is described', async (t) => {
  await forEachRow(RESULTS, async ([kind, args, exit = 0]) => {
    const { status, stdout, stderr } = await wiretrial([...args, '-o', 'json'], { cwd });
    const name = args.join(' ');
    t.equal(status, exit, `${name}: ${stderr}`);
    const result = JSON.parse(stdout) as Json;
    for (const field of HEAD) t.ok(field in result, `${name}: ${field}`);
    holds(t, kind, result, name);
  });
});

t.test('bench, alone and against a base', { skip: noNative() }, async (t) => {
  const small = ['--packets', '500', '--samples', '2', '--connections', '10', '--port', '5432'];
  const run = ['bench', ...CLUSTER, '--stack', 'azure-bridge+none', ...small, '-o', 'json'];
  const alone = await wiretrial(run, { cwd });
  writeFileSync(join(cwd, 'base.json'), alone.stdout);
  const gates = ['--base', 'base.json', '--threshold', 'walked<=1x'];
  for (const ran of [alone, await wiretrial([...run, ...gates], { cwd })]) {
    t.equal(ran.status, 0, ran.stderr);
    holds(t, 'BenchResult', JSON.parse(ran.stdout), 'bench');
  }
});

function noNative(): string | false {
  const native = findNative();
  return native.addon === null ? native.reason : false;
}

t.test('every line of -o jsonl is described', async (t) => {
  const rows: readonly (readonly [string, readonly string[], exit?: number])[] = [
    ['Frame', ['replay', ...CASE, ...NPM]],
    ['Frame', ['replay', ...CLUSTER, ...ODD, ...NPM]],
    ['Connection', ['replay', ...CLUSTER, ...ODD, ...NPM, '--rows', 'connections']],
    ['Difference', ['compare', ...CASE, ...NPM, ...CALICO]],
    ['Probe', ['probe', ...CLUSTER, '-f', 'more.yaml', '--probes', 'asked.json'], 1],
  ];
  await forEachRow(rows, async ([kind, args, exit = 0]) => {
    const { status, stdout, stderr } = await wiretrial([...args, '-o', 'jsonl'], { cwd });
    t.equal(status, exit, `${args.join(' ')}: ${stderr}`);
    const all = stdout.trimEnd().split('\n');
    t.not(stdout, '', args.join(' '));
    for (const line of all) holds(t, kind, JSON.parse(line), args.join(' '));
  });
});

t.test('a result that lacks a part of its head is none, nor one with a wrong word', async (t) => {
  const { stdout } = await wiretrial(['replay', ...CASE, ...NPM, '-o', 'json'], { cwd });
  const result = JSON.parse(stdout) as Json & { connections: Json[] };
  const validate = new Ajv2020({ strict: false }).compile(schemaOf('ReplayResult'));
  t.ok(validate(result));
  t.ok(validate({ ...result, newer: 1 }), 'shapes grow');
  for (const field of Object.keys(result)) {
    const { [field]: _, ...less } = result;
    t.notOk(validate(less), `without ${field}`);
  }
  const [first, ...others] = result.connections;
  t.notOk(validate({ ...result, connections: [{ ...first, verdict: 'fine' }, ...others] }));
  t.notOk(validate({ ...result, tool: { name: 'wiretrial', version: '1', engine: 'fast' } }));
});

t.test('the file of --probes has a schema for editors', async (t) => {
  const validate = validatorOf('Probes');
  t.ok(validate(JSON.parse(readFileSync(join(cwd, 'asked.json'), 'utf8'))));
  t.notOk(validate([{ from: 'pod/a/b', to: 'pod/a/c', protocol: 'GRE' }]));
  t.notOk(validate([{ from: 'pod/a/b', to: 'pod/a/c', protocol: 'TCP', expct: 'allowed' }]));
});

t.test('--schema alone is the wiring document; an unknown kind is refused', async (t) => {
  for (const [args, kind] of [
    [[], 'Wiring'],
    [['replayresult'], 'ReplayResult'],
  ] as const) {
    const { status, stdout } = await wiretrial(['doctor', '--schema', ...args]);
    t.equal(status, 0, kind);
    t.strictSame(JSON.parse(stdout), JSON.parse(JSON.stringify(schemaOf(kind))), kind);
  }
  const wrong = await wiretrial(['doctor', '--schema', 'RepalyResult']);
  t.equal(wrong.status, 2);
  t.match(wrong.stderr, /--schema: .*found RepalyResult; accepted: did you mean ReplayResult/);
  const { stdout } = await wiretrial(['doctor', '--help']);
  for (const [kind] of RESULTS) t.ok(stdout.includes(kind), `help names ${kind}`);
});
