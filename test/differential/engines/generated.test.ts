/**
 * P3 on generated plans: routers, bridges and rendered nodes with any rules, sets, routes and
 * neighbours (the plans of the kernel's trials), and on each the trial's frames and many like them,
 * whose addresses and ports lie on and beside every constant of the plan.
 *
 * `ENGINE_TRIALS` and `ENGINE_SEED` roam.
 * @module
 */
import t from 'tap';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import type { Injection } from '../../../src/engine/engine.ts';
import type { Cut } from '../../../src/image/classes/cut.ts';
import { packetOf } from '../../../src/lab/datagram/headers.ts';
import { withEnds } from '../../../src/lab/datagram/rewrite.ts';
import { lower } from '../../../src/lowering/link.ts';
import type { Rule } from '../../../src/netfilter/rule.ts';
import type { Plan } from '../../../src/plan/model.ts';
import {
  type Address,
  ANY4,
  addToAddress,
  bits,
  type Family,
} from '../../../src/wire/address/address.ts';
import { HEADER_LENGTH } from '../../../src/wire/header/ethernet.ts';
import { Dice } from '../../support/drawn-traffic.ts';
import { TwinEngine } from '../../support/twin-engine.ts';
import { drawTrial, SHAPES } from '../kernel/harness/draw/trial.ts';
import { portsOf } from '../kernel/harness/kernel-host.ts';

t.setTimeout(3_600_000);

const TRIALS = Number(process.env['ENGINE_TRIALS'] ?? 3);
const SEED = Number(process.env['ENGINE_SEED'] ?? 1);
const FRAMES = 24;
/** Frames like each frame of a trial. */
const LIKENESSES = 40;
const native = findNative();
const skip = native.addon === null ? native.reason : false;

/** The values at which the answers of a plan may change. */
interface Edges {
  readonly addresses: Readonly<Record<Family, readonly Address[]>>;
  readonly ports: readonly number[];
}

function edgesOf(cuts: Iterable<Cut>): Edges {
  const addresses: Record<Family, Address[]> = { 4: [], 6: [] };
  const ports = [0, 1, 1024, 65_535];
  for (const cut of cuts) {
    if (cut.kind === 'port') {
      for (const { low, high } of cut.answers()) ports.push(low, high, high + 1);
      continue;
    }
    for (const { prefix } of cut.answers()) {
      const { address, length } = prefix;
      const size = bits(address.family) - length;
      const last = size > 24 ? address : addToAddress(address, 2 ** size - 1);
      addresses[address.family].push(address, last, addToAddress(last, 1));
      if (address.w3 > 0) addresses[address.family].push(addToAddress(address, -1));
    }
  }
  return { addresses, ports: ports.filter((port) => port < 65_536) };
}

/** The frame with one or two of its ends elsewhere; null when it has none to change. */
function like(frame: Uint8Array, edges: Edges, dice: Dice): Uint8Array | null {
  const datagram = packetOf(frame.subarray(HEADER_LENGTH));
  if (datagram === null) return null;
  const { src, dst, sport, dport, family } = datagram;
  const any = () =>
    dice.pick(edges.addresses[family].length > 0 ? edges.addresses[family] : [ANY4]);
  const port = () => (dice.oneIn(4) ? dice.below(65_536) : dice.pick(edges.ports));
  const to = {
    src: dice.oneIn(3) ? any() : src,
    dst: dice.oneIn(3) ? any() : dst,
    sport: sport !== null && dice.oneIn(2) ? port() : sport,
    dport: dport !== null && dice.oneIn(2) ? port() : dport,
  };
  if (to.src.family !== family || to.dst.family !== family) return null;
  const packet = withEnds(datagram, to).bytes;
  const made = frame.slice();
  made.set(packet.subarray(0, made.length - HEADER_LENGTH), HEADER_LENGTH);
  return made;
}

function run(plan: Plan, frames: readonly Frame[], dice: Dice): TwinEngine {
  const image = lower(plan);
  const edges = portsOf(plan).map((device) => ({ host: plan.host, device }));
  const hosts = (name: string) => (name === plan.host ? image : undefined);
  // No chain is too short for an index.
  const twin = new TwinEngine({ hosts, links: [], edges }, { shortestIndexed: 1 });
  const values = edgesOf(image.cuts());
  let frame = 0;
  const inject = (device: string, frameBytes: Uint8Array) => {
    frame += 1;
    const at = { frame, nowNs: 1e15 + frame * 1e6 };
    const injection: Injection = { as: 'frame', ...at, host: plan.host, device, frameBytes };
    twin.inject(injection);
  };
  for (const shot of frames) {
    inject(shot.device, shot.frame);
    for (let i = 0; i < LIKENESSES; i++) {
      const made = like(shot.frame, values, dice);
      if (made !== null) inject(shot.device, made);
    }
  }
  twin.compareState();
  return twin;
}

/** Rules whose packets may be remembered; with the others nearly nothing would be. */
const FORGETFUL =
  /^(limit|random|nth|recent|connlimit|hashlimit|quota|connbytes|u32|time|string|length|ttl|hl|owner|socket|cgroup|connmark|conntrackDetail|sctp|dccp)$/;
const KEPT_TARGETS =
  /^(none|accept|drop|return|jump|goto|mark|log|nflog|trace|audit|classify|tos|dscp|checksum|notrack|reject)$/;

function withoutForgetful(plan: Plan): Plan {
  const keeps = ({ matches, target }: Rule) =>
    KEPT_TARGETS.test(target.kind) &&
    matches.every((match) => {
      const isOption = match.kind === 'tcp' && match.option !== undefined;
      return !FORGETFUL.test(match.kind) && !isOption;
    });
  const tables = plan.tables.map((table) => ({
    ...table,
    chains: table.chains.map((chain) => ({ ...chain, rules: chain.rules.filter(keeps) })),
  }));
  return { ...plan, tables };
}

interface Frame {
  readonly device: string;
  readonly frame: Uint8Array;
}

for (const shape of SHAPES) {
  t.test(`generated plans, ${shape}: both engines alike`, { skip }, async (t) => {
    let [packets, moved, opaque] = [0, 0, 0];
    for (let seed = SEED; seed < SEED + TRIALS; seed++) {
      const { trial } = drawTrial(shape, seed, FRAMES);
      const frames = trial.shots.flatMap((shot) => (shot.kind === 'frame' ? [shot] : []));
      const plan = seed % 4 === 0 ? trial.plan : withoutForgetful(trial.plan);
      const twin = run(plan, frames, new Dice(seed));
      const statistics = twin.compiled.statistics();
      packets += twin.packets;
      moved += statistics.moved;
      opaque += statistics.slow.newFacts;
    }
    t.ok(moved > packets / 100, `${packets} packets, ${moved} compiled, ${opaque} with new facts`);
  });
}
