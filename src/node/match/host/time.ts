/**
 * xt_time: the time of day, the date, the days of month and week at which a packet comes.
 *
 * Source: net/netfilter/xt_time.c `time_mt` (Linux 6.18). Only an injection that says when it is
 * can be asked; the kernel's time zone is nobody's but the host's.
 * @module
 */
import type { FurtherMatch } from '../../../netfilter/further-match.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import { type Answer, answer } from '../answer.ts';

type TimeMatch = Extract<FurtherMatch, { kind: 'time' }>;

const DAY_S = 86_400;
const WEEK = 7;
/** The first of January 1970 was a Thursday, the fourth day. */
const FIRST_WEEK_DAY = 4;

export function matchTime(ctx: WalkContext, match: TimeMatch): Answer {
  if (ctx.utcSeconds === undefined || match.kernelZone) return 'unanswerable';
  return answer(timeHolds(match, ctx.utcSeconds));
}

function timeHolds(match: TimeMatch, now: number): boolean {
  const { dateStart, dateStop, dayStart, dayStop, monthDays, weekDays, contiguous } = match;
  if (now < dateStart || now > dateStop) return false;
  const second = now % DAY_S;
  const crossesMidnight = dayStart >= dayStop;
  if (!crossesMidnight && (second < dayStart || second > dayStop)) return false;
  if (crossesMidnight && second < dayStart && second > dayStop) return false;
  // After midnight, the day counts that the span began on.
  const counted = crossesMidnight && contiguous && second <= dayStop ? now - DAY_S : now;
  const day = Math.floor(counted / DAY_S);
  if (weekDays && !weekDays.includes(((FIRST_WEEK_DAY + day - 1) % WEEK) + 1)) return false;
  return !monthDays || monthDays.includes(new Date(counted * 1000).getUTCDate());
}
