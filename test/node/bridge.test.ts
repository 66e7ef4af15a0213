/**
 * The bridge and what surrounds it, where the kernel of the differential test can not be asked
 * (broute) or where the engine's own words are the point (copies, answers, neighbours).
 * @module
 */
import t from 'tap';
import { parseEbtables } from '../../src/plan/ebtables/parser.ts';
import type { Plan } from '../../src/plan/model.ts';
import * as arp from '../../src/wire/header/arp.ts';
import * as ethernet from '../../src/wire/header/ethernet.ts';
import { EtherType } from '../../src/wire/protocol.ts';
import {
  engineOf,
  hostPlan,
  iface,
  inject,
  link,
  route,
  sentBy,
  stages,
} from '../support/hosts.ts';
import { address, tcp, udp } from '../support/packets.ts';

const BRIDGE = '02:00:00:00:0b:00';
const MAC = (n: number) => `02:00:00:00:00:1${n}`;

function pod(n: number): Plan {
  return hostPlan(`pod${n}`, {
    role: 'pod',
    interfaces: [iface('eth0', MAC(n), { addresses: [`10.1.0.1${n}/24`, `2001:db8::1${n}/64`] })],
    routes: [
      route('10.1.0.0/24', { device: 'eth0', source: `10.1.0.1${n}` }),
      route('0.0.0.0/0', { device: 'eth0', via: '10.1.0.1' }),
      route('2001:db8::/64', { device: 'eth0' }),
    ],
  });
}

function node(ebtables = '', known: readonly number[] = [0, 1, 2]): Plan {
  return hostPlan('node', {
    interfaces: [
      iface('br0', BRIDGE, { kind: 'bridge', addresses: ['10.1.0.1/24', '2001:db8::1/64'] }),
      ...[0, 1, 2].map((n) => iface(`p${n}`, `02:00:00:00:01:1${n}`, { master: 'br0' })),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'br0', source: '10.1.0.1' }),
      route('2001:db8::/64', { device: 'br0' }),
    ],
    sysctls: { 'net.ipv4.ip_forward': '1' },
    extend: (builder) => {
      for (const n of known) {
        builder.fdb.push({ mac: MAC(n), bridge: 'br0', port: `p${n}`, kind: 'learned' });
      }
      if (ebtables !== '') builder.ebtables.push(...parseEbtables(ebtables, 'test'));
    },
  });
}

function cluster(ebtables = '', known?: readonly number[]) {
  const links = [0, 1, 2].map((n) => link(`pod${n}/eth0`, `node/p${n}`));
  return engineOf([node(ebtables, known), pod(0), pod(1), pod(2)], links);
}

const hello = udp().from('10.1.0.10', 1).to('10.1.0.11', 2);

t.test('pods of one bridge find each other by ARP and by neighbour discovery', async (t) => {
  const engine = cluster();
  const four = engine.inject(inject.local('pod0', hello.packet()));
  t.equal(four.outcome, 'delivered');
  t.same(four.hosts, ['pod0', 'node', 'pod1']);
  t.same(four.generated, [], 'the question is nobodys packet');
  const six = udp().from('2001:db8::10', 1).to('2001:db8::11', 2);
  t.equal(engine.inject(inject.local('pod0', six.packet())).outcome, 'delivered');
  const nobody = engine.inject(inject.local('pod0', hello.to('10.1.0.99', 2).packet()));
  t.equal(nobody.reason, 'noNeighbor');
});

t.test('the host reaches its pods through the bridge device', async (t) => {
  const engine = cluster();
  const journey = engine.inject(
    inject.local('node', udp().from('10.1.0.1', 1).to('10.1.0.12', 2).packet()),
  );
  t.equal(journey.outcome, 'delivered');
  t.equal(stages(journey, 'node'), 'route output postrouting bridge transmit');
  t.same(journey.hosts, ['node', 'pod2']);
});

t.test('a flood makes copies, and the one that found its owner is the journey', async (t) => {
  const engine = cluster('', [0]);
  const frame = hello.frame({ srcMac: MAC(0), dstMac: MAC(1) });
  const journey = engine.inject(inject.frame('node/p0', frame));
  t.equal(journey.outcome, 'delivered');
  t.same(journey.hosts, ['node', 'pod1']);
  t.equal(journey.copies.length, 1);
  t.equal(journey.copies[0]?.reason, 'otherHost', 'pod2 was not meant');
  t.ok(journey.copies[0]?.steps.some((step) => /fdb miss, flood/.test(step.fact)));

  const back = hello.reversed().frame({ srcMac: MAC(1), dstMac: MAC(0) });
  engine.inject(inject.frame('node/p1', back));
  const again = engine.inject(inject.frame('node/p0', frame));
  t.same(again.copies, [], 'by then the bridge has learned where pod1 is');
});

t.test('a broadcast request is answered by its owner alone', async (t) => {
  const engine = cluster();
  const body = arp.emit({
    operation: arp.ArpOperation.request,
    senderMac: MAC(0),
    senderIp: address('10.1.0.10'),
    targetMac: '00:00:00:00:00:00',
    targetIp: address('10.1.0.12'),
  });
  const header = { destination: 'ff:ff:ff:ff:ff:ff', source: MAC(0), tags: [] };
  const request = ethernet.emit({ ...header, etherType: EtherType.arp }, body);
  const journey = engine.inject(inject.frame('node/p0', request));
  t.equal(journey.outcome, 'consumed');
  const all = [journey, ...journey.copies];
  t.equal(all.length, 3, 'two pods and the bridge itself');
  const replies = all.flatMap((one) => one.generated);
  t.same(
    replies.map((made) => [made.kind, made.from, made.journey.outcome]),
    [['arpReply', 'pod2', 'consumed']],
  );
});

t.test('broute', async (t) => {
  const rule = (rest: string) => `*broute\n:BROUTING ACCEPT\n-A BROUTING ${rest}\n`;
  const frame = hello.to('169.254.20.10', 53).frame({ srcMac: MAC(0), dstMac: MAC(1) });
  const plain = cluster().inject(inject.frame('node/p0', frame));
  t.match(stages(plain, 'node'), / forward postrouting transmit$/, 'bridged without a rule');

  const redirected = cluster(
    rule('-p IPv4 --ip-dst 169.254.20.10 -j redirect --redirect-target ACCEPT'),
  ).inject(inject.frame('node/p0', frame));
  t.equal(
    redirected.end.device,
    'br0',
    'redirected: taken by the bridge device, as the port itself',
  );
  t.ok(redirected.steps.some((step) => /fdb hit, local/.test(step.fact)));

  const routed = cluster(rule('-p IPv4 --ip-dst 169.254.20.10 -j DROP')).inject(
    inject.frame(
      'node/p0',
      hello.to('169.254.20.10', 53).frame({ srcMac: MAC(0), dstMac: BRIDGE }),
    ),
  );
  t.equal(routed.end.device, 'p0', 'DROP there means routed by the port');
  t.equal(routed.reason, 'otherHost', 'which is not whom the frame was for');
});

t.test('ebtables: user chains, negation and where the rule is', async (t) => {
  const text = `*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:PODS RETURN
-A FORWARD -p IPv4 -j PODS
-A FORWARD -p ARP -j ACCEPT
-A PODS ! -i p0 -j ACCEPT
-A PODS -o p2 -j ACCEPT
-A PODS -p IPv4 --ip-dst 10.1.0.13 -j DROP
`;
  const engine = cluster(text);
  const send = (to: string, mac: string) =>
    engine.inject(inject.frame('node/p0', hello.to(to, 2).frame({ srcMac: MAC(0), dstMac: mac })));
  t.equal(send('10.1.0.12', MAC(2)).outcome, 'delivered', 'by the second rule');
  const policy = send('10.1.0.11', MAC(1));
  t.equal(policy.reason, 'bridgeRule');
  t.equal(policy.decision?.text, 'ebtables filter FORWARD policy', 'the user chain returned');
  t.equal(send('10.1.0.13', MAC(1)).decision?.text, 'ebtables filter PODS rule 3');
  const back = hello.reversed().frame({ srcMac: MAC(1), dstMac: MAC(0) });
  t.equal(engine.inject(inject.frame('node/p1', back)).outcome, 'delivered', 'not from p0');
});

t.test('a refused bridged SYN is answered by its port, past every hook', async (t) => {
  const plan = hostPlan('node', {
    interfaces: [
      iface('br0', BRIDGE, { kind: 'bridge' }),
      iface('p0', '02:00:00:00:01:10', { master: 'br0' }),
      iface('p1', '02:00:00:00:01:11', { master: 'br0' }),
    ],
    routes: [route('10.1.0.0/24', { device: 'br0' })],
    iptables:
      '*filter\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j DROP\n' +
      '-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\nCOMMIT\n',
    extend: (b) => b.fdb.push({ mac: MAC(1), bridge: 'br0', port: 'p1', kind: 'learned' }),
  });
  const syn = tcp().from('10.1.0.10', 1).to('10.1.0.11', 2).syn();
  const journey = engineOf([plan]).inject(
    inject.frame('node/p0', syn.frame({ srcMac: MAC(0), dstMac: MAC(1) })),
  );
  t.equal(journey.reason, 'rejected');
  const [reset] = sentBy(journey);
  t.equal(reset?.device, 'p0');
  t.equal(ethernet.source(reset!.frame), MAC(1), 'in the name of the one it was for');
  const lost = engineOf([{ ...plan, routes: [] }]).inject(
    inject.frame('node/p0', syn.frame({ srcMac: MAC(0), dstMac: MAC(1) })),
  );
  t.same(sentBy(lost), [], 'and not at all where no route leads back');
});

t.test('what stands in the way of a frame has its own reason', async (t) => {
  const engine = cluster();
  const to = (dstMac: string, srcMac = MAC(0)) =>
    engine.inject(inject.frame('node/p0', hello.frame({ srcMac, dstMac }))).reason;
  t.equal(to(MAC(0)), 'sameBridgePort');
  t.equal(to(MAC(1), '03:00:00:00:00:01'), 'sourceNatOnly');
  t.equal(to('01:80:c2:00:00:01'), 'otherHost');
  const lldp = hello.frame({ srcMac: MAC(0), dstMac: '01:80:c2:00:00:0e' });
  lldp.set([0x88, 0xcc], 12);
  t.equal(engine.inject(inject.frame('node/p0', lldp)).outcome, 'consumed');
});
