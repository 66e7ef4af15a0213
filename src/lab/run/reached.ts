/**
 * Where a connection's packets got on one stack, and what follows for its answers: they come from
 * whom the opening reached, and go to whom it said it was from (SEMANTICS A3).
 *
 * A captured answer may have been translated back already; what is sent is always the packet as
 * its sender made it, which this stack then translates itself.
 * @module
 */
import type { Journey } from '../../engine/engine.ts';
import { formatAddress } from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Headers } from '../datagram/headers.ts';
import { packetOf } from '../datagram/headers.ts';
import { type Ends, equalEnds, inverse, withEnds } from '../datagram/rewrite.ts';
import type { Place } from '../identity.ts';
import type { Conversation, Membership } from '../traffic/conversation.ts';
import { arrived } from '../verdict.ts';
import type { World } from '../world.ts';

/** A connection's packets as they ended. */
export interface Reached {
  readonly ends: Ends;
  /** Who took them. */
  readonly place: Place;
  /** Every pair of ends that they have on their way, besides those of its beginning and its end. */
  readonly way: readonly Ends[];
}

/**
 * Where a packet of the opening's direction got; null when it did not. `own`: the ends it was sent
 * with, which stand for equal ones: most connections are not translated, and many are open at once.
 */
export function reachedBy(world: World, journey: Journey, own: Ends): Reached | null {
  if (!arrived(journey)) return null;
  const found = endsAt(journey);
  if (found === null) return null;
  const ends = equalEnds(found, own) ? own : found;
  const place = takerOf(world, ends, journey);
  const others = journey.crossings.filter(
    (crossing) => !equalEnds(crossing.ends, ends) && !equalEnds(crossing.ends, own),
  );
  return { ends, place, way: others.length === 0 ? NO_WAY : others.map((other) => other.ends) };
}

const NO_WAY: readonly Ends[] = [];

/** The ends that a packet ended with; null when nobody knows. */
export function endsAt(journey: Journey | null): Ends | null {
  const d = packetOf(journey?.packet ?? null);
  if (d === null) return null;
  const { src, dst, sport, dport } = d;
  return { src, dst, sport, dport };
}

/** Whoever has the address; where its place tells nothing, the host that the packet ended at. */
function takerOf(world: World, { dst }: Ends, { end, outcome }: Journey): Place {
  const place = world.identities.placeOf(dst);
  if (place.kind !== 'service' && place.kind !== 'unplaced') return place;
  if (outcome === 'exited') return { kind: 'edge', name: null };
  return { kind: 'endpoint', name: end.host, entry: { as: 'local', host: end.host } };
}

/** A packet as its sender made it, and where that sender is. */
export interface AsSent {
  readonly datagram: Datagram;
  readonly from: Place;
}

/**
 * The captured packet as its sender made it for this stack.
 *
 * @param from where its source address is
 */
export function asSent(
  d: Datagram,
  { conversation, direction }: Membership,
  from: Place,
  reached: Reached | null,
): AsSent {
  if (d.quoted !== null) return errorAsSent(d, conversation, from, reached);
  const own = endsOf(conversation);
  if (direction === 'original') {
    const isOwn = equalEnds(d, own);
    return { datagram: withEnds(d, own), from: isOwn ? from : conversation.from };
  }
  const to = inverse(reached?.ends ?? own);
  if (equalEnds(d, to)) return { datagram: d, from: from.kind === 'service' ? taker() : from };
  return { datagram: withEnds(d, to), from: taker() };

  function taker(): Place {
    return reached?.place ?? conversation.to;
  }
}

/**
 * An ICMP error as its sender made it: it quotes what that sender saw of the connection. One that
 * quotes the opening's direction was sent from beyond the translation, one that quotes an answer
 * from this side of it.
 */
function errorAsSent(
  d: Datagram,
  conversation: Conversation,
  from: Place,
  reached: Reached | null,
): AsSent {
  const own = endsOf(conversation);
  const { quoted } = d;
  if (quoted === null || d.l4 < 0) return { datagram: d, from };
  const quotesOpening =
    equalEnds(quoted, own) || conversation.views.some((view) => equalEnds(view, quoted));
  const seen = quotesOpening ? (reached?.ends ?? own) : inverse(own);
  const isTaker = from.kind === 'service' && quotesOpening && reached !== null;
  const src = isTaker ? seen.dst : d.src;
  const to = { src, dst: seen.src, sport: d.sport, dport: d.dport };
  return { datagram: withEnds(d, to, seen), from: isTaker ? reached.place : from };
}

function endsOf({ src, dst, sport, dport }: Conversation): Ends {
  return { src, dst, sport, dport };
}

/** The connection's ends after translation, as reports print them; null when nothing changed. */
export function translationOf(own: Ends, opening: Ends | null): Headers | null {
  if (opening === null || equalEnds(opening, own)) return null;
  const { src, dst, sport, dport } = opening;
  return { src: formatAddress(src), dst: formatAddress(dst), sport, dport };
}

/** Whether a packet seen further on has the ends that this stack gives it. */
export function isAsPredicted(
  d: Datagram,
  { conversation, direction }: Membership,
  reached: Reached | null,
): boolean {
  if (reached === null || d.quoted !== null) return true;
  const own = endsOf(conversation);
  const way = [own, ...reached.way, reached.ends];
  const known = direction === 'original' ? way : way.map(inverse);
  return known.some((ends) => equalEnds(ends, d));
}
