/**
 * Rows of lanes as lines of text: what is put into words once says the same as what is not.
 * @module
 */
import t from 'tap';
import type { FrameResult } from '../../src/lab/result.ts';
import { sharedTerms } from '../../src/lab/run/row-terms.ts';
import { frameJson } from '../../src/report/json-shape.ts';
import { FrameLines, JSON_LINES } from '../../src/report/text/frame-lines.ts';
import { CSV_LINES } from '../../src/report/text/row-text.ts';
import { lineAlike, lineOf } from '../support/written.ts';

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

const FORMATS = [
  { name: 'JSON lines', format: JSON_LINES },
  { name: 'CSV', format: CSV_LINES },
];

for (const { name, format } of FORMATS) {
  const { whole } = format;

  t.test(`${name}: a line is that of the row by itself, at any time`, async (t) => {
    const lines = new FrameLines(format);
    const terms = sharedTerms(ROW);
    for (const timeNs of TIMES) {
      for (const notes of [[], ['checksumOffloaded'], []]) {
        for (const frame of [0, 7, 10, 999_999_999, 1_000_000_000, 2 ** 52]) {
          const row = { ...ROW, timeNs, notes, frame };
          t.equal(lineAlike(lines, terms, row), whole(row), `${timeNs} ${notes}`);
          t.equal(lineOf(lines, row), whole(row), `${timeNs} ${notes}, alone`);
        }
      }
    }
  });

  t.test(`${name}: rows that share nothing keep their own words`, async (t) => {
    const lines = new FrameLines(format);
    const all = [1, 2].map((connection) => sharedTerms({ ...ROW, connection }));
    for (const terms of [...all, ...all]) {
      const row = { ...terms, frame: 7, timeNs: ROW.timeNs, notes: [] };
      t.equal(lineAlike(lines, terms, row), whole(row));
    }
  });

  t.test(`${name}: what we sent ourselves has no frame, and its cause`, async (t) => {
    const made = { ...ROW, frame: null, cause: 7 };
    t.equal(lineOf(new FrameLines(format), made), whole(made));
  });
}

t.test('a line of JSON and one of CSV say what they always said', async (t) => {
  t.equal(JSON_LINES.whole(ROW), `${JSON.stringify(frameJson(ROW))}\n`);
  const said = '7,2023-11-14T22:13:20.123456789Z,10.0.0.1,53,10.0.0.2,4000,udp,"shop/""quoted""",,';
  t.equal(CSV_LINES.whole(ROW), `${said}delivered,,,,,,,3,\r\n`);
});
