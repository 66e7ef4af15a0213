/**
 * The rule that a verdict names is the rule that decides: it is found in the node's plan as text,
 * changed there, read back, and then the verdict, or the rule it names, is another.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { type ProbeRequest, type ProbeResult, Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import type { Network, Plan } from '../../src/plan/model.ts';
import { parseIptables, printIptables } from '../../src/plan/rule/iptables-text.ts';
import { cyclonusCases, haveSuites } from '../support/suites.ts';

const STACKS = ['azure-bridge+npm', 'azure-transparent+calico'];
const VERDICTS = 200;

/** A small generator with a fixed seed (mulberry32): the drawn probes are the same every run. */
function drawer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

/** The plan as it is after its IPv4 tables were printed and read back: without provenance. */
function reread(plan: Plan, lines: readonly string[]): Plan {
  const tables = parseIptables(lines.join('\n'), 'changed', 4);
  return { ...plan, tables: [...tables, ...plan.tables.filter((x) => x.family === 6)] };
}

/** The plan with one line of its filter table changed: a deny taken out, an allow made a DROP. */
function changed(plan: Plan, verdict: ProbeResult): Plan | string {
  const by = verdict.decidedBy;
  const lines = printIptables(plan, 4).split('\n');
  const [, table, chain, index] = /^(\w+)\/(\S+) rule (\d+)$/.exec(by?.rule ?? '') ?? [];
  const start = lines.indexOf(`*${table}`);
  const rules = lines
    .map((line, at) => ({ line, at }))
    .filter(({ line, at }) => at > start && line.startsWith(`-A ${chain} `));
  const named = rules[Number(index) - 1];
  if (!named || named.line !== by?.text) return `no line ${by?.rule}: ${by?.text}`;
  const target = / -[jg] \S+.*$/;
  if (verdict.verdict === 'allowed') lines[named.at] = named.line.replace(target, ' -j DROP');
  else lines.splice(named.at, 1);
  return reread(plan, lines);
}

function withPlan(network: Network, plan: Plan): Network {
  return { ...network, nodes: network.nodes.map((n) => (n.host === plan.host ? plan : n)) };
}

for (const text of STACKS) {
  t.test(
    `${VERDICTS} drawn verdicts on ${text} hang on the rule they name`,
    {
      skip: haveSuites() ? false : 'needs ../shared',
    },
    async (t) => {
      const draw = drawer(20261121);
      const cases = [...cyclonusCases()];
      const wrong: string[] = [];
      let judged = 0;
      while (judged < VERDICTS) {
        const c = cases[draw(cases.length)]!;
        const p = c.probes[draw(c.probes.length)]!;
        if (p.from === p.to) continue;
        const input = { cluster: c.cluster, policies: c.policies, stack: parseStack(text) };
        const world = new World(input);
        const request: ProbeRequest = {
          from: p.from,
          to: p.to,
          port: p.port,
          protocol: p.protocol,
        };
        const before = new Prober(world).ask(request);
        const by = before.decidedBy;
        const plan = world.network.nodes.find((n) => n.host === by?.node);
        if (!by?.rule || !plan) {
          // No rule had a say: then there must be no policy that could have had one.
          if (c.policies.length > 0) wrong.push(`${c.id} ${p.from} -> ${p.to}: no rule named`);
          continue;
        }
        judged++;
        const other = changed(plan, before);
        if (typeof other === 'string') {
          wrong.push(other);
          continue;
        }
        const askWith = (on: Plan) =>
          new Prober(new World({ ...input, network: withPlan(world.network, on) })).ask(request);
        const same = askWith(reread(plan, printIptables(plan, 4).split('\n')));
        const after = askWith(other);
        if (same.verdict !== before.verdict)
          wrong.push(`${c.id}: reading back changes the verdict`);
        // Both nodes on the way enforce the same rules: the next one may drop for the same reason.
        const named = (x: ProbeResult) => `${x.verdict} ${x.decidedBy?.node} ${x.decidedBy?.text}`;
        if (named(after) === named(same)) {
          wrong.push(`${c.id} ${p.from} -> ${p.to}: ${named(after)} without ${by.rule}`);
        }
      }
      t.equal(judged, VERDICTS, 'verdicts judged');
      t.strictSame(wrong.slice(0, 10), []);
    },
  );
}
