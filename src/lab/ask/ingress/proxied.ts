/**
 * A request through a proxy: the client's connection to the proxy, and the proxy's own connection
 * to a backend. Both have to stand; the verdict says which one does not.
 *
 * A backend sees the proxy's address. What the proxy sees of the client depends on how its Service
 * is reached (externalTrafficPolicy), and is what it writes into X-Forwarded-For.
 * @module
 */
import type { Ingress } from '../../../cluster/ingress/model.ts';
import { unreachable } from '../../../diagnostic/diagnostic.ts';
import { gatewaysInside } from '../../../fabric/render.ts';
import { type Address, formatAddress, type Prefix } from '../../../wire/address/address.ts';
import type { DropReason, UnknownReason } from '../../../wire/drop-reason.ts';
import { Protocol } from '../../../wire/protocol.ts';
import type { Place } from '../../identity.ts';
import type { Choice, DecidedBy, Verdict } from '../../result.ts';
import type { ProspectList } from '../../run/prospects.ts';
import type { World } from '../../world.ts';
import type { Ends, ExchangeResult } from '../exchange.ts';
import { unjudged } from '../together.ts';
import { backendsOf, type Target } from './backends.ts';
import type { Front } from './fronts.ts';
import { clientAddress } from './preservation.ts';
import { routeOf } from './route.ts';
import { takesClient } from './source-ranges.ts';

export type Leg = 'client' | 'backend';
type Flow = Ends & { readonly protocol: number };

/** A proxy's own connection. */
export interface BackendLeg {
  /** The address that the backend sees. */
  readonly from: string;
  readonly to: string;
  readonly name: string | null;
  readonly verdict: Verdict;
  readonly policy: string | null;
}

/** What a report says of a proxy in the path. */
export interface ProxyReport {
  /** `svc/ingress-nginx/ingress-nginx-controller`, `application gateway agw`. */
  readonly proxy: string;
  readonly host: string;
  readonly path: string;
  /** The port that the proxy sends the client on to, for TLS; null when it does not. */
  readonly redirectedTo: number | null;
  /** `shop/Ingress/web`; null when no rule holds. */
  readonly ingress: string | null;
  /** `svc/shop/web:80`. */
  readonly backend: string | null;
  /** The connection that is refused, or on whose choices the verdict depends. */
  readonly decidedLeg: Leg | null;
  /** Null: between ends outside the cluster, not judged. */
  readonly clientVerdict: Verdict | null;
  readonly backends: readonly BackendLeg[];
  /** Addresses that the proxy may see in the client's place. */
  readonly clientSeenAs: readonly string[];
  /** What becomes of the client's address, in a sentence. */
  readonly clientAddress: string;
}

export interface Sender {
  readonly send: (flow: Flow) => ExchangeResult;
  readonly ways: (flow: Flow) => ProspectList;
}

/** One course of both connections. */
interface Course {
  readonly probability: number;
  readonly leg: Leg;
  readonly result: ExchangeResult;
}

/** Where the client got to, how likely, and under which address it is seen there. */
interface Reached {
  readonly from: Place;
  readonly src: Address;
  readonly p: number;
  readonly seen: Address | null;
}

/** What the client's connection comes to. */
interface ClientLeg {
  readonly result: ExchangeResult | null;
  readonly refused: readonly Course[];
  /** Whose connection it becomes, and how likely. */
  readonly reached: readonly Reached[];
  readonly seenAs: readonly Address[];
  readonly complete: boolean;
}

export interface Proxied {
  readonly result: ExchangeResult;
  readonly report: ProxyReport;
  /** The connection to explain: the refused one, else the client's (null where it is not ours). */
  readonly shown: Flow | null;
}

/**
 * Whether a gateway in the virtual network reaches pods by their own addresses: where pods have
 * addresses of the network; by an overlay that is extended to its subnet; by the nodes' routes.
 */
function reachesPods({ stack, cluster }: World, subnet: Prefix): boolean {
  switch (stack.network) {
    case 'azure-bridge':
    case 'azure-transparent':
    case 'azure-podsubnet':
      return true;
    case 'azure-overlay':
      return gatewaysInside(cluster, 'overlay').includes(subnet);
    case 'kubenet':
      return gatewaysInside(cluster, 'routes').includes(subnet);
    case 'byo':
    case 'docker':
      return false;
    default:
      return unreachable(stack.network);
  }
}

/** Send a request by both connections. */
export function askThrough(
  world: World,
  sender: Sender,
  front: Front,
  client: Flow,
  page: { readonly host: string; readonly path: string; readonly redirect: Flow | null },
): Proxied {
  const { redirect, ...request } = page;
  const route = routeOf(front.ingresses, request.host, request.path, front.kind);
  const ingress = route.kind === 'none' ? null : route.ingress;
  const found =
    route.kind === 'backend'
      ? backendsOf(world.cluster, route.ingress, route.backend, front.kind)
      : null;
  const opened = clientLeg(world, sender, front, client, redirect);
  const isListed = route.kind === 'backend' && front.kind === 'nginx';
  const leg = isListed ? withoutRefused(opened, route.ingress) : opened;
  const base = {
    proxy: front.name,
    ...request,
    redirectedTo: redirect?.dport ?? null,
    ingress: ingress === null ? null : `${ingress.namespace}/Ingress/${ingress.name}`,
    backend: found?.name ?? null,
    clientVerdict: opened.result?.verdict ?? null,
    clientSeenAs: [...new Set(opened.seenAs.map(formatAddress))],
    clientAddress: clientAddress(front, client.src, opened.seenAs),
  };
  const stop = (result: ExchangeResult, decidedLeg: Leg): Proxied => {
    const report = { ...base, decidedLeg, backends: [] };
    return { result, report, shown: opened.result === null ? null : client };
  };
  if (leg === null) return stop(unjudged('proxyRouteUnknown'), 'client');
  if (leg.reached.length === 0) {
    const [refused] = leg.refused;
    return stop(refused?.result ?? leg.result ?? unjudged('noSender'), 'client');
  }
  if (front.kind === 'gateway' && !reachesPods(world, front.gateway.subnet)) {
    return stop(unjudged('proxyNotOffered'), 'backend');
  }
  if (route.kind === 'none') return stop(refusedBy(leg, 'noProxyRule'), 'backend');
  if (found === null) return stop(unjudged('proxyRouteUnknown'), 'backend');
  if (found.targets === null) return stop(unjudged('nameElsewhere'), 'backend');
  const tried = tryBackends(world, sender, leg, found.targets);
  if (tried.length === 0) return stop(refusedBy(leg, 'noProxyBackend'), 'backend');
  const courses = [...leg.refused, ...tried.map((t) => t.course)];
  const { result, decidedLeg } = combine(courses, leg);
  const decided = tried.find((t) => t.course.result.verdict !== 'allowed');
  const shown = decidedLeg === 'backend' && decided !== undefined ? decided.flow : client;
  const report = { ...base, decidedLeg, backends: tried.map((t) => t.report) };
  return { result, report, shown: shown === client && leg.result === null ? null : shown };
}

/**
 * The client's connection to the proxy, and whom it reaches. A client that is sent on needs both
 * connections.
 */
function clientLeg(
  world: World,
  sender: Sender,
  front: Front,
  client: Flow,
  redirect: Flow | null,
): ClientLeg {
  if (front.kind === 'gateway') {
    return gatewayLeg(world, sender, front.gateway.subnet, client, redirect);
  }
  const opening = sender.send(client);
  if (redirect !== null && opening.verdict !== 'allowed') {
    return { result: opening, refused: [], reached: [], seenAs: [], complete: true };
  }
  const result = redirect === null ? opening : sender.send(redirect);
  const { all, complete } = sender.ways(redirect ?? client);
  const refused: Course[] = [];
  const reached: Reached[] = [];
  const seenAs: Address[] = [];
  for (const way of all) {
    const { verdict, reason, decidedBy, probability, target, source } = way;
    if (verdict !== 'allowed' || target === null || source === null) {
      const own: ExchangeResult = { ...result, verdict, reason, decidedBy };
      refused.push({ probability, leg: 'client', result: own });
      continue;
    }
    const from = world.identities.placeOf(target.dst);
    reached.push({ from, src: target.dst, p: probability, seen: source });
    seenAs.push(source);
  }
  return { result, refused, reached, seenAs, complete };
}

/**
 * A gateway outside: who is outside too reaches it by ways that meet no emulated node. Which of its
 * instances takes a connection is not told: the first and the last address of its subnet stand for
 * all.
 */
function gatewayLeg(
  world: World,
  sender: Sender,
  subnet: Prefix,
  client: Flow,
  redirect: Flow | null,
): ClientLeg {
  const isOutside = client.from.kind === 'edge';
  const opening = isOutside ? null : sender.send(client);
  const isSentOn = redirect !== null && opening?.verdict === 'allowed';
  const result = isSentOn ? sender.send(redirect) : opening;
  const reached = instancesOf(subnet).map((src, _, all) => {
    const place = world.identities.placeOf(src);
    const from: Place = place.kind === 'unplaced' ? { kind: 'edge', name: null } : place;
    return { from, src, p: 1 / all.length, seen: null };
  });
  const isThere = result === null || result.verdict === 'allowed';
  const seen = result?.translated == null ? client.src : null;
  return {
    result,
    refused: [],
    reached: isThere ? reached : [],
    seenAs: seen === null ? [] : [seen],
    complete: true,
  };
}

/** Azure keeps the first four addresses of a subnet and the last one. */
function instancesOf({ address, length }: Prefix): readonly Address[] {
  const bits = address.family === 4 ? 32 : 128;
  const size = 2 ** Math.min(bits - length, 30);
  const last = Math.max(size - 2, 0);
  const first = { ...address, w3: (address.w3 & -size) >>> 0 };
  return [...new Set([Math.min(4, last), last])].map((offset) => plus(first, offset));
}

function plus(address: Address, offset: number): Address {
  return { ...address, w3: (address.w3 + offset) >>> 0 };
}

interface Tried {
  readonly flow: Flow;
  readonly course: Course;
  readonly report: BackendLeg;
}

/** Every proxy that the client may reach opens to every endpoint in turn. */
function tryBackends(
  world: World,
  sender: Sender,
  leg: ClientLeg,
  targets: readonly Target[],
): readonly Tried[] {
  return leg.reached.flatMap(({ from, src, p }) => {
    const own = targets.filter((t) => t.address.family === src.family);
    return own.map(({ address: dst, port: dport }): Tried => {
      const to = world.identities.placeOf(dst);
      const flow: Flow = { src, dst, from, to, dport, protocol: Protocol.tcp };
      const result = sender.send(flow);
      const { verdict, decidedBy, translated } = result;
      const report = {
        from: translated?.src ?? formatAddress(src),
        to: `${formatAddress(dst)}:${dport}`,
        name: to.name,
        verdict,
        policy: decidedBy?.policy ?? null,
      };
      return { flow, report, course: { probability: p / own.length, leg: 'backend', result } };
    });
  });
}

/** Without clients that the proxy refuses by their address; null where that can not be read. */
function withoutRefused(leg: ClientLeg, ingress: Ingress): ClientLeg | null {
  const refused: Course[] = [...leg.refused];
  const reached: Reached[] = [];
  for (const one of leg.reached) {
    const isTaken = one.seen === null ? true : takesClient(ingress, one.seen);
    if (isTaken === null) return null;
    if (isTaken) reached.push(one);
    else {
      const result = refusedBy(leg, 'proxySourceDenied');
      refused.push({ probability: one.p, leg: 'client', result });
    }
  }
  return { ...leg, reached, refused };
}

/** The verdict over all courses of both connections. */
function combine(
  courses: readonly Course[],
  leg: ClientLeg,
): { readonly result: ExchangeResult; readonly decidedLeg: Leg | null } {
  const [first] = courses;
  if (first === undefined) return { result: unjudged('noSender'), decidedLeg: 'client' };
  const allowed = courses.filter((c) => c.result.verdict === 'allowed');
  const refusal = courses.find((c) => c.result.verdict !== 'allowed');
  const unclear = courses.find((c) => c.result.verdict === 'unknown');
  const said = unclear ?? refusal ?? first;
  const share = courses.reduce((sum, c) => sum + c.probability * shareOf(c.result), 0);
  const probability = Math.round(share * 1e6) / 1e6;
  const of = courses.length;
  const { complete } = leg;
  const counted: Choice = { of, allowed: allowed.length, probability, by: 'drawn', complete };
  const choice = of > 1 || !complete ? counted : said.result.choice;
  const isOpen = (allowed.length > 0 && refusal !== undefined) || !complete;
  const verdict: Verdict =
    unclear !== undefined ? 'unknown' : isOpen ? 'depends' : said.result.verdict;
  const client = leg.result;
  const result: ExchangeResult = {
    ...said.result,
    verdict,
    choice,
    translated: client?.translated ?? null,
    egress: client?.egress ?? 'notEvaluated',
  };
  return { result, decidedLeg: verdict === 'allowed' ? null : said.leg };
}

function shareOf({ verdict, choice }: ExchangeResult): number {
  if (verdict === 'depends') return choice?.probability ?? 0;
  return verdict === 'allowed' ? 1 : 0;
}

/** The client got through to the proxy, which has nowhere to send its request. */
function refusedBy({ result }: ClientLeg, reason: DropReason): ExchangeResult {
  const nobody: DecidedBy | null = null;
  const reached = result ?? unjudged('noSender' satisfies UnknownReason);
  return { ...reached, verdict: 'denied', reason, decidedBy: nobody };
}
