/**
 * Causes: a packet is not sent when something its sender must have received first never reached it
 * (A SYN-ACK answers a SYN that arrived; an ACK acknowledges data that arrived).
 *
 * Replaying a packet whose cause our policies dropped would judge traffic that could not exist. One
 * `Causes` belongs to one connection on one stack. It looks only at what the capture shows: bytes
 * that the capture does not contain are never held against their receiver.
 *
 * TCP is one rule: nobody acknowledges what did not arrive. SYN and FIN take one number each
 * (RFC 9293 section 3.4), so the handshake needs no rule of its own, unless the capture has only
 * one way of it: whose SYN is lost sends nothing else, and whose SYN arrived and who then sends
 * something else was answered, whether or not that was captured.
 * @module
 */

export type Direction = 'original' | 'reply';

export function opposite(direction: Direction): Direction {
  return direction === 'original' ? 'reply' : 'original';
}

/** The part of a TCP segment that causes are about; numbers are the header's, unsigned 32-bit. */
export interface Segment {
  readonly seq: number;
  readonly ack: number;
  readonly syn: boolean;
  readonly fin: boolean;
  readonly rst: boolean;
  readonly hasAck: boolean;
  readonly payloadLength: number;
}

/** Whether a packet may be sent, and if not, why not. */
export type CauseVerdict = 'send' | 'causeNotDelivered' | 'flowEnded';

/** `a` is before `b` in sequence space (RFC 9293 section 3.4; kernel `before()`). */
export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** Sequence numbers a segment takes up, control flags included. */
export function segmentLength(s: Segment): number {
  return s.payloadLength + (s.syn ? 1 : 0) + (s.fin ? 1 : 0);
}

const SCTP_INIT = 1;

/** Half-open range of sequence numbers that was sent and not delivered. */
interface Gap {
  start: number;
  end: number;
}

/** More gaps than this in one direction are kept as one: suppression then errs to the safe side. */
const MAX_GAPS = 32;

/** Of the many that lose nothing. */
const NO_GAPS: readonly Gap[] = [];

class Sender {
  #gaps: Gap[] | null = null;
  sent = 0;
  delivered = 0;
  /** What the emulated network told this sender that ended its flow (RST, hard ICMP error). */
  ended = false;
  established = false;
  /** What became of its SYN; null while there was none. */
  syn: 'delivered' | 'lost' | null = null;

  get gaps(): readonly Gap[] {
    return this.#gaps ?? NO_GAPS;
  }

  lose(start: number, end: number): void {
    if (start === end) return;
    this.recover(start, end);
    this.#gaps ??= [];
    const gaps = this.#gaps;
    gaps.push({ start, end });
    if (gaps.length <= MAX_GAPS) return;
    const last = gaps.pop();
    const neighbour = gaps.at(-1);
    if (!last || !neighbour) return;
    if (before(last.start, neighbour.start)) neighbour.start = last.start;
    if (before(neighbour.end, last.end)) neighbour.end = last.end;
  }

  /** A segment that covers (part of) a gap arrived. */
  recover(start: number, end: number): void {
    const gaps = this.#gaps ?? [];
    for (let i = gaps.length - 1; i >= 0; i--) {
      const gap = gaps[i];
      if (!gap || !before(start, gap.end) || !before(gap.start, end)) continue;
      gaps.splice(i, 1);
      if (before(gap.start, start)) gaps.push({ start: gap.start, end: start });
      if (before(end, gap.end)) gaps.push({ start: end, end: gap.end });
    }
  }

  /** Whether all captured bytes below `ack` arrived. */
  arrivedUpTo(ack: number): boolean {
    return !this.gaps.some((gap) => before(gap.start, ack));
  }
}

/** Causes of one connection on one stack. */
export class Causes {
  readonly #senders: Readonly<Record<Direction, Sender>> = {
    original: new Sender(),
    reply: new Sender(),
  };

  /** May this TCP segment be sent? */
  judgeTcp(direction: Direction, s: Segment): CauseVerdict {
    const own = this.#senders[direction];
    const peer = this.#senders[opposite(direction)];
    if (own.ended) return 'flowEnded';
    if (!s.syn && own.syn === 'lost') return 'causeNotDelivered';
    if (s.hasAck && !peer.arrivedUpTo(s.ack)) return 'causeNotDelivered';
    // A reset without ACK answers something, or closes what its sender believes open: either needs
    // that the peer heard of this connection.
    if (s.rst && !s.hasAck && own.sent > 0 && own.delivered === 0) return 'causeNotDelivered';
    return 'send';
  }

  /** May this packet of a protocol without sequence numbers be sent? Replies follow requests. */
  judgeOther(direction: Direction): CauseVerdict {
    if (direction === 'original') return 'send';
    const { sent, delivered } = this.#senders.original;
    return sent > 0 && delivered === 0 ? 'causeNotDelivered' : 'send';
  }

  /**
   * May this SCTP packet be sent? An INIT opens; everything else answers something of the peer
   * (RFC 9260 section 5.1: COOKIE ECHO answers INIT ACK, data follows COOKIE ACK).
   *
   * @param chunk type of its first chunk
   */
  judgeSctp(direction: Direction, chunk: number): CauseVerdict {
    if (direction === 'original' && chunk === SCTP_INIT) return 'send';
    const own = this.#senders[direction];
    const peer = this.#senders[opposite(direction)];
    const isUnheard = peer.sent > 0 ? peer.delivered === 0 : own.sent > 0 && own.delivered === 0;
    return isUnheard ? 'causeNotDelivered' : 'send';
  }

  /** May an ICMP error that quotes a packet sent in `quoted` direction be sent? */
  judgeError(quoted: Direction): CauseVerdict {
    const { sent, delivered } = this.#senders[quoted];
    return sent > 0 && delivered === 0 ? 'causeNotDelivered' : 'send';
  }

  /**
   * Whether nothing stands in the way of any further packet of this direction, as long as all are
   * delivered and none is a reset: nothing was lost either way, and its sender was not ended.
   */
  isClear(direction: Direction): boolean {
    const own = this.#senders[direction];
    const peer = this.#senders[opposite(direction)];
    const isAnswerable = this.judgeOther(direction) === 'send';
    return !own.ended && own.gaps.length === 0 && peer.gaps.length === 0 && isAnswerable;
  }

  /**
   * Whether the segment shows that its connection was answered although nothing of the answer was
   * captured: its opening arrived, and it neither opens nor refuses.
   */
  provesUnseenAnswer({ syn, rst }: Segment): boolean {
    const { original, reply } = this.#senders;
    return !syn && !rst && original.syn === 'delivered' && reply.sent === 0 && reply.syn === null;
  }

  /** The opening was answered, and the answer arrived. */
  assumeAnswered(): void {
    const { original, reply } = this.#senders;
    reply.syn = 'delivered';
    original.established = true;
  }

  /** Whether the segment repeats bytes that were lost before. */
  isRetransmission(direction: Direction, s: Segment): boolean {
    const end = s.seq + segmentLength(s);
    return this.#senders[direction].gaps.some(
      (gap) => before(s.seq, gap.end) && before(gap.start, end),
    );
  }

  /** Take note of what became of a segment, sent or suppressed. */
  settleTcp(direction: Direction, s: Segment, delivered: boolean): void {
    const own = this.#senders[direction];
    this.settleOther(direction, delivered);
    const end = (s.seq + segmentLength(s)) >>> 0;
    if (delivered) own.recover(s.seq, end);
    else own.lose(s.seq, end);
    if (s.syn) own.syn = delivered ? 'delivered' : 'lost';
    // The SYN-ACK opens the client's end, the ACK that answers it the server's.
    if (delivered && s.hasAck && !s.rst) this.#senders[opposite(direction)].established = true;
  }

  settleOther(direction: Direction, delivered: boolean): void {
    const own = this.#senders[direction];
    own.sent++;
    if (delivered) own.delivered++;
  }

  /** A RST that the emulated network made reached the sender of `direction`. */
  resetBy(direction: Direction): void {
    this.#senders[direction].ended = true;
  }

  /**
   * A destination-unreachable that the emulated network made reached the sender of `direction`: it
   * ends a TCP connection that is still opening (tcp_v4_err in net/ipv4/tcp_ipv4.c), nothing else.
   */
  unreachable(direction: Direction): void {
    const sender = this.#senders[direction];
    if (!sender.established) sender.ended = true;
  }
}
