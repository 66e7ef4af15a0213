/**
 * Where a capture interface looks from, and what follows for the packets seen there: how many hops
 * they already have behind them, and which sightings are of one place (SEMANTICS A3, A4).
 *
 * Given with `--vantage FILE[:IFACE]=WHERE`; otherwise inferred packet by packet: senders start
 * with a TTL of 64, 128 or 255 (Linux, Windows, network devices), and inside a cluster nobody is
 * more than a few hops away, so a TTL just below one of these was lowered on the way.
 * @module
 */
import { basename } from 'node:path';
import type { LinkView } from '../../capture/link/link-view.ts';
import type { CaptureInterface, PacketRecord } from '../../capture/record.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Place } from '../identity.ts';

/** Most hops between two ends of one cluster (pod, node, fabric, node, pod), with room to spare. */
export const MOST_HOPS = 4;
export const INITIAL_TTLS = [64, 128, 255];

/** One `--vantage` option. */
export interface Given {
  readonly file: string;
  readonly iface: string | null;
  /** `pod/NS/NAME`, `node/NAME[/IFACE]` or `edge`. */
  readonly where: string;
}

export class Vantages {
  readonly given: readonly Given[];

  constructor(given: readonly Given[]) {
    this.given = given;
  }

  /** Read `FILE[:IFACE]=WHERE` options. */
  static parse(options: readonly string[]): Vantages {
    const bad: string[] = [];
    const given = options.flatMap((text) => {
      const m = /^([^=]+?)(?::([^:=]+))?=(pod\/[^/]+\/[^/]+|node\/[^/]+(?:\/[^/]+)?|edge)$/.exec(
        text,
      );
      if (!m?.[1] || !m[3]) {
        bad.push(text);
        return [];
      }
      return [{ file: m[1], iface: m[2] ?? null, where: m[3] }];
    });
    const mistakes = [...bad.map(unreadable), ...givenTwice(given)];
    if (mistakes.length === 0) return new Vantages(given);
    throw new UserError(mistakes);
  }

  /** The TTL the sender gave a packet: the captured one plus the hops up to where it was seen. */
  ttlAtSender(record: PacketRecord, d: Datagram, from: Place): number {
    if (from.kind !== 'pod' && from.kind !== 'node' && from.kind !== 'service') return d.ttl;
    if (this.#at(record.iface) === from.name) return d.ttl;
    const initial = INITIAL_TTLS.find((ttl) => ttl >= d.ttl) ?? d.ttl;
    return initial - d.ttl <= MOST_HOPS ? initial : d.ttl;
  }

  /** Where an interface is said to be; null when nothing was given for it. */
  #at(iface: CaptureInterface): string | null {
    const ofFile = this.given.filter((g) => isOf(g, iface));
    const own = ofFile.find((g) => g.iface !== null && g.iface === iface.name);
    return (own ?? ofFile.find((g) => g.iface === null))?.where ?? null;
  }
}

/** Whether an option speaks of the file that an interface is of. */
export function isOf({ file }: Given, iface: Pick<CaptureInterface, 'file'>): boolean {
  return file === iface.file || file === basename(iface.file);
}

function unreadable(text: string): Diagnostic {
  return {
    code: 'VANTAGE_SYNTAX',
    field: '--vantage',
    message: 'can not be read',
    found: text,
    accepted: 'FILE[:IFACE]=pod/NAMESPACE/NAME, =node/NAME[/IFACE] or =edge',
  };
}

/** One interface is at one place. */
function givenTwice(given: readonly Given[]): readonly Diagnostic[] {
  const name = ({ file, iface }: Given) => (iface === null ? file : `${file}:${iface}`);
  const again = given.filter((g, i) => given.findIndex((other) => name(other) === name(g)) < i);
  return again.map((g) => ({
    code: 'VANTAGE_TWICE',
    field: '--vantage',
    message: 'a second place of one interface',
    found: `${name(g)}=${g.where}`,
    accepted: 'one place for each FILE or FILE:IFACE',
  }));
}

/**
 * One place and direction that packets are seen at: equal for a packet and its retransmission,
 * different for two sightings of one packet on its way.
 */
export function vantageKey(record: PacketRecord, view: LinkView): string {
  const { sourceMac, destinationMac, direction, ifIndex } = view;
  const macs = `${macKey(sourceMac)}>${macKey(destinationMac)}`;
  return `${record.iface.id} ${ifIndex ?? ''} ${direction ?? ''} ${macs}`;
}

function macKey(mac: Uint8Array | null): string {
  if (mac === null) return '';
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac;
  return String.fromCharCode(a, b, c, d, e, f);
}
