/**
 * Observed trials as text, one a line, so that another process can put them to another engine and
 * reads no more of them than it needs.
 * @module
 */
import type { Observed } from './compare.ts';

export function writeObserved(all: readonly Observed[]): string {
  return all.map(writeOne).join('\n');
}

/** Maps and bytes do not survive JSON by themselves. */
function writeOne(observed: Observed): string {
  return JSON.stringify(observed, (_key, value: unknown) => {
    if (value instanceof Map) return { map: [...value] };
    if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString('hex') };
    return value;
  });
}

/** The trials of a text, read one by one as they are asked for. */
export function* readObserved(text: string): Generator<Observed> {
  for (const line of text.split('\n')) if (line !== '') yield readOne(line);
}

function readOne(text: string): Observed {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const { map, hex } = value as { map?: [unknown, unknown][]; hex?: string };
    if (map !== undefined) return new Map(map);
    return hex === undefined ? value : Uint8Array.from(Buffer.from(hex, 'hex'));
  }) as Observed;
}
