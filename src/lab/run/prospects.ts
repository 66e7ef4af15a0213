/**
 * What else could become of a connection whose way is drawn: a backend of several, a node of a
 * load balancer's pool (SEMANTICS A7). Each course is a request and its answer, sent as if the
 * connection were the only one; where their verdicts differ, the connection's is `depends`.
 *
 * Courses of equal connections are worked out once: same ends but for the client's port, as long as
 * no rule of the network looks at that port, at the clock, or into the payload.
 *
 * A client that keeps its backend (affinity) draws once. What follows that draw draws nothing, and
 * depends on it all the same, unless the capture shows what it was.
 * @module
 */
import type { Course, Journey } from '../../engine/engine.ts';
import type { Match } from '../../netfilter/match.ts';
import type { Network, Plan } from '../../plan/model.ts';
import { type Address, addressKey, equalAddress } from '../../wire/address/address.ts';
import { protocolNumber } from '../../wire/protocol.ts';
import { packetOf } from '../datagram/headers.ts';
import { type Ends, inverse } from '../datagram/rewrite.ts';
import { syntheticPacket } from '../datagram/synthetic.ts';
import type { Place } from '../identity.ts';
import type { Choice, DecidedBy, Verdict } from '../result.ts';
import { directionResult, NOT_CAPTURED, verdictOf } from '../verdict.ts';
import type { InjectionOptions, World } from '../world.ts';
import { reachedBy } from './reached.ts';

/** A connection to ask about. */
export interface Asked extends Ends {
  readonly protocol: string;
  readonly from: Place;
}

/** One course as far as reports and choices need it. */
export interface Prospect {
  readonly probability: number;
  readonly draws: readonly number[];
  readonly verdict: Verdict;
  readonly reason: string | null;
  readonly decidedBy: DecidedBy | null;
  /** Where it got, after translation. */
  readonly target: Target | null;
  /** The sender that its taker sees. */
  readonly source: Address | null;
}

export interface ProspectList {
  readonly all: readonly Prospect[];
  readonly complete: boolean;
}

/** Lists remembered; beyond that all are forgotten. */
const MOST_LISTS = 50_000;

export class Prospects {
  readonly #world: World;
  readonly #known = new Map<string, ProspectList>();
  readonly #isPlain: boolean;
  readonly #isRemembered: boolean;
  /** Names of connections whose latest draw the capture shows, where clients are remembered. */
  readonly #shown = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#isPlain = !looksDeeper(world.network);
    this.#isRemembered = remembersClients(world);
  }

  /**
   * Every course of a connection whose opening was sent; null when it had but one. `seen`: the ends
   * that the capture shows it with, and by which its draws were prescribed.
   */
  ofSent(
    asked: Asked,
    opening: Journey,
    when: InjectionOptions,
    seen: Ends | null = null,
  ): ProspectList | null {
    const key = keyOf(asked);
    if (opening.draws !== undefined) {
      if (this.#shown.size >= MOST_LISTS) this.#shown.clear();
      if (this.#isRemembered && seen !== null) this.#shown.add(key);
      else this.#shown.delete(key);
      return seen === null ? this.of(asked, when) : null;
    }
    if (!this.#isRemembered || this.#shown.has(key)) return null;
    const taken = packetOf(opening.packet);
    const isLed = taken !== null && !equalAddress(taken.dst, asked.dst);
    return isLed && (seen === null || !isTaken(seen, taken)) ? this.of(asked, when) : null;
  }

  /** Every course of the connection, from its opening and the answer to it. */
  of(asked: Asked, when: InjectionOptions): ProspectList {
    const key = this.#isPlain ? keyOf(asked) : null;
    const known = key === null ? undefined : this.#known.get(key);
    if (known !== undefined) return known;
    const made = this.#ask(asked, when);
    if (this.#known.size >= MOST_LISTS) this.#known.clear();
    if (key !== null) this.#known.set(key, made);
    return made;
  }

  /** The draws that lead where the capture shows the connection; null when none do. */
  drawsTo(seen: Ends, list: ProspectList): readonly number[] | null {
    const isSeen = ({ target }: Prospect) => target !== null && isTaken(seen, target);
    return list.all.find(isSeen)?.draws ?? null;
  }

  #ask(asked: Asked, when: InjectionOptions): ProspectList {
    const { engine } = this.#world;
    const protocol = protocolNumber(asked.protocol) ?? 0;
    const send = (ends: Ends, from: Place, step: 'request' | 'answer') => {
      const { src, dst, sport, dport } = ends;
      const ports = { sport: sport ?? 0, dport: dport ?? 0 };
      const packet = syntheticPacket({ src, dst, ...ports, protocol, step });
      return this.#world.injectAt(from, packet, when);
    };
    const { courses, complete } = engine.courses(send(asked, asked.from, 'request'), (forward) => {
      const reached = reachedBy(this.#world, forward, asked);
      return reached === null ? null : send(inverse(reached.ends), reached.place, 'answer');
    });
    return { all: courses.map(prospectOf), complete };
  }
}

type Target = Pick<Ends, 'dst' | 'dport'>;

function isTaken(seen: Target, target: Target): boolean {
  return equalAddress(target.dst, seen.dst) && target.dport === seen.dport;
}

function prospectOf({ forward, reply, draws, probability }: Course): Prospect {
  const there = directionResult(forward);
  const back = reply === null ? NOT_CAPTURED : directionResult(reply);
  const verdict = verdictOf(there, back);
  const { reason, decidedBy } = verdict === 'broken' ? back : there;
  const d = packetOf(forward.packet);
  const target = d === null ? null : { dst: d.dst, dport: d.dport };
  const source = d?.src ?? null;
  return { probability, draws, verdict, reason, decidedBy, target, source };
}

function keyOf({ protocol, from, src, dst, dport }: Asked): string {
  return `${protocol} ${from.name ?? ''} ${dport ?? ''} ${addressKey(src)}${addressKey(dst)}`;
}

/** How many of a connection's courses are allowed; null when it has only one. */
export function choiceOf({ all, complete }: ProspectList, by: Choice['by']): Choice | null {
  if (all.length < 2) return null;
  const allowed = all.filter((p) => p.verdict === 'allowed');
  const probability = allowed.reduce((sum, p) => sum + p.probability, 0);
  return { of: all.length, allowed: allowed.length, probability: round(probability), by, complete };
}

/** Shares of an iptables probability are multiples of 2^-31; reports need fewer digits. */
function round(probability: number): number {
  return Math.round(probability * 1e6) / 1e6;
}

/**
 * Whether the verdict hangs on what is drawn: some courses are allowed and others not, or nobody
 * tried them all.
 */
export function isOpen({ of, allowed, by, complete }: Choice): boolean {
  if (by === 'captured') return false;
  return (allowed > 0 && allowed < of) || !complete;
}

/** The first course that is not allowed: why the connection depends on its draws. */
export function firstRefusal({ all }: ProspectList): Prospect | undefined {
  return all.find((p) => p.verdict !== 'allowed');
}

/** Whether courses can differ between connections that differ in their client's port or time. */
function looksDeeper(network: Network): boolean {
  return [...network.nodes, network.fabric].some(isDeepPlan);
}

/** Whether nodes keep clients at what was drawn for them before. */
function remembersClients({ cluster, identities, network }: World): boolean {
  if (cluster.services.some((s) => s.sessionAffinitySeconds !== null)) return true;
  if (!identities.isDumped) return false;
  return network.nodes.some(({ nft, virtualServers, tables }) => {
    const rules = tables.flatMap((table) => table.chains).flatMap((chain) => chain.rules);
    const isRecent = (match: Match) => match.kind === 'recent';
    const isAny = nft !== undefined || virtualServers !== undefined;
    return isAny || rules.some((rule) => rule.matches.some(isRecent));
  });
}

/** Rules of nft can look at anything. */
function isDeepPlan({ nft, tables }: Plan): boolean {
  if (nft !== undefined) return true;
  const rules = tables.flatMap((table) => table.chains).flatMap((chain) => chain.rules);
  return rules.some((rule) => rule.matches.some(isDeeper));
}

function isDeeper(match: Match): boolean {
  switch (match.kind) {
    case 'tcp':
    case 'udp':
    case 'udplite':
    case 'sctp':
    case 'dccp':
      return match.sport !== undefined;
    case 'multiport':
      return match.which !== 'dports';
    case 'set':
      return match.directions.slice(1).includes('src');
    case 'time':
    case 'u32':
    case 'string':
      return true;
    default:
      return false;
  }
}
