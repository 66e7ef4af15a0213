/**
 * Captures that hold one way of a connection, or lack parts of its handshake: what is not there was
 * sent all the same, as what follows it shows; and what a policy stops is followed by nothing.
 * @module
 */
import t from 'tap';
import { twoNodesShop } from '../support/clusters.ts';
import { STEPS } from '../support/exchange.ts';
import { type PacketBuilder, tcp } from '../support/packets.ts';
import { outcomesOf, replayFrames } from '../support/replays.ts';

const { cluster, policies } = twoNodesShop();
const WEB = '10.240.0.5';
const DB = '10.240.0.6';
const API = '10.240.0.36';

/** The steps of an exchange with the database that are in the capture, by number. */
function captured(client: string, steps: readonly number[]): readonly Uint8Array[] {
  const asked = tcp().from(client, 40_000).to(DB, 5432);
  const answer = tcp().from(DB, 5432).to(client, 40_000);
  return steps.flatMap((i) => {
    const step = STEPS[i];
    return step
      ? [
          step
            .make(step.isReply ? answer : asked)
            .id(i)
            .frame(),
        ]
      : [];
  });
}

const of = (isReply: boolean) => STEPS.flatMap((step, i) => (step.isReply === isReply ? [i] : []));

/** What is captured, and how it is judged where the client may ask the database. */
const CASES = [
  ['only what the client sends', of(false), 'notCaptured'],
  ['only what the server sends', of(true), 'delivered'],
  ['all but the SYN-ACK', [0, 2, 3, 4, 5, 6, 7], 'delivered'],
  ['all but the SYN-ACK and its ACK', [0, 3, 4, 5, 6, 7], 'delivered'],
  ['nothing between the SYN and the answer to the request', [0, 4, 5, 6, 7], 'delivered'],
  ['all but the ACK', [0, 1, 3, 4, 5, 6, 7], 'delivered'],
  ['all but the SYN', [1, 2, 3, 4, 5, 6, 7], 'delivered'],
] as const;

for (const stack of ['azure-bridge+npm', 'azure-transparent+calico']) {
  for (const [name, steps, reply] of CASES) {
    t.test(`${stack}: ${name}`, async (t) => {
      const allowed = await replayFrames({ cluster, policies }, stack, captured(API, steps));
      t.strictSame(outcomesOf(allowed), new Array(steps.length).fill('delivered'));
      t.match(allowed.connections, [
        { verdict: 'allowed', opening: steps[0] === 0 ? 'seen' : 'assumed' },
      ]);
      t.equal(allowed.connections[0]?.reply.result, reply);
      const denied = await replayFrames({ cluster, policies }, stack, captured(WEB, steps));
      const first = steps[0] === 0 ? 'dropped' : 'suppressed';
      const rest = new Array(steps.length - 1).fill('suppressed');
      t.strictSame(outcomesOf(denied), [first, ...rest], 'nobody goes on who was not answered');
      t.match(denied.connections, [{ verdict: 'denied', contradicted: true }], 'but was, really');
    });
  }

  t.test(`${stack}: an opening that is refused or left alone was not answered`, async (t) => {
    const rows: readonly (readonly [string, (client: string) => readonly PacketBuilder[]])[] = [
      ['sent again', (client) => [synOf(client).id(1), synOf(client).id(2)]],
      ['refused', (client) => [synOf(client), resetTo(client)]],
      ['given up', (client) => [synOf(client), synOf(client, 101).rst()]],
    ];
    for (const [name, packets] of rows) {
      const run = (client: string) =>
        replayFrames(
          { cluster, policies },
          stack,
          packets(client).map((p) => p.frame()),
        );
      const { world, frames } = await run(API);
      t.equal(frames[0]?.outcome, 'delivered', name);
      for (const { timeoutS } of world.engine.connections('node-a')) {
        t.ok(timeoutS <= 120, `${name}: nobody keeps it as an open one`);
      }
      const denied = await run(WEB);
      t.match(denied.connections, [{ verdict: 'denied', contradicted: false }], name);
    }
  });
}

function synOf(client: string, seq?: number): PacketBuilder {
  const asked = tcp().from(client, 41_000).to(DB, 5432);
  return seq === undefined ? asked.syn().seq(100) : asked.seq(seq);
}

function resetTo(client: string): PacketBuilder {
  return tcp().from(DB, 5432).to(client, 41_000).rst().seq(0).ack(101);
}
