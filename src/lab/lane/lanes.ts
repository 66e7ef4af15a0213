/**
 * Lanes: packets of conversations in which nothing can happen any more but one more packet that
 * fares as those before it. They are timed, counted and told from copies in native code, and moved
 * in batches by the compiled engine; everything else is taken in and judged as without lanes, in
 * the same order.
 *
 *   slab ─► native run ─► packets of lanes ─► engine in batches ─► counts (rows where asked for)
 *              │                               │ one a stack (lane-mover.ts)
 *              └► a packet that no lane expects └► one that the engine walks, or ends otherwise
 *                 Traffic.take, StackRun.handle    Traffic.describe, StackRun.handleMoved
 *
 * On one stack of which only counts are asked for, native code moves packets itself where their
 * connection and decision are known (native/src/engine/settled.hh), and lays down the others.
 *
 * A lane is one direction of a captured flow. It opens behind a packet that was understood in full,
 * and closes when what it leaves out can change again (`StackRun.standing`). On each stack it goes
 * a way of its own. Packets are delivered, with nothing lost on their conversation before; or
 * refused, and leave nothing behind; or not sent at all, as nobody is known to send them, or as
 * their cause was not delivered. Segments of a TCP flow that is not whole are judged one by one, by
 * their numbers alone (causes.ts).
 *
 * Of a connection that another worker judges lanes are silent: native code notes that it goes on,
 * and nothing more. They open whatever became of it, and close when its ends end it.
 * @module
 */
import { LinkType, type PacketRecord } from '../../capture/record.ts';
import { recordOf, type Slab, SlabCopy } from '../../capture/slab.ts';
import { LaneWord } from '../../engine/compiled/lane-door.ts';
import type { StackRun } from '../stack-run.ts';
import type { Captured, Followed, ShownFrame } from '../traffic/captured.ts';
import type { Conversation } from '../traffic/conversation.ts';
import type { Traffic, TrafficOptions } from '../traffic/traffic.ts';
import type { LaneWalker } from './columns.ts';
import { LaneBook, type Mover } from './lane-book.ts';
import { LaneMover } from './lane-mover.ts';
import { viewOf } from './slab-view.ts';

export interface LanesInput {
  readonly walker: LaneWalker;
  readonly traffic: Traffic;
  readonly runs: readonly StackRun[];
  /** Who moves packets of lanes, one a stack; none where all lanes are silent. */
  readonly movers: readonly Mover[];
  readonly options: TrafficOptions;
  /** By stack: whether somebody looks at rows of frames. */
  readonly wantsRows: readonly boolean[];
  /** Takes a record in and judges it, as if there were no lanes. */
  readonly byHand: (record: PacketRecord) => Captured | Followed;
  readonly onFrame?: ((shown: ShownFrame, record: PacketRecord) => void) | undefined;
}

export class Lanes {
  readonly #in: LanesInput & { readonly book: LaneBook };
  readonly #movers: readonly LaneMover[];
  /** Whose packets native code settles, where nobody asks for more of them than counts. */
  readonly #settler: LaneMover | null;
  #frames = 0;
  #settled = 0;

  constructor(input: LanesInput) {
    const book = new LaneBook(input);
    this.#in = { ...input, book };
    this.#movers = input.movers.map(
      (mover, stack) =>
        new LaneMover({
          ...{ ...input, ...mover, book, stack },
          wantsRows: input.wantsRows[stack] ?? true,
        }),
    );
    this.#settler = settlerOf(input, this.#movers);
    if (this.#settler === null) input.walker.native.useEngine(null, null);
    else this.#settler.serve();
  }

  /** Frames that went in lanes. */
  get frames(): number {
    return this.#frames;
  }

  /** Of those, the ones that native code settled. */
  get settled(): number {
    return this.#settled;
  }

  /** Frames of others' connections that were followed in lanes. */
  get followed(): number {
    return this.#in.walker.columns.words[LaneWord.followed] ?? 0;
  }

  /** Take the records of a slab, in order. */
  take(slab: Slab): void {
    const { walker, runs, traffic } = this.#in;
    const { words } = walker.columns;
    const { window, count } = slab;
    const { linkTypes, ifaces, place } = viewOf(slab);
    for (let at = 0; at < count; ) {
      const { startNs } = traffic.clock;
      if (startNs === null || runs.some((run) => !run.isSettled)) {
        this.one(recordOf(slab, at++));
        continue;
      }
      this.#settler?.prepare();
      walker.native.run(window, at, count, linkTypes, ifaces, startNs, place);
      const staged = words[LaneWord.staged] ?? 0;
      at = words[LaneWord.stop] ?? count;
      const isFull = words[LaneWord.full] === 1;
      const settled = this.#settler?.settled(slab) ?? 0;
      this.#settled += settled;
      this.#frames += staged + settled;
      if (staged > 0) this.#move(slab, staged);
      if (at < count && !isFull) this.one(recordOf(slab, at++));
    }
  }

  /** The input is over. */
  end(): void {
    this.#in.book.settle();
  }

  /** A conversation is over; said while a record is taken by hand, or after `end`. */
  forget(conversation: Conversation): void {
    this.#in.book.forget(conversation);
  }

  /** Take one record by hand, and learn what lanes follow from it. */
  one(record: PacketRecord): void {
    const { book, byHand } = this.#in;
    book.settle();
    const taken = byHand(record);
    if (taken.kind === 'followed') book.follow(taken, record);
    else book.learn(taken, record);
    book.resume();
  }

  /** The engines' part of the packets that are laid down. */
  #move(slab: Slab, staged: number): void {
    if (this.#in.onFrame !== undefined) this.#show(slab, staged);
    for (const mover of this.#movers) mover.move(slab, staged);
  }

  /** Show every frame before it is judged. */
  #show(slab: Slab, staged: number): void {
    const { walker, book, onFrame, traffic } = this.#in;
    const { lane, lengths, record, nows } = walker.columns;
    const copy = new SlabCopy(slab, record[0] ?? 0, (record[staged - 1] ?? 0) + 1);
    for (let i = 0; i < staged; i++) {
      const { membership, asCaptured } = book.at(lane[i] ?? 0);
      const own = copy.record(record[i] ?? 0);
      if (asCaptured === null) {
        const captured = traffic.describe(own, nows[i] ?? 0, membership);
        if (captured !== null) onFrame?.(captured, own);
        continue;
      }
      const { frame, iface, data } = own;
      const { offset, family } = asCaptured;
      const wireLength = lengths[i] ?? 0;
      const bytes = () => data.subarray(offset, offset + wireLength);
      const isEthernet = iface.linkType === LinkType.ethernet;
      const datagram = isEthernet ? null : { bytes: bytes(), family, wireLength };
      onFrame?.({ frame, datagram, isKept: true }, own);
    }
  }
}

/** With more than one stack, each takes a packet only if all do: such packets are laid down. */
function settlerOf(input: LanesInput, movers: readonly LaneMover[]): LaneMover | null {
  const [only, ...others] = movers;
  const isAsked = input.onFrame !== undefined || input.wantsRows.some((wants) => wants);
  return only === undefined || others.length > 0 || isAsked ? null : only;
}
