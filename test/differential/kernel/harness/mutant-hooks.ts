/**
 * Module hooks (node:module `load`) that change one text of one module.
 * @module
 */
import { MUTANTS } from './mutants.ts';

interface Loaded {
  readonly source?: string | Uint8Array;
}

const mutant = MUTANTS[Number(process.env['WIRETRIAL_MUTANT'] ?? -1)];

export async function load(
  url: string,
  context: object,
  next: (url: string, context: object) => Promise<Loaded>,
): Promise<Loaded> {
  const loaded = await next(url, context);
  if (mutant === undefined || !url.endsWith(`/src/${mutant.file}.js`)) return loaded;
  const text = String(Buffer.from(loaded.source as Uint8Array));
  if (text.split(mutant.find).length !== 2) {
    throw new Error(`${mutant.file} does not have once: ${mutant.find}`);
  }
  return { ...loaded, source: text.replace(mutant.find, () => mutant.plant) };
}
