/**
 * What both sides of the native door must agree on: the layout, and the TCP state table, which C++
 * mirrors cell by cell.
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import {
  nextTcpState,
  TCP_STATES,
  type TcpIndex,
  type TcpNext,
} from '../../src/conntrack/protocol/tcp-states.ts';
import { LAYOUT_VERSION, layoutHeader } from '../../src/engine/compiled/layout.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';

t.test('the header of the C++ side is what the layout says', async (t) => {
  t.equal(readFileSync('native/src/layout.gen.hh', 'utf8'), layoutHeader());
});

const native = findNative();

t.test(
  'the addon was built for this layout',
  {
    skip: native.addon === null ? native.reason : false,
  },
  async (t) => {
    t.equal(native.addon?.layoutVersion, LAYOUT_VERSION);
  },
);

const INDEXES: readonly TcpIndex[] = ['syn', 'synAck', 'fin', 'ack', 'rst', 'none'];
const CODES: Readonly<Record<TcpNext, string>> = {
  none: 'kNone',
  synSent: 'kSS',
  synRecv: 'kSR',
  established: 'kES',
  finWait: 'kFW',
  closeWait: 'kCW',
  lastAck: 'kLA',
  timeWait: 'kTW',
  close: 'kCL',
  synSent2: 'kS2',
  ignore: 'kIG',
  invalid: 'kIV',
};

t.test('the TCP state table of the C++ side is the same in every cell', async (t) => {
  const text = readFileSync('native/src/conntrack/tcp-states.hh', 'utf8');
  const rows = [...text.matchAll(/^ {8}\{((?:k\w\w, ){9}k\w\w)\},/gm)].map((m) => m[1]);
  const want = (['original', 'reply'] as const).flatMap((direction) =>
    INDEXES.map((index) =>
      TCP_STATES.map((state) => CODES[nextTcpState(direction, index, state)]).join(', '),
    ),
  );
  t.same(rows, want);
});
