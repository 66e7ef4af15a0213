/**
 * P3 on the products' own suites: every probe of cyclonus (by pod and by Service),
 * kube-network-policies and the recipes goes through both engines, packet by packet, and both come
 * to the verdict that the suite says.
 *
 * `ENGINE_STEP` takes every n-th step of cyclonus; `npm run test:compiled:suites` takes all.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { Prober } from '../../../src/lab/ask/probe.ts';
import { World } from '../../../src/lab/world.ts';
import type { Inputs } from '../../../src/policy/inputs.ts';
import { serviceOf, withServices } from '../../support/suite-services.ts';
import {
  cyclonusCases,
  haveSuites,
  knpCases,
  recipeCases,
  type SuiteCase,
  type SuiteProbe,
} from '../../support/suites.ts';
import { type TwinEngine, twins } from '../../support/twin-engine.ts';

const STEP = Number(process.env['ENGINE_STEP'] ?? 16);
const STACKS = ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico'];

/** A few hundred connections a case, and a pair of engines for each. */
const SIZES = { connections: 4096, decisions: 4096, addresses: 1024 };

const native = findNative();
const reason = haveSuites() ? (native.addon === null && native.reason) || false : 'needs ../shared';

// All of cyclonus through two engines takes minutes.
t.setTimeout(3_600_000);

interface Asked {
  readonly inputs: Pick<Inputs, 'cluster' | 'policies'>;
  readonly probes: readonly SuiteProbe[];
  readonly target: (probe: SuiteProbe) => string;
}

/** Ask all probes on a stack; what is not as the suite says, and how many packets were native. */
function ask(stack: string, { inputs, probes, target }: Asked) {
  const made: TwinEngine[] = [];
  const { cluster, policies } = inputs;
  const makeEngine = twins((twin) => made.push(twin), SIZES);
  const world = new World({ cluster, policies, stack: parseStack(stack), makeEngine });
  const prober = new Prober(world, { diagnoses: false });
  const wrong = probes.flatMap((p) => {
    if (p.from === p.to) return [];
    const to = target(p);
    const { verdict } = prober.ask({ from: p.from, to, port: p.port, protocol: p.protocol });
    const what = `${p.from} -> ${to}:${p.port}/${p.protocol}`;
    return verdict === p.expect ? [] : [`${what}: ${verdict}, not ${p.expect}`];
  });
  for (const twin of made) twin.compareState();
  const moved = made.reduce((sum, { compiled }) => sum + compiled.statistics().moved, 0);
  return { wrong, moved };
}

const byPod = (c: SuiteCase): Asked => ({ inputs: c, probes: c.probes, target: ({ to }) => to });
const byService = (c: SuiteCase): Asked => ({
  inputs: withServices(c),
  probes: c.probes,
  target: serviceOf,
});

const everyNth = (cases: Iterable<SuiteCase>) => [...cases].filter((_, i) => i % STEP === 0);
const judged = (cases: readonly SuiteCase[]) => cases.filter((c) => c.knownIssue === undefined);

const SUITES = [
  ['cyclonus', () => everyNth(cyclonusCases()), byPod],
  ['cyclonus by Service', () => everyNth(cyclonusCases()), byService],
  ['kube-network-policies', () => judged(knpCases()), byPod],
  ['recipes', () => judged(recipeCases()), byPod],
] as const;

for (const stack of STACKS) {
  t.test(`${stack}: both engines alike on every suite`, { skip: reason }, async (t) => {
    let moved = 0;
    for (const [name, cases, asked] of SUITES) {
      for (const c of cases()) {
        const found = ask(stack, asked(c));
        t.strictSame(found.wrong, [], `${name}: ${c.id}`);
        moved += found.moved;
      }
    }
    t.ok(moved > 1000, `${moved} packets moved natively`);
  });
}
