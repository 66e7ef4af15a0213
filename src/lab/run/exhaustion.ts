/**
 * Ports of a public address that ran out: when first, for which destination, and whose ports they
 * were (the drop `natPortsExhausted`).
 * @module
 */
import type { Journey } from '../../engine/engine.ts';
import { formatAddress } from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';
import { compareFirst, takeEarlier } from './counts.ts';

/** One row: no port of a block was left for one destination. */
export interface Exhaustion {
  readonly firstTimeNs: bigint;
  /** `203.0.113.9:443`. */
  readonly destination: string;
  readonly protocol: string;
  /** Who hands out the ports: `outbound rule: 1024 ports for node-a`, `NAT gateway egress`. */
  readonly pool: string;
  /** `198.51.100.1:1024-2047`; null when the pool does not say. */
  readonly block: string | null;
  readonly packets: number;
}

/** Rows kept; further destinations are counted under none of their own. */
const MOST_ROWS = 10_000;

interface Counted {
  row: Exhaustion;
  firstFrame: number;
  order: number;
}

/** Plain data: the rows of one part of a run. */
export type ExhaustionPart = readonly (readonly [string, Counted])[];

export class Exhaustions {
  readonly #rows = new Map<string, Counted>();

  /** Note a packet that found no port. */
  note(
    d: Pick<Datagram, 'dst' | 'dport' | 'protocolName'>,
    journey: Journey,
    { timeNs, frame }: { readonly timeNs: bigint; readonly frame: number },
  ): void {
    const [origin] = journey.decision?.origin ?? [];
    const pool = origin?.object ?? journey.decision?.host ?? '?';
    const block = origin?.field ?? null;
    const address = formatAddress(d.dst);
    const host = address.includes(':') ? `[${address}]` : address;
    const destination = d.dport === null ? address : `${host}:${d.dport}`;
    const key = `${pool} ${block ?? ''} ${d.protocolName} ${destination}`;
    const known = this.#rows.get(key);
    if (known !== undefined) {
      known.row = { ...known.row, packets: known.row.packets + 1 };
      return;
    }
    if (this.#rows.size >= MOST_ROWS) return;
    const row = { destination, protocol: d.protocolName, pool, block };
    const first = { firstFrame: frame, order: this.#rows.size };
    this.#rows.set(key, { row: { firstTimeNs: timeNs, ...row, packets: 1 }, ...first });
  }

  part(): ExhaustionPart {
    return [...this.#rows];
  }

  /** Add the rows of another part of the run. */
  absorb(part: ExhaustionPart): void {
    for (const [key, other] of part) {
      const known = this.#rows.get(key);
      if (known === undefined) {
        this.#rows.set(key, { ...other });
        continue;
      }
      const earlier = compareFirst(known, other) <= 0 ? known.row : other.row;
      known.row = { ...earlier, packets: known.row.packets + other.row.packets };
      takeEarlier(known, other);
    }
  }

  /** In order of their first packet. */
  rows(): readonly Exhaustion[] {
    const rows = [...this.#rows.values()].sort(compareFirst).slice(0, MOST_ROWS);
    return rows.map(({ row }) => row);
  }
}
