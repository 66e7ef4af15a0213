/**
 * Every shape that users write or read, by kind: what `doctor --schema KIND` prints.
 * @module
 */
import { WIRING_SCHEMA } from '../../cluster/decode/wiring/schema.ts';
import { BENCH_RESULT } from './bench.ts';
import type { Schema } from './build.ts';
import { DOCTOR_RESULT } from './doctor.ts';
import { CONNECTION, FRAME } from './parts.ts';
import { PLAN } from './plan.ts';
import {
  COMPARE_RESULT,
  DIFFERENCE,
  EXPLAIN_RESULT,
  PROBE,
  PROBE_RESULT,
  PROBES,
  REPLAY_RESULT,
} from './results.ts';

/** What is written by hand. */
const GIVEN: readonly (readonly [kind: string, schema: Schema])[] = [
  ['Wiring', WIRING_SCHEMA],
  named('Probes', 'The file of probe --probes', PROBES),
];

/** What `-o json` prints. */
const RESULTS = [
  named('ReplayResult', 'replay -o json', REPLAY_RESULT),
  named('CompareResult', 'compare -o json', COMPARE_RESULT),
  named('ProbeResult', 'probe -o json', PROBE_RESULT),
  named('ExplainResult', 'explain -o json', EXPLAIN_RESULT),
  named('BenchResult', 'bench -o json', BENCH_RESULT),
  named('DoctorResult', 'doctor -o json', DOCTOR_RESULT),
  named('Plan', 'plan -o json', PLAN),
];

/** Lines of `-o jsonl`. */
const ROWS = [
  named('Frame', 'A line of replay -o jsonl', FRAME),
  named('Connection', 'A line of replay -o jsonl --rows connections', CONNECTION),
  named('Difference', 'A line of compare -o jsonl', DIFFERENCE),
  named('Probe', 'A line of probe -o jsonl', PROBE),
];

export const SCHEMAS: ReadonlyMap<string, Schema> = new Map([...GIVEN, ...RESULTS, ...ROWS]);

function named(kind: string, title: string, schema: Schema): readonly [string, Schema] {
  const $schema = 'https://json-schema.org/draft/2020-12/schema';
  return [kind, { $schema, $id: `wiretrial/v1/${kind}`, title, ...schema }];
}
