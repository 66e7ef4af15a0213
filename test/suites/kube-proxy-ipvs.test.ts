/**
 * The flows of kube-proxy's own tests (of iptables mode) on nodes that we rendered in IPVS mode from
 * the same Services. Node, sets, rules and virtual servers are printed, and read back as a node's
 * dump.
 *
 * No kernel with IPVS was at hand, so nothing here is compared with one: a flow comes out as in
 * iptables mode, or it is listed below with why IPVS mode does otherwise.
 * @module
 */
import t from 'tap';
import { printIpsets } from '../../src/plan/ipset/text.ts';
import type { Plan } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { printVirtualServers } from '../../src/plan/virtual-server-text.ts';
import { formatPrefix } from '../../src/wire/address/address.ts';
import {
  expectedOf,
  type Flow,
  flowPacket,
  outcomeOf,
  proxyNode,
  type VirtualFiles,
} from '../support/proxy-node.ts';
import { type Case, familyOf, needsSuite, readCases, renderCase } from './kube-proxy-cases.ts';

function filesOf(plan: Plan): VirtualFiles {
  const dummy = plan.interfaces.find(({ kind }) => kind === 'dummy');
  return {
    sets: printIpsets(plan),
    servers: printVirtualServers(plan),
    addresses: (dummy?.addresses ?? []).map(formatPrefix),
  };
}

/** Where the flow can get, and whether it is masqueraded then. */
function fateOf(c: Case, plan: Plan, flow: Flow): string {
  const rules = printIptables(plan, familyOf(c));
  const world = proxyNode(rules, c.family, '', filesOf(plan));
  const { courses } = world.engine.courses(flowPacket(world, flow, 1), () => null);
  const ends = courses.map(({ forward }) => outcomeOf(flow, forward));
  const total = courses.reduce((sum, { probability }) => sum + probability, 0);
  const to = [...new Set(ends.map((end) => end.to))].toSorted();
  const masq = new Set(ends.filter((end) => end.to.includes(':')).map((end) => end.masq));
  return `${to.join(', ')}${masq.has(true) ? ' masqueraded' : ''}${Math.abs(total - 1) < 1e-9 ? '' : ' ?'}`;
}

function wantedOf(flow: Flow): string {
  const isTranslated = flow.output.includes(':');
  return `${expectedOf(flow).join(', ')}${isTranslated && flow.masq ? ' masqueraded' : ''}`;
}

const EVERY_MASQ = [
  'masq-base',
  'masq-masquerade-all',
  'masq-masquerade-all-no-local-detector',
  'masq-no-local-detector',
];

/**
 * What IPVS mode does otherwise than iptables mode, by why, and where its flow gets then.
 * Source: kubernetes v1.30.5 pkg/proxy/ipvs/proxier.go.
 */
const OTHER_MODE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // KUBE-IPVS-FILTER refuses what is no port of a Service at the addresses of the dummy device.
  'other ports of a Service address are refused': {
    'clusterip-general: TCP-only port does not match UDP traffic': 'REJECT',
    "clusterip-general: svc1 does not accept svc2's ports": 'REJECT',
  },
  // A virtual server has one list of real servers, whoever asks: local ones, where there are any.
  'policy Local sends pods to local endpoints only': {
    ...all(
      ['pod to external IP', 'pod to LB IP', 'pod to NodePort'],
      ['etp-local'],
      '10.180.2.1:80',
    ),
    ...all(
      ['pod to NodePort with eTP:Local', 'pod to LB with eTP:Local'],
      ['masq-base', 'masq-masquerade-all'],
      '10.180.0.2:80',
    ),
  },
  // … and KUBE-LOAD-BALANCER leaves them unmarked.
  'policy Local does not masquerade the node itself': {
    ...all(['node to LB with eTP:Local'], EVERY_MASQ, '10.180.0.2:80'),
    'overall: LOCAL, KUBE-MARK-MASQ': '10.180.0.2:80',
  },
  // syncEndpoint takes all endpoints then; the answer comes from another address than was asked.
  'policy Local without local endpoints sends to all': {
    'overall: DROP': '10.180.0.2:80',
    'terminating-local-3: external to LB': '10.0.1.5:80',
  },
  // … of an internal policy there are none to take, and a virtual server without any refuses.
  'internal policy Local without local endpoints refuses': { 'itp-4: no endpoints': 'REJECT' },
  // Virtual servers of node ports have no loopback address.
  'localhost has no node ports': {
    ...all(
      [
        'localhost to NodePort',
        'localhost to NodePort with eTP:Local',
        'localhost to NodePort with iTP:Local',
      ],
      EVERY_MASQ,
      '',
    ),
    'nodeports-ipv4-localhost-nodeports-enabled: localhost to nodePort gets masqueraded': '',
  },
};

function all(flows: readonly string[], cases: readonly string[], fate: string) {
  return Object.fromEntries(cases.flatMap((c) => flows.map((flow) => [`${c}: ${flow}`, fate])));
}

t.test('every flow goes as in iptables mode, or as IPVS mode alone does', needsSuite, async (t) => {
  const known = Object.assign({}, ...Object.values(OTHER_MODE)) as Record<string, string>;
  const other: Record<string, string> = {};
  let flows = 0;
  for (const c of readCases()) {
    const plan = renderCase(c, { mode: 'ipvs' });
    for (const flow of c.flows ?? []) {
      flows += 1;
      const got = fateOf(c, plan, flow);
      if (got !== wantedOf(flow)) other[`${c.id}: ${flow.name}`] = got;
    }
  }
  t.equal(flows, 237, 'flows of the suite');
  t.strictSame(other, known);
});
