/**
 * Host ports by network: the `portmap` plugin's rules as its source writes them, and who gets
 * through them with whose address.
 *
 * Expectations are by hand from containernetworking/plugins v1.5.1 `plugins/meta/portmap`; the
 * lists of plugins from azure-container-networking `cni/azure-linux.conflist`, AgentBaker's
 * kubenet template, flannel's and Calico's manifests.
 * @module
 */
import { createHash } from 'node:crypto';
import t from 'tap';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { AzureWalk } from '../fabric/azure-walk.ts';
import { addressOf, type TwoNodes, twoNodeText, WIRINGS } from './two-node-cluster.ts';

function natRules(stack: string, options: TwoNodes, family: 4 | 6 = 4): readonly string[] {
  const { cluster, policies } = parseInputs('c.yaml', twoNodeText(options));
  const { nodes } = renderNetwork({ cluster, policies, stack: parseStack(stack) });
  const [plan] = nodes;
  if (!plan) throw new Error('node-a is rendered');
  const lines = printIptables(plan, family).split('\n');
  const own = lines.filter((line) => /CNI-|HOSTPORT/.test(line) && line.startsWith('-A'));
  return own.map((line) =>
    line.replace(/[0-9a-f]{64}/, 'ID').replace(/CNI-DN-[0-9a-f]{21}/g, 'CNI-DN-X'),
  );
}

const ENTRY = (name: string) => [
  `-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"${name}\\" id: \\"ID\\"" -m multiport --dports 8080 -j CNI-DN-X`,
  `-A CNI-HOSTPORT-DNAT -p udp -m comment --comment "dnat name: \\"${name}\\" id: \\"ID\\"" -m multiport --dports 5353 -j CNI-DN-X`,
];

const OWN_MARK = [
  '-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE',
  '-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
];

const POSTROUTING =
  '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ';
const JUMPS = ['PREROUTING', 'OUTPUT'].map(
  (hook) => `-A ${hook} -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT`,
);

function ports(range: string, mark: string, pod: string): readonly string[] {
  return (['tcp 8080', 'udp 5353'] as const).flatMap((one) => {
    const [protocol, port] = one.split(' ');
    const head = (source: string) =>
      `-A CNI-DN-X${source} -p ${protocol} -m ${protocol} --dport ${port}`;
    const local = range.includes(':') ? [] : [`${head(' -s 127.0.0.1/32')} -j ${mark}`];
    const to = pod.includes(':') ? `[${pod}]:80` : `${pod}:80`;
    return [
      `${head(` -s ${range}`)} -j ${mark}`,
      ...local,
      `${head('')} -j DNAT --to-destination ${to}`,
    ];
  });
}

const SETMARK = 'CNI-HOSTPORT-SETMARK';

const SUBNETS: TwoNodes = { wiring: WIRINGS.podSubnet, single: true, pods: 'subnet' };

t.test('the plugin’s rules on each network', async (t) => {
  const rows: readonly (readonly [string, TwoNodes, string, string, string])[] = [
    ['azure-overlay+none', { wiring: WIRINGS.overlay }, 'azure', '10.244.0.0/16', SETMARK],
    ['azure-transparent+none', SUBNETS, 'azure', '10.225.0.0/24', SETMARK],
    ['azure-bridge+none', SUBNETS, 'azure', '10.225.0.0/24', SETMARK],
    ['azure-podsubnet+none', SUBNETS, 'azure', '10.225.0.0/24', SETMARK],
    ['kubenet+none', { wiring: WIRINGS.kubenet }, 'kubenet', '10.244.0.0/24', 'KUBE-MARK-MASQ'],
    ['kubenet+calico', { wiring: WIRINGS.kubenet }, 'k8s-pod-network', '10.244.0.10/32', SETMARK],
    ['byo+none,cni=flannel', { wiring: WIRINGS.byo }, 'cbr0', '10.244.0.0/24', SETMARK],
    ['byo+none,cni=kindnet', { wiring: WIRINGS.byo }, 'kindnet', '10.244.0.0/24', SETMARK],
    ['byo+calico', { wiring: WIRINGS.byo }, 'k8s-pod-network', '10.244.0.10/32', SETMARK],
  ];
  for (const [stack, options, name, range, mark] of rows) {
    const got = natRules(stack, { ...options, hostPorts: true });
    const own = mark === SETMARK ? [...OWN_MARK, POSTROUTING] : [];
    const pod = addressOf('a1', 4, options.pods);
    const want = [...JUMPS, ...own, ...ENTRY(name), ...ports(range, mark, pod)];
    t.strictSame(got.toSorted(), want.toSorted(), stack);
  }
  const six = natRules('azure-overlay+none', { wiring: WIRINGS.overlay, hostPorts: true }, 6);
  t.strictSame(
    six.toSorted(),
    [
      ...JUMPS,
      ...OWN_MARK,
      POSTROUTING,
      ...ENTRY('azure'),
      ...ports('fd12:3456:789a::/64', SETMARK, 'fd12:3456:789a::10'),
    ].toSorted(),
    'IPv6',
  );
  t.strictSame(natRules('azure-overlay+none', { wiring: WIRINGS.overlay }), [], 'no host port');
});

t.test('a chain is named by the network and the sandbox', async (t) => {
  const { cluster, policies } = parseInputs('c.yaml', twoNodeText({ hostPorts: true }));
  const stack = parseStack('azure-transparent+none');
  const [plan] = renderNetwork({ cluster, policies, stack }).nodes;
  const nat = plan?.tables.find((x) => x.family === 4 && x.name === 'nat');
  const entry = nat?.chains.find((c) => c.name === 'CNI-HOSTPORT-DNAT')?.rules[0];
  const comment = entry?.matches.find((m) => m.kind === 'comment');
  const id = /id: "(\w+)"/.exec(comment?.kind === 'comment' ? comment.text : '')?.[1] ?? '';
  const digest = createHash('sha512').update(`azure${id}`).digest('hex');
  t.equal(
    entry?.target.kind === 'jump' ? entry.target.chain : '',
    `CNI-DN-${digest}`.slice(0, 28),
    'utils.go formatChainName: prefix and digest, cut to 28',
  );
});

t.test(
  'order: kube-proxy’s Services before host ports, the mark before kube-proxy’s',
  async (t) => {
    const { cluster, policies } = parseInputs('c.yaml', twoNodeText({ hostPorts: true }));
    const stack = parseStack('azure-transparent+none');
    const [plan] = renderNetwork({ cluster, policies, stack }).nodes;
    const targets = (hook: string) =>
      plan?.tables
        .find((x) => x.family === 4 && x.name === 'nat')
        ?.chains.find((c) => c.name === hook)
        ?.rules.map((r) => (r.target.kind === 'jump' ? r.target.chain : r.target.kind));
    t.strictSame(targets('PREROUTING'), ['KUBE-SERVICES', 'CNI-HOSTPORT-DNAT']);
    t.strictSame(targets('POSTROUTING')?.slice(0, 2), ['CNI-HOSTPORT-MASQ', 'KUBE-POSTROUTING']);
  },
);

t.test('who reaches a pod by its host port, and with whose address', async (t) => {
  const text = twoNodeText({ wiring: WIRINGS.overlay, single: true, hostPorts: true }).replace(
    ', IPv6]',
    ']',
  );
  const walk = new AzureWalk([text], { stack: 'azure-overlay+none' });
  const [node, other] = [addressOf('node-a'), addressOf('node-b')];
  const a1 = '10.244.0.10:80';
  t.equal(
    walk.syn('node-b', `${other}:5000`, `${node}:8080`),
    `delivered default/a1 ${other}:5000 > ${a1}`,
  );
  t.equal(
    walk.syn('default/b1', '10.244.1.10:5001', `${node}:8080`),
    `delivered default/a1 ${other}:5001 > ${a1}`,
    'a pod of another node comes with its node’s address',
  );
  t.equal(
    walk.syn('default/a2', '10.244.0.11:5002', `${node}:8080`),
    `delivered default/a1 ${node}:5002 > ${a1}`,
    'a pod of the range is hidden, so that the answer comes back here',
  );
  t.equal(
    walk.syn('default/a1', '10.244.0.10:5003', `${node}:8080`),
    `delivered default/a1 ${node}:5003 > ${a1}`,
    'itself',
  );
  t.equal(
    walk.syn('node-a', '127.0.0.1:5004', '127.0.0.1:8080'),
    `delivered default/a1 ${node}:5004 > ${a1}`,
    'from localhost',
  );
  t.match(walk.syn('node-b', `${other}:5005`, `${node}:8081`), `delivered node-a ${other}:5005`);
});

t.test('a host port on one address of the node', async (t) => {
  const text = twoNodeText({ single: true, hostPorts: true }).replace(
    'hostPort: 8080}',
    'hostPort: 8080, hostIP: 10.224.0.4}',
  );
  const { cluster, policies } = parseInputs('c.yaml', text);
  const stack = parseStack('azure-transparent+none');
  const [plan] = renderNetwork({ cluster, policies, stack }).nodes;
  if (!plan) throw new Error('node-a is rendered');
  const lines = printIptables(plan, 4).split('\n');
  const own = lines.filter((l) => /CNI-DN-\S+ .*-p tcp.*DNAT/.test(l));
  t.match(own, [/-d 10\.224\.0\.4\/32 -p tcp -m tcp --dport 8080 -j DNAT/]);
});
