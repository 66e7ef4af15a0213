/**
 * A differing trial made small: frames go as long as the same kind of difference stays, then tables,
 * rules, conditions of rules, sets and settings; what is left is printed as a row of a test.
 *
 * Every attempt is a whole new kernel and a new engine.
 * @module
 */
import type { EbRule } from '../../../../src/netfilter/ebtables.ts';
import type { Rule, Table } from '../../../../src/netfilter/rule.ts';
import { printEbtables } from '../../../../src/plan/ebtables/text.ts';
import { printIpsets } from '../../../../src/plan/ipset/text.ts';
import { printIptables } from '../../../../src/plan/rule/iptables-text.ts';
import { printSysctls } from '../../../../src/plan/sysctl-text.ts';
import * as ethernet from '../../../../src/wire/header/ethernet.ts';
import { printIp } from '../../../../src/wire/print.ts';
import type { Agent } from './agent.ts';
import { askEngine } from './ask-engine.ts';
import { compare } from './compare.ts';
import type { Difference } from './difference.ts';
import type { Shot, Trial } from './trial.ts';

/** Kernels that one difference may cost; what is left by then is printed as it is. */
const ATTEMPTS = 400;

type Judge = (trial: Trial) => Promise<Difference | null>;

/** The difference of a trial, engine and kernel asked anew; null when there is none. */
export async function judge(agent: Agent, trial: Trial): Promise<Difference | null> {
  try {
    const { outcome } = await compare(agent, trial, askEngine(trial));
    return outcome.kind === 'different' ? outcome.difference : null;
  } catch {
    // What one of them refuses is no smaller case of this.
    return null;
  }
}

/** The smallest trial found that differs in the same way. */
export async function shrink(agent: Agent, trial: Trial, kind: Difference['kind']): Promise<Trial> {
  let left = ATTEMPTS;
  const differs: Judge = async (smaller) => {
    left -= 1;
    if (left < 0) return null;
    const found = await judge(agent, smaller);
    return found?.kind === kind ? found : null;
  };
  let small = await fewer(trial, trial.shots, withShots, differs);
  for (let round = 0; round < 2; round++) {
    small = await fewer(small, small.plan.tables, withTables, differs);
    small = await fewerRules(small, differs);
    small = await fewerFrameRules(small, differs);
    small = await plainerRules(small, differs);
    small = await fewer(small, small.shots, withShots, differs);
  }
  small = await fewer(small, small.plan.ipsets, (t, ipsets) => withPlan(t, { ipsets }), differs);
  const settings = Object.entries(small.plan.sysctls);
  return fewer(
    small,
    settings,
    (t, some) => withPlan(t, { sysctls: Object.fromEntries(some) }),
    differs,
  );
}

function withShots(trial: Trial, shots: readonly Shot[]): Trial {
  return { ...trial, shots };
}

function withTables(trial: Trial, tables: readonly Table[]): Trial {
  return withPlan(trial, { tables });
}

function withPlan(trial: Trial, change: Partial<Trial['plan']>): Trial {
  return { ...trial, plan: { ...trial.plan, ...change } };
}

/** Leave out ever smaller parts of a list (ddmin without its complements). */
async function fewer<T>(
  trial: Trial,
  all: readonly T[],
  make: (trial: Trial, some: readonly T[]) => Trial,
  differs: Judge,
): Promise<Trial> {
  let left = all;
  for (
    let size = Math.ceil(left.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < left.length; ) {
      const without = left.toSpliced(at, size);
      if ((await differs(make(trial, without))) !== null) left = without;
      else at += size;
    }
  }
  return make(trial, left);
}

async function fewerRules(trial: Trial, differs: Judge): Promise<Trial> {
  let small = trial;
  for (const [ti, table] of trial.plan.tables.entries()) {
    for (const [ci] of table.chains.entries()) {
      const rules = small.plan.tables[ti]?.chains[ci]?.rules ?? [];
      small = await fewer(small, rules, (t, some) => withRules(t, [ti, ci], some), differs);
    }
  }
  return small;
}

/** Rules of ebtables. */
async function fewerFrameRules(trial: Trial, differs: Judge): Promise<Trial> {
  let small = trial;
  for (const [ti, table] of trial.plan.ebtables.entries()) {
    for (const [ci, { rules }] of table.chains.entries()) {
      small = await fewer(small, rules, (t, some) => withFrameRules(t, [ti, ci], some), differs);
    }
  }
  return small;
}

function withFrameRules(
  trial: Trial,
  [ti, ci]: readonly [number, number],
  rules: readonly EbRule[],
): Trial {
  const ebtables = trial.plan.ebtables.map((table, i) => {
    if (i !== ti) return table;
    const chains = table.chains.map((chain, j) => (j === ci ? { ...chain, rules } : chain));
    return { ...table, chains };
  });
  return withPlan(trial, { ebtables });
}

function withRules(trial: Trial, [ti, ci]: readonly [number, number], rules: readonly Rule[]) {
  const tables = trial.plan.tables.map((table, i) =>
    i !== ti
      ? table
      : { ...table, chains: table.chains.map((c, j) => (j === ci ? { ...c, rules } : c)) },
  );
  return withTables(trial, tables);
}

/** Conditions go one by one. */
async function plainerRules(trial: Trial, differs: Judge): Promise<Trial> {
  let small = trial;
  for (const [ti, table] of trial.plan.tables.entries()) {
    for (const [ci, chain] of table.chains.entries()) {
      for (const [ri] of chain.rules.entries()) {
        for (const plainer of simplifications(ruleAt(small, ti, ci, ri))) {
          const rules = small.plan.tables[ti]?.chains[ci]?.rules ?? [];
          const rule = plainer(ruleAt(small, ti, ci, ri));
          const next = withRules(small, [ti, ci], rules.toSpliced(ri, 1, rule));
          if ((await differs(next)) !== null) small = next;
        }
      }
    }
  }
  return small;
}

function ruleAt(trial: Trial, table: number, chain: number, rule: number): Rule {
  const found = trial.plan.tables[table]?.chains[chain]?.rules[rule];
  if (found === undefined) throw new Error('no such rule');
  return found;
}

function simplifications(rule: Rule): ((rule: Rule) => Rule)[] {
  const heads = Object.keys(rule.ip).map((key) => (r: Rule): Rule => {
    const ip = Object.fromEntries(Object.entries(r.ip).filter(([name]) => name !== key));
    return { ...r, ip };
  });
  const matches = rule.matches.map((match) => (r: Rule): Rule => {
    return { ...r, matches: r.matches.filter((m) => m !== match) };
  });
  return [...matches, ...heads];
}

/** Everything needed to write the case down as a test. */
export function printTrial(trial: Trial, found: Difference | null): string {
  const { plan } = trial;
  const shots = trial.shots.map((shot) => {
    if (shot.kind === 'wait') return `wait ${shot.seconds} s`;
    const hex = Buffer.from(shot.frame).toString('hex');
    const offload = shot.offload === undefined ? '' : ` offloaded ${shot.offload.join('+')}`;
    return `[${JSON.stringify(shot.device)}, '${hex}'],${offload} // ${described(shot.frame)}`;
  });
  const interfaces = plan.interfaces.map((i) => `${i.name}${i.master ? `@${i.master}` : ''}`);
  return [
    `== ${trial.name} (${trial.backend}): ${found?.kind ?? 'no difference any more'}`,
    ...(found?.lines ?? []).flatMap((line) =>
      [line, explained(line)].filter((text) => text !== ''),
    ),
    `-- devices ${interfaces.join(' ')}`,
    printSysctls(plan).trimEnd(),
    printIpsets(plan).trimEnd(),
    printEbtables(plan).trimEnd(),
    withoutEmpty(printIptables(plan, 4)),
    withoutEmpty(printIptables(plan, 6)),
    ...shots,
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function withoutEmpty(text: string): string {
  const used = new Set([...text.matchAll(/^-A (\S+)/gm)].map((m) => m[1]));
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .filter((line) => !/^:\S+ (-|ACCEPT) /.test(line) || used.has(/^:(\S+)/.exec(line)?.[1]))
    .join('\n');
}

function described(frame: Uint8Array): string {
  const macs = `${ethernet.source(frame)} > ${ethernet.destination(frame)}`;
  const type = ethernet.etherType(frame);
  if (type !== 0x0800 && type !== 0x86dd) return `${macs} type 0x${type.toString(16)}`;
  try {
    return `${macs} ${printIp(frame, ethernet.payloadOffset(frame), frame.length)}`;
  } catch {
    return `${macs} not to be read`;
  }
}

/** A line that ends in a frame's bytes, in words. */
function explained(line: string): string {
  const hex = /\S+ ([0-9a-f]{28,})$/.exec(line)?.[1];
  return hex === undefined ? '' : `    ${described(Buffer.from(hex, 'hex'))}`;
}
