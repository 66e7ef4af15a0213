/**
 * A flat image of classes, verified by both who read it: JavaScript as it makes its tables, and
 * native code, which follows it in place.
 * @module
 */
import { InternalError } from '../../diagnostic/diagnostic.ts';
import { ClassTables } from '../../image/classes/class-tables.ts';
import { thaw } from '../../image/classes/flat.ts';
import type { NativeAddon } from './native-door.ts';

/**
 * The tables of an image; empty ones where there is none.
 * @throws UserError when it is not whole
 */
export function classTables(
  addon: Pick<NativeAddon, 'isImage'>,
  image: SharedArrayBuffer | undefined,
): ClassTables {
  if (image === undefined) return new ClassTables();
  const tables = thaw(image);
  if (addon.isImage(new Uint32Array(image))) return tables;
  throw new InternalError('native code can not read an image of classes that is whole');
}
