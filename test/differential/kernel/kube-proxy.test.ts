/**
 * kube-proxy's rules as we render them, in the running kernel and in our engine: the flows of
 * kube-proxy's own tests, what answers them, and packets made for the rules go through both, one at a
 * time. Every frame, every rule's counter and every connection must be equal; which backend the kernel
 * drew is read from its connections and followed. Needs root.
 * @module
 */
import t, { type Test } from 'tap';
import { proxySettings } from '../../../src/dataplane/kube-proxy/config.ts';
import { renderKubeProxy } from '../../../src/dataplane/kube-proxy/render.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import type { PlanBuilder } from '../../../src/plan/builder.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { type Family, formatAddress } from '../../../src/wire/address/address.ts';
import {
  type Case,
  familyOf,
  needsSuite,
  proxyInput,
  readCases,
} from '../../suites/kube-proxy-cases.ts';
import { hostPlan, iface, route } from '../../support/hosts.ts';
import { parsed, sctp, sctpInit, tcp, udp } from '../../support/packets.ts';
import type { Flow } from '../../support/proxy-node.ts';
import { DumpEngine, type SentFrame } from './dump-engine.ts';
import { macOf, routerMac } from './dump-host.ts';
import { DumpTraffic } from './dump-traffic.ts';
import { Agent } from './harness/agent.ts';
import { comparable } from './harness/comparable.ts';
import { difference } from './harness/difference.ts';
import { buildSteps, portsOf, readConnections, readHost } from './harness/kernel-host.ts';
import { kernelMissing } from './harness/laboratory.ts';
import type { Answer, Backend, Shot } from './harness/trial.ts';
import { Draw } from './rule-space.ts';

// Namespaces are built and every connection is read after every packet: a minute.
t.setTimeout(600_000);

const missing = kernelMissing(['iptables-restore', 'ip6tables-restore', 'conntrack']);

type FrameShot = Extract<Shot, { kind: 'frame' }>;

/** Pods are behind the first, everybody else behind the second. */
const DEVICES = ['cni0', 'eth0'] as const;

/** Who is on the node's own nets: where drawn traffic goes, too. */
const NEIGHBORS = [0, 3, 4, 5].flatMap((n) =>
  [`192.168.0.${n}`, `2001:db8::${n || 2}`].map((ip) => [ip, 'eth0', routerMac(1)] as const),
);

/** The node of the cases, with kube-proxy's rules. */
function nodeWith(render: (builder: PlanBuilder) => void): Plan {
  return hostPlan('test-node', {
    interfaces: [
      iface('cni0', macOf(0), { addresses: ['10.254.0.1/24', 'fd00:254::1/64'] }),
      iface('eth0', macOf(1), {
        addresses: [
          '192.168.0.2/24',
          '192.168.1.2/24',
          '192.168.99.11/24',
          '2001:db8::1/64',
          '2001:db8:1::2/64',
        ],
      }),
    ],
    routes: [
      route('10.254.0.0/24', { device: 'cni0' }),
      route('10.0.0.0/8', { device: 'cni0', via: '10.254.0.2' }),
      route('192.168.0.0/24', { device: 'eth0' }),
      route('192.168.1.0/24', { device: 'eth0' }),
      route('192.168.99.0/24', { device: 'eth0' }),
      route('0.0.0.0/0', { device: 'eth0', via: '192.168.0.1' }),
      route('fd00:254::/64', { device: 'cni0' }),
      route('fd00:10::/32', { device: 'cni0', via: 'fd00:254::2' }),
      route('2001:db8::/64', { device: 'eth0' }),
      route('2001:db8:1::/64', { device: 'eth0' }),
      route('::/0', { device: 'eth0', via: '2001:db8::ffff' }),
    ],
    neighbors: [
      ['10.254.0.2', 'cni0', routerMac(0)],
      ['fd00:254::2', 'cni0', routerMac(0)],
      ['192.168.0.1', 'eth0', routerMac(1)],
      ['2001:db8::ffff', 'eth0', routerMac(1)],
      ...NEIGHBORS,
    ],
    sysctls: {
      'net.ipv4.ip_forward': '1',
      'net.ipv6.conf.all.forwarding': '1',
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.conf.default.rp_filter': '0',
      'net.ipv4.conf.all.send_redirects': '0',
      'net.ipv4.conf.default.send_redirects': '0',
    },
    extend: render,
  });
}

/** The first packet of a flow's connection with this source port, on the wire. */
function opening(flow: Flow, sport: number): FrameShot {
  const index = /^(10\.|fd00:10:)/.test(flow.sourceIP) ? 0 : 1;
  const made = { TCP: tcp().syn(), UDP: udp().payload(8), SCTP: sctp().chunks(sctpInit(sport)) };
  const frame = made[flow.protocol]
    .from(flow.sourceIP, sport)
    .to(flow.destIP, flow.destPort)
    .frame({ srcMac: routerMac(index), dstMac: macOf(index) });
  return { kind: 'frame', device: DEVICES[index] ?? 'eth0', frame };
}

/** Flows that begin outside of the node; those of its own processes never arrive as frames. */
function arriving(c: Case): readonly Flow[] {
  const own = new Set(c.node.localIPs);
  return (c.flows ?? []).filter((flow) => !own.has(flow.sourceIP));
}

interface Tried {
  readonly packets: number;
  readonly rules: number;
  readonly met: number;
  readonly outcome: 'equal' | readonly string[];
}

function listing(family: Family): readonly string[] {
  return ['conntrack', '-L', '-f', family === 4 ? 'ipv4' : 'ipv6', '-o', 'extended'];
}

/** Flows, then packets made for the rules, as many again; a third of these answers what came out. */
async function tryPlan(
  agent: Agent,
  plan: Plan,
  backend: Backend,
  openings: readonly FrameShot[],
  families: readonly Family[],
): Promise<Tried> {
  await agent.build(buildSteps(plan, backend));
  const ports = portsOf(plan);
  const traffics = families.map((family, i) => {
    const tables = plan.tables.filter((table) => table.family === family);
    return new DumpTraffic(new Draw(i + 1), { ...plan, tables }, family);
  });
  const lines: string[] = [];
  const sent: SentFrame[] = [];
  const began = process.hrtime.bigint();
  let zero: number | null = null;
  for (let i = 0; i < openings.length * 2 + 60; i++) {
    const traffic = traffics[i % traffics.length];
    const shot = openings[i] ?? (traffic && fromElsewhere(traffic, plan));
    if (shot === undefined) break;
    const hex = Buffer.from(shot.frame).toString('hex');
    const burst = await agent.timedBurst([[ports.indexOf(shot.device), 0, 0, hex]]);
    zero ??= burst.began;
    const heard = burst.heard.map(([port, , bytes]) => {
      return { device: ports[port] ?? '', frame: Uint8Array.from(Buffer.from(bytes, 'hex')) };
    });
    for (const one of traffics) one.heard(heard);
    lines.push(...heard.flatMap(({ device, frame }) => comparable(device, frame) ?? []));
    const listed = await agent.run(families.map(listing));
    const connections = readConnections(listed.map(({ out }) => out).join(''));
    sent.push({ shot, seconds: burst.began - zero, connections });
  }
  const reading = await readHost(agent, plan, backend);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const kernel: Answer = { bursts: [lines], reading, seconds };
  const engine = new DumpEngine(plan);
  for (const one of sent) engine.take(one);
  const trial = { name: plan.host, backend, plan, shots: sent.map(({ shot }) => shot) };
  const found = difference(trial, comparably(engine.answer(seconds)), comparably(kernel));
  const unknown = [...engine.unknown].map(([reason, n]) => `${n} unknown: ${reason}`);
  const hidden = engine.hidden === 0 ? [] : [`${engine.hidden} choices were not to be seen`];
  const all = [...(found?.lines ?? []), ...unknown, ...hidden];
  const counts = [...reading.counters.values()];
  return {
    packets: sent.length,
    rules: counts.length,
    met: counts.filter((count) => count !== '0:0').length,
    outcome: all.length === 0 ? 'equal' : all,
  };
}

/**
 * A packet made for the rules that does not claim to come from the node itself: such a martian is
 * dropped behind the draw, whose outcome then nothing shows.
 */
function fromElsewhere(traffic: DumpTraffic, plan: Plan): FrameShot {
  const own = new Set(
    plan.interfaces.flatMap((i) => i.addresses.map((a) => formatAddress(a.address))),
  );
  for (;;) {
    const shot = traffic.next();
    if (!own.has(formatAddress(parsed(shot.frame).src))) return shot;
  }
}

/** Without the one rule that counts what an IPv6 host says of its own accord (MLD). */
function comparably(answer: Answer): Answer {
  const counters = [...answer.reading.counters].filter(([k]) => k !== '6 filter/OUTPUT rule 1');
  return { ...answer, reading: { ...answer.reading, counters: new Map(counters) } };
}

/** The cases whose rules differ most; the others are parts of these. */
const CASES = [
  'overall',
  'no-endpoints-reject',
  'clusterip-general',
  'loadbalancer-source-ranges',
  'etp-local',
  'masq-base',
  'masq-masquerade-all',
  'masq-no-local-detector',
  'nodeports-ipv4-localhost-nodeports-disabled',
  'nodeports-ipv6-localhost-nodeports-enabled',
  'terminating-local-2',
];

t.test(
  'rendered Services do in our engine what they do in the kernel',
  { skip: missing ?? needsSuite.skip },
  async (t: Test) => {
    const agent = new Agent();
    t.teardown(() => agent.close());
    const cases = readCases().filter((c) => CASES.includes(c.id));
    t.equal(cases.length, CASES.length);
    for (const [i, c] of cases.entries()) {
      const backend = i % 2 === 0 ? 'legacy' : 'nft';
      const plan = nodeWith((builder) => renderKubeProxy(builder, proxyInput(c)));
      const openings = arriving(c).flatMap((flow, n) =>
        [0, 1, 2].map((k) => opening(flow, 20_000 + n * 10 + k)),
      );
      const tried = await tryPlan(agent, plan, backend, openings, [familyOf(c)]);
      const { packets, met, rules } = tried;
      t.strictSame(tried.outcome, 'equal', `${c.id} (${backend})`);
      t.comment(`${c.id} (${backend}): ${packets} packets met ${met} of ${rules} rules`);
    }
  },
);

function service(name: string, ip: string, ports: string, spec = ''): string {
  return `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}}
spec:\n  clusterIP: ${ip.split(', ')[0]}\n  clusterIPs: [${ip}]\n  ipFamilyPolicy: PreferDualStack\n  ports: [${ports}]\n${spec}`;
}

function slice(
  service: string,
  ports: string,
  family: 4 | 6,
  endpoints: readonly string[],
): string {
  return `---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice
metadata: {name: ${service}-${family}, labels: {kubernetes.io/service-name: ${service}}}
addressType: IPv${family}\nports: [${ports}]
endpoints:\n${endpoints.map((e) => `- {${e}}\n`).join('')}`;
}

const MANY4 = [1, 2, 3, 4, 5].map((n) => `addresses: [10.180.0.${n}]`);
const MANY6 = [1, 2, 3].map((n) => `addresses: ["fd00:10:180::${n}"]`);

/** Affinity, three protocols, hairpins, both families: what the suite has little of. */
const MIXED = [
  '---\napiVersion: v1\nkind: Node\nmetadata: {name: test-node}\nstatus: {addresses: [',
  '{type: InternalIP, address: 192.168.0.2}, {type: InternalIP, address: "2001:db8::1"}]}\n',
  '---\napiVersion: wiretrial/v1\nkind: Wiring\nnetworkPlugin: none\n',
  'serviceCidrs: [172.30.0.0/16, "fd00:172::/112"]\npodCidrs: [10.0.0.0/8, "fd00:10::/32"]\n',
  '---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n',
  'clusterCIDR: "10.0.0.0/8,fd00:10::/32"\n',
  service(
    'sticky',
    '172.30.0.1, "fd00:172::1"',
    '{name: a, port: 80, nodePort: 30001}, {name: b, port: 53, protocol: UDP, nodePort: 30001}',
    '  type: NodePort\n  sessionAffinity: ClientIP\n',
  ),
  slice('sticky', '{name: a, port: 8080}, {name: b, port: 5353, protocol: UDP}', 4, MANY4),
  slice('sticky', '{name: a, port: 8080}, {name: b, port: 5353, protocol: UDP}', 6, MANY6),
  service('signal', '172.30.0.2, "fd00:172::2"', '{port: 5000, protocol: SCTP}'),
  slice('signal', '{name: "", port: 5001, protocol: SCTP}', 4, MANY4.slice(0, 2)),
  service(
    'front',
    '172.30.0.3',
    '{port: 443, nodePort: 30003}',
    [
      '  type: LoadBalancer\n  externalTrafficPolicy: Local\n  internalTrafficPolicy: Local\n',
      '  externalIPs: [192.168.99.44]\n  loadBalancerSourceRanges: [203.0.113.0/24, 192.168.0.0/24]\n',
      'status: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}\n',
    ].join(''),
  ),
  slice('front', '{name: "", port: 8443}', 4, [
    'addresses: [10.180.0.9], nodeName: test-node',
    'addresses: [10.180.0.8], nodeName: other',
  ]),
].join('');

const FLOWS: readonly (readonly [Flow['protocol'], string, string, number])[] = [
  ['TCP', '10.0.0.2', '172.30.0.1', 80],
  ['TCP', '203.0.113.2', '172.30.0.1', 80],
  ['TCP', '203.0.113.3', '192.168.0.2', 30_001],
  ['UDP', '203.0.113.3', '192.168.1.2', 30_001],
  ['UDP', '10.0.0.2', '172.30.0.1', 53],
  ['TCP', '10.180.0.2', '172.30.0.1', 80],
  ['TCP', 'fd00:10::2', 'fd00:172::1', 80],
  ['UDP', '2001:db8:2::2', '2001:db8::1', 30_001],
  ['TCP', 'fd00:10:180::1', 'fd00:172::1', 80],
  ['SCTP', '10.0.0.2', '172.30.0.2', 5000],
  ['SCTP', '10.180.0.1', '172.30.0.2', 5000],
  ['SCTP', '2001:db8:2::2', 'fd00:172::2', 5000],
  ['TCP', '10.0.0.2', '172.30.0.3', 443],
  ['TCP', '203.0.113.2', '1.2.3.4', 443],
  ['TCP', '198.51.100.2', '1.2.3.4', 443],
  ['TCP', '10.0.0.2', '1.2.3.4', 443],
  ['TCP', '198.51.100.2', '192.168.99.44', 443],
  ['TCP', '198.51.100.2', '192.168.0.2', 30_003],
];

t.test(
  'affinity, protocols, hairpins and both families, too',
  { skip: missing ?? false },
  async (t) => {
    const agent = new Agent();
    t.teardown(() => agent.close());
    const { cluster } = parseInputs('mixed.yaml', MIXED);
    const { services, endpointSlices, nodes } = cluster;
    const [node] = nodes;
    if (node === undefined) throw new Error('the cluster has a node');
    const settings = proxySettings(cluster, parseStack('azure-transparent+none'));
    const plan = nodeWith((builder) =>
      renderKubeProxy(builder, { services, endpointSlices, node, settings }),
    );
    const openings = FLOWS.flatMap(([protocol, sourceIP, destIP, destPort], n) =>
      [0, 1, 2, 3].map((k) => {
        const flow = { name: '', output: '', masq: false, protocol, sourceIP, destIP, destPort };
        return opening(flow, 20_000 + n * 10 + k);
      }),
    );
    for (const backend of ['legacy', 'nft'] as const) {
      const tried = await tryPlan(agent, plan, backend, openings, [4, 6]);
      t.strictSame(tried.outcome, 'equal', backend);
      t.comment(`${backend}: ${tried.packets} packets met ${tried.met} of ${tried.rules} rules`);
      t.ok(tried.met > 60, 'most rules of these Services were met');
    }
  },
);
