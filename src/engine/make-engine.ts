/**
 * Which engine serves: `reference`, `compiled`, or `auto`: the compiled one where its addon is, the
 * reference engine where it is not.
 * @module
 */
import { UserError } from '../diagnostic/diagnostic.ts';
import { findNative } from './compiled/native-door.ts';
import { sizesFor } from './compiled/table-sizes.ts';
import { CompiledEngine } from './compiled.ts';
import type { Engine } from './engine.ts';
import { ReferenceEngine } from './reference.ts';
import type { Topology } from './topology.ts';

export const ENGINE_KINDS = ['auto', 'compiled', 'reference'] as const;
export type EngineKind = (typeof ENGINE_KINDS)[number];

export interface EngineOptions {
  readonly seed: number;
}

export type MakeEngine = (topology: Topology, options: EngineOptions) => Engine;

export const referenceEngine: MakeEngine = (topology, options) =>
  new ReferenceEngine(topology, options);

/** What `auto` comes to here, and why, for whoever tells the user. */
export interface ChosenEngine {
  readonly make: MakeEngine;
  readonly name: Engine['name'];
  /** Why the reference engine serves although the compiled one was wanted; null when it does. */
  readonly missing: string | null;
}

/**
 * Choose an engine.
 * @param maxConnections that the compiled engine's tables have room for; absent: its default
 * @throws UserError when the compiled engine was asked for by name and its addon is missing
 */
export function chooseEngine(kind: EngineKind, maxConnections?: number): ChosenEngine {
  const found = kind === 'reference' ? null : findNative();
  if (found?.addon) {
    const { addon } = found;
    const tables = maxConnections === undefined ? {} : { sizes: sizesFor(maxConnections) };
    const make: MakeEngine = (topology, options) =>
      new CompiledEngine(topology, { ...options, ...tables, addon });
    return { make, name: 'compiled', missing: null };
  }
  const missing = found === null ? null : found.reason;
  if (kind === 'compiled') {
    const message = `the compiled engine is not there: ${missing}`;
    throw new UserError([{ code: 'ENGINE_MISSING', message }], 'input');
  }
  return { make: referenceEngine, name: 'reference', missing };
}

/** Packets for whose connections there was no room in tables of a fixed size, over all engines. */
export function tableFull(engines: readonly Engine[]): number {
  const compiled = engines.filter((engine) => engine instanceof CompiledEngine);
  return compiled.reduce((sum, engine) => sum + engine.statistics().tableFull, 0);
}
