/**
 * What leads to a Service port: the rules of nat KUBE-SERVICES and KUBE-NODEPORTS, and those of the
 * filter table for a port that has nobody to answer.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/iptables/proxier.go` `syncProxyRules`.
 * @module
 */
import type { TableName } from '../../netfilter/hook.ts';
import type { Match } from '../../netfilter/match.ts';
import type { RuleParts } from '../../plan/builder.ts';
import type { Address } from '../../wire/address/address.ts';
import type { ProxySettings } from './config.ts';
import {
  comment,
  constant,
  localAddress,
  protocolHead,
  protocolMatch,
  to,
  toRange,
} from './parts.ts';
import type { UsedEndpoints } from './services/categorize.ts';
import type { ProxyPort } from './services/service-port.ts';

/** A rule and the chain at whose end it is written. */
export interface ChainRule {
  readonly table: TableName;
  readonly chain: string;
  readonly rule: RuleParts;
}

/** What a port's traffic finds on this node. */
export interface PortState {
  readonly port: ProxyPort;
  readonly used: UsedEndpoints;
  /** Chain that ClusterIP traffic goes to, and whether anybody is behind it. */
  readonly internalChain: string;
  readonly hasInternal: boolean;
  /** Chain of what comes from outside, behind KUBE-EXT, and whether anybody is behind it. */
  readonly externalPolicyChain: string;
  readonly hasExternal: boolean;
  readonly usesFirewall: boolean;
}

/** Judge a port by its endpoints. */
export function portState(port: ProxyPort, used: UsedEndpoints): PortState {
  const { chains } = port;
  const hasLocal = used.local.length > 0;
  return {
    port,
    used,
    internalChain: port.internalLocal ? chains.local : chains.cluster,
    hasInternal: used.any && (!port.internalLocal || hasLocal),
    externalPolicyChain: port.externalLocal ? chains.local : chains.cluster,
    hasExternal: used.any && (!port.externalLocal || hasLocal),
    usesFirewall: used.any && port.vips.length > 0 && port.sourceRanges.length > 0,
  };
}

/** All rules that catch the port's traffic, in the order in which kube-proxy writes them. */
export function captureRules(
  state: PortState,
  settings: ProxySettings,
  localhost: boolean,
): readonly ChainRule[] {
  const { port } = state;
  return [
    clusterIpRule(state),
    ...port.externalIps.flatMap((ip) => externalIpRules(state, ip)),
    ...port.vips.flatMap((ip) => loadBalancerRules(state, ip)),
    ...(state.hasExternal ? [] : port.vips.map((ip) => refuse(state, [], ip))),
    ...nodePortRules(state, settings, localhost),
    ...healthCheckRules(port),
  ];
}

function clusterIpRule(state: PortState): ChainRule {
  const { port } = state;
  if (state.hasInternal) {
    return capture(port, `${port.name} cluster IP`, port.clusterIp, state.internalChain);
  }
  const rule: RuleParts = {
    ip: protocolHead(port.port.protocol, to(port.clusterIp)),
    matches: [comment(refusal(state)), protocolMatch(port.port.protocol, port.port.port)],
    target: refusalTarget(state),
    origin: port.origin,
  };
  return { table: 'filter', chain: 'KUBE-SERVICES', rule };
}

/** A rule of nat KUBE-SERVICES: this address and the port's number. */
function capture(port: ProxyPort, text: string, ip: Address, chain: string): ChainRule {
  const { protocol, port: number } = port.port;
  return {
    table: 'nat',
    chain: 'KUBE-SERVICES',
    rule: {
      ip: protocolHead(protocol, to(ip)),
      matches: [comment(text), protocolMatch(protocol, number)],
      target: { kind: 'jump', chain },
      origin: port.origin,
    },
  };
}

function externalIpRules(state: PortState, ip: Address): readonly ChainRule[] {
  const { port, used } = state;
  return [
    ...(used.any ? [capture(port, `${port.name} external IP`, ip, port.chains.external)] : []),
    ...(state.hasExternal ? [] : [refuse(state, [], ip)]),
  ];
}

function loadBalancerRules(state: PortState, ip: Address): readonly ChainRule[] {
  const { port, used } = state;
  const { protocol, port: number } = port.port;
  const { external, firewall } = port.chains;
  const chain = state.usesFirewall ? firewall : external;
  const dropped: RuleParts = {
    ip: protocolHead(protocol, to(ip)),
    matches: [
      comment(`${port.name} traffic not accepted by ${firewall}`),
      protocolMatch(protocol, number),
    ],
    target: { kind: 'drop' },
    origin: port.origin,
  };
  return [
    ...(used.any ? [capture(port, `${port.name} loadbalancer IP`, ip, chain)] : []),
    ...(state.usesFirewall
      ? [{ table: 'filter', chain: 'KUBE-PROXY-FIREWALL', rule: dropped } as const]
      : []),
  ];
}

function nodePortRules(
  state: PortState,
  settings: ProxySettings,
  localhost: boolean,
): readonly ChainRule[] {
  const { port, used } = state;
  if (port.nodePort === null) return [];
  const rules: ChainRule[] = [];
  if (used.any) {
    // Node ports are not subject to loadBalancerSourceRanges.
    if (localhost && settings.countsByName) rules.push(nodePortRule(port, port.nodePort, true));
    rules.push(nodePortRule(port, port.nodePort, false));
  }
  if (!state.hasExternal) rules.push(refuse(state, [localAddress('destination')], port.nodePort));
  return rules;
}

function nodePortRule(port: ProxyPort, number: number, counted: boolean): ChainRule {
  const { protocol } = port.port;
  const count: Match = { kind: 'nfacct', name: 'localhost_nps_accepted_pkts' };
  return {
    table: 'nat',
    chain: 'KUBE-NODEPORTS',
    rule: {
      ip: protocolHead(protocol, counted ? toRange(constant('127.0.0.0/8')) : {}),
      matches: [comment(port.name), protocolMatch(protocol, number), ...(counted ? [count] : [])],
      target: { kind: 'jump', chain: port.chains.external },
      origin: port.origin,
    },
  };
}

/** Nobody answers what comes from outside: at an address of the Service, or at a node port. */
function refuse(state: PortState, before: readonly Match[], at: Address | number): ChainRule {
  const { port } = state;
  const { protocol } = port.port;
  const isNodePort = typeof at === 'number';
  return {
    table: 'filter',
    chain: 'KUBE-EXTERNAL-SERVICES',
    rule: {
      ip: protocolHead(protocol, isNodePort ? {} : to(at)),
      matches: [
        comment(refusal(state)),
        ...before,
        protocolMatch(protocol, isNodePort ? at : port.port.port),
      ],
      target: refusalTarget(state),
      origin: port.origin,
    },
  };
}

function refusal({ port, used }: PortState): string {
  return used.any ? `${port.name} has no local endpoints` : `${port.name} has no endpoints`;
}

function refusalTarget({ port, used }: PortState): NonNullable<RuleParts['target']> {
  if (used.any) return { kind: 'drop' };
  const isV4 = port.family === 4;
  return { kind: 'reject', with: isV4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable' };
}

/** Needed whether or not there are endpoints: the answer says so. */
function healthCheckRules(port: ProxyPort): readonly ChainRule[] {
  if (port.healthCheckNodePort === null) return [];
  const rule: RuleParts = {
    ip: protocolHead('TCP'),
    matches: [
      comment(`${port.name} health check node port`),
      protocolMatch('TCP', port.healthCheckNodePort),
    ],
    target: { kind: 'accept' },
    origin: port.origin,
  };
  return [{ table: 'filter', chain: 'KUBE-NODEPORTS', rule }];
}
