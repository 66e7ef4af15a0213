/**
 * Annotated packets of lanes whose packets are judged as they were captured, by link type: the same
 * bytes as without lanes.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { LinkType } from '../../../src/capture/record.ts';
import { openSink } from '../../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../../src/capture/write/pcap-writer.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { bigCluster } from '../../support/big-cluster.ts';
import { laneRun } from '../../support/lane-replays.ts';
import { udp } from '../../support/packets.ts';

const native = findNative();
const { addon } = native;
const skip = native.addon === null ? native.reason : false;
const { cluster, policies } = bigCluster({ nodes: 1, podsPerNode: 4 });
const PODS = ['10.240.0.11', '10.240.0.12'] as const;
const PODS6 = ['fd00:240::0:10a', 'fd00:240::0:10b'] as const;
const FLOWS = 3;
const ROUNDS = 20;

interface Link {
  readonly name: string;
  readonly linkType: number;
  readonly frame: (packet: ReturnType<typeof udp>) => Uint8Array;
}

/** Behind a header of `length` bytes with this ether type at `at`. */
function cooked(packet: Uint8Array, length: number, at: number): Uint8Array {
  const frame = new Uint8Array(length + packet.length);
  new DataView(frame.buffer).setUint16(at, (packet[0] ?? 0) >>> 4 === 4 ? 0x0800 : 0x86dd);
  frame.set(packet, length);
  return frame;
}

/** Short Ethernet frames are filled up, as a network card does. */
function filled(frame: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.max(60, frame.length)).fill(0xee);
  whole.set(frame);
  return whole;
}

const LINKS: readonly Link[] = [
  { name: 'Ethernet', linkType: LinkType.ethernet, frame: (p) => filled(p.frame()) },
  { name: 'a VLAN', linkType: LinkType.ethernet, frame: (p) => p.frame({ vlan: 7 }) },
  { name: 'raw', linkType: LinkType.raw, frame: (p) => p.packet() },
  { name: 'SLL', linkType: LinkType.linuxSll, frame: (p) => cooked(p.packet(), 16, 14) },
  { name: 'SLL2', linkType: LinkType.linuxSll2, frame: (p) => cooked(p.packet(), 20, 0) },
];

async function writeTalk(path: string, { linkType, frame }: Link): Promise<void> {
  const writer = await PcapWriter.create(openSink(path), { linkType });
  for (let n = 0; n < ROUNDS * FLOWS * 2; n++) {
    const [client, server] = (n >>> 1) % FLOWS === 2 ? PODS6 : PODS;
    const asks = udp()
      .from(client, 40_000 + ((n >>> 1) % FLOWS))
      .to(server, 53)
      .payload(n % 9);
    const data = frame(n % 2 === 0 ? asks : asks.reversed());
    const timeNs = 1_700_000_000_000_000_000n + BigInt(n) * 1_000_000n;
    await writer.write({ timeNs, data, wireLength: data.length });
  }
  await writer.close();
}

for (const link of LINKS) {
  t.test(
    `annotated packets of lanes are those of frames by hand: ${link.name}`,
    { skip },
    async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'wiretrial-annotated-'));
      t.teardown(() => rmSync(folder, { recursive: true }));
      const path = join(folder, 'talk.pcap');
      await writeTalk(path, link);
      const c = { cluster, policies, stack: 'azure-bridge+none', paths: [path] };
      const want = await laneRun(c, null);
      const got = await laneRun(c, addon);
      t.ok(got.inLanes > ROUNDS, `${got.inLanes} packets in lanes`);
      const at = want.rows.findIndex((row, i) => row !== got.rows[i]);
      t.equal(got.rows[at], want.rows[at]);
      t.equal(got.rows.length, want.rows.length);
    },
  );
}
