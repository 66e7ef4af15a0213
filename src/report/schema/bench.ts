/**
 * The result of `bench`.
 * @module
 */
import { COUNT, list, NUMBER, object, oneOf, orNull, said, TEXT } from './build.ts';
import { BY_NAME, head, STACK } from './parts.ts';

const INTERVAL = said(
  'head over base, with its 95 % interval; null without a base',
  orNull(object({ median: NUMBER, low: NUMBER, high: NUMBER })),
);

export const BENCH_RESULT = object(
  {
    ...head('BenchResult', true),
    stack: STACK,
    counts: object({ cases: COUNT, packets: said('of one sample', COUNT) }),
    cases: list(
      object({
        name: TEXT,
        engine: TEXT,
        workers: COUNT,
        packets: said('of one sample', COUNT),
        pps: said(
          'packets per second of CPU time',
          object({ median: NUMBER, min: NUMBER, max: NUMBER, mad: NUMBER, samples: list(NUMBER) }),
        ),
        nsPerPacket: NUMBER,
        counters: said('exact: equal in every run of the same build', BY_NAME),
        outcomes: said('of one sample', BY_NAME),
        digest: said('of the verdicts of all packets that both engines judged', TEXT),
        checked: said('packets that both engines judged', COUNT),
      }),
    ),
  },
  {
    base: object({ text: TEXT, rounds: COUNT, digest: TEXT }),
    metrics: list(
      object({
        metric: TEXT,
        base: orNull(NUMBER),
        head: NUMBER,
        ratio: INTERVAL,
        gates: list(object({ text: TEXT, judgement: oneOf(['pass', 'fail', 'undecided']) })),
      }),
    ),
  },
);
