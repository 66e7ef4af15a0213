/**
 * What the steps of a journey say of a host that tracks no connections.
 * @module
 */
import t from 'tap';
import { device, LO, lines, oneNode, PLAIN, send } from '../support/dumps.ts';
import { tcp } from '../support/packets.ts';

t.test('a hook whose rule drops the packet was not passed', async (t) => {
  const drop = '-A FORWARD -p tcp -m tcp --dport 80 -j DROP';
  const world = oneNode({
    ...PLAIN,
    'ip-addr.txt': lines(LO, device(2, 'eth0', ['10.1.0.4/16']), device(3, 'veth1', [])),
    'ip-route.txt': lines('10.1.0.0/16 dev eth0 proto kernel scope link', '10.244.0.2 dev veth1'),
    'iptables-save.txt': lines('*filter', ':FORWARD ACCEPT [0:0]', drop, 'COMMIT'),
  });
  for (const [port, fact] of [
    [80, 'stopped'],
    [81, 'passed'],
  ] as const) {
    const packet = tcp().from('10.244.0.2', 40_000).to('10.1.0.9', port).syn().packet();
    const { steps } = send(world, packet, '10.244.0.2');
    t.equal(steps.find(({ stage }) => stage === 'forward')?.fact, fact, String(port));
  }
});
