/**
 * JSON Schema (2020-12) in few words: what a field holds, which fields an object always has.
 *
 * Objects are open: a shape under `wiretrial/v1` grows, and whoever validates a result of a newer
 * version must not fail for a field that is new. Fields that an object always has are required,
 * also where they are null: a null says that there is nothing, an absent field that nobody looked.
 * @module
 */

/** One schema, or a part of one. */
export type Schema = Readonly<Record<string, unknown>>;

type Fields = Readonly<Record<string, Schema>>;

export const TEXT: Schema = { type: 'string' };
export const FLAG: Schema = { type: 'boolean' };
export const NUMBER: Schema = { type: 'number' };
export const COUNT: Schema = { type: 'integer', minimum: 0 };
export const PORT: Schema = { type: 'integer', minimum: 0, maximum: 65_535 };

/** An object with fields that it always has, and fields that it may have. */
export function object(always: Fields, sometimes: Fields = {}): Schema {
  const properties = { ...always, ...sometimes };
  return { type: 'object', required: Object.keys(always), properties };
}

/** An object whose names are not known beforehand. */
export function map(values: Schema): Schema {
  return { type: 'object', additionalProperties: values };
}

export function list(items: Schema): Schema {
  return { type: 'array', items };
}

export function oneOf(words: readonly string[]): Schema {
  return { enum: words };
}

/** That, or null. */
export function orNull(schema: Schema): Schema {
  const { enum: words, type } = schema;
  if (Array.isArray(words)) return { ...schema, enum: [...words, null] };
  if (typeof type === 'string') return { ...schema, type: [type, 'null'] };
  return { anyOf: [schema, { type: 'null' }] };
}

export function said(description: string, schema: Schema): Schema {
  return { ...schema, description };
}
