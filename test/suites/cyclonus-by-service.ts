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
import { type Inputs, parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { cyclonusCases, haveSuites, type SuiteCase } from '../support/suites.ts';

/** `s-x-a` for pod x/a, with the ports that it declares, and the pod as its only endpoint. */
function withServices(c: SuiteCase): Inputs {
  const services = c.cluster.pods.flatMap((pod, i) => {
    const { namespace, name: own, addresses } = pod;
    const name = `s-${namespace}-${own}`;
    const [address] = addresses;
    if (address === undefined || pod.hostNetwork) return [];
    const ports = pod.ports.map((p) => ({
      name: p.name ?? `port-${p.containerPort}`,
      protocol: p.protocol,
      port: p.containerPort,
    }));
    const metadata = { namespace, name };
    const slice = { ...metadata, labels: { 'kubernetes.io/service-name': name } };
    const targetRef = { kind: 'Pod', namespace, name: own };
    const endpoint = { addresses: [formatAddress(address)], nodeName: pod.node, targetRef };
    return [
      { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: `10.0.99.${i}`, ports } },
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: slice,
        addressType: 'IPv4',
        endpoints: [endpoint],
        ports,
      },
    ];
  });
  const items = [...c.manifest, ...services];
  return parseInputs(`${c.id}.json`, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
}

/** Probes of other pods' Services whose verdict is not the suite's, and how many were asked. */
function mismatches(stack: string, c: SuiteCase): { wrong: readonly string[]; asked: number } {
  const { cluster, policies } = withServices(c);
  const world = new World({ cluster, policies, stack: parseStack(stack) });
  // The verdict of each direction alone is asked by pod address (walk.test.ts).
  const prober = new Prober(world, { diagnoses: false });
  const probes = c.probes.filter((p) => p.from !== p.to);
  const wrong = probes.flatMap((p) => {
    const to = p.to.replace(/^pod\/([^/]+)\/(.+)$/, 'svc/$1/s-$1-$2');
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

/**
 * IPVS mode takes Services out of FORWARD, the one hook in which Azure NPM stands: what stays on a
 * node is asked of nobody. Between nodes the other node forwards, and judges both directions.
 */
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
        const to = p.to.replace(/^pod\/([^/]+)\/(.+)$/, 'svc/$1/s-$1-$2');
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
