/**
 * Where the external suites and data lie, when they lie beside the checkout.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The path inside the shared folder, or `null` when this machine has none. */
export function sharedPath(path: string): string | null {
  const full = join(process.cwd(), '..', 'shared', path);
  return existsSync(full) ? full : null;
}
