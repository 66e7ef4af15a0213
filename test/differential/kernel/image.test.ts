/**
 * What images derive rather than read, against the real kernel: default sysctls, the local table and
 * route lookups, and when connections are tracked. Needs root.
 */
import t from 'tap';
import { makeSysctlTable, SYSCTL_DEFAULTS } from '../../../src/image/sysctl.ts';
import { lower } from '../../../src/lowering/link.ts';
import { printIptables } from '../../../src/plan/rule/iptables-text.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import { RULES } from '../../lowering/legality.ts';
import { address, udp } from '../../support/packets.ts';
import { prefix, routerPlan } from '../../support/walks.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';
import { intoRouter, ROUTER_MAC, routerIn } from './router.ts';

const skip = kernelMissing(['iptables-legacy', 'conntrack', 'sysctl']) ?? false;

t.test(
  'sysctls that a plan does not name have the value of a fresh namespace',
  { skip },
  async (t) => {
    const lab = new Laboratory(t);
    await lab.empty();
    const table = makeSysctlTable(new Map());
    const zero = [
      'net.ipv4.ip_forward',
      'net.ipv4.conf.all.rp_filter',
      'net.ipv6.conf.all.forwarding',
    ];
    for (const key of [...Object.keys(SYSCTL_DEFAULTS), ...zero]) {
      const text = await lab.run(['sysctl', '-n', key]).catch(() => null);
      if (text !== null) t.equal(table.get(key), Number(text), key);
      else t.comment(`this kernel has no ${key}`);
    }
  },
);

interface Got {
  readonly type: string;
  readonly dev?: string;
  readonly gateway?: string;
  readonly prefsrc?: string;
}

t.test('route lookups end as `ip route get` says', { skip }, async (t) => {
  const lab = new Laboratory(t);
  await lab.build(routerIn([]), 'legacy');
  for (const words of [
    '-4 route add default via 10.1.0.254 dev eth0',
    '-4 route add default via 10.2.0.254 dev eth1 metric 10',
    '-4 route add blackhole 192.0.2.0/24',
    '-4 route add prohibit 198.51.100.0/24',
    '-4 route add unreachable 203.0.113.0/24',
    '-4 route add 172.16.0.0/12 via 10.2.0.254 dev eth1 src 10.1.0.1',
    '-4 route add default via 10.2.0.253 dev eth1 table 100',
    '-4 route add throw 8.8.8.0/24 table 100',
    '-4 rule add pref 50 fwmark 0x10/0xf0 lookup 100',
    '-6 route add default via 2001:db8:1::fe dev eth0',
    '-6 route add blackhole 2001:db8:dead::/48',
  ]) {
    await lab.run(['ip', ...words.split(' ')]);
  }
  const builder = routerPlan();
  builder.routes.splice(0);
  const add = (
    text: string,
    type: 'unicast' | 'blackhole' | 'prohibit' | 'unreachable' | 'throw',
    more = {},
  ) => {
    const destination = prefix(text);
    const { family } = destination.address;
    builder.routes.push({
      family,
      type,
      destination,
      table: 254,
      metric: 0,
      scope: 'global',
      ...more,
    });
  };
  for (const [net, device] of [
    ['10.1.0.0/24', 'eth0'],
    ['10.2.0.0/24', 'eth1'],
    ['2001:db8:1::/64', 'eth0'],
    ['2001:db8:2::/64', 'eth1'],
  ] as const) {
    add(net, 'unicast', { device, scope: 'link' });
  }
  add('0.0.0.0/0', 'unicast', { device: 'eth0', via: address('10.1.0.254') });
  add('0.0.0.0/0', 'unicast', { device: 'eth1', via: address('10.2.0.254'), metric: 10 });
  add('192.0.2.0/24', 'blackhole');
  add('198.51.100.0/24', 'prohibit');
  add('203.0.113.0/24', 'unreachable');
  add('172.16.0.0/12', 'unicast', {
    device: 'eth1',
    via: address('10.2.0.254'),
    source: address('10.1.0.1'),
  });
  add('0.0.0.0/0', 'unicast', { device: 'eth1', via: address('10.2.0.253'), table: 100 });
  add('8.8.8.0/24', 'throw', { table: 100 });
  add('::/0', 'unicast', { device: 'eth0', via: address('2001:db8:1::fe') });
  add('2001:db8:dead::/48', 'blackhole');
  builder.routingRules.push({
    family: 4,
    preference: 50,
    table: 100,
    fwmark: { value: 0x10, mask: 0xf0 },
  });
  builder.sysctls['net.ipv6.conf.all.forwarding'] = '1';
  const { fib } = lower(builder.build());
  const destinations = [
    '10.1.0.1',
    '10.1.0.9',
    '10.1.0.255',
    '10.2.0.1',
    '10.2.0.7',
    '127.0.0.1',
    '127.9.9.9',
    '8.8.8.8',
    '9.9.9.9',
    '172.20.0.1',
    '192.0.2.1',
    '198.51.100.1',
    '203.0.113.1',
    '2001:db8:1::1',
    '2001:db8:1::9',
    '2001:db8:2::9',
    '2001:db8:9::9',
    '2001:db8:dead::1',
    '::1',
  ];
  for (const to of destinations) {
    for (const mark of to.includes(':') ? [0] : [0, 0x10, 0x110, 0x20]) {
      const name = `${to} mark ${mark}`;
      const found = fib.lookup({ destination: address(to), mark });
      const got = await kernelRoute(lab, to, mark);
      if (typeof got === 'string') {
        t.equal(found.type, got, name);
        continue;
      }
      t.equal(found.type, got.type, name);
      if (got.type !== 'local') t.equal(found.device, got.dev, `${name} device`);
      t.equal(
        found.via === null ? undefined : formatAddress(found.via),
        got.gateway,
        `${name} via`,
      );
      const source = found.source === null ? undefined : formatAddress(found.source);
      t.equal(source, got.prefsrc, `${name} source`);
    }
  }
});

/** Where the kernel would send a packet of its own, or the type of the route that refuses it. */
async function kernelRoute(lab: Laboratory, to: string, mark: number): Promise<Got | string> {
  try {
    const text = await lab.run(['ip', '-j', 'route', 'get', to, 'mark', String(mark)]);
    const [got] = JSON.parse(text) as Got[];
    if (got?.type === 'blackhole') return got.type;
    return { ...(got as Got), type: got?.type ?? 'unicast' };
  } catch (error) {
    const text = String(error);
    if (text.includes('Invalid argument')) return 'blackhole';
    if (text.includes('Permission denied')) return 'prohibit';
    return text.includes('No route to host') ? 'unreachable' : 'none';
  }
}

t.test('connections are tracked exactly where a rule asks for it', { skip }, async (t) => {
  const lab = new Laboratory(t);
  await lab.build(routerIn(['10.2.0.2', '10.1.0.2']), 'legacy');
  const range = { random: false, randomFully: false, persistent: false };
  const state = { kind: 'conntrack', states: ['NEW'], negate: false } as const;
  for (const [name, table, chain, rule] of [
    ['a rule that asks nothing', 'filter', 'FORWARD', {}],
    ['ctstate', 'filter', 'FORWARD', { matches: [state] }],
    ['ctstate in a chain that nothing reaches', 'filter', 'lost', { matches: [state] }],
    ['a nat table without translations', 'nat', 'PREROUTING', { target: { kind: 'accept' } }],
    ['MASQUERADE of something else', 'nat', 'lost', { target: { kind: 'masquerade', range } }],
    ['NOTRACK', 'raw', 'lost', { target: { kind: 'notrack' } }],
    ['helper', 'filter', 'lost', { matches: [{ kind: 'helper', name: 'ftp', negate: false }] }],
    [
      'connmark',
      'filter',
      'lost',
      { target: { kind: 'connmark', operation: 'set', value: 1, mask: 1, nfmask: 1 } },
    ],
  ] as const) {
    const builder = routerPlan();
    builder.append(4, table, chain, rule);
    const plan = builder.build();
    await lab.run(['iptables-legacy-restore'], printIptables(plan, 4));
    await lab.run(['conntrack', '-F']);
    const frame = udp().from('10.1.0.2', 7).to('10.2.0.2', 9).frame({ dstMac: ROUTER_MAC });
    await lab.send([intoRouter(frame)]);
    const list = await lab.run(['conntrack', '-L', '-p', 'udp']);
    const tracked = list.includes('dport=9 ');
    t.equal(lower(plan).conntrackActive(4), tracked, name);
    await lab.run(['iptables-legacy', '-t', table, '-F']);
    await lab.run(['iptables-legacy', '-t', table, '-X']);
  }
});

t.test('a rule is refused exactly where iptables and the kernel refuse it', { skip }, async (t) => {
  const lab = new Laboratory(t);
  await lab.build(routerIn([]), 'legacy');
  for (const { name, table, chain, rule, faults } of RULES) {
    const builder = routerPlan();
    builder.append(4, table, chain, rule);
    let refused = false;
    try {
      await lab.run(['iptables-legacy-restore'], printIptables(builder.build(), 4));
    } catch {
      refused = true;
    }
    await lab.run(['iptables-legacy', '-t', table, '-F']);
    t.equal(faults.length > 0, refused, name);
  }
});
