/**
 * ICMP errors in a capture: what they prove, whose connection they are about, and what can be said
 * of them where that connection can not be judged.
 * @module
 */
import t from 'tap';
import { SHOP_POLICIES, shopService, shopWith } from '../support/clusters.ts';
import { icmpError, tcp, udp } from '../support/packets.ts';
import { outcomesOf, replayFrames } from '../support/replays.ts';

const STACKS = ['azure-bridge+npm', 'azure-transparent+calico'];
const WEB = '10.240.0.5';
const DB = '10.240.0.6';
const API = '10.240.0.36';
const NODE_A = '10.240.0.4';
const OUTSIDE = '203.0.113.9';
const ROUTER = '198.51.100.77';
const API_SERVICE = '10.0.10.1';

const shop = shopWith(
  shopService('api', API_SERVICE, 'tier: api', 'port: 80, targetPort: 8080'),
  SHOP_POLICIES,
);

const refused = tcp().from(WEB, 40_000).to(DB, 5432).syn().seq(100);

for (const stack of STACKS) {
  t.test(
    `${stack}: an error proves no opening right, for a firewall may have made it`,
    async (t) => {
      const error = icmpError(refused.packet()).from(DB).to(WEB).frame();
      const ran = await replayFrames(shop, stack, [refused.frame(), error]);
      t.strictSame(outcomesOf(ran), ['dropped', 'suppressed']);
      t.match(ran.connections, [{ verdict: 'denied', contradicted: false }]);
      const asked = udp().from(WEB, 5000).to(DB, 53).payload(4);
      const answer = udp().from(DB, 53).to(WEB, 5000).payload(9);
      const proven = await replayFrames(shop, stack, [asked.frame(), answer.frame()]);
      t.match(proven.connections, [{ verdict: 'denied', contradicted: true }], 'an answer does');
    },
  );

  t.test(`${stack}: an error about a connection from before the capture`, async (t) => {
    const before = tcp().from(WEB, 41_000).to(API_SERVICE, 80).seq(7).ack(9).payload(3);
    const rows = [
      ['sent by nobody knows which backend', API_SERVICE, WEB, before, 'noSender'],
      ['translated nobody knows how', API, WEB, before, 'midstream'],
      ['by a router outside', ROUTER, WEB, tcp().from(WEB, 9).to(OUTSIDE, 443).ack(1), 'midstream'],
    ] as const;
    for (const [name, from, to, about, reason] of rows) {
      const error = icmpError(about.packet()).from(from).to(to).frame();
      const ran = await replayFrames(shop, stack, [error]);
      t.match(ran.frames, [{ outcome: 'unknown', reason }], name);
    }
    const error = icmpError(before.packet()).from(API).to(WEB).frame();
    const asKernel = { traffic: { midstream: 'kernel' } } as const;
    const ran = await replayFrames(shop, stack, [error], asKernel);
    t.match(ran.frames, [{ outcome: 'dropped', reason: 'ctInvalid' }], 'as the kernel has it');
  });

  t.test(`${stack}: an error about a connection that can not be judged`, async (t) => {
    // A node's address behind a router: who sent it is not in the capture.
    const hidden = tcp().from(NODE_A, 51_234).to(OUTSIDE, 443).syn().ttl(63);
    const error = icmpError(hidden.packet()).from(ROUTER).to(NODE_A).frame();
    const ran = await replayFrames(shop, stack, [hidden.frame(), error]);
    t.match(ran.frames, [{ reason: 'translatedSender' }, { reason: 'translatedSender' }]);
    t.strictSame(outcomesOf(ran), ['unknown', 'unknown']);
  });

  t.test(`${stack}: an error about a connection whose assumed opening is refused`, async (t) => {
    const data = tcp().from(WEB, 40_001).to(DB, 5432).seq(900).ack(700).psh().payload(10);
    const error = icmpError(data.packet()).from(DB).to(WEB).frame();
    const ran = await replayFrames(shop, stack, [data.frame(), error]);
    t.strictSame(outcomesOf(ran), ['suppressed', 'suppressed'], 'what it quotes never arrived');
    // What it sent acknowledges an answer from before.
    t.match(ran.connections, [{ opening: 'assumed', verdict: 'denied', contradicted: true }]);
  });
}

t.test(
  'an error is about the connection that it quotes, where addresses are exchanged',
  async (t) => {
    // As captured web is where db is here, and db where web is.
    const map = [
      [WEB, DB],
      [DB, WEB],
    ] as const;
    const asked = udp().from(WEB, 5000).to(DB, 53).payload(4);
    const error = icmpError(asked.packet()).from(DB).to(WEB).frame();
    const ran = await replayFrames(shop, 'azure-transparent+npm', [asked.frame(), error], { map });
    t.strictSame(outcomesOf(ran), ['delivered', 'delivered']);
    t.equal(ran.connections.length, 1);
    t.match(ran.connections, [{ from: 'pod/shop/db', to: 'pod/shop/web', verdict: 'allowed' }]);
  },
);
