/**
 * Connections of different shards have nothing to do with each other: a capture judged in shares,
 * on hosts that know nothing of each other, comes out as if it had been judged whole.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { autoMap } from '../../src/lab/traffic/auto-map.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { World } from '../../src/lab/world.ts';
import { loadInputs, parseInputs } from '../../src/policy/inputs.ts';
import { goldenCases } from '../golden/case.ts';
import { corpusFiles, readAll } from '../support/captures.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../support/clusters.ts';
import { CROWD_CLUSTER, crowd } from '../support/crowd.ts';
import { runInShares } from '../support/shares.ts';

t.setTimeout(600_000);

for (const golden of goldenCases()) {
  t.test(`${golden.name} in three shares says what it says whole`, async (t) => {
    const { records } = await readAll([golden.capture]);
    const inputs = loadInputs(golden.files);
    const [stack = ''] = golden.stacks;
    const whole = await runInShares(inputs, stack, records, 1);
    t.strictSame(await judgedIn(3, inputs, stack, records), withoutJudges(whole));
    t.equal(whole.judged[0], records.length);
  });
}

const STACKS = [
  'azure-bridge+npm',
  'azure-transparent+calico',
  'azure-transparent+npm',

  'azure-transparent+none',
];

for (const stack of STACKS) {
  t.test(`${stack}: clients of Services, pods, nodes and the outside, in shares`, async (t) => {
    const inputs = parseInputs('crowd.yaml', CROWD_CLUSTER);
    const records = crowd({ packets: 1500, seed: 7 });
    const whole = await runInShares(inputs, stack, records, 1);
    const apart = await runInShares(inputs, stack, records, 4);
    t.strictSame(withoutJudges(apart), withoutJudges(whole));
    t.ok(whole.orderedPackets > 100, 'some are judged in order');
    t.ok(whole.orderedPackets < records.length * 0.8, `not all: ${whole.orderedPackets}`);
    const least = Math.min(...apart.judged);
    t.ok(least > 50, `every share has its part: ${apart.judged}`);
    const pieces = crowd({ packets: 800, seed: 8, pieces: true });
    const [one, four] = [1, 4].map((shares) => runInShares(inputs, stack, pieces, shares));
    t.strictSame(withoutJudges((await four) as Run), withoutJudges((await one) as Run), 'pieces');
  });
}

const files = corpusFiles();
const skip = files === null ? 'needs ../shared' : false;
t.test('real captures, mapped onto a cluster, in shares', { skip }, async (t) => {
  const inputs = parseInputs('shop.yaml', [TWO_NODES_SHOP, SHOP_POLICIES].join('---\n'));
  const world = new World({ ...inputs, stack: parseStack('azure-transparent+npm') });
  for (const file of files ?? []) {
    const { records } = await readAll([file], { count: 300 }).catch(() => ({ records: [] }));
    const survey = new Survey();
    for (const record of records) survey.add(record);
    const map = new AddressMap(autoMap(world, survey.pairs(), []));
    const stack = 'azure-transparent+npm';
    const whole = await runInShares(inputs, stack, records, 1, { map });
    const apart = await runInShares(inputs, stack, records, 3, { map });
    t.strictSame(withoutJudges(apart), withoutJudges(whole), file);
  }
});

type Run = Awaited<ReturnType<typeof runInShares>>;

function withoutJudges({ frames, connections, summary, orderedPackets }: Run) {
  return { frames, connections, summary, orderedPackets };
}

async function judgedIn(
  shares: number,
  inputs: Parameters<typeof runInShares>[0],
  stack: string,
  records: Parameters<typeof runInShares>[2],
) {
  return withoutJudges(await runInShares(inputs, stack, records, shares));
}
