/**
 * Every documented kind of difference, found and named by the command: a cluster, one opening, two
 * stacks; the verdict of each, the sentence and its source.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DOCUMENTED } from '../../src/lab/compare/difference-class.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';
import { forEachRow, wiretrial, writeCapture } from '../support/command.ts';
import { icmpEcho, type PacketBuilder, sctp, sctpInit, tcp } from '../support/packets.ts';

// One run of the command for each kind.
t.setTimeout(240_000);

const CLIENT = '10.240.0.7';
const API = '10.240.0.36';
const NODE_A = '10.240.0.4';
const NODE_B = '10.240.0.35';
const OUTSIDE = '203.0.113.9';
const BALANCED = '10.240.0.200';
const SHARED_ADDRESS = '10.240.0.201';
const OPEN_ADDRESS = '10.240.0.202';

function service(name: string, clusterIp: string, spec: string): string {
  return `apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { clusterIP: ${clusterIp}, ${spec} }
`;
}

const API_SERVICE = service(
  'api',
  '10.0.10.1',
  `type: LoadBalancer, selector: { tier: api }, ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }] }
status: { loadBalancer: { ingress: [{ ip: ${BALANCED} }] }`,
);
const WEB_SERVICE = service(
  'web',
  '10.0.10.2',
  'type: NodePort, selector: { tier: web }, ports: [{ port: 80, nodePort: 30081 }]',
);
const LOCAL_SERVICE = service(
  'here',
  '10.0.10.3',
  `type: LoadBalancer, externalTrafficPolicy: Local, selector: { tier: api }, ports: [{ port: 80, targetPort: 8080 }] }
status: { loadBalancer: { ingress: [{ ip: ${SHARED_ADDRESS} }] }`,
);

const DB_SERVICE = service(
  'db',
  '10.0.10.4',
  'selector: { tier: db }, ports: [{ port: 80, targetPort: 5432 }]',
);
const OPEN_SERVICE = service(
  'open',
  '10.0.10.5',
  `type: LoadBalancer, loadBalancerSourceRanges: [0.0.0.0/0], selector: { tier: api }, ports: [{ port: 80, targetPort: 8080 }] }
status: { loadBalancer: { ingress: [{ ip: ${OPEN_ADDRESS} }] }`,
);

function policy(spec: string): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: it, namespace: shop }
spec: ${spec}
`;
}

const SHOP = [TWO_NODES_SHOP, SHOP_POLICIES, API_SERVICE, WEB_SERVICE, LOCAL_SERVICE];

const DUAL = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
virtualNetworks:
  - name: v
    addressPrefixes: [10.240.0.0/16, "fd00:240::/48"]
    subnets: [{ name: s, addressPrefix: 10.240.0.0/24 }, { name: s6, addressPrefix: "fd00:240::/64" }]
---
${['one', 'two']
  .map(
    (name, i) => `apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop }
spec: { nodeName: n, containers: [{ name: c }] }
status: { phase: Running, podIPs: [{ ip: 10.240.0.${20 + i} }, { ip: "fd00:240::${20 + i}" }] }
`,
  )
  .join('---\n')}`;

const NOT_IN = `{ podSelector: { matchLabels: { tier: api } }, ingress: [{ from: [
  { namespaceSelector: { matchExpressions: [{ key: team, operator: NotIn, values: [other, lab] }] } }] }] }`;
const V6_BLOCK =
  '{ podSelector: { matchLabels: { tier: api } }, ingress: [{ from: [{ ipBlock: { cidr: "fd00::/8" } }] }] }';
const NO_EGRESS = '{ podSelector: { matchLabels: { tier: api } }, policyTypes: [Egress] }';

const EGRESS_BY_NAME = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: by-name, namespace: shop }
spec: { podSelector: { matchLabels: { tier: api } }, policyTypes: [Egress],
  egress: [{ ports: [{ port: sql }] }] }
`;

const NO_TEAM = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: out, namespace: other }
spec: { podSelector: {}, policyTypes: [Egress], egress: [{ to: [
  { namespaceSelector: { matchExpressions: [{ key: team, operator: NotIn, values: [shop] }] } }] }] }
`;

const NPM = 'azure-transparent+npm';
const CALICO = 'azure-transparent+calico';
const NONE = 'azure-transparent+none';
const DB = '10.240.0.6';

interface Row {
  readonly id: string;
  readonly documents: readonly string[];
  readonly stacks: readonly [allows: string, refuses: string];
  readonly opening: readonly [from: string, to: string, port: number, protocol?: 'sctp' | 'icmp'];
  readonly source: RegExp;
}

const ROWS: readonly Row[] = [
  {
    id: 'service-hairpin',
    documents: SHOP,
    stacks: [NPM, CALICO],
    opening: [API, '10.0.10.1', 80],
    source: /KUBE-SEP/,
  },
  {
    id: 'lb-nodeport-cluster',
    documents: SHOP,
    stacks: [NPM, CALICO],
    opening: [CLIENT, NODE_B, 30_080],
    source: /#1088/,
  },
  {
    id: 'lb-health-probes',
    documents: SHOP,
    stacks: [NPM, CALICO],
    opening: [OUTSIDE, BALANCED, 80],
    source: /custom-probe/,
  },
  {
    id: 'local-node-egress',
    documents: [...SHOP, policy(NO_EGRESS)],
    stacks: ['azure-bridge+npm', CALICO],
    opening: [API, NODE_B, 10_250],
    source: /#2786/,
  },
  {
    id: 'ipv6-unfiltered',
    documents: [DUAL, policy('{ podSelector: {} }')],
    stacks: [`${NPM},force=true`, `${CALICO},force=true`],
    opening: ['fd00:240::20', 'fd00:240::21', 80],
    source: /dual-stack/,
  },
  {
    id: 'policy-rejected-by-npm',
    documents: [TWO_NODES_SHOP, policy(V6_BLOCK)],
    stacks: [NPM, CALICO],
    opening: [CLIENT, API, 8080],
    source: /translatePolicy/,
  },
  {
    id: 'npm-namespace-negation',
    documents: [TWO_NODES_SHOP, policy(NOT_IN)],
    stacks: [`${NPM},version=1.6.48`, CALICO],
    opening: [CLIENT, API, 8080],
    source: /#4866/,
  },
  {
    id: 'no-policy-engine',
    documents: SHOP,
    stacks: ['azure-transparent+none', CALICO],
    opening: [CLIENT, API, 8080],
    source: /networkPolicy: none/,
  },
  {
    id: 'npm-accepts-past-node-rules',
    documents: SHOP,
    stacks: [NPM, CALICO],
    opening: [CLIENT, '168.63.129.16', 80],
    source: /block_wireserver/,
  },
  {
    id: 'npm-mark-clash',
    documents: SHOP,
    stacks: [CALICO, `${NPM},version=1.4.23,place-first=true`],
    opening: [CLIENT, NODE_A, 30_081],
    source: /#1313/,
  },
  {
    id: 'npm-place-first',
    documents: SHOP,
    stacks: [NPM, `${NPM},place-first=true`],
    opening: [CLIENT, NODE_B, 30_080],
    source: /PlaceAzureChainFirst/,
  },
  {
    id: 'proxy-nftables-no-mark-accept',
    documents: SHOP,
    stacks: [NPM, `${NPM},kube-proxy=nftables`],
    opening: [CLIENT, NODE_B, 30_080],
    source: /nftables\/proxier.go/,
  },
  {
    id: 'proxy-nftables-local-policy',
    documents: [TWO_NODES_SHOP, LOCAL_SERVICE],
    stacks: ['azure-transparent+none', 'azure-transparent+none,kube-proxy=nftables'],
    opening: [NODE_A, SHARED_ADDRESS, 80],
    source: /filter-output/,
  },
  {
    id: 'proxy-ipvs-not-forwarded',
    documents: [...SHOP, DB_SERVICE],
    stacks: [`${NPM},kube-proxy=ipvs`, NPM],
    opening: [CLIENT, '10.0.10.4', 80],
    source: /68055/,
  },
  {
    id: 'proxy-ipvs-bridged',
    documents: SHOP,
    stacks: ['azure-bridge+none', 'azure-bridge+none,kube-proxy=ipvs'],
    opening: [CLIENT, '10.0.10.1', 80],
    source: /br_nf_pre_routing_finish/,
  },
  {
    id: 'proxy-ipvs-hairpin',
    documents: SHOP,
    stacks: ['kubenet+none,kube-proxy=ipvs', 'kubenet+none'],
    opening: [API, '10.0.10.1', 80],
    source: /should_deliver/,
  },
  {
    id: 'proxy-ipvs-open-range',
    documents: [TWO_NODES_SHOP, OPEN_SERVICE],
    stacks: ['azure-transparent+none', 'azure-transparent+none,kube-proxy=ipvs'],
    opening: [CLIENT, OPEN_ADDRESS, 80],
    source: /hash:ip,port,net/,
  },
];

const WINDOWS_ROWS: readonly Row[] = [
  {
    id: 'windows-policy-refused',
    documents: SHOP,
    stacks: [`${NPM},os=windows`, NPM],
    opening: [CLIENT, DB, 5432],
    source: /policy_windows.go/,
  },
  {
    id: 'windows-allowance-refused',
    documents: [TWO_NODES_SHOP, policy(NO_EGRESS), EGRESS_BY_NAME],
    stacks: [NPM, `${NPM},os=windows`],
    opening: [API, DB, 5432],
    source: /used on windows/,
  },
  {
    id: 'windows-negation-lost',
    documents: [TWO_NODES_SHOP, NO_TEAM],
    stacks: [`${NPM},os=windows`, NPM],
    opening: [CLIENT, API, 8080],
    source: /SrcList only/,
  },
  {
    id: 'windows-rule-left-out',
    documents: SHOP,
    stacks: [CALICO, `${CALICO},os=windows`],
    opening: [API, DB, 5432],
    source: /protoRuleToHnsRules/,
  },
  {
    id: 'windows-node-let-in',
    documents: SHOP,
    stacks: [`${CALICO},os=windows`, CALICO],
    opening: [CLIENT, NODE_B, 30_080],
    source: /#1881/,
  },
  {
    id: 'windows-egress-at-port',
    documents: [TWO_NODES_SHOP, policy(NO_EGRESS)],
    stacks: [NPM, `${NPM},os=windows`],
    opening: [API, NODE_B, 9100],
    source: /chain-management_linux.go/,
  },
  {
    id: 'windows-node-services',
    documents: SHOP,
    stacks: [NONE, `${NONE},os=windows`],
    opening: [NODE_A, '10.0.10.1', 80],
    source: /service IP/,
  },
  {
    id: 'windows-icmp-outbound',
    documents: SHOP,
    stacks: [NONE, `${NONE},os=windows`],
    opening: [CLIENT, '198.51.100.9', 0, 'icmp'],
    source: /transpositions/,
  },
  {
    id: 'windows-protocols',
    documents: SHOP,
    stacks: [NONE, `${NONE},os=windows`],
    opening: [CLIENT, API, 5000, 'sctp'],
    source: /Network isolation/,
  },
];

t.test('every kind is found and named by the command', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'wiretrial-classes-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  const rows = [...ROWS, ...WINDOWS_ROWS];
  t.strictSame(rows.map((r) => r.id).sort(), DOCUMENTED.map((d) => d.id).sort());
  await forEachRow(rows, async ({ id, documents, stacks, opening, source }) => {
    const cluster = join(path, `${id}.yaml`);
    const capture = join(path, `${id}.pcap`);
    const [from, to, port, protocol] = opening;
    writeFileSync(cluster, documents.join('---\n'));
    const ends = (packet: PacketBuilder) => packet.from(from, 40_000).to(to, port);
    const first =
      protocol === 'icmp'
        ? icmpEcho().from(from).to(to)
        : protocol === 'sctp'
          ? ends(sctp()).chunks(sctpInit(1))
          : ends(tcp()).syn();
    await writeCapture(capture, [first]);
    const asked = stacks.flatMap((stack) => ['--stack', stack]);
    const ran = await wiretrial(['compare', '-f', cluster, '-r', capture, ...asked, '-o', 'json']);
    t.equal(ran.status, 0, `${id}: ${ran.stderr}`);
    const result = JSON.parse(ran.stdout || '{}');
    t.match(result.counts, { connections: 1, disagree: 1 }, id);
    const [allows, refuses] = stacks;
    t.match(result.differences, [{ class: id, verdicts: { [allows]: 'allowed' } }], id);
    t.not(result.differences?.[0]?.verdicts[refuses], 'allowed', `${id}: ${refuses}`);
    t.match(result.classes, [{ class: id, connections: 1, explanation: /\w+ \w+/, source }], id);
  });
});
