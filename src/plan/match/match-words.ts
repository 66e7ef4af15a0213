/**
 * The small pieces of which the tools build an option's text.
 *
 * Source: iptables 1.8.9, libxtables/xtables.c `xtables_save_string`, `xtables_print_val_mask`;
 * extensions/libxt_tcp.c `tcp_flag_names`.
 * @module
 */
import type { Negatable, PortRange } from '../../netfilter/match.ts';

/** Join the parts that are there with single spaces. */
export function words(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter((part) => part !== false && part !== undefined && part !== '').join(' ');
}

/** `! ` in front of an option that is inverted. */
export function negated(part: { readonly negate: boolean }): string {
  return part.negate ? '! ' : '';
}

/** One option with its value, with its `!`; nothing when the part is absent. */
export function option<T>(
  name: string,
  part: Negatable<T> | undefined,
  format: (value: T) => string,
): string | undefined {
  if (part === undefined) return undefined;
  return words(`${negated(part)}${name}`, format(part.value));
}

/** `PORT` or `LOW:HIGH`. */
export function formatPortRange(range: PortRange): string {
  return range.low === range.high ? `${range.low}` : `${range.low}:${range.high}`;
}

/** `0xVALUE/0xMASK`; a full mask is not written (xtables_fmt_mark). */
export function formatMasked(part: { readonly value: number; readonly mask: number }): string {
  return part.mask === 0xffffffff ? hex(part.value) : `${hex(part.value)}/${hex(part.mask)}`;
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** Text as `xtables_save_string` writes it: bare when it is safe, else quoted and escaped. */
export function quoteText(text: string): string {
  if (/^[-_0-9A-Za-z]+$/.test(text)) return text;
  return `"${text.replace(/["\\']/g, '\\$&')}"`;
}

/** The members that are present, in the order of the vocabulary, separated by commas. */
export function inOrder<T extends string>(all: readonly T[], present: readonly T[]): string {
  return all.filter((one) => present.includes(one)).join(',');
}

/** Bits of the TCP flags byte in the order in which libxt_tcp names them. */
export const TCP_FLAGS: readonly (readonly [string, number])[] = [
  ['FIN', 0x01],
  ['SYN', 0x02],
  ['RST', 0x04],
  ['PSH', 0x08],
  ['ACK', 0x10],
  ['URG', 0x20],
];
