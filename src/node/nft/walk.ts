/**
 * The walk of one packet through one base chain of nft, exactly as nft_do_chain does it.
 *
 *   statement holds? ── no ──► next rule ──► end of a chain: back behind the jump
 *        │                                   end of the base chain: its policy
 *       yes: next statement; a verdict:
 *        ├─ accept: done with this base chain, not with the hook  ·  drop: done
 *        ├─ jump: remember the next rule, go  ·  goto: go, remembering nothing
 *        ├─ return: as at the end of the chain
 *        └─ continue: next rule
 *
 * Source: net/netfilter/nf_tables_core.c `nft_do_chain`, nft_lookup.c, nft_dynset.c
 * `nft_dynset_eval`, nft_nat.c `nft_nat_eval` (Linux 6.18); compared with the kernel by
 * test/differential/kernel/nft.test.ts.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import { endOf, isAlive, keyText, type LiveElements } from '../../image/nft/lookup-set.ts';
import type {
  NftLinkedChain,
  NftLinkedRule,
  NftLinkedVerdict,
  NftLoad,
  NftOperation,
  NftTest,
} from '../../image/nft/program.ts';
import type { Hook } from '../../netfilter/hook.ts';
import type { RejectWith } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import type { DropReason, UnknownReason } from '../../wire/drop-reason.ts';
import { originsAlong, type Via } from '../hook/attribution.ts';
import type { Origins, WalkContext } from '../hook/walk-context.ts';
import { connectionOf } from '../match/host/conntrack.ts';
import { memoryOf } from '../match/memory/rule-memory.ts';
import { hasTracking } from '../target/ct.ts';
import { applyMark } from '../target/target.ts';
import { load, type Reading } from './load.ts';
import { limitHolds, liveElements, metersHold, momentOf, quotaHolds } from './memory.ts';
import { type Loaded, writePayload } from './payload.ts';
import { rejectWith } from './reject.ts';
import { fromSource } from './source.ts';
import { type NatChoice, natChoice } from './translation.ts';

type Openness = Exclude<Loaded, bigint | 'break'>;

/** What a base chain did with the packet. `rule` is the one that decided; null for the policy. */
export type NftVerdict =
  | { readonly kind: 'accept'; readonly rule: NftLinkedRule | null; readonly origin: Origins }
  | {
      readonly kind: 'drop';
      readonly reason: DropReason;
      readonly rule: NftLinkedRule | null;
      readonly origin: Origins;
    }
  | {
      readonly kind: 'reject';
      readonly with: RejectWith;
      readonly reason: DropReason;
      readonly rule: NftLinkedRule;
      readonly origin: Origins;
    }
  | {
      readonly kind: 'nat';
      readonly choice: NatChoice;
      readonly rule: NftLinkedRule;
      readonly origin: Origins;
    }
  | {
      readonly kind: 'unknown';
      readonly reason: UnknownReason;
      readonly rule: NftLinkedRule;
      readonly origin: Origins;
    };

/** What looks at rules go to. */
export interface NftRecorder {
  readonly tracing: boolean;
  matchedNft(ctx: WalkContext, rule: NftLinkedRule): void;
  missedNft(ctx: WalkContext, rule: NftLinkedRule, operation: number): void;
}

/** Run one base chain. */
export function runChain(
  ctx: WalkContext,
  at: { readonly chain: NftLinkedChain; readonly hook: Hook; readonly recorder: NftRecorder },
  packet: Packet,
): NftVerdict {
  return new NftWalk(ctx, at, packet).run();
}

/** A place in a chain, and the rules that led there. */
interface Place {
  readonly chain: NftLinkedChain;
  readonly index: number;
  readonly via: Via<NftLinkedRule> | null;
}

/** How a statement ended: on to the next, on to the next rule, or with a verdict. */
type Step = 'next' | 'break' | 'rule' | NftVerdict | NftLinkedVerdict | { readonly open: Openness };

const OPEN_REASON: Readonly<Record<Openness, UnknownReason>> = {
  cut: 'headerCut',
  missing: 'dumpIncomplete',
  unanswerable: 'unsupportedRule',
};

class NftWalk {
  readonly #ctx: WalkContext;
  readonly #hook: Hook;
  readonly #recorder: NftRecorder;
  readonly #packet: Packet;
  readonly #base: NftLinkedChain;
  readonly #stack: Place[] = [];
  #chain: NftLinkedChain;
  #index = 0;
  #via: Via<NftLinkedRule> | null = null;

  constructor(
    ctx: WalkContext,
    at: { chain: NftLinkedChain; hook: Hook; recorder: NftRecorder },
    packet: Packet,
  ) {
    this.#ctx = ctx;
    this.#hook = at.hook;
    this.#recorder = at.recorder;
    this.#base = at.chain;
    this.#chain = at.chain;
    this.#packet = packet;
  }

  run(): NftVerdict {
    for (;;) {
      const rule = this.#chain.rules[this.#index];
      const verdict = rule === undefined ? this.#leaveChain() : this.#rule(rule);
      if (verdict !== null) return verdict;
    }
  }

  /** One rule; null when the walk goes on. */
  #rule(rule: NftLinkedRule): NftVerdict | null {
    this.#index += 1;
    const { operations, counterAt } = rule;
    for (const [at, operation] of operations.entries()) {
      if (at === counterAt) this.#ctx.counters.addNft(rule, this.#length);
      const step = this.#operation(operation, rule);
      if (step === 'next') continue;
      if (step === 'break') return this.#missed(rule, at);
      if (typeof step === 'object' && 'open' in step) return this.#open(rule, at, step.open);
      this.#matched(rule);
      return step === 'rule' ? null : this.#decide(rule, step);
    }
    this.#matched(rule);
    return null;
  }

  get #length(): number {
    return this.#packet.end - this.#packet.l3;
  }

  #matched(rule: NftLinkedRule): void {
    this.#recorder.matchedNft(this.#ctx, rule);
  }

  #missed(rule: NftLinkedRule, operation: number): null {
    if (this.#recorder.tracing) this.#recorder.missedNft(this.#ctx, rule, operation);
    return null;
  }

  /** A test that nobody can answer matters only when no later one misses and something follows. */
  #open(rule: NftLinkedRule, at: number, open: Openness): NftVerdict | null {
    for (const later of rule.operations.slice(at + 1)) {
      if (later.kind === 'counter' || later.kind === 'nothing') continue;
      if (later.kind !== 'test' && later.kind !== 'lookup') {
        const origin = this.#originOf(rule);
        return { kind: 'unknown', reason: OPEN_REASON[open], rule, origin };
      }
      if (this.#operation(later, rule) === 'break') return this.#missed(rule, at);
    }
    return this.#missed(rule, at);
  }

  #reading(): Reading {
    return {
      ctx: this.#ctx,
      memory: memoryOf(this.#ctx).nft,
      hook: this.#hook,
      packet: this.#packet,
    };
  }

  #operation(operation: NftOperation, rule: NftLinkedRule): Step {
    this.#ctx.counters.observer?.lookNft(operation, this.#packet);
    const { memory } = this.#reading();
    const moment = { nowNs: this.#ctx.nowNs, length: this.#length };
    switch (operation.kind) {
      case 'test':
        return this.#test(operation);
      case 'lookup':
        return this.#lookup(operation);
      case 'vmap':
        return this.#vmap(operation);
      case 'verdict':
        return operation.verdict;
      case 'counter':
        if (operation.object !== null) {
          this.#ctx.counters.addNft(operation.object, this.#length);
        }
        return 'next';
      case 'limit':
        return holds(limitHolds(memory, operation.key, operation.limit, moment));
      case 'quota':
        return holds(quotaHolds(memory, operation.key, operation.quota, this.#length));
      case 'mark':
        return this.#mark(operation, rule);
      case 'write': {
        const values = fromSource(this.#reading(), operation.source);
        if (typeof values === 'string') return values === 'break' ? 'break' : { open: values };
        writePayload(operation.at, this.#packet, values[0]?.[0] ?? 0n);
        return 'next';
      }
      case 'nat':
      case 'masquerade':
      case 'redirect':
        return this.#translate(operation, rule);
      case 'reject':
        return this.#reject(operation, rule);
      case 'notrack':
        this.#untrack();
        return 'next';
      case 'nothing':
        return 'next';
      case 'update':
        return this.#update(operation);
      default:
        return unreachable(operation);
    }
  }

  /** The values of loads, or why there are none. */
  #load(loads: readonly NftLoad[]): readonly bigint[] | 'break' | Openness {
    const reading = this.#reading();
    const values: bigint[] = [];
    let open: Openness | null = null;
    for (const one of loads) {
      const value = load(reading, one);
      if (value === 'break') return 'break';
      if (typeof value === 'bigint') values.push(value);
      else open ??= value;
    }
    return open ?? values;
  }

  #test(operation: Extract<NftOperation, { kind: 'test' }>): Step {
    const values = this.#load(operation.loads);
    if (typeof values === 'string') return values === 'break' ? 'break' : { open: values };
    const all = operation.tests.every((test, i) => testHolds(test, values[i] ?? 0n));
    return holds(all !== operation.negate);
  }

  #lookup(operation: Extract<NftOperation, { kind: 'lookup' }>): Step {
    const values = this.#load(operation.loads);
    if (typeof values === 'string') return values === 'break' ? 'break' : { open: values };
    const { memory } = this.#reading();
    const { nowNs } = this.#ctx;
    const found = operation.set.find(values, momentOf(memory, nowNs));
    if ((found !== null) === operation.negate) return 'break';
    if (found === null) return 'next';
    const name = `${operation.set.id} ${found.name}`;
    return holds(metersHold(memory, name, found.meters, { nowNs, length: this.#length }));
  }

  #vmap(operation: Extract<NftOperation, { kind: 'vmap' }>): Step {
    const values = this.#load(operation.loads);
    if (typeof values === 'string') return values === 'break' ? 'break' : { open: values };
    const found = operation.set.find(values, momentOf(this.#reading().memory, this.#ctx.nowNs));
    return found?.verdict ?? 'break';
  }

  #mark(operation: Extract<NftOperation, { kind: 'mark' }>, rule: NftLinkedRule): Step {
    const values = fromSource(this.#reading(), operation.source);
    if (typeof values === 'string') return values === 'break' ? 'break' : { open: values };
    const mark = Number(values[0]?.[0] ?? 0n) >>> 0;
    if (operation.of === 'packet') {
      const changed = (this.#packet.mark ^ mark) >>> 0;
      const value = (mark & changed) >>> 0;
      applyMark({ value, mask: changed }, this.#packet, this.#originOf(rule));
      return 'next';
    }
    const connection = connectionOf(this.#packet);
    if (connection !== null) this.#ctx.connections.setMark(connection, mark);
    return 'next';
  }

  #translate(
    operation: Extract<NftOperation, { kind: 'nat' | 'masquerade' | 'redirect' }>,
    rule: NftLinkedRule,
  ): Step {
    const choice = natChoice(this.#reading(), operation);
    if (choice === 'next' || choice === 'break') return choice;
    if (typeof choice === 'string') return { open: choice };
    return { kind: 'nat', choice, rule, origin: this.#originOf(rule) };
  }

  #reject({ code }: Extract<NftOperation, { kind: 'reject' }>, rule: NftLinkedRule): Step {
    const origin = this.#originOf(rule);
    const reason = isPolicy(origin) ? 'policyDenied' : 'rejected';
    const how = rejectWith(code, this.#packet);
    return { kind: 'reject', with: how, reason, rule, origin };
  }

  /** An invalid packet, too, has no connection (`nft_notrack_eval`). */
  #untrack(): void {
    const isInvalid = this.#packet.ctState === 'invalid' && this.#packet.connection === null;
    if (isInvalid || !hasTracking(this.#packet)) this.#packet.ctState = 'untracked';
  }

  #update(operation: Extract<NftOperation, { kind: 'update' }>): Step {
    const values = this.#load(operation.loads);
    if (typeof values === 'string') return values === 'break' ? 'break' : { open: values };
    const { memory } = this.#reading();
    const { nowNs } = this.#ctx;
    const { set } = operation;
    const live = liveElements(memory, set);
    const name = keyText(values);
    const known = live.get(name);
    const isThere = known !== undefined && isAlive(known.untilNs, nowNs);
    if (operation.operation === 'delete') {
      // It lies there, dead, until the kernel sweeps.
      if (isThere) live.set(name, { ...known, untilNs: nowNs });
      return 'next';
    }
    const meters = operation.meters.length > 0 ? operation.meters : set.meters;
    if (isThere) {
      if (operation.operation === 'update' && known.untilNs !== null) {
        const life = operation.timeoutMs ?? set.lifeMs(known);
        live.set(name, { ...known, untilNs: endOf(nowNs, life) });
      }
    } else {
      const data = operation.data === null ? null : fromSource(this.#reading(), operation.data);
      if (typeof data === 'string') return data === 'break' ? 'break' : { open: data };
      const room = roomIn(live, set.size, nowNs);
      if (room !== 'yes') return room === 'no' ? 'break' : { open: 'unanswerable' };
      const untilNs = endOf(nowNs, operation.timeoutMs ?? set.timeoutMs);
      live.set(name, { untilNs, data, given: null });
      // What it measures starts anew.
      for (const i of meters.keys()) memory.buckets.delete(`${set.id} ${name} ${i}`);
      for (const i of meters.keys()) memory.quotas.delete(`${set.id} ${name} ${i}`);
    }
    const moment = { nowNs, length: this.#length };
    return holds(metersHold(memory, `${set.id} ${name}`, meters, moment));
  }

  #decide(rule: NftLinkedRule, verdict: NftVerdict | NftLinkedVerdict): NftVerdict | null {
    switch (verdict.kind) {
      case 'accept':
        return { kind: 'accept', rule, origin: this.#originOf(rule) };
      case 'drop':
        return 'reason' in verdict ? verdict : this.#drop(rule);
      case 'reject':
      case 'nat':
      case 'unknown':
        return verdict;
      case 'continue':
        return null;
      case 'return':
        return this.#leaveChain();
      case 'jump':
      case 'goto':
        if (verdict.kind === 'jump') {
          this.#stack.push({ chain: this.#chain, index: this.#index, via: this.#via });
        }
        this.#via = { rule, before: this.#via };
        this.#chain = verdict.chain;
        this.#index = 0;
        return null;
    }
  }

  #drop(rule: NftLinkedRule): NftVerdict {
    const origin = this.#originOf(rule);
    const reason = isPolicy(origin) ? 'policyDenied' : 'ruleDenied';
    return { kind: 'drop', reason, rule, origin };
  }

  #leaveChain(): NftVerdict | null {
    const back = this.#stack.pop();
    if (back !== undefined) {
      this.#chain = back.chain;
      this.#index = back.index;
      this.#via = back.via;
      return null;
    }
    if (this.#base.base?.policy !== 'drop') return { kind: 'accept', rule: null, origin: [] };
    return { kind: 'drop', reason: 'chainPolicy', rule: null, origin: [] };
  }

  /** Whom a rule's effect goes back to: its own origin, that of its marks, of its jumps. */
  #originOf(rule: NftLinkedRule): Origins {
    return originsAlong(this.#packet, rule, this.#via);
  }
}

function holds(is: boolean): Step {
  return is ? 'next' : 'break';
}

function testHolds(test: NftTest, value: bigint): boolean {
  switch (test.kind) {
    case 'bounds':
      return value >= test.low && value <= test.high;
    case 'any':
      return (value & test.bits) !== 0n;
    case 'order':
      switch (test.operator) {
        case '<':
          return value < test.value;
        case '<=':
          return value <= test.value;
        case '>':
          return value > test.value;
        case '>=':
          return value >= test.value;
        case '==':
          return value === test.value;
        case '!=':
          return value !== test.value;
      }
  }
}

/**
 * Dead elements take room until they are swept, by default every second; three are surely enough.
 * Source: net/netfilter/nft_set_hash.c `nft_rhash_gc`, nft_dynset.c `nft_dynset_new`.
 */
const SWEPT_NS = 3e9;

/** Is there room for one more element? `open` when that depends on the moment of the last sweep. */
function roomIn(live: LiveElements, size: number | null, nowNs: number): 'yes' | 'no' | 'open' {
  if (size === null || live.size < size) return 'yes';
  let alive = 0;
  let dead = 0;
  for (const [name, { untilNs }] of live) {
    if (isAlive(untilNs, nowNs)) alive += 1;
    else if (untilNs !== null && nowNs - untilNs < SWEPT_NS) dead += 1;
    else live.delete(name);
  }
  if (alive >= size) return 'no';
  return alive + dead < size ? 'yes' : 'open';
}

function isPolicy(origin: Origins): boolean {
  return origin.some((one) => one.effect !== 'platform');
}
