/**
 * The shapes of `wiretrial/v1` JSON: what stands under which name. Only grows once released.
 * @module
 */
import type { InputSummary } from '../capture/record.ts';
import type { ProbeResult } from '../lab/ask/probe.ts';
import type { Difference } from '../lab/compare/compare.ts';
import type {
  ConnectionResult,
  DecidedBy,
  DirectionResult,
  DropRow,
  FrameResult,
} from '../lab/result.ts';
import type { Exhaustion } from '../lab/run/exhaustion.ts';
import type { RunSummary } from '../lab/tally.ts';
import { VERSION } from './version.ts';

export const API_VERSION = 'wiretrial/v1';

/**
 * The head of every result; `inputs` and `counts` stand in each one, too. Null: no engine judged,
 * nothing was drawn.
 */
export function resultHead(kind: string, engine: string | null, seed: number | null) {
  return {
    apiVersion: API_VERSION,
    kind,
    tool: { name: 'wiretrial', version: VERSION, engine },
    seed,
  };
}

export function inputsJson(inputs: readonly InputSummary[]) {
  return inputs.map(({ path, sha256, packets, bytes, truncated }) => ({
    path,
    sha256,
    packets,
    bytes,
    ...(truncated === null ? {} : { truncated }),
  }));
}

export function countsJson({ counts }: RunSummary) {
  return { packets: counts.packets, ...counts.outcomes, connections: counts.connections };
}

/** What beside the counts is worth a reader's eye, by name. */
export function notesJson({ counts, reasons }: RunSummary) {
  return { notes: counts.notes, reasons };
}

export function dropJson(row: DropRow) {
  const { reason, packets, connections, decidedBy } = row;
  return {
    reason,
    packets,
    connections,
    node: decidedBy?.node ?? null,
    hook: decidedBy?.hook ?? null,
    where: decidedBy?.rule ?? null,
    policy: decidedBy?.policy ?? null,
    policies: decidedBy?.policies ?? [],
    source: decidedBy?.source ?? null,
  };
}

export function exhaustedJson(row: Exhaustion) {
  const { firstTimeNs, destination, protocol, pool, block, packets } = row;
  return { firstTime: formatTime(firstTimeNs), destination, protocol, pool, block, packets };
}

export function decidedByJson(by: DecidedBy | null) {
  if (by === null) return null;
  const { node, hook, rule, text, policy, policies, source } = by;
  return { node, hook, rule, text, policy, policies, source };
}

export function directionJson(d: DirectionResult): string {
  return d.result;
}

export function connectionJson(c: ConnectionResult) {
  return {
    id: c.id,
    protocol: c.protocol,
    src: c.src,
    sport: c.sport,
    dst: c.dst,
    dport: c.dport,
    from: c.from,
    to: c.to,
    verdict: c.verdict,
    reason: c.reason,
    decidedBy: decidedByJson(c.decidedBy),
    forward: directionJson(c.forward),
    reply: directionJson(c.reply),
    opening: c.opening,
    contradicted: c.contradicted,
    evidence: c.evidence,
    packets: c.packets,
    bytes: c.bytes,
    firstFrame: c.firstFrame,
    translated: c.translated,
    choice: c.choice,
  };
}

export function frameJson(f: FrameResult) {
  return {
    frame: f.frame,
    ...(f.cause === undefined ? {} : { cause: f.cause }),
    time: formatTime(f.timeNs),
    src: f.src,
    dst: f.dst,
    protocol: f.protocol,
    sport: f.sport,
    dport: f.dport,
    from: f.from,
    to: f.to,
    outcome: f.outcome,
    reason: f.reason,
    node: f.decidedBy?.node ?? null,
    hook: f.decidedBy?.hook ?? null,
    rule: f.decidedBy?.rule ?? null,
    policy: f.decidedBy?.policy ?? null,
    source: f.decidedBy?.source ?? null,
    connection: f.connection,
    out: f.out,
    ...(f.retransmission ? { retransmission: true } : {}),
    ...(f.notes.length === 0 ? {} : { notes: f.notes }),
  };
}

export function differenceJson(d: Difference) {
  return {
    connection: connectionJson(d.connection),
    class: d.class.id,
    verdicts: d.verdicts,
    reasons: d.reasons,
    decidedBy: Object.fromEntries(
      Object.entries(d.decidedBy).map(([stack, by]) => [stack, decidedByJson(by)]),
    ),
    firstDivergence:
      d.firstDivergence === null ? null : { step: d.firstDivergence.step, ...d.firstDivergence.at },
  };
}

export function probeJson(p: ProbeResult) {
  return {
    from: p.from,
    to: p.to,
    port: p.port ?? null,
    protocol: p.protocol,
    ...(p.expect === undefined ? {} : { expect: p.expect }),
    verdict: p.verdict,
    reason: p.reason,
    decidedBy: decidedByJson(p.decidedBy),
    forward: directionJson(p.forward),
    reply: directionJson(p.reply),
    ingress: p.ingress,
    egress: p.egress,
    translated: p.translated,
    choice: p.choice,
    lookup: p.lookup,
    ...(p.proxy === null ? {} : { proxy: p.proxy }),
  };
}

/** RFC 3339 in UTC with nanoseconds. */
export function formatTime(timeNs: bigint): string {
  const second = 1_000_000_000n;
  const whole = timeNs >= 0n ? timeNs / second : (timeNs - second + 1n) / second;
  const fraction = String(timeNs - whole * second).padStart(9, '0');
  const date = new Date(Number(whole) * 1000);
  if (Number.isNaN(date.getTime())) return `${whole}.${fraction}`;
  return `${date.toISOString().slice(0, 19)}.${fraction}Z`;
}
