/**
 * The image of one host: everything its plan says, as lookup structures. Read-only once made.
 *
 * This is the only thing that forwarding reads; lowering/link.ts is the only thing that makes it.
 * @module
 */

import type { EbTable } from '../netfilter/ebtables.ts';
import type { VirtualServers } from '../netfilter/virtual-server.ts';
import type { Address, Family } from '../wire/address/address.ts';
import type { Cut } from './classes/cut.ts';
import type { ImageGaps } from './gaps.ts';
import type { NftProgram } from './nft/program.ts';
import type { RuleProgram } from './program.ts';
import type { Fib } from './route/fib.ts';
import type { CompiledSet } from './set/ip-set.ts';
import type { SysctlTable } from './sysctl.ts';

export interface ImageAddress {
  readonly address: Address;
  readonly length: number;
  readonly scope: 'global' | 'link' | 'host';
}

export interface ImageInterface {
  readonly name: string;
  /** From 1, in plan order; never 0. */
  readonly index: number;
  readonly kind: 'loopback' | 'physical' | 'veth' | 'bridge' | 'dummy';
  /** Lower-case, colon separated. */
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly ImageAddress[];
  /** The bridge this interface is a port of, or null. */
  readonly master: string | null;
  readonly hairpin: boolean;
  readonly promiscuous: boolean;
}

export interface ImageBridge {
  readonly name: string;
  readonly mac: string;
  /** Names of its ports, in plan order. */
  readonly ports: readonly string[];
}

export interface ImageFdbEntry {
  readonly mac: string;
  readonly port: string;
  readonly kind: 'permanent' | 'static' | 'learned';
}

export interface ImageNeighbor {
  readonly mac: string;
  readonly state: 'permanent' | 'reachable' | 'stale' | 'probe' | 'noarp' | 'failed';
}

/** The iptables text of rules, made only when asked for. Arguments are rule ids (program.ts). */
export interface RuleTexts {
  /** The whole rule as iptables-save prints it (`-A FORWARD -s 10.0.0.1/32 -j DROP`). */
  rule(id: number): string;
  /** One part of a rule: a field of its head, or the match at an index. */
  part(id: number, part: RulePart): string;
  /** The target (`DROP`, `MARK --set-xmark 0x1/0x1`); empty for a rule without one. */
  target(id: number): string;
}

/** A part of a rule that can fail to hold: a field of the head, or the index of a match. */
export type RulePart =
  | 'source'
  | 'destination'
  | 'inInterface'
  | 'outInterface'
  | 'protocol'
  | 'fragment'
  | number;

export interface HostImage {
  readonly host: string;
  readonly role: 'node' | 'pod' | 'fabric';
  readonly kernel: string;
  readonly program: RuleProgram;
  /** Null when all rules are those of iptables, each table once. */
  readonly nft: NftProgram | null;
  readonly sets: ReadonlyMap<string, CompiledSet>;
  /** Null when there are none: then nothing of them hangs on any hook. */
  readonly virtualServers: VirtualServers | null;
  readonly fib: Fib;
  readonly interfaces: ReadonlyMap<string, ImageInterface>;
  readonly bridges: ReadonlyMap<string, ImageBridge>;
  /** Bridge name → MAC → entry. */
  readonly fdb: ReadonlyMap<string, ReadonlyMap<string, ImageFdbEntry>>;
  /** The neighbour entry of an address on a device, or null. */
  neighbor(device: string, address: Address): ImageNeighbor | null;
  /** As the plan has them; every chain that a rule jumps to exists. */
  readonly ebtables: readonly EbTable[];
  readonly sysctl: SysctlTable;
  /** A refused TCP connection stays as long as a closed one. */
  readonly keepsRefused: boolean;
  /** Does any rule of the family make the kernel load connection tracking (nf_ct_netns_get)? */
  conntrackActive(family: Family): boolean;
  /** Are fragments put together before the hooks (nf_defrag_ipv4/6 comes with conntrack)? */
  defragActive(family: Family): boolean;
  readonly texts: RuleTexts;
  /** Every constant of the host that can tell packets apart by an address or a port. */
  readonly cuts: () => Iterable<Cut>;
  /** What nobody knows of the host. */
  readonly gaps: ImageGaps;
}
