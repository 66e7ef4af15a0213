import t from 'tap';
import { before, Causes, type Direction, type Segment } from '../../src/lab/causes.ts';

const NONE = { syn: false, fin: false, rst: false, hasAck: false, payloadLength: 0 };

function segment(parts: Partial<Segment> & { seq: number }): Segment {
  return { ...NONE, ack: 0, ...parts, hasAck: parts.ack !== undefined };
}

const SYN = segment({ seq: 99, syn: true });
const SYN_ACK = segment({ seq: 499, ack: 100, syn: true });
const ACK = segment({ seq: 100, ack: 500 });
const DATA = segment({ seq: 100, ack: 500, payloadLength: 10 });
const ANSWER = segment({ seq: 500, ack: 110, payloadLength: 20 });
const RESET = segment({ seq: 500, ack: 100, rst: true });

/** Each step: who sends what, whether it may be sent, and whether it then arrives. */
type StepRow = readonly [Direction, Segment, 'send' | 'causeNotDelivered' | 'flowEnded', boolean];

function play(causes: Causes, steps: readonly StepRow[]): readonly string[] {
  return steps.map(([direction, s, , arrives]) => {
    const verdict = causes.judgeTcp(direction, s);
    causes.settleTcp(direction, s, verdict === 'send' && arrives);
    return verdict;
  });
}

t.test('a connection whose SYN is dropped sends nothing that answers it', async (t) => {
  for (const [name, steps] of Object.entries({
    'delivered throughout': [
      ['original', SYN, 'send', true],
      ['reply', SYN_ACK, 'send', true],
      ['original', ACK, 'send', true],
      ['original', DATA, 'send', true],
      ['reply', ANSWER, 'send', true],
    ],
    'SYN dropped': [
      ['original', SYN, 'send', false],
      ['original', SYN, 'send', false],
      ['reply', SYN_ACK, 'causeNotDelivered', true],
      ['original', ACK, 'causeNotDelivered', true],
      ['original', DATA, 'causeNotDelivered', true],
      ['reply', ANSWER, 'causeNotDelivered', true],
    ],
    'a retransmitted SYN gets through': [
      ['original', SYN, 'send', false],
      ['original', SYN, 'send', true],
      ['reply', SYN_ACK, 'send', true],
      ['original', ACK, 'send', true],
    ],
    'SYN-ACK dropped': [
      ['original', SYN, 'send', true],
      ['reply', SYN_ACK, 'send', false],
      ['original', ACK, 'causeNotDelivered', true],
    ],
    'data dropped is not acknowledged, its retransmission is': [
      ['original', SYN, 'send', true],
      ['reply', SYN_ACK, 'send', true],
      ['original', DATA, 'send', false],
      ['reply', ANSWER, 'causeNotDelivered', true],
      ['original', DATA, 'send', true],
      ['reply', ANSWER, 'send', true],
    ],
    'a reset answers a SYN that arrived': [
      ['original', SYN, 'send', true],
      ['reply', RESET, 'send', true],
    ],
    'a reset does not answer a SYN that was dropped': [
      ['original', SYN, 'send', false],
      ['reply', RESET, 'causeNotDelivered', true],
    ],
    'whose SYN is dropped sends nothing else, whether or not the answer was captured': [
      ['original', SYN, 'send', false],
      ['original', ACK, 'causeNotDelivered', true],
      ['original', DATA, 'causeNotDelivered', true],
      ['original', SYN, 'send', true],
      ['original', ACK, 'send', true],
    ],
    'who is not captured answers all the same': [
      ['original', SYN, 'send', true],
      ['original', DATA, 'send', true],
      ['reply', ANSWER, 'send', true],
    ],
    'bytes that the capture does not hold are not held against anybody': [
      ['reply', ANSWER, 'send', true],
      ['original', segment({ seq: 110, ack: 520 }), 'send', true],
    ],
  } satisfies Record<string, readonly StepRow[]>)) {
    t.strictSame(
      play(new Causes(), steps),
      steps.map((row) => row[2]),
      name,
    );
  }
});

t.test('a reset that the network made ends its sender, not the other side', async (t) => {
  const causes = new Causes();
  play(causes, [['original', SYN, 'send', false]]);
  causes.resetBy('original');
  t.equal(causes.judgeTcp('original', SYN), 'flowEnded');
  t.equal(causes.judgeOther('reply'), 'causeNotDelivered');
});

t.test('an unreachable ends a connection that is opening, not one that is open', async (t) => {
  const opening = new Causes();
  play(opening, [['original', SYN, 'send', false]]);
  opening.unreachable('original');
  t.equal(opening.judgeTcp('original', SYN), 'flowEnded');
  const open = new Causes();
  play(open, [
    ['original', SYN, 'send', true],
    ['reply', SYN_ACK, 'send', true],
    ['original', ACK, 'send', true],
  ]);
  open.unreachable('original');
  t.equal(open.judgeTcp('original', DATA), 'send');
  open.unreachable('reply');
  t.equal(open.judgeTcp('reply', ANSWER), 'send', 'the server is open, too');
  const half = new Causes();
  play(half, [
    ['original', SYN, 'send', true],
    ['reply', SYN_ACK, 'send', false],
  ]);
  half.unreachable('reply');
  t.equal(half.judgeTcp('reply', SYN_ACK), 'flowEnded', 'who only asked to open is not');
});

t.test('a datagram is answered only when one of its requests arrived', async (t) => {
  const causes = new Causes();
  t.equal(causes.judgeOther('original'), 'send');
  causes.settleOther('original', false);
  t.equal(causes.judgeOther('reply'), 'causeNotDelivered');
  t.equal(causes.judgeError('original'), 'causeNotDelivered');
  causes.settleOther('original', true);
  t.equal(causes.judgeOther('reply'), 'send');
  t.equal(causes.judgeError('original'), 'send');
});

t.test(
  'an association is opened again and again, and nothing else of it is sent before',
  async (t) => {
    const [init, initAck, data] = [1, 2, 0];
    const causes = new Causes();
    for (const arrives of [false, false, true]) {
      t.equal(causes.judgeSctp('original', init), 'send');
      causes.settleOther('original', arrives);
      const isHeard = arrives ? 'send' : 'causeNotDelivered';
      t.equal(causes.judgeSctp('original', data), isHeard);
      t.equal(causes.judgeSctp('reply', initAck), isHeard);
    }
  },
);

t.test('what a client sends behind its SYN shows that it was answered', async (t) => {
  const causes = new Causes();
  t.notOk(causes.provesUnseenAnswer(DATA), 'not where nothing opened');
  causes.settleTcp('original', SYN, true);
  t.notOk(causes.provesUnseenAnswer(SYN), 'nor does a SYN that is sent again');
  t.ok(causes.provesUnseenAnswer(DATA));
  causes.assumeAnswered();
  t.notOk(causes.provesUnseenAnswer(DATA), 'once');
  causes.unreachable('original');
  t.equal(causes.judgeTcp('original', DATA), 'send', 'no error ends what is open');
  const unanswered = new Causes();
  unanswered.settleTcp('original', SYN, true);
  unanswered.unreachable('original');
  t.equal(unanswered.judgeTcp('original', DATA), 'flowEnded');
});

t.test('sequence numbers wrap', async (t) => {
  t.ok(before(0xffff_fff0, 0x10));
  t.notOk(before(0x10, 0xffff_fff0));
  const causes = new Causes();
  const nearEnd = segment({ seq: 0xffff_fffb, ack: 1, payloadLength: 10 });
  causes.settleTcp('original', nearEnd, false);
  t.equal(causes.judgeTcp('reply', segment({ seq: 1, ack: 5 })), 'causeNotDelivered');
  causes.settleTcp('original', nearEnd, true);
  t.equal(causes.judgeTcp('reply', segment({ seq: 1, ack: 5 })), 'send');
});

t.test('however many gaps there are, what was lost stays unacknowledged', async (t) => {
  const causes = new Causes();
  for (let i = 0; i < 100; i++) {
    causes.settleTcp('original', segment({ seq: i * 20, ack: 1, payloadLength: 10 }), false);
  }
  for (const ack of [5, 995, 1985]) {
    t.equal(causes.judgeTcp('reply', segment({ seq: 1, ack })), 'causeNotDelivered', `ack ${ack}`);
  }
  const backwards = new Causes();
  for (let i = 99; i >= 0; i--) {
    backwards.settleTcp('original', segment({ seq: i * 20, ack: 1, payloadLength: 10 }), false);
  }
  const first = segment({ seq: 1, ack: 5 });
  t.equal(backwards.judgeTcp('reply', first), 'causeNotDelivered', 'the first was lost last');
});
