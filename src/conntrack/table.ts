/**
 * The connection table of one host: which connection a packet belongs to, and which are alive.
 *
 *   first packet ── track: new, unconfirmed ── … the host's hooks … ── confirm: in by both tuples
 *   later packets ─ track: found by tuple, judged by the protocol's tracker, timeout renewed
 *   dropped packet ─ its unconfirmed connection is simply never inserted
 *
 * Kernel: net/netfilter/nf_conntrack_core.c `nf_conntrack_in`, `resolve_normal_ct`,
 * `init_conntrack`, `__nf_conntrack_confirm`, `nf_conntrack_tuple_taken`, `early_drop`, Linux 6.18;
 * zones as include/net/netfilter/nf_conntrack_zones.h has them.
 *
 * Packets run one at a time to their end, so two packets never race to confirm the same original
 * tuple; what is left of the kernel's clash resolution is a reply tuple that NAT could not make
 * unique, and that packet is dropped (`nf_ct_resolve_clash`).
 *
 * Deviation, by design: whom `early_drop` evicts depends on a random hash in the kernel; here it is
 * the oldest connection that may be evicted (departures.ts).
 * @module
 */
import type { CtZone, Packet } from '../packet/packet.ts';
import { transportOffset } from '../packet/parse.ts';
import { equalAddress } from '../wire/address/address.ts';
import type { DropReason } from '../wire/drop-reason.ts';
import * as ipv6 from '../wire/header/ipv6.ts';
import * as sctp from '../wire/header/sctp.ts';
import { Protocol } from '../wire/protocol.ts';
import { type Connection, type Direction, NS_PER_S, newConnection, refresh } from './connection.ts';
import { Departures } from './departures.ts';
import { pullPieces } from './fragment/refragment.ts';
import { trackGeneric, trackGre } from './protocol/generic.ts';
import { classifyIcmp, trackIcmpQuery } from './protocol/icmp.ts';
import { trackSctp, UNKNOWN_TAG } from './protocol/sctp.ts';
import type { TrackedSegment, TrackVerdict } from './protocol/segment.ts';
import { establishedTracking, trackTcp } from './protocol/tcp.ts';
import { type ConntrackSettings, DEFAULT_SETTINGS } from './protocol/timeouts.ts';
import { trackUdp } from './protocol/udp.ts';
import { equalTuple, invertTuple, type Tuple, tupleAt, withDestination } from './tuple.ts';
import { TupleMap } from './tuple-map.ts';

/** A place in the table: a connection by one of its two tuples. */
export interface Found {
  readonly connection: Connection;
  readonly direction: Direction;
}

/** Which hook the packet is at: only what comes from a wire has its checksum judged. */
export type TrackHook = 'prerouting' | 'output';

export class ConntrackTable {
  readonly settings: ConntrackSettings;
  readonly #byTuple = new TupleMap<Found>();
  readonly #alive = new Set<Connection>();
  /** By `sourceOf` their original tuples. */
  readonly #bySource = new TupleMap<Set<Connection>>();
  /** Since the table was full for the first time; null before. */
  #departures: Departures | null = null;
  #confirmed = 0;
  #earlyDrops = 0;

  constructor(settings: ConntrackSettings = DEFAULT_SETTINGS) {
    this.settings = settings;
  }

  /** Confirmed connections held, dead ones that nobody asked for yet included. */
  get size(): number {
    return this.#alive.size;
  }

  /** Living connections that were taken out to make room for others. */
  get earlyDrops(): number {
    return this.#earlyDrops;
  }

  /**
   * Find or make the packet's connection and judge the packet: sets `ctState`, `connection` and
   * `ctDirection`. A packet that is tracked or marked untracked already is left alone.
   *
   * @returns null, `ctFull` when a new connection finds no room, or `headerCut`
   * Precondition: `parseFrame` accepted it, `family` is not 0, fragments were put together before.
   */
  track(packet: Packet, nowNs: number, hook: TrackHook): DropReason | 'headerCut' | null {
    if (packet.connection !== null || packet.ctState === 'untracked') return null;
    const zone = zoneOf(packet);
    packet.ctTemplate = null;
    packet.ctState = 'invalid';
    packet.ctDirection = 'original';
    const s = this.#segmentOf(packet, nowNs, hook);
    if (s === 'headerCut') return 'headerCut';
    if (s === null) return null;
    // Its sum is looked at in writable bytes (`sctp_error`).
    if (s.verifyChecksum && s.protocol === Protocol.sctp) {
      pullPieces(packet, s.off + sctp.HEADER_LENGTH);
    }
    if (isIcmp(s)) {
      const hopLimit = s.src.family === 6 ? ipv6.hopLimit(packet.bytes, packet.l3) : 0;
      const message = classifyIcmp(s, hopLimit);
      if (message.kind === 'headerCut') return 'headerCut';
      if (message.kind === 'untracked') packet.ctState = 'untracked';
      if (message.kind === 'error') this.#relate(packet, message.inner, nowNs, zone);
      if (message.kind !== 'query') return null;
    }
    return this.#trackSegment(packet, s, zone);
  }

  /** Null when the packet has no transport header that could be tracked. */
  #segmentOf(packet: Packet, nowNs: number, hook: TrackHook): TrackedSegment | 'headerCut' | null {
    if (packet.family === 0 || packet.fragmentOffset !== 0) return null;
    const off = transportOffset(packet);
    if (off === 'headerCut') return 'headerCut';
    if (typeof off === 'string') return null;
    // `ipv6_skip_exthdr` finds nothing behind "no next header" (RFC 8200 section 4.7).
    if (packet.family === 6 && packet.protocol === Protocol.none) return null;
    const { bytes, end, protocol, src, dst } = packet;
    // Fragments that defragmentation let by are summed as they are, which is never right.
    const whole = end <= bytes.length;
    const judged = this.settings.checksum && hook === 'prerouting' && !packet.checksumOffloaded;
    const verifyChecksum = judged && whole;
    return { bytes, off, end, protocol, src, dst, direction: 'original', nowNs, verifyChecksum };
  }

  /** An ICMP error belongs to the connection it quotes if it goes to that packet's sender. */
  #relate(packet: Packet, inner: Tuple, nowNs: number, zone: CtZone | null): void {
    const found = this.lookup(inner, nowNs, zone);
    if (found === null) return;
    const { connection, direction } = found;
    const way = direction === 'original' ? connection.original : connection.reply;
    if (!equalAddress(way.dst, packet.dst)) return;
    packet.ctState = 'related';
    packet.connection = connection;
    packet.ctDirection = direction;
  }

  #trackSegment(
    packet: Packet,
    s: TrackedSegment,
    zone: CtZone | null,
  ): DropReason | 'headerCut' | null {
    const tuple = tupleAt(s.bytes, s.off, s.end, s);
    if (tuple === 'headerCut') return 'headerCut';
    if (tuple === null) return null;
    for (;;) {
      const found = this.lookup(tuple, s.nowNs, zone) ?? this.#open(tuple, s.nowNs, zone);
      if (found === null) return null;
      if (found === 'ctFull') return 'ctFull';
      const { connection, direction } = found;
      const isReply = direction === 'reply';
      const established = isReply || connection.seenReply;
      connection.refreshed = false;
      const verdict = this.#judge(connection, isReply ? answering(s) : s);
      if (connection.confirmed) this.#departures?.note(connection);
      if (verdict === 'repeat') {
        this.remove(connection);
        continue;
      }
      if (verdict === 'headerCut') return 'headerCut';
      if (verdict === 'invalid') return null;
      if (isReply) connection.seenReply = true;
      if (connection.refreshed) countTraffic(connection, direction, packet.end - packet.l3);
      if (connection.dying) this.remove(connection);
      packet.ctState = established ? 'established' : 'new';
      packet.connection = connection;
      packet.ctDirection = direction;
      return null;
    }
  }

  #judge(connection: Connection, s: TrackedSegment): TrackVerdict {
    switch (s.protocol) {
      case Protocol.tcp:
        return trackTcp(connection, s, this.settings);
      case Protocol.udp:
      case Protocol.udplite:
        return trackUdp(connection, s, this.settings);
      case Protocol.sctp:
        return trackSctp(connection, s, this.settings);
      case Protocol.gre:
        return trackGre(connection, s, this.settings);
      case Protocol.icmp:
      case Protocol.icmpv6:
        return isIcmp(s) ? trackIcmpQuery(connection, s, this.settings) : 'invalid';
      default:
        return trackGeneric(connection, s, this.settings);
    }
  }

  /** Make an unconfirmed connection; null when the packet can not begin one. */
  #open(tuple: Tuple, nowNs: number, zone: CtZone | null): Found | 'ctFull' | null {
    const reply = invertTuple(tuple);
    if (reply === null) return null;
    if (!this.#makeRoom(nowNs)) return 'ctFull';
    return {
      connection: newConnection({ original: tuple, reply, nowNs, zone }),
      direction: 'original',
    };
  }

  #makeRoom(nowNs: number): boolean {
    const { max } = this.settings;
    while (max !== 0 && this.size >= max) {
      const first = this.firstToLeave(nowNs);
      if (first === null) return false;
      if (first.expiresNs > nowNs) this.#earlyDrops += 1;
      this.remove(first);
    }
    return true;
  }

  /** Who leaves the table if it is full, of those that are `isAsked` for: `Departures.first`. */
  firstToLeave(
    nowNs: number,
    isAsked: (connection: Connection) => boolean = () => true,
  ): Connection | null {
    // Half of the notes say nothing any more, and hold connections that are gone: begin anew.
    if ((this.#departures?.size ?? 0) > 2 * this.settings.max) this.#departures = null;
    this.#departures ??= new Departures(this.#alive);
    return this.#departures.first(nowNs, isAsked);
  }

  /**
   * The living connection that owns the tuple, and the direction it names. `zone` is where the
   * packet is: its tuple may be the original one of the zone's original part, or the reply one of
   * its reply part (`nf_ct_key_equal`).
   */
  lookup(tuple: Tuple, nowNs: number, zone: CtZone | null = null): Found | null {
    if (zone === null) return this.#living(tuple, 0, nowNs, null);
    const original = this.#living(tuple, zoneId(zone, 'original'), nowNs, 'original');
    return original ?? this.#living(tuple, zoneId(zone, 'reply'), nowNs, 'reply');
  }

  #living(tuple: Tuple, zone: number, nowNs: number, direction: Direction | null): Found | null {
    const found = this.#byTuple.get(tuple, zone);
    if (found === undefined) return null;
    if (found.connection.expiresNs <= nowNs) {
      this.remove(found.connection);
      return null;
    }
    return direction === null || found.direction === direction ? found : null;
  }

  /**
   * Whether another connection than `own` answers to the tuple (`nf_conntrack_tuple_taken`). One of
   * the same original tuple does not count: it is the same flow.
   */
  isTaken(tuple: Tuple, own: Connection, nowNs: number): boolean {
    const found = this.lookup(tuple, nowNs, own.zone);
    if (found === null || found.connection === own) return false;
    return !equalTuple(found.connection.original, own.original);
  }

  /**
   * Put the packet's new connection into the table, now that the packet has survived; its timeout
   * starts here. Nothing to do for packets of confirmed connections and those without one.
   *
   * @returns false when one of its tuples belongs to another connection: the caller drops
   * (`ctClash`)
   */
  confirm(packet: Packet, nowNs: number): boolean {
    const connection = connectionOf(packet);
    if (connection === null || connection.confirmed) return true;
    // What a host sends in answer to a packet carries its connection, but is not its first packet.
    if (packet.ctDirection !== 'original') return true;
    return !connection.dying && this.#insert(connection, nowNs);
  }

  /**
   * Put in a connection that was open before anybody looked (`ctnetlink_create_conntrack`).
   *
   * @returns false when one of its tuples belongs to another connection
   */
  admit(connection: Connection, nowNs: number): boolean {
    return this.#insert(connection, nowNs);
  }

  /** False when one of the connection's tuples belongs to another. */
  #insert(connection: Connection, nowNs: number): boolean {
    const { original, reply, zone } = connection;
    if (this.lookup(original, nowNs, zone) !== null) return false;
    if (this.lookup(reply, nowNs, zone) !== null) return false;
    if (!this.putIn(connection)) return false;
    connection.confirmed = true;
    connection.expiresNs = nowNs + connection.lifetimeNs;
    connection.order = this.nextOrder();
    this.#departures?.note(connection);
    return true;
  }

  /** The age of a connection that is confirmed now. */
  protected nextOrder(): number {
    this.#confirmed += 1;
    return this.#confirmed;
  }

  /** Put the connection in as it is; false when the place of one of its tuples is taken. */
  protected putIn(connection: Connection): boolean {
    const { original, reply, zone } = connection;
    const [from, to] = [zoneId(zone, 'original'), zoneId(zone, 'reply')];
    if (this.#byTuple.has(original, from) || this.#byTuple.has(reply, to)) return false;
    this.#alive.add(connection);
    this.#byTuple.set(original, { connection, direction: 'original' }, from);
    // A tuple that is its own inverse is found as the answer (hash chains begin with the latest).
    this.#byTuple.set(reply, { connection, direction: 'reply' }, to);
    const source = sourceOf(original);
    const sameSource = this.#bySource.get(source, from);
    if (sameSource === undefined) this.#bySource.set(source, new Set([connection]), from);
    else sameSource.add(connection);
    if (connection.confirmed) this.#departures?.note(connection);
    return true;
  }

  /** Take a connection out; packets that carry it keep it. */
  remove(connection: Connection): void {
    connection.dying = true;
    if (!this.#alive.delete(connection)) return;
    const { original, reply, zone } = connection;
    const [from, to] = [zoneId(zone, 'original'), zoneId(zone, 'reply')];
    if (this.#byTuple.get(original, from)?.connection === connection) {
      this.#byTuple.delete(original, from);
    }
    if (this.#byTuple.get(reply, to)?.connection === connection) this.#byTuple.delete(reply, to);
    const source = sourceOf(original);
    const sameSource = this.#bySource.get(source, from);
    if (sameSource?.delete(connection) && sameSource.size === 0) {
      this.#bySource.delete(source, from);
    }
  }

  /** Remove every connection whose time is up; returns how many. Lookups never see them anyway. */
  expire(nowNs: number): number {
    const before = this.#alive.size;
    for (const connection of this.#alive)
      if (connection.expiresNs <= nowNs) this.remove(connection);
    return before - this.#alive.size;
  }

  /** Remove every connection that `matches` chooses (`conntrack -D`); returns how many. */
  flush(matches: (connection: Connection) => boolean = () => true): number {
    const chosen = [...this.#alive].filter(matches);
    for (const connection of chosen) this.remove(connection);
    return chosen.length;
  }

  /** Living connections, oldest first. */
  connections(nowNs: number): readonly Connection[] {
    this.expire(nowNs);
    return [...this.#alive].sort(byAge);
  }

  /**
   * Living connections from the source of `tuple`, newest first: the mappings NAT may use again.
   */
  fromSameSource(tuple: Tuple, nowNs: number, zone: CtZone | null = null): readonly Connection[] {
    const found = this.#bySource.get(sourceOf(tuple), zoneId(zone, 'original')) ?? [];
    return [...found].filter(({ expiresNs }) => expiresNs > nowNs).sort((a, b) => byAge(b, a));
  }

  /**
   * Make a connection look as if it had been open before the capture: answered, assured,
   * established, with no window to judge by. Timeouts start at `nowNs`. Confirmed or not yet.
   */
  openEstablished(connection: Connection, nowNs: number): void {
    const { protocol } = connection.original;
    connection.seenReply = true;
    connection.traffic = null;
    if (protocol === Protocol.tcp) {
      connection.tracking = establishedTracking();
      connection.assured = true;
      refresh(connection, this.settings.tcp.established, nowNs);
    } else if (protocol === Protocol.udp || protocol === Protocol.udplite) {
      connection.tracking = { kind: 'udp', streamNs: nowNs - 1 };
      connection.assured = true;
      refresh(connection, this.settings.udp.stream, nowNs);
    } else if (connection.tracking.kind === 'sctp') {
      connection.tracking.state = 'established';
      connection.tracking.tag.original = UNKNOWN_TAG;
      connection.tracking.tag.reply = UNKNOWN_TAG;
      connection.assured = true;
      refresh(connection, this.settings.sctp.established, nowNs);
    } else if (protocol === Protocol.gre) {
      connection.assured = true;
      refresh(connection, this.settings.gre.stream, nowNs);
    }
    if (connection.confirmed) this.#departures?.note(connection);
  }

  /**
   * A refused connection is closed and soon gone (`nf_conntrack_tcp_set_closing`, by REJECT's
   * reset); that alone does not let a SYN open it again before.
   */
  setClosing(connection: Connection, nowNs: number): void {
    const { tracking } = connection;
    if (tracking.kind !== 'tcp') return;
    if (!connection.confirmed || tracking.state === 'close') return;
    tracking.state = 'close';
    connection.expiresNs = nowNs + this.settings.tcp.close * NS_PER_S;
    this.#departures?.note(connection);
  }

  /**
   * Give a packet that a host made in answer to `cause` the cause's connection
   * (`nf_conntrack_attach`, as nf_send_reset asks for): RELATED, the other way. In answer to an
   * untracked one it is RELATED to nothing: no state that rules could ask for, but one that keeps
   * NOTRACK from having its way (`skb->_nfct` is not 0).
   */
  attach(made: Packet, cause: Packet): void {
    if (cause.ctState === 'untracked') made.ctState = 'invalid';
    if (cause.connection === null) return;
    made.connection = cause.connection;
    made.ctState = 'related';
    made.ctDirection = cause.ctDirection === 'original' ? 'reply' : 'original';
  }
}

/** The packet's connection with its type. */
export function connectionOf(packet: Packet): Connection | null {
  return packet.connection as Connection | null;
}

/** The oldest first. */
function byAge(a: Connection, b: Connection): number {
  return a.order - b.order;
}

function isIcmp(s: TrackedSegment): boolean {
  return s.protocol === (s.src.family === 4 ? Protocol.icmp : Protocol.icmpv6);
}

/** `nf_ct_zone_tmpl`: a zone by mark is the mark's lower half at the time of tracking. */
function zoneOf({ ctTemplate, mark }: Packet): CtZone | null {
  if (!ctTemplate) return null;
  const { id, direction, byMark } = ctTemplate.zone;
  return { id: byMark ? mark & 0xffff : id, direction };
}

function countTraffic({ traffic }: Connection, direction: Direction, bytes: number): void {
  if (traffic === null) return;
  traffic[direction].packets += 1;
  traffic[direction].bytes += bytes;
}

/** The zone that one tuple of a connection is in (`nf_ct_zone_id`). */
function zoneId(zone: CtZone | null, direction: Direction): number {
  if (zone === null) return 0;
  return zone.direction === 'both' || zone.direction === direction ? zone.id : 0;
}

/** What all tuples from one end by one protocol have in common, as a tuple. */
function sourceOf(tuple: Tuple): Tuple {
  return withDestination(tuple, tuple.src, 0);
}

/** The segment as one of the reply's direction; segments begin as the original's. */
function answering(s: TrackedSegment): TrackedSegment {
  const { bytes, off, end, protocol, src, dst, nowNs, verifyChecksum } = s;
  return { bytes, off, end, protocol, src, dst, direction: 'reply', nowNs, verifyChecksum };
}
