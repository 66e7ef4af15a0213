/**
 * `-l`: label selectors as kubectl reads them (apimachinery pkg/labels/selector.go):
 * `a=b`, `a==b`, `a!=b`, `a in (x,y)`, `a notin (x,y)`, `a`, `!a`; commas join them with and.
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import type { LabelExpression } from '../policy/model.ts';

const KEY = '[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?';
const VALUE = '(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?';
const EQUALITY = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*(${VALUE})$`);
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const PRESENCE = new RegExp(`^(!?)\\s*(${KEY})$`);

/** Read a selector; every requirement that can not be read is reported. */
export function parseLabelSelector(text: string): readonly LabelExpression[] {
  const mistakes: Diagnostic[] = [];
  const found = splitRequirements(text).flatMap((part) => {
    const expression = parseRequirement(part);
    if (expression !== null) return [expression];
    mistakes.push({
      code: 'SELECTOR_SYNTAX',
      field: '-l',
      message: 'the label selector can not be read',
      found: part === '' ? 'nothing' : part,
      accepted: 'a=b, a!=b, a in (x,y), a notin (x,y), a, !a; several separated by commas',
    });
    return [];
  });
  if (mistakes.length > 0) throw new UserError(mistakes);
  return found;
}

/** Split at commas that stand in no parentheses. */
function splitRequirements(text: string): readonly string[] {
  return text.split(/,(?![^(]*\))/).map((part) => part.trim());
}

function parseRequirement(part: string): LabelExpression | null {
  const equality = EQUALITY.exec(part);
  if (equality) {
    const [, key = '', operator, value = ''] = equality;
    return { key, operator: operator === '!=' ? 'NotIn' : 'In', values: [value] };
  }
  const set = SET.exec(part);
  if (set) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    return { key, operator: operator === 'in' ? 'In' : 'NotIn', values };
  }
  const presence = PRESENCE.exec(part);
  if (!presence) return null;
  const [, not, key = ''] = presence;
  return { key, operator: not === '!' ? 'DoesNotExist' : 'Exists', values: [] };
}
