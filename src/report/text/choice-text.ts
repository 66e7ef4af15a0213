/**
 * Translations and choices in words: what a connection's ends became, and how many of its ways are
 * open.
 * @module
 */
import type { Choice, HeaderEnds, Verdict } from '../../lab/result.ts';

/** `10.1.0.4:40000 > 10.1.0.7:8080`; nothing where nothing was translated. */
export function formatTranslated(ends: HeaderEnds | null): string | null {
  if (ends === null) return null;
  const end = (address: string, port: number | null) => {
    if (port === null) return address;
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  };
  return `${end(ends.src, ends.sport)} > ${end(ends.dst, ends.dport)}`;
}

/** `2 of 4 allowed`, and whether the capture shows which one was taken. */
export function formatChoice(choice: Choice | null): string | null {
  if (choice === null) return null;
  const { of, allowed, by, complete } = choice;
  const more = complete ? '' : ' tried';
  return `${allowed} of ${of}${more} allowed${by === 'captured' ? ', captured' : ''}`;
}

/** `depends (2 of 4)`: a verdict that hangs on a choice says on how much of it. */
export function formatVerdict(verdict: Verdict, choice: Choice | null): string {
  if (verdict !== 'depends' || choice === null) return verdict;
  return `depends (${choice.allowed} of ${choice.of})`;
}
