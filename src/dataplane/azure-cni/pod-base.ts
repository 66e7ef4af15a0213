/**
 * What a pod's network namespace has whatever mode Azure CNI is in.
 *
 * A new namespace copies the IPv4 settings of the host's (net.core.devconf_inherit_init_net=0,
 * Documentation/admin-guide/sysctl/net.rst), so rp_filter and ip_forward are the node's.
 * @module
 */
import type { PlanBuilder } from '../../plan/builder.ts';

/** Sysctls of a pod. */
export function setPodSysctls(builder: PlanBuilder): void {
  Object.assign(builder.sysctls, {
    'net.ipv4.ip_forward': '1',
    'net.ipv4.conf.all.rp_filter': '2',
    'net.ipv4.conf.default.rp_filter': '2',
  });
}
