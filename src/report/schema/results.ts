/**
 * The results of verbs that judge packets, and the rows that their `-o jsonl` writes.
 * @module
 */
import { PROBE_PROTOCOLS } from '../../lab/ask/probe.ts';
import { FRAME_OUTCOMES } from '../../lab/result.ts';
import {
  COUNT,
  FLAG,
  list,
  map,
  NUMBER,
  object,
  oneOf,
  orNull,
  PORT,
  said,
  TEXT,
} from './build.ts';
import {
  BY_NAME,
  CHOICE,
  CONNECTION,
  DECIDED_BY,
  DIRECTION,
  DROP,
  GENERATED,
  head,
  INCOMPLETE,
  PROXY,
  REASON,
  RUN_COUNTS,
  STACK,
  TIME,
  TRANSLATED,
  VERDICT,
  VERDICT_COUNTS,
  WARNINGS,
} from './parts.ts';

const EXHAUSTED = object({
  firstTime: TIME,
  destination: TEXT,
  protocol: TEXT,
  pool: TEXT,
  block: orNull(TEXT),
  packets: COUNT,
});

export const REPLAY_RESULT = object({
  ...head('ReplayResult', true),
  stack: STACK,
  connections: list(CONNECTION),
  counts: RUN_COUNTS,
  generated: GENERATED,
  notes: said('what checksum, clock and duplicate rules met', BY_NAME),
  reasons: said('packets by why they are unknown, suppressed or observed', BY_NAME),
  clock: object({ backwardSteps: COUNT, longGaps: COUNT }),
  drops: list(DROP),
  snatExhausted: said('where public ports ran out, the earliest first', list(EXHAUSTED)),
  warnings: WARNINGS,
  incomplete: INCOMPLETE,
});

export const DIFFERENCE = object({
  connection: said('as the first stack sees it', CONNECTION),
  class: said('one of classes[].class', TEXT),
  verdicts: said('by stack', map(VERDICT)),
  reasons: said('by stack', map(REASON)),
  decidedBy: said('by stack', map(DECIDED_BY)),
  firstDivergence: said(
    'the first judgement that differs, from 1; by stack NODE/HOOK/CHAIN#RULE',
    orNull({ ...object({ step: COUNT }), additionalProperties: TEXT }),
  ),
});

export const COMPARE_RESULT = object({
  ...head('CompareResult', true),
  stacks: list(STACK),
  differences: list(DIFFERENCE),
  counts: object({ connections: COUNT, agree: COUNT, disagree: COUNT, unknown: COUNT }),
  classes: list(
    object({ class: TEXT, connections: COUNT, packets: COUNT, explanation: TEXT, source: TEXT }),
  ),
  runs: said(
    'each stack by itself',
    list(
      object({
        stack: STACK,
        counts: RUN_COUNTS,
        generated: GENERATED,
        drops: list(DROP),
        warnings: WARNINGS,
      }),
    ),
  ),
  incomplete: INCOMPLETE,
});

const DIAGNOSIS = said(
  'what the rules of this direction decide when the walk goes on behind a drop of the other',
  oneOf(['allowed', 'denied', 'notEvaluated', 'bypassed']),
);
const EXPECTATION = oneOf(['allowed', 'denied']);
const PORT_OR_NAME = { type: ['integer', 'string'], minimum: 1, maximum: 65_535, minLength: 1 };
const PROTOCOL = oneOf(PROBE_PROTOCOLS);

export const PROBE = object(
  {
    from: TEXT,
    to: TEXT,
    port: orNull({ anyOf: [PORT, TEXT] }),
    protocol: PROTOCOL,
    verdict: VERDICT,
    reason: REASON,
    decidedBy: DECIDED_BY,
    forward: DIRECTION,
    reply: DIRECTION,
    ingress: DIAGNOSIS,
    egress: DIAGNOSIS,
    translated: TRANSLATED,
    choice: CHOICE,
    lookup: said(
      'what became of a name that was asked for; null when an end was',
      orNull(
        object({
          name: TEXT,
          asked: list(TEXT),
          addresses: list(TEXT),
          server: orNull(TEXT),
          verdict: VERDICT,
        }),
      ),
    ),
  },
  { expect: EXPECTATION, proxy: PROXY },
);

export const PROBE_RESULT = object({
  ...head('ProbeResult', true),
  stack: STACK,
  counts: object({ probes: COUNT, ...VERDICT_COUNTS }),
  warnings: WARNINGS,
  incomplete: INCOMPLETE,
  probes: said('in the order asked', list(PROBE)),
  mismatches: said('those whose verdict is not the expected one', list(PROBE)),
});

/** The file that `probe --probes` reads. */
export const PROBES = list({
  ...object(
    {
      from: said('pod/NAMESPACE/NAME, node/NAME or an address', TEXT),
      to: said('as from, or svc/NAMESPACE/NAME[:PORT], or a URL', TEXT),
      protocol: PROTOCOL,
    },
    {
      port: said('needed unless `to` says it or the protocol is ICMP', PORT_OR_NAME),
      expect: EXPECTATION,
      host: said('the host that an HTTP request names', { type: 'string', minLength: 1 }),
    },
  ),
  additionalProperties: false,
});

const LOOK = object({
  rule: TEXT,
  matched: FLAG,
  target: TEXT,
  missed: said('the condition that failed', orNull(TEXT)),
  found: said('what the packet had instead', orNull(TEXT)),
  policies: list(TEXT),
});

export const EXPLAIN_RESULT = object(
  {
    ...head('ExplainResult', true),
    stack: STACK,
    counts: object({ steps: COUNT, rulesLookedAt: COUNT, rulesMatched: COUNT }),
    warnings: WARNINGS,
    subject: TEXT,
    notSent: said('why the frame was not sent at all; null when it was', orNull(TEXT)),
    outcome: oneOf(FRAME_OUTCOMES),
    reason: REASON,
    decidedBy: DECIDED_BY,
    isolatedBy: said(
      'policies that isolate the pod in the direction that decided',
      list(object({ policy: TEXT, direction: orNull(TEXT), source: orNull(TEXT) })),
    ),
    tried: said(
      'allow rules that were looked at',
      list(
        object({
          policy: TEXT,
          field: orNull(TEXT),
          source: orNull(TEXT),
          node: TEXT,
          rule: TEXT,
          matched: FLAG,
          missed: orNull(TEXT),
          wanted: said('what a failed set stands for', orNull(TEXT)),
          found: orNull(TEXT),
        }),
      ),
    ),
    hosts: list(TEXT),
    ways: said(
      'the ways that its connection could take, where one is drawn',
      list(
        object({
          dst: orNull(TEXT),
          dport: orNull(PORT),
          probability: NUMBER,
          verdict: VERDICT,
          reason: REASON,
          decidedBy: DECIDED_BY,
        }),
      ),
    ),
    steps: list(
      object({ host: TEXT, stage: TEXT, hook: orNull(TEXT), fact: TEXT, rules: list(LOOK) }),
    ),
  },
  { proxy: PROXY },
);
