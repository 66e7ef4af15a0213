/**
 * Rows of lanes as JSON lines: what is put into words once says the same as what is not.
 * @module
 */
import t from 'tap';
import type { FrameResult } from '../../src/lab/result.ts';
import { frameJson } from '../../src/report/json-shape.ts';
import { FrameLines } from '../../src/report/text/frame-lines.ts';

const ROW: FrameResult = {
  frame: 7,
  timeNs: 1_700_000_000_123_456_789n,
  protocol: 'udp',
  src: '10.0.0.1',
  sport: 53,
  dst: '10.0.0.2',
  dport: 4000,
  from: 'shop/"quoted"',
  to: null,
  outcome: 'delivered',
  reason: null,
  decidedBy: null,
  connection: 3,
  out: null,
  retransmission: false,
  notes: [],
  journey: null,
};
const TIMES = [
  0n,
  -1n,
  999_999_999n,
  1_000_000_000n,
  1_700_000_000_000_000_001n,
  5n,
  10n ** 22n,
  4n * 10n ** 20n,
  -1_500_000_000n,
];

t.test('a line is that of the row by itself, at any time, with and without notes', async (t) => {
  const lines = new FrameLines();
  const like = {};
  for (const timeNs of TIMES) {
    for (const notes of [[], ['checksumOffloaded'], []]) {
      const row = { ...ROW, timeNs, notes, frame: Number(timeNs & 0xffn) };
      t.equal(lines.of({ ...row, like }), JSON.stringify(frameJson(row)), `${timeNs} ${notes}`);
      t.equal(lines.of(row), JSON.stringify(frameJson(row)), `${timeNs} ${notes}, alone`);
    }
  }
});

t.test('rows that share nothing keep their own words', async (t) => {
  const lines = new FrameLines();
  const [one, other] = [{}, {}];
  for (const connection of [1, 2]) {
    const row = { ...ROW, connection, like: connection === 1 ? one : other };
    t.equal(lines.of(row), JSON.stringify(frameJson(row)));
  }
});
