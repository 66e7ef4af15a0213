/**
 * A plan that is written when somebody first looks into it. A cluster of thousands of nodes has
 * plans of gigabytes, of which a replay looks into few.
 * @module
 */
import { assert } from '../diagnostic/diagnostic.ts';
import type { Plan } from './model.ts';

/** What is known of a plan before it is written. */
export type PlanHead = Pick<Plan, 'host' | 'role' | 'evidence'>;

/** Parts that every plan has. A plan that is written later may have no others. */
const PARTS = [
  'kernel',
  'interfaces',
  'routes',
  'routingRules',
  'neighbors',
  'fdb',
  'tables',
  'ebtables',
  'ipsets',
  'sysctls',
] as const;

/** The plan that `write` makes, once; it has to have this head. */
export function lazyPlan(head: PlanHead, write: () => Plan): Plan {
  let written: Plan | undefined;
  const plan = (): Plan => {
    if (written) return written;
    written = write();
    const known: readonly string[] = [...PARTS, 'host', 'role', 'evidence'];
    const others = Object.keys(written).filter((part) => !known.includes(part));
    const { host, role, evidence } = written;
    const same = host === head.host && role === head.role && evidence === head.evidence;
    assert(same && others.length === 0, `the plan of ${host} is as it was announced`);
    return written;
  };
  return {
    ...head,
    get kernel() {
      return plan().kernel;
    },
    get interfaces() {
      return plan().interfaces;
    },
    get routes() {
      return plan().routes;
    },
    get routingRules() {
      return plan().routingRules;
    },
    get neighbors() {
      return plan().neighbors;
    },
    get fdb() {
      return plan().fdb;
    },
    get tables() {
      return plan().tables;
    },
    get ebtables() {
      return plan().ebtables;
    },
    get ipsets() {
      return plan().ipsets;
    },
    get sysctls() {
      return plan().sysctls;
    },
  };
}
