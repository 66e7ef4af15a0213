/**
 * Complaints about fields, in the API server's categories and words
 * (apimachinery pkg/util/validation/field/errors.go), and how they become diagnostics.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { Tree } from './tree.ts';
import { placeAt, placeOf } from './tree.ts';

/** The API server's error types, and two of strict decoding. */
export type FieldErrorType =
  | 'FieldValueInvalid'
  | 'FieldValueRequired'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueDuplicate'
  | 'UnknownField'
  | 'FieldTypeInvalid';

export interface FieldError {
  /** Stable, for scripts: `POLICY_PORT_RANGE`. */
  readonly code: string;
  readonly type: FieldErrorType;
  /** As the API server writes it: `spec.ingress[0].ports[1].endPort`. */
  readonly field: string;
  /** The API server's detail; may be empty where the type says it all. */
  readonly detail: string;
  /** Where to point: the value, or its nearest parent when the value is missing. */
  readonly at: Tree;
  /** Offset of the key, for complaints about the key itself. */
  readonly keyAt?: number;
  readonly found?: string;
  readonly accepted?: string;
}

/** Collects the complaints about one object. */
export class FieldErrors {
  readonly all: FieldError[] = [];

  /** A wrong value; `accepted` says which would do. */
  invalid(code: string, at: Tree, field: string, detail: string, accepted?: string): void {
    this.push({ code, type: 'FieldValueInvalid', field, detail, at, found: show(at) }, accepted);
  }

  /** A wrong value that is not a node of its own: a map's key, or a computed text. */
  invalidText(code: string, at: Tree, field: string, found: string, detail: string): void {
    this.all.push({ code, type: 'FieldValueInvalid', field, detail, at, found });
  }

  required(code: string, parent: Tree, field: string, detail = ''): void {
    this.all.push({ code, type: 'FieldValueRequired', field, detail, at: parent });
  }

  forbidden(code: string, at: Tree, field: string, detail: string): void {
    this.all.push({ code, type: 'FieldValueForbidden', field, detail, at, found: show(at) });
  }

  duplicate(code: string, at: Tree, field: string): void {
    this.all.push({ code, type: 'FieldValueDuplicate', field, detail: '', at, found: show(at) });
  }

  notSupported(code: string, at: Tree, field: string, supported: readonly string[]): void {
    const list = supported.map((s) => JSON.stringify(s)).join(', ');
    const detail = `supported values: ${list}`;
    this.push(
      { code, type: 'FieldValueNotSupported', field, detail, at, found: show(at) },
      supported.join(', '),
    );
  }

  push(error: FieldError, accepted?: string): void {
    this.all.push(accepted === undefined ? error : { ...error, accepted });
  }
}

/** A value for a message: short, on one line. */
export function show(tree: Tree): string {
  if (tree.kind === 'scalar') return JSON.stringify(tree.value);
  return tree.kind === 'map' ? 'a map' : `a list of ${tree.items.length}`;
}

/** The diagnostic of a field error in `object` (`shop/NetworkPolicy/deny-all`). */
export function toDiagnostic(error: FieldError, object: string): Diagnostic {
  const place =
    error.keyAt === undefined ? placeOf(error.at) : placeAt(error.at.source, error.keyAt);
  return {
    code: error.code,
    ...place,
    object,
    field: error.field,
    message: messageOf(error),
    ...(error.found === undefined ? {} : { found: error.found }),
    ...(error.accepted === undefined ? {} : { accepted: error.accepted }),
  };
}

function messageOf(error: FieldError): string {
  switch (error.type) {
    case 'FieldValueRequired':
      return error.detail === '' ? 'required value' : `required value: ${error.detail}`;
    case 'FieldValueNotSupported':
      return 'unsupported value';
    case 'FieldValueDuplicate':
      return 'duplicate value';
    default:
      return error.detail;
  }
}
