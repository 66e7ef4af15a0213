/**
 * Journeys as text, one line a step: what `want.STACK.trace` holds. Stable: times are relative to the
 * capture's first frame, nothing names an object of the run.
 *
 *   packet 3  t=0.002000000  pod/shop/web  54 bytes  10.244.0.2:40000 > 10.244.0.3:81 tcp
 *     node-a           bridge         azure0: fdb hit, port veth-db
 *     node-a           forward        conntrack: new
 *         filter/FORWARD rule 1, AZURE-NPM
 *     = dropped policyDenied by node-a filter/AZURE-NPM-INGRESS rule 3 (shop/NetworkPolicy/deny-all)
 * @module
 */
import type { Journey, RuleLook, Step } from '../../src/engine/engine.ts';
import type { FrameResult } from '../../src/lab/result.ts';
import { formatRuleAddress } from '../../src/netfilter/rule.ts';
import type { CaseRun } from './run-case.ts';

/** The trace of a run; `openings` keeps the first frame between two ends on one port only. */
export function formatTrace(run: CaseRun, which: 'all' | 'openings'): string {
  const startNs = run.frames[0]?.timeNs ?? 0n;
  const seen = new Set<string>();
  const kept = run.frames.filter((row) => {
    if (which === 'all') return true;
    const connection = run.connections.find((c) => c.id === row.connection);
    if (connection === undefined || row.frame === null) return false;
    const { src, dst, protocol, dport, opening } = connection;
    const ends = [src, dst, protocol, dport, opening].join(' ');
    const isFirst = row.frame === connection.firstFrame && !seen.has(ends);
    seen.add(ends);
    return isFirst;
  });
  return kept.map((row) => formatFrame(row, startNs, run.lengths)).join('\n');
}

function formatFrame(
  row: FrameResult,
  startNs: bigint,
  lengths: ReadonlyMap<number, number>,
): string {
  const made = `made because of packet ${row.cause ?? '?'}`;
  const who = row.frame === null ? made : `packet ${row.frame}`;
  const length = row.frame === null ? '' : `  ${lengths.get(row.frame) ?? 0} bytes`;
  const notes = row.notes.length > 0 ? `  [${row.notes.join(' ')}]` : '';
  const time = `t=${formatSeconds(row.timeNs - startNs)}`;
  const head = `${who}  ${time}  ${row.from ?? 'outside'}${length}  ${formatEnds(row)}${notes}\n`;
  return head + (row.journey ? formatSteps(row.journey) : '') + formatFate(row);
}

function formatSeconds(ns: bigint): string {
  return `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`;
}

function formatEnds(row: FrameResult): string {
  const end = (address: string | null, port: number | null) =>
    `${address ?? '?'}${port === null ? '' : `:${port}`}`;
  const { src, sport, dst, dport, protocol } = row;
  return `${end(src, sport)} > ${end(dst, dport)} ${protocol}`;
}

function formatSteps(journey: Journey): string {
  return journey.steps.map(formatStep).join('');
}

function formatStep(step: Step): string {
  const rules = step.rules.filter((look) => look.matched).map(formatLook);
  return `  ${step.host.padEnd(16)} ${step.stage.padEnd(14)} ${step.fact}\n${rules.join('')}`;
}

function formatLook(look: RuleLook): string {
  return `      ${formatRuleAddress(look.rule)}${look.target === '' ? '' : `, ${look.target}`}\n`;
}

function formatFate(row: FrameResult): string {
  const by = row.decidedBy;
  const rule = by?.rule ? ` by ${by.node} ${by.rule}` : '';
  const policies = by && by.policies.length > 0 ? ` (${by.policies.join(', ')})` : '';
  const out = row.out
    ? `  out ${formatEnds({ ...row, ...row.out })}`.replace(` ${row.protocol}`, '')
    : '';
  return `  = ${row.outcome}${row.reason ? ` ${row.reason}` : ''}${rule}${policies}${out}\n`;
}
