/**
 * One stack's run over the traffic: causes, injection, and what came of every frame and connection.
 * @module
 */
import { assert } from '../diagnostic/diagnostic.ts';
import type { Injection, Journey, KnownChoices } from '../engine/engine.ts';
import { type Direction, opposite } from './causes.ts';
import { type Datagram, withTtl } from './datagram/datagram.ts';
import { isHardError } from './datagram/headers.ts';
import { openingPacket } from './datagram/synthetic.ts';
import type {
  ConnectionResult,
  DecidedBy,
  DirectionResult,
  FrameOutcome,
  FrameResult,
} from './result.ts';
import { connectionRow } from './run/connection-row.ts';
import {
  judge,
  NOTHING_KNOWN,
  newState,
  noteFate,
  type State,
  type Way,
} from './run/connection-state.ts';
import { type HeldFragment, HeldFragments } from './run/held-fragments.ts';
import { choiceOf, firstRefusal, Prospects } from './run/prospects.ts';
import { type AsSent, asSent, endsAt, isAsPredicted, reachedBy } from './run/reached.ts';
import type { FrameSink } from './run/row-terms.ts';
import { type DropRows, Rows } from './run/rows.ts';
import { sendingOf, whenOf } from './run/sending.ts';
import {
  type LastSent,
  type LastUnsent,
  type Standard,
  type Standing,
  standingOf,
  stillStands,
} from './run/standing.ts';
import type { RunSummary, TallyPart } from './tally.ts';
import type { Captured } from './traffic/captured.ts';
import type { Conversation, Membership } from './traffic/conversation.ts';
import { arrived, decidedBy, directionResult, mergeDirection } from './verdict.ts';
import type { World } from './world.ts';

/** Where a run's rows go, in capture order; connections as they close. */
export interface RunSink extends FrameSink {
  /** False when nobody looks at the journeys of `detail`, which are null then. Absent: some do. */
  readonly wantsJourneys?: boolean;
  connection(result: ConnectionResult, detail: ConnectionDetail): void;
}

/** What compare needs beside the row: the journey that decided each direction. */
export interface ConnectionDetail {
  readonly conversation: Conversation;
  readonly opening: Journey | null;
  readonly reply: Journey | null;
}

export interface RunOptions {
  /** Send also what causes would suppress. */
  readonly openLoop: boolean;
  /** Trace every rule looked at for this frame number only. */
  readonly traceFrame?: number;
}

export class StackRun {
  readonly world: World;
  readonly #options: RunOptions;
  readonly #sink: RunSink;
  readonly #states = new Map<number, State>();
  readonly #rows: Rows;
  readonly #held = new HeldFragments();
  readonly #prospects: Prospects;
  /** What became of the next packet that is sent, when it was moved elsewhere. */
  #moved: Journey | null = null;
  /** Whether the packet that was sent last was. */
  #isMoved = false;
  /** What became of the frame that was handled last, when those behind it may fare alike. */
  #last: LastSent | LastUnsent | null = null;

  constructor(world: World, options: RunOptions, sink: RunSink) {
    this.world = world;
    this.#options = options;
    this.#sink = sink;
    this.#prospects = new Prospects(world);
    this.#rows = new Rows(world, sink);
  }

  /** Take the next frame of the input. */
  handle(captured: Captured): void {
    this.#last = null;
    for (const held of this.#held.expire(captured.nowNs)) this.#abandon(held);
    switch (captured.kind) {
      case 'datagram':
        this.#datagram(captured, captured.datagram);
        return;
      case 'arp':
        this.#arp(captured);
        return;
      case 'observed':
        this.#observe(captured);
        this.#rows.finish(this.#compared(captured), 'observed', 'observation');
        return;
      case 'malformed':
        this.#rows.finish(captured, 'dropped', captured.reason);
        return;
      case 'unknown':
        this.#unknown(captured, captured.reason);
        this.#note(captured, 'unknown', captured.reason);
        return;
    }
  }

  /** No frame of this direction will be sent, ever or as far as causes know. */
  #note(
    captured: Captured,
    outcome: FrameOutcome,
    reason: FrameResult['reason'],
    { by = null, isFixed = true }: { by?: DecidedBy | null; isFixed?: boolean } = {},
  ): void {
    this.#last = { as: 'unsent', captured, outcome, reason, by, isFixed };
  }

  /** Take a frame whose packet was moved already. Precondition: it was one to be sent. */
  handleMoved(captured: Captured, journey: Journey): void {
    this.#moved = journey;
    this.handle(captured);
    assert(this.#moved === null, 'a packet that was moved was to be sent');
  }

  /** The injection that `handle` would make of a packet that is to be sent. */
  injectionOf(captured: Captured): Injection {
    const { datagram, membership, from } = captured;
    assert(datagram !== null && membership !== null, 'it is a packet of a conversation');
    const state = this.#state(membership.conversation);
    const sent = asSent(datagram, membership, from, state.reached);
    return this.#injectionOf(captured, sent, state.way?.choices);
  }

  /**
   * How further packets of the direction of the frame that was handled last will fare, when they
   * enter as it did and say nothing new of its conversation; else null.
   */
  standing(captured: Captured): Standard | null {
    const { membership } = captured;
    if (membership === null || this.#last?.captured !== captured) return null;
    const state = this.#judged(membership);
    return state && standingOf(this.#last, state, membership.direction);
  }

  /** Whether what was found of a direction holds still. */
  stands(membership: Membership, standing: Standing): boolean {
    const state = this.#judged(membership);
    return state !== null && stillStands(standing, state, membership.direction);
  }

  /** What is known of a conversation, where frames are judged by it alone. */
  #judged({ conversation }: Membership): State | null {
    const { openLoop, traceFrame } = this.#options;
    const isAlone = !openLoop && traceFrame === undefined;
    return (isAlone && this.#states.get(conversation.id)) || null;
  }

  /** Whether no frame waits for a later one. */
  get isSettled(): boolean {
    return this.#held.size === 0;
  }

  /** Count frames that were moved in lanes; their rows, where somebody looks at them. */
  get rows(): Pick<Rows, 'inBulk' | 'noted' | 'movedRow' | 'dropped'> {
    return this.#rows;
  }

  /** A conversation is over: write its row and forget it. */
  close(conversation: Conversation): void {
    const state = this.#states.get(conversation.id) ?? newState();
    this.#states.delete(conversation.id);
    const row = connectionRow(this.world, conversation, state);
    const { opening, replyJourney } = state;
    this.#rows.connection(row);
    const isTold = this.#sink.wantsJourneys !== false;
    const [there, back] = isTold ? [opening, replyJourney] : [null, null];
    this.#sink.connection(row, { conversation, opening: there, reply: back });
  }

  /** The input is over: fragments that still wait never completed. */
  endFragments(): void {
    for (const held of this.#held.drain()) this.#abandon(held);
  }

  /** The counts so far; whole once every conversation is closed. */
  summary(): RunSummary {
    return this.#rows.summary();
  }

  /** As `summary`, to be added to what was counted of other conversations elsewhere. */
  part(): TallyPart {
    return this.#rows.part();
  }

  #state(conversation: Conversation): State {
    const found = this.#states.get(conversation.id);
    if (found) return found;
    const made = newState();
    this.#states.set(conversation.id, made);
    return made;
  }

  #unknown(captured: Captured, reason: FrameResult['reason']): void {
    const { membership } = captured;
    if (membership) {
      const state = this.#state(membership.conversation);
      const unknown: DirectionResult = { result: 'unknown', reason, decidedBy: null };
      const side = membership.direction === 'original' ? 'forward' : 'reply';
      state[side] = mergeDirection(state[side], unknown);
      if (state.forward.result === 'notCaptured') state.forward = unknown;
    }
    this.#rows.finish(captured, 'unknown', reason);
  }

  #datagram(captured: Captured, datagram: Datagram): void {
    const { membership } = captured;
    // An error that quotes, or a fragment that belongs to, nothing seen before has no causes.
    const { from } = captured;
    if (membership === null) this.#settle(captured, this.#inject(captured, { datagram, from }));
    else if (membership.conversation.unjudged !== null) {
      this.#unknown(captured, membership.conversation.unjudged);
      this.#note(captured, 'unknown', membership.conversation.unjudged);
    } else if (datagram.quoted !== null) this.#error(captured, datagram, membership);
    else this.#send(captured, datagram, membership);
  }

  #send(captured: Captured, datagram: Datagram, membership: Membership): void {
    const { conversation, direction } = membership;
    const state = this.#state(conversation);
    if (conversation.opening === 'assumed' && !this.#assume(captured, conversation, state)) return;
    const verdict = this.#options.openLoop ? 'send' : judge(state.causes, direction, datagram);
    if (verdict !== 'send') {
      noteFate(state.causes, direction, datagram, false);
      this.#rows.finish(captured, 'suppressed', verdict);
      this.#note(captured, 'suppressed', verdict, { isFixed: false });
      return;
    }
    const sent = asSent(datagram, membership, captured.from, state.reached);
    if (sent.from.kind === 'service') {
      this.#unknown(captured, 'translatedSender');
      return;
    }
    if (direction === 'original') state.way ??= this.#wayOf(captured, conversation);
    const { tcp } = datagram;
    if (tcp !== null && state.causes.provesUnseenAnswer(tcp)) {
      this.#answered(captured, conversation, state);
    }
    const retransmission = tcp !== null && state.causes.isRetransmission(direction, tcp);
    const journey = this.#inject(captured, sent, state.way?.choices);
    // What becomes of a held fragment is known with its datagram (#settle, #abandon).
    if (!journey.heldForReassembly) {
      noteFate(state.causes, direction, datagram, arrived(journey));
    }
    const opens = this.#learn(state, direction, journey) || journey === state.opening;
    if (direction === 'original') this.#follow(state, captured, conversation, journey, opens);
    this.#hearGenerated(state, direction, journey);
    this.#settle(captured, journey, retransmission);
  }

  /** Try the opening that the capture does not show; false when this frame was settled by it. */
  #assume(captured: Captured, conversation: Conversation, state: State): boolean {
    if (state.assumed === null) {
      const { frame } = captured;
      const packet = openingPacket(conversation);
      state.way = this.#wayOf(captured, conversation);
      const { choices } = state.way;
      const when = { ...whenOf(captured), ...(choices ? { choices } : {}) };
      const opening = this.world.injectAt(conversation.from, packet, when);
      state.assumed = this.world.engine.assumeOpen(opening);
      state.opening = state.assumed;
      state.openingEnds = endsAt(state.assumed);
      state.forward = directionResult(state.assumed);
      this.#follow(state, captured, conversation, state.assumed, true);
      if (state.assumed.outcome === 'dropped')
        this.#rows.countDrop(state.dropRows, state.assumed, frame, 0);
    }
    if (arrived(state.assumed) || this.#options.openLoop) return true;
    const { outcome, reason } = state.assumed;
    const by = decidedBy(state.assumed.decision);
    if (outcome === 'unknown') {
      this.#unknown(captured, reason);
      this.#note(captured, outcome, reason);
    } else {
      this.#rows.finish(captured, 'suppressed', 'causeNotDelivered', by);
      this.#note(captured, 'suppressed', 'causeNotDelivered', { by });
    }
    return false;
  }

  /** What the capture does not show of a handshake took place: nodes know it as open. */
  #answered(captured: Captured, conversation: Conversation, state: State): void {
    const choices = state.way?.choices;
    const when = { ...whenOf(captured), ...(choices ? { choices } : {}) };
    const packet = openingPacket(conversation);
    this.world.engine.assumeOpen(this.world.injectAt(conversation.from, packet, when));
    state.causes.assumeAnswered();
  }

  /** An ICMP error that the capture holds: sent when the packet it quotes had arrived. */
  #error(captured: Captured, datagram: Datagram, membership: Membership): void {
    const { conversation } = membership;
    const state = this.#state(conversation);
    if (conversation.opening === 'assumed' && !this.#assume(captured, conversation, state)) return;
    const quoted = opposite(membership.direction);
    if (!this.#options.openLoop && state.causes.judgeError(quoted) !== 'send') {
      this.#rows.finish(captured, 'suppressed', 'causeNotDelivered');
      return;
    }
    const sent = asSent(datagram, membership, captured.from, state.reached);
    if (sent.from.kind === 'service') this.#unknown(captured, 'translatedSender');
    else this.#settle(captured, this.#inject(captured, sent));
  }

  #inject(captured: Captured, sent: AsSent, choices?: KnownChoices): Journey {
    this.#isMoved = this.#moved !== null;
    if (this.#moved !== null) {
      const journey = this.#moved;
      this.#moved = null;
      return journey;
    }
    const injection = this.#injectionOf(captured, sent, choices);
    const journey = this.world.engine.inject(injection);
    this.#last = { as: 'sent', captured, injection, journey };
    return journey;
  }

  #injectionOf(captured: Captured, sent: AsSent, choices?: KnownChoices): Injection {
    const { datagram, from } = sent;
    const packet = withTtl(datagram, captured.ttl);
    const isTraced = this.#options.traceFrame === captured.frame;
    const options = sendingOf(captured, datagram, isTraced, choices);
    return this.world.injectAt(from, packet, options);
  }

  /** What is known of a connection's choices before its opening is sent. */
  #wayOf(captured: Captured, conversation: Conversation): Way {
    const seen = conversation.views.at(-1);
    if (seen === undefined) return NOTHING_KNOWN;
    const list = this.#prospects.of(conversation, whenOf(captured));
    const draws = this.#prospects.drawsTo(seen, list);
    const source = { address: seen.src, port: seen.sport ?? 0 };
    if (draws === null) return { choices: { source }, choice: null };
    return { choices: { draws, source }, choice: choiceOf(list, 'captured') };
  }

  /** Note where a packet of the opening's direction got, and what else could have become of it. */
  #follow(
    state: State,
    captured: Captured,
    conversation: Conversation,
    journey: Journey,
    opens: boolean,
  ): void {
    state.reached = reachedBy(this.world, journey, conversation) ?? state.reached;
    const known = state.way?.choice?.by;
    const isLed = opens || journey.draws !== undefined;
    if (known === 'drawn' || !isLed) return;
    const seen = known === 'captured' ? (conversation.views.at(-1) ?? null) : null;
    const list = this.#prospects.ofSent(conversation, journey, whenOf(captured), seen);
    if (list === null) return;
    state.way = { ...state.way, choice: choiceOf(list, 'drawn'), refusal: firstRefusal(list) };
  }

  /**
   * Forward an ARP frame. Its whole life is its link: wherever it ends there, it has been consumed,
   * and no packet ever waits for it.
   */
  #arp(captured: Captured & { kind: 'arp' }): void {
    const { frame, nowNs } = captured;
    const arp = this.world.arpFrame(captured.from, captured.to, captured);
    if (arp === null) {
      this.#unknown(captured, 'noSender');
      return;
    }
    const journey = this.world.engine.inject({ as: 'frame', frame, nowNs, ...arp });
    this.#settle(captured, { ...journey, outcome: 'consumed', reason: null });
  }

  /** What a sent packet says of its direction; whether it tells of the opening's. */
  #learn(state: State, direction: Direction, journey: Journey): boolean {
    if (journey.heldForReassembly) return false;
    const next = directionResult(journey);
    const isOriginal = direction === 'original';
    const known = isOriginal ? state.forward : state.reply;
    const merged = mergeDirection(known, next);
    if (merged === known) return false;
    // Those that a decision stands for come again, and are told by what they are.
    const isKept = this.#sink.wantsJourneys !== false || this.#isMoved;
    if (isOriginal) {
      state.opening = isKept ? journey : null;
      state.openingEnds = endsAt(journey);
      state.forward = merged;
      return true;
    }
    state.replyJourney = isKept ? journey : null;
    state.reply = merged;
    return false;
  }

  /** Resets and hard errors that our network sent back end the sender's flow (A6). */
  #hearGenerated(state: State, direction: Direction, journey: Journey): void {
    for (const made of journey.generated) {
      if (!arrived(made.journey)) continue;
      if (made.kind === 'tcpReset') state.causes.resetBy(direction);
      if (made.kind === 'icmpError' && isHardError(made.journey.packet)) {
        state.causes.unreachable(direction);
      }
    }
  }

  /** A later sighting of a packet we dropped proves that the real network let it pass. */
  #observe(captured: Captured & { kind: 'observed' }): void {
    const { membership } = captured;
    if (!membership || !captured.beyondSender) return;
    const state = this.#states.get(membership.conversation.id);
    const side = membership.direction === 'original' ? 'forward' : 'reply';
    if (state?.[side].result === 'dropped') state.contradicted = true;
  }

  /** The frame with a note when this stack would have given it other ends. */
  #compared(captured: Captured): Captured {
    const { membership, datagram } = captured;
    if (membership === null || datagram === null) return captured;
    const { reached = null } = this.#states.get(membership.conversation.id) ?? {};
    if (isAsPredicted(datagram, membership, reached)) return captured;
    return { ...captured, notes: [...captured.notes, 'translationDiffers'] };
  }

  /** Turn a journey into the frame's row; a held fragment's row waits for its datagram. */
  #settle(captured: Captured, journey: Journey, retransmission = false): void {
    const fragment = captured.datagram?.fragment ?? null;
    if (fragment !== null && journey.heldForReassembly) {
      this.#held.hold(fragment.key, captured, this.#rows.hold());
      return;
    }
    this.#rows.sent(captured, journey, this.#dropsOf(captured), retransmission);
    if (fragment === null) return;
    for (const { captured: earlier, place } of this.#held.complete(fragment.key)) {
      this.#noteHeld(earlier, arrived(journey));
      place.settle(this.#rows.ofJourney(earlier, journey, this.#dropsOf(earlier), false));
    }
  }

  #dropsOf({ membership }: Captured): DropRows | null {
    return membership ? this.#state(membership.conversation).dropRows : null;
  }

  /** The fate of a fragment that waited is its datagram's. */
  #noteHeld(captured: Captured, delivered: boolean): void {
    const { membership, datagram } = captured;
    if (membership === null || datagram === null) return;
    const { causes } = this.#state(membership.conversation);
    noteFate(causes, membership.direction, datagram, delivered);
  }

  /** The rest of its datagram never came. */
  #abandon({ captured, place }: HeldFragment): void {
    this.#noteHeld(captured, false);
    place.settle(this.#rows.unsent(captured, 'dropped', 'fragmentTimeout'));
  }
}
