/**
 * What of connection tracking sysctl(8) can set, with Linux's defaults.
 *
 * Source: `tcp_timeouts`, `udp_timeouts`, `sctp_timeouts`, `nf_ct_icmp_timeout` … in
 * net/netfilter/nf_conntrack_proto_*.c; equal to the sysctls of Linux 6.18
 * (test/differential/kernel/conntrack.test.ts reads them). Kernel defaults only: kube-proxy raises
 * two of them and `nf_conntrack_max` on real nodes, so a plan carries its own.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';

/** In seconds, by TCP state; `retrans` and `unack` cap the others in special cases. */
export const TCP_TIMEOUT_S = {
  synSent: 120,
  synRecv: 60,
  established: 432_000,
  finWait: 120,
  closeWait: 60,
  lastAck: 30,
  timeWait: 120,
  close: 10,
  synSent2: 120,
  retrans: 300,
  unack: 300,
} as const;

export const SCTP_TIMEOUT_S = {
  closed: 10,
  cookieWait: 3,
  cookieEchoed: 3,
  established: 210,
  shutdownSent: 3,
  shutdownRecd: 3,
  shutdownAckSent: 3,
  heartbeatSent: 30,
} as const;

export const UDP_TIMEOUT_S = { unreplied: 30, stream: 120 } as const;
export const GRE_TIMEOUT_S = { unreplied: 30, stream: 180 } as const;
export const ICMP_TIMEOUT_S = 30;
export const GENERIC_TIMEOUT_S = 600;
export const FRAGMENT_TIMEOUT_S = { ipv4: 30, ipv6: 60 } as const;

type Seconds<T> = { readonly [K in keyof T]: number };

export interface ConntrackSettings {
  readonly tcp: Seconds<typeof TCP_TIMEOUT_S>;
  readonly udp: Seconds<typeof UDP_TIMEOUT_S>;
  readonly sctp: Seconds<typeof SCTP_TIMEOUT_S>;
  readonly gre: Seconds<typeof GRE_TIMEOUT_S>;
  readonly fragment: Seconds<typeof FRAGMENT_TIMEOUT_S>;
  readonly icmpS: number;
  readonly icmpv6S: number;
  readonly genericS: number;
  /** Entries the table may hold (`nf_conntrack_max`). 0 means no limit, as in the kernel. */
  readonly max: number;
  /** Judge transport checksums at prerouting (`nf_conntrack_checksum`). */
  readonly checksum: boolean;
  /** Pick up TCP connections in the middle. */
  readonly tcpLoose: boolean;
  /** Only RST segments out of window are INVALID. */
  readonly tcpBeLiberal: boolean;
  readonly tcpIgnoreInvalidRst: boolean;
  readonly tcpMaxRetrans: number;
  /** No setting of Linux: a reset as the only answer leaves the connection its time as closed. */
  readonly tcpKeepsRefused: boolean;
}

/** 262144 is what Linux chooses on a machine of 4 GiB or more (`nf_conntrack_init_start`). */
export const DEFAULT_SETTINGS: ConntrackSettings = {
  tcp: TCP_TIMEOUT_S,
  udp: UDP_TIMEOUT_S,
  sctp: SCTP_TIMEOUT_S,
  gre: GRE_TIMEOUT_S,
  fragment: FRAGMENT_TIMEOUT_S,
  icmpS: ICMP_TIMEOUT_S,
  icmpv6S: ICMP_TIMEOUT_S,
  genericS: GENERIC_TIMEOUT_S,
  max: 262_144,
  checksum: true,
  tcpLoose: true,
  tcpBeLiberal: false,
  tcpIgnoreInvalidRst: false,
  tcpMaxRetrans: 3,
  tcpKeepsRefused: false,
};

const PREFIX = 'net.netfilter.nf_conntrack_';

/** Names of the sysctls behind the prefix, by the setting they feed. */
const TCP_KEYS: Readonly<Record<Exclude<keyof typeof TCP_TIMEOUT_S, 'synSent2'>, string>> = {
  synSent: 'tcp_timeout_syn_sent',
  synRecv: 'tcp_timeout_syn_recv',
  established: 'tcp_timeout_established',
  finWait: 'tcp_timeout_fin_wait',
  closeWait: 'tcp_timeout_close_wait',
  lastAck: 'tcp_timeout_last_ack',
  timeWait: 'tcp_timeout_time_wait',
  close: 'tcp_timeout_close',
  retrans: 'tcp_timeout_max_retrans',
  unack: 'tcp_timeout_unacknowledged',
};

const SCTP_KEYS: Readonly<Record<keyof typeof SCTP_TIMEOUT_S, string>> = {
  closed: 'sctp_timeout_closed',
  cookieWait: 'sctp_timeout_cookie_wait',
  cookieEchoed: 'sctp_timeout_cookie_echoed',
  established: 'sctp_timeout_established',
  shutdownSent: 'sctp_timeout_shutdown_sent',
  shutdownRecd: 'sctp_timeout_shutdown_recd',
  shutdownAckSent: 'sctp_timeout_shutdown_ack_sent',
  heartbeatSent: 'sctp_timeout_heartbeat_sent',
};

/**
 * Read the settings from a host's sysctls; what is absent has Linux's default.
 * @throws UserError naming every value that is not a number the kernel would take
 */
export function conntrackSettings(sysctls: Readonly<Record<string, string>>): ConntrackSettings {
  const problems: Diagnostic[] = [];
  const read = (key: string, fallback: number): number => {
    const text = sysctls[key];
    if (text === undefined) return fallback;
    if (/^\d{1,10}$/.test(text.trim()) && Number(text) <= 0xffffffff) return Number(text);
    problems.push({
      code: 'SYSCTL_NUMBER',
      field: key,
      message: 'the value of a sysctl must be a number',
      found: text,
      accepted: '0 to 4294967295',
    });
    return fallback;
  };
  const own = (key: string, fallback: number) => read(PREFIX + key, fallback);
  const d = DEFAULT_SETTINGS;
  const settings: ConntrackSettings = {
    tcp: { ...readAll(TCP_KEYS, d.tcp, own), synSent2: TCP_TIMEOUT_S.synSent2 },
    udp: {
      unreplied: own('udp_timeout', d.udp.unreplied),
      stream: own('udp_timeout_stream', d.udp.stream),
    },
    sctp: readAll(SCTP_KEYS, d.sctp, own),
    gre: {
      unreplied: own('gre_timeout', d.gre.unreplied),
      stream: own('gre_timeout_stream', d.gre.stream),
    },
    fragment: {
      ipv4: read('net.ipv4.ipfrag_time', d.fragment.ipv4),
      ipv6: own('frag6_timeout', d.fragment.ipv6),
    },
    icmpS: own('icmp_timeout', d.icmpS),
    icmpv6S: own('icmpv6_timeout', d.icmpv6S),
    genericS: own('generic_timeout', d.genericS),
    max: own('max', read('net.nf_conntrack_max', d.max)),
    checksum: own('checksum', 1) !== 0,
    tcpLoose: own('tcp_loose', 1) !== 0,
    tcpBeLiberal: own('tcp_be_liberal', 0) !== 0,
    tcpIgnoreInvalidRst: own('tcp_ignore_invalid_rst', 0) !== 0,
    tcpMaxRetrans: own('tcp_max_retrans', d.tcpMaxRetrans),
    tcpKeepsRefused: d.tcpKeepsRefused,
  };
  if (problems.length > 0) throw new UserError(problems, 'input');
  return settings;
}

function readAll<K extends string>(
  keys: Readonly<Record<K, string>>,
  defaults: Readonly<Record<K, number>>,
  read: (key: string, fallback: number) => number,
): Record<K, number> {
  const values = { ...defaults } as Record<K, number>;
  for (const name of Object.keys(keys) as K[]) values[name] = read(keys[name], defaults[name]);
  return values;
}
