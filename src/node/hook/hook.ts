/**
 * One netfilter hook: everything that hangs on it, in priority order, and what becomes of the
 * packet.
 *
 *   prerouting   defrag −400, raw −300, conntrack −200, mangle −150, nat −100
 *   input        mangle, filter, security, virtual servers 98, nat 100, confirm
 *   forward      mangle, filter, security, virtual servers 99
 *   output       defrag, raw, conntrack, mangle (re-route), nat (re-route), virtual servers −99,
 *                filter, security
 *   postrouting  mangle, nat 100, confirm
 *
 * Truth: `enum nf_ip_hook_priorities`; net/ipv4/netfilter/iptable_mangle.c `ipt_mangle_out`,
 * net/netfilter/nf_nat_proto.c `nf_nat_ipv4_local_fn` (Linux 6.18).
 * @module
 */

import { connectionOf } from '../../conntrack/table.ts';
import type { Hook, TableName } from '../../netfilter/hook.ts';
import { equalAddress } from '../../wire/address/address.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import { gatherFragments } from '../ip/fragments.ts';
import { routeOutput } from '../ip/route-output.ts';
import type { Passage } from '../passage.ts';
import { drop, type Run, unknown } from '../run.ts';
import { passVirtualServers } from '../virtual-server/hooks.ts';
import { HookLooks } from './hook-recorder.ts';
import { filterChain } from './nft-chain.ts';
import type { HookPart } from './order.ts';
import { decision, noteStep, settle } from './settle.ts';
import { CONNECTION_FACTS, confirm, trackIn } from './tracking.ts';
import { translate } from './translation.ts';
import type { Visit } from './visit.ts';
import { runTable } from './walk.ts';
import type { WalkContext, WalkVerdict } from './walk-context.ts';

/**
 * Take the packet through a hook.
 *
 * @returns true when it goes on; false when it ended here (dropped, refused, kept as a fragment,
 * or unknown): its end is then written down.
 */
export function hook(run: Run, passage: Passage, at: Hook): boolean {
  const { packet, host } = passage;
  if (packet.family !== 0 && host.image.gaps.tables.has(packet.family)) {
    unknown(passage, { host: host.name, stage: at, hook: at }, 'dumpIncomplete');
    return false;
  }
  if (host.image.virtualServers !== null) {
    const { virtual, connections } = run.stateOf(host);
    virtual.expire(connections, run.nowNs);
  }
  const visit = beginVisit(run, passage, at);
  const passed = stations(visit);
  if (passed) noteStep(visit);
  return passed;
}

function beginVisit(run: Run, passage: Passage, at: Hook): Visit {
  const { host } = passage;
  const state = run.stateOf(host);
  const looks = new HookLooks(host.matchedLooks, run.tracing);
  // Every field is written, so that all contexts have one shape.
  const ctx: WalkContext = {
    image: host.image,
    counters: run.uncounted ? host.scratchCounters : host.counters,
    connections: CONNECTION_FACTS,
    recorder: looks,
    nowNs: run.nowNs,
    seed: run.seed,
    memory: run.memoryOf(host),
    table: state.connections,
    virtual: state.virtual,
    utcSeconds: run.utcSeconds,
    draws: undefined,
    forgive: run.forgiving ? forgiving(passage, at) : undefined,
    indexes: host.indexes,
  };
  return { run, passage, hook: at, looks, ctx };
}

/** What walks on past policy drops, writing them down. */
function forgiving(passage: Passage, at: Hook): NonNullable<WalkContext['forgive']> {
  return (verdict) => {
    if (verdict.reason !== 'policyDenied') return false;
    passage.trail.forgiven.push(decision(passage, at, verdict.rule, verdict.origin));
    return true;
  };
}

function stations(visit: Visit): boolean {
  const { passage, run } = visit;
  const parts = passage.host.hookParts(passage.packet.family, visit.hook);
  if (parts !== null) return parts.every((part) => passes(visit, part));
  switch (visit.hook) {
    case 'prerouting':
      return (
        gatherFragments(run, passage) &&
        walk(visit, 'raw') &&
        trackIn(visit) &&
        walk(visit, 'mangle') &&
        nat(visit)
      );
    case 'input':
      return filters(visit) && passVirtualServers(visit) && nat(visit) && confirmed(visit);
    case 'forward':
      return filters(visit) && passVirtualServers(visit);
    case 'output':
      return (
        gatherFragments(run, passage) &&
        walk(visit, 'raw') &&
        trackIn(visit) &&
        mangleOutput(visit) &&
        natOutput(visit) &&
        passVirtualServers(visit) &&
        walk(visit, 'filter') &&
        walk(visit, 'security')
      );
    case 'postrouting':
      return walk(visit, 'mangle') && nat(visit) && confirmed(visit);
  }
}

/** One part of a hook that has more than iptables' tables on it. */
function passes(visit: Visit, part: HookPart): boolean {
  switch (part.kind) {
    case 'defrag':
      return gatherFragments(visit.run, visit.passage);
    case 'track':
      return trackIn(visit);
    case 'nat':
      return visit.hook === 'output' ? natOutput(visit) : nat(visit);
    case 'virtual':
      return passVirtualServers(visit);
    case 'confirm':
      return confirmed(visit);
    case 'table': {
      const variant = part.variant === 'legacy' ? part.variant : undefined;
      const isRerouting = part.table === 'mangle' && visit.hook === 'output';
      const run = () => walk(visit, part.table, variant);
      return isRerouting ? rerouting(visit, run) : run();
    }
    case 'nft': {
      const run = () => filterChain(visit, part.chain);
      return part.chain.base?.type === 'route' ? rerouting(visit, run) : run();
    }
  }
}

function filters(visit: Visit): boolean {
  return walk(visit, 'mangle') && walk(visit, 'filter') && walk(visit, 'security');
}

/** Whether the host has this table at all; absent tables hang on no hook. */
function has(visit: Visit, table: TableName): boolean {
  const { packet, host } = visit.passage;
  return packet.family !== 0 && host.tables[packet.family].has(table);
}

/** One table of rules; false when the packet ended there. */
function walk(visit: Visit, table: TableName, variant?: 'legacy'): boolean {
  if (!has(visit, table)) return true;
  const verdict = runTable(visit.ctx, table, visit.hook, visit.passage.packet, variant);
  if (verdict.kind === 'accept' && table === 'filter') noteJudgement(visit, verdict);
  return settle(visit, verdict);
}

/**
 * The deciding rule of a packet that passes: the last one that somebody wrote, else the default.
 */
function noteJudgement(visit: Visit, verdict: WalkVerdict & { kind: 'accept' }): void {
  const { trail, host } = visit.passage;
  const known = trail.decision?.origin !== undefined;
  // That a network lets a packet through is nobody's judgement unless somebody wrote the rule.
  if ((known || host.image.role === 'fabric') && verdict.origin.length === 0) return;
  trail.decision = decision(visit.passage, visit.hook, verdict.rule, verdict.origin);
}

function nat(visit: Visit): boolean {
  if (visit.hook === 'forward') return true;
  return !has(visit, 'nat') || translate(visit, visit.hook);
}

function confirmed(visit: Visit): boolean {
  if (confirm(visit)) return true;
  drop(visit.passage, visit.hook, 'ctClash', visit.hook);
  return false;
}

/** What `ip_route_me_harder` is called for: another mark, address or TOS than before the table. */
function mangleOutput(visit: Visit): boolean {
  return rerouting(visit, () => walk(visit, 'mangle'));
}

function rerouting(visit: Visit, run: () => boolean): boolean {
  const { packet } = visit.passage;
  const { mark, src, dst } = packet;
  const tos = tosOf(visit.passage);
  if (!run()) return false;
  const same =
    packet.mark === mark &&
    equalAddress(packet.src, src) &&
    equalAddress(packet.dst, dst) &&
    tosOf(visit.passage) === tos;
  return same || reroute(visit);
}

function tosOf(passage: Passage): number {
  const { packet } = passage;
  return packet.family === 4 ? ipv4.tos(packet.bytes, packet.l3) : 0;
}

/**
 * Whatever belongs to a connection whose end is translated this way is routed again, also where it
 * named the true end at once (errors that REJECT sends).
 */
function natOutput(visit: Visit): boolean {
  const { packet } = visit.passage;
  if (!nat(visit)) return false;
  const connection = connectionOf(packet);
  if (connection === null) return true;
  const isReply = packet.ctDirection === 'reply';
  const to = isReply ? connection.reply.dst : connection.original.dst;
  const end = isReply ? connection.original.src : connection.reply.src;
  return equalAddress(to, end) || reroute(visit);
}

function reroute(visit: Visit): boolean {
  const { passage, hook: at } = visit;
  const found = routeOutput(passage.host, passage.packet);
  if (found.kind === 'drop') {
    drop(passage, 'route', found.reason, at);
    return false;
  }
  const out = passage.host.device(found.route.device);
  if (out === null || !out.up) {
    drop(passage, 'route', 'noSuchDevice', at);
    return false;
  }
  passage.route = found.route;
  passage.device = out;
  passage.step('route', `again: dev ${out.name}`);
  return true;
}
