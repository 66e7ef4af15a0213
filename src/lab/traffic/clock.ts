/**
 * The run's clock: the largest capture time so far over the whole input (SEMANTICS A11), so that
 * timers do not depend on how files interleave. Nothing in a result reads any other clock.
 * @module
 */

/** The longest conntrack timeout (established TCP): silence beyond it forgets every connection. */
const LONGEST_TIMEOUT_NS = 432_000e9;

export class Clock {
  /** Nanoseconds from the first frame; a double, exact to 104 days and to 32 ns within years. */
  nowNs = 0;
  /** Frames whose time is before the clock. */
  backwardSteps = 0;
  /** Silences longer than every connection timeout. */
  longGaps = 0;
  #startNs: bigint | null = null;

  /** The time of the first frame; null before there is one. */
  get startNs(): bigint | null {
    return this.#startNs;
  }

  /** Go on from where somebody else moved it to. */
  resume({ nowNs, backwardSteps }: Pick<Clock, 'nowNs' | 'backwardSteps'>): void {
    this.nowNs = nowNs;
    this.backwardSteps = backwardSteps;
  }

  /** Move on to a frame's time; a time in the past leaves the clock where it is. */
  advance(timeNs: bigint): number {
    this.#startNs ??= timeNs;
    const at = Number(timeNs - this.#startNs);
    if (at < this.nowNs) {
      this.backwardSteps++;
      return this.nowNs;
    }
    if (at - this.nowNs > LONGEST_TIMEOUT_NS) this.longGaps++;
    this.nowNs = at;
    return at;
  }
}
