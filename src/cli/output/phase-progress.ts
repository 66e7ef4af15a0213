/**
 * What a long run is at, on one line of standard error, only when that is a terminal.
 * @module
 */

const EVERY_MS = 1000;
const CLEAR_LINE = '\u001b[2K\r';

/** Says each phase and how far it is, at most once a second; `done` takes the line away again. */
export function phaseProgress(quiet: boolean): {
  readonly at: (phase: string, done: number, of: number) => void;
  readonly done: () => void;
} {
  if (quiet || process.stderr.isTTY !== true) return { at: () => {}, done: () => {} };
  let saidMs = Date.now();
  let isShown = false;
  return {
    at: (phase, done, of) => {
      if (Date.now() - saidMs < EVERY_MS) return;
      saidMs = Date.now();
      isShown = true;
      process.stderr.write(`${CLEAR_LINE}${phase}: ${done} of ${of}`);
    },
    done: () => {
      if (isShown) process.stderr.write(CLEAR_LINE);
    },
  };
}
