/**
 * The version of this tool, as its package says.
 * @module
 */
import { readFileSync } from 'node:fs';

/** package.json stands three folders above the compiled file (dist/src/report). */
const manifest: unknown = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
);

export const VERSION: string =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
