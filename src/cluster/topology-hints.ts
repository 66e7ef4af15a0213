/**
 * Hints of `topology-mode: Auto`: which zone's traffic each endpoint takes, so that every zone has
 * endpoints in proportion to its nodes' CPUs.
 *
 * Each ready endpoint starts with its own zone; zones with more than their share give some to those
 * with less. Which endpoint is given is the order of a Go map: then each that could be has the
 * hints of both, so that nobody who could be chosen is missing.
 *
 * Source: kubernetes v1.30 staging/src/k8s.io/endpointslice/topologycache `topologycache.go`
 * (`AddHints`, `SetNodes`, `getAllocations`), `utils.go` (`getGivingAndReceivingZones`,
 * `redistributeHints`), `sliceinfo.go`; messages of its `event.go`.
 * @module
 */
import type { HintOutcome, Node, Service } from './model.ts';

export const ZONE_LABEL = 'topology.kubernetes.io/zone';

const ANNOTATIONS = [
  'service.kubernetes.io/topology-aware-hints',
  'service.kubernetes.io/topology-mode',
];

/** How far above its share an endpoint may be loaded. */
const OVERLOAD = 0.2;

const CONTROL_PLANE = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];

/** The annotation that counts, as written: the older name wins. Null without one. */
export function hintsAnnotation(service: Pick<Service, 'annotations'>): string | null {
  const key = ANNOTATIONS.find((a) => service.annotations[a] !== undefined);
  return key === undefined ? null : (service.annotations[key] ?? null);
}

/** Whether the controller is asked for hints by the zones' CPUs. */
export function wantsAutoHints(service: Pick<Service, 'annotations'>): boolean {
  const mode = hintsAnnotation(service);
  return mode === 'Auto' || mode === 'auto';
}

/** The share of CPUs that each zone has; a text says why there is none. */
export type ZoneShares = ReadonlyMap<string, number> | string;

/** Shares of the zones in the allocatable CPUs of nodes that are ready and run pods. */
export function zoneShares(nodes: readonly Node[]): ZoneShares {
  const byZone = new Map<string, number>();
  let total = 0;
  for (const { name, labels, ready, allocatableMilliCpu: cpu } of nodes) {
    if (CONTROL_PLANE.some((label) => label in labels) || ready === false) continue;
    const zone = labels[ZONE_LABEL] ?? '';
    if (zone === '' || !cpu) {
      const lacks = zone === '' ? 'no zone' : 'no allocatable CPU';
      return `node ${name} tells ${lacks} (every node must tell both)`;
    }
    total += cpu;
    byZone.set(zone, (byZone.get(zone) ?? 0) + cpu);
  }
  if (byZone.size < 2) return 'its nodes are ready in one zone only';
  return new Map([...byZone].map(([zone, cpu]) => [zone, cpu / total]));
}

/** Hints of one Service's endpoints in one family. */
export interface AutoHints {
  /** By zone of the endpoint, for ready ones; a zone that is missing has no hints. */
  readonly zonesOf: ReadonlyMap<string, readonly string[]>;
  readonly outcome: HintOutcome;
}

/** Work out the hints for ready endpoints in these zones (empty: it has none). */
export function autoHints(shares: ZoneShares, zones: readonly string[]): AutoHints {
  const none = (why: string): AutoHints => ({ zonesOf: new Map(), outcome: { kind: 'none', why } });
  if (typeof shares === 'string') return none(shares);
  const count = zones.length;
  const why = `(${count} endpoints, ${shares.size} zones)`;
  if (shares.size > count) return none(`it has too few endpoints ${why}`);
  const desired = desiredByZone(shares, count);
  if (desired === null) {
    return none(`no allocation gives every zone its least number without overload ${why}`);
  }
  if (zones.includes('')) return none('one of its endpoints is in no zone');
  const own = new Map<string, number>();
  for (const zone of zones) own.set(zone, (own.get(zone) ?? 0) + 1);
  const { giving, receiving } = redistribution(desired, own);
  const zonesOf = new Map(
    [...own.keys()].map((z) => [z, giving.has(z) ? [z, ...receiving] : [z]] as const),
  );
  if (giving.size === 0) return { zonesOf, outcome: { kind: 'own' } };
  return { zonesOf, outcome: { kind: 'shared', giving: [...giving], receiving: [...receiving] } };
}

/** What every zone should have; null when the least numbers are more than there are. */
function desiredByZone(
  shares: ReadonlyMap<string, number>,
  count: number,
): ReadonlyMap<string, number> | null {
  const desired = new Map<string, number>();
  let left = count;
  for (const [zone, share] of shares) {
    const wanted = share * count;
    const least = Math.ceil(wanted * (1 / (1 + OVERLOAD)));
    desired.set(zone, Math.max(wanted, least));
    left -= least;
  }
  return left < 0 ? null : desired;
}

/** Every zone that may give, and every one that may receive, an endpoint. */
function redistribution(
  desired: ReadonlyMap<string, number>,
  own: ReadonlyMap<string, number>,
): { readonly giving: ReadonlySet<string>; readonly receiving: ReadonlySet<string> } {
  const surplus = new Map<string, number>();
  const lack = new Map<string, number>();
  for (const [zone, wanted] of desired) {
    const more = (own.get(zone) ?? 0) - wanted;
    if (more > 0) surplus.set(zone, more);
    else if (more < 0) lack.set(zone, -more);
  }
  const giving = new Set<string>();
  const receiving = new Set<string>();
  for (;;) {
    const from = most(surplus);
    const to = most(lack);
    if (from.amount < 0.5 || to.amount < 0.5 || (from.amount < 1 && to.amount < 1)) break;
    // Of equal zones a Go map gives any: all of them may be it.
    for (const zone of from.zones) giving.add(zone);
    for (const zone of to.zones) receiving.add(zone);
    take(surplus, from.zones);
    take(lack, to.zones);
  }
  return { giving, receiving };
}

function most(amounts: ReadonlyMap<string, number>): {
  readonly zones: readonly string[];
  readonly amount: number;
} {
  const amount = Math.max(0, ...amounts.values());
  return { zones: [...amounts].filter(([, n]) => n === amount).map(([zone]) => zone), amount };
}

function take(amounts: Map<string, number>, [zone]: readonly string[]): void {
  if (zone !== undefined) amounts.set(zone, (amounts.get(zone) ?? 0) - 1);
}
