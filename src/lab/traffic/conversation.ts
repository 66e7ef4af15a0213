/**
 * Captured connections: which packets of the capture belong together, who opened, and when it is
 * over. Shared by all stacks of a run; what a stack makes of a conversation is in stack-run.ts.
 *
 * This is bookkeeping about the capture, not connection tracking: the emulated hosts keep their own
 * tables, with the kernel's rules (conntrack/).
 * @module
 */
import { type Address, compareAddress } from '../../wire/address/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import type { Direction } from '../causes.ts';
import type { Datagram } from '../datagram/datagram.ts';
import { type Ends, equalEnds, inverse } from '../datagram/rewrite.ts';
import type { Place } from '../identity.ts';
import type { Face } from './faces.ts';
import { ListedOpeners } from './listed-openers.ts';
import { serverEnd } from './opening.ts';
import { tupleKey } from './tuple-key.ts';

/** One connection as the capture shows it; `original` is the direction that opened it. */
export interface Conversation {
  readonly id: number;
  /** Its names: under the ends that its client sees, and under those of each other view. */
  readonly keys: readonly string[];
  readonly protocol: string;
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number | null;
  readonly dport: number | null;
  readonly from: Place;
  readonly to: Place;
  /**
   * `assumed`: its opening is not in the capture but its direction is known; `listed`: a node knew
   * it when the capture began.
   */
  readonly opening: 'seen' | 'assumed' | 'listed' | 'unknown';
  /** Ends that its packets have further on, as captured; in the direction of the opening. */
  readonly views: readonly Ends[];
  /** Why it can not be judged at all; null when it can. */
  readonly unjudged: UnknownReason | null;
  readonly firstFrame: number;
  packets: number;
  bytes: number;
  /** The far end answered, by what the capture shows. */
  answered: boolean;
  lastNs: number;
  /** TCP: which ends sent FIN; `reset` once anybody sent RST. */
  readonly finished: { original: boolean; reply: boolean; reset: boolean };
}

/** A packet's conversation and the direction it goes in. */
export interface Membership {
  readonly conversation: Conversation;
  readonly direction: Direction;
}

/**
 * `--midstream`: settle the opening by ports, leave it to the kernel's mid-stream pickup (the first
 * captured packet is taken as the opening), or give no verdict.
 */
export const MIDSTREAM = ['assume', 'kernel', 'unknown'] as const;
export type Midstream = (typeof MIDSTREAM)[number];

interface Opening {
  readonly opening: Conversation['opening'];
  /** The packet goes against the direction of the opening. */
  readonly reversed: boolean;
}

/** How a connection looks to its client; asked when one begins. */
type FaceOf = (datagram: Datagram, from: Place, to: Place) => Face;

const ownFace: FaceOf = (datagram, from, to) => {
  return { datagram, from, to, views: [], hidden: null };
};

const NONE: readonly Conversation[] = [];
const SECOND_NS = 1e9;
/** How long after its end a conversation still takes late packets (Linux TIME_WAIT). */
const LINGER_NS = 120 * SECOND_NS;
/** Idle time after which other protocols' packets begin a new conversation (UDP stream timeout). */
const IDLE_NS = 180 * SECOND_NS;
/** Idle time of established TCP (nf_conntrack_tcp_timeout_established). */
const TCP_IDLE_NS = 432_000 * SECOND_NS;

export class Conversations {
  readonly #open = new Set<Conversation>();
  readonly #byKey = new Map<string, Conversation>();
  readonly #midstream: Midstream;
  readonly #listed: ListedOpeners;
  readonly #faceOf: FaceOf;
  #replaced: Conversation[] = [];
  readonly #takeId: () => number;

  /** `takeId`: numbers conversations, where others do, too. */
  constructor(
    midstream: Midstream,
    listed = new ListedOpeners([]),
    faceOf = ownFace,
    takeId = numbersFrom(1),
  ) {
    this.#takeId = takeId;
    this.#midstream = midstream;
    this.#listed = listed;
    this.#faceOf = faceOf;
  }

  get open(): number {
    return this.#open.size;
  }

  /** Look up the conversation that a quoted or partial tuple belongs to; null when none is open. */
  lookup(
    datagram: Pick<Datagram, 'protocol' | 'src' | 'dst' | 'sport' | 'dport'>,
  ): Membership | null {
    const found = this.#byKey.get(keyOf(datagram));
    return found ? { conversation: found, direction: directionIn(found, datagram) } : null;
  }

  /** The conversation of a packet, begun when it is the first. */
  join(datagram: Datagram, from: Place, to: Place, nowNs: number): Membership {
    const key = keyOf(datagram);
    const found = this.#byKey.get(key);
    if (found && !startsAnew(found, datagram, nowNs)) {
      return { conversation: found, direction: directionIn(found, datagram) };
    }
    const conversation = this.#begin(this.#faceOf(datagram, from, to), nowNs);
    for (const name of conversation.keys) {
      const before = this.#byKey.get(name);
      if (before !== undefined) this.#replace(before);
    }
    for (const name of conversation.keys) this.#byKey.set(name, conversation);
    this.#open.add(conversation);
    return { conversation, direction: directionIn(conversation, datagram) };
  }

  /** Count a packet that was captured in its conversation. */
  note(membership: Membership, datagram: Datagram, nowNs: number): void {
    const { conversation } = membership;
    conversation.packets++;
    conversation.bytes += datagram.wireLength;
    this.touch(membership, datagram, nowNs);
  }

  /**
   * A packet or a copy of one shows that its conversation goes on, or that an end has ended it: so
   * when it is over does not hang on which packets are told from copies, and can be followed by who
   * does not tell them.
   */
  touch({ conversation, direction }: Membership, datagram: Datagram, nowNs: number): void {
    conversation.lastNs = nowNs;
    if (provesAnswer(direction, datagram)) conversation.answered = true;
    const { tcp } = datagram;
    if (tcp?.fin) conversation.finished[direction] = true;
    if (tcp?.rst) conversation.finished.reset = true;
  }

  /** Whether a packet that begins a conversation goes against the direction of its opening. */
  answers(datagram: Datagram, from: Place, to: Place, nowNs: number): boolean {
    return this.#openingOf(datagram, from, to, nowNs).reversed;
  }

  #replace(conversation: Conversation): void {
    this.#replaced.push(conversation);
    this.#forget(conversation);
  }

  #forget(conversation: Conversation): void {
    this.#open.delete(conversation);
    for (const key of conversation.keys) {
      if (this.#byKey.get(key) === conversation) this.#byKey.delete(key);
    }
  }

  /** Conversations whose tuple a new one has taken since this was last asked. */
  takeReplaced(): readonly Conversation[] {
    if (this.#replaced.length === 0) return NONE;
    const replaced = this.#replaced;
    this.#replaced = [];
    return replaced;
  }

  /** Conversations that are over at `nowNs`; they are forgotten. */
  expire(nowNs: number): readonly Conversation[] {
    const over: Conversation[] = [];
    for (const c of this.#open) if (nowNs - c.lastNs > lifetimeNs(c)) over.push(c);
    for (const c of over) this.#forget(c);
    return over;
  }

  /** All that are still open, forgotten too: the end of the capture. */
  drain(): readonly Conversation[] {
    const all = [...this.#open];
    this.#open.clear();
    this.#byKey.clear();
    return all;
  }

  /** What is done with a conversation whose opening was not captured. */
  #midstreamed(found: Opening): Opening {
    if (found.opening === 'seen' || this.#midstream === 'assume') return found;
    return { opening: this.#midstream === 'kernel' ? 'seen' : 'unknown', reversed: false };
  }

  /** What nodes listed is known; a packet that opens a connection opens a new one. */
  #openingOf(d: Datagram, from: Place, to: Place, nowNs: number): Opening {
    const isReply = opens(d) ? null : this.#listed.isReply(d, nowNs);
    if (isReply !== null) return { opening: 'listed', reversed: isReply };
    return this.#midstreamed(openingOf(d, from, to));
  }

  #begin({ datagram: d, from, to, views, hidden }: Face, nowNs: number): Conversation {
    const { opening, reversed } = this.#openingOf(d, from, to, nowNs);
    const [src, dst] = reversed ? [d.dst, d.src] : [d.src, d.dst];
    const [sport, dport] = reversed ? [d.dport, d.sport] : [d.sport, d.dport];
    return {
      id: this.#takeId(),
      keys: [d, ...views].map((ends) => keyOf({ ...ends, protocol: d.protocol })),
      protocol: d.protocolName,
      src,
      dst,
      sport,
      dport,
      from: reversed ? to : from,
      to: reversed ? from : to,
      opening,
      views: reversed ? views.map(inverse) : views,
      unjudged: opening === 'unknown' ? 'midstream' : hidden,
      firstFrame: d.frame,
      packets: 0,
      bytes: 0,
      answered: false,
      lastNs: nowNs,
      finished: { original: false, reply: false, reset: false },
    };
  }
}

function numbersFrom(first: number): () => number {
  let next = first;
  return () => next++;
}

function keyOf(d: Pick<Datagram, 'protocol' | 'src' | 'dst' | 'sport' | 'dport'>): string {
  const a = { address: d.src, port: d.sport ?? 0 };
  return tupleKey(d.protocol, a, { address: d.dst, port: d.dport ?? 0 });
}

function directionIn(
  c: Conversation,
  d: Pick<Datagram, 'src' | 'dst' | 'sport' | 'dport' | 'icmpReply'>,
): Direction {
  if (d.icmpReply !== undefined) return d.icmpReply ? 'reply' : 'original';
  if (equalEnds(c, d)) return 'original';
  if (c.views.some((view) => equalEnds(view, d))) return 'original';
  // A pod that reaches itself through its Service has one address at both ends of the way.
  if (c.views.some((view) => equalEnds(inverse(view), d))) return 'reply';
  if (compareAddress(c.src, d.src) !== 0) return 'reply';
  if (compareAddress(c.src, c.dst) !== 0) return 'original';
  return c.sport === d.sport ? 'original' : 'reply';
}

/** Whether a packet on a known tuple begins another conversation (reopened port, long silence). */
function startsAnew(c: Conversation, d: Datagram, nowNs: number): boolean {
  if (nowNs - c.lastNs > lifetimeNs(c)) return true;
  const { tcp } = d;
  return tcp?.syn === true && !tcp.hasAck && isOver(c);
}

/** Whether its ends have said that it is. */
export function isOver(c: Conversation): boolean {
  return c.finished.reset || (c.finished.original && c.finished.reply);
}

/** Silence after which a packet on the same tuple begins another conversation. */
export function lifetimeNs(c: Conversation): number {
  if (c.protocol !== 'tcp') return IDLE_NS;
  return isOver(c) || !c.answered ? LINGER_NS : TCP_IDLE_NS;
}

/**
 * An answer proves that the opening arrived, and so does what acknowledges one that was not
 * captured; a TCP reset or an ICMP error may be a firewall's (`REJECT` makes either) and proves
 * nothing.
 */
function provesAnswer(direction: Direction, { quoted, tcp }: Datagram): boolean {
  if (quoted !== null) return false;
  if (tcp === null) return direction === 'reply';
  return !tcp.rst && (direction === 'reply' || (tcp.hasAck && !tcp.syn));
}

/** Whether the packet is one that only begins connections. */
function opens(d: Datagram): boolean {
  return (d.tcp?.syn === true && !d.tcp.hasAck) || d.sctpChunk === SCTP_INIT;
}

/**
 * Whether the packet opens its conversation, and whether it goes against the opener's direction.
 */
function openingOf(d: Datagram, from: Place, to: Place): Opening {
  if (d.icmpReply !== undefined) {
    return { opening: d.icmpReply ? 'assumed' : 'seen', reversed: d.icmpReply };
  }
  if (d.tcp) {
    if (d.tcp.syn) return { opening: d.tcp.hasAck ? 'assumed' : 'seen', reversed: d.tcp.hasAck };
  } else if (d.sctpChunk !== null) {
    if (d.sctpChunk === SCTP_INIT) return { opening: 'seen', reversed: false };
    if (d.sctpChunk === SCTP_INIT_ACK) return { opening: 'assumed', reversed: true };
  } else if (d.sport === null || d.dport === null) {
    return { opening: 'seen', reversed: false };
  }
  const src = { place: from, port: d.sport ?? 0 };
  const server = serverEnd(src, { place: to, port: d.dport ?? 0 }, d.protocolName);
  if (d.tcp || d.sctpChunk !== null) {
    return server === null
      ? { opening: 'unknown', reversed: false }
      : { opening: 'assumed', reversed: server === 'src' };
  }
  // A datagram protocol has no opening packet: the first one seen is the request unless its ports
  // say that it answers one from before the capture.
  return server === 'src' && (d.sport ?? 0) < 1024 && (d.dport ?? 0) >= 1024
    ? { opening: 'assumed', reversed: true }
    : { opening: 'seen', reversed: false };
}

/** Chunk types, RFC 9260 section 3.2. */
const SCTP_INIT = 1;
const SCTP_INIT_ACK = 2;
