/**
 * The first pass over a capture: what must be known of all of it before its first packet is judged
 * (who leaves checksums to hardware, who talks with whom). Memory grows with distinct address
 * pairs, not with packets.
 * @module
 */
import { toIp } from '../../capture/link/linktype.ts';
import type { PacketRecord } from '../../capture/record.ts';
import { type Address, addressKey, compareAddress } from '../../wire/address.ts';
import * as arp from '../../wire/arp.ts';
import { EtherType } from '../../wire/protocol.ts';
import { ChecksumSurvey } from '../datagram/checksums.ts';
import { readDatagram } from '../datagram/datagram.ts';
import { ClockOffsets } from './clock-offsets.ts';
import type { PairCount } from './mapping.ts';
import { type ContentSightings, SeenTranslations } from './translations.ts';
import { TupleCensus } from './tuple-census.ts';

/** Pairs beyond this many are not counted: a scan's rare addresses do not decide a mapping. */
const MAX_PAIRS = 1_000_000;

export class Survey {
  readonly checksums = new ChecksumSurvey();
  readonly clocks = new ClockOffsets();
  readonly translations: SeenTranslations;
  readonly census = new TupleCensus();
  readonly #pairs = new Map<string, { a: Address; b: Address; packets: number }>();

  /** `contents`: who remembers packets by their contents, when it is not done here. */
  constructor(contents?: ContentSightings) {
    this.translations = new SeenTranslations(contents);
  }

  add(record: PacketRecord): void {
    const view = toIp(record);
    if (typeof view === 'string') return;
    if (view.etherType === EtherType.arp) {
      if (arp.check(view.bytes, view.offset, view.wireEnd) !== null) return;
      const { senderIp, targetIp } = arp.parse(view.bytes, view.offset);
      this.#pair(senderIp, targetIp);
      return;
    }
    if (view.etherType !== EtherType.ipv4 && view.etherType !== EtherType.ipv6) return;
    const d = readDatagram(record.frame, view.bytes, view.offset, view.wireEnd);
    if (typeof d === 'string') return;
    this.checksums.add(record.iface.id, d.src, d.checksum);
    this.clocks.add(record.iface.file, d, record.timeNs);
    this.translations.add(d, record.timeNs);
    this.census.add(d);
    this.#pair(d.src, d.dst);
  }

  /** Count packets between two addresses, lower first, that were looked at elsewhere. */
  addPair(a: Address, b: Address, packets: number): void {
    this.#count(a, b, packets);
  }

  #count(a: Address, b: Address, packets: number): void {
    const key = addressKey(a) + addressKey(b);
    const pair = this.#pairs.get(key);
    if (pair) pair.packets += packets;
    else if (this.#pairs.size < MAX_PAIRS) this.#pairs.set(key, { a, b, packets });
  }

  #pair(x: Address, y: Address): void {
    const [a, b] = compareAddress(x, y) <= 0 ? [x, y] : [y, x];
    this.#count(a, b, 1);
  }

  pairs(): readonly PairCount[] {
    return [...this.#pairs.values()];
  }
}
