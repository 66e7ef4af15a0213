/**
 * Observed trials as text, so that another process can put them to another engine.
 * @module
 */
import type { Observed } from './compare.ts';

/** Maps and bytes do not survive JSON by themselves. */
export function writeObserved(all: readonly Observed[]): string {
  return JSON.stringify(all, (_key, value: unknown) => {
    if (value instanceof Map) return { map: [...value] };
    if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString('hex') };
    return value;
  });
}

export function readObserved(text: string): readonly Observed[] {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const { map, hex } = value as { map?: [unknown, unknown][]; hex?: string };
    if (map !== undefined) return new Map(map);
    return hex === undefined ? value : Uint8Array.from(Buffer.from(hex, 'hex'));
  }) as readonly Observed[];
}
