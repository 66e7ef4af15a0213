import fc from 'fast-check';
import t from 'tap';
import { compileFib, type FibRoute, type FibRule } from '../../src/image/route/fib.ts';
import { localRoutes } from '../../src/image/route/fib-local.ts';
import { contains, formatAddress, ipv4 } from '../../src/wire/address/address.ts';
import { address } from '../support/packets.ts';
import { iface, prefix } from '../support/walks.ts';

const INTERFACES = [
  iface('lo', ['127.0.0.1/8', '::1/128']),
  iface('eth0', ['10.1.0.1/24', '2001:db8:1::1/64']),
  iface('eth1', ['10.2.0.1/24']),
  iface('down0', ['10.3.0.1/24'], { up: false }),
];

function route(text: string, more: Partial<FibRoute> = {}): FibRoute {
  const destination = prefix(text);
  const { family } = destination.address;
  return { family, type: 'unicast', destination, table: 254, metric: 0, scope: 'global', ...more };
}

const MAIN = [
  route('10.1.0.0/24', { device: 'eth0', scope: 'link' }),
  route('10.2.0.0/24', { device: 'eth1', scope: 'link' }),
  route('10.3.0.0/24', { device: 'down0', scope: 'link' }),
  route('2001:db8:1::/64', { device: 'eth0', scope: 'link' }),
];

function fib(routes: readonly FibRoute[], rules: readonly FibRule[] = []) {
  const all = [...localRoutes(INTERFACES, true), ...MAIN, ...routes];
  return compileFib({ routes: all, rules, interfaces: INTERFACES });
}

t.test('addresses of interfaces are local, their subnets have a broadcast address', async (t) => {
  const table = fib([]);
  const typeOf = table.addressType.bind(table);
  for (const [text, want] of [
    ['10.1.0.1', 'LOCAL'],
    ['10.3.0.1', 'LOCAL'],
    ['127.8.8.8', 'LOCAL'],
    ['10.1.0.255', 'BROADCAST'],
    ['10.3.0.255', 'UNICAST'],
    ['10.1.0.0', 'UNICAST'],
    ['10.1.0.7', 'UNICAST'],
    ['0.1.2.3', 'BROADCAST'],
    ['255.255.255.255', 'BROADCAST'],
    ['224.0.0.1', 'MULTICAST'],
    ['2001:db8:1::1', 'LOCAL'],
    ['2001:db8:1::', 'ANYCAST'],
    ['ff02::1', 'MULTICAST'],
    ['::1', 'LOCAL'],
  ] as const) {
    t.equal(typeOf(address(text)), want, text);
  }
  t.equal(fib([]).addressType(address('10.1.0.1'), 'eth1'), 'UNICAST', 'as another device sees it');
  t.equal(fib([]).addressType(address('10.1.0.1'), 'eth0'), 'LOCAL');
});

t.test(
  'the longest prefix wins, then the lowest metric; routes of a device that is down are dead',
  async (t) => {
    const table = fib([
      route('0.0.0.0/0', { device: 'eth0', via: address('10.1.0.254'), metric: 100 }),
      route('0.0.0.0/0', { device: 'eth1', via: address('10.2.0.254'), metric: 50 }),
      route('192.168.0.0/16', { device: 'down0' }),
      route('192.168.7.0/24', { type: 'blackhole' }),
      route('192.168.8.0/24', { type: 'prohibit' }),
    ]);
    for (const [text, type, device] of [
      ['8.8.8.8', 'unicast', 'eth1'],
      ['10.1.0.9', 'unicast', 'eth0'],
      ['10.1.0.1', 'local', 'eth0'],
      ['192.168.9.9', 'unicast', 'eth1'],
      ['192.168.7.1', 'blackhole', ''],
      ['192.168.8.1', 'prohibit', ''],
      ['2001:db8:9::1', 'none', ''],
    ] as const) {
      const found = table.lookup({ destination: address(text), mark: 0 });
      t.same([found.type, found.device], [type, device], text);
    }
    const bound = table.lookup({ destination: address('8.8.8.8'), mark: 0, outDevice: 'eth0' });
    t.equal(bound.device, 'eth0', 'a device asked for is kept to');
  },
);

t.test('routing rules are asked in order of preference, throw goes on with the next', async (t) => {
  const rules: FibRule[] = [
    { family: 4, preference: 100, table: 10, fwmark: { value: 0x100, mask: 0xf00 } },
    { family: 4, preference: 101, table: 11, from: prefix('10.2.0.0/24'), iif: 'eth1' },
    { family: 4, preference: 102, table: 12, to: prefix('8.0.0.0/8'), negate: true },
  ];
  const table = fib(
    [
      route('0.0.0.0/0', { table: 10, device: 'eth0', via: address('10.1.0.10') }),
      route('9.0.0.0/8', { table: 10, type: 'throw' }),
      route('0.0.0.0/0', { table: 11, type: 'unreachable' }),
      route('9.9.9.9/32', { table: 12, type: 'prohibit' }),
    ],
    rules,
  );
  const look = (to: string, more = {}) =>
    table.lookup({ destination: address(to), mark: 0, ...more }).type;
  t.equal(look('8.8.8.8', { mark: 0x1100 }), 'unicast', 'the masked mark is equal');
  t.equal(look('8.8.8.8', { mark: 0x200 }), 'none');
  t.equal(look('10.2.0.1', { mark: 0x100 }), 'local', 'the local table comes first');
  t.equal(look('9.9.9.9', { mark: 0x100 }), 'prohibit', 'thrown on to the negated rule');
  t.equal(look('8.8.8.8', { source: address('10.2.0.5'), inDevice: 'eth1' }), 'unreachable');
  t.equal(look('8.8.8.8', { source: address('10.2.0.5'), inDevice: 'eth0' }), 'none');
  t.equal(look('8.8.8.8', { inDevice: 'eth1' }), 'none', 'no source is no match for a from');
});

t.test('a local table that was moved behind other rules is asked there', async (t) => {
  const rules: FibRule[] = [
    { family: 4, preference: 10, table: 20, to: prefix('10.1.0.1/32') },
    { family: 4, preference: 100, table: 255 },
  ];
  const table = fib([route('10.1.0.1/32', { table: 20, type: 'blackhole' })], rules);
  t.equal(table.lookup({ destination: address('10.1.0.1'), mark: 0 }).type, 'blackhole');
  t.equal(table.lookup({ destination: address('10.2.0.1'), mark: 0 }).type, 'local');
});

t.test('a packet of the host gets the address of the way it takes', async (t) => {
  const table = fib([
    route('0.0.0.0/0', { device: 'eth0', via: address('10.1.0.254') }),
    route('172.16.0.0/16', { device: 'eth0', source: address('10.2.0.1') }),
  ]);
  for (const [to, want] of [
    ['8.8.8.8', '10.1.0.1'],
    ['10.2.0.9', '10.2.0.1'],
    ['172.16.1.1', '10.2.0.1'],
    ['10.2.0.1', '10.2.0.1'],
    ['2001:db8:1::9', '2001:db8:1::1'],
  ] as const) {
    const { source } = table.lookup({ destination: address(to), mark: 0 });
    t.equal(source && formatAddress(source), want, to);
  }
});

t.test('law: a lookup finds what a scan of the table finds', async (t) => {
  const word = fc.integer({ min: 0, max: 255 }).map((n) => (0xc0000000 + n) >>> 0);
  const routes = fc.array(
    fc.record({ value: word, length: fc.integer({ min: 0, max: 32 }), metric: fc.nat(3) }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(routes, word, (drawn, to) => {
      const list = drawn.map(({ value, length, metric }, i) => ({
        ...route('0.0.0.0/0', { device: 'eth0', metric, via: ipv4(i + 1) }),
        destination: { address: ipv4(value), length },
      }));
      const hits = list.filter((r) => contains(r.destination, ipv4(to)));
      const [best] = [...hits].sort(
        (a, b) => b.destination.length - a.destination.length || a.metric - b.metric,
      );
      const found = compileFib({ routes: list, rules: [], interfaces: INTERFACES }).lookup({
        destination: ipv4(to),
        mark: 0,
      });
      return best ? found.via === best.via : found.type === 'none';
    }),
    { seed: 20261121, numRuns: 300 },
  );
  t.pass('held');
});
