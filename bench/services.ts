/**
 * Workloads of connections that are translated on their way: to a Service's address, and out to the
 * internet behind a node's and then the cluster's address.
 *
 * Where an opening gets to, and with which ends, a reference engine is asked while the workload is
 * drawn: answers come from there. An engine that is given the openings in this order comes to the
 * same.
 * @module
 */
import { podHost } from '../src/dataplane/dataplane.ts';
import type { EntryPlace } from '../src/engine/compiled.ts';
import type { Engine, Journey } from '../src/engine/engine.ts';
import { framed } from '../src/engine/execution.ts';
import { injectionOf } from '../src/lab/bench/batch.ts';
import { buildPacket } from '../src/lab/bench/segment.ts';
import type { Sent } from '../src/lab/bench/talks.ts';
import type { Workload } from '../src/lab/bench/workload.ts';
import type { World } from '../src/lab/world.ts';
import { type PacketEnds, packetEnds } from '../src/packet/ends.ts';
import { newPacket, parseFrame } from '../src/packet/parse.ts';
import { type Address, ipv4, parseAddress } from '../src/wire/address/address.ts';
import { TcpFlag } from '../src/wire/header/tcp.ts';
import { SERVICE_IP, SERVICE_PORT } from './clusters.ts';

/** What clients ask for: a Service, or addresses outside of the cluster. */
export type Aim = 'service' | 'outside';

export interface TranslatedOptions {
  readonly aim: Aim;
  readonly connections: number;
  readonly packets: number;
  readonly protocol: 'tcp' | 'udp' | 'both';
  readonly payload: number;
  readonly seed: number;
}

/** 198.18.0.0/15, for benchmarks (RFC 2544). */
const OUTSIDE = ipv4(0xc6_12_00_00);
const OUTSIDE_ADDRESSES = 1 << 17;
const FIRST_PORT = 1024;
const PORTS = 60_000;
/** Connections of which both engines are asked, and packets. */
const CHECKED_TALKS = 600;
const CHECKED = 2000;
const STEP_NS = 1000;
const START_NS = 1e15;

interface Talk {
  readonly opening: readonly Sent[];
  readonly there: Sent;
  readonly back: Sent;
}

/** @throws RangeError when a connection does not come about: there is nothing to measure then */
export function drawTranslated(world: World, scout: Engine, options: TranslatedOptions): Workload {
  const clients = world.cluster.pods.slice(0, Math.ceil(world.cluster.pods.length / 2));
  let nowNs = START_NS;
  let frame = 0;
  const send = (sent: Sent): Journey => {
    nowNs += STEP_NS;
    frame += 1;
    const journey = scout.inject(injectionOf(sent, frame, nowNs));
    if (journey.outcome === 'delivered' || journey.outcome === 'exited') return journey;
    throw new RangeError(`${journey.outcome}: ${journey.reason}, nothing to measure`);
  };
  const talks = Array.from({ length: options.connections }, (_, i) => {
    const pod = clients[i % clients.length];
    const src = pod?.addresses.find(({ family }) => family === 4);
    if (pod === undefined || src === undefined) throw new RangeError('clients with IPv4');
    const entry: EntryPlace = { as: 'local', host: podHost(pod) };
    const sport = FIRST_PORT + (Math.floor(i / clients.length) % PORTS);
    const near = { src, sport, ...aimOf(options.aim, i) };
    const isTcp = options.protocol === 'tcp' || (options.protocol === 'both' && i % 2 === 0);
    return makeTalk({ world, send, near, entry, isTcp, size: options.payload });
  });
  let state = options.seed >>> 0 || 1;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
  const draw = (of: readonly Talk[], count: number) =>
    Array.from({ length: count }, () => {
      const talk = of[random() % of.length];
      if (talk === undefined) throw new RangeError('a workload has connections');
      return random() & 1 ? talk.there : talk.back;
    });
  const packetsOf = (of: readonly Talk[], count: number) => ({
    openings: of.flatMap(({ opening }) => opening),
    packets: draw(of, count),
  });
  // The first ones: what the kernel draws for a connection hangs on how many there were before.
  const sample = packetsOf(talks.slice(0, CHECKED_TALKS), CHECKED);
  return { ...packetsOf(talks, options.packets), sample };
}

function aimOf(aim: Aim, i: number): { readonly dst: Address; readonly dport: number } {
  if (aim === 'outside') {
    const dst = ipv4(OUTSIDE.w3 + (i % OUTSIDE_ADDRESSES));
    return { dst, dport: 443 };
  }
  const dst = parseAddress(SERVICE_IP);
  if (dst === null) throw new RangeError('an address');
  return { dst, dport: SERVICE_PORT };
}

interface TalkParts {
  readonly world: World;
  readonly send: (sent: Sent) => Journey;
  readonly near: PacketEnds;
  readonly entry: EntryPlace;
  readonly isTcp: boolean;
  readonly size: number;
}

/** Open one connection, and say what its packets look like from then on. */
function makeTalk({ world, send, near, entry, isTcp, size }: TalkParts): Talk {
  const there = (flags: number, seq: number, ack: number, payload: number): Sent => {
    const { src, dst, sport, dport } = near;
    const segment = { sport, dport, isTcp, flags, seq, ack, size: payload };
    return { entry, packet: buildPacket(src, dst, segment) };
  };
  const { syn, ack, psh } = TcpFlag;
  const first = isTcp ? there(syn, 100, 0, 0) : there(0, 0, 0, size);
  const far = endsOf(send(first));
  const back = (flags: number, seq: number, acked: number, payload: number): Sent => {
    const { src, dst, sport, dport } = far;
    const segment = { sport: dport, dport: sport, isTcp, flags, seq, ack: acked, size: payload };
    const packet = buildPacket(dst, src, segment);
    const place = world.identities.placeOf(dst);
    const {
      frame: _f,
      nowNs: _n,
      packet: _p,
      ...from
    } = world.injectAt(place, packet, {
      frame: 0,
      nowNs: 0,
    }) as { frame: number; nowNs: number; packet: Uint8Array } & EntryPlace;
    return { entry: from, packet };
  };
  const talkThere = there(ack | psh, 101, 901, size);
  const talkBack = back(ack | psh, 901, 101, size);
  const rest = isTcp ? [back(syn | ack, 900, 101, 0), there(ack, 101, 901, 0)] : [talkBack];
  const opening = [...rest, talkThere, talkBack];
  for (const sent of opening) send(sent);
  return { opening: [first, ...opening], there: talkThere, back: talkBack };
}

function endsOf({ packet }: Journey): PacketEnds {
  const parsed = packet === null ? null : newPacket({ frame: 0, bytes: framed(packet) });
  if (parsed === null || parseFrame(parsed) !== null) throw new RangeError('a whole packet');
  return packetEnds(parsed);
}
