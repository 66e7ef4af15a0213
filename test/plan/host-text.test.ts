/**
 * Commands of ip and bridge, sysctls and JSON, by rows; that they work is the kernel test's
 * business.
 * @module
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { printBridge } from '../../src/plan/bridge-text.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import { printIp } from '../../src/plan/ip-text.ts';
import type { Plan } from '../../src/plan/model.ts';
import { planToJson } from '../../src/plan/plan-json.ts';
import { parseSysctls, printSysctls } from '../../src/plan/sysctl-text.ts';
import { iface, prefix } from '../support/hosts.ts';
import { address } from '../support/packets.ts';

function host(): Plan {
  const builder = new PlanBuilder('node-a', 'node');
  builder.interfaces.push(
    iface('lo', '00:00:00:00:00:00', { kind: 'loopback', mtu: 65536, addresses: ['127.0.0.1/8'] }),
    iface('eth0', '00:0d:3a:00:00:01', { kind: 'physical', master: 'azure0', hairpin: true }),
    iface('azv1', '00:0d:3a:00:00:02', { master: 'azure0', promiscuous: true }),
    iface('azure0', '00:0d:3a:00:00:01', {
      kind: 'bridge',
      addresses: ['10.0.0.4/24', 'fd00::4/64'],
    }),
  );
  const route = { family: 4, type: 'unicast', table: 254, metric: 0 } as const;
  builder.routes.push(
    {
      ...route,
      destination: prefix('0.0.0.0/0'),
      via: address('10.0.0.1'),
      device: 'azure0',
      scope: 'global',
    },
    { ...route, destination: prefix('10.0.0.0/24'), device: 'azure0', scope: 'link' },
  );
  builder.routingRules.push({ family: 6, preference: 9, table: 100, iif: 'azv1' });
  builder.neighbors.push({
    address: address('10.0.0.5'),
    device: 'azure0',
    mac: '00:0d:3a:00:00:05',
    state: 'permanent',
  });
  builder.fdb.push(
    { mac: '00:0d:3a:00:00:05', bridge: 'azure0', port: 'azv1', kind: 'learned' },
    { mac: '00:0d:3a:00:00:06', bridge: 'azure0', port: 'azv1', kind: 'static' },
  );
  builder.sysctls['net.ipv4.ip_forward'] = '1';
  builder.append(4, 'filter', 'FORWARD', { target: { kind: 'drop' } });
  return builder.build();
}

t.test('the host is built in an order that works', async (t) => {
  t.equal(
    printIp(host(), {
      peerOf: (device) => (device.kind === 'veth' ? { name: 'eth0', netns: 'pod-1' } : undefined),
    }),
    `ip link add name azure0 address 00:0d:3a:00:00:01 mtu 1500 type bridge
ip link set dev lo mtu 65536
ip link set dev eth0 address 00:0d:3a:00:00:01 mtu 1500
ip link add name azv1 address 00:0d:3a:00:00:02 mtu 1500 type veth peer name eth0 netns pod-1
ip link set dev eth0 master azure0
ip link set dev azv1 master azure0
ip link set dev azure0 addrgenmode none
ip link set dev azure0 up
ip link set dev lo up
ip link set dev eth0 addrgenmode none
ip link set dev eth0 up
ip link set dev azv1 addrgenmode none
ip link set dev azv1 promisc on
ip link set dev azv1 up
ip addr replace 127.0.0.1/8 dev lo scope host noprefixroute
ip addr replace 10.0.0.4/24 dev azure0 scope global noprefixroute
ip addr replace fd00::4/64 dev azure0 scope global noprefixroute nodad
ip neigh replace 10.0.0.5 lladdr 00:0d:3a:00:00:05 dev azure0 nud permanent
ip route replace 10.0.0.0/24 dev azure0 scope link
ip route replace 0.0.0.0/0 via 10.0.0.1 dev azure0 scope global
ip -6 rule add pref 9 from ::/0 iif azv1 lookup 100
`,
  );
});

t.test('a bridge gets its hairpin ports and its entries', async (t) => {
  t.equal(
    printBridge(host()),
    `bridge link set dev eth0 hairpin on
bridge fdb replace 00:0d:3a:00:00:05 dev azv1 master dynamic
bridge fdb replace 00:0d:3a:00:00:06 dev azv1 master static
`,
  );
});

t.test('sysctls are sorted, and read in either separator', async (t) => {
  t.equal(printSysctls(host()), 'net.ipv4.ip_forward = 1\n');
  const text = '# x\n; y\n-net/ipv4/conf/eth0.5/rp_filter=1\nnet.ipv4.ip_local_port_range = 1\t2\n';
  t.same(parseSysctls(text, 'f'), {
    'net.ipv4.conf.eth0/5.rp_filter': '1',
    'net.ipv4.ip_local_port_range': '1 2',
  });
  t.throws(() => parseSysctls('nonsense\n', 'f'), UserError);
});

t.test('the JSON of a plan speaks the words of the tools', async (t) => {
  t.match(JSON.parse(JSON.stringify(planToJson(host()))), {
    host: 'node-a',
    gaps: [],
    routes: [{ destination: '0.0.0.0/0', via: '10.0.0.1' }, { destination: '10.0.0.0/24' }],
    neighbors: [{ address: '10.0.0.5' }],
    tables: [
      {
        family: 4,
        name: 'filter',
        chains: [
          { name: 'INPUT', policy: 'ACCEPT', rules: [] },
          { name: 'FORWARD', rules: [{ index: 1, text: '-A FORWARD -j DROP' }] },
        ],
      },
    ],
  });
});
