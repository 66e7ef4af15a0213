/**
 * The first pass over a capture: what must be known of all of it before its first packet is judged
 * (who leaves checksums to hardware, who talks with whom). Memory grows with distinct address
 * pairs, not with packets.
 * @module
 */
import { toIp } from '../../capture/link/linktype.ts';
import type { PacketRecord } from '../../capture/record.ts';
import { type Address, addressKey, compareAddress } from '../../wire/address/address.ts';
import * as arp from '../../wire/header/arp.ts';
import { EtherType } from '../../wire/protocol.ts';
import { ChecksumSurvey, type Seen } from '../datagram/checksums.ts';
import { readDatagram } from '../datagram/datagram.ts';
import { CHUNK, Chunks, type Claim } from './chunks.ts';
import { ClockOffsets } from './clock-offsets.ts';
import type { PairCount } from './mapping.ts';
import {
  type Attention,
  type ContentSightings,
  Contents,
  type Join,
  SeenTranslations,
} from './translations.ts';
import { TupleCensus } from './tuple-census.ts';

/** Pairs beyond this many are not counted: a scan's rare addresses do not decide a mapping. */
export const MAX_PAIRS = 1_000_000;

export interface SurveyOptions {
  readonly contents?: ContentSightings | undefined;
  /** Where packets under several ends are listed, when they are not joined here. */
  readonly log?: Join[] | null;
  /** Which chunks of the capture are looked at; absent: all. */
  readonly claim?: Claim | undefined;
  readonly sizes?: typeof CHUNK | undefined;
}

/** What a survey saw of its chunks. */
export interface SurveyPart {
  readonly senders: ReadonlyMap<string, Seen>;
  readonly pairs: readonly PairCount[];
  readonly census: Pick<TupleCensus, 'bits' | 'fragmented'>;
}

export class Survey {
  readonly checksums = new ChecksumSurvey();
  readonly clocks = new ClockOffsets();
  readonly translations: SeenTranslations;
  readonly census = new TupleCensus();
  /** Of which parts of the capture this is asked. */
  readonly chunks: Chunks;
  readonly #pairs = new Map<string, { a: Address; b: Address; packets: number }>();

  /** `contents`: who remembers packets by their contents, when it is not done here. */
  constructor({ contents, log = null, claim, sizes = CHUNK }: SurveyOptions = {}) {
    this.translations = new SeenTranslations(contents ?? new Contents(sizes.ahead), log);
    this.chunks = new Chunks(claim, sizes);
  }

  add(record: PacketRecord): void {
    const attention = this.chunks.at(record.frame - 1);
    if (attention.isLookedAt) this.#look(record, attention);
    else if (attention.isKeptInMind) this.#keepInMind(record, attention);
  }

  /** Add what another survey saw of the same capture, but for its packets under several ends. */
  absorb({ senders, pairs, census }: SurveyPart): void {
    this.checksums.absorb(senders);
    this.census.absorb(census);
    for (const { a, b, packets } of pairs) this.#count(a, b, packets);
  }

  /** What was seen, as plain data, but for packets under several ends. */
  part(): SurveyPart {
    const { fragmented, bits } = this.census;
    const { senders } = this.checksums;
    return { senders, pairs: this.pairs(), census: { fragmented, bits } };
  }

  #keepInMind(record: PacketRecord, attention: Attention): void {
    const view = toIp(record);
    if (typeof view === 'string') return;
    if (view.etherType !== EtherType.ipv4 && view.etherType !== EtherType.ipv6) return;
    const d = readDatagram(record.frame, view.bytes, view.offset, view.wireEnd);
    if (typeof d !== 'string') this.translations.add(d, record.timeNs, attention);
  }

  #look(record: PacketRecord, attention: Attention): void {
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
    this.translations.add(d, record.timeNs, attention);
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
