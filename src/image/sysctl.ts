/**
 * Sysctls of one host as numbers, with Linux's defaults for what the plan does not say.
 * @module
 */

/** Defaults of a fresh network namespace. */
export const SYSCTL_DEFAULTS: Readonly<Record<string, number>> = {
  'net.ipv4.ip_forward': 0,
};

export interface SysctlTable {
  /** `net.ipv4.ip_forward`; unknown keys are 0. */
  get(key: string): number;
  /** A per-interface key: `device('ipv4', 'eth0', 'rp_filter')` is net.ipv4.conf.eth0.rp_filter. */
  device(family: 'ipv4' | 'ipv6', device: string, key: string): number;
}
