/**
 * cyclonus by Service in IPVS mode, which takes Services out of FORWARD, the one hook in which Azure
 * NPM stands: what stays on a node is asked of nobody. Between nodes the other node forwards, and
 * judges both directions.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { serviceOf, withServices } from '../support/suite-services.ts';
import { cyclonusCases, haveSuites } from '../support/suites.ts';

t.test(
  'cyclonus by Service on azure-transparent+npm in IPVS mode, every sixteenth step',
  { skip: haveSuites() ? false : 'needs ../shared' },
  async (t) => {
    const stack = 'azure-transparent+npm,kube-proxy=ipvs';
    let between = 0;
    let bypassed = 0;
    const wrong: string[] = [];
    for (const [i, c] of [...cyclonusCases()].entries()) {
      if (i % 16 !== 0) continue;
      const { cluster, policies } = withServices(c);
      const prober = new Prober(new World({ cluster, policies, stack: parseStack(stack) }));
      const nodeOf = (end: string) =>
        cluster.pods.find((pod) => end === `pod/${pod.namespace}/${pod.name}`)?.node;
      for (const p of c.probes.filter(({ from, to }) => from !== to)) {
        const to = serviceOf(p);
        const got = prober.ask({ from: p.from, to, port: p.port, protocol: p.protocol });
        const isNear = nodeOf(p.from) === nodeOf(p.to);
        if (!isNear) between += 1;
        else if (p.expect === 'denied') bypassed += 1;
        const wanted = isNear ? 'allowed' : p.expect;
        const what = `${c.id} ${p.from} -> ${to}:${p.port}/${p.protocol}`;
        if (got.verdict !== wanted) wrong.push(`${what}: ${got.verdict}, not ${wanted}`);
      }
    }
    t.comment(`${between} between nodes, ${bypassed} denied ones on one node`);
    t.ok(between > 1000 && bypassed > 100, `${between} between nodes, ${bypassed} on one`);
    t.strictSame(wrong.slice(0, 20), []);
  },
);
