/**
 * The parts of a run by several workers: rows joined in order, workers that fail, threads that stop
 * at one place, counts added up, shards that translation does not change.
 * @module
 */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import t from 'tap';
import { CommandLine } from '../../src/cli/command-line.ts';
import { replayCommand } from '../../src/cli/verb/replay.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { InternalError, UserError } from '../../src/diagnostic/diagnostic.ts';
import { Counts } from '../../src/lab/run/counts.ts';
import { TupleCensus } from '../../src/lab/traffic/tuple-census.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { Protocol } from '../../src/wire/protocol.ts';
import { Control } from '../../src/workers/control.ts';
import type { Job } from '../../src/workers/job.ts';
import { OrderedMerge } from '../../src/workers/ordered-merge.ts';
import { ownersOf, weightsOf } from '../../src/workers/owners.ts';
import { runShares } from '../../src/workers/pool.ts';
import { RowCollector } from '../../src/workers/row-collector.ts';
import { RowMerge } from '../../src/workers/row-merge.ts';
import { ORDERED, SHARDS, Shards } from '../../src/workers/shards.ts';
import { gainsInBulk, shareOut } from '../../src/workers/sharing.ts';
import { CROWD_CLUSTER } from '../support/crowd.ts';
import { address } from '../support/packets.ts';

const SEED = { seed: 11 };
const CONTROL = new URL('../../src/workers/control.js', import.meta.url).href;

t.test('rows of several workers come out by their keys, whenever they were sent', async (t) => {
  const rows = fc.array(fc.nat(2), { maxLength: 60 });
  const pauses = fc.array(fc.nat(2), { maxLength: 30 });
  fc.assert(
    fc.property(rows, pauses, (owners, turns) => {
      const out: number[] = [];
      const merge = new OrderedMerge<number>(3, (row) => out.push(row));
      const sent = [0, 0, 0];
      const send = (worker: number, upTo: number) => {
        const own = owners.flatMap((owner, key) =>
          owner === worker && key >= (sent[worker] ?? 0) && key < upTo ? [[key, key] as const] : [],
        );
        merge.push(worker, own, upTo - 1);
        sent[worker] = Math.max(sent[worker] ?? 0, upTo);
      };
      for (const worker of turns) send(worker, Math.min(owners.length, (sent[worker] ?? 0) + 7));
      const whole = Math.min(...sent);
      t.strictSame(
        out,
        Array.from({ length: whole }, (_, key) => key),
      );
      for (const worker of [0, 1, 2]) send(worker, owners.length);
      return out.length === owners.length && out.every((key, i) => key === i);
    }),
    SEED,
  );
  t.pass('holds');
});

t.test('text of rows comes back as it was added, in any script', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 90 })), (texts) => {
      const collector = new RowCollector(() => null);
      for (const [i, text] of texts.entries()) add(collector, i, text);
      const rows = told(1, false, (merge) => merge.push(0, collector.take(), texts.length));
      const isSame = (row: string, i: number) =>
        row === Buffer.from(texts[i] ?? '').toString('utf8');
      return rows.length === texts.length && rows.every(isSame);
    }),
    SEED,
  );
  const large = new RowCollector(() => null);
  add(large, 1, 'x'.repeat(200_000));
  add(large, 2, 'é');
  const rows = told(1, false, (merge) => merge.push(0, large.take(), 2));
  t.strictSame(
    rows.map((row) => row.length),
    [200_000, 1],
  );
});

t.test('text of several workers’ rows comes out in order, one by one or in runs', async (t) => {
  const rows = fc.array(fc.tuple(fc.nat(2), fc.string({ unit: 'grapheme', maxLength: 9 })), {
    maxLength: 60,
  });
  const turns = fc.array(fc.nat(2), { maxLength: 30 });
  fc.assert(
    fc.property(rows, turns, fc.boolean(), (all, order, areLines) => {
      const sent = [0, 0, 0];
      const isEmpty = (text: string) => text === '';
      const out = told(3, areLines, (merge) => {
        const send = (worker: number, upTo: number) => {
          const collector = new RowCollector(() => null);
          for (let row = sent[worker] ?? 0; row < upTo; row++) {
            const [owner, text = ''] = all[row] ?? [];
            // Several rows may have one key: all are of one worker.
            if (owner === worker) for (const one of [text, '|']) add(collector, row, one);
          }
          merge.push(worker, collector.take(), upTo - 1);
          sent[worker] = Math.max(sent[worker] ?? 0, upTo);
        };
        for (const worker of order) send(worker, Math.min(all.length, (sent[worker] ?? 0) + 7));
        for (const worker of [0, 1, 2]) send(worker, all.length);
      });
      const want = all.flatMap(([, text]) => [Buffer.from(text).toString('utf8'), '|']);
      if (areLines) return out.join('') === want.join('');
      return (
        out.filter((r) => !isEmpty(r)).join('\n') === want.filter((r) => !isEmpty(r)).join('\n')
      );
    }),
    SEED,
  );
  t.pass('holds');
});

function add(collector: RowCollector, key: number, text: string): void {
  collector.text.text(text);
  collector.added(key);
}

/** What a merge of so many workers tells while it is fed. */
function told(workers: number, areLines: boolean, feed: (merge: RowMerge) => void): string[] {
  const out: string[] = [];
  const write = (bytes: Uint8Array) => out.push(Buffer.from(bytes).toString('utf8'));
  // Who gets a chunk's memory back writes other rows there.
  feed(new RowMerge(workers, { write, areLines }, (_, { bytes }) => bytes.fill(0x23)));
  return out;
}

t.test('counts of parts add up to the counts of the whole, in its order', async (t) => {
  const seen = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(3)), {
    maxLength: 40,
  });
  fc.assert(
    fc.property(seen, (names) => {
      const whole = new Counts();
      const parts = [new Counts(), new Counts(), new Counts(), new Counts()];
      for (const [frame, [name, part]] of names.entries()) {
        whole.add(name, frame);
        parts[part]?.add(name, frame);
      }
      const sum = new Counts();
      for (const part of parts) sum.absorb(part.part());
      const text = (counts: Counts) => counts.inOrder().map(([name, c]) => `${name} ${c.count}`);
      return text(sum).join() === text(whole).join() && sum.total() === whole.total();
    }),
    SEED,
  );
  t.pass('holds');
});

t.test('interrupted workers stop where the furthest is', async (t) => {
  const control = new Control(2);
  t.equal(control.shouldStop(0, 5), false);
  control.finish(1);
  control.freeze();
  t.equal(control.goOn(), false, 'one has not said where it is');
  control.finish(0);
  t.equal(control.goOn(), true);
  t.equal(control.shouldStop(0, 9), false, 'all are done: nothing is cut');
});

t.test('who is ahead waits for the others, but not when the run is to end', async (t) => {
  const control = new Control(2);
  t.equal(control.haveAllBegun, false);
  control.reached(0, 0);
  t.equal(control.haveAllBegun, false, 'one has not begun');
  control.awaitOthers(-1);
  const waiter = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads');
     import(workerData.module).then(({ Control }) => {
       const control = new Control(2, workerData.memory);
       parentPort.postMessage('waits');
       control.awaitOthers(3);
       parentPort.postMessage('goes on');
     });`,
    { eval: true, workerData: { module: CONTROL, memory: control.memory } },
  );
  const said: string[] = [];
  waiter.on('message', (text: string) => said.push(text));
  const [first] = await once(waiter, 'message');
  t.equal(first, 'waits');
  control.reached(0, 3);
  control.reached(1, 2);
  await setTimeout(100);
  t.strictSame(said, ['waits'], 'one has done two batches, not three');
  control.reached(1, 3);
  await once(waiter, 'exit');
  t.strictSame(said, ['waits', 'goes on']);
  t.equal(control.haveAllBegun, true);
  control.freeze();
  control.awaitOthers(9);
  t.pass('nobody waits for others when all are to stop');
});

const { cluster, policies } = parseInputs('crowd.yaml', CROWD_CLUSTER);
const world = new World({ cluster, policies, stack: parseStack('azure-transparent+npm') });
const shards = new Shards({
  cluster,
  addresses: world.addresses,
  fragmented: new Set(),
  clientsHidden: false,
});
const of = (src: string, sport: number, dst: string, dport: number) =>
  shards.of(Protocol.tcp, { src: address(src), sport, dst: address(dst), dport });

t.test('a Service and its endpoints are one end; what may be hidden is in order', async (t) => {
  const direct = of('10.240.0.11', 40_000, '10.240.1.10', 8080);
  t.not(direct, ORDERED);
  t.equal(of('10.240.0.11', 40_000, '10.0.0.10', 80), direct, 'its address');
  t.equal(of('10.240.0.11', 40_000, '10.240.0.13', 8080), direct, 'another endpoint');
  t.equal(of('10.240.1.10', 8080, '10.240.0.11', 40_000), direct, 'its answers');
  t.equal(of('10.240.0.10', 40_000, '10.0.0.10', 80), ORDERED, 'a pod that may reach itself');
  t.equal(of('10.240.0.11', 40_000, '10.240.1.12', 8080), ORDERED, 'endpoints of a node port');
  t.equal(of('10.240.0.11', 40_000, '203.0.113.9', 443), ORDERED, 'the outside');
  t.equal(of('10.240.0.4', 40_000, '10.240.1.10', 8080), ORDERED, 'a node');
  t.equal(of('10.240.0.11', 40_000, '10.0.0.10', 81), ORDERED, 'a port that no Service has');
  t.not(of('10.240.0.11', 1, '10.240.1.10', 9), ORDERED, 'pods by ports of no Service');
});

t.test('shards are those of either direction', async (t) => {
  const pods = cluster.pods.flatMap((pod) => pod.addresses);
  const end = fc.record({
    address: fc.constantFrom(...pods),
    port: fc.constantFrom(80, 8080, 4000),
  });
  fc.assert(
    fc.property(end, end, (a, b) => {
      const there = { src: a.address, sport: a.port, dst: b.address, dport: b.port };
      const back = { src: b.address, sport: b.port, dst: a.address, dport: a.port };
      const shard = shards.of(Protocol.tcp, there);
      return shard === shards.of(Protocol.tcp, back) && shard >= 0 && shard < SHARDS;
    }),
    SEED,
  );
  t.pass('holds');
});

t.test('shards are shared out by how much of the traffic is in each', async (t) => {
  const own = (part: number) => {
    const even = Array.from({ length: SHARDS }, () => (1 - part) / (SHARDS - 1));
    return ownersOf(2, even.with(ORDERED, part)).filter((owner) => owner === 0).length - 1;
  };
  t.equal(own(0), 32);
  t.equal(own(0.25), 21);
  t.equal(own(0.5), 0);
  t.equal(own(1), 0);
  t.equal(
    ownersOf(1, []).every((owner) => owner === 0),
    true,
  );
  const weights = fc.array(fc.nat(1000), { minLength: SHARDS, maxLength: SHARDS });
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 5 }), (drawn, workers) => {
      const sum = drawn.reduce((a, b) => a + b, 0) || 1;
      const owners = ownersOf(
        workers,
        drawn.map((weight) => weight / sum),
      );
      const loads = Array.from({ length: workers }, (_, worker) =>
        owners.reduce(
          (load, owner, shard) => load + (owner === worker ? (drawn[shard] ?? 0) : 0),
          0,
        ),
      );
      // Nobody has more than the least has by more than one shard.
      const most = Math.max(...drawn);
      return owners[ORDERED] === 0 && Math.max(...loads) - Math.min(...loads) <= most;
    }),
    SEED,
  );
});

t.test('who talks with whom says how much is in each shard', async (t) => {
  const [a, b, c] = cluster.pods.flatMap((pod) => pod.addresses);
  const outside = address('203.0.113.9');
  if (a === undefined || b === undefined || c === undefined) throw new Error('three pods');
  const pairs = [
    { a, b, packets: 50 },
    { a, b: c, packets: 30 },
    { a, b: outside, packets: 15 },
    { a, b: address('10.0.0.30'), packets: 5 },
  ];
  const weights = weightsOf(shards, world.identities, pairs);
  const ofPair = (dst: typeof a) =>
    shards.of(Protocol.tcp, { src: a, dst, sport: 40_000, dport: 4000 });
  t.ok((weights[ofPair(b)] ?? 0) >= 0.5);
  t.ok((weights[ofPair(c)] ?? 0) >= 0.3);
  t.equal(weights[ORDERED], 0.15);
  t.ok(Math.abs(weights.reduce((x, y) => x + y, 0) - 1) < 1e-9);
});

t.test('tuples are counted well enough', async (t) => {
  const census = new TupleCensus();
  const src = address('10.0.0.1');
  for (let i = 0; i < 60_000; i++) {
    const d = { src, dst: address(`10.1.${i >> 8}.${i & 255}`), sport: 7, dport: 80, protocol: 6 };
    census.add({ ...d, fragment: null } as Parameters<TupleCensus['add']>[0]);
  }
  t.ok(Math.abs(census.tuples - 60_000) < 1000, `${census.tuples}`);
});

t.test(
  'in bulk workers are worth their start for many connections, not for many packets',
  async (t) => {
    const rows: readonly (readonly [number, number, boolean])[] = [
      [1_000_000, 1000, false],
      [50_000_000, 1000, false],
      [50_000, 50_000, false],
      [70_000, 70_000, true],
      [1_000_000, 70_000, true],
      // As many connections as there are packets, at most.
      [10_000, Number.POSITIVE_INFINITY, false],
    ];
    for (const [packets, connections, gains] of rows) {
      t.equal(gainsInBulk(packets, connections), gains, `${packets}, ${connections}`);
    }
  },
);

t.test('--help says from when on workers gain in bulk', async (t) => {
  const help = replayCommand(new CommandLine()).helpInformation().replace(/\s+/g, ' ');
  t.match(help, 'nor in bulk below 60,000 connections');
  t.same(
    [59_900, 60_100].map((openings) => gainsInBulk(openings, openings)),
    [false, true],
  );
});

t.test('a run is shared out only where nothing can meet', async (t) => {
  const asked = { packets: 50_000, workers: 4, entryIsGiven: false, dumped: false };
  const ask = (more: object) =>
    shareOut({ worlds: [world], census: { tuples: 10 }, ...asked, ...more });
  t.match(ask({}), { workers: 4, reason: null, clientsHidden: false });
  t.match(ask({ packets: 500 }), { workers: 1, reason: null });
  t.match(ask({ workers: 1 }), { workers: 1, reason: null });
  t.match(ask({ entryIsGiven: true }), { workers: 1, reason: /--at/ });
  t.match(ask({ dumped: true }), { workers: 1, reason: /dumped/ });
  t.match(ask({ census: { tuples: 200_000 } }), { workers: 1, reason: /connection tables/ });
});

const FAILING = new URL('./failing-worker.js', import.meta.url).href;
const SINKS = {
  rows: [],
  packet: () => {},
  difference: () => {},
  flush: async () => {},
  progress: () => {},
};

t.test('a worker that ends before its work is done is one error with its cause', async (t) => {
  const run = (seed: number) =>
    runShares({ seed, workers: 2 } as Job, SINKS, { module: FAILING }).then(
      () => null,
      (error: unknown) => error,
    );
  const gone = await run(1);
  t.ok(gone instanceof InternalError);
  t.match(gone, { message: /^worker 0 ended before its work was done: .*exit/i });
  const threw = await run(2);
  t.ok(threw instanceof InternalError);
  t.match(threw, { message: /^worker 0 ended before its work was done: thrown in thread true/ });
  const refused = await run(4);
  t.ok(refused instanceof UserError);
  t.match(refused, { fault: 'input', diagnostics: [{ code: 'CAPTURE_GONE' }] });
});

t.test('a run interrupted before its workers have begun is nobody’s result', async (t) => {
  const options = { module: FAILING, isInterrupted: () => true };
  t.equal(await runShares({ seed: 5, workers: 2 } as Job, SINKS, options), null);
});
