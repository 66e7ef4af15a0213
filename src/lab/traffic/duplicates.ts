/**
 * The same packet seen twice: a copy further on its way is an observation, a copy at the same place
 * in the same direction is a retransmission and stays (SEMANTICS A3).
 *
 * Two captured packets are one when everything a router leaves alone is equal: addresses, protocol,
 * identification, ports, sequence and acknowledgment numbers, length and payload. Where they were
 * seen is the capture interface with its direction: link addresses, and the cooked header's packet
 * type and interface index where there is one.
 * @module
 */
import { addressKey } from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';

/** How far apart two sightings of one packet may be: longer is another packet. */
const WINDOW_NS = 1e9;

interface Sighting {
  readonly vantage: string;
  readonly ttl: number;
  readonly nowNs: number;
}

export interface Repeat {
  /** The copy has crossed a router since the first sighting. */
  readonly beyondSender: boolean;
}

/** Who tells packets from copies of themselves; see `Duplicates.note`. */
export interface Sightings {
  note(datagram: Datagram, vantage: string, nowNs: number, whose?: string): Repeat | null;
}

export class Duplicates implements Sightings {
  /** Two generations, so that forgetting is a swap and not a sweep. */
  #recent = new Map<string, Sighting>();
  #older = new Map<string, Sighting>();
  #swapNs = 0;

  /**
   * Note a packet; the answer tells that it was seen before at another place, null that it counts.
   *
   * @param vantage where it was captured, direction included; equal for retransmissions
   * @param whose its connection and direction: equal also where a translation changed its ends
   */
  note(
    datagram: Datagram,
    vantage: string,
    nowNs: number,
    whose = endsOf(datagram),
  ): Repeat | null {
    if (nowNs - this.#swapNs > WINDOW_NS) {
      this.#older = nowNs - this.#swapNs > 2 * WINDOW_NS ? new Map() : this.#recent;
      this.#recent = new Map();
      this.#swapNs = nowNs;
    }
    const key = contentKey(datagram, whose);
    const first = this.#recent.get(key) ?? this.#older.get(key);
    const isRepeat = first !== undefined && nowNs - first.nowNs <= WINDOW_NS;
    if (isRepeat && (first.vantage !== vantage || first.ttl !== datagram.ttl)) {
      return { beyondSender: datagram.ttl < first.ttl };
    }
    this.#recent.set(key, { vantage, ttl: datagram.ttl, nowNs });
    return null;
  }
}

/** Equal for all sightings of one packet: everything that routers leave alone. */
export function contentKey(d: Datagram, whose = endsOf(d)): string {
  const { tcp, fragment } = d;
  return [
    d.protocol,
    d.id,
    d.wireLength,
    tcp ? `${tcp.seq} ${tcp.ack} ${tcp.syn}${tcp.fin}${tcp.rst}` : '',
    fragment ? `${fragment.key} ${fragment.offset}` : '',
    payloadHash(d),
    whose,
  ].join(' ');
}

/** The ends of a packet, as a name. */
export function endsOf(d: Datagram): string {
  return `${d.sport} ${d.dport} ${addressKey(d.src)} ${addressKey(d.dst)}`;
}

/** FNV-1a over what stands behind the fixed transport header, as far as it was captured. */
function payloadHash(d: Datagram): number {
  const start = d.l4 < 0 ? 20 : d.l4 + (d.tcp ? 20 : 8);
  let hash = 0x811c9dc5;
  for (let i = start; i < d.bytes.length; i++)
    hash = Math.imul(hash ^ (d.bytes[i] ?? 0), 0x01000193);
  return hash >>> 0;
}
