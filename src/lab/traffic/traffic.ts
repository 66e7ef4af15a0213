/**
 * The capture as every stack is given it: each record decoded, mapped onto the cluster, placed,
 * joined to its conversation, and told apart from copies of itself.
 *
 * Nothing here depends on a stack, so `compare` runs it once for all of them.
 * @module
 */
import type { LinkView } from '../../capture/link/link-view.ts';
import { toIp } from '../../capture/link/linktype.ts';
import type { PacketRecord } from '../../capture/record.ts';
import { type Address, formatAddress } from '../../wire/address/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import * as arp from '../../wire/header/arp.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { ChecksumMode, ChecksumSurvey } from '../datagram/checksums.ts';
import { type Datagram, readDatagram } from '../datagram/datagram.ts';
import { visiblePorts } from '../datagram/headers.ts';
import { segmentSizeOf } from '../datagram/segments.ts';
import type { Identities, Place } from '../identity.ts';
import type { Endpoints } from '../result.ts';
import type { Captured, CapturedKind, Followed } from './captured.ts';
import { Clock } from './clock.ts';
import {
  type Conversation,
  Conversations,
  type Membership,
  type Midstream,
} from './conversation.ts';
import { Duplicates, type Sightings } from './duplicates.ts';
import { Faces } from './faces.ts';
import { FragmentPorts } from './fragment-ports.ts';
import type { ListedOpeners } from './listed-openers.ts';
import type { AddressMap } from './mapping.ts';
import type { Strangers } from './strangers.ts';
import type { SeenTranslations } from './translations.ts';
import { type Vantages, vantageKey } from './vantage.ts';

export interface TrafficOptions {
  readonly identities: Identities;
  readonly map: AddressMap;
  readonly checksums: ChecksumMode;
  readonly survey: ChecksumSurvey;
  readonly midstream: Midstream;
  /** Connections that nodes knew when the capture began. */
  readonly listed?: ListedOpeners;
  /** Connections that the capture shows on both sides of a translation. */
  readonly translations?: Pick<SeenTranslations, 'all'>;
  readonly vantages: Vantages;
  /** `--at` was given: a sender that can not be placed does not matter. */
  readonly entryIsGiven: boolean;
}

/** Whether a conversation is judged here. */
export type IsOwn = (conversation: Conversation) => boolean;

const isAnybodys: IsOwn = () => true;

/** Conversations that are over, and the numbers of strangers' that are, in order. */
export interface Ended {
  readonly conversations: readonly Conversation[];
  readonly strangers: Float64Array;
}

const NOBODY: Ended = { conversations: [], strangers: new Float64Array() };

const NOWHERE: Place = { kind: 'unplaced', name: null, reason: 'notIp' };
const NO_ENDS: Endpoints = {
  protocol: 'other',
  src: null,
  sport: null,
  dst: null,
  dport: null,
  from: null,
  to: null,
};

/** Encapsulations that are known and not emulated, by ether type. */
const ENCAPSULATIONS: ReadonlySet<number> = new Set([0x8863, 0x8864, 0x8847, 0x8848, 0x88e5]);

export class Traffic {
  readonly #options: TrafficOptions;
  readonly #clock = new Clock();
  readonly #conversations: Conversations;
  readonly #duplicates: Sightings;
  readonly #fragments = new FragmentPorts();
  /** Addresses of IPv4 in words. */
  readonly #texts = new Map<number, string>();
  readonly #strangers: Strangers | null;
  #sweepNs = 0;
  /** When the record was captured that is being taken in. */
  #timeNs = 0n;

  /**
   * `sightings`: who tells packets from copies of themselves, when it is not done here;
   * `strangers`: who follows conversations that are judged elsewhere, as far as he can.
   */
  constructor(
    options: TrafficOptions,
    sightings: Sightings = new Duplicates(),
    strangers: Strangers | null = null,
  ) {
    this.#options = options;
    this.#duplicates = sightings;
    this.#strangers = strangers;
    const { identities, map, translations, entryIsGiven } = options;
    const faces = new Faces({ identities, map, seen: translations ?? null, entryIsGiven });
    this.#conversations = new Conversations(
      options.midstream,
      options.listed,
      (d, from, to) => faces.of(d, from, to, this.#timeNs),
      strangers === null ? undefined : () => strangers.takeId(),
    );
  }

  /** Backward steps and gaps of the capture's clock, and frames read. */
  get clock(): Clock {
    return this.#clock;
  }

  /** Take in the next record. */
  take(record: PacketRecord): Captured {
    const taken = this.takeShare(record, isAnybodys);
    if (taken.kind === 'followed') throw new RangeError('all conversations are judged here');
    return taken;
  }

  /** Take in the next record; of conversations that are judged elsewhere no more than must be. */
  takeShare(record: PacketRecord, isOwn: IsOwn): Captured | Followed {
    const nowNs = this.#clock.advance(record.timeNs);
    this.#timeNs = record.timeNs;
    const view = toIp(record);
    if (typeof view === 'string') return this.#noView(record, nowNs, view);
    if (view.etherType === EtherType.arp) return this.#arp(record, nowNs, view);
    if (view.etherType !== EtherType.ipv4 && view.etherType !== EtherType.ipv6) {
      const isKnown = ENCAPSULATIONS.has(view.etherType);
      const reason = isKnown ? 'unsupportedEncapsulation' : 'notIp';
      return this.#bare(record, nowNs, { kind: 'unknown', reason });
    }
    const read = readDatagram(record.frame, view.bytes, view.offset, view.wireEnd);
    if (read === 'headerCut') return this.#bare(record, nowNs, { kind: 'unknown', reason: read });
    if (typeof read === 'string')
      return this.#bare(record, nowNs, { kind: 'malformed', reason: read });
    return this.#datagram(record, nowNs, view, this.#fragments.complete(read, nowNs), isOwn);
  }

  /**
   * Conversations that are over by now. Looked for once in a while of virtual time (rarer the more
   * there are), so that when a connection is reported depends on the traffic alone.
   */
  expired(): Ended {
    const { nowNs } = this.#clock;
    if (nowNs - this.#sweepNs < this.#sweepEveryNs()) return NOBODY;
    this.#sweepNs = nowNs;
    const conversations = this.#conversations.expire(nowNs);
    return { conversations, strangers: this.#strangers?.expire(nowNs) ?? NOBODY.strangers };
  }

  /** From when on, on the run's clock, `expired` looks. */
  get sweepAtNs(): number {
    return this.#sweepNs + this.#sweepEveryNs();
  }

  #sweepEveryNs(): number {
    const open = this.#conversations.open + (this.#strangers?.open ?? 0);
    return 1e9 * (1 + open / 10_000);
  }

  /** A conversation that a new one on the same tuple has ended; asked after each `take`. */
  replaced(): readonly Conversation[] {
    return this.#conversations.takeReplaced();
  }

  /** The input is over: all conversations still open. */
  end(): Ended {
    const strangers = this.#strangers?.expire(Number.POSITIVE_INFINITY) ?? NOBODY.strangers;
    return { conversations: this.#conversations.drain(), strangers };
  }

  #datagram(
    record: PacketRecord,
    nowNs: number,
    view: LinkView,
    read: Datagram,
    isOwn: IsOwn,
  ): Captured | Followed {
    const { identities, map } = this.#options;
    const datagram = map.apply(read);
    const sender = identities.placeOf(datagram.src);
    const to = identities.placeOf(datagram.dst);
    if (this.#passes(datagram, sender, to, nowNs)) {
      return { kind: 'followed', datagram, membership: null };
    }
    const membership = this.#join(datagram, sender, to, nowNs);
    if (membership !== null && !isOwn(membership.conversation)) {
      this.#conversations.touch(membership, datagram, nowNs);
      return { kind: 'followed', datagram, membership };
    }
    const whose = membership === null ? undefined : nameOf(membership);
    const repeat = this.#duplicates.note(datagram, vantageKey(record, view), nowNs, whose);
    if (membership && repeat === null) this.#conversations.note(membership, datagram, nowNs);
    else if (membership) this.#conversations.touch(membership, datagram, nowNs);
    const captured = this.#described({ record, nowNs, read, datagram, sender, to, membership });
    if (repeat === null) return captured;
    return { ...captured, kind: 'observed', beyondSender: repeat.beyondSender };
  }

  /**
   * A packet once more that was taken in elsewhere, as `take` would have given it: one of a
   * conversation that is known, and no copy of another. Precondition: its record holds a whole one.
   */
  describe(record: PacketRecord, nowNs: number, membership: Membership): Captured | null {
    const view = toIp(record);
    if (typeof view === 'string') return null;
    const read = readDatagram(record.frame, view.bytes, view.offset, view.wireEnd);
    if (typeof read === 'string') return null;
    const { identities, map } = this.#options;
    const datagram = map.apply(read);
    const sender = identities.placeOf(datagram.src);
    const to = identities.placeOf(datagram.dst);
    return this.#described({ record, nowNs, read, datagram, sender, to, membership });
  }

  #described({ record, nowNs, read, datagram, sender, to, membership }: Taken): Captured {
    const { identities, survey, checksums } = this.#options;
    const offloaded =
      checksums === 'ignore' ||
      (checksums === 'auto' && survey.isOffloaded(record.iface.id, read.src, read.checksum));
    const opening = membership?.conversation.opening;
    const isOpener =
      membership?.direction === 'original' && (opening === 'seen' || opening === 'listed');
    const from = isOpener || membership === null ? identities.openerOf(datagram.src) : sender;
    const segmentSize = segmentSizeOf(datagram);
    const { sport, dport } = visiblePorts(datagram);
    const endpoints = {
      protocol: datagram.protocolName,
      src: this.#textOf(datagram.src),
      dst: this.#textOf(datagram.dst),
      sport,
      dport,
      from: from.name,
      to: to.name,
    };
    const kind = this.#kindOf(datagram, from, to, membership, nowNs);
    // Field by field: this is done for every packet, and spreads are slow.
    const sendable: Captured & { readonly kind: 'datagram' } = {
      kind: 'datagram',
      datagram,
      frame: record.frame,
      timeNs: record.timeNs,
      nowNs,
      wireLength: record.wireLength,
      endpoints,
      from,
      to,
      membership,
      ttl: this.#options.vantages.ttlAtSender(record, datagram, from),
      offloaded,
      segmentSize,
      notes: notesOf(datagram, offloaded && read.checksum !== 'right', segmentSize > 0),
    };
    return kind.kind === 'datagram' ? sendable : { ...sendable, ...kind };
  }

  /** There are few, and rows of connections share them. */
  #textOf(address: Address): string {
    if (address.family === 6) return formatAddress(address);
    const known = this.#texts.get(address.w3);
    if (known !== undefined) return known;
    if (this.#texts.size >= MOST_TEXTS) this.#texts.clear();
    const text = formatAddress(address);
    this.#texts.set(address.w3, text);
    return text;
  }

  /** Whether the packet can be injected, and if not, why no verdict can be given. */
  #kindOf(
    d: Datagram,
    from: Place,
    to: Place,
    membership: Membership | null,
    nowNs: number,
  ): CapturedKind {
    const { entryIsGiven } = this.#options;
    const unknown = (reason: UnknownReason): CapturedKind => ({ kind: 'unknown', reason });
    if (to.kind === 'unplaced') return unknown(to.reason);
    if (from.kind === 'unplaced' && !entryIsGiven) return unknown(from.reason);
    if (from.kind === 'edge' && to.kind === 'edge' && !entryIsGiven) return unknown('notInCluster');
    if (membership === null && this.#isOlder(d, nowNs)) return unknown('midstream');
    return { kind: 'datagram', datagram: d };
  }

  /**
   * Whether an error quotes a packet of which the capture shows nothing: its connection was open
   * before, and nobody knows how the nodes translated it.
   */
  #isOlder({ quoted }: Datagram, nowNs: number): boolean {
    const { midstream, listed } = this.#options;
    if (quoted === null || midstream === 'kernel') return false;
    return (listed?.isReply(quoted, nowNs) ?? null) === null;
  }

  /** Whether the packet is a stranger's, or quotes one; it is noted then. */
  #passes(d: Datagram, from: Place, to: Place, nowNs: number): boolean {
    const strangers = this.#strangers;
    if (strangers === null || isNameless(d)) return false;
    const { quoted } = d;
    if (!strangers.isOne(quoted ?? d)) return false;
    if (quoted !== null) strangers.quoted(quoted, nowNs);
    else strangers.meet(d, this.#conversations.answers(d, from, to, nowNs), nowNs);
    return true;
  }

  #join(d: Datagram, from: Place, to: Place, nowNs: number): Membership | null {
    if (d.quoted !== null) {
      const quoted = this.#conversations.lookup(d.quoted);
      if (quoted === null) return null;
      const direction = quoted.direction === 'original' ? 'reply' : 'original';
      return { conversation: quoted.conversation, direction };
    }
    if (isNameless(d)) return null;
    return this.#conversations.join(d, from, to, nowNs);
  }

  #arp(record: PacketRecord, nowNs: number, view: LinkView): Captured {
    const fault = arp.check(view.bytes, view.offset, view.wireEnd);
    if (fault === 'headerCut') {
      return this.#bare(record, nowNs, { kind: 'unknown', reason: fault });
    }
    if (fault !== null) return this.#bare(record, nowNs, { kind: 'malformed', reason: fault });
    const { identities, map } = this.#options;
    const packet = arp.parse(view.bytes, view.offset);
    const sender = map.address(packet.senderIp);
    const target = map.address(packet.targetIp);
    const from = identities.placeOf(sender);
    const to = identities.placeOf(target);
    const isPlaced = from.kind === 'pod' || from.kind === 'node';
    const kind: CapturedKind = isPlaced
      ? { kind: 'arp', operation: packet.operation, sender, target }
      : { kind: 'unknown', reason: from.kind === 'unplaced' ? from.reason : 'notInCluster' };
    const ends = { ...NO_ENDS, protocol: 'arp', src: formatAddress(sender), from: from.name };
    return {
      ...this.#bare(record, nowNs, kind),
      endpoints: { ...ends, dst: formatAddress(target), to: to.name },
      from,
      to,
    };
  }

  #noView(
    record: PacketRecord,
    nowNs: number,
    reason: 'ethernetTruncated' | 'vlanTruncated' | 'headerCut' | 'notIp' | 'unsupportedLinkType',
  ): Captured {
    const isMalformed = reason === 'ethernetTruncated' || reason === 'vlanTruncated';
    return this.#bare(
      record,
      nowNs,
      isMalformed ? { kind: 'malformed', reason } : { kind: 'unknown', reason },
    );
  }

  #bare(record: PacketRecord, nowNs: number, kind: CapturedKind): Captured {
    return {
      datagram: null,
      ...kind,
      ...head(record, nowNs),
      endpoints: NO_ENDS,
      from: NOWHERE,
      to: NOWHERE,
      membership: null,
      ttl: 0,
      offloaded: false,
      segmentSize: 0,
      notes: [],
    };
  }
}

/** Addresses whose text is kept; beyond that all are forgotten. */
const MOST_TEXTS = 16_384;
const NO_NOTES: readonly string[] = [];

function notesOf(d: Datagram, isOffloaded: boolean, isAggregate: boolean): readonly string[] {
  if (!isOffloaded && !isAggregate && !d.cut) return NO_NOTES;
  return [
    ...(isOffloaded ? ['checksumOffloaded'] : []),
    ...(isAggregate ? ['offloadAggregate'] : []),
    ...(d.cut ? ['cutBySnaplen'] : []),
  ];
}

/** A datagram on its way to being described. */
interface Taken {
  readonly record: PacketRecord;
  readonly nowNs: number;
  /** As captured, and as mapped. */
  readonly read: Datagram;
  readonly datagram: Datagram;
  /** Where its addresses belong. */
  readonly sender: Place;
  readonly to: Place;
  readonly membership: Membership | null;
}

/** A later piece of a packet whose first one was not seen: nobody knows its ports. */
function isNameless({ quoted, fragment, l4, sport }: Datagram): boolean {
  return quoted === null && fragment !== null && l4 < 0 && sport === null;
}

/** The name of a packet's conversation and direction where its ends do not say it. */
export function nameOf({ conversation, direction }: Membership): string | undefined {
  return conversation.views.length > 0 ? `${conversation.id} ${direction}` : undefined;
}

function head(record: PacketRecord, nowNs: number) {
  return {
    frame: record.frame,
    timeNs: record.timeNs,
    nowNs,
    wireLength: record.wireLength,
  };
}
