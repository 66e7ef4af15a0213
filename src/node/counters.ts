/**
 * What the rules of one host count and remember: packets and bytes per rule and per built-in
 * policy, as `iptables-save -c` prints them (struct xt_counters), and the memory of stateful
 * matches.
 * @module
 */
import type { NftOperation, NftProgram } from '../image/nft/program.ts';
import type { LinkedChain, LinkedRule, RuleProgram } from '../image/program.ts';
import { formatRuleAddress } from '../netfilter/rule.ts';
import type { Packet } from '../packet/packet.ts';
import { emptyMemory, type RuleMemory } from './match/memory/rule-memory.ts';
import { type NftCounter, NftCounters } from './nft/counters.ts';
import { addUp, type Count, type RuleRun } from './rule-index/rule-run.ts';

/** Told which rules walks look at and what they count, so that reasons can be remembered. */
export interface RuleObserver {
  look(rule: LinkedRule): void;
  /** Ports decided of rules that nobody looked at: `LOOKS_AT_` bits of rule-index/literal.ts. */
  ports(looks: number): void;
  count(rule: LinkedRule, length: number): void;
  countRun(run: RuleRun, length: number): void;
  policy(chain: LinkedChain, length: number): void;
  /** A step of an nft rule, and the packet that it looks at. */
  lookNft(operation: NftOperation, packet: Pick<Packet, 'family' | 'protocol'>): void;
  countNft(counter: NftCounter, length: number): void;
  /** Something decided that is no rule of a program: what it looked at can not be told. */
  opaque(): void;
  /** An address itself decided, compared with no constant that the image names (`cuts`). */
  exact(side: 'source' | 'destination'): void;
}

/** Runs that wait to be counted rule by rule. */
const MOST_RUNS = 4096;

export class RuleCounters {
  /** Null but while somebody watches. */
  observer: RuleObserver | null = null;
  /** For walks outside of an engine; a host keeps its memory in its state (node/host-state.ts). */
  readonly memory: RuleMemory = emptyMemory();
  /** Of nft's own rules; null when there are none. */
  readonly nft: NftCounters | null;
  readonly #packets: Float64Array;
  readonly #bytes: Float64Array;
  /** Counted, and not yet in `#packets` and `#bytes`. */
  readonly #runs = new Map<RuleRun, Count>();
  readonly #policies = new Map<LinkedChain, { packets: number; bytes: number }>();

  constructor(program: RuleProgram, nft: NftProgram | null = null) {
    this.nft = nft === null ? null : new NftCounters(nft);
    this.#packets = new Float64Array(program.rules.length);
    this.#bytes = new Float64Array(program.rules.length);
  }

  /** Count a packet that a rule matched. `length` is skb->len: from the network header on. */
  add(rule: LinkedRule, length: number): void {
    this.observer?.count(rule, length);
    this.addMany(rule, 1, length);
  }

  /** Count a packet for all rules of a run. */
  addRun(run: RuleRun, length: number): void {
    this.observer?.countRun(run, length);
    this.addRunMany(run, 1, length);
  }

  /** As `addMany`, for all rules of a run. */
  addRunMany(run: RuleRun, packets: number, bytes: number): void {
    const known = this.#runs.get(run);
    if (known === undefined) {
      if (this.#runs.size >= MOST_RUNS) this.#settleRuns();
      this.#runs.set(run, { packets, bytes });
      return;
    }
    known.packets += packets;
    known.bytes += bytes;
  }

  #settleRuns(): void {
    if (this.#runs.size === 0) return;
    addUp(this.#runs, (rule, packets, bytes) => {
      this.#packets[rule.id] = (this.#packets[rule.id] ?? 0) + packets;
      this.#bytes[rule.id] = (this.#bytes[rule.id] ?? 0) + bytes;
    });
    this.#runs.clear();
  }

  /** Count packets of `bytes` in all, of which nobody is told. */
  addMany(rule: LinkedRule, packets: number, bytes: number): void {
    this.#packets[rule.id] = (this.#packets[rule.id] ?? 0) + packets;
    this.#bytes[rule.id] = (this.#bytes[rule.id] ?? 0) + bytes;
  }

  /** Count a packet for an nft rule, or for a named counter. */
  addNft(counter: NftCounter, length: number): void {
    this.observer?.countNft(counter, length);
    this.nft?.add(counter, length);
  }

  /** Count a packet that a built-in chain's policy decided (`:FORWARD ACCEPT [packets:bytes]`). */
  addPolicy(chain: LinkedChain, length: number): void {
    this.observer?.policy(chain, length);
    this.addPolicyMany(chain, 1, length);
  }

  addPolicyMany(chain: LinkedChain, packets: number, bytes: number): void {
    const known = this.policy(chain);
    this.#policies.set(chain, { packets: known.packets + packets, bytes: known.bytes + bytes });
  }

  policy(chain: LinkedChain): { readonly packets: number; readonly bytes: number } {
    return this.#policies.get(chain) ?? { packets: 0, bytes: 0 };
  }

  packets(rule: LinkedRule): number {
    this.#settleRuns();
    return this.#packets[rule.id] ?? 0;
  }

  bytes(rule: LinkedRule): number {
    this.#settleRuns();
    return this.#bytes[rule.id] ?? 0;
  }

  /**
   * Every rule by address text, prefixed with the family (`4 filter/FORWARD rule 1`); nft's own
   * rules by theirs (`inet fw/forward rule 1`).
   */
  snapshot(program: RuleProgram): Map<string, { packets: number; bytes: number }> {
    const own = program.rules.map(
      (rule) =>
        [
          `${rule.address.family} ${formatRuleAddress(rule.address)}`,
          { packets: this.packets(rule), bytes: this.bytes(rule) },
        ] as const,
    );
    return new Map([...own, ...(this.nft?.snapshot() ?? [])]);
  }
}
