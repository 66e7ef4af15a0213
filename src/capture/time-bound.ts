/**
 * `--since` and `--until`: a moment (RFC 3339, to the nanosecond) or a span before the end of the
 * capture, as `kubectl logs --since-time` and `--since` take them. The end stands where kubectl has
 * "now": the latest timestamp of the whole input.
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';

export type TimeBound =
  | { readonly kind: 'at'; readonly timeNs: bigint }
  | { readonly kind: 'beforeEnd'; readonly spanNs: bigint };

const RFC3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))$/;
const SPAN = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/;
const UNIT_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const NS_PER_MS = 1_000_000n;

/**
 * Parse a bound.
 *
 * @param option how the user wrote it (`--since`), for the message
 * Throws a UserError (exit 2) when it is neither form.
 */
export function parseTimeBound(text: string, option: string): TimeBound {
  const timeNs = parseMoment(text);
  if (timeNs !== null) return { kind: 'at', timeNs };
  if (SPAN.test(text)) return { kind: 'beforeEnd', spanNs: parseSpan(text) };
  const mistake: Diagnostic = {
    code: 'TIME_BOUND',
    field: option,
    message: 'neither a moment nor a span',
    found: JSON.stringify(text),
    accepted: '2024-05-01T12:00:00.5Z, 2024-05-01T14:00:00+02:00, or a span as 90s, 5m, 1h30m',
  };
  throw new UserError([mistake]);
}

function parseMoment(text: string): bigint | null {
  const m = RFC3339.exec(text);
  if (m === null) return null;
  const [year, month, day, hour, minute, second] = m.slice(1, 7).map(Number);
  const moment = new Date(0);
  moment.setUTCFullYear(year ?? 0, (month ?? 0) - 1, day);
  moment.setUTCHours(hour ?? 0, minute ?? 0, second ?? 0);
  const same =
    moment.getUTCMonth() + 1 === month &&
    moment.getUTCDate() === day &&
    moment.getUTCHours() === hour &&
    moment.getUTCMinutes() === minute &&
    moment.getUTCSeconds() === second;
  if (!same) return null;
  const offsetMinutes = Number(m[10] ?? 0) * 60 + Number(m[11] ?? 0);
  const shift = BigInt(offsetMinutes * 60_000) * (m[9] === '-' ? 1n : -1n);
  const fraction = BigInt((m[7] ?? '').padEnd(9, '0'));
  return (BigInt(moment.getTime()) + shift) * NS_PER_MS + fraction;
}

function parseSpan(text: string): bigint {
  let total = 0n;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    const unitNs = BigInt(UNIT_NS[unit ?? ''] ?? 0);
    const [whole = '0', fraction = ''] = (amount ?? '').split('.');
    const digits = fraction.slice(0, 18);
    total += BigInt(whole) * unitNs;
    if (digits !== '') total += (BigInt(digits) * unitNs) / 10n ** BigInt(digits.length);
  }
  return total;
}
