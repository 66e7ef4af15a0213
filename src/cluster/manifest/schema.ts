/**
 * Strict decoding: which fields an object may have, and of which type.
 *
 * As the API server does with `fieldValidation: Strict` (kubectl's default since 1.27): a field it
 * does not know is an error, with our guess at what was meant. Parts of an object that do not bear
 * on packets (volumes, probes, resources) are known by name and not looked into; `status` and other
 * parts that only machines write stay open to fields of newer versions.
 * @module
 */

import { nearest } from '../nearest.ts';
import type { FieldErrors } from './field-error.ts';
import { show } from './field-error.ts';
import type { Tree } from './tree.ts';
import { isNull } from './tree.ts';

export type Shape =
  | { readonly kind: 'string' | 'integer' | 'boolean' | 'integerOrString' | 'any' }
  | { readonly kind: 'list'; readonly of: Shape }
  /** A map with keys of the user's own. */
  | { readonly kind: 'record'; readonly of: Shape }
  | {
      readonly kind: 'object';
      readonly fields: Readonly<Record<string, Shape>>;
      readonly open: boolean;
    };

export const STRING: Shape = { kind: 'string' };
export const INTEGER: Shape = { kind: 'integer' };
export const BOOLEAN: Shape = { kind: 'boolean' };
export const INTEGER_OR_STRING: Shape = { kind: 'integerOrString' };
export const ANY: Shape = { kind: 'any' };
export const STRINGS: Shape = { kind: 'list', of: STRING };
export const STRING_MAP: Shape = { kind: 'record', of: STRING };

export function list(of: Shape): Shape {
  return { kind: 'list', of };
}

/** A closed object; `known` lists, space separated, fields whose content is not looked into. */
export function object(fields: Readonly<Record<string, Shape>>, known = ''): Shape {
  const opaque = known.split(' ').filter((name) => name !== '');
  return {
    kind: 'object',
    fields: { ...Object.fromEntries(opaque.map((name) => [name, ANY])), ...fields },
    open: false,
  };
}

/** An object that machines write: types of what we read are checked, the rest may be there. */
export function openObject(fields: Readonly<Record<string, Shape>>): Shape {
  return { kind: 'object', fields, open: true };
}

const INT32 = 2 ** 31;

/** Check `tree` against `shape`; null stands for an absent value everywhere. */
export function checkShape(errors: FieldErrors, shape: Shape, tree: Tree, path: string): void {
  if (isNull(tree) || shape.kind === 'any') return;
  switch (shape.kind) {
    case 'list':
      if (tree.kind !== 'list') {
        wrongType(errors, tree, path, 'a list');
        return;
      }
      tree.items.forEach((item, i) => {
        checkShape(errors, shape.of, item, `${path}[${i}]`);
      });
      return;
    case 'record':
      if (tree.kind !== 'map') {
        wrongType(errors, tree, path, 'a map');
        return;
      }
      for (const [key, entry] of tree.entries) {
        checkShape(errors, shape.of, entry.value, `${path}[${key}]`);
      }
      return;
    case 'object':
      checkObject(errors, shape, tree, path);
      return;
    default:
      checkScalar(errors, shape.kind, tree, path);
      return;
  }
}

function checkObject(
  errors: FieldErrors,
  shape: Extract<Shape, { kind: 'object' }>,
  tree: Tree,
  path: string,
): void {
  if (tree.kind !== 'map') {
    wrongType(errors, tree, path, 'a map');
    return;
  }
  for (const [key, entry] of tree.entries) {
    const field = path === '' ? key : `${path}.${key}`;
    const inner = Object.hasOwn(shape.fields, key) ? shape.fields[key] : undefined;
    if (inner) {
      checkShape(errors, inner, entry.value, field);
    } else if (!shape.open) {
      const guess = nearest(key, Object.keys(shape.fields));
      errors.push({
        code: 'UNKNOWN_FIELD',
        type: 'UnknownField',
        field,
        detail: `unknown field "${field}"${guess === null ? '' : `, did you mean "${guess}"?`}`,
        at: entry.value,
        keyAt: entry.keyAt,
      });
    }
  }
}

function checkScalar(
  errors: FieldErrors,
  kind: 'string' | 'integer' | 'boolean' | 'integerOrString',
  tree: Tree,
  path: string,
): void {
  const value = tree.kind === 'scalar' ? tree.value : undefined;
  const type = typeof value;
  if (kind === 'string' && type !== 'string') {
    const unquoted = type === 'boolean' || type === 'number';
    wrongType(errors, tree, path, 'a string', unquoted ? ' (put it in quotes)' : '');
    return;
  }
  if (kind === 'boolean' && type !== 'boolean') {
    wrongType(errors, tree, path, 'true or false');
    return;
  }
  if (kind === 'integerOrString' && type === 'string') return;
  if (kind === 'integer' || kind === 'integerOrString') {
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      const want = kind === 'integer' ? 'a whole number' : 'a whole number or a string';
      const hint = typeof value === 'string' && /^\d+$/.test(value) ? ' (without quotes)' : '';
      wrongType(errors, tree, path, want, hint);
      return;
    }
    if (value >= INT32 || value < -INT32) wrongType(errors, tree, path, 'a 32-bit number');
  }
}

function wrongType(errors: FieldErrors, at: Tree, field: string, want: string, hint = ''): void {
  errors.push({
    code: 'FIELD_TYPE',
    type: 'FieldTypeInvalid',
    field,
    detail: `must be ${want}${hint}`,
    at,
    found: show(at),
  });
}
