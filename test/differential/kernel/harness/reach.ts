/**
 * How often a run of trials reached each part of the vocabulary and of the path: what was never reached
 * was never compared.
 * @module
 */
import type { Journey } from '../../../../src/engine/engine.ts';
import type { Rule } from '../../../../src/netfilter/rule.ts';
import type { EngineRun } from './ask-engine.ts';
import type { Trial } from './trial.ts';

export const REACHED = ['host', 'match', 'target', 'ctstate', 'drop', 'hook', 'path'] as const;
export type ReachKind = (typeof REACHED)[number];

/** What every run must reach; the rest is printed when it was. */
const REQUIRED: Readonly<Record<ReachKind, readonly string[]>> = {
  host: words(
    'routed bridged router ebtables azure-bridge+npm azure-transparent+npm azure-transparent+calico',
    'aging legacy nft',
  ),
  match: words(
    'tcp udp sctp icmp icmp6 multiport conntrack state conntrackDetail mark connmark set physdev',
    'addrtype rpfilter comment limit nth recent length ttl hl mac pkttype iprange dscp tos helper',
    'hashlimit',
  ),
  target: words(
    'none accept drop return jump goto mark connmark notrack ttl tos dscp tcpmss checksum classify',
    'nflog log set masquerade snat dnat redirect netmap icmp-net-unreachable icmp-host-unreachable',
    'icmp-port-unreachable icmp-proto-unreachable icmp-net-prohibited icmp-host-prohibited',
    'icmp-admin-prohibited icmp6-no-route icmp6-adm-prohibited icmp6-addr-unreachable',
    'icmp6-port-unreachable icmp6-policy-fail icmp6-reject-route tcp-reset',
  ),
  ctstate: words('INVALID NEW RELATED ESTABLISHED UNTRACKED SNAT DNAT'),
  drop: words(
    'ruleDenied rejected chainPolicy ctInvalid noRoute blackholeRoute prohibitedRoute',
    'reversePathFilter martianSource martianDestination forwardingDisabled ttlExpired tooBig otherHost',
    'sameBridgePort fragmentOverlap fragmentMalformed ipv4Truncated ipv4BadVersion',
    'ipv4BadHeaderLength ipv4BadTotalLength ipv4BadChecksum ipv6Truncated ipv6BadVersion',
    'ipv6BadPayloadLength arpMalformed unknownEtherType icmpTruncated tcpTruncated',
  ),
  hook: words('prerouting input forward output postrouting'),
  path: words(
    'routed bridged delivered bridged>delivered bridged>routed routed>bridged flooded answered',
  ),
};

function words(...lines: readonly string[]): readonly string[] {
  return lines.join(' ').split(' ');
}

export class Reach {
  readonly #counts = new Map<ReachKind, Map<string, number>>();

  /** Count everything one trial reached, after its last frame. */
  add(trial: Trial, run: EngineRun): void {
    this.#note('host', trial.name.replace(/ .*/, ''));
    this.#note('host', trial.backend);
    const counters = run.engine.counters(trial.plan.host);
    for (const table of trial.plan.tables) {
      for (const chain of table.chains) {
        for (const [i, rule] of chain.rules.entries()) {
          const name = `${table.family} ${table.name}/${chain.name} rule ${i + 1}`;
          this.#rule(rule, counters.get(name)?.packets ?? 0);
        }
      }
    }
    for (const journey of run.journeys) this.#journey(journey);
  }

  #rule({ matches, target }: Rule, packets: number): void {
    if (packets === 0) return;
    this.#note('target', target.kind === 'reject' ? target.with : target.kind, packets);
    for (const match of matches) {
      this.#note('match', match.kind, packets);
      const isState = match.kind === 'conntrack' || match.kind === 'state';
      if (!isState || match.negate || match.states.length !== 1) continue;
      this.#note('ctstate', match.states[0] ?? '', packets);
    }
  }

  #journey(journey: Journey): void {
    const { outcome, reason, steps, copies, generated } = journey;
    if (outcome === 'dropped' && reason !== null) this.#note('drop', reason);
    const stages = new Set(steps.map((step) => step.stage));
    for (const step of steps) if (step.hook !== undefined) this.#note('hook', step.hook);
    this.#path(journey, stages);
    for (const copy of copies) this.#journey(copy);
    for (const made of generated) this.#journey(made.journey);
    if (copies.length > 0) this.#note('path', 'flooded');
    if (generated.length > 0) this.#note('path', 'answered');
  }

  #path({ outcome, steps }: Journey, stages: ReadonlySet<string>): void {
    if (outcome !== 'exited' && outcome !== 'delivered') return;
    const places = steps.map(({ stage }) => stage);
    const routed = stages.has('route') && stages.has('postrouting');
    const first = places.indexOf('bridge');
    const last = places.lastIndexOf('bridge');
    const at = places.indexOf('route');
    const parts = [
      first >= 0 && (at < 0 || first < at) ? 'bridged' : '',
      outcome === 'delivered' ? 'delivered' : routed ? 'routed' : '',
      routed && last > at ? 'bridged' : '',
    ];
    this.#note('path', parts.filter((part) => part !== '').join('>') || 'by the link alone');
  }

  #note(kind: ReachKind, what: string, times = 1): void {
    const counts = this.#counts.get(kind) ?? new Map<string, number>();
    counts.set(what, (counts.get(what) ?? 0) + times);
    this.#counts.set(kind, counts);
  }

  /** Add what another run reached. */
  join(other: Reach): void {
    for (const [kind, counts] of other.#counts) {
      for (const [what, times] of counts) this.#note(kind, what, times);
    }
  }

  /** Required parts that were never reached. */
  missing(): readonly string[] {
    return REACHED.flatMap((kind) =>
      REQUIRED[kind]
        .filter((what) => !this.#counts.get(kind)?.has(what))
        .map((what) => `${kind} ${what}`),
    );
  }

  /** One line a kind, most often first. */
  print(): readonly string[] {
    return REACHED.map((kind) => {
      const counts = [...(this.#counts.get(kind) ?? [])].toSorted((a, b) => b[1] - a[1]);
      return `${kind}: ${counts.map(([what, n]) => `${what} ${n}`).join(', ')}`;
    });
  }
}
