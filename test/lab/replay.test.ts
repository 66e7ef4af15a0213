/**
 * A replay as packets live it: handshakes that pass, openings that are dropped with everything
 * that would have followed, fragments, connections from before the capture, answers that prove us
 * wrong. On both stacks, and every frame in exactly one outcome.
 * @module
 */
import t from 'tap';
import { twoNodesShop } from '../support/clusters.ts';
import { exchange } from '../support/exchange.ts';
import { icmpEcho, icmpEchoReply, icmpError, tcp, udp } from '../support/packets.ts';
import { outcomesOf, type ReplayOptions, replayFrames } from '../support/replays.ts';

const { cluster, policies } = twoNodesShop();
const WEB = '10.240.0.5';
const DB = '10.240.0.6';
const API = '10.240.0.36';
const OUTSIDE = '203.0.113.9';
const STACKS = ['azure-bridge+npm', 'azure-transparent+calico'];

const run = (stack: string, frames: readonly Uint8Array[], how: ReplayOptions = {}) =>
  replayFrames({ cluster, policies }, stack, frames, how);

for (const stack of STACKS) {
  t.test(`${stack}: an allowed connection is delivered packet by packet`, async (t) => {
    const ran = await run(stack, exchange(API, DB, 5432));
    t.strictSame(outcomesOf(ran), new Array(8).fill('delivered'));
    t.match(ran.connections, [
      {
        verdict: 'allowed',
        from: 'pod/shop/api',
        to: 'pod/shop/db',
        dport: 5432,
        contradicted: false,
        decidedBy: { policy: 'shop/NetworkPolicy/db-from-api' },
        packets: 8,
      },
    ]);
  });

  t.test(`${stack}: nothing follows an opening that a policy drops`, async (t) => {
    const ran = await run(stack, exchange(WEB, DB, 5432));
    t.strictSame(outcomesOf(ran), ['dropped', ...new Array(7).fill('suppressed')]);
    t.match(ran.frames[0], {
      reason: 'policyDenied',
      decidedBy: { policy: 'shop/NetworkPolicy/db-from-api', hook: 'forward', node: 'node-a' },
      out: null,
    });
    t.match(ran.connections, [
      {
        verdict: 'denied',
        reason: 'policyDenied',
        contradicted: true,
        forward: { result: 'dropped' },
      },
    ]);
    t.match(ran.summary.drops, [{ packets: 1, connections: 1, reason: 'policyDenied' }]);
    const open = await run(stack, exchange(WEB, DB, 5432), { openLoop: true });
    t.notOk(
      outcomesOf(open).includes('suppressed'),
      '--open-loop sends what causes would suppress',
    );
  });

  t.test(`${stack}: retransmissions of a dropped packet are kept and marked`, async (t) => {
    const syn = tcp().from(WEB, 40000).to(DB, 5432).syn().seq(100);
    const ran = await run(stack, [syn.id(1).frame(), syn.id(2).frame()]);
    t.strictSame(outcomesOf(ran), ['dropped', 'dropped']);
    t.strictSame(
      ran.frames.map((f) => f.retransmission),
      [false, true],
    );
    t.match(ran.connections, [{ packets: 2, verdict: 'denied', contradicted: false }]);
  });

  t.test(`${stack}: a connection from before the capture is judged by its opening`, async (t) => {
    const data = tcp().from(API, 40000).to(DB, 5432).seq(900).ack(700).psh().payload(10);
    const answer = tcp().from(DB, 5432).to(API, 40000).seq(700).ack(910);
    const allowed = await run(stack, [data.frame(), answer.frame()]);
    t.strictSame(outcomesOf(allowed), ['delivered', 'delivered']);
    t.match(allowed.connections, [{ opening: 'assumed', verdict: 'allowed' }]);
    const other = tcp().from(WEB, 40000).to(DB, 5432).seq(900).ack(700).psh().payload(10);
    const denied = await run(stack, [other.frame()]);
    t.match(denied.connections, [
      {
        opening: 'assumed',
        verdict: 'denied',
        decidedBy: { policy: 'shop/NetworkPolicy/db-from-api' },
      },
    ]);
    const unknown = await run(stack, [other.frame()], { traffic: { midstream: 'unknown' } });
    t.match(unknown.frames, [{ outcome: 'unknown', reason: 'midstream' }]);
  });

  t.test(`${stack}: a datagram's fragments share its fate`, async (t) => {
    const whole = udp().from(API, 5000).to(WEB, 6000).payload(2000).id(77);
    const parts = [whole.fragment(0, true, 1200), whole.fragment(1200, false)];
    const ran = await run(
      stack,
      parts.map((p) => p.frame()),
    );
    t.strictSame(outcomesOf(ran), ['delivered', 'delivered']);
    t.strictSame(
      ran.frames.map((f) => f.frame),
      [1, 2],
      'in capture order',
    );
    const lonely = await run(stack, [parts[0]!.frame()]);
    t.match(lonely.frames, [{ outcome: 'dropped', reason: 'fragmentTimeout' }]);
  });

  t.test(`${stack}: echo replies follow requests, errors follow what they quote`, async (t) => {
    const ping = icmpEcho(7, 1).from(WEB).to(DB).frame();
    const pong = icmpEchoReply(7, 1).from(DB).to(WEB).frame();
    t.strictSame(outcomesOf(await run(stack, [ping, pong])), ['dropped', 'suppressed']);
    const open = [icmpEcho(7, 1).from(DB).to(WEB), icmpEchoReply(7, 1).from(WEB).to(DB)];
    t.strictSame(
      outcomesOf(
        await run(
          stack,
          open.map((p) => p.frame()),
        ),
      ),
      ['delivered', 'delivered'],
    );
    const asked = udp().from(API, 5000).to(WEB, 6000).payload(4);
    const refused = icmpError(asked.packet()).from(WEB).to(API);
    const ran = await run(stack, [asked.frame(), refused.frame()]);
    t.strictSame(outcomesOf(ran), ['delivered', 'delivered'], 'a related error passes');
    t.equal(ran.connections.length, 1, 'and belongs to the connection that it is about');
  });

  t.test(`${stack}: what leaves the cluster has exited with its node's address`, async (t) => {
    const ran = await run(stack, exchange(WEB, OUTSIDE, 443));
    t.strictSame([...new Set(outcomesOf(ran))].sort(), ['delivered', 'exited']);
    t.match(ran.frames[0]?.out, { src: '10.240.0.4', dst: OUTSIDE, dport: 443 });
    const answers = ran.frames.filter((f) => f.src === OUTSIDE);
    t.ok(answers.length > 0 && answers.every((f) => f.outcome === 'delivered'));
    for (const { out } of answers) t.match(out, { src: OUTSIDE, dst: WEB, dport: 40000 });
    t.match(ran.connections, [
      { verdict: 'allowed', to: null, translated: { src: '10.240.0.4', dst: OUTSIDE } },
    ]);
  });

  t.test(`${stack}: an address of the service range that no Service has`, async (t) => {
    const ran = await run(stack, [tcp().from(WEB, 40000).to('10.0.3.4', 80).syn().frame()]);
    t.match(ran.frames, [{ outcome: 'unknown', reason: 'addressUnowned' }]);
    t.match(ran.connections, [{ verdict: 'unknown', reason: 'addressUnowned' }]);
  });

  t.test(`${stack}: two runs of one input say the same, to the byte`, async (t) => {
    const frames = [...exchange(API, DB, 5432), ...exchange(WEB, DB, 5432)];
    const said = async () => {
      const { world: _, ...results } = await run(stack, frames);
      return results;
    };
    t.strictSame(await said(), await said());
  });
}
