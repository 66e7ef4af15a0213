/**
 * What goes to standard error: notes and failures. Data never does.
 * @module
 */
import pc from 'picocolors';

/** Colour only on a terminal, and never when NO_COLOR asks for none. */
const colour = pc.createColors(process.stderr.isTTY === true && !process.env['NO_COLOR']);

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function warn(text: string): void {
  process.stderr.write(`${colour.yellow('warning:')} ${text}\n`);
}

export function fail(text: string): void {
  if (text !== '') process.stderr.write(`${colour.red('error:')} ${text}`);
}
