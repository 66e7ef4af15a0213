/**
 * The flows of kube-proxy's own tests, through rules that we rendered from their Services.
 *
 * Every way in which the draws of a flow's first packet can fall is walked: the backends reached
 * are the expected ones, and each has the probability that the real kube-proxy's rules give it.
 * @module
 */
import t from 'tap';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { expectedOf, type Flow, flowPacket, outcomeOf, proxyNode } from '../support/proxy-node.ts';
import { type Case, familyOf, needsSuite, readCases, renderCase } from './kube-proxy-cases.ts';

/** Two roundings: ten digits of 1/n, and 31 bits of that. */
const TOLERANCE = 1e-9;

interface Share {
  probability: number;
  readonly masq: Set<boolean>;
}

/** What can become of the flow, and with which probability. */
function sharesOf(rules: string, family: Case['family'], flow: Flow): Map<string, Share> {
  const world = proxyNode(rules, family);
  const { courses } = world.engine.courses(flowPacket(world, flow, 1), () => null);
  const shares = new Map<string, Share>();
  for (const { forward, probability } of courses) {
    const { to, masq } = outcomeOf(flow, forward);
    const share = shares.get(to) ?? { probability: 0, masq: new Set() };
    shares.set(to, share);
    share.probability += probability;
    share.masq.add(masq);
  }
  return shares;
}

/**
 * The probabilities that the text of the real kube-proxy gives these targets: of the chain that
 * leads to just them, each rule's own of what those before it leave over.
 */
function wantedShares(
  text: string,
  targets: readonly string[],
): ReadonlyMap<string, number> | null {
  const chains = new Map<string, { readonly to: string; readonly own: number }[]>();
  for (const line of text.split('\n')) {
    const chain = /^-A (KUBE-SV[CL]-\w+) /.exec(line)?.[1];
    const to = / -> (\S+)"/.exec(line)?.[1];
    if (chain === undefined || to === undefined || line.includes('--rcheck')) continue;
    const own = Number(/--probability (\S+)/.exec(line)?.[1] ?? 1);
    chains.set(chain, [...(chains.get(chain) ?? []), { to, own }]);
  }
  const wanted = targets.toSorted().join();
  const chain = [...chains.values()].find(
    (c) =>
      c
        .map((r) => r.to)
        .toSorted()
        .join() === wanted,
  );
  if (!chain) return null;
  let left = 1;
  return new Map(
    chain.map(({ to, own }) => {
      const share = left * own;
      left -= share;
      return [to, share] as const;
    }),
  );
}

t.test(
  'every flow reaches every backend that it may, each as often as the rules say',
  needsSuite,
  async (t) => {
    let flows = 0;
    let drawn = 0;
    for (const c of readCases()) {
      const rules = printIptables(renderCase(c), familyOf(c));
      for (const flow of c.flows ?? []) {
        flows++;
        const shares = sharesOf(rules, c.family, flow);
        const what = `${c.id}: ${flow.name} (${flow.sourceIP} -> ${flow.destIP}:${flow.destPort})`;
        t.strictSame([...shares.keys()].toSorted(), expectedOf(flow), what);
        if (!flow.output.includes(':')) continue;
        const masq = new Set([...shares.values()].flatMap((share) => [...share.masq]));
        t.strictSame([...masq], [flow.masq], `${what}: masqueraded`);
        const wanted = wantedShares(c.rules, [...shares.keys()]);
        t.ok(wanted, `${what}: a chain of the real rules leads to just these`);
        for (const [to, share] of wanted ?? []) {
          const got = shares.get(to)?.probability ?? 0;
          t.ok(Math.abs(got - share) < TOLERANCE, `${what}: ${to} with ${share}, not ${got}`);
          if (share < 1) drawn++;
        }
      }
    }
    t.equal(flows, 237, 'flows of the suite');
    t.ok(drawn > 100, `${drawn} backends are drawn`);
  },
);
