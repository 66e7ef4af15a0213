/**
 * `--only TEXT`: which of the things to measure are meant.
 * @module
 */

/**
 * Those whose name has `text` in it, in whatever case.
 *
 * @throws Error with all names when there is none: nothing measured must not look like all is well
 */
export function onlyNamed<T>(all: readonly T[], text: string, nameOf: (one: T) => string): T[] {
  const wanted = text.toLowerCase();
  const chosen = all.filter((one) => nameOf(one).toLowerCase().includes(wanted));
  if (chosen.length > 0) return chosen;
  throw new Error(`--only ${text}: none of\n  ${all.map(nameOf).join('\n  ')}`);
}
