/**
 * The traffic of every golden case, and each kind of path between the ends of a cluster (own pod, pod of
 * the same node, of another node, nodes, outside), at every node of every stack: what the kernel lets out,
 * counts and tracks is what the engine does, byte for byte.
 *
 * Frames are put where their senders are: pods at their cables, everybody else behind the uplink. What a
 * node itself sends is not among them.
 */
import t, { type Test } from 'tap';
import { openCaptures } from '../../../src/capture/reader.ts';
import type { Cluster } from '../../../src/cluster/model.ts';
import { renderNetwork } from '../../../src/dataplane/render.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { loadInputs } from '../../../src/policy/inputs.ts';
import type { NetworkPolicy } from '../../../src/policy/model.ts';
import { formatAddress, readIpv4, readIpv6 } from '../../../src/wire/address/address.ts';
import * as ethernet from '../../../src/wire/header/ethernet.ts';
import { TcpFlag } from '../../../src/wire/header/tcp.ts';
import { OUTSIDE_ADDRESS, policies, shop } from '../../dataplane/shop.ts';
import { goldenCases } from '../../golden/case.ts';
import { icmpEcho, icmpEchoReply, type PacketBuilder, tcp, udp } from '../../support/packets.ts';
import { Agent } from './harness/agent.ts';
import { askEngine } from './harness/ask-engine.ts';
import { compare } from './harness/compare.ts';
import { nodePlace } from './harness/draw/cluster.ts';
import type { Place, Station } from './harness/draw/places.ts';
import { kernelMissing } from './harness/laboratory.ts';
import { printTrial } from './harness/shrink.ts';
import type { Shot } from './harness/trial.ts';

const skip =
  kernelMissing(['iptables-legacy', 'ebtables', 'ipset', 'conntrack', 'bridge']) ?? false;
const MTU = 1500;
const STACKS = ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico'];

const agent = skip === false ? new Agent() : null;
t.teardown(() => agent?.close());
t.setTimeout(600_000);

for (const golden of goldenCases()) {
  t.test(`${golden.name} in the kernel: ${golden.about}`, { skip }, async (t) => {
    t.setTimeout(120_000);
    const packets = await capturedIp(golden.capture);
    const { cluster, policies: given } = loadInputs(golden.files);
    let frames = 0;
    for (const stack of golden.stacks)
      frames += await onNodes(t, { cluster, given, stack, packets });
    t.ok(frames > 0, `${frames} frames`);
  });
}

for (const stack of STACKS) {
  t.test(`every kind of path on ${stack} in the kernel`, { skip }, async (t) => {
    t.setTimeout(120_000);
    const frames = await onNodes(t, {
      cluster: shop,
      given: policies,
      stack,
      packets: everyPath(),
    });
    t.ok(frames > 0, `${frames} frames`);
  });
}

interface Scene {
  readonly cluster: Cluster;
  readonly given: readonly NetworkPolicy[];
  readonly stack: string;
  readonly packets: readonly Uint8Array[];
}

/** Both sides at each node; how many frames were put in. */
async function onNodes(t: Test, { cluster, given, stack, packets }: Scene): Promise<number> {
  const network = renderNetwork({ cluster, policies: given, stack: parseStack(stack) });
  let frames = 0;
  for (const { host } of network.nodes) {
    const place = nodePlace(cluster, network, host);
    const shots = packets.flatMap((packet) => shotsOf(place, packet));
    if (shots.length === 0 || agent === null) continue;
    frames += shots.length;
    const trial = { name: `${stack} ${host}`, backend: 'nft', plan: place.plan, shots } as const;
    const { outcome } = await compare(agent, trial, askEngine(trial));
    const found = outcome.kind === 'different' ? outcome.difference : null;
    t.equal(outcome.kind, 'equal', found === null ? trial.name : printTrial(trial, found));
  }
  return frames;
}

/** The frame in which a packet reaches this node's devices; none when it passes elsewhere. */
function shotsOf(place: Place, packet: Uint8Array): Shot[] {
  const family = packet[0]! >>> 4 === 6 ? 6 : 4;
  const read = (at: number) =>
    formatAddress(family === 4 ? readIpv4(packet, at) : readIpv6(packet, at));
  const [src, dst] = family === 4 ? [read(12), read(16)] : [read(8), read(24)];
  const at = (text: string) =>
    place.stations.find((one) => one.device !== 'eth0' && one.addresses[family].includes(text));
  const isHere = (text: string) => at(text) !== undefined || place.own[family].includes(text);
  if (place.own[family].includes(src) || !(at(src) !== undefined || isHere(dst))) return [];
  const from = at(src) ?? place.stations.at(-1);
  // Aggregates of an offload are longer than any cable takes.
  if (from === undefined || packet.length > MTU) return [];
  const frame = new Uint8Array(ethernet.HEADER_LENGTH + packet.length);
  frame.set(packet, ethernet.HEADER_LENGTH);
  ethernet.setDestination(frame, nextMac(place, from, at(dst), dst));
  ethernet.setSource(frame, from.mac);
  frame.set(family === 4 ? [0x08, 0x00] : [0x86, 0xdd], 12);
  return [{ kind: 'frame', device: from.device, frame }];
}

function nextMac(place: Place, from: Station, to: Station | undefined, dst: string): string {
  const isOwn = place.own[4].includes(dst) || place.own[6].includes(dst);
  if (isOwn) return from.host ?? from.gateway;
  return to !== undefined && to.link === from.link ? to.mac : from.gateway;
}

async function capturedIp(file: string): Promise<Uint8Array[]> {
  const packets: Uint8Array[] = [];
  for await (const batch of openCaptures([file])) {
    for (const { data } of batch) {
      const type = ethernet.etherType(data);
      if (type === 0x0800 || type === 0x86dd) {
        packets.push(data.slice(ethernet.payloadOffset(data)));
      }
    }
  }
  return packets;
}

/** A handshake, a datagram with its answer, and a ping, between any two ends. */
function everyPath(): Uint8Array[] {
  const ends = [
    ...shop.pods.map((pod) => formatAddress(pod.addresses[0]!)),
    ...shop.nodes.map((node) => formatAddress(node.addresses[0]!)),
    OUTSIDE_ADDRESS,
  ];
  let port = 20_000;
  return ends.flatMap((from) =>
    ends.flatMap((to) => {
      port += 1;
      const forth = (b: PacketBuilder) => b.from(from, port).to(to, 80).packet();
      const back = (b: PacketBuilder) => b.from(to, 80).to(from, port).packet();
      return [
        forth(tcp().syn().seq(1)),
        back(
          tcp()
            .flags(TcpFlag.syn | TcpFlag.ack)
            .seq(9)
            .ack(2),
        ),
        forth(tcp().flags(TcpFlag.ack).seq(2).ack(10)),
        forth(udp().payload(20)),
        back(udp().payload(30)),
        forth(icmpEcho(port, 1).payload(8)),
        back(icmpEchoReply(port, 1).payload(8)),
      ];
    }),
  );
}
