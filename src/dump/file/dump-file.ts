/**
 * The files of one node's dump: read from a folder, kept as text.
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../diagnostic/diagnostic.ts';

/** One file of a dump; `path` is what messages name. */
export interface DumpFile {
  readonly path: string;
  readonly text: string;
}

/** Larger files are no text that one of the commands prints on a node. */
const MAX_BYTES = 256 << 20;

/** Read all files of a folder (not of its sub-folders), sorted by name. */
export function readDumpFolder(folder: string): readonly DumpFile[] {
  try {
    const names = readdirSync(folder).toSorted();
    const paths = names.map((name) => join(folder, name));
    return paths.flatMap((path) => {
      const found = statSync(path);
      if (!found.isFile() || found.size > MAX_BYTES) return [];
      return [{ path, text: readFileSync(path, 'utf8') }];
    });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new UserError([{ code: 'DUMP_UNREADABLE', file: folder, message }], 'input', cause);
  }
}
