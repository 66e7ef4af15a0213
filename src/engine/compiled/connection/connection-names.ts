/**
 * The names of a connection: the tuples that its opener's packets have on their way, first to last,
 * as the entries of all hosts that track it say. Where nobody translates there is one.
 *
 *   pod to a Service   name 0 ── node: DNAT ──► name 1
 *   entries            node: original 0, reply 1 turned round;  other node: original 1, reply 1 …
 *
 * @module
 */
import type { Connection } from '../../../conntrack/connection.ts';
import {
  equalTuple,
  invertTuple,
  isIcmpTuple,
  type Tuple,
  tupleKey,
} from '../../../conntrack/tuple.ts';
import type { PacketEnds } from '../../../packet/ends.ts';
import { MAX_NAMES } from '../layout.ts';

/** Between which names a host translates, by their numbers; the same twice where it does not. */
export interface Between {
  readonly from: number;
  readonly to: number;
}

export interface Names {
  readonly names: readonly Tuple[];
  /** Of each entry, in the order in which they were given. */
  readonly between: readonly Between[];
}

/** What the opener's packets look like behind the host; null when nothing can answer them. */
export function turnedReply({ reply }: Connection): Tuple | null {
  return invertTuple(reply);
}

/** Whether the host of this entry rewrites its packets, or may yet have to drop them. */
export function isTranslated(c: Connection): boolean {
  return c.sourceNat || c.destinationNat || c.masqueradeDevice !== '';
}

/**
 * Put the names of entries in order; null when they are not those of one connection, or too many.
 */
export function namesOf(connections: readonly Connection[]): Names | null {
  const tuples = new Map<string, Tuple>();
  const next = new Map<string, string>();
  const before = new Map<string, string>();
  const ends: (readonly [string, string])[] = [];
  for (const connection of connections) {
    const turned = turnedReply(connection);
    if (turned === null) return null;
    const [from, to] = [tupleKey(connection.original), tupleKey(turned)];
    tuples.set(from, connection.original).set(to, turned);
    ends.push([from, to]);
    if (from === to) continue;
    if ((next.get(from) ?? to) !== to || (before.get(to) ?? from) !== from) return null;
    next.set(from, to);
    before.set(to, from);
  }
  const [first, ...others] = [...tuples.keys()].filter((key) => !before.has(key));
  if (first === undefined || others.length > 0 || tuples.size > MAX_NAMES) return null;
  const order: string[] = [];
  for (let at: string | undefined = first; at !== undefined; at = next.get(at)) order.push(at);
  if (order.length !== tuples.size) return null;
  return {
    names: order.flatMap((key) => tuples.get(key) ?? []),
    between: ends.map(([from, to]) => ({ from: order.indexOf(from), to: order.indexOf(to) })),
  };
}

/** What packets of one direction look like, one after the other; null when nothing can answer. */
export function wayOf(names: readonly Tuple[], isReply: boolean): readonly Tuple[] | null {
  if (!isReply) return names;
  const turned = names.map(invertTuple).filter((tuple) => tuple !== null);
  return turned.length === names.length ? turned.reverse() : null;
}

/** The direction of a packet that enters with this tuple; null when it is none of the two. */
export function isReplyOf(names: readonly Tuple[], tuple: Tuple): boolean | null {
  const [first] = names;
  const last = names.at(-1);
  if (first === undefined || last === undefined) return null;
  if (equalTuple(first, tuple)) return false;
  const answer = invertTuple(last);
  return answer !== null && equalTuple(answer, tuple) ? true : null;
}

/** A tuple as the ends of its packets (packet/ends.ts). */
export function tupleEnds(t: Tuple): PacketEnds {
  return { src: t.src, dst: t.dst, sport: t.sport, dport: isIcmpTuple(t) ? t.sport : t.dport };
}
