/**
 * How kube-proxy's rules tell traffic of pods from all other: by its source, or by the device it
 * comes in by.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/util/iptables/traffic.go`,
 * `cmd/kube-proxy/app/server_linux.go` `getLocalDetectors`.
 * @module
 */
import type { LocalDetector, Node } from '../../cluster/model.ts';
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { IpMatch } from '../../netfilter/match.ts';
import type { Family, Prefix } from '../../wire/address/address.ts';
import { from } from './parts.ts';

/** The two conditions as heads of rules; both empty where there is no detector. */
export interface TrafficDetector {
  readonly isImplemented: boolean;
  readonly ifLocal: IpMatch;
  readonly ifNotLocal: IpMatch;
}

const NONE: TrafficDetector = { isImplemented: false, ifLocal: {}, ifNotLocal: {} };

/** The detector of a family on a node; none where it has no range of that family. */
export function trafficDetector(
  detector: LocalDetector,
  node: Pick<Node, 'podCidrs'>,
  family: Family,
): TrafficDetector {
  switch (detector.mode) {
    case 'ClusterCIDR':
      return byRange(detector.cidrs, family);
    case 'NodeCIDR':
      return byRange(node.podCidrs, family);
    case 'BridgeInterface':
      return byInterface(detector.name);
    case 'InterfaceNamePrefix':
      return byInterface(`${detector.prefix}+`);
    case 'none':
      return NONE;
    default:
      return unreachable(detector);
  }
}

function byRange(ranges: readonly Prefix[], family: Family): TrafficDetector {
  const range = ranges.find((p) => p.address.family === family);
  if (!range) return NONE;
  return { isImplemented: true, ifLocal: from(range), ifNotLocal: from(range, true) };
}

function byInterface(name: string): TrafficDetector {
  return {
    isImplemented: true,
    ifLocal: { inInterface: { value: name, negate: false } },
    ifNotLocal: { inInterface: { value: name, negate: true } },
  };
}
