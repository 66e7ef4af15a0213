/**
 * All rules of one Service port on one node, made once for the nodes on which they are the same:
 * most nodes differ in nothing that a port's rules look at.
 *
 * They look at the endpoints (EndpointIndex has one list for all nodes that see the same), at the
 * node's zone and name where endpoints carry hints, at how pods are told from others, at the
 * node's address where source ranges may hold it, at the settings, and at how many endpoints there
 * are in the cluster.
 * @module
 */
import type { TableName } from '../../netfilter/hook.ts';
import type { Rule } from '../../netfilter/rule.ts';
import { makeRule } from '../../plan/builder.ts';
import { formatAddress } from '../../wire/address/address.ts';
import { type ProxyNode, policyChains } from './policy-chains.ts';
import { type ChainRule, captureRules, portState } from './service-rules.ts';
import { categorize, type ProxyTopology } from './services/categorize.ts';
import type { ProxyEndpoint } from './services/endpoints.ts';
import type { ProxyPort } from './services/service-port.ts';

/** Rules to be written at the end of a chain, in order. */
export interface ChainPart {
  readonly table: TableName;
  readonly chain: string;
  readonly rules: readonly Rule[];
}

export interface PortOnNode {
  readonly port: ProxyPort;
  readonly all: readonly ProxyEndpoint[];
  readonly topology: ProxyTopology;
  readonly node: ProxyNode;
  /** Whether node ports answer on 127.0.0.0/8. */
  readonly localhost: boolean;
  /** What `nodeKey` says of the node. */
  readonly key: string;
}

/** What is known of a port with a list of endpoints. */
interface Known {
  readonly hasHints: boolean;
  readonly hasNodeHints: boolean;
  readonly byNode: Map<string, readonly ChainPart[]>;
}

/** By the list of endpoints, then by port: lists are one port's, but for the empty one. */
const memo = new WeakMap<readonly ProxyEndpoint[], WeakMap<ProxyPort, Known>>();

/** What every port's rules look at of a node, as text. */
export function nodeKey({ settings, detector, large }: ProxyNode, localhost: boolean): string {
  return JSON.stringify([detector, settings, large, localhost]);
}

/** The rules in the order in which kube-proxy writes them. */
export function portRules(on: PortOnNode): readonly ChainPart[] {
  const known = knownOf(on);
  const key = on.key + special(on, known);
  const found = known.byNode.get(key) ?? makeRules(on);
  known.byNode.set(key, found);
  return found;
}

function knownOf({ all, port }: PortOnNode): Known {
  const ports = memo.get(all) ?? new WeakMap<ProxyPort, Known>();
  memo.set(all, ports);
  const known = ports.get(port) ?? {
    hasHints: all.some((e) => e.zoneHints.length + e.nodeHints.length > 0),
    hasNodeHints: all.some((e) => e.nodeHints.length > 0),
    byNode: new Map<string, readonly ChainPart[]>(),
  };
  ports.set(port, known);
  return known;
}

/** What this port's rules look at besides; empty for most. */
function special({ port, topology, node }: PortOnNode, known: Known): string {
  const zone = known.hasHints ? ` ${topology.zone} ${topology.hints}` : '';
  const name = known.hasNodeHints ? ` ${topology.node}` : '';
  const { address } = node;
  const own = port.sourceRanges.length > 0 && address ? ` ${formatAddress(address)}` : '';
  return `${zone}${name}${own}`;
}

function makeRules({ port, all, topology, node, localhost }: PortOnNode): readonly ChainPart[] {
  const state = portState(port, categorize(port, all, topology));
  return byChain([...captureRules(state, node.settings, localhost), ...policyChains(state, node)]);
}

/** Rules that follow each other in one chain, together. */
function byChain(written: readonly ChainRule[]): ChainPart[] {
  const parts: (ChainPart & { readonly rules: Rule[] })[] = [];
  for (const { table, chain, rule } of written) {
    const last = parts.at(-1);
    if (last?.table === table && last.chain === chain) last.rules.push(makeRule(rule));
    else parts.push({ table, chain, rules: [makeRule(rule)] });
  }
  return parts;
}
