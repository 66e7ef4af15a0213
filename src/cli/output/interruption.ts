/**
 * Ctrl-C and SIGTERM: the run ends at the next batch and prints what it has.
 * @module
 */
import { setImmediate } from 'node:timers/promises';
import { ExitCode } from '../exit-code.ts';

export class Interruption {
  /** 0 while nobody interrupted, then the exit code that says who did. */
  code = 0;
  readonly #onInterrupt = () => {
    this.code = ExitCode.interrupted;
  };
  readonly #onTerminate = () => {
    this.code = ExitCode.terminated;
  };

  constructor() {
    process.once('SIGINT', this.#onInterrupt);
    process.once('SIGTERM', this.#onTerminate);
  }

  /** Let the process hear of signals: packets already in memory keep it busy otherwise. */
  async listen(): Promise<void> {
    await setImmediate();
  }

  stop(): void {
    process.off('SIGINT', this.#onInterrupt);
    process.off('SIGTERM', this.#onTerminate);
  }
}
