/**
 * The rules that IPVS mode keeps whatever Services there are; Services change the sets that they
 * name, and which of them are there.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/ipvs/proxier.go` `iptablesJumpChain`, `iptablesChains`,
 * `ipsetWithIptablesChain`, `writeIptablesRules`, `acceptIPVSTraffic`, `createAndLinkKubeChain`.
 * @module
 */
import type { TableName } from '../../../netfilter/hook.ts';
import type { Match, SetDirection } from '../../../netfilter/match.ts';
import type { Target } from '../../../netfilter/target.ts';
import type { PlanBuilder, RuleParts } from '../../../plan/builder.ts';
import { type Family, hostPrefix } from '../../../wire/address/address.ts';
import type { ProxySettings } from '../config.ts';
import type { TrafficDetector } from '../local-detector.ts';
import {
  comment,
  constant,
  ctstate,
  from,
  jump,
  localAddress,
  NEW,
  type ProtocolName,
  protocolHead,
  protocolNumber,
} from '../parts.ts';
import { addMasquerade, masqueradeMark } from '../static-chains.ts';
import type { ServiceLayout } from './services.ts';
import type { ProxySetName, ProxySets } from './sets.ts';

const FILTER = 'kubernetes ipvs access filter';
const FIREWALL = 'kube-proxy firewall rules';

const JUMPS: readonly (readonly [TableName, string, string, string])[] = [
  ['nat', 'OUTPUT', 'KUBE-SERVICES', 'kubernetes service portals'],
  ['nat', 'PREROUTING', 'KUBE-SERVICES', 'kubernetes service portals'],
  ['nat', 'POSTROUTING', 'KUBE-POSTROUTING', 'kubernetes postrouting rules'],
  ['filter', 'FORWARD', 'KUBE-FORWARD', 'kubernetes forwarding rules'],
  ['filter', 'INPUT', 'KUBE-NODE-PORT', 'kubernetes health check rules'],
  ['filter', 'INPUT', 'KUBE-PROXY-FIREWALL', FIREWALL],
  ['filter', 'FORWARD', 'KUBE-PROXY-FIREWALL', FIREWALL],
  ['filter', 'INPUT', 'KUBE-IPVS-FILTER', FILTER],
  ['filter', 'OUTPUT', 'KUBE-IPVS-OUT-FILTER', FILTER],
];

const CHAINS: readonly (readonly [TableName, readonly string[]])[] = [
  [
    'nat',
    ['KUBE-SERVICES', 'KUBE-POSTROUTING', 'KUBE-NODE-PORT', 'KUBE-LOAD-BALANCER', 'KUBE-MARK-MASQ'],
  ],
  [
    'filter',
    [
      'KUBE-FORWARD',
      'KUBE-NODE-PORT',
      'KUBE-PROXY-FIREWALL',
      'KUBE-SOURCE-RANGES-FIREWALL',
      'KUBE-IPVS-FILTER',
      'KUBE-IPVS-OUT-FILTER',
    ],
  ],
];

const RETURN: Target = { kind: 'return' };
const ACCEPT: Target = { kind: 'accept' };
const DROP: Target = { kind: 'drop' };
const MASQUERADE_MARK: Target = { kind: 'jump', chain: 'KUBE-MARK-MASQ' };
const PLAIN_MASQUERADE: Target = {
  kind: 'masquerade',
  range: { random: false, randomFully: false, persistent: false },
};

interface SetRule {
  readonly set: ProxySetName;
  readonly table: TableName;
  readonly chain: string;
  readonly target: Target;
  readonly directions: readonly SetDirection[];
  readonly protocol?: ProtocolName;
}

const SERVICE: readonly SetDirection[] = ['dst', 'dst'];
const SERVICE_FROM: readonly SetDirection[] = ['dst', 'dst', 'src'];
const PORT: readonly SetDirection[] = ['dst'];

function nodePortRules(
  protocol: ProtocolName,
  [local, all]: readonly [ProxySetName, ProxySetName],
): readonly SetRule[] {
  const directions = protocol === 'SCTP' ? SERVICE : PORT;
  const place = { table: 'nat', chain: 'KUBE-NODE-PORT', directions, protocol } as const;
  return [
    { set: local, ...place, target: RETURN },
    { set: all, ...place, target: MASQUERADE_MARK },
  ];
}

/** Rules that are there while their set has members, in the order in which they are written. */
const SET_RULES: readonly SetRule[] = [
  {
    set: 'loopBack',
    table: 'nat',
    chain: 'KUBE-POSTROUTING',
    target: PLAIN_MASQUERADE,
    directions: SERVICE_FROM,
  },
  {
    set: 'loadBalancer',
    table: 'nat',
    chain: 'KUBE-SERVICES',
    target: { kind: 'jump', chain: 'KUBE-LOAD-BALANCER' },
    directions: SERVICE,
  },
  {
    set: 'loadBalancerLocal',
    table: 'nat',
    chain: 'KUBE-LOAD-BALANCER',
    target: RETURN,
    directions: SERVICE,
  },
  ...nodePortRules('TCP', ['nodePortLocalTcp', 'nodePortTcp']),
  ...nodePortRules('UDP', ['nodePortLocalUdp', 'nodePortUdp']),
  ...nodePortRules('SCTP', ['nodePortLocalSctp', 'nodePortSctp']),
  {
    set: 'loadBalancerFirewall',
    table: 'filter',
    chain: 'KUBE-PROXY-FIREWALL',
    target: { kind: 'jump', chain: 'KUBE-SOURCE-RANGES-FIREWALL' },
    directions: SERVICE,
  },
  {
    set: 'loadBalancerSourceCidr',
    table: 'filter',
    chain: 'KUBE-SOURCE-RANGES-FIREWALL',
    target: RETURN,
    directions: SERVICE_FROM,
  },
  {
    set: 'loadBalancerSourceIp',
    table: 'filter',
    chain: 'KUBE-SOURCE-RANGES-FIREWALL',
    target: RETURN,
    directions: SERVICE_FROM,
  },
];

/** What the rules of a family are made for. */
export interface RuleInput {
  readonly family: Family;
  readonly settings: ProxySettings;
  readonly detector: TrafficDetector;
  readonly layout: ServiceLayout;
}

/** Add all chains, jumps and rules of a family. */
export function addIpvsRules(builder: PlanBuilder, input: RuleInput): void {
  const { family, settings, layout } = input;
  const { sets } = layout;
  for (const [table, chains] of CHAINS) {
    for (const chain of chains) builder.ensureChain(family, table, chain);
  }
  for (const [table, place, to, text] of JUMPS) {
    builder.insert(family, table, place, jump(to, text));
  }
  const nat = (chain: string, ...rules: RuleParts[]) =>
    builder.append(family, 'nat', chain, ...rules);
  const loopback = constant(family === 4 ? '127.0.0.0/8' : '::1/128');
  nat('KUBE-SERVICES', { ip: from(loopback), target: RETURN });
  for (const { set, table, chain, target, directions, protocol } of SET_RULES) {
    if (sets.isEmpty(set)) continue;
    const ip = protocol === undefined ? {} : { ip: protocolHead(protocol) };
    builder.append(family, table, chain, {
      ...ip,
      matches: [comment(sets.comment(set)), inSet(sets, set, directions)],
      target,
    });
  }
  nat('KUBE-SERVICES', ...serviceRules(input));
  nat('KUBE-LOAD-BALANCER', { target: MASQUERADE_MARK });
  addMasquerade(builder, family, settings);
  addFilters(builder, input);
}

function inSet(sets: ProxySets, set: ProxySetName, directions: readonly SetDirection[]): Match {
  return { kind: 'set', set: sets.name(set), directions, negate: false };
}

/** The rest of nat KUBE-SERVICES. */
function serviceRules({ layout: { sets }, settings, detector }: RuleInput): readonly RuleParts[] {
  const of = (set: ProxySetName, directions: readonly SetDirection[] = SERVICE) => [
    comment(sets.comment(set)),
    inSet(sets, set, directions),
  ];
  const rules: RuleParts[] = [];
  if (!sets.isEmpty('clusterIp')) {
    // Without a detector: what the node itself sends has a Service's address as source.
    const isFromPods = settings.masqueradeAll || detector.isImplemented;
    rules.push({
      ...(settings.masqueradeAll ? {} : { ip: detector.ifNotLocal }),
      matches: of('clusterIp', isFromPods ? SERVICE : ['src', 'dst']),
      target: MASQUERADE_MARK,
    });
  }
  if (!sets.isEmpty('externalIp')) {
    const matches = of('externalIp');
    rules.push({ matches, target: MASQUERADE_MARK }, ...externalRules(matches));
  }
  if (!sets.isEmpty('externalIpLocal')) rules.push(...externalRules(of('externalIpLocal')));
  rules.push({
    matches: [localAddress('destination')],
    target: { kind: 'jump', chain: 'KUBE-NODE-PORT' },
  });
  for (const set of ['clusterIp', 'loadBalancer'] as const) {
    if (!sets.isEmpty(set)) rules.push({ matches: [inSet(sets, set, SERVICE)], target: ACCEPT });
  }
  return rules;
}

/** What comes from off the machine, and what stays on it. */
function externalRules(matches: readonly Match[]): readonly RuleParts[] {
  const notBridged: Match = { kind: 'physdev', isIn: { value: true, negate: true } };
  const notOwn: Match = {
    kind: 'addrtype',
    source: { value: ['LOCAL'], negate: true },
    limitIfaceIn: false,
    limitIfaceOut: false,
  };
  return [
    { matches: [...matches, notBridged, notOwn], target: ACCEPT },
    { matches: [...matches, localAddress('destination')], target: ACCEPT },
  ];
}

function addFilters(builder: PlanBuilder, { family, settings, layout }: RuleInput): void {
  const { sets, closedToNode } = layout;
  const add = (chain: string, ...rules: RuleParts[]) =>
    builder.append(family, 'filter', chain, ...rules);
  add('KUBE-SOURCE-RANGES-FIREWALL', { target: DROP });
  for (const { port, vip } of closedToNode) {
    const asked: Match = {
      kind: 'ipvs',
      protocol: { value: protocolNumber(port.port.protocol), negate: false },
      address: { value: hostPrefix(vip), negate: false },
      port: { value: port.port.port, negate: false },
    };
    const ip = from(hostPrefix(vip));
    add('KUBE-IPVS-OUT-FILTER', { ip, matches: [asked], target: DROP, origin: port.origin });
  }
  const mark = masqueradeMark(settings);
  add(
    'KUBE-FORWARD',
    {
      matches: [
        comment('kubernetes forwarding rules'),
        { kind: 'mark', value: mark, mask: mark, negate: false },
      ],
      target: ACCEPT,
    },
    {
      matches: [comment('kubernetes forwarding conntrack rule'), ctstate('RELATED', 'ESTABLISHED')],
      target: ACCEPT,
    },
  );
  const health = inSet(sets, 'healthCheck', PORT);
  add('KUBE-NODE-PORT', {
    matches: [comment(sets.comment('healthCheck')), health],
    target: ACCEPT,
  });
  const served = ['loadBalancer', 'clusterIp', 'externalIp', 'externalIpLocal'] as const;
  add(
    'KUBE-IPVS-FILTER',
    ...served.map((set) => ({ matches: [inSet(sets, set, SERVICE)], target: RETURN })),
    { matches: [health], target: RETURN },
    {
      matches: [NEW, inSet(sets, 'addresses', PORT)],
      target: {
        kind: 'reject',
        with: family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable',
      },
    },
  );
}
