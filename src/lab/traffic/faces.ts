/**
 * A connection as its client sees it, whatever side of a translation its first captured packet is
 * from; and openings of which nobody can tell who sent them.
 *
 *   client ── client:4711 > 10.0.0.10:80 ── node: translation ── node:40001 > 10.1.0.7:8080 ── pod
 *                 the face                                       another view of it
 *
 * A packet whose source is a node, and that a router has already lowered the TTL of, was not sent
 * by that node but by somebody behind its masquerade. Where the capture does not show it before
 * that, its sender stays unknown (SEMANTICS A3).
 * @module
 */
import { equalAddress } from '../../wire/address/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import type { Datagram } from '../datagram/datagram.ts';
import { type Ends, equalEnds, inverse } from '../datagram/rewrite.ts';
import type { Identities, Place } from '../identity.ts';
import type { AddressMap } from './mapping.ts';
import { keyOf, type SeenTranslations, type Views } from './translations.ts';
import { INITIAL_TTLS, MOST_HOPS } from './vantage.ts';

/** A first packet as the client's side shows it. */
export interface Face {
  readonly datagram: Datagram;
  readonly from: Place;
  readonly to: Place;
  /** Other ends of the same connection, in the packet's direction, the furthest on its way last. */
  readonly views: readonly Ends[];
  /** Why nobody can tell who opened it; null when one can. */
  readonly hidden: UnknownReason | null;
}

export interface FacesOptions {
  readonly identities: Identities;
  readonly map: AddressMap;
  readonly seen: Pick<SeenTranslations, 'all'> | null;
  /** `--at` was given: senders do not matter. */
  readonly entryIsGiven: boolean;
}

export class Faces {
  readonly #options: FacesOptions;
  /** By each of their ends, in order of time. */
  readonly #views = new Map<string, Views[]>();

  constructor(options: FacesOptions) {
    this.#options = options;
    for (const views of options.seen?.all() ?? []) {
      const { protocol } = views;
      const ends = views.ends.map((e) => options.map.applyTuple(e));
      for (const e of ends) {
        const key = keyOf(protocol, e);
        this.#views.set(key, [...(this.#views.get(key) ?? []), { ...views, ends }]);
      }
    }
  }

  /** The face of the connection that this packet, captured then, is the first captured one of. */
  of(d: Datagram, from: Place, to: Place, timeNs: bigint): Face {
    const known = this.#views.get(keyOf(d.protocol, d));
    const found = known?.find((views) => views.lastNs >= timeNs);
    const face = found === undefined ? null : this.#faceOf(d, found.ends);
    if (face === null)
      return { datagram: d, from, to, views: [], hidden: this.#hidden(d, from, to) };
    const { identities } = this.#options;
    return {
      datagram: { ...d, ...face.ends },
      from: identities.placeOf(face.ends.src),
      to: identities.placeOf(face.ends.dst),
      views: face.others,
      hidden: null,
    };
  }

  /** Which of the ends are the client's; null when the cluster translates none into the others. */
  #faceOf(d: Datagram, ends: readonly Ends[]): { ends: Ends; others: readonly Ends[] } | null {
    const straight = ends.some((e) => equalEnds(e, d));
    const oriented = straight ? ends : ends.map(inverse);
    for (const turned of [false, true]) {
      const way = turned ? oriented.map(inverse) : oriented;
      for (const face of way) {
        const others = way.filter((e) => e !== face && this.#translates(face, e, d.protocolName));
        if (others.length === 0) continue;
        return turned
          ? { ends: inverse(face), others: others.map(inverse) }
          : { ends: face, others };
      }
    }
    return null;
  }

  /** Whether a node could have made these ends of those that a client sent. */
  #translates(sent: Ends, seen: Ends, protocol: string): boolean {
    const { identities } = this.#options;
    const from = identities.placeOf(sent.src);
    const to = identities.placeOf(sent.dst);
    const source = identities.placeOf(seen.src);
    const keepsSource = equalAddress(sent.src, seen.src) && sent.sport === seen.sport;
    const isHidden = source.kind === 'node' || source.kind === 'edge';
    const isFront =
      to.kind === 'service' ||
      (to.kind === 'node' && identities.isNodePort(protocol, sent.dport ?? 0));
    if (isFront) return !equalAddress(sent.dst, seen.dst) && (keepsSource || isHidden);
    const keepsTarget = equalAddress(sent.dst, seen.dst) && sent.dport === seen.dport;
    return from.kind === 'pod' && to.kind === 'edge' && keepsTarget && isHidden;
  }

  #hidden(d: Datagram, from: Place, to: Place): UnknownReason | null {
    if (this.#options.entryIsGiven || from.kind !== 'node' || wasSentHere(d)) return null;
    const { identities } = this.#options;
    const isMasqueraded = to.kind === 'edge' && identities.isMasqueraded(from.node, d.dst);
    const isBackend =
      to.kind === 'pod' && identities.isExposed(to.pod, d.protocolName, d.dport ?? 0);
    return isMasqueraded || isBackend ? 'translatedSender' : null;
  }
}

/** Whether no router has lowered the packet's TTL yet. */
function wasSentHere(d: Datagram): boolean {
  const initial = INITIAL_TTLS.find((ttl) => ttl >= d.ttl);
  return initial === undefined || initial === d.ttl || initial - d.ttl > MOST_HOPS;
}
