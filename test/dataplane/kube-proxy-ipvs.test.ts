/**
 * kube-proxy in IPVS mode: what it writes on a node, line by line. The lines are those that
 * kubernetes v1.30.5 pkg/proxy/ipvs/proxier.go writes for these objects, worked out by hand from
 * its source; no node in this mode was at hand.
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { printIpsets } from '../../src/plan/ipset/text.ts';
import type { Plan } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { printVirtualServers } from '../../src/plan/virtual-server-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatPrefix } from '../../src/wire/address/address.ts';
import { TWO_NODES_SHOP } from '../support/clusters.ts';

function service(name: string, spec: string, status = ''): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: ${spec}
${status}
`;
}

const WEB = `selector: { tier: web }`;
const PORTS = 'ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }]';
const SERVICES = [
  service(
    'web',
    `{ type: NodePort, clusterIP: 10.0.0.10, ${WEB}, ${PORTS}, externalIPs: [198.51.100.7] }`,
  ),
  service(
    'sticky',
    `{ clusterIP: 10.0.0.11, ${WEB}, sessionAffinity: ClientIP, ports: [{ port: 53, targetPort: 53, protocol: UDP }] }`,
  ),
  service('nobody', '{ clusterIP: 10.0.0.12, selector: { tier: none }, ports: [{ port: 80 }] }'),
  service(
    'front',
    `{ type: LoadBalancer, clusterIP: 10.0.0.13, externalTrafficPolicy: Local, healthCheckNodePort: 31000,
  loadBalancerSourceRanges: [203.0.113.0/24, 10.240.0.0/27], ${WEB}, ports: [{ port: 443, targetPort: 8443, nodePort: 30443 }] }`,
    'status: { loadBalancer: { ingress: [{ ip: 20.1.2.3 }] } }',
  ),
  service(
    'closed',
    `{ type: LoadBalancer, clusterIP: 10.0.0.14, loadBalancerSourceRanges: [203.0.113.0/24], ${WEB},
  ports: [{ port: 25, targetPort: 25, nodePort: 30025 }] }`,
    'status: { loadBalancer: { ingress: [{ ip: 20.1.2.4 }] } }',
  ),
].join('');

function nodePlan(stack: string, more = '', node = 0): Plan {
  const { cluster, policies } = parseInputs('shop.yaml', `${TWO_NODES_SHOP}${SERVICES}${more}`);
  const { network } = new World({ cluster, policies, stack: parseStack(stack) });
  const plan = network.nodes[node];
  if (plan === undefined) throw new Error('a node');
  return plan;
}

const IPVS = 'azure-transparent+none,kube-proxy=ipvs';

function config(more: string): string {
  return `---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
clusterCIDR: 10.240.0.0/16
${more}
`;
}

t.test('virtual servers and their real servers', async (t) => {
  const own = ['10.240.0.5'];
  // kube-proxy's order is chance; ours is that of the text.
  const both = ['10.240.0.37', ...own];
  const server = (head: string, real: readonly string[], port: number) => [
    `-A ${head}`,
    ...real.map((ip) => `-a ${head.split(' -s')[0]} -r ${ip}:${port} -m -w 1`),
  ];
  t.strictSame(printVirtualServers(nodePlan(IPVS)).trimEnd().split('\n'), [
    ...server('-t 10.0.0.10:80 -s rr', both, 8080),
    ...server('-t 198.51.100.7:80 -s rr', both, 8080),
    ...server('-t 10.240.0.4:30080 -s rr', both, 8080),
    ...server('-u 10.0.0.11:53 -s rr -p 10800', both, 53),
    '-A -t 10.0.0.12:80 -s rr',
    ...server('-t 10.0.0.13:443 -s rr', both, 8443),
    ...server('-t 20.1.2.3:443 -s rr', own, 8443),
    ...server('-t 10.240.0.4:30443 -s rr', own, 8443),
    ...server('-t 10.0.0.14:25 -s rr', both, 25),
    ...server('-t 20.1.2.4:25 -s rr', both, 25),
    ...server('-t 10.240.0.4:30025 -s rr', both, 25),
  ]);
});

t.test('the dummy device has the addresses that are nobody else’s', async (t) => {
  const { interfaces, evidence, sysctls } = nodePlan(IPVS);
  const device = interfaces.find(({ name }) => name === 'kube-ipvs0');
  t.match(device, { kind: 'dummy', up: false, mtu: 1500 });
  t.strictSame(device?.addresses.map(formatPrefix), [
    ...['10.0.0.10/32', '198.51.100.7/32', '10.0.0.11/32', '10.0.0.12/32', '10.0.0.13/32'],
    ...['20.1.2.3/32', '10.0.0.14/32', '20.1.2.4/32'],
  ]);
  t.equal(evidence, 'source', 'no kernel and no dump stands behind it');
  t.match(sysctls, {
    'net.ipv4.vs.conntrack': '1',
    'net.ipv4.vs.expire_nodest_conn': '1',
    'net.ipv4.vs.expire_quiescent_template': '1',
    'net.ipv4.ip_forward': '1',
  });
  t.notOk('net.ipv4.vs.conn_reuse_mode' in sysctls, 'since 5.9 it is left as it is');
  t.notOk('net.ipv4.conf.all.route_localnet' in sysctls, 'localhost has no node ports');
});

t.test('sets', async (t) => {
  const members = new Map<string, string[]>();
  for (const line of printIpsets(nodePlan(IPVS)).trimEnd().split('\n')) {
    const [command, name = '', ...rest] = line.split(' ');
    if (command === 'create') members.set(name, []);
    else members.get(name)?.push(rest.join(' '));
  }
  const filled = [...members].filter(([, list]) => list.length > 0);
  t.strictSame(Object.fromEntries(filled), {
    'KUBE-LOOP-BACK': [
      '10.240.0.5,tcp:8080,10.240.0.5',
      '10.240.0.5,udp:53,10.240.0.5',
      '10.240.0.5,tcp:8443,10.240.0.5',
      '10.240.0.5,tcp:25,10.240.0.5',
    ],
    'KUBE-CLUSTER-IP': [
      ...['10.0.0.10,tcp:80', '10.0.0.11,udp:53', '10.0.0.12,tcp:80', '10.0.0.13,tcp:443'],
      '10.0.0.14,tcp:25',
    ],
    'KUBE-EXTERNAL-IP': ['198.51.100.7,tcp:80'],
    'KUBE-LOAD-BALANCER': ['20.1.2.3,tcp:443', '20.1.2.4,tcp:25'],
    'KUBE-LOAD-BALANCER-FW': ['20.1.2.3,tcp:443', '20.1.2.4,tcp:25'],
    'KUBE-LOAD-BALANCER-LOCAL': ['20.1.2.3,tcp:443'],
    'KUBE-LOAD-BALANCER-SOURCE-IP': ['20.1.2.3,tcp:443,20.1.2.3'],
    'KUBE-LOAD-BALANCER-SOURCE-CIDR': [
      ...['20.1.2.3,tcp:443,203.0.113.0/24', '20.1.2.3,tcp:443,10.240.0.0/27'],
      '20.1.2.4,tcp:25,203.0.113.0/24',
    ],
    'KUBE-NODE-PORT-TCP': ['30080', '30443', '30025'],
    'KUBE-NODE-PORT-LOCAL-TCP': ['30443'],
    'KUBE-HEALTH-CHECK-NODE-PORT': ['31000'],
    'KUBE-IPVS-IPS': [
      ...['10.0.0.10', '198.51.100.7', '10.0.0.11', '10.0.0.12', '10.0.0.13', '20.1.2.3'],
      ...['10.0.0.14', '20.1.2.4'],
    ],
  });
  t.equal(members.size, 34, 'seventeen of each family');
  t.ok(members.has('KUBE-6-LOAD-BALANCER-SOURCE-CID'), 'names have at most 31 characters');
});

function chainsOf(plan: Plan): Readonly<Record<string, readonly string[]>> {
  const found: Record<string, string[]> = {};
  for (const line of printIptables(plan, 4).split('\n')) {
    const m = /^-A (KUBE-\S+) (.*)$/.exec(line);
    const text = m?.[2]?.replace(/-m comment --comment "[^"]*" ?/, '') ?? '';
    if (m?.[1]) found[m[1]] = [...(found[m[1]] ?? []), text];
  }
  return found;
}

const set = (name: string, directions: string) => `-m set --match-set KUBE-${name} ${directions}`;

t.test('rules', async (t) => {
  const service = 'dst,dst';
  const external = set('EXTERNAL-IP', service);
  t.strictSame(chainsOf(nodePlan(IPVS)), {
    'KUBE-LOAD-BALANCER': [`${set('LOAD-BALANCER-LOCAL', service)} -j RETURN`, '-j KUBE-MARK-MASQ'],
    'KUBE-MARK-MASQ': ['-j MARK --set-xmark 0x4000/0x4000'],
    'KUBE-NODE-PORT': [
      `-p tcp ${set('NODE-PORT-LOCAL-TCP', 'dst')} -j RETURN`,
      `-p tcp ${set('NODE-PORT-TCP', 'dst')} -j KUBE-MARK-MASQ`,
      `${set('HEALTH-CHECK-NODE-PORT', 'dst')} -j ACCEPT`,
    ],
    'KUBE-POSTROUTING': [
      `${set('LOOP-BACK', 'dst,dst,src')} -j MASQUERADE`,
      '-m mark ! --mark 0x4000/0x4000 -j RETURN',
      '-j MARK --set-xmark 0x4000/0x0',
      '-j MASQUERADE --random-fully',
    ],
    'KUBE-SERVICES': [
      '-s 127.0.0.0/8 -j RETURN',
      `${set('LOAD-BALANCER', service)} -j KUBE-LOAD-BALANCER`,
      `! -i azv+ ${set('CLUSTER-IP', service)} -j KUBE-MARK-MASQ`,
      `${external} -j KUBE-MARK-MASQ`,
      `${external} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT`,
      `${external} -m addrtype --dst-type LOCAL -j ACCEPT`,
      '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
      `${set('CLUSTER-IP', service)} -j ACCEPT`,
      `${set('LOAD-BALANCER', service)} -j ACCEPT`,
    ],
    'KUBE-FIREWALL': [
      '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
    ],
    'KUBE-FORWARD': [
      '-m mark --mark 0x4000/0x4000 -j ACCEPT',
      '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ],
    'KUBE-IPVS-FILTER': [
      ...['LOAD-BALANCER', 'CLUSTER-IP', 'EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'].map(
        (name) => `${set(name, service)} -j RETURN`,
      ),
      `${set('HEALTH-CHECK-NODE-PORT', 'dst')} -j RETURN`,
      `-m conntrack --ctstate NEW ${set('IPVS-IPS', 'dst')} -j REJECT --reject-with icmp-port-unreachable`,
    ],
    'KUBE-IPVS-OUT-FILTER': [
      '-s 20.1.2.4/32 -m ipvs --vproto 6 --vaddr 20.1.2.4 --vport 25 -j DROP',
    ],
    'KUBE-PROXY-FIREWALL': [`${set('LOAD-BALANCER-FW', service)} -j KUBE-SOURCE-RANGES-FIREWALL`],
    'KUBE-SOURCE-RANGES-FIREWALL': [
      `${set('LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src')} -j RETURN`,
      `${set('LOAD-BALANCER-SOURCE-IP', 'dst,dst,src')} -j RETURN`,
      '-j DROP',
    ],
  });
});

t.test('built-in chains, the last ensured jump first', async (t) => {
  const text = printIptables(nodePlan(IPVS), 4);
  const jumps = (chain: string) =>
    [...text.matchAll(new RegExp(`^-A ${chain} .*-j (KUBE-\\S+)$`, 'gm'))].map((m) => m[1]);
  t.strictSame(jumps('INPUT'), [
    ...['KUBE-IPVS-FILTER', 'KUBE-PROXY-FIREWALL', 'KUBE-NODE-PORT', 'KUBE-FIREWALL'],
  ]);
  t.strictSame(jumps('FORWARD'), ['KUBE-PROXY-FIREWALL', 'KUBE-FORWARD']);
  t.strictSame(jumps('OUTPUT'), ['KUBE-SERVICES', 'KUBE-IPVS-OUT-FILTER', 'KUBE-FIREWALL']);
});

t.test('a KubeProxyConfiguration decides', async (t) => {
  const settings =
    'iptables: {masqueradeAll: true}\n' +
    'ipvs: {scheduler: mh, strictARP: true, tcpTimeout: 10m, udpTimeout: 30s, excludeCIDRs: [10.9.0.0/16]}';
  const plan = nodePlan('azure-transparent+none', config(settings));
  const lines = printVirtualServers(plan).split('\n');
  t.equal(lines[0], '# Timeout (tcp tcpfin udp): 600 120 30');
  t.equal(lines[1], '-A -t 10.0.0.10:80 -s mh -b mh-port', 'its hash counts ports');
  t.match(plan.sysctls, {
    'net.ipv4.conf.all.arp_ignore': '1',
    'net.ipv4.conf.all.arp_announce': '2',
  });
  t.ok(
    chainsOf(plan)['KUBE-SERVICES']?.includes(`${set('CLUSTER-IP', 'dst,dst')} -j KUBE-MARK-MASQ`),
  );
  const detected = nodePlan('azure-transparent+none', config(''));
  t.ok(
    chainsOf(detected)['KUBE-SERVICES']?.includes(
      `! -s 10.240.0.0/16 ${set('CLUSTER-IP', 'dst,dst')} -j KUBE-MARK-MASQ`,
    ),
  );
  const none = config('').replace('clusterCIDR: 10.240.0.0/16\n', '');
  t.ok(
    chainsOf(nodePlan('azure-transparent+none', none))['KUBE-SERVICES']?.includes(
      `${set('CLUSTER-IP', 'src,dst')} -j KUBE-MARK-MASQ`,
    ),
    'without a detector: what has a Service as source is the node itself',
  );
  t.equal(nodePlan('azure-transparent+none,kube-proxy=iptables', none).virtualServers, undefined);
});

t.test('node ports answer on the addresses that are asked for', async (t) => {
  const plan = nodePlan('azure-transparent+none', config('nodePortAddresses: [192.0.2.0/24]'));
  t.notMatch(printVirtualServers(plan), /30080/, 'on none here');
  const some = nodePlan('azure-transparent+none', config('nodePortAddresses: [10.240.0.0/16]'));
  t.match(printVirtualServers(some), /-A -t 10\.240\.0\.4:30080/);
});

t.test('older kernels are told not to reuse connections', async (t) => {
  const old = TWO_NODES_SHOP.replace(
    'addresses: [{type: InternalIP, address: 10.240.0.4}]',
    'addresses: [{type: InternalIP, address: 10.240.0.4}], nodeInfo: {kernelVersion: 5.4.0-1109-azure}',
  );
  const { cluster, policies } = parseInputs('shop.yaml', `${old}${SERVICES}`);
  const { network } = new World({ cluster, policies, stack: parseStack(IPVS) });
  t.equal(network.nodes[0]?.sysctls['net.ipv4.vs.conn_reuse_mode'], '0');
});

t.test('what Felix would do beside it is not known, and refused', async (t) => {
  t.throws(() => nodePlan('azure-transparent+calico,kube-proxy=ipvs'), UserError);
  t.throws(() => nodePlan('azure-transparent+calico', config('')), /Felix writes other rules/);
});

t.test('FTP with affinity takes data connections, and is refused', async (t) => {
  const ftp = service(
    'ftp',
    `{ clusterIP: 10.0.0.21, ${WEB}, sessionAffinity: ClientIP, ports: [{ port: 21 }] }`,
  );
  const { cluster, policies } = parseInputs('shop.yaml', `${TWO_NODES_SHOP}${ftp}`);
  const world = new World({ cluster, policies, stack: parseStack(IPVS) });
  const ask = () => world.topology.hosts('node-a');
  t.throws(ask, /FTP with persistence/);
});

t.test('the n-th of n endpoints is the n-th in both modes', async (t) => {
  const { cluster, policies } = parseInputs('shop.yaml', `${TWO_NODES_SHOP}${SERVICES}`);
  const backends = (stack: string) => {
    const prober = new Prober(new World({ cluster, policies, stack: parseStack(stack) }));
    return Array.from({ length: 24 }, () => {
      const request = {
        from: 'pod/other/client',
        to: '10.0.0.10',
        port: 80,
        protocol: 'TCP',
      } as const;
      return prober.ask(request).translated?.dst;
    });
  };
  const inIpvs = backends(IPVS);
  t.strictSame(inIpvs, backends('azure-transparent+none'));
  t.equal(new Set(inIpvs).size, 2, 'and each is drawn');
});
