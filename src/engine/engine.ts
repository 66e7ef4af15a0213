/**
 * The contract of an engine: frames in, journeys out. The reference engine (engine/reference.ts)
 * holds one emulated host per plan and runs every packet to completion through all of them.
 *
 * Time is an argument: `nowNs` never decreases between calls.
 * @module
 */

import type { RuleLook } from '../node/hook/walk-recorder.ts';
import type { Draw } from '../node/match/memory/draws.ts';
import type { Crossing, Decision, Outcome, Step } from '../node/trail.ts';
import type { Address } from '../wire/address/address.ts';
import type { DropReason, UnknownReason } from '../wire/drop-reason.ts';

export type { Crossing, Decision, Draw, Outcome, RuleLook, Step };

/** How one packet (or one copy of it) ended. */
export interface Journey {
  readonly outcome: Outcome;
  readonly reason: DropReason | UnknownReason | null;
  /** The deciding rule, also when it allowed; absent when no rule had a say. */
  readonly decision: Decision | null;
  /**
   * Set on fragments that a host keeps until the rest comes; outcome is `consumed` then. The
   * journey of the fragment that completes the datagram is the datagram's.
   */
  readonly heldForReassembly: boolean;
  /** Where it ended: the host and device that took it, or by which it left. */
  readonly end: { readonly host: string; readonly device: string };
  /** The packet as it ended, from its network header on; null when dropped before one was known. */
  readonly packet: Uint8Array | null;
  /** The frame as it left by an edge device; null for every other outcome. */
  readonly frame?: Uint8Array | null;
  readonly steps: readonly Step[];
  /** Packets that hosts made because of this one (RST, ICMP errors, ARP replies). */
  readonly generated: readonly GeneratedPacket[];
  /** Further copies of this packet (bridge floods), their own journeys. */
  readonly copies: readonly Journey[];
  /** Policy drops that `walkPastPolicyDrops` walked past, in order. */
  readonly forgiven: readonly Decision[];
  /** Hosts crossed, in order. */
  readonly hosts: readonly string[];
  /** The ends with which it left hosts, the first and each that differs from the one before. */
  readonly crossings: readonly Crossing[];
  /** The draws that chose where its connection goes, in order; absent when nothing was drawn. */
  readonly draws?: readonly Draw[];
}

/** Choices of a connection that somebody has seen. */
export interface KnownChoices {
  /** Of each draw in order, which of its outcomes came; draws beyond these are made. */
  readonly draws?: readonly number[];
  /** The source that translation gave it. */
  readonly source?: { readonly address: Address; readonly port: number };
}

/** One way in which the draws of a new connection can fall, and what then becomes of it. */
export interface Course {
  /** Of 1. */
  readonly probability: number;
  /** What came of each draw: `KnownChoices.draws` of this course. */
  readonly draws: readonly number[];
  readonly forward: Journey;
  /** What became of the answer; null when there was none to send. */
  readonly reply: Journey | null;
}

export interface GeneratedPacket {
  readonly kind: 'icmpError' | 'tcpReset' | 'arpReply' | 'neighborAdvertisement';
  readonly from: string;
  readonly journey: Journey;
}

/** A packet to send on its way. */
export type Injection = {
  /** Capture frame number, for hashes and traces. */
  readonly frame: number;
  readonly nowNs: number;
  /** What `nowNs` is in the world, in whole seconds since 1970, for rules that ask the clock. */
  readonly utcSeconds?: number;
  /** Length on the wire when the capture cut the bytes, else absent. */
  readonly wireLength?: number;
  /** The transport checksum was left to offload: treat it as right, and fill it in on output. */
  readonly checksumOffloaded?: boolean;
  /** An offload aggregate: its MTU is judged as if cut into this many payload bytes. */
  readonly segmentSize?: number;
  /** Record every rule looked at. */
  readonly trace?: boolean;
  /** What the capture shows of the choices that its connection was given. */
  readonly choices?: KnownChoices;
  /**
   * Note rules that drop it for a NetworkPolicy and walk on past them, to learn what the other
   * direction's rules would say; such a journey is a diagnosis, never a verdict, and leaves no
   * trace in connection tables or counters.
   */
  readonly walkPastPolicyDrops?: boolean;
} & (
  | {
      /** A local process of `host` sends this IP packet: routed, then output and postrouting. */
      readonly as: 'local';
      readonly host: string;
      readonly packet: Uint8Array;
    }
  | {
      /** This Ethernet frame arrives at a device of `host`. */
      readonly as: 'frame';
      readonly host: string;
      readonly device: string;
      readonly frameBytes: Uint8Array;
    }
  | {
      /** This IP packet arrives at a device of `host`, in a frame addressed to that device. */
      readonly as: 'received';
      readonly host: string;
      readonly device: string;
      readonly packet: Uint8Array;
    }
);

export interface ConnectionView {
  readonly host: string;
  readonly protocol: number;
  readonly original: string;
  readonly reply: string;
  readonly status: string;
  readonly timeoutS: number;
}

export interface Courses {
  /** The natural one first. */
  readonly courses: readonly Course[];
  /** False when there were more than could be tried. */
  readonly complete: boolean;
}

/**
 * What a host remembers that packets of any connection see, beside its connections: for those who
 * judge connections apart and must know that they have nothing to do with each other.
 */
export interface SharedMemory {
  readonly host: string;
  readonly bridgesLearned: boolean;
  /** Rules that count or limit have met packets. */
  readonly rulesRemember: boolean;
  /** How much of its connection table is taken, of 1; 0 where it has no limit. */
  readonly tableShare: number;
  /** Entries that its connection table may have (`nf_conntrack_max`); 0: any number. */
  readonly tableMax: number;
  /** Living connections that its full table took out to make room for others. */
  readonly earlyDrops: number;
}

export interface Engine {
  readonly name: 'reference' | 'compiled';
  inject(injection: Injection): Journey;
  /**
   * Make a connection that was open before the capture: on every host that `forward` crosses, an
   * assured, established entry as if handshake and reply had passed. Returns the journey that the
   * opening would have had; the entry is made only where it was delivered.
   */
  assumeOpen(injection: Injection): Journey;
  /**
   * Everything that can become of a new connection, by how its draws fall: its opening, and the
   * answer that `answer` makes of where the opening got. Judged as if it were the only connection
   * there is; nothing of it stays. One course when nothing is drawn.
   */
  courses(opening: Injection, answer: (forward: Journey) => Injection | null): Courses;
  /** Live connection entries of one host, for reports and for comparison with conntrack -L. */
  connections(host: string): readonly ConnectionView[];
  /** Of every host that packets have met so far. */
  sharedMemory(): readonly SharedMemory[];
  /** Rule counters of one host: packets and bytes by rule address. */
  counters(host: string): ReadonlyMap<string, { readonly packets: number; readonly bytes: number }>;
}
