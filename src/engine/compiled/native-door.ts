/**
 * The compiled engine's addon: where it is found, and what crosses the door.
 *
 * Found by `WIRETRIAL_NATIVE` (a path), else among the builds of this package. None is a supported
 * answer: the reference engine serves alone then.
 * @module
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MakeNativeLanes } from './lane-door.ts';
import { LAYOUT_VERSION } from './layout.ts';

/** How large its tables are; nothing grows afterwards. */
export interface NativeSizes {
  readonly connections: number;
  readonly decisions: number;
  /** IPv6 addresses that may be met. */
  readonly addresses: number;
  readonly hosts: number;
  readonly hostSets: number;
}

/** Packets to move, by column. Results are numbers of decisions. */
export interface NativeBatch {
  readonly packets: Uint8Array;
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  readonly entries: Uint32Array;
  readonly times: Float64Array;
  readonly offloaded: Uint8Array;
  readonly results: Int32Array;
  /** Where packets are written as they end: a ring of places of `stride` bytes; or nowhere. */
  readonly out: Uint8Array | null;
  readonly stride: number;
  /** By number of decision: whether packets that it moves may be passed over; absent: all may. */
  readonly good?: Uint8Array;
}

/** Methods as native/src/addon.cc has them; tuples and connections cross in the scratch. */
export interface NativeEngine {
  /** The decision that the packet followed, or why it was not moved (`Slow`). */
  step(entry: number, packet: Uint8Array, nowNs: number, offloaded: boolean): number;
  /** Move packets from `from` on; the first that was not moved, or not by a good one, or `to`. */
  run(batch: NativeBatch, from: number, to: number): number;
  /** Whether the packet that was last not moved has facts that a decision can be hung on. */
  isPlain(): boolean;
  /** Remember the scratch's decision for the packet last not moved; -1 when there is no room. */
  decide(): number;
  /** The same of one that no key leads to. */
  decideSpecial(): number;
  /** The decision at which a packet was handed over as `Slow.specialOpening`. */
  special(): number;
  /**
   * Move such a packet, the last that was not moved, by a decision that no key leads to: opens the
   * scratch's names. False, with nothing changed, when it is not to be moved so.
   */
  openSpecial(decision: number, packet: Uint8Array, nowNs: number, offloaded: boolean): boolean;
  kill(decision: number): void;
  /** Packets since the last call; they and their bytes are the scratch's first two words. */
  takeCounts(decision: number): number;
  clearDecisions(): void;
  /** Show the tables of classes, read in place until the next call: `classArrays`. */
  useClasses(tables: readonly (Uint32Array | Uint16Array)[]): void;
  /** By number of a translated connection's addresses, that of their classes; 0 is not known. */
  useEnds(classes: Uint32Array): void;
  /** `connections` more are held elsewhere on this host, of the scratch's tuple. */
  mark(host: number, connections: number): void;
  unmark(host: number, connections: number): void;
  recall(nowNs: number): boolean;
  /** Give the scratch's connection to the addon; false when it is not all that there is of it. */
  put(): boolean;
  /** The next place from this one on that holds a connection, which the scratch then describes. */
  next(place: number): number;
  /**
   * The same, of connections that some host knows by a tuple with the source of the scratch's: the
   * first of them, or the next behind the one told last; in no order.
   */
  nextFrom(isFirst: boolean): number;
  /** Let a packet that was moved in a batch be the one that was moved last. */
  meet(packet: Uint8Array, offloaded: boolean): void;
  /** Whether the connection of the packet moved last is held there; the scratch describes it. */
  namesOfLast(): boolean;
  setHost(host: number, max: number): void;
  /**
   * Two settings, the same twice where all hosts of the set have one; `knownBy` says how many of
   * the hosts know the connection by each of its names.
   */
  setHostSet(
    set: number,
    settings: number,
    other: number,
    hosts: readonly number[],
    knownBy: readonly number[],
  ): void;
  setSettings(index: number): void;
  /** Forget connections whose time is up; how many. */
  expire(nowNs: number): number;
  held(host: number): number;
  nextOrder(): number;
  statistics(): void;
}

/** Packets to give verdicts on, by column: see native/src/engine/verdicts.hh. */
export interface VerdictBatch {
  /** IPv4 addresses as numbers. */
  readonly src: Uint32Array;
  readonly dst: Uint32Array;
  /** The source port, and the destination port 16 bits higher. */
  readonly ports: Uint32Array;
  /** The protocol, and where the packet enters (`entryOf`) 8 bits higher. */
  readonly kinds: Uint32Array;
  readonly results: Int32Array;
}

export interface NativeVerdicts {
  useClasses(tables: readonly (Uint32Array | Uint16Array)[]): void;
  /** Keys hold these facts (`By`) too from now on; all numbers are forgotten. */
  lookAt(by: number): void;
  /** What was found for one packet of a batch. */
  set(batch: VerdictBatch, index: number, number: number): void;
  /** Fill in results; the first packet of whose classes nothing is known, or `to`. */
  run(batch: VerdictBatch, from: number, to: number, path: number): number;
  /** Ways that this processor can go (`VerdictPath`), the best last. */
  paths(): readonly number[];
}

export interface NativeAddon {
  readonly layoutVersion: number;
  /** Whether native code can read a flat image of classes (image/classes/flat.ts) in place. */
  isImage(words: Uint32Array): boolean;
  readonly Lanes: MakeNativeLanes;
  readonly Verdicts: new (capacity: number) => NativeVerdicts;
  readonly Engine: new (sizes: NativeSizes, scratch: Float64Array, out: Uint8Array) => NativeEngine;
}

/** The addon, or why there is none. */
export type NativeFound =
  | { readonly addon: NativeAddon; readonly path: string }
  | { readonly addon: null; readonly reason: string };

let found: NativeFound | null = null;

/** Look for the addon; once a process. */
export function findNative(): NativeFound {
  found ??= look();
  return found;
}

function look(): NativeFound {
  const given = process.env['WIRETRIAL_NATIVE'];
  const paths = given === undefined ? builds() : [given];
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    const where = given === undefined ? 'it was never built' : `there is no ${given}`;
    return { addon: null, reason: `${where}; build:native makes it` };
  }
  let addon: NativeAddon;
  try {
    addon = createRequire(import.meta.url)(path) as NativeAddon;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { addon: null, reason: `${path} does not load: ${why}` };
  }
  if (addon.layoutVersion !== LAYOUT_VERSION) {
    const versions = `version ${addon.layoutVersion}, not ${LAYOUT_VERSION}`;
    return { addon: null, reason: `${path} is ${versions}; build:native renews it` };
  }
  return { addon, path };
}

const NAME = 'wiretrial.node';

/** Where a build may be: beside the package's manifest, above this file. */
function builds(): readonly string[] {
  const places: string[] = [];
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (existsSync(join(at, 'package.json'))) {
      const native = join(at, 'native');
      const platform = `${process.platform}-${process.arch}.node`;
      places.push(join(native, 'prebuilds', platform));
      places.push(join(native, 'build', 'Debug', NAME), join(native, 'build', 'Release', NAME));
    }
    if (dirname(at) === at) return places;
  }
}
