/**
 * What results of several kinds have in common: their head, connections, deciding rules, drops.
 * The makers of these shapes are in report/json-shape.ts.
 * @module
 */
import { FRAME_OUTCOMES, type Verdict } from '../../lab/result.ts';
import { EVIDENCE } from '../../plan/model.ts';
import type { Schema } from './build.ts';
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

const VERDICTS = [
  'allowed',
  'denied',
  'broken',
  'depends',
  'unknown',
] as const satisfies readonly Verdict[];

export const VERDICT = oneOf(VERDICTS);
export const STACK = said('NETWORK+POLICY[,option=value], or what stands for a dump', TEXT);
export const REASON = said('a name of the append-only list of reasons', orNull(TEXT));
export const WARNINGS = said('what was assumed or left out, one sentence each', list(TEXT));
export const INCOMPLETE = said('the run was interrupted, or an input was cut', FLAG);
export const TIME = said('RFC 3339, UTC, nanoseconds', TEXT);

const INPUT = object(
  { path: TEXT, sha256: TEXT, packets: COUNT, bytes: said('as stored', COUNT) },
  {
    truncated: said(
      'where reading had to stop, and why; absent of a whole file',
      object({ offset: COUNT, message: TEXT }),
    ),
  },
);

/** The head of a result: `engine` and `seed` are null where a kind has none. */
export function head(kind: string, judges: boolean): Readonly<Record<string, Schema>> {
  const engine = judges ? oneOf(['reference', 'compiled']) : NO_ENGINE;
  return {
    apiVersion: { const: 'wiretrial/v1' },
    kind: { const: kind },
    tool: object({ name: { const: 'wiretrial' }, version: TEXT, engine }),
    seed: judges ? said('seed of every choice that a kernel would draw', COUNT) : NO_SEED,
    inputs: said('the captures that were read; empty where none is', list(INPUT)),
  };
}

const NO_ENGINE = { type: 'null', description: 'no engine: no packet was judged' };
const NO_SEED = { type: 'null', description: 'nothing was drawn' };

/** Fields that count verdicts. */
export const VERDICT_COUNTS = Object.fromEntries(VERDICTS.map((verdict) => [verdict, COUNT]));

/** Packets by outcome, connections by verdict. */
export const RUN_COUNTS = object({
  packets: said('the sum of all outcomes', COUNT),
  ...Object.fromEntries(FRAME_OUTCOMES.map((outcome) => [outcome, COUNT])),
  connections: object({
    total: COUNT,
    ...VERDICT_COUNTS,
    contradicted: said('answered in the capture, not allowed here', COUNT),
  }),
});

export const GENERATED = said(
  'packets that hosts made, beside those read',
  object({ packets: COUNT }),
);

export const DECIDED_BY = said(
  'the place and rule that decided, also when it allowed; null where none did',
  orNull(
    object({
      node: TEXT,
      hook: TEXT,
      rule: said('TABLE/CHAIN rule N', orNull(TEXT)),
      text: said('the rule as its tool prints it', orNull(TEXT)),
      policy: said('NAMESPACE/NetworkPolicy/NAME', orNull(TEXT)),
      policies: list(TEXT),
      source: said('FILE:LINE', orNull(TEXT)),
    }),
  ),
);

const ENDS = object({ src: TEXT, dst: TEXT, sport: orNull(PORT), dport: orNull(PORT) });

export const TRANSLATED = said('ends after translation; null when nothing changed', orNull(ENDS));

export const CHOICE = said(
  'backends and nodes that could have been chosen; null when nothing was',
  orNull(
    object({
      of: COUNT,
      allowed: COUNT,
      probability: said('of being allowed, before anything is drawn', NUMBER),
      by: oneOf(['captured', 'drawn']),
      complete: said('false when there were more than could be tried', FLAG),
    }),
  ),
);

export const DIRECTION = oneOf(['delivered', 'dropped', 'notCaptured', 'unknown']);

const FIVE_TUPLE = {
  protocol: TEXT,
  src: orNull(TEXT),
  sport: orNull(PORT),
  dst: orNull(TEXT),
  dport: orNull(PORT),
  from: said('pod/NAMESPACE/NAME or node/NAME; null outside the cluster', orNull(TEXT)),
  to: orNull(TEXT),
};

export const CONNECTION = object({
  id: COUNT,
  ...FIVE_TUPLE,
  verdict: VERDICT,
  reason: REASON,
  decidedBy: DECIDED_BY,
  forward: DIRECTION,
  reply: DIRECTION,
  opening: oneOf(['seen', 'assumed', 'listed', 'unknown']),
  contradicted: FLAG,
  evidence: said('the weakest that the verdict stands on', oneOf(EVIDENCE)),
  packets: COUNT,
  bytes: COUNT,
  firstFrame: said('from 1, as Wireshark counts', COUNT),
  translated: TRANSLATED,
  choice: CHOICE,
});

export const FRAME = object(
  {
    frame: said('from 1, as Wireshark counts; null for a packet that a host made', orNull(COUNT)),
    time: TIME,
    ...FIVE_TUPLE,
    outcome: oneOf(FRAME_OUTCOMES),
    reason: REASON,
    node: orNull(TEXT),
    hook: orNull(TEXT),
    rule: orNull(TEXT),
    policy: orNull(TEXT),
    source: orNull(TEXT),
    connection: said('id of its connection', orNull(COUNT)),
    out: said('headers as delivered', orNull(ENDS)),
  },
  {
    cause: said('the frame that a host answered with this packet', COUNT),
    retransmission: { const: true },
    notes: list(TEXT),
  },
);

export const DROP = object({
  reason: TEXT,
  packets: COUNT,
  connections: COUNT,
  node: orNull(TEXT),
  hook: orNull(TEXT),
  where: said('TABLE/CHAIN rule N', orNull(TEXT)),
  policy: orNull(TEXT),
  policies: list(TEXT),
  source: orNull(TEXT),
});

export const BY_NAME = map(COUNT);

/** A proxy in the path: which rule it follows, and its own connection. */
export const PROXY = object({
  proxy: TEXT,
  host: TEXT,
  path: TEXT,
  redirectedTo: orNull(PORT),
  ingress: orNull(TEXT),
  backend: orNull(TEXT),
  decidedLeg: orNull(oneOf(['client', 'backend'])),
  clientVerdict: orNull(VERDICT),
  backends: list(
    object({ from: TEXT, to: TEXT, name: orNull(TEXT), verdict: VERDICT, policy: orNull(TEXT) }),
  ),
  clientSeenAs: list(TEXT),
  clientAddress: TEXT,
});
