/**
 * Text and reading of xt_time.
 *
 * Source: iptables 1.8.9, extensions/libxt_time.c `time_parse_*`, `time_save`. Dates are UTC, as
 * iptables-save prints them.
 * @module
 */
import { type FurtherMatch, WEEK_DAYS } from '../../netfilter/further-match.ts';
import type { Match } from '../../netfilter/match.ts';
import { type Extension, OptionFault, optional, whole } from '../rule/option-reader.ts';
import { words } from './match-words.ts';

type TimeMatch = Extract<FurtherMatch, { kind: 'time' }>;

const LAST_SECOND = 86_399;
/** INT_MAX: what the tool writes when no end is given. */
const NO_END = 0x7fffffff;

export function formatTime(match: TimeMatch): string {
  const allDay = match.dayStart === 0 && match.dayStop === LAST_SECOND;
  return words(
    '-m time',
    !allDay && `--timestart ${clock(match.dayStart)} --timestop ${clock(match.dayStop)}`,
    match.monthDays && `--monthdays ${match.monthDays.join(',')}`,
    match.weekDays && `--weekdays ${match.weekDays.map((day) => WEEK_DAYS[day - 1]).join(',')}`,
    match.dateStart !== 0 && `--datestart ${date(match.dateStart)}`,
    `--datestop ${date(match.dateStop)}`,
    match.kernelZone && '--kerneltz',
    match.contiguous && '--contiguous',
  );
}

function clock(second: number): string {
  const parts = [Math.floor(second / 3600), Math.floor(second / 60) % 60, second % 60];
  return parts.map((n) => String(n).padStart(2, '0')).join(':');
}

function date(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19);
}

export const time: Extension<Match> = {
  options: [
    { name: '--timestart', values: 1 },
    { name: '--timestop', values: 1 },
    { name: '--datestart', values: 1 },
    { name: '--datestop', values: 1 },
    { name: '--monthdays', values: 1, negatable: true },
    { name: '--weekdays', values: 1, negatable: true },
    { name: '--kerneltz', values: 0 },
    { name: '--utc', values: 0 },
    { name: '--contiguous', values: 0 },
  ],
  read(given) {
    const dayStart = given.one('--timestart', second)?.value ?? 0;
    const dayStop = given.one('--timestop', second)?.value ?? LAST_SECOND;
    const contiguous = given.has('--contiguous');
    if (contiguous && dayStart < dayStop) {
      throw new OptionFault('--contiguous goes with a time of day that crosses midnight only');
    }
    return {
      kind: 'time',
      dateStart: given.one('--datestart', dateOf)?.value ?? 0,
      dateStop: given.one('--datestop', dateOf)?.value ?? NO_END,
      dayStart,
      dayStop,
      ...optional('monthDays', chosen(given.one('--monthdays', daysOf(whole(1, 31))), 31)),
      ...optional('weekDays', chosen(given.one('--weekdays', daysOf(weekDay)), 7)),
      contiguous,
      kernelZone: given.has('--kerneltz'),
    };
  },
};

/** `!` stands for all other days; all days are no condition. */
function chosen(
  part: { readonly value: readonly number[]; readonly negate: boolean } | undefined,
  last: number,
): readonly number[] | undefined {
  if (part === undefined) return undefined;
  const all = Array.from({ length: last }, (_, i) => i + 1);
  const days = all.filter((day) => part.value.includes(day) !== part.negate);
  return days.length === last ? undefined : days;
}

function daysOf(read: (text: string) => number): (text: string) => readonly number[] {
  return (text) => text.split(',').map(read);
}

/** By number, or by the first two letters. */
function weekDay(text: string): number {
  if (/^\d+$/.test(text)) return whole(1, 7)(text);
  const day = WEEK_DAYS.findIndex((name) => name.slice(0, 2) === text.slice(0, 2));
  if (day < 0) throw new OptionFault('not a day of the week', text, WEEK_DAYS.join(', '));
  return day + 1;
}

/** `HH:MM[:SS]`. */
function second(text: string): number {
  const m = /^(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?$/.exec(text);
  const [hour, minute, rest] = [Number(m?.[1]), Number(m?.[2]), Number(m?.[3] ?? 0)];
  if (!m || hour > 23 || minute > 59 || rest > 59) {
    throw new OptionFault('a time of day was expected', text, 'HH:MM[:SS]');
  }
  return hour * 3600 + minute * 60 + rest;
}

/** `YYYY[-MM[-DD[Thh[:mm[:ss]]]]]`. */
function dateOf(text: string): number {
  const form = /^(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:T(\d\d?)(?::(\d\d?)(?::(\d\d?))?)?)?)?)?$/;
  const m = form.exec(text);
  const n = (at: number, otherwise: number) => Number(m?.[at] ?? otherwise);
  const at = Date.UTC(n(1, 0), n(2, 1) - 1, n(3, 1), n(4, 0), n(5, 0), n(6, 0)) / 1000;
  if (!m || at < 0 || at > 0xffffffff) {
    throw new OptionFault('a date was expected', text, '1970 to 2106, YYYY-MM-DDThh:mm:ss');
  }
  return at;
}
