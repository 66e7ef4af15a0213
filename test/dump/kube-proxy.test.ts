/**
 * The flows that kube-proxy's own tests expect of the rules that kube-proxy itself wrote, sent as
 * packets through a node that has these rules as its dump.
 *
 * Where a rule draws, many packets are sent, and the set of what came out must be the set that may.
 * Expectations: ../shared/suites/kube-proxy-iptables (README there says where they are from); a real
 * kernel agrees with all 222 of IPv4 (kernel-oracle/kubeproxy-observed.json).
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { World } from '../../src/lab/world.ts';
import { expectedOf, type Flow, flowPacket, outcomeOf, proxyNode } from '../support/proxy-node.ts';
import { sharedPath } from '../support/shared.ts';

interface Case {
  readonly family: 'ipv4' | 'ipv6';
  readonly flows: readonly Flow[] | null;
}

/** Packets a flow: all of six backends are drawn in all but one of thousands of runs. */
const PACKETS = 60;
/** What came of the flow's packets: targets, `DROP`, `REJECT`, or '' for as it was sent. */
function outcomes(world: World, flow: Flow): { outputs: Set<string>; masq: Set<boolean> } {
  const outputs = new Set<string>();
  const masq = new Set<boolean>();
  for (let i = 0; i < PACKETS; i++) {
    const found = outcomeOf(flow, world.engine.inject(flowPacket(world, flow, i + 1)));
    outputs.add(found.to);
    if (found.to.includes(':')) masq.add(found.masq);
  }
  return { outputs, masq };
}

const folder = sharedPath('suites/kube-proxy-iptables/cases');

interface Observed {
  readonly cases: Readonly<
    Record<
      string,
      readonly { readonly name: string; readonly kernel: { readonly dnat: string[] } }[]
    >
  >;
}

const observed = sharedPath('suites/kernel-oracle/kubeproxy-observed.json');

t.test(
  'what a kernel drew lies in what we may draw',
  {
    skip: observed === null || folder === null ? 'needs ../shared' : false,
  },
  async (t) => {
    const { cases } = JSON.parse(readFileSync(observed ?? '', 'utf8')) as Observed;
    let drawn = 0;
    for (const [name, flows] of Object.entries(cases)) {
      const at = (file: string) => readFileSync(join(folder ?? '', name, file), 'utf8');
      const asked = (JSON.parse(at('case.json')) as Case).flows ?? [];
      for (const [i, flow] of asked.entries()) {
        const kernel = flows[i]?.kernel.dnat ?? [];
        if (kernel.length === 0) continue;
        drawn++;
        const { outputs } = outcomes(proxyNode(at('rules.iptables-save'), 'ipv4'), flow);
        const others = kernel.filter((target) => !outputs.has(target));
        t.strictSame(others, [], `${name}: ${flow.name}`);
      }
    }
    t.ok(drawn > 150, `${drawn} flows were translated by the kernel`);
  },
);

t.test(
  "kube-proxy's flows go where kube-proxy's tests expect them",
  {
    skip: folder === null ? 'needs ../shared' : false,
  },
  async (t) => {
    let flows = 0;
    for (const name of readdirSync(folder ?? '')) {
      const at = (file: string) => readFileSync(join(folder ?? '', name, file), 'utf8');
      const { family, flows: asked } = JSON.parse(at('case.json')) as Case;
      for (const flow of asked ?? []) {
        flows++;
        const { outputs, masq } = outcomes(proxyNode(at('rules.iptables-save'), family), flow);
        const isTarget = flow.output.includes(':');
        const wanted = expectedOf(flow);
        const what = `${name}: ${flow.name} (${flow.sourceIP} -> ${flow.destIP}:${flow.destPort})`;
        t.strictSame([...outputs].toSorted(), wanted, what);
        if (isTarget) t.strictSame([...masq], [flow.masq], `${what}: masqueraded`);
      }
    }
    t.equal(flows, 237, 'flows of the suite');
  },
);
