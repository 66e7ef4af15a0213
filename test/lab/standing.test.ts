/**
 * What lanes may take in bulk, and when that is over: the parts that no drawn traffic comes to.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import type { Causes, Segment } from '../../src/lab/causes.ts';
import { LaneWay } from '../../src/lab/lane/lane-way.ts';
import { newState } from '../../src/lab/run/connection-state.ts';
import { type Drop, Rows } from '../../src/lab/run/rows.ts';
import { type LastUnsent, type Standing, stillStands } from '../../src/lab/run/standing.ts';
import { World } from '../../src/lab/world.ts';
import { twoNodesShop } from '../support/clusters.ts';

const SYN: Segment = {
  ...{ seq: 100, ack: 0, payloadLength: 0 },
  ...{ syn: true, fin: false, rst: false, hasAck: false },
};

function judged(causes: Causes, direction: 'original' | 'reply'): Standing {
  return { as: 'judged', causes, direction, drops: [], isSent: true };
}

t.test('segments are judged by themselves only while the other way is not clear', async (t) => {
  const state = newState();
  const { causes } = state;
  causes.settleTcp('original', SYN, false);
  t.ok(stillStands(judged(causes, 'original'), state, 'original'), 'its opening is lost');
  causes.settleTcp('original', SYN, true);
  // The answers may go in a lane of their own now, which a loss here would have to close.
  t.notOk(stillStands(judged(causes, 'original'), state, 'original'), 'it was sent again');
});

t.test('answers are kept from being sent until a request arrives', async (t) => {
  const state = newState();
  const unsent = { as: 'unsent', isFixed: false } as const;
  state.causes.settleOther('original', false);
  t.ok(stillStands(unsent, state, 'reply'));
  state.causes.settleOther('original', true);
  t.notOk(stillStands(unsent, state, 'reply'));
});

t.test('a connection counts once in each row of the table of drops', async (t) => {
  const { cluster, policies } = twoNodesShop();
  const world = new World({ cluster, policies, stack: parseStack('azure-bridge+npm') });
  const rows = new Rows(world, { frame: () => {} });
  const drops: string[] = [];
  const last = { as: 'unsent', captured: { endpoints: {} }, outcome: 'unknown' } as LastUnsent;
  const way = new LaneWay({ standing: { as: 'refused', drops }, last }, 0, 1);
  const [one, two] = ['policyDenied', 'noRoute'].map((reason): Drop => {
    return { key: reason, reason, decidedBy: null };
  }) as [Drop, Drop];
  const again = { ...one };
  const seen = [one, one, two, one, again, two].map((drop) => way.isNewDrop(drop, drops));
  t.same(seen, [true, false, true, false, false, false]);
  for (const drop of [one, two]) rows.dropped(drop, 3, 1, 7);
  t.same(
    rows.summary().drops.map(({ reason, packets, connections }) => [reason, packets, connections]),
    [
      ['policyDenied', 3, 1],
      ['noRoute', 3, 1],
    ],
  );
});
