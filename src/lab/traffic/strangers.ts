/**
 * Conversations of which nothing is asked but that they count: others judge them. Numbers of
 * conversations, and the order in which they end, are of the whole capture, whoever judges what.
 *
 * Who is no stranger is joined to his conversation as ever; a stranger's packets must not be.
 * @module
 */
import type { Datagram } from '../datagram/datagram.ts';

/** What names a packet's conversation. */
export type StrangerTuple = Pick<Datagram, 'protocol' | 'src' | 'dst' | 'sport' | 'dport'>;

export interface Strangers {
  /** Conversations of strangers that are open. */
  readonly open: number;
  /** Those that ended because another on the same ends began. */
  readonly closed: number;
  /** A number for a conversation that is no stranger's. */
  takeId(): number;
  isOne(tuple: StrangerTuple): boolean;
  /** A stranger's packet, which `answers` should it begin a conversation. */
  meet(datagram: Datagram, answers: boolean, nowNs: number): void;
  /** An error that quotes a stranger's packet. */
  quoted(tuple: StrangerTuple, nowNs: number): void;
  /** Numbers of those that are over at `nowNs`, in order; they are forgotten. */
  expire(nowNs: number): Float64Array;
}
