/**
 * A mistake in a filter expression, with the column it starts at.
 * @module
 */
import { UserError } from '../../diagnostic/diagnostic.ts';

/** @param at index into the expression's text, from 0 */
export function filterError(
  code: 'FILTER_SYNTAX' | 'FILTER_UNSUPPORTED' | 'FILTER_VALUE' | 'FILTER_LINK_TYPE',
  at: number,
  message: string,
  detail: { readonly found?: string; readonly accepted?: string } = {},
): UserError {
  return new UserError([{ code, file: 'filter', line: 1, column: at + 1, message, ...detail }]);
}
