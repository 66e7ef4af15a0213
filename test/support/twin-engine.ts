/**
 * Both engines side by side: every packet goes to each, and whatever differs is an error that names
 * packet and fields. Law P3: compiled = reference in outcome, reason, deciding rule, bytes out,
 * connection table and counters. What is walked is walked by rule on one side, by index on the other.
 * @module
 */
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { CompiledEngine, type CompiledOptions } from '../../src/engine/compiled.ts';
import type {
  ConnectionView,
  Courses,
  Engine,
  Injection,
  Journey,
  SharedMemory,
} from '../../src/engine/engine.ts';
import type { MakeEngine } from '../../src/engine/make-engine.ts';
import { ReferenceEngine, type ReferenceOptions } from '../../src/engine/reference.ts';
import type { Topology } from '../../src/engine/topology.ts';
import { isSameValue } from './same-value.ts';

/** Sizes of the compiled engine's tables. */
export type TwinSizes = NonNullable<CompiledOptions['sizes']>;

/** Far more than trials open at once; tables of the usual size are mostly cleared memory. */
const TWIN_SIZES: TwinSizes = { connections: 32_768 };

/** Thrown at the first packet on which the engines differ. */
export class EnginesDiffer extends Error {}

export class TwinEngine implements Engine {
  readonly name = 'compiled';
  readonly reference: ReferenceEngine;
  readonly compiled: CompiledEngine;
  readonly hosts = new Set<string>();
  packets = 0;

  constructor(
    topology: Topology,
    options: ReferenceOptions & Pick<CompiledOptions, 'sizes' | 'classes'> = {},
  ) {
    const found = findNative();
    if (found.addon === null) throw new Error(found.reason);
    const { seed, drawn, sizes, classes, shortestIndexed } = options;
    const common = {
      ...(seed === undefined ? {} : { seed }),
      ...(drawn === undefined ? {} : { drawn }),
    };
    // One looks at every rule; the other finds those of long chains by index.
    this.reference = new ReferenceEngine(topology, { ...common, shortestIndexed: false });
    const compiled = {
      ...common,
      ...(shortestIndexed === undefined ? {} : { shortestIndexed }),
      addon: found.addon,
      sizes: { ...TWIN_SIZES, ...sizes },
      ...(classes ? { classes } : {}),
    };
    this.compiled = new CompiledEngine(topology, compiled);
  }

  inject(injection: Injection): Journey {
    return this.#both(injection, (engine) => engine.inject(injection));
  }

  assumeOpen(injection: Injection): Journey {
    return this.#both(injection, (engine) => engine.assumeOpen(injection));
  }

  courses(opening: Injection, answer: (forward: Journey) => Injection | null): Courses {
    const want = this.reference.courses(opening, answer);
    const got = this.compiled.courses(opening, answer);
    compare('courses', want, got, opening);
    return want;
  }

  connections(host: string): readonly ConnectionView[] {
    const want = this.reference.connections(host);
    compare(`connections of ${host}`, want, this.compiled.connections(host), null);
    return want;
  }

  counters(
    host: string,
  ): ReadonlyMap<string, { readonly packets: number; readonly bytes: number }> {
    const want = this.reference.counters(host);
    compare(`counters of ${host}`, want, this.compiled.counters(host), null);
    return want;
  }

  sharedMemory(): readonly SharedMemory[] {
    return this.reference.sharedMemory();
  }

  /** Compare the connection tables and counters of every host that a packet crossed. */
  compareState(): void {
    for (const host of this.hosts) {
      this.connections(host);
      this.counters(host);
    }
  }

  #both(injection: Injection, run: (engine: Engine) => Journey): Journey {
    const want = run(this.reference);
    const got = run(this.compiled);
    this.packets += 1;
    for (const host of want.hosts) this.hosts.add(host);
    compare(`packet ${this.packets}`, want, got, injection);
    return want;
  }
}

function compare(what: string, want: unknown, got: unknown, injection: Injection | null): void {
  if (isSameValue(want, got)) return;
  const about = injection === null ? '' : ` of ${show(injection)}`;
  throw new EnginesDiffer(`${what}${about}\nreference ${show(want)}\ncompiled  ${show(got)}`);
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, part) => {
    if (part instanceof Uint8Array) return Buffer.from(part).toString('hex');
    return part instanceof Map ? Object.fromEntries(part) : part;
  });
}

/** For `WorldInput.makeEngine`; `made` is told of each. */
export function twins(made: (twin: TwinEngine) => void, sizes?: TwinSizes): MakeEngine {
  return (topology, options) => {
    const twin = new TwinEngine(topology, sizes ? { ...options, sizes } : options);
    made(twin);
    return twin;
  };
}
