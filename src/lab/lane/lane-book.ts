/**
 * What JavaScript keeps of lanes: whose packets they are, and what a row of one of them says.
 * @module
 */
import { toIp } from '../../capture/link/linktype.ts';
import type { PacketRecord } from '../../capture/record.ts';
import { LaneWord, Treat, VERDICTS } from '../../engine/compiled/lane-door.ts';
import { CompiledEngine } from '../../engine/compiled.ts';
import type { Injection } from '../../engine/engine.ts';
import type { ChecksumVerdict } from '../../packet/transport-checksum.ts';
import type { Address, Family } from '../../wire/address/address.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { SharedTerms } from '../run/row-terms.ts';
import type { LastSent, Standard } from '../run/standing.ts';
import type { StackRun } from '../stack-run.ts';
import type { Captured, Followed } from '../traffic/captured.ts';
import { type Conversation, isOver, lifetimeNs, type Membership } from '../traffic/conversation.ts';
import { nameOf, type Traffic, type TrafficOptions } from '../traffic/traffic.ts';
import { vantageKey } from '../traffic/vantage.ts';
import type { LaneWalker } from './columns.ts';
import { LaneWay } from './lane-way.ts';
import { vantageOf, whoseOf } from './sightings.ts';

const LINK_HEADER = 14;

export interface OpenLane {
  readonly membership: Membership;
  /** By stack; none of a silent lane. */
  readonly ways: readonly LaneWay[];
  /** Where in their frames its packets begin; null when they are judged with other addresses. */
  readonly asCaptured: { readonly offset: number; readonly family: Family } | null;
}

/** One stack of a run, and the engine that moves its packets. */
export interface Mover {
  readonly run: StackRun;
  readonly engine: CompiledEngine;
}

export interface LaneBookInput {
  readonly walker: LaneWalker;
  readonly traffic: Traffic;
  readonly options: TrafficOptions;
  /** One a stack; none where all lanes are silent. */
  readonly movers: readonly Mover[];
}

export class LaneBook {
  readonly #in: LaneBookInput;
  readonly #lanes: (OpenLane | undefined)[] = [];
  readonly #byConversation = new Map<Conversation, number[]>();

  constructor(input: LaneBookInput) {
    this.#in = input;
  }

  /** Whether lanes were opened for nothing but packets that arrive. */
  areAllMoved = true;

  /** An open lane whose packets are judged here. */
  at(number: number): OpenLane {
    const lane = this.#lanes[number];
    if (lane === undefined || lane.ways.length === 0)
      throw new RangeError(`lane ${number} is not open`);
    return lane;
  }

  /** Hand over to JavaScript: what lanes counted and what time it is. */
  settle(): void {
    const { walker, traffic } = this.#in;
    const { words, dirty, lanePackets, laneBytes, flowNows } = walker.columns;
    const count = words[LaneWord.dirty] ?? 0;
    for (let i = 0; i < count; i++) {
      const flow = dirty[i] ?? 0;
      const lane = this.#lanes[flow * 2] ?? this.#lanes[flow * 2 + 1];
      if (lane === undefined) continue;
      const { conversation } = lane.membership;
      conversation.packets += lanePackets[flow] ?? 0;
      conversation.bytes += laneBytes[flow] ?? 0;
      conversation.lastNs = Math.max(conversation.lastNs, flowNows[flow] ?? 0);
    }
    if (count > 0) walker.native.settle();
    traffic.clock.resume({
      nowNs: words[LaneWord.nowNs] ?? 0,
      backwardSteps: words[LaneWord.backwardSteps] ?? 0,
    });
  }

  /** Hand over to native code. */
  resume(): void {
    const { walker, traffic } = this.#in;
    const { words } = walker.columns;
    words[LaneWord.nowNs] = traffic.clock.nowNs;
    words[LaneWord.backwardSteps] = traffic.clock.backwardSteps;
    // Sooner rather than later where a sum of doubles is rounded.
    words[LaneWord.sweepAtNs] = traffic.sweepAtNs - 1;
  }

  /** Close the lanes of a conversation that is not as it was; whether all stay open. */
  review(conversation: Conversation): boolean {
    const numbers = this.#byConversation.get(conversation);
    if (numbers === undefined) return false;
    const isEnding = hasEnd(conversation);
    let isWhole = true;
    for (const number of numbers) {
      const lane = this.#lanes[number];
      if (lane === undefined || (!isEnding && this.#isClear(lane))) continue;
      this.#in.walker.native.close(number);
      isWhole = false;
    }
    return isWhole;
  }

  /** Close all lanes of a conversation; its further packets open others. */
  close(conversation: Conversation): void {
    for (const number of this.#byConversation.get(conversation) ?? []) {
      this.#in.walker.native.close(number);
    }
  }

  #isClear({ membership, ways }: OpenLane): boolean {
    const { movers } = this.#in;
    return ways.every(({ standing }, i) => movers[i]?.run.stands(membership, standing));
  }

  /** A conversation is over. Call between `settle` and `resume`. */
  forget(conversation: Conversation): void {
    const numbers = this.#byConversation.get(conversation);
    if (numbers === undefined) return;
    this.#byConversation.delete(conversation);
    for (const number of numbers) this.#lanes[number] = undefined;
    for (const flow of new Set(numbers.map((number) => number >>> 1))) {
      this.#in.walker.native.forget(flow);
    }
  }

  /** Learn from a frame that was taken by hand. */
  learn(captured: Captured, record: PacketRecord): void {
    const { membership } = captured;
    if (membership === null) return;
    this.review(membership.conversation);
    const { movers } = this.#in;
    if (movers.length === 0 || hasEnd(membership.conversation)) return;
    const standings = movers.flatMap(({ run }) => run.standing(captured) ?? []);
    if (standings.length < movers.length || !isWorthIt(standings, membership)) return;
    this.#open(standings, record, captured);
  }

  /** Learn from a frame that somebody else judges. */
  follow({ membership, datagram }: Followed, { data, iface }: PacketRecord): void {
    if (membership === null) return;
    const { conversation } = membership;
    this.review(conversation);
    if (hasEnd(conversation) || datagram.fragment !== null || datagram.quoted !== null) return;
    const { lastNs } = conversation;
    const terms = { silent: true, lifetimeNs: lifetimeNs(conversation), lastNs } as const;
    const number = this.#in.walker.native.open(data, iface.linkType, terms);
    if (number < 0) return;
    this.#lanes[number] = { membership, ways: [], asCaptured: null };
    this.#belongs(number, conversation);
  }

  #open(standings: readonly Standard[], record: PacketRecord, captured: Captured): void {
    const { walker, options, movers } = this.#in;
    const { ttl, membership, datagram: d } = captured;
    if (membership === null || d === null || options.checksums === 'ignore') return;
    const sent = standings.flatMap(({ last }) => (last.as === 'sent' ? last : []));
    if (!sent.every(({ injection }) => CompiledEngine.mayMove(injection))) return;
    const view = toIp(record);
    if (typeof view === 'string' || d.fragment !== null || d.quoted !== null) return;
    const ends = commonEnds(view.bytes.subarray(view.offset), d, sent);
    if (ends === null) return;
    const { conversation } = membership;
    const { bytes, offset } = view;
    const sender = d.family === 4 ? ipv4.src(bytes, offset) : ipv6.src(bytes, offset);
    const ways = standings.map((standard, i) => {
      const { last } = standard;
      const entry = last.as === 'sent' ? movers[i]?.engine.entryOf(last.injection) : 0;
      return new LaneWay(standard, entry ?? 0, conversation.id);
    });
    const number = walker.native.open(record.data, record.iface.linkType, {
      silent: false,
      iface: record.iface.id,
      entry: ways[0]?.entry ?? 0,
      sentTtl: ttl,
      hasOwnName: nameOf(membership) === undefined && options.map.size === 0,
      settles: ways.every(({ standing }) => standing.as === 'moved'),
      treat: VERDICTS.map((verdict) => this.#treat(record, sender, verdict)),
      whose: whoseOf(d, nameOf(membership)),
      vantage: vantageOf(vantageKey(record, view)),
      ...ends,
      lifetimeNs: lifetimeNs(conversation),
      lastNs: conversation.lastNs,
    });
    if (number < 0) return;
    this.areAllMoved &&= ways.every(({ standing }) => standing.as === 'moved');
    const isMapped = Buffer.compare(d.bytes, bytes.subarray(offset, offset + d.bytes.length)) !== 0;
    const asCaptured = isMapped ? null : { offset, family: d.family };
    this.#lanes[number] = { membership, ways, asCaptured };
    this.#belongs(number, conversation);
  }

  #belongs(number: number, conversation: Conversation): void {
    const known = this.#byConversation.get(conversation);
    if (known === undefined) this.#byConversation.set(conversation, [number]);
    else if (!known.includes(number)) known.push(number);
  }

  /** What becomes of a packet of this sender with such a checksum. */
  #treat(record: PacketRecord, src: Address, verdict: ChecksumVerdict): number {
    const { checksums, survey } = this.#in.options;
    if (verdict === 'right' || verdict === 'none') return Treat.asIs;
    if (checksums !== 'auto') return Treat.byHand;
    return survey.isOffloaded(record.iface.id, src, verdict) ? Treat.offloaded : Treat.byHand;
  }

  /** What the row of a packet of this lane says that a decision of this stack's engine moved. */
  rowOf(number: number, decision: number, stack: number): SharedTerms {
    const way = this.at(number).ways[stack];
    const mover = this.#in.movers[stack];
    if (way === undefined || mover === undefined) throw new RangeError(`no stack ${stack}`);
    return way.moved(decision, mover.engine);
  }
}

/**
 * Whether a lane is worth its making: of what is refused, most is never tried again, as by those
 * who look for open ports. Delivered segments that open a connection are not for lanes.
 */
function isWorthIt(standings: readonly Standard[], { conversation }: Membership): boolean {
  const isMoved = standings.some(({ standing }) => standing.as === 'moved');
  const isOpening = standings.some(({ last }) => last.captured.datagram?.tcp?.syn);
  return isMoved ? !isOpening : conversation.packets > 1;
}

/** Whether one of its ends has begun to end it. */
function hasEnd(conversation: Conversation): boolean {
  const { original, reply, reset } = conversation.finished;
  return original || reply || reset || isOver(conversation);
}

interface ChangedEnds {
  readonly src: Uint8Array | null;
  readonly dst: Uint8Array | null;
}

const AS_CAPTURED: ChangedEnds = { src: null, dst: null };

/**
 * The same over all stacks that send it; null where those addresses differ.
 */
function commonEnds(raw: Uint8Array, d: Datagram, sent: readonly LastSent[]): ChangedEnds | null {
  const all = sent.map(({ injection }) => changedEnds(raw, d, injection));
  const [first = AS_CAPTURED] = all;
  if (first === null) return null;
  const isSame = (a: Uint8Array | null, b: Uint8Array | null) =>
    a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
  const isCommon = all.every((e) => e && isSame(e.src, first.src) && isSame(e.dst, first.dst));
  return isCommon ? first : null;
}

/**
 * The addresses with which a packet was sent, where they are not those that it was captured with;
 * null when more of it was changed than these and its TTL.
 */
function changedEnds(raw: Uint8Array, d: Datagram, injection: Injection): ChangedEnds | null {
  const sent =
    injection.as === 'frame' ? injection.frameBytes.subarray(LINK_HEADER) : injection.packet;
  const [from, size] = d.family === 4 ? ([12, 4] as const) : ([8, 16] as const);
  const isSame = (a: number, b: number) => {
    for (let i = a; i < b; i++) if (raw[i] !== sent[i]) return false;
    return true;
  };
  const ports = d.l4 + (d.sport === null ? 0 : 4);
  if (d.l4 < 0 || d.l4 !== from + 2 * size || !isSame(d.l4, ports)) return null;
  if (isSame(from, from + 2 * size)) return { src: null, dst: null };
  const src = sent.slice(from, from + size);
  return { src, dst: sent.slice(from + size, from + 2 * size) };
}
