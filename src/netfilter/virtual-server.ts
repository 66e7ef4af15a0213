/**
 * Virtual servers of IPVS: addresses and ports behind which real servers answer, one chosen for
 * each connection. Masquerading (NAT) is the one way of forwarding.
 *
 * Source: include/uapi/linux/ip_vs.h `ip_vs_service_user`, `ip_vs_dest_user`; ipvsadm(8).
 * @module
 */
import type { Address } from '../wire/address/address.ts';
import type { Provenance } from './rule.ts';

/**
 * How a real server is chosen. The first eight by what the host has done so far: turns, open
 * connections; the last three by a hash of the packet's ends.
 */
export const SCHEDULERS = [
  ...(['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sed', 'nq'] as const),
  ...(['dh', 'sh', 'mh'] as const),
] as const;
export type Scheduler = (typeof SCHEDULERS)[number];

/** What hashes count beside the client's address, and what to do for servers of weight 0. */
export const SCHEDULER_FLAGS = ['sh-fallback', 'sh-port', 'mh-fallback', 'mh-port'] as const;
export type SchedulerFlag = (typeof SCHEDULER_FLAGS)[number];

export interface RealServer {
  readonly address: Address;
  readonly port: number;
  /** 0 takes no new connections. */
  readonly weight: number;
  readonly origin?: readonly Provenance[];
}

export interface VirtualServer {
  /** TCP, UDP or SCTP. */
  readonly protocol: number;
  readonly address: Address;
  readonly port: number;
  readonly scheduler: Scheduler;
  readonly flags?: readonly SchedulerFlag[];
  /**
   * A client, which is all addresses that share this many first bits, keeps its real server for
   * this many seconds after its last connection.
   */
  readonly persistence?: { readonly seconds: number; readonly bits: number };
  readonly realServers: readonly RealServer[];
  readonly origin?: readonly Provenance[];
}

/** Seconds, as `ipvsadm --set` gives them. */
export interface VirtualTimeouts {
  readonly tcp: number;
  readonly tcpFin: number;
  readonly udp: number;
}

/** `tcp_timeouts`, `udp_timeouts` of net/netfilter/ipvs/ip_vs_proto_{tcp,udp}.c. */
export const DEFAULT_VIRTUAL_TIMEOUTS: VirtualTimeouts = { tcp: 900, tcpFin: 120, udp: 300 };

export interface VirtualServers {
  readonly servers: readonly VirtualServer[];
  readonly timeouts: VirtualTimeouts;
}
