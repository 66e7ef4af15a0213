import t from 'tap';
import { addressPlan } from '../../src/cluster/address/address-plan.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { type Datagram, readDatagram } from '../../src/lab/datagram/datagram.ts';
import { AddressMap, assignAutomatically, parseMap } from '../../src/lab/traffic/mapping.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import { twoNodesShop } from '../support/clusters.ts';
import { address, icmpError, type PacketBuilder, tcp, udp } from '../support/packets.ts';

function read(packet: Uint8Array): Datagram {
  const d = readDatagram(1, packet, 0, packet.length);
  if (typeof d === 'string') throw new Error(d);
  return d;
}

const MAP = new AddressMap([
  [address('192.168.1.5'), address('10.240.0.5')],
  [address('2001:db8::5'), address('fd00::5')],
]);

t.test('a mapped packet is the packet its sender would have sent', async (t) => {
  const rows: readonly (readonly [string, (src: string) => PacketBuilder])[] = [
    ['TCP', (src) => tcp().from(src, 40000).to('10.9.9.9', 80).syn()],
    ['TCP, offloaded', (src) => tcp().from(src, 40000).to('10.9.9.9', 80).syn().offloaded()],
    ['UDP', (src) => udp().from(src, 40000).to('10.9.9.9', 53).payload(7)],
    ['UDP without checksum', (src) => udp().from(src, 1).to('10.9.9.9', 53).noChecksum()],
    [
      'ICMP error, quoted address too',
      (src) =>
        icmpError(udp().from('10.9.9.9', 53).to(src, 40000).packet(), { type: 3, code: 3 })
          .from(src)
          .to('10.9.9.9'),
    ],
  ];
  for (const [name, make] of rows) {
    const mapped = MAP.apply(read(make('192.168.1.5').packet()));
    t.strictSame(Buffer.from(mapped.bytes), Buffer.from(make('10.240.0.5').packet()), name);
    t.equal(formatAddress(mapped.src), '10.240.0.5');
  }
});

t.test('IPv6 is mapped the same way', async (t) => {
  const make = (src: string) => tcp().from(src, 40000).to('2001:db8::9', 80).syn().packet();
  const mapped = MAP.apply(read(make('2001:db8::5')));
  t.strictSame(Buffer.from(mapped.bytes), Buffer.from(make('fd00::5')));
});

t.test('a wrong checksum stays wrong, an unmapped packet stays itself', async (t) => {
  const wrong = tcp().from('192.168.1.5', 1).to('10.9.9.9', 80).syn().badChecksum().packet();
  t.equal(read(MAP.apply(read(wrong)).bytes).checksum, 'wrong');
  const other = read(tcp().from('10.1.1.1', 1).to('10.9.9.9', 80).syn().packet());
  t.equal(MAP.apply(other), other);
});

t.test('automatic mapping covers as many packets as it can with the pods there are', async (t) => {
  const [a, b, c, d] = ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4'].map(address);
  const pods = ['10.0.0.1', '10.0.0.2'].map(address);
  const pairs = [
    { a: a!, b: b!, packets: 10 },
    { a: a!, b: c!, packets: 10 },
    { a: c!, b: d!, packets: 5 },
  ];
  const shown = (assigned: ReturnType<typeof assignAutomatically>) =>
    assigned.map(([from, to]) => `${formatAddress(from)}=${formatAddress(to)}`);
  t.strictSame(
    shown(assignAutomatically(pairs, pods, () => false)),
    ['1.1.1.1=10.0.0.1', '3.3.3.3=10.0.0.2'],
    'the hub first, then an end of what it does not cover',
  );
  t.strictSame(
    shown(assignAutomatically(pairs, pods, (x) => x === a)),
    ['3.3.3.3=10.0.0.1'],
    'an end that is in the cluster already covers its packets',
  );
});

t.test('every mistake in --map is named at once', async (t) => {
  const plan = addressPlan(twoNodesShop().cluster);
  const options = ['nonsense', '1.1.1.1=pod/shop/nobody', '1.1.1.1=node/nowhere', '2.2.2.2=what'];
  try {
    parseMap(options, plan);
    t.fail('must be refused');
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    t.strictSame(
      error.diagnostics.map((d) => d.code),
      ['MAP_SYNTAX', 'MAP_POD_UNKNOWN', 'MAP_NODE_UNKNOWN', 'MAP_SYNTAX'],
    );
  }
});
