/**
 * Two reference engines side by side: one looks at every rule, the other finds rules by index. What
 * differs is an error: journeys with all their looks, and afterwards counters and connections. What
 * the second says it looked at may be less, never more.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import { looksAt } from '../../src/engine/compiled/decision/rule-facts.ts';
import { By } from '../../src/engine/compiled/layout.ts';
import type { Injection, Journey } from '../../src/engine/engine.ts';
import { ReferenceEngine } from '../../src/engine/reference.ts';
import type { Topology } from '../../src/engine/topology.ts';
import type { Host } from '../../src/node/host.ts';
import { LOOKS_AT_DPORT, LOOKS_AT_SPORT } from '../../src/node/rule-index/literal.ts';

export class IndexedPair {
  readonly plain: ReferenceEngine;
  readonly indexed: ReferenceEngine;
  readonly #looks = { plain: new Looks(), indexed: new Looks() };
  readonly #hosts = new Set<string>();
  packets = 0;

  /** `spoil` makes the hosts of the indexed side others than those of the plain side. */
  constructor(topology: Topology, shortestIndexed = 1, spoil = (own: Topology) => own) {
    const { plain, indexed } = this.#looks;
    const onHost = (looks: Looks) => (host: Host) => looks.watch(host);
    this.plain = new ReferenceEngine(topology, { shortestIndexed: false, onHost: onHost(plain) });
    const options = { shortestIndexed, onHost: onHost(indexed) };
    this.indexed = new ReferenceEngine(spoil(topology), options);
  }

  inject(injection: Injection): Journey {
    const { plain, indexed } = this.#looks;
    plain.begin();
    indexed.begin();
    const want = this.plain.inject(injection);
    const got = this.indexed.inject(injection);
    this.packets += 1;
    for (const host of want.hosts) this.#hosts.add(host);
    same(`packet ${this.packets}`, want, got);
    if ((indexed.bits & ~plain.bits) !== 0) {
      throw new Error(`packet ${this.packets}: looked at ${indexed.bits}, plainly ${plain.bits}`);
    }
    return want;
  }

  /** How many rules each side has looked at so far. */
  looked(): { readonly plain: number; readonly indexed: number } {
    return { plain: this.#looks.plain.count, indexed: this.#looks.indexed.count };
  }

  compareState(): void {
    for (const host of this.#hosts) {
      same(`counters of ${host}`, this.plain.counters(host), this.indexed.counters(host));
      same(`connections of ${host}`, this.plain.connections(host), this.indexed.connections(host));
    }
  }
}

/** What the walks of one engine say that they looked at. */
class Looks {
  bits = 0;
  count = 0;

  begin(): void {
    this.bits = 0;
  }

  watch(host: Host): void {
    host.counters.observer = {
      look: (rule) => {
        this.bits |= looksAt(rule);
        this.count += 1;
      },
      ports: (looks) => {
        this.bits |= looks & LOOKS_AT_SPORT ? By.sport : 0;
        this.bits |= looks & LOOKS_AT_DPORT ? By.dport : 0;
      },
      exact: (side) => {
        this.bits |= By[side];
      },
      count: () => {},
      countRun: () => {},
      policy: () => {},
      lookNft: () => {},
      countNft: () => {},
      opaque: () => {},
    };
  }
}

function same(what: string, want: unknown, got: unknown): void {
  if (isDeepStrictEqual(want, got)) return;
  const show = (value: unknown) =>
    JSON.stringify(value, (_, part) => (part instanceof Map ? Object.fromEntries(part) : part));
  throw new Error(`${what} differs\nplain   ${show(want)}\nindexed ${show(got)}`);
}
