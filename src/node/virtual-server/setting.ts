/**
 * Settings of virtual servers that are on unless somebody turned them off: the key exists only
 * where the module is loaded, so it has no default among a namespace's own.
 *
 * Source: net/netfilter/ipvs/ip_vs_ctl.c `ip_vs_control_net_init_sysctl` (Linux 6.1).
 * @module
 */
import type { SysctlTable } from '../../image/sysctl.ts';

/** Whether `net.ipv4.vs.KEY` is on. */
export function isOn(sysctl: SysctlTable, key: 'conn_reuse_mode' | 'snat_reroute'): boolean {
  const name = `net.ipv4.vs.${key}`;
  return !sysctl.has(name) || sysctl.get(name) !== 0;
}
