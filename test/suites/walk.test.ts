/**
 * External conformance suites, through the packet walk: every probe of cyclonus,
 * kube-network-policies and the recipes is sent as packets through rendered nodes, on each stack,
 * and must come out as the suite says. Nothing here asks the oracle.
 *
 * The names of the suites' cases are those of ../shared/suites; loopback probes stay apart.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import {
  cyclonusCases,
  haveSuites,
  knpCases,
  recipeCases,
  type SuiteCase,
} from '../support/suites.ts';

const STACKS = ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico'];

/** Probes whose verdict, or whose directions' own verdicts, are not the suite's. */
function mismatches(stack: string, c: SuiteCase): readonly string[] {
  const { cluster, policies } = c;
  const prober = new Prober(new World({ cluster, policies, stack: parseStack(stack) }));
  return c.probes.flatMap((p) => {
    if (p.from === p.to) return [];
    const got = prober.ask({ from: p.from, to: p.to, port: p.port, protocol: p.protocol });
    const what = `${c.id} ${p.from} -> ${p.to}:${p.port}/${p.protocol}`;
    const wrong = got.verdict === p.expect ? [] : [`${what}: ${got.verdict}, not ${p.expect}`];
    const sides = (['ingress', 'egress'] as const).flatMap((side) =>
      p[side] === undefined || got[side] === p[side]
        ? []
        : [`${what}: ${side} ${got[side]}, not ${p[side]}`],
    );
    return [...wrong, ...sides];
  });
}

// A quarter of a million exchanges: a minute or two.
t.setTimeout(600_000);

for (const stack of STACKS) {
  t.test(`cyclonus on ${stack}`, { skip: haveSuites() ? false : 'needs ../shared' }, async (t) => {
    let steps = 0;
    const wrong: string[] = [];
    for (const c of cyclonusCases()) {
      steps++;
      wrong.push(...mismatches(stack, c));
    }
    t.equal(steps, 256, 'steps of the suite');
    t.strictSame(wrong.slice(0, 20), []);
  });

  t.test(
    `kube-network-policies on ${stack}`,
    {
      skip: haveSuites() ? false : 'needs ../shared',
    },
    async (t) => {
      const wrong = knpCases()
        .filter((c) => c.knownIssue === undefined)
        .flatMap((c) => mismatches(stack, c));
      t.strictSame(wrong, []);
    },
  );

  t.test(
    `recipes on ${stack}`,
    {
      skip: haveSuites() ? false : 'needs ../shared',
    },
    async (t) => {
      const wrong = recipeCases()
        .filter((c) => c.knownIssue === undefined)
        .flatMap((c) => mismatches(stack, c));
      t.strictSame(wrong, []);
    },
  );
}
