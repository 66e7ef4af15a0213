/**
 * The rule walk: one packet through one table, exactly as ipt_do_table does it.
 *
 *   rule holds? ── no ──► next rule ──► end of user chain: back to the jump's next rule
 *        │                              end of built-in chain: its policy
 *       yes: count, then
 *        ├─ accept, drop, REJECT, NAT ──► verdict
 *        ├─ jump: remember this place, go  ·  goto: go, remembering nothing
 *        ├─ return: as at the end of the chain
 *        └─ anything else acts on the packet and goes on
 *
 * Source: net/ipv4/netfilter/ip_tables.c `ipt_do_table` (ip6_tables.c is the same walk); compared
 * with the kernel by test/differential/kernel/walk.test.ts.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import { isAssumedDevice } from '../../image/gaps.ts';
import type { RulePart } from '../../image/image.ts';
import type { LinkedChain, LinkedRule } from '../../image/program.ts';
import { type Hook, TABLE_ORDER, type TableName } from '../../netfilter/hook.ts';
import type { RejectWith, Target } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import { completeChecksum } from '../../packet/transport-checksum.ts';
import type { DropReason, UnknownReason } from '../../wire/drop-reason.ts';
import { ask, missedHead, openDevice, protocolFault } from '../match/match.ts';
import type { ChainIndex, Leap } from '../rule-index/chain-index.ts';
import { applyCt, hasTracking } from '../target/ct.ts';
import { applyClass, applyMss, applyTtl } from '../target/header.ts';
import { type RewriteTarget, rewriteOf } from '../target/rewrite.ts';
import { applySet, type SetTarget } from '../target/set.ts';
import { applyConnmark, applyMark } from '../target/target.ts';
import { originsAlong, type Via } from './attribution.ts';
import type { DropVerdict, Origins, WalkContext, WalkVerdict } from './walk-context.ts';

const ACCEPT: WalkVerdict = { kind: 'accept', rule: null, origin: [] };

/** Run one table at one hook; a table the plan does not have accepts. */
export function runTable(
  ctx: WalkContext,
  table: TableName,
  hook: Hook,
  packet: Packet,
  legacy?: 'legacy',
): WalkVerdict {
  if (packet.family === 0) return ACCEPT;
  const entry = ctx.image.program.table(packet.family, table, legacy)?.entry.get(hook);
  return entry === undefined ? ACCEPT : new Walk(ctx, { entry, hook }, packet).run();
}

/**
 * Run several tables of one hook in order; stops at the first verdict that is not accept. Returns
 * the last accept that a rule gave, else that of the last policy.
 */
export function runHook(
  ctx: WalkContext,
  hook: Hook,
  packet: Packet,
  tables: readonly TableName[] = TABLE_ORDER[hook],
): WalkVerdict {
  let accepted = ACCEPT;
  for (const table of tables) {
    const verdict = runTable(ctx, table, hook, packet);
    if (verdict.kind !== 'accept') return verdict;
    if (verdict.rule !== null) accepted = verdict;
  }
  return accepted;
}

/** A place in a chain. `via` is the jump or goto that led to the chain. */
interface Place {
  readonly chain: LinkedChain;
  readonly index: number;
  readonly via: Via<LinkedRule> | null;
}

/** Why a rule can not be judged for a packet, and which part of it. */
interface Open {
  readonly reason: UnknownReason;
  readonly part: RulePart;
}

class Walk {
  readonly #ctx: WalkContext;
  readonly #hook: Hook;
  readonly #packet: Packet;
  readonly #stack: Place[] = [];
  #chain: LinkedChain;
  #index = 0;
  #via: Via<LinkedRule> | null = null;
  #chainIndex: ChainIndex | null;

  constructor(ctx: WalkContext, at: { entry: LinkedChain; hook: Hook }, packet: Packet) {
    this.#ctx = ctx;
    this.#chain = at.entry;
    this.#hook = at.hook;
    this.#packet = packet;
    this.#chainIndex = this.#indexOf(at.entry);
  }

  run(): WalkVerdict {
    for (;;) {
      if (this.#chainIndex !== null) this.#leap(this.#chainIndex);
      const rule = this.#chain.rules[this.#index];
      const verdict = rule === undefined ? this.#leaveChain() : this.#look(rule);
      if (verdict !== null) return verdict;
    }
  }

  /** What is written down of rules that miss is written rule by rule. */
  #indexOf(chain: LinkedChain): ChainIndex | null {
    return this.#ctx.recorder.tracing ? null : (this.#ctx.indexes?.of(chain) ?? null);
  }

  /** Go to the next rule of the chain that may do something, as if by all rules before it. */
  #leap(index: ChainIndex): void {
    const leap = index.leap(this.#ctx, this.#packet, this.#index);
    if (leap === null) this.#chainIndex = null;
    else this.#land(leap);
  }

  #land({ to, run, looks }: Leap): void {
    const { counters, recorder } = this.#ctx;
    if (looks !== 0) counters.observer?.ports(looks);
    if (run !== null) {
      counters.addRun(run, this.#packet.end - this.#packet.l3);
      recorder.matchedRun(this.#ctx, run, this.#packet);
      for (const mark of run.marks) applyMark(mark, this.#packet, mark.part);
    }
    if (to === null) {
      this.#index = this.#chain.rules.length;
      return;
    }
    for (const jump of to.path) {
      this.#index = jump.address.index;
      this.#enter(jump);
    }
    this.#index = to.rule.address.index - 1;
  }

  /** Look at one rule; null when the walk goes on. */
  #look(rule: LinkedRule): WalkVerdict | null {
    const { recorder, counters } = this.#ctx;
    this.#index += 1;
    counters.observer?.look(rule);
    const part = missedHead(rule.ip, this.#packet);
    if (part !== null) return this.#missed(rule, part);
    const fault = protocolFault(rule.ip, this.#packet);
    if (fault === 'hotdrop') return this.#hotdrop(rule, 'protocol');
    const device = openDevice(rule.ip, this.#packet);
    let open: Open | null = device === null ? null : { reason: 'dumpIncomplete', part: device };
    if (fault === 'cut') open ??= { reason: 'headerCut', part: 'protocol' };
    for (let i = 0; i < rule.matches.length; i++) {
      const answer = ask(this.#ctx, { rule, index: i }, this.#packet);
      if (answer === 'hit') continue;
      if (answer === 'miss') return this.#missed(rule, i);
      if (open === null && answer === 'hotdrop') return this.#hotdrop(rule, i);
      // A later match may still settle that the rule misses.
      open ??= { reason: OPEN_REASON[answer], part: i };
    }
    if (open !== null) return this.#undecided(rule, open);
    counters.add(rule, this.#packet.end - this.#packet.l3);
    recorder.matched(this.#ctx, rule, this.#packet);
    return this.#act(rule);
  }

  #missed(rule: LinkedRule, part: RulePart): null {
    const { recorder } = this.#ctx;
    if (recorder.tracing) recorder.missed(this.#ctx, rule, part, this.#packet);
    return null;
  }

  /** A rule that can not be judged matters only when it would have done something. */
  #undecided(rule: LinkedRule, open: Open): WalkVerdict | null {
    if (WITHOUT_EFFECT.has(rule.target.kind)) return this.#missed(rule, open.part);
    return { kind: 'unknown', ...open, rule, origin: this.#originOf(rule) };
  }

  /** The module dropped the packet itself; the rule is where, not why. */
  #hotdrop(rule: LinkedRule, part: RulePart): WalkVerdict {
    this.#missed(rule, part);
    return { kind: 'drop', reason: shortHeader(rule, part), rule, origin: [] };
  }

  #act(rule: LinkedRule): WalkVerdict | null {
    const { target } = rule;
    switch (target.kind) {
      case 'none':
      case 'log':
      case 'nflog':
      case 'trace':
      case 'audit':
      case 'classify':
        return null;
      case 'checksum':
        // Fills in what was left to a device (`checksum_tg`, `skb_checksum_help`).
        if (this.#packet.checksumOffloaded) completeChecksum(this.#packet);
        return null;
      case 'accept':
        return { kind: 'accept', rule, origin: this.#originOf(rule) };
      case 'drop':
        return this.#drop(rule);
      case 'return':
        return this.#leaveChain();
      case 'jump':
      case 'goto':
        return this.#enter(rule);
      case 'mark':
        applyMark(target, this.#packet, this.#originOf(rule));
        return null;
      case 'connmark':
        applyConnmark(this.#ctx, target, this.#packet);
        return null;
      case 'reject':
        return this.#reject(rule, target.with);
      case 'notrack':
        if (!hasTracking(this.#packet)) this.#packet.ctState = 'untracked';
        return null;
      case 'ttl':
        applyTtl(target, this.#packet);
        return null;
      case 'tos':
      case 'dscp':
        applyClass(target, this.#packet);
        return null;
      case 'tcpmss':
        return this.#clamp(rule, target);
      case 'ct':
        if (!hasTracking(this.#packet)) applyCt(target, this.#packet);
        return null;
      case 'undocumented':
        return this.#unable(rule, target.reason ?? 'undocumented');
      case 'set':
        return this.#changeSet(rule, target);
      case 'redirect':
      case 'netmap':
        return this.#rewrite(rule, target);
      case 'masquerade':
      case 'snat':
      case 'dnat':
        return { kind: target.kind, range: target.range, rule, origin: this.#originOf(rule) };
      default:
        return unreachable(target);
    }
  }

  #changeSet(rule: LinkedRule, target: SetTarget): WalkVerdict | null {
    const result = applySet(this.#ctx, rule.targetSet, target, this.#packet);
    if (result === 'cut') return this.#unable(rule, 'headerCut');
    return result === 'missing' ? this.#unable(rule, 'dumpIncomplete') : null;
  }

  /** What a target does can not be told: nothing after it can be trusted. */
  #unable(rule: LinkedRule, reason: UnknownReason): WalkVerdict {
    const part = rule.matches.length;
    return { kind: 'unknown', reason, rule, part, origin: this.#originOf(rule) };
  }

  #clamp(rule: LinkedRule, target: Extract<Target, { kind: 'tcpmss' }>): WalkVerdict | null {
    const done = applyMss(this.#ctx, target, this.#packet);
    if (done === 'drop') return { kind: 'drop', reason: 'tcpBadOffset', rule, origin: [] };
    return done ? null : this.#unable(rule, 'headerCut');
  }

  /** REDIRECT and NETMAP are translations to an address that the packet and the host give. */
  #rewrite(rule: LinkedRule, target: RewriteTarget): WalkVerdict {
    const found = rewriteOf(this.#ctx, target, this.#hook, this.#packet);
    const origin = this.#originOf(rule);
    if (found !== null) return { ...found, rule, origin };
    if (this.#ctx.image.gaps.addresses || isAssumedDevice(this.#packet.inDevice)) {
      return { kind: 'unknown', reason: 'dumpIncomplete', rule, part: rule.matches.length, origin };
    }
    return { kind: 'drop', reason: 'natExhausted', rule, origin };
  }

  #enter(rule: LinkedRule): null {
    if (rule.chain === null) return null;
    if (rule.target.kind === 'jump') {
      this.#stack.push({ chain: this.#chain, index: this.#index, via: this.#via });
    }
    this.#via = { rule, before: this.#via };
    this.#chain = rule.chain;
    this.#index = 0;
    this.#chainIndex = this.#indexOf(this.#chain);
    return null;
  }

  /** RETURN, or the end of a chain: back to the last jump, or to the built-in policy. */
  #leaveChain(): WalkVerdict | null {
    const back = this.#stack.pop();
    if (back !== undefined) {
      this.#chain = back.chain;
      this.#index = back.index;
      this.#via = back.via;
      this.#chainIndex = this.#indexOf(this.#chain);
      return null;
    }
    const entry = this.#entry();
    this.#ctx.counters.addPolicy(entry, this.#packet.end - this.#packet.l3);
    if (entry.policy !== 'drop') return ACCEPT;
    return { kind: 'drop', reason: 'chainPolicy', rule: null, origin: [] };
  }

  /** The built-in chain: gotos may have left it behind. */
  #entry(): LinkedChain {
    let via = this.#via;
    if (via === null) return this.#chain;
    while (via.before !== null) via = via.before;
    return via.rule.home;
  }

  #drop(rule: LinkedRule): WalkVerdict | null {
    const origin = this.#originOf(rule);
    const verdict: DropVerdict = {
      kind: 'drop',
      reason: dropReason(rule, origin, this.#packet),
      rule,
      origin,
    };
    return this.#ctx.forgive?.(verdict) ? null : verdict;
  }

  #reject(rule: LinkedRule, how: RejectWith): WalkVerdict | null {
    const origin = this.#originOf(rule);
    const reason = isPolicy(origin) ? 'policyDenied' : 'rejected';
    const forgiven = this.#ctx.forgive?.({ kind: 'drop', reason, rule, origin });
    return forgiven ? null : { kind: 'reject', with: how, reason, rule, origin };
  }

  /** Whom a rule's effect goes back to; see `WalkVerdict`. */
  #originOf(rule: LinkedRule): Origins {
    return originsAlong(this.#packet, rule, this.#via);
  }
}

/** Why a rule stays open when one of its matches does. */
const OPEN_REASON: Readonly<Record<'hotdrop' | 'cut' | 'unanswerable' | 'missing', UnknownReason>> =
  {
    hotdrop: 'unsupportedRule',
    cut: 'headerCut',
    unanswerable: 'unsupportedRule',
    missing: 'dumpIncomplete',
  };

/** Targets that leave packets as they are: a rule with one decides nothing. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'none',
  'log',
  'nflog',
  'trace',
  'audit',
  'classify',
  'checksum',
]);

/** Does a rule act for an object that somebody wrote, not for the platform alone? */
function isPolicy(origin: Origins): boolean {
  return origin.some((p) => p.effect !== 'platform');
}

function dropReason(rule: LinkedRule, origin: Origins, packet: Packet): DropReason {
  if (isPolicy(origin)) return 'policyDenied';
  const asksInvalid = rule.matches.some(
    ({ match }) =>
      (match.kind === 'conntrack' || match.kind === 'state') &&
      !match.negate &&
      match.states.includes('INVALID'),
  );
  return asksInvalid && packet.ctState === 'invalid' ? 'ctInvalid' : 'ruleDenied';
}

/** Which header was too short for a match that dropped the packet. */
function shortHeader(rule: LinkedRule, part: RulePart): DropReason {
  const kind = typeof part === 'number' ? rule.matches[part]?.match.kind : undefined;
  switch (kind) {
    case 'icmp':
    case 'icmp6':
      return 'icmpTruncated';
    case 'sctp':
      return 'sctpTruncated';
    case 'tcp':
      return 'tcpTruncated';
    case 'udp':
    case 'udplite':
      return 'udpTruncated';
    default:
      return part === 'protocol' ? 'ipv6BadExtension' : 'ruleDenied';
  }
}
