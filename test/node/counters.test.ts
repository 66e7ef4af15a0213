import t from 'tap';
import { runTable } from '../../src/node/hook/walk.ts';
import { udp } from '../support/packets.ts';
import { routerPlan, walkContext } from '../support/walks.ts';

t.test('a snapshot lists every rule of both families with what it counted', async (t) => {
  const builder = routerPlan();
  builder.append(4, 'filter', 'FORWARD', {}, { target: { kind: 'drop' } }, {});
  builder.append(6, 'filter', 'FORWARD', {});
  const ctx = walkContext(builder.build());
  for (const payload of [0, 10])
    runTable(ctx, 'filter', 'forward', udp().payload(payload).parsed());
  t.same(
    [...ctx.counters.snapshot(ctx.image.program)],
    [
      ['4 filter/FORWARD rule 1', { packets: 2, bytes: 66 }],
      ['4 filter/FORWARD rule 2', { packets: 2, bytes: 66 }],
      ['4 filter/FORWARD rule 3', { packets: 0, bytes: 0 }],
      ['6 filter/FORWARD rule 1', { packets: 0, bytes: 0 }],
    ],
  );
});
