/**
 * Several capture files as one sequence: the one with the earliest next packet goes first.
 *
 * Inputs wait in a heap by (time of their next packet, position on the command line). A file that
 * is not open yet is known by its first packet's time only.
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { CaptureInput } from './capture-input.ts';
import type { Access } from './format/byte-source.ts';
import type { UnnumberedRecord } from './format/packet-format.ts';
import type { CaptureInterface, InputSummary, PacketRecord, ResolvedName } from './record.ts';
import type { RecordWalker, Slab, UnnumberedSlab } from './slab.ts';

/** How many records are taken from one file at a time. */
const READ_AHEAD = 256;
const NAMES_MAX = 65_536;
/** Files without packets are read first: all that is left to learn is how they end. */
const AT_ONCE = -(1n << 100n);
const NEVER = 1n << 100n;
/** Records of a file that are looked at before another one's turn, at least. */
const FEWEST = 16;

interface Lane {
  readonly index: number;
  readonly path: string;
  readonly offsetNs: bigint;
  input: CaptureInput | null;
  ahead: readonly UnnumberedRecord[];
  next: number;
  /** Time of the next record, clock offset applied. */
  timeNs: bigint;
  /** As many came in bulk the last time, or `FEWEST`. */
  run: number;
}

export class MergedInputs {
  readonly interfaces: CaptureInterface[] = [];
  readonly names: ResolvedName[] = [];
  readonly #lanes: readonly Lane[];
  readonly #heap: Lane[] = [];
  readonly #summaries = new Map<number, InputSummary>();
  readonly #namesTaken = new Map<CaptureInput, number>();
  readonly #access: Access;
  #frame = 0;
  #interfaceCount = 0;

  private constructor(lanes: readonly Lane[], access: Access) {
    this.#lanes = lanes;
    this.#access = access;
  }

  /** Look into every input. Throws one UserError naming all that are no captures. */
  static async open(
    paths: readonly string[],
    offsetsNs: ReadonlyMap<string, bigint>,
    access: Access,
  ): Promise<MergedInputs> {
    const lanes: Lane[] = paths.map((path, index) => {
      const offsetNs = offsetsNs.get(path) ?? 0n;
      return {
        index,
        path,
        offsetNs,
        input: null,
        ahead: [],
        next: 0,
        timeNs: AT_ONCE,
        run: FEWEST,
      };
    });
    const merged = new MergedInputs(lanes, access);
    const mistakes: Diagnostic[] = [];
    for (const lane of lanes) {
      try {
        await merged.#look(lane, lanes.length === 1);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        mistakes.push(...error.diagnostics);
      }
    }
    if (mistakes.length > 0) {
      await merged.#closeAll();
      throw new UserError(mistakes, 'input');
    }
    for (const lane of lanes) merged.#push(lane);
    return merged;
  }

  /** Learn the lane's first time; files are closed again until their turn, unless alone. */
  async #look(lane: Lane, alone: boolean): Promise<void> {
    lane.input = await CaptureInput.open(lane.path, this.#access);
    if (alone) return;
    const first = await lane.input.next(1);
    lane.timeNs = first[0] === undefined ? AT_ONCE : first[0].timeNs + lane.offsetNs;
    if (lane.path === '-') {
      lane.ahead = first;
      return;
    }
    await lane.input.close();
    lane.input = null;
  }

  /** The next records in merged order, at most `limit`; none only at the end. */
  async next(limit: number, readAhead = READ_AHEAD): Promise<PacketRecord[]> {
    const out: UnnumberedRecord[] = [];
    while (out.length < limit && this.#heap.length > 0) {
      const lane = this.#heap[0];
      if (lane === undefined) break;
      if (lane.next >= lane.ahead.length && !(await this.#refill(lane, readAhead))) {
        if (lane.ahead.length > 0) continue;
        // A file that is over is closed only when all of it was taken.
        if (out.length > 0) break;
        await this.#close(lane);
        this.#pop();
        continue;
      }
      if (this.#heap.length === 1) this.#takeRun(lane, out, limit);
      else this.#takeOne(lane, out);
    }
    return out;
  }

  /**
   * Ordinary records that come next, from one file; null when what comes next is to be had from
   * `next`, one by one.
   */
  slab(walker: RecordWalker, limit: number): Slab | null {
    const [lane, left, right] = this.#heap;
    if (lane === undefined || lane.input === null || lane.offsetNs !== 0n) return null;
    if (lane.next < lane.ahead.length) return null;
    const rivals = [left, right].flatMap((rival) => rival?.timeNs ?? []);
    const untilNs = rivals.reduce((least, time) => (time < least ? time : least), NEVER);
    // Where files take turns, few records come at a time: no more are looked at.
    const most = rivals.length === 0 ? limit : Math.min(limit, lane.run * 4);
    const slab = lane.input.walk(walker, most, untilNs);
    lane.run = Math.max(FEWEST, slab?.count ?? 0);
    if (slab === null) return null;
    const firstFrame = this.#frame + 1;
    this.#frame += slab.count;
    this.#numberAll(lane, slab);
    return { ...slab, firstFrame, isSelection: false };
  }

  /** Whether more than one file has packets left. */
  get takesTurns(): boolean {
    return this.#heap.length > 1;
  }

  /** Read on for `slab`; false when what comes next is to be had from `next`. */
  async extend(): Promise<boolean> {
    const [lane] = this.#heap;
    if (lane === undefined || lane.input === null || lane.offsetNs !== 0n) return false;
    return lane.next >= lane.ahead.length && (await lane.input.extend());
  }

  /** Number interfaces in the order in which their packets come. */
  #numberAll(lane: Lane, { columns, count, interfaces }: UnnumberedSlab): void {
    if (interfaces.every(({ id }) => id >= 0)) return;
    for (let n = 0; n < count; n++) {
      const iface = interfaces[columns.iface[n] ?? 0];
      if (iface !== undefined && iface.id < 0) this.#numberInterfaces(lane, { iface });
    }
  }

  /** The only lane left: no comparing. */
  #takeRun(lane: Lane, out: UnnumberedRecord[], limit: number): void {
    while (out.length < limit && lane.next < lane.ahead.length) this.#emit(lane, out);
  }

  #takeOne(lane: Lane, out: UnnumberedRecord[]): void {
    this.#emit(lane, out);
    const following = lane.ahead[lane.next];
    // An exhausted lane keeps its place: what follows is not earlier as far as anyone knows,
    // and it is refilled before anything else is taken.
    if (following !== undefined) {
      lane.timeNs = following.timeNs + lane.offsetNs;
      this.#sink();
    }
  }

  #emit(lane: Lane, out: UnnumberedRecord[]): void {
    const record = lane.ahead[lane.next++];
    if (record === undefined) return;
    if (record.iface.id < 0) this.#numberInterfaces(lane, record);
    record.frame = ++this.#frame;
    if (lane.offsetNs !== 0n) record.timeNs += lane.offsetNs;
    out.push(record);
  }

  #numberInterfaces(lane: Lane, record: Pick<UnnumberedRecord, 'iface'>): void {
    const { input } = lane;
    if (input === null) return;
    this.#interfaceCount = input.numberInterfaces(record, this.#interfaceCount);
    for (const iface of input.interfaces) {
      if (iface.id >= this.interfaces.length) this.interfaces.push(iface);
    }
  }

  /** Read on in the lane at the heap's top. @returns false when it ended or is not at the top. */
  async #refill(lane: Lane, readAhead: number): Promise<boolean> {
    lane.input ??= await CaptureInput.open(lane.path, this.#access);
    lane.ahead = await lane.input.next(readAhead);
    lane.next = 0;
    this.#takeNames(lane.input);
    const first = lane.ahead[0];
    if (first === undefined) return false;
    lane.timeNs = first.timeNs + lane.offsetNs;
    this.#sink();
    return this.#heap[0] === lane;
  }

  #takeNames(input: CaptureInput): void {
    const taken = this.#namesTaken.get(input) ?? 0;
    if (input.names.length === taken) return;
    for (const name of input.names.slice(taken)) {
      if (this.names.length < NAMES_MAX) this.names.push(name);
    }
    this.#namesTaken.set(input, input.names.length);
  }

  async #close(lane: Lane): Promise<void> {
    const { input } = lane;
    if (input === null) return;
    this.#summaries.set(lane.index, input.summary());
    this.#namesTaken.delete(input);
    lane.input = null;
    await input.close();
  }

  async #closeAll(): Promise<void> {
    for (const lane of this.#lanes) await this.#close(lane);
  }

  /**
   * Close what is open and settle the summaries, also of inputs that were never reached.
   *
   * @param surplus when a count ended the reading: the files of records that were handed out behind
   * the last one that counts. How those files end, nobody asked; their digests are whole.
   */
  async finish(surplus: readonly string[] | null): Promise<void> {
    for (const lane of this.#lanes) {
      if (this.#summaries.has(lane.index)) continue;
      lane.input ??= await CaptureInput.open(lane.path, this.#access);
      if (surplus === null) continue;
      const beyond = surplus.filter((file) => file === lane.path).length;
      await lane.input.breakOff(lane.ahead.length - lane.next + beyond);
    }
    await this.#closeAll();
  }

  get summaries(): readonly InputSummary[] {
    return this.#lanes.flatMap((lane) => this.#summaries.get(lane.index) ?? []);
  }

  get bytesRead(): number {
    let bytes = 0;
    for (const lane of this.#lanes) {
      bytes += lane.input?.bytes ?? this.#summaries.get(lane.index)?.bytes ?? 0;
    }
    return bytes;
  }

  #before(a: Lane, b: Lane): boolean {
    return a.timeNs < b.timeNs || (a.timeNs === b.timeNs && a.index < b.index);
  }

  #push(lane: Lane): void {
    const heap = this.#heap;
    let at = heap.push(lane) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink();
  }

  /** Restore the heap after its top's time changed. */
  #sink(): void {
    let at = 0;
    while (true) {
      const left = 2 * at + 1;
      const a = this.#heap[left];
      const b = this.#heap[left + 1];
      if (a === undefined) return;
      const child = b !== undefined && this.#before(b, a) ? left + 1 : left;
      if (!this.#swapIfBefore(child, at)) return;
      at = child;
    }
  }

  #swapIfBefore(lower: number, upper: number): boolean {
    const a = this.#heap[lower];
    const b = this.#heap[upper];
    if (a === undefined || b === undefined || !this.#before(a, b)) return false;
    this.#heap[upper] = a;
    this.#heap[lower] = b;
    return true;
  }
}
