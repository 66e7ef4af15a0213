/**
 * Sysctls of one host as numbers, with Linux's defaults for what the plan does not say.
 *
 * Per-interface keys follow net/ipv4/devinet.c: an interface takes `conf.default` as it is when the
 * interface appears, and writing `ip_forward` writes `forwarding` of all interfaces.
 * Defaults are those of a fresh network namespace of Linux 6.18
 * (test/differential/kernel/image.test.ts reads them).
 * @module
 */

/** Only what differs from 0. */
export const SYSCTL_DEFAULTS: Readonly<Record<string, number>> = {
  'net.bridge.bridge-nf-call-arptables': 1,
  'net.bridge.bridge-nf-call-ip6tables': 1,
  'net.bridge.bridge-nf-call-iptables': 1,
  'net.ipv4.conf.default.accept_redirects': 1,
  'net.ipv4.conf.default.send_redirects': 1,
  'net.ipv4.conf.all.accept_redirects': 1,
  'net.ipv4.conf.all.send_redirects': 1,
  'net.ipv4.icmp_echo_ignore_broadcasts': 1,
  'net.ipv4.ip_default_ttl': 64,
  'net.ipv4.ipfrag_time': 30,
  'net.ipv6.conf.default.hop_limit': 64,
  'net.ipv6.conf.all.hop_limit': 64,
  'net.ipv6.ip6frag_time': 60,
  'net.netfilter.nf_conntrack_checksum': 1,
  'net.netfilter.nf_conntrack_frag6_timeout': 60,
  'net.netfilter.nf_conntrack_generic_timeout': 600,
  'net.netfilter.nf_conntrack_gre_timeout': 30,
  'net.netfilter.nf_conntrack_gre_timeout_stream': 180,
  'net.netfilter.nf_conntrack_icmp_timeout': 30,
  'net.netfilter.nf_conntrack_icmpv6_timeout': 30,
  'net.netfilter.nf_conntrack_max': 262144,
  'net.netfilter.nf_conntrack_sctp_timeout_closed': 10,
  'net.netfilter.nf_conntrack_sctp_timeout_cookie_echoed': 3,
  'net.netfilter.nf_conntrack_sctp_timeout_cookie_wait': 3,
  'net.netfilter.nf_conntrack_sctp_timeout_established': 210,
  'net.netfilter.nf_conntrack_sctp_timeout_heartbeat_sent': 30,
  'net.netfilter.nf_conntrack_sctp_timeout_shutdown_ack_sent': 3,
  'net.netfilter.nf_conntrack_sctp_timeout_shutdown_recd': 3,
  'net.netfilter.nf_conntrack_sctp_timeout_shutdown_sent': 3,
  'net.netfilter.nf_conntrack_tcp_loose': 1,
  'net.netfilter.nf_conntrack_tcp_max_retrans': 3,
  'net.netfilter.nf_conntrack_tcp_timeout_close': 10,
  'net.netfilter.nf_conntrack_tcp_timeout_close_wait': 60,
  'net.netfilter.nf_conntrack_tcp_timeout_established': 432000,
  'net.netfilter.nf_conntrack_tcp_timeout_fin_wait': 120,
  'net.netfilter.nf_conntrack_tcp_timeout_last_ack': 30,
  'net.netfilter.nf_conntrack_tcp_timeout_max_retrans': 300,
  'net.netfilter.nf_conntrack_tcp_timeout_syn_recv': 60,
  'net.netfilter.nf_conntrack_tcp_timeout_syn_sent': 120,
  'net.netfilter.nf_conntrack_tcp_timeout_time_wait': 120,
  'net.netfilter.nf_conntrack_tcp_timeout_unacknowledged': 300,
  'net.netfilter.nf_conntrack_udp_timeout': 30,
  'net.netfilter.nf_conntrack_udp_timeout_stream': 120,
};

export interface SysctlTable {
  /** A key as sysctl(8) prints it; its default, or 0, when the plan does not say. */
  get(key: string): number;
  /** Whether the plan says. */
  has(key: string): boolean;
  /** A per-interface key: `device('ipv4', 'eth0', 'rp_filter')` is net.ipv4.conf.eth0.rp_filter. */
  device(family: 'ipv4' | 'ipv6', device: string, key: string): number;
}

/** Make the table; values are numbers already (lowering refuses the others). */
export function makeSysctlTable(values: ReadonlyMap<string, number>): SysctlTable {
  const get = (key: string): number => values.get(key) ?? SYSCTL_DEFAULTS[key] ?? 0;
  const device = (family: 'ipv4' | 'ipv6', name: string, key: string): number => {
    const own = values.get(`net.${family}.conf.${name.replaceAll('.', '/')}.${key}`);
    if (own !== undefined) return own;
    const inherited = values.get(`net.${family}.conf.default.${key}`);
    if (inherited !== undefined) return inherited;
    if (key === 'forwarding') return forwarding(family, get);
    return get(`net.${family}.conf.default.${key}`);
  };
  return { get, has: (key) => values.has(key), device };
}

/** `ip_forward` is conf.all.forwarding under its old name; IPv6 has only the latter. */
function forwarding(family: 'ipv4' | 'ipv6', get: (key: string) => number): number {
  const all = get(`net.${family}.conf.all.forwarding`);
  return all !== 0 || family === 'ipv6' ? all : get('net.ipv4.ip_forward');
}
