/**
 * What is written down while packets cross hosts: steps, the rules that decided, and how each copy
 * ended. A trail branches where one packet becomes several (bridge flood, fragments); the way of a
 * copy is the steps of all its ancestors and its own.
 * @module
 */
import { assert } from '../diagnostic/diagnostic.ts';
import type { Hook } from '../netfilter/hook.ts';
import type { Provenance, RuleAddress } from '../netfilter/rule.ts';
import type { PacketEnds } from '../packet/ends.ts';
import type { DropReason, UnknownReason } from '../wire/drop-reason.ts';
import type { RuleLook } from './hook/walk-recorder.ts';

export type Outcome = 'delivered' | 'exited' | 'dropped' | 'consumed' | 'unknown';

/** One step of a packet's way. `stage` is the kernel's place; `fact` what happened there. */
export interface Step {
  readonly host: string;
  readonly stage: string;
  readonly hook?: Hook;
  readonly fact: string;
  /** The rules that matched (always), and every rule looked at (only when tracing). */
  readonly rules: readonly RuleLook[];
}

/** The place, and the rule if one did it, that settled a packet's fate. */
export interface Decision {
  readonly host: string;
  readonly stage: string;
  readonly hook?: Hook;
  readonly rule?: RuleAddress;
  /** The rule as iptables-save prints it. */
  readonly text?: string;
  readonly origin?: readonly Provenance[];
}

/** How one copy of a packet ended. */
export interface Ending {
  readonly outcome: Outcome;
  readonly reason: DropReason | UnknownReason | null;
  readonly host: string;
  readonly device: string;
  /** From the network header on; null when none was known. */
  readonly packet: Uint8Array | null;
  /** The whole frame as it was sent; only for packets that exited. */
  readonly frame: Uint8Array | null;
}

export type GeneratedKind = 'icmpError' | 'tcpReset' | 'arpReply' | 'neighborAdvertisement';

export interface GeneratedTrail {
  readonly kind: GeneratedKind;
  readonly from: string;
  readonly trail: Trail;
}

/** The ends with which a packet left a host; ports as `packetEnds` of packet/ends.ts gives them. */
export interface Crossing {
  readonly host: string;
  readonly ends: PacketEnds;
}

/** Looks at many rules, listed when they are asked for. */
export interface RunOfLooks {
  all(): readonly RuleLook[];
}

/** Looks in order, some of them as runs. */
export type Looks = readonly (RuleLook | RunOfLooks)[];

const NO_RULES: readonly RuleLook[] = [];

function isRun(look: RuleLook | RunOfLooks): look is RunOfLooks {
  return 'all' in look;
}

/** A step whose looks are listed when somebody reads them. */
function lateStep(step: Omit<Step, 'rules'>, looks: Looks): Step {
  let rules: readonly RuleLook[] | null = null;
  return {
    ...step,
    get rules() {
      rules ??= looks.flatMap((look) => (isRun(look) ? look.all() : [look]));
      return rules;
    },
  };
}

export class Trail {
  readonly parent: Trail | null;
  readonly steps: Step[] = [];
  readonly hosts: string[] = [];
  /** Each change of its ends on the way, as it left the host that changed them. */
  readonly crossings: Crossing[] = [];
  readonly branches: Trail[] = [];
  readonly generated: GeneratedTrail[] = [];
  /** Policy drops that a diagnosis walked past. */
  readonly forgiven: Decision[] = [];
  /** The packet is kept until the other fragments of its datagram come. */
  heldForReassembly = false;
  /** The deciding rule so far: of the last host that judged. */
  decision: Decision | null;
  ending: Ending | null = null;

  constructor(parent: Trail | null = null) {
    this.parent = parent;
    this.decision = parent?.decision ?? null;
    parent?.branches.push(this);
  }

  step(host: string, stage: string, fact: string, rules = NO_RULES): void {
    this.steps.push({ host, stage, fact, rules });
  }

  hookStep(host: string, hook: Hook, fact: string, looks: Looks): void {
    const step = { host, stage: hook, hook, fact };
    this.steps.push(
      looks.some(isRun) ? lateStep(step, looks) : { ...step, rules: looks as Step['rules'] },
    );
  }

  /** The ends with which this copy left the last host; null before it left any. */
  lastCrossing(): Crossing | null {
    return this.crossings.at(-1) ?? this.parent?.lastCrossing() ?? null;
  }

  enter(host: string): void {
    this.hosts.push(host);
  }

  /** Settle this copy's fate; every copy has exactly one. */
  end(ending: Ending): void {
    assert(this.ending === null, 'a packet ends once');
    this.ending = ending;
  }
}
