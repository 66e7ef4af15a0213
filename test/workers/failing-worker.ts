/**
 * Workers that do not do their work, for pool-failures.test.ts: each ends in another way.
 * @module
 */
import { threadId } from 'node:worker_threads';
import type { ShareOutcome } from '../../src/workers/job.ts';
import type { Task } from '../../src/workers/worker.ts';

/** The seed of the job says how. */
export async function judgeShare({ job, worker }: Task): Promise<ShareOutcome> {
  if (worker > 0) return new Promise(() => {});
  switch (job.seed) {
    case 1:
      return process.exit(3);
    case 5:
      return new Promise(() => {});
    case 2:
      throw new Error(`thrown in thread ${threadId > 0}`);
    default: {
      const diagnostics = [{ code: 'CAPTURE_GONE', message: 'the capture went away' }];
      return { ok: false, fault: 'input', diagnostics, message: 'the capture went away' };
    }
  }
}

/** A thread of the first pass that is lost. */
export async function lookAtShare(): Promise<never> {
  throw new Error('it was lost');
}
