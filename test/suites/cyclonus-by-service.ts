/**
 * cyclonus as upstream asks it: every pod has a Service of its own, and probes dial that. What a
 * policy says of the pod must come out for its Service too, through the translation of kube-proxy.
 *
 * A file a stack, so that they run side by side: a hundred thousand exchanges each.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { serviceOf, withServices } from '../support/suite-services.ts';
import { cyclonusCases, haveSuites, type SuiteCase } from '../support/suites.ts';

/** Probes of other pods' Services whose verdict is not the suite's, and how many were asked. */
function mismatches(stack: string, c: SuiteCase): { wrong: readonly string[]; asked: number } {
  const { cluster, policies } = withServices(c);
  const world = new World({ cluster, policies, stack: parseStack(stack) });
  // The verdict of each direction alone is asked by pod address (walk.test.ts).
  const prober = new Prober(world, { diagnoses: false });
  const probes = c.probes.filter((p) => p.from !== p.to);
  const wrong = probes.flatMap((p) => {
    const to = serviceOf(p);
    const got = prober.ask({ from: p.from, to, port: p.port, protocol: p.protocol });
    const isTranslated = got.verdict === 'denied' || got.translated !== null;
    if (got.verdict === p.expect && isTranslated) return [];
    return [`${c.id} ${p.from} -> ${to}:${p.port}/${p.protocol}: ${got.verdict}, not ${p.expect}`];
  });
  return { wrong, asked: probes.length };
}

/** All of the suite's probes by Service on one stack. */
export function cyclonusByService(stack: string): void {
  t.setTimeout(1_200_000);
  t.test(
    `cyclonus by Service on ${stack}`,
    { skip: haveSuites() ? false : 'needs ../shared' },
    async (t) => {
      let steps = 0;
      let asked = 0;
      const wrong: string[] = [];
      for (const c of cyclonusCases()) {
        const found = mismatches(stack, c);
        steps++;
        asked += found.asked;
        wrong.push(...found.wrong);
      }
      t.equal(steps, 256, 'steps of the suite');
      t.ok(asked > 100_000, `${asked} probes`);
      t.strictSame(wrong.slice(0, 20), []);
    },
  );
}
