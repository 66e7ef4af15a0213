/**
 * What one walk of the reference engine looked at and counted on every host that it crossed: the
 * reasons of its path.
 * @module
 */
import type { LinkedChain, LinkedRule } from '../../../image/program.ts';
import type { RuleObserver } from '../../../node/counters.ts';
import type { Host } from '../../../node/host.ts';
import type { NftCounter } from '../../../node/nft/counters.ts';
import { LOOKS_AT_DPORT, LOOKS_AT_SPORT } from '../../../node/rule-index/literal.ts';
import type { RuleRun } from '../../../node/rule-index/rule-run.ts';
import { By } from '../layout.ts';
import { operationLooksAt } from './nft-facts.ts';
import { actsOn, looksAt, OPAQUE, raisesTtl } from './rule-facts.ts';

/** What counted the packet: a rule, a run of them, a built-in chain's policy, something of nft. */
export interface Counted {
  readonly host: Host;
  readonly rule: LinkedRule | null;
  readonly run: RuleRun | null;
  readonly chain: LinkedChain | null;
  readonly nft: NftCounter | null;
}

export class Recording {
  /** `By` bits, `OPAQUE` and `SPECIAL`. */
  facts = 0;
  ttlRoom = 0;
  counted: Counted[] = [];
  /** Length that every count was of; -1 when they differed. */
  length = 0;
  /** A host learned a MAC or a neighbour meanwhile. */
  learned = false;
  #isOn = false;

  begin(): void {
    this.facts = 0;
    this.ttlRoom = 0;
    this.counted = [];
    this.length = 0;
    this.learned = false;
    this.#isOn = true;
  }

  end(): void {
    this.#isOn = false;
  }

  /** Watch the rules of a host, whenever a recording is on. */
  observerOf(host: Host): RuleObserver {
    const known = new Int16Array(host.image.program.rules.length).fill(-1);
    return {
      look: (rule) => {
        if (!this.#isOn) return;
        let bits = known[rule.id] ?? -1;
        if (bits < 0) {
          bits = looksAt(rule);
          known[rule.id] = bits;
        }
        this.facts |= bits;
      },
      count: (rule, length) => {
        if (!this.#isOn) return;
        const raised = raisesTtl(rule);
        if (raised === null) this.facts |= OPAQUE;
        else this.ttlRoom += raised;
        this.facts |= actsOn(rule);
        this.#count({ host, rule, run: null, chain: null, nft: null }, length);
      },
      ports: (looks) => {
        if (!this.#isOn) return;
        this.facts |= looks & LOOKS_AT_SPORT ? By.sport : 0;
        this.facts |= looks & LOOKS_AT_DPORT ? By.dport : 0;
      },
      // Nothing but counters changes on such a run.
      countRun: (run, length) => {
        if (this.#isOn) this.#count({ host, rule: null, run, chain: null, nft: null }, length);
      },
      policy: (chain, length) => {
        if (this.#isOn) this.#count({ host, rule: null, run: null, chain, nft: null }, length);
      },
      lookNft: (operation, packet) => {
        if (this.#isOn) this.facts |= operationLooksAt(operation, packet);
      },
      countNft: (counter, length) => {
        if (this.#isOn)
          this.#count({ host, rule: null, run: null, chain: null, nft: counter }, length);
      },
      opaque: () => {
        this.facts |= OPAQUE;
      },
      exact: (side) => {
        this.facts |= By[side];
      },
    };
  }

  #count(counted: Counted, length: number): void {
    this.length = this.counted.length === 0 || this.length === length ? length : -1;
    this.counted.push(counted);
  }
}
