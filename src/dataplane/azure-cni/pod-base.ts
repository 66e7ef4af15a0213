/**
 * What a pod's network namespace has whatever network it is in.
 *
 * A new namespace copies the IPv4 settings of the host's (net.core.devconf_inherit_init_net=0,
 * Documentation/admin-guide/sysctl/net.rst), so rp_filter and ip_forward are the node's.
 * @module
 */
import type { Cluster, Node, Pod } from '../../cluster/model.ts';
import { assert } from '../../diagnostic/diagnostic.ts';
import { PlanBuilder } from '../../plan/builder.ts';
import type { InterfaceAddress } from '../../plan/model.ts';
import { podHost, type RenderInput } from '../dataplane.ts';
import { podMac } from './mac.ts';
import { LOOPBACK, MTU } from './node-base.ts';

const memo = new WeakMap<Cluster, ReadonlyMap<string, Node>>();

/** The node that an attached pod is on. */
export function nodeOf(cluster: Cluster, pod: Pod): Node {
  const known = memo.get(cluster) ?? new Map(cluster.nodes.map((n) => [n.name, n]));
  memo.set(cluster, known);
  const node = known.get(pod.node);
  assert(node !== undefined, `the node ${pod.node} of ${podHost(pod)} is in the cluster`);
  return node;
}

/** A pod's plan with its two interfaces and nothing else yet. */
export function beginPod(
  input: RenderInput,
  pod: Pod,
  addresses: readonly InterfaceAddress[],
): PlanBuilder {
  const node = nodeOf(input.cluster, pod);
  const builder = new PlanBuilder(podHost(pod), 'pod');
  builder.kernel = node.kernel === '' ? builder.kernel : node.kernel;
  builder.interfaces.push(LOOPBACK, {
    name: 'eth0',
    kind: 'veth',
    mac: podMac(pod),
    mtu: MTU,
    up: true,
    addresses,
  });
  Object.assign(builder.sysctls, {
    'net.ipv4.ip_forward': '1',
    'net.ipv4.conf.all.rp_filter': '2',
    'net.ipv4.conf.default.rp_filter': '2',
  });
  return builder;
}
