/**
 * One journey told step by step, as text or JSON.
 * @module
 */
import { stringify } from 'yaml';
import type { InputSummary } from '../../capture/record.ts';
import { type Diagnostic, formatDiagnostic } from '../../diagnostic/diagnostic.ts';
import type { RuleLook, Step } from '../../engine/engine.ts';
import type { Explanation, TriedRule } from '../../lab/ask/explain.ts';
import type { ProxyReport } from '../../lab/ask/ingress/proxied.ts';
import { packetOf } from '../../lab/datagram/headers.ts';
import type { Prospect } from '../../lab/run/prospects.ts';
import { formatRuleAddress } from '../../netfilter/rule.ts';
import { type Address, equalAddress, formatAddress } from '../../wire/address/address.ts';
import { describeReason, isReason } from '../../wire/drop-reason.ts';
import type { OutputRequest } from '../formats.ts';
import { decidedByJson, inputsJson, resultHead } from '../json-shape.ts';
import { proxyText } from '../text/proxy-text.ts';
import type { TextOutput } from '../text/text-output.ts';
import { formatPlace } from './replay-table.ts';

export interface ExplainEnd {
  readonly stack: string;
  readonly engine: string;
  readonly seed: number;
  /** What is explained: `frame 12: 10.1.0.4:40000 > 10.1.0.5:80 tcp S`. */
  readonly subject: string;
  readonly explanation: Explanation;
  /** Why the frame was not sent at all, when it was not. */
  readonly notSent: string | null;
  /** The ways its connection could take, when chance decides; else empty. */
  readonly ways: readonly Prospect[];
  /** The proxy that a flow goes through; null when there is none. */
  readonly proxy: ProxyReport | null;
  /** The captures it was found in; none for a flow that was asked. */
  readonly inputs: readonly InputSummary[];
  /** What was assumed of the cluster; text leaves it to standard error. */
  readonly warnings: readonly Diagnostic[];
}

export function writeExplanation(request: OutputRequest, out: TextOutput, end: ExplainEnd): void {
  out.write(format(request, end));
  out.close();
}

function format(request: OutputRequest, end: ExplainEnd): string {
  switch (request.format) {
    case 'json':
      return `${JSON.stringify(explainJson(end), null, 1)}\n`;
    case 'yaml':
      return stringify(explainJson(end), { aliasDuplicateObjects: false });
    case 'markdown':
      return `\`\`\`text\n${explainText(end)}\`\`\`\n`;
    default:
      return explainText(end);
  }
}

function explainText(end: ExplainEnd): string {
  const { explanation: e } = end;
  const head = `${end.subject}\n  on ${end.stack} (${end.engine} engine)\n\n`;
  if (end.notSent !== null) return `${head}NOT SENT  ${end.notSent}\n`;
  const reason = e.reason === null ? '' : `  ${e.reason}: ${sentence(e.reason)}`;
  const by = e.decidedBy;
  return [
    head,
    `${e.outcome.toUpperCase()}  at ${by ? formatPlace(by) : `${e.journey.end.host} ${e.journey.end.device}`}\n`,
    reason === '' ? '' : `${reason}\n`,
    by?.text ? `  rule     ${by.text}\n` : '',
    by && by.policies.length > 0
      ? `  because  ${by.policies.join(', ')}${by.source ? ` (${by.source})` : ''}\n`
      : '',
    isolation(e),
    tried(e.tried),
    translation(e.journey),
    choices(end.ways),
    end.proxy === null ? '' : `\nPROXY  ${proxyText(end.proxy)}`,
    `\nJOURNEY\n${e.journey.steps.map(formatStep).join('')}`,
  ].join('');
}

/** What translation made of the packet's ends, and whether its taker still sees who sent it. */
function translation({ crossings, packet }: Explanation['journey']): string {
  const [sent] = crossings;
  const last = packetOf(packet) ?? crossings.at(-1)?.ends;
  if (sent === undefined || last === undefined) return '';
  const { ends } = sent;
  const end = (address: Address, port: number | null) =>
    port === null || port === 0 ? formatAddress(address) : `${formatAddress(address)}:${port}`;
  const isHidden = !equalAddress(ends.src, last.src);
  const isMoved = !equalAddress(ends.dst, last.dst) || ends.dport !== (last.dport ?? 0);
  if (!isHidden && !isMoved) return '';
  const sees = isHidden
    ? `whoever takes it sees ${formatAddress(last.src)}, not ${formatAddress(ends.src)}`
    : `whoever takes it sees its sender, ${formatAddress(ends.src)}`;
  const before = `${end(ends.src, ends.sport)} > ${end(ends.dst, ends.dport)}`;
  const after = `${end(last.src, last.sport)} > ${end(last.dst, last.dport)}`;
  return `\nTRANSLATED  ${before} became ${after}\n  ${sees}\n`;
}

function choices(ways: readonly Prospect[]): string {
  if (ways.length < 2) return '';
  const allowed = ways.filter((way) => way.verdict === 'allowed').length;
  const lines = ways.map(({ target, probability, verdict, reason, decidedBy }) => {
    const where = target === null ? '?' : `${formatAddress(target.dst)}:${target.dport ?? ''}`;
    const why = decidedBy?.policy ?? reason;
    const because = verdict === 'allowed' || why === null ? '' : ` by ${why}`;
    return `  ${where}  ${(probability * 100).toFixed(1)} %  ${verdict}${because}\n`;
  });
  return `\nCHOICES  ${allowed} of ${ways.length} ways are allowed\n${lines.join('')}`;
}

function sentence(reason: string): string {
  return isReason(reason) ? describeReason(reason) : reason;
}

function isolation(e: Explanation): string {
  if (e.isolatedBy.length === 0) return '';
  const lines = e.isolatedBy.map(
    (p) => `  ${p.policy} isolates ${p.direction ?? 'it'}${p.source ? ` (${p.source})` : ''}\n`,
  );
  return `\nIMPLICIT DENY  no allow rule of a policy that selects it matched\n${lines.join('')}`;
}

function tried(rules: readonly TriedRule[]): string {
  if (rules.length === 0) return '';
  const lines = rules.map((t) => {
    const place = `${t.policy}${t.field ? ` ${t.field}` : ''}${t.source ? ` (${t.source})` : ''}`;
    const wanted = t.wanted === null ? '' : ` (${t.wanted})`;
    const found = `${wanted}${t.found === null ? '' : `; the packet has ${t.found}`}`;
    const why = t.matched ? 'matched' : `missed: ${t.missed ?? '?'}${found}`;
    return `  ${place}\n    at ${t.node} ${t.rule}: ${why}\n`;
  });
  return `\nTRIED\n${lines.join('')}`;
}

function formatStep(step: Step): string {
  const head = `  ${step.host.padEnd(16)} ${step.stage.padEnd(14)} ${step.fact}\n`;
  return head + step.rules.map(formatLook).join('');
}

function formatLook(look: RuleLook): string {
  const mark = look.matched ? '+' : '-';
  const why = look.matched
    ? look.target === ''
      ? 'counted'
      : look.target
    : `missed ${look.missed ?? '?'}${look.found ? `, has ${look.found}` : ''}`;
  return `      ${mark} ${formatRuleAddress(look.rule)}: ${why}${matchedService(look)}\n`;
}

/** The Service port that a rule which held stands for: `, svc/shop/web:http (shop.yaml:12)`. */
function matchedService(look: RuleLook): string {
  const origin = look.matched
    ? look.origin?.find((o) => o.object.includes('/Service/'))
    : undefined;
  if (origin === undefined) return '';
  const [namespace, , name] = origin.object.split('/');
  const port = /\((.+)\)$/.exec(origin.field ?? '')?.[1];
  const place = origin.source === undefined ? '' : ` (${origin.source})`;
  return `, svc/${namespace}/${name}${port === undefined ? '' : `:${port}`}${place}`;
}

function explainJson(end: ExplainEnd) {
  const { explanation: e } = end;
  const rules = e.journey.steps.flatMap((s) => s.rules);
  const looks = rules.length;
  const matched = rules.filter((look) => look.matched).length;
  return {
    ...resultHead('ExplainResult', end.engine, end.seed),
    stack: end.stack,
    inputs: inputsJson(end.inputs),
    counts: { steps: e.journey.steps.length, rulesLookedAt: looks, rulesMatched: matched },
    warnings: end.warnings.map(formatDiagnostic),
    subject: end.subject,
    notSent: end.notSent,
    ...(end.proxy === null ? {} : { proxy: end.proxy }),
    outcome: e.outcome,
    reason: e.reason,
    decidedBy: decidedByJson(e.decidedBy),
    isolatedBy: e.isolatedBy,
    tried: e.tried,
    hosts: e.journey.hosts,
    ways: end.ways.map((way) => ({
      dst: way.target === null ? null : formatAddress(way.target.dst),
      dport: way.target?.dport ?? null,
      probability: way.probability,
      verdict: way.verdict,
      reason: way.reason,
      decidedBy: decidedByJson(way.decidedBy),
    })),
    steps: e.journey.steps.map((s) => ({
      host: s.host,
      stage: s.stage,
      hook: s.hook ?? null,
      fact: s.fact,
      rules: s.rules.map((look) => ({
        rule: formatRuleAddress(look.rule),
        matched: look.matched,
        target: look.target,
        missed: look.missed ?? null,
        found: look.found ?? null,
        policies: (look.origin ?? []).map((o) => o.object),
      })),
    })),
  };
}
