/**
 * JSON values.
 * @module
 */

/** A value that JSON.stringify writes as it is. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };
