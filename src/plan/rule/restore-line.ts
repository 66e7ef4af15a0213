/**
 * One line of an iptables-restore or ipset file, cut into words as the tools cut it.
 *
 * Source: iptables 1.8.9, iptables/xshared.c `add_param_to_argv`: words are separated by blanks;
 * double quotes (never single ones) keep blanks; within them a backslash takes the next character
 * as it is; a closing quote ends the word, even when more text follows.
 * @module
 */

/** A word of the line; a quoted `!` is a value, never an inversion. */
export interface Word {
  readonly text: string;
  readonly quoted: boolean;
}

/** Cut a line; `null` when a quote is left open. */
export function splitWords(line: string): Word[] | null {
  const found: Word[] = [];
  let text = '';
  let inQuotes = false;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (inQuotes && c === '\\') {
      i++;
      text += line.charAt(i);
    } else if (c === '"') {
      if (inQuotes) {
        found.push({ text, quoted: true });
        text = '';
      }
      inQuotes = !inQuotes;
      quoted = inQuotes;
    } else if (!inQuotes && (c === ' ' || c === '\t')) {
      if (text !== '') found.push({ text, quoted });
      text = '';
    } else {
      text += c;
    }
  }
  if (inQuotes) return null;
  if (text !== '') found.push({ text, quoted });
  return found;
}
