/**
 * Packets for tests, said as one reads them:
 * `tcp().from('10.244.0.2', 40000).to('10.244.0.3', 81).syn().packet()`.
 *
 * Builders are immutable: every call gives a new one, so a base can be shared by many rows. The family
 * follows the addresses. Checksums are right unless asked otherwise.
 * @module
 */

import type { Packet } from '../../src/packet/packet.ts';
import { newPacket, parseFrame } from '../../src/packet/parse.ts';
import { fillSegment } from '../../src/packet/transport-checksum.ts';
import { type Address, parseAddress } from '../../src/wire/address/address.ts';
import { setU16, u16 } from '../../src/wire/bytes.ts';
import { partialChecksum } from '../../src/wire/checksum.ts';
import * as arp from '../../src/wire/header/arp.ts';
import * as ethernet from '../../src/wire/header/ethernet.ts';
import * as icmp from '../../src/wire/header/icmp.ts';
import * as icmpv6 from '../../src/wire/header/icmpv6.ts';
import * as ipv4 from '../../src/wire/header/ipv4.ts';
import * as ipv6 from '../../src/wire/header/ipv6.ts';
import * as sctpWire from '../../src/wire/header/sctp.ts';
import * as tcpWire from '../../src/wire/header/tcp.ts';
import * as udpWire from '../../src/wire/header/udp.ts';
import { EtherType, Protocol } from '../../src/wire/protocol.ts';

export const CLIENT_MAC = '02:00:00:00:00:01';
export const SERVER_MAC = '02:00:00:00:00:02';

/** Parse an address that a test wrote itself. */
export function address(text: string): Address {
  const known = ADDRESSES.get(text);
  if (known !== undefined) return known;
  const parsed = parseAddress(text);
  if (parsed === null) throw new Error(`not an address: ${text}`);
  if (ADDRESSES.size < MAX_ADDRESSES) ADDRESSES.set(text, parsed);
  return parsed;
}

/** Those that were written before: drawn traffic says the same few again and again. */
const ADDRESSES = new Map<string, Address>();
const MAX_ADDRESSES = 10_000;

export interface FrameOptions {
  readonly srcMac?: string;
  readonly dstMac?: string;
  /** VLAN numbers, outermost first. */
  readonly vlan?: number | readonly number[];
}

type Body =
  | { readonly kind: 'tcp'; readonly header: tcpWire.Tcp }
  | { readonly kind: 'udp'; readonly header: udpWire.Udp }
  | { readonly kind: 'sctp'; readonly header: sctpWire.Sctp }
  | { readonly kind: 'icmp'; readonly type: number; readonly code: number; readonly rest: number }
  | { readonly kind: 'raw'; readonly protocol: number };

interface Parts {
  readonly src: Address;
  readonly dst: Address;
  readonly ttl: number;
  readonly tos: number;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly cut: { readonly offset: number; readonly length: number; readonly more: boolean } | null;
  readonly options: Uint8Array;
  readonly payload: Uint8Array;
  readonly checksum: 'right' | 'wrong' | 'partial' | 'none';
  readonly body: Body;
}

/** `n` bytes counting up, so that a misplaced payload shows. */
export function pattern(n: number): Uint8Array {
  if (n <= COUNTING.length) return COUNTING.slice(0, n);
  return Uint8Array.from({ length: n }, (_, i) => i & 0xff);
}

const COUNTING = Uint8Array.from({ length: 2048 }, (_, i) => i & 0xff);

function toBytes(payload: number | string | Uint8Array): Uint8Array {
  if (typeof payload === 'number') return pattern(payload);
  return typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
}

function changedTcp(header: tcpWire.Tcp, change: Partial<tcpWire.Tcp>): tcpWire.Tcp {
  return {
    sport: change.sport ?? header.sport,
    dport: change.dport ?? header.dport,
    seq: change.seq ?? header.seq,
    ack: change.ack ?? header.ack,
    flags: change.flags ?? header.flags,
    window: change.window ?? header.window,
    urgent: change.urgent ?? header.urgent,
    options: change.options ?? header.options,
  };
}

export class PacketBuilder {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Field by field: a spread whose fields override others costs several times as much. */
  #with(change: Partial<Parts>): PacketBuilder {
    const parts = this.#parts;
    return new PacketBuilder({
      src: change.src ?? parts.src,
      dst: change.dst ?? parts.dst,
      ttl: change.ttl ?? parts.ttl,
      tos: change.tos ?? parts.tos,
      id: change.id ?? parts.id,
      dontFragment: change.dontFragment ?? parts.dontFragment,
      cut: change.cut ?? parts.cut,
      options: change.options ?? parts.options,
      payload: change.payload ?? parts.payload,
      checksum: change.checksum ?? parts.checksum,
      body: change.body ?? parts.body,
    });
  }

  #tcp(change: Partial<tcpWire.Tcp>): PacketBuilder {
    const { body } = this.#parts;
    if (body.kind !== 'tcp') throw new Error('only TCP has flags, numbers and windows');
    return this.#with({ body: { kind: 'tcp', header: changedTcp(body.header, change) } });
  }

  #flags(bits: number): PacketBuilder {
    const { body } = this.#parts;
    return this.#tcp({ flags: (body.kind === 'tcp' ? body.header.flags : 0) | bits });
  }

  #port(change: { sport?: number; dport?: number }): Body {
    const { body } = this.#parts;
    if (body.kind === 'tcp') return { kind: 'tcp', header: changedTcp(body.header, change) };
    if (body.kind === 'udp') return { kind: 'udp', header: { ...body.header, ...change } };
    if (body.kind === 'sctp') return { kind: 'sctp', header: { ...body.header, ...change } };
    return body;
  }

  from(src: string, sport?: number): PacketBuilder {
    return this.#with({
      src: address(src),
      body: sport === undefined ? this.#parts.body : this.#port({ sport }),
    });
  }

  to(dst: string, dport?: number): PacketBuilder {
    return this.#with({
      dst: address(dst),
      body: dport === undefined ? this.#parts.body : this.#port({ dport }),
    });
  }

  /** The same packet with both ends exchanged. */
  reversed(): PacketBuilder {
    const { src, dst, body } = this.#parts;
    const swapped =
      body.kind === 'tcp' || body.kind === 'udp' || body.kind === 'sctp'
        ? this.#port({ sport: body.header.dport, dport: body.header.sport })
        : body;
    return this.#with({ src: dst, dst: src, body: swapped });
  }

  syn(): PacketBuilder {
    return this.#flags(tcpWire.TcpFlag.syn);
  }

  /** Set ACK, and the number it acknowledges when given. */
  ack(number?: number): PacketBuilder {
    const acked = this.#flags(tcpWire.TcpFlag.ack);
    return number === undefined ? acked : acked.#tcp({ ack: number >>> 0 });
  }

  fin(): PacketBuilder {
    return this.#flags(tcpWire.TcpFlag.fin);
  }

  rst(): PacketBuilder {
    return this.#flags(tcpWire.TcpFlag.rst);
  }

  psh(): PacketBuilder {
    return this.#flags(tcpWire.TcpFlag.psh);
  }

  /** Set exactly these flag bits. */
  flags(bits: number): PacketBuilder {
    return this.#tcp({ flags: bits });
  }

  seq(number: number): PacketBuilder {
    return this.#tcp({ seq: number >>> 0 });
  }

  window(size: number): PacketBuilder {
    return this.#tcp({ window: size });
  }

  tcpOptions(options: Uint8Array): PacketBuilder {
    return this.#tcp({ options });
  }

  chunks(...chunks: sctpWire.Chunk[]): PacketBuilder {
    const { body } = this.#parts;
    if (body.kind !== 'sctp') throw new Error('only SCTP has chunks');
    return this.#with({ body: { kind: 'sctp', header: { ...body.header, chunks } } });
  }

  tag(tag: number): PacketBuilder {
    const { body } = this.#parts;
    if (body.kind !== 'sctp') throw new Error('only SCTP has a verification tag');
    return this.#with({ body: { kind: 'sctp', header: { ...body.header, tag } } });
  }

  /** That many counting bytes, a text, or these bytes. */
  payload(payload: number | string | Uint8Array): PacketBuilder {
    return this.#with({ payload: toBytes(payload) });
  }

  ttl(ttl: number): PacketBuilder {
    return this.#with({ ttl });
  }

  tos(tos: number): PacketBuilder {
    return this.#with({ tos });
  }

  id(id: number): PacketBuilder {
    return this.#with({ id });
  }

  dontFragment(dontFragment = true): PacketBuilder {
    return this.#with({ dontFragment });
  }

  /** IPv4 options, a multiple of 4 bytes. */
  ipOptions(options: Uint8Array): PacketBuilder {
    return this.#with({ options });
  }

  /**
   * Only the part of the IP payload from `offset` on, `length` bytes of it (default: the rest), as a
   * fragment. The transport checksum is that of the whole.
   */
  fragment(offset: number, more: boolean, length?: number): PacketBuilder {
    return this.#with({
      dontFragment: false,
      cut: { offset, length: length ?? Number.POSITIVE_INFINITY, more },
    });
  }

  badChecksum(): PacketBuilder {
    return this.#with({ checksum: 'wrong' });
  }

  /** The checksum that a sender leaves to its device: the pseudo header's sum. */
  offloaded(): PacketBuilder {
    return this.#with({ checksum: 'partial' });
  }

  /** UDP over IPv4 without a checksum. */
  noChecksum(): PacketBuilder {
    return this.#with({ checksum: 'none' });
  }

  /** The IP packet. */
  packet(): Uint8Array {
    const { src, dst, cut, body } = this.#parts;
    const whole = this.#segment();
    const part = cut === null ? whole : whole.subarray(cut.offset, cut.offset + cut.length);
    const protocol = protocolOf(body, src.family);
    if (src.family !== dst.family) throw new Error('both addresses must be of one family');
    return src.family === 4 ? this.#ipv4(part, protocol) : this.#ipv6(part, protocol);
  }

  #ipv4(payload: Uint8Array, protocol: number): Uint8Array {
    const { src, dst, ttl, tos, id, dontFragment, options, cut } = this.#parts;
    const fragmentOffset = cut?.offset ?? 0;
    const moreFragments = cut?.more ?? false;
    return ipv4.emit(
      { src, dst, ttl, tos, id, dontFragment, options, protocol, fragmentOffset, moreFragments },
      payload,
    );
  }

  #ipv6(payload: Uint8Array, protocol: number): Uint8Array {
    const { src, dst, ttl, tos, id, cut } = this.#parts;
    const header = { src, dst, hopLimit: ttl, trafficClass: tos, flowLabel: 0 };
    if (cut === null) return ipv6.emit({ ...header, nextHeader: protocol }, payload);
    const extension = ipv6.emitFragmentHeader(protocol, cut.offset, cut.more, id);
    return ipv6.emit(
      { ...header, nextHeader: Protocol.fragment },
      Uint8Array.of(...extension, ...payload),
    );
  }

  #segment(): Uint8Array {
    const { src, dst, checksum, body, payload } = this.#parts;
    const protocol = protocolOf(body, src.family);
    const bytes = emitBody(body, payload, src.family);
    const segment = { bytes, off: 0, end: bytes.length, protocol, src, dst };
    const field = checksumOffset(body, src.family);
    if (field < 0 || checksum === 'none') return bytes;
    if (checksum === 'partial') {
      setU16(bytes, field, partialChecksum(src, dst, protocol, bytes.length));
      return bytes;
    }
    fillSegment(segment);
    // 0x5555 is neither a zero (no checksum) nor another form of the same sum.
    if (checksum === 'wrong') setU16(bytes, field, u16(bytes, field) ^ 0x5555);
    return bytes;
  }

  /** The packet in an Ethernet frame. */
  frame(options: FrameOptions = {}): Uint8Array {
    const vlan = options.vlan ?? [];
    const numbers = typeof vlan === 'number' ? [vlan] : vlan;
    return ethernet.emit(
      {
        destination: options.dstMac ?? SERVER_MAC,
        source: options.srcMac ?? CLIENT_MAC,
        tags: numbers.map((tci, i) => ({
          tpid: i < numbers.length - 1 ? EtherType.qinq : EtherType.vlan,
          tci,
        })),
        etherType: this.#parts.src.family === 4 ? EtherType.ipv4 : EtherType.ipv6,
      },
      this.packet(),
    );
  }

  /** The frame as a parsed `Packet`, offload mark and all. */
  parsed(options: FrameOptions = {}): Packet {
    const checksumOffloaded = this.#parts.checksum === 'partial';
    return parsed(this.frame(options), checksumOffloaded);
  }
}

/** Parse a frame that must be well formed. */
export function parsed(frame: Uint8Array, checksumOffloaded = false): Packet {
  const packet = newPacket({ frame: 1, bytes: frame, checksumOffloaded });
  const fault = parseFrame(packet);
  if (fault !== null) throw new Error(`the frame does not parse: ${fault}`);
  return packet;
}

/** Parse bare IP bytes by way of a frame. */
export function parsedIp(ip: Uint8Array): Packet {
  const etherType = ip[0]! >>> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4;
  const header = { destination: SERVER_MAC, source: CLIENT_MAC, tags: [], etherType };
  return parsed(ethernet.emit(header, ip));
}

function protocolOf(body: Body, family: 4 | 6): number {
  if (body.kind === 'raw') return body.protocol;
  if (body.kind === 'icmp') return family === 4 ? Protocol.icmp : Protocol.icmpv6;
  return Protocol[body.kind];
}

function checksumOffset(body: Body, family: 4 | 6): number {
  if (body.kind === 'tcp') return tcpWire.CHECKSUM;
  if (body.kind === 'udp') return udpWire.CHECKSUM;
  if (body.kind === 'sctp') return sctpWire.CHECKSUM;
  if (body.kind === 'icmp') return family === 4 ? icmp.CHECKSUM : icmpv6.CHECKSUM;
  return -1;
}

function emitBody(body: Body, payload: Uint8Array, family: 4 | 6): Uint8Array {
  switch (body.kind) {
    case 'tcp':
      return tcpWire.emit(body.header, payload);
    case 'udp':
      return udpWire.emit(body.header, payload);
    case 'sctp':
      return sctpWire.emit(body.header);
    case 'icmp':
      return family === 4 ? icmp.emit(body, payload) : icmpv6.emit(body, payload);
    case 'raw':
      return payload.slice();
  }
}

const NONE = new Uint8Array(0);

function build(body: Body): PacketBuilder {
  return new PacketBuilder({
    src: address('10.244.0.2'),
    dst: address('10.244.0.3'),
    ttl: 64,
    tos: 0,
    id: 0,
    dontFragment: true,
    cut: null,
    options: NONE,
    payload: NONE,
    checksum: 'right',
    body,
  });
}

/** A TCP segment without flags, from 40000 to 80. */
export function tcp(): PacketBuilder {
  const header = { sport: 40000, dport: 80, seq: 0, ack: 0, flags: 0, window: 64240, urgent: 0 };
  return build({ kind: 'tcp', header: changedTcp({ ...header, options: NONE }, {}) });
}

/** A UDP datagram from 40000 to 53. */
export function udp(): PacketBuilder {
  return build({ kind: 'udp', header: { sport: 40000, dport: 53 } });
}

/** An SCTP packet from 40000 to 5000, with no chunk yet. */
export function sctp(): PacketBuilder {
  return build({ kind: 'sctp', header: { sport: 40000, dport: 5000, tag: 0, chunks: [] } });
}

/** An INIT chunk with this initiate tag. */
export function sctpInit(tag: number): sctpWire.Chunk {
  const body = Uint8Array.of(
    tag >>> 24,
    tag >>> 16,
    tag >>> 8,
    tag,
    0,
    0,
    255,
    255,
    0,
    1,
    0,
    1,
    0,
    0,
    0,
    1,
  );
  return { type: sctpWire.SctpChunk.init, flags: 0, body };
}

/** An ICMP message; by IPv6 addresses an ICMPv6 message with the same numbers. */
export function icmpMessage(type: number, code = 0, rest = 0): PacketBuilder {
  return build({ kind: 'icmp', type, code, rest });
}

/** An echo request; `v6: true` for ICMPv6's number. */
export function icmpEcho(id = 1, sequence = 1, options: { v6?: boolean } = {}): PacketBuilder {
  return icmpMessage(options.v6 ? 128 : 8, 0, id * 0x10000 + sequence);
}

export function icmpEchoReply(id = 1, sequence = 1, options: { v6?: boolean } = {}): PacketBuilder {
  return icmpMessage(options.v6 ? 129 : 0, 0, id * 0x10000 + sequence);
}

/** An error about `inner` (an IP packet); destination unreachable / port unless said otherwise. */
export function icmpError(
  inner: Uint8Array,
  options: { type?: number; code?: number; rest?: number; quote?: number } = {},
): PacketBuilder {
  const v6 = inner[0]! >>> 4 === 6;
  const type = options.type ?? (v6 ? 1 : 3);
  const quoted = inner.subarray(0, options.quote ?? (v6 ? 48 : 28));
  return icmpMessage(type, options.code ?? (v6 ? 4 : 3), options.rest ?? 0).payload(quoted.slice());
}

/** A packet of any IP protocol. */
export function rawIp(protocol: number): PacketBuilder {
  return build({ kind: 'raw', protocol });
}

/** The frame of an ARP request, broadcast. */
export function arpRequest(options: {
  readonly senderMac?: string;
  readonly senderIp: string;
  readonly targetIp: string;
}): Uint8Array {
  const senderMac = options.senderMac ?? CLIENT_MAC;
  const body = arp.emit({
    operation: arp.ArpOperation.request,
    senderMac,
    senderIp: address(options.senderIp),
    targetMac: '00:00:00:00:00:00',
    targetIp: address(options.targetIp),
  });
  const destination = 'ff:ff:ff:ff:ff:ff';
  return ethernet.emit(
    { destination, source: senderMac, tags: [], etherType: EtherType.arp },
    body,
  );
}
