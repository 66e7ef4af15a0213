/**
 * The chains of one Service port: KUBE-EXT for what comes from outside, KUBE-FW for the source
 * ranges of a load balancer, KUBE-SVC and KUBE-SVL that draw an endpoint, KUBE-SEP of each.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/iptables/proxier.go` `syncProxyRules`,
 * `writeServiceToEndpointRules`, `probability`.
 * @module
 */
import type { Match } from '../../netfilter/match.ts';
import type { RuleParts } from '../../plan/builder.ts';
import { type Address, contains, hostPrefix, ipv4, ipv6 } from '../../wire/address/address.ts';
import type { ProxySettings } from './config.ts';
import type { TrafficDetector } from './local-detector.ts';
import { endpointChain } from './names.ts';
import { comment, from, localAddress, protocolHead, protocolMatch, to } from './parts.ts';
import type { ChainRule, PortState } from './service-rules.ts';
import type { ProxyEndpoint } from './services/endpoints.ts';
import {
  isExternallyAccessible,
  type ProxyPort,
  usesClusterEndpoints,
  usesLocalEndpoints,
} from './services/service-port.ts';

/** The node that the chains are for. */
export interface ProxyNode {
  readonly settings: ProxySettings;
  readonly detector: TrafficDetector;
  /** The node's first address of the family. */
  readonly address: Address | null;
  /** More than 1,000 endpoints: comments of the many rules are left out. */
  readonly large: boolean;
}

/** All rules of the port's own chains, in the order in which kube-proxy writes them. */
export function policyChains(state: PortState, node: ProxyNode): readonly ChainRule[] {
  const { port, used } = state;
  const { chains } = port;
  const chainOf = chainsOf(port, used.reachable);
  const usesCluster = used.cluster.length > 0 && usesClusterEndpoints(port);
  const usesLocal = used.local.length > 0 && usesLocalEndpoints(port);
  return [
    ...(state.hasInternal ? inChain(state.internalChain, internalMasquerade(port, node)) : []),
    ...(used.any && isExternallyAccessible(port)
      ? inChain(chains.external, externalRules(state, node))
      : []),
    ...(state.usesFirewall ? inChain(chains.firewall, firewallRules(port, node)) : []),
    ...(usesCluster ? inChain(chains.cluster, drawRules(port, used.cluster, chainOf, node)) : []),
    ...(usesLocal ? inChain(chains.local, drawRules(port, used.local, chainOf, node)) : []),
    ...used.reachable.flatMap((endpoint) => {
      const chain = chainOf(endpoint);
      return inChain(chain, endpointRules(port, endpoint, chain, node));
    }),
  ];
}

function inChain(chain: string, rules: readonly RuleParts[]): readonly ChainRule[] {
  return rules.map((rule) => ({ table: 'nat', chain, rule }));
}

type ChainOf = (endpoint: ProxyEndpoint) => string;

/** The chain of each endpoint, hashed once. */
function chainsOf(port: ProxyPort, endpoints: readonly ProxyEndpoint[]): ChainOf {
  const name = (e: ProxyEndpoint) => endpointChain(port.name, port.port.protocol, e.text);
  const names = new Map(endpoints.map((e) => [e, name(e)]));
  return (endpoint) => names.get(endpoint) ?? name(endpoint);
}

function toChain(chain: string): NonNullable<RuleParts['target']> {
  return { kind: 'jump', chain };
}

/** Whoever is no pod and asks at the ClusterIP is masqueraded: the way back must lead here. */
function internalMasquerade(port: ProxyPort, node: ProxyNode): readonly RuleParts[] {
  const { protocol, port: number } = port.port;
  const { detector, settings } = node;
  if (!settings.masqueradeAll && !detector.isImplemented) return [];
  const ip = { ...to(port.clusterIp), ...(settings.masqueradeAll ? {} : detector.ifNotLocal) };
  return [
    {
      ip: protocolHead(protocol, ip),
      matches: [comment(`${port.name} cluster IP`), protocolMatch(protocol, number)],
      target: toChain('KUBE-MARK-MASQ'),
      origin: port.origin,
    },
  ];
}

function externalRules(state: PortState, node: ProxyNode): readonly RuleParts[] {
  const { port } = state;
  const { origin } = port;
  const policy: RuleParts = { target: toChain(state.externalPolicyChain), origin };
  const rest = state.hasExternal ? [policy] : [];
  if (!port.externalLocal) {
    const text = `masquerade traffic for ${port.name} external destinations`;
    return [{ matches: [comment(text)], target: toChain('KUBE-MARK-MASQ'), origin }, ...rest];
  }
  const local = localAddress('source');
  const rule = (text: string, chain: string, ...matches: Match[]): RuleParts => ({
    matches: [comment(`${text} for ${port.name} external destinations`), ...matches],
    target: toChain(chain),
    origin,
  });
  const { cluster } = port.chains;
  // Pods and the node itself reach all endpoints, as if they went out to the load balancer.
  const pods = { ...rule('pod traffic', cluster), ip: node.detector.ifLocal };
  return [
    ...(node.detector.isImplemented ? [pods] : []),
    rule('masquerade LOCAL traffic', 'KUBE-MARK-MASQ', local),
    rule('route LOCAL traffic', cluster, local),
    ...rest,
  ];
}

/** What falls through was not translated, and KUBE-PROXY-FIREWALL drops it. */
function firewallRules(port: ProxyPort, node: ProxyNode): readonly RuleParts[] {
  const { name, origin } = port;
  const allow = (source: RuleParts['ip']): RuleParts => ({
    ...(source === undefined ? {} : { ip: source }),
    matches: [comment(`${name} loadbalancer IP`)],
    target: toChain(port.chains.external),
    origin,
  });
  // A node's own packets to a VIP that is bound to it have the VIP as source.
  const { address } = node;
  const allowsNode =
    address !== null && port.sourceRanges.some((range) => contains(range, address));
  const end = comment(`other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL`);
  return [
    ...port.sourceRanges.map((range) => allow(from(range))),
    ...(allowsNode ? port.vips.map((ip) => allow(from(hostPrefix(ip)))) : []),
    { matches: [end], origin },
  ];
}

/** Affinity first; then every endpoint with 1/n of what those before it left over. */
function drawRules(
  port: ProxyPort,
  endpoints: readonly ProxyEndpoint[],
  chainOf: ChainOf,
  node: ProxyNode,
): readonly RuleParts[] {
  const rule = (endpoint: ProxyEndpoint, ...matches: Match[]): RuleParts => ({
    matches: [...remark(node, `${port.name} -> ${endpoint.text}`), ...matches],
    target: toChain(chainOf(endpoint)),
    origin: [...port.origin, endpoint.origin],
  });
  const seconds = port.affinitySeconds;
  const sticky =
    seconds === null
      ? []
      : endpoints.map((e) => rule(e, recent(port, chainOf(e), 'rcheck', seconds)));
  const count = endpoints.length;
  return [
    ...sticky,
    ...endpoints.map((e, i) => (i < count - 1 ? rule(e, chance(count - i)) : rule(e))),
  ];
}

/** kube-proxy prints 1/n with ten digits, and iptables makes 31 bits of that. */
function chance(n: number): Match {
  const threshold = Math.round(Number((1 / n).toFixed(10)) * 2 ** 31);
  return { kind: 'random', threshold, negate: false };
}

function recent(
  port: ProxyPort,
  list: string,
  operation: 'rcheck' | 'set',
  seconds: number,
): Match {
  return {
    kind: 'recent',
    operation,
    negate: false,
    seconds,
    reap: operation === 'rcheck',
    hitcount: 0,
    ttl: false,
    list,
    mask: WHOLE[port.family],
    side: 'source',
  };
}

const ONES = 0xffffffff;
const WHOLE = { 4: ipv4(ONES), 6: ipv6(ONES, ONES, ONES, ONES) } as const;

/** A pod that is translated to itself is masqueraded, so that the answer comes back here. */
function endpointRules(
  port: ProxyPort,
  endpoint: ProxyEndpoint,
  chain: string,
  node: ProxyNode,
): readonly RuleParts[] {
  const { protocol } = port.port;
  const origin = [...port.origin, endpoint.origin];
  const text = remark(node, port.name);
  const remember = port.affinitySeconds === null ? [] : [recent(port, chain, 'set', 0)];
  return [
    {
      ip: from(hostPrefix(endpoint.address)),
      matches: text,
      target: toChain('KUBE-MARK-MASQ'),
      origin,
    },
    {
      ip: protocolHead(protocol),
      matches: [...text, ...remember, protocolMatch(protocol)],
      target: {
        kind: 'dnat',
        range: {
          low: endpoint.address,
          ports: { low: endpoint.port, high: endpoint.port },
          random: false,
          randomFully: false,
          persistent: false,
        },
      },
      origin,
    },
  ];
}

function remark(node: ProxyNode, text: string): readonly Match[] {
  return node.large ? [] : [comment(text)];
}
