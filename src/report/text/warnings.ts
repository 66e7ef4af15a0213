/**
 * Warnings as people see them: a few of each kind. A thousand policies that nothing enforces are
 * one thing to know; JSON has every one of them.
 * @module
 */
import { type Diagnostic, formatDiagnostic } from '../../diagnostic/diagnostic.ts';

/** Warnings of one code that are shown. */
const SHOWN = 5;

/** A sentence each, in their order; behind the last shown of a code, how many more there are. */
export function shownWarnings(warnings: readonly Diagnostic[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { code } of warnings) counts.set(code, (counts.get(code) ?? 0) + 1);
  const met = new Map<string, number>();
  return warnings.flatMap((warning) => {
    const { code } = warning;
    const place = (met.get(code) ?? 0) + 1;
    met.set(code, place);
    const more = (counts.get(code) ?? 0) - SHOWN;
    // One more takes no more room than the sentence that there is one.
    if (place <= SHOWN || more === 1) return [formatDiagnostic(warning)];
    return place === SHOWN + 1 ? [`and ${more} more, -o json has all [${code}]`] : [];
  });
}
