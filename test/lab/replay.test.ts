/**
 * A replay as packets live it: handshakes that pass, openings that are dropped with everything
 * that would have followed, fragments, connections from before the capture, answers that prove us
 * wrong. On both stacks, and every frame in exactly one outcome.
 * @module
 */
import t from 'tap';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { replay } from '../../src/lab/replay.ts';
import type { ConnectionResult, FrameResult } from '../../src/lab/result.ts';
import type { RunSummary } from '../../src/lab/tally.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import type { TrafficOptions } from '../../src/lab/traffic/traffic.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World } from '../../src/lab/world.ts';
import { twoNodesShop } from '../support/clusters.ts';
import { icmpEcho, icmpEchoReply, icmpError, tcp, udp } from '../support/packets.ts';

const { cluster, policies } = twoNodesShop();
const WEB = '10.240.0.5';
const DB = '10.240.0.6';
const API = '10.240.0.36';
const OUTSIDE = '203.0.113.9';
const STACKS = ['azure-bridge+npm', 'azure-transparent+calico'];

interface Ran {
  readonly frames: readonly FrameResult[];
  readonly connections: readonly ConnectionResult[];
  readonly summary: RunSummary;
}

interface RunWith {
  readonly traffic?: Partial<TrafficOptions>;
  readonly openLoop?: boolean;
  /** Seconds between frames. */
  readonly gapS?: number;
}

async function run(stack: string, frames: readonly Uint8Array[], how: RunWith = {}): Promise<Ran> {
  const world = new World({ cluster, policies, stack: parseStack(stack) });
  const iface = { id: 0, file: 'test.pcap', linkType: LinkType.ethernet, snapLength: 65535 };
  const records = frames.map(
    (data, i): PacketRecord => ({
      frame: i + 1,
      iface,
      timeNs: BigInt(Math.round(i * (how.gapS ?? 0.01) * 1e9)),
      data,
      wireLength: data.length,
    }),
  );
  const survey = new Survey();
  for (const record of records) survey.add(record);
  const rows: FrameResult[] = [];
  const connections: ConnectionResult[] = [];
  async function* batches() {
    yield records;
  }
  const { summaries } = await replay({
    records: batches(),
    traffic: {
      identities: world.identities,
      map: new AddressMap([]),
      checksums: 'auto',
      survey: survey.checksums,
      translations: survey.translations,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
      ...how.traffic,
    },
    stacks: [
      { world, sink: { frame: (r) => rows.push(r), connection: (c) => connections.push(c) } },
    ],
    options: { openLoop: how.openLoop ?? false },
  });
  const [summary] = summaries;
  if (!summary) throw new Error('no summary');
  const { packets, outcomes } = summary.counts;
  const sum = Object.values(outcomes).reduce((a, b) => a + b, 0);
  if (packets !== frames.length || sum !== frames.length) throw new Error('out of balance');
  return { frames: rows, connections, summary };
}

/** A whole exchange: handshake, a request of 10 bytes, an answer of 20, both sides close. */
function exchange(client: string, server: string, dport: number): readonly Uint8Array[] {
  const c = tcp().from(client, 40000).to(server, dport);
  const s = tcp().from(server, dport).to(client, 40000);
  return [
    c.syn().seq(100),
    s.syn().seq(500).ack(101),
    c.seq(101).ack(501),
    c.seq(101).ack(501).psh().payload(10),
    s.seq(501).ack(111).psh().payload(20),
    c.seq(111).ack(521).fin(),
    s.seq(521).ack(112).fin(),
    c.seq(112).ack(522),
  ].map((p, i) => p.id(i + 1).frame());
}

const outcomes = (ran: Ran) => ran.frames.filter((f) => f.frame !== null).map((f) => f.outcome);

for (const stack of STACKS) {
  t.test(`${stack}: an allowed connection is delivered packet by packet`, async (t) => {
    const ran = await run(stack, exchange(API, DB, 5432));
    t.strictSame(outcomes(ran), new Array(8).fill('delivered'));
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
    t.strictSame(outcomes(ran), ['dropped', ...new Array(7).fill('suppressed')]);
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
    t.notOk(outcomes(open).includes('suppressed'), '--open-loop sends what causes would suppress');
  });

  t.test(`${stack}: retransmissions of a dropped packet are kept and marked`, async (t) => {
    const syn = tcp().from(WEB, 40000).to(DB, 5432).syn().seq(100);
    const ran = await run(stack, [syn.id(1).frame(), syn.id(2).frame()]);
    t.strictSame(outcomes(ran), ['dropped', 'dropped']);
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
    t.strictSame(outcomes(allowed), ['delivered', 'delivered']);
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
    t.strictSame(outcomes(ran), ['delivered', 'delivered']);
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
    t.strictSame(outcomes(await run(stack, [ping, pong])), ['dropped', 'suppressed']);
    const open = [icmpEcho(7, 1).from(DB).to(WEB), icmpEchoReply(7, 1).from(WEB).to(DB)];
    t.strictSame(
      outcomes(
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
    t.strictSame(outcomes(ran), ['delivered', 'delivered'], 'a related error passes');
    t.equal(ran.connections.length, 1, 'and belongs to the connection that it is about');
  });

  t.test(`${stack}: what leaves the cluster has exited with its node's address`, async (t) => {
    const ran = await run(stack, exchange(WEB, OUTSIDE, 443));
    t.strictSame([...new Set(outcomes(ran))].sort(), ['delivered', 'exited']);
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
    const [one, two] = [await run(stack, frames), await run(stack, frames)];
    t.strictSame(one, two);
  });
}
