/**
 * `-w`: the capture again, every packet with its verdict, as stock Wireshark shows it.
 *
 *   interface    the emulated device where the packet's fate was settled (`node-a:azv1234`), its
 *                description what its cable leads to; packets never sent stand at `not sent`
 *   comment      the outcome in words: reason, rule, policy and its file and line (frame.comment)
 *   verdict      epb_verdict, eBPF TC: TC_ACT_OK 0 or TC_ACT_SHOT 2 (frame.verdict.ebpf_tc)
 *   packet id    the frame number in the input (frame.packet_id)
 *   names        pods and nodes in a name resolution block
 *
 * Every packet once, as it was replayed (mapped addresses included), in capture order. All are
 * Ethernet frames, whatever they were captured as: tools of libpcap refuse mixed link types.
 * Fields and what Wireshark makes of them were tried with tshark 4.0.17.
 * @module
 */
import { statSync } from 'node:fs';
import { LinkType, type PacketRecord, type PacketVerdict } from '../capture/record.ts';
import { openSink } from '../capture/write/byte-sink.ts';
import { PcapngWriter } from '../capture/write/pcapng-writer.ts';
import type { FrameResult } from '../lab/result.ts';
import type { ShownFrame } from '../lab/traffic/captured.ts';
import type { World } from '../lab/world.ts';
import type { Attachment, Network } from '../plan/model.ts';
import { formatAddress } from '../wire/address/address.ts';
import { describeReason, isReason } from '../wire/drop-reason.ts';
import * as ethernet from '../wire/header/ethernet.ts';
import { EtherType } from '../wire/protocol.ts';
import { formatPlace, formatPolicy } from './result/replay-table.ts';
import { fileOutput } from './text/text-output.ts';
import { VERSION } from './version.ts';

/** Verdicts as eBPF's traffic control has them: TC_ACT_OK, TC_ACT_SHOT. */
const OK: readonly PacketVerdict[] = [{ type: 'ebpfTc', value: 0n }];
const SHOT: readonly PacketVerdict[] = [{ type: 'ebpfTc', value: 2n }];
const NONE: readonly PacketVerdict[] = [];
const NOT_SENT = 'not sent';
/** Locally administered addresses for packets that were captured without any. */
const NO_MACS = { destination: '02:00:00:00:00:02', source: '02:00:00:00:00:01', tags: [] };

interface InterfaceCounts {
  received: number;
  dropped: number;
  lastNs: bigint;
}

interface Kept {
  readonly bytes: Uint8Array;
  readonly wireLength: number;
}

/** A packet of the annotated capture, as plain data. */
export interface AnnotatedPacket extends Kept {
  readonly frame: number;
  readonly timeNs: bigint;
  readonly outcome: FrameResult['outcome'];
  readonly comment: string;
  /** The device where its fate was settled; null when it was never sent. */
  readonly end: Attachment | null;
}

/** Joins frames to what became of them. */
export class AnnotatedPackets {
  readonly #waiting = new Map<number, Kept>();
  /** By what rows have in common (`FrameResult.like`). */
  readonly #comments = new WeakMap<object, string>();
  #ready: AnnotatedPacket[] = [];

  /** Keep a frame's bytes until its result is known. */
  frame(shown: ShownFrame, record: PacketRecord): void {
    this.#waiting.set(shown.frame, ethernetFrame(shown, record));
  }

  /** A result, in capture order; generated packets are not in the input and are left out. */
  result(row: FrameResult): void {
    const { frame, timeNs, outcome } = row;
    if (frame === null) return;
    const kept = this.#waiting.get(frame);
    this.#waiting.delete(frame);
    const end = row.journey?.end ?? null;
    const comment = this.#commentOf(row);
    if (kept === undefined) return;
    const { bytes, wireLength } = kept;
    this.#ready.push({ bytes, wireLength, frame, timeNs, outcome, comment, end });
  }

  #commentOf(row: FrameResult): string {
    const { like } = row;
    if (like === undefined) return commentOf(row);
    const known = this.#comments.get(like);
    if (known !== undefined) return known;
    const made = commentOf(row);
    this.#comments.set(like, made);
    return made;
  }

  /** What is settled since this was last asked. */
  take(): readonly AnnotatedPacket[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }
}

export class AnnotatedCapture {
  readonly #world: World;
  readonly #writer: PcapngWriter;
  readonly #interfaces = new Map<string, number>();
  readonly #byEnd = new WeakMap<Attachment, number>();
  readonly #counts = new Map<number, InterfaceCounts>();

  private constructor(world: World, writer: PcapngWriter) {
    this.#world = world;
    this.#writer = writer;
  }

  /**
   * Begin a file (`-` is standard output, `.gz` compresses). Rejects with a `UserError` when it can
   * not be written.
   *
   * @param names whether addresses are named, for Wireshark's name resolution
   */
  static async open(path: string, world: World, names: boolean): Promise<AnnotatedCapture> {
    checkWritable(path);
    const { stack, engine } = world;
    const writer = await PcapngWriter.create(openSink(path), {
      application: `wiretrial ${VERSION}`,
      comments: [`replayed on ${stack.text} by the ${engine.name} engine`],
    });
    if (names) await writer.writeNames(namesOf(world));
    return new AnnotatedCapture(world, writer);
  }

  /** Write packets, in capture order. */
  async write(packets: readonly AnnotatedPacket[]): Promise<void> {
    for (const packet of packets) {
      const iface = this.#knownInterface(packet.end) ?? (await this.#interfaceOf(packet.end));
      const isFull = this.#write(packet, iface);
      if (isFull !== null) await isFull;
    }
  }

  async end(): Promise<void> {
    const writer = this.#writer;
    for (const [iface, { received, dropped, lastNs }] of this.#counts) {
      const totals = { received: BigInt(received), dropped: BigInt(dropped) };
      await writer.writeStatistics(iface, { timeNs: lastNs, ...totals });
    }
    await writer.close();
  }

  /** Write a packet; what to wait for before the next, or null. */
  #write(packet: AnnotatedPacket, iface: number): Promise<void> | null {
    const { outcome, timeNs } = packet;
    const isDropped = outcome === 'dropped';
    const count = this.#countsOf(iface);
    count.received++;
    if (isDropped) count.dropped++;
    count.lastNs = timeNs;
    const isJudged = isDropped || outcome === 'delivered' || outcome === 'exited';
    const verdicts = isJudged ? (isDropped ? SHOT : OK) : NONE;
    return this.#writer.write({
      interface: iface,
      timeNs,
      data: packet.bytes,
      wireLength: packet.wireLength,
      comments: [packet.comment],
      annotations: { packetId: BigInt(packet.frame), verdicts },
    });
  }

  #countsOf(iface: number): InterfaceCounts {
    let count = this.#counts.get(iface);
    if (count === undefined) {
      count = { received: 0, dropped: 0, lastNs: 0n };
      this.#counts.set(iface, count);
    }
    return count;
  }

  /** The interface of a device that packets ended at before, by the very same object. */
  #knownInterface(end: Attachment | null): number | undefined {
    return end === null ? undefined : this.#byEnd.get(end);
  }

  async #interfaceOf(end: Attachment | null): Promise<number> {
    const made = await this.#makeInterface(end);
    if (end !== null) this.#byEnd.set(end, made);
    return made;
  }

  async #makeInterface(end: Attachment | null): Promise<number> {
    const name = end ? `${end.host}:${end.device}` : NOT_SENT;
    const known = this.#interfaces.get(name);
    if (known !== undefined) return known;
    const description = end
      ? describeDevice(this.#world.network, end)
      : 'packets that were not sent, see their comments';
    const made = await this.#writer.addInterface({
      linkType: LinkType.ethernet,
      name,
      description,
    });
    this.#interfaces.set(name, made);
    return made;
  }
}

/** `device azv1234 of node-a, to shop/web`. */
function describeDevice({ links }: Network, at: Attachment): string {
  const isHere = (end: Attachment) => end.host === at.host && end.device === at.device;
  const link = links.find(([a, b]) => isHere(a) || isHere(b));
  const far = link && (isHere(link[0]) ? link[1] : link[0]);
  return `device ${at.device} of ${at.host}${far ? `, to ${far.host}` : ''}`;
}

/** Before the run, not after it: a stream tells only at the first write. Pipes open only once. */
function checkWritable(path: string): void {
  const found = path === '-' ? undefined : statSync(path, { throwIfNoEntry: false });
  if (path !== '-' && (found === undefined || found.isFile())) fileOutput(path).close();
}

function namesOf({ cluster: { pods, nodes } }: World) {
  return [
    ...nodes.flatMap((node) => node.addresses.map((a) => named(a, `${node.name}.node`))),
    ...pods
      .filter((pod) => !pod.hostNetwork)
      .flatMap((pod) => pod.addresses.map((a) => named(a, `${pod.name}.${pod.namespace}.pod`))),
  ];
}

function named(address: Parameters<typeof formatAddress>[0], name: string) {
  return { address: formatAddress(address), name };
}

/**
 * `DROPPED policyDenied: … | node-a forward filter/… rule 3 | shop/NetworkPolicy/deny (p.yaml:4)`.
 */
function commentOf(row: FrameResult): string {
  const reason = row.reason === null ? '' : ` ${row.reason}`;
  const why = row.reason !== null && isReason(row.reason) ? `: ${describeReason(row.reason)}` : '';
  const parts = [`${row.outcome.toUpperCase()}${reason}${why}`];
  if (row.decidedBy) {
    parts.push(formatPlace(row.decidedBy));
    if (row.decidedBy.text) parts.push(row.decidedBy.text);
    const policy = formatPolicy(row.decidedBy);
    if (policy !== '-') parts.push(policy);
  }
  return parts.join(' | ');
}

/** The frame as Ethernet: as captured when it was that, else with a header of our own. */
function ethernetFrame({ datagram, isKept }: ShownFrame, record: PacketRecord): Kept {
  const isEthernet = record.iface.linkType === LinkType.ethernet;
  if (datagram === null) {
    const own = isKept === true ? record.data : record.data.slice();
    if (isEthernet) return { bytes: own, wireLength: record.wireLength };
    const bytes = ethernet.emit({ ...NO_MACS, etherType: 0xffff }, own);
    return { bytes, wireLength: record.wireLength + ethernet.HEADER_LENGTH };
  }
  if (isEthernet) {
    const bytes = record.data.slice();
    bytes.set(datagram.bytes, ethernet.payloadOffset(bytes));
    return { bytes, wireLength: record.wireLength };
  }
  const etherType = datagram.family === 4 ? EtherType.ipv4 : EtherType.ipv6;
  const bytes = ethernet.emit({ ...NO_MACS, etherType }, datagram.bytes);
  return { bytes, wireLength: datagram.wireLength + ethernet.HEADER_LENGTH };
}
