/**
 * kube-proxy in nftables mode on one node: one table a family.
 *
 * Where kube-proxy walks a map (Services, node addresses) its order is chance; ours is that of the
 * input. Devices are told by name, as releases since 1.31 do (`iifname`): v1.30 writes
 * `iif "azv*"`, which nft refuses. Source: kubernetes v1.30.5 `pkg/proxy/nftables/proxier.go`,
 * `pkg/proxy/util/iptables/traffic.go`.
 * @module
 */
import type { LocalDetector, Node } from '../../../cluster/model.ts';
import { unreachable } from '../../../diagnostic/diagnostic.ts';
import type { NftTable } from '../../../netfilter/nft/ruleset.ts';
import type { PlanBuilder } from '../../../plan/builder.ts';
import type { Prefix } from '../../../wire/address/address.ts';
import {
  type Address,
  contains,
  type Family,
  formatPrefix,
} from '../../../wire/address/address.ts';
import { nodePortScope, type ProxySettings } from '../config.ts';
import { categorize } from '../services/categorize.ts';
import type { ProxyEndpoint } from '../services/endpoints.ts';
import type { ProxyPort } from '../services/service-port.ts';
import { addPort, type NftProxyNode } from './port-rules.ts';
import { addStatics } from './static.ts';
import { ProxyTable } from './table.ts';

/** What one family's table is made of. */
export interface NftProxyInput {
  readonly ports: readonly {
    readonly port: ProxyPort;
    readonly all: readonly ProxyEndpoint[];
  }[];
  readonly node: Pick<Node, 'name' | 'addresses' | 'podCidrs'>;
  readonly zone: string;
  readonly settings: ProxySettings;
  /** The ranges of ClusterIPs, where they are known. */
  readonly serviceCidrs: readonly Prefix[];
}

/** The table of a family on a node that has its interfaces. */
export function nftablesTable(
  builder: PlanBuilder,
  input: NftProxyInput,
  family: Family,
): NftTable {
  const { settings, node } = input;
  const table = new ProxyTable(family);
  addStatics(table, {
    masqueradeMark: `0x${(2 ** settings.masqueradeBit).toString(16)}`,
    serviceCidrs: input.serviceCidrs.filter(({ address }) => address.family === family),
    nodePortIps: nodePortIps(builder, settings, family),
  });
  const proxyNode: NftProxyNode = {
    address: node.addresses.find((a) => a.family === family) ?? null,
    masqueradeAll: settings.masqueradeAll,
    detector: detectorText(settings.detectLocal, node, family),
  };
  const topology = { node: node.name, zone: input.zone, hints: settings.hints };
  for (const { port, all } of input.ports) {
    addPort(table, port, categorize(port, all, topology), proxyNode);
  }
  return table.build();
}

/** Null for all local addresses; localhost has no node ports in this mode. */
function nodePortIps(
  builder: PlanBuilder,
  settings: ProxySettings,
  family: Family,
): readonly Address[] | null {
  const { everywhere, ranges } = nodePortScope(settings, family);
  if (everywhere) return null;
  return builder.interfaces
    .filter(({ kind }) => kind !== 'loopback')
    .flatMap(({ addresses }) => addresses.map(({ address }) => address))
    .filter((a) => a.family === family && ranges.some((range) => contains(range, a)));
}

function detectorText(
  detector: LocalDetector,
  node: Pick<Node, 'podCidrs'>,
  family: Family,
): NftProxyNode['detector'] {
  switch (detector.mode) {
    case 'ClusterCIDR':
      return byRange(detector.cidrs, family);
    case 'NodeCIDR':
      return byRange(node.podCidrs, family);
    case 'BridgeInterface':
      return byName(detector.name);
    case 'InterfaceNamePrefix':
      return byName(`${detector.prefix}*`);
    case 'none':
      return null;
    default:
      return unreachable(detector);
  }
}

function byRange(ranges: readonly Prefix[], family: Family): NftProxyNode['detector'] {
  const range = ranges.find(({ address }) => address.family === family);
  if (range === undefined) return null;
  const field = `${family === 4 ? 'ip' : 'ip6'} saddr`;
  const text = formatPrefix(range);
  return { ifLocal: `${field} ${text}`, ifNotLocal: `${field} != ${text}` };
}

function byName(name: string): NftProxyNode['detector'] {
  return { ifLocal: `iifname "${name}"`, ifNotLocal: `iifname != "${name}"` };
}
