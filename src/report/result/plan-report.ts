/**
 * A host's plan as a result: what `plan -o json` prints.
 * @module
 */
import { type Diagnostic, formatDiagnostic } from '../../diagnostic/diagnostic.ts';
import type { Plan } from '../../plan/model.ts';
import { planToJson } from '../../plan/plan-json.ts';
import { resultHead } from '../json-shape.ts';

/** What a plan is a part of. */
export interface PlanHead {
  readonly stack: string;
  /** What was assumed of the cluster. */
  readonly warnings: readonly Diagnostic[];
}

/** The plan in JSON, with what it was made for and how much it holds. */
export function planReport(plan: Plan, { stack, warnings }: PlanHead): string {
  // No capture is read, no packet judged, nothing drawn.
  const head = { ...resultHead('Plan', null, null), stack, inputs: [] };
  const found = { counts: countsOf(plan), warnings: warnings.map(formatDiagnostic) };
  const result = { ...head, ...found, ...planToJson(plan) };
  return `${JSON.stringify(result, null, 1)}\n`;
}

/** Rules are those of iptables, of both families and all tables. */
function countsOf({ interfaces, routes, tables, ipsets }: Plan) {
  const chains = tables.flatMap((table) => table.chains);
  return {
    interfaces: interfaces.length,
    routes: routes.length,
    chains: chains.length,
    rules: chains.reduce((sum, { rules }) => sum + rules.length, 0),
    ipsets: ipsets.length,
    members: ipsets.reduce((sum, { members }) => sum + members.length, 0),
  };
}
