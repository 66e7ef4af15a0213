/**
 * IPv6 neighbour discovery as far as hosts resolve each other: solicitations answered for own
 * addresses, advertisements taken when they were asked for.
 *
 * Truth: RFC 4861 sections 4.3, 4.4, 7.2; net/ipv6/ndisc.c `ndisc_recv_ns`, `ndisc_recv_na`.
 * Not done: router discovery, redirects, duplicate address detection (plans are past it),
 * proxy_ndp.
 * @module
 */
import type { ImageInterface } from '../../image/image.ts';
import { fillSegment } from '../../packet/transport-checksum.ts';
import {
  type Address,
  equalAddress,
  ipv6,
  readIpv6,
  writeAddress,
} from '../../wire/address/address.ts';
import { readMac, writeMac } from '../../wire/address/mac.ts';
import { setU8, setU16, u8 } from '../../wire/bytes.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import * as icmpv6 from '../../wire/header/icmpv6.ts';
import * as wireIpv6 from '../../wire/header/ipv6.ts';
import { EtherType, Protocol } from '../../wire/protocol.ts';
import type { Passage } from '../passage.ts';
import { finish, type Run } from '../run.ts';

const HOP_LIMIT = 255;
const TARGET = 8;
const OPTIONS = 24;
const SOURCE_LINK_OPTION = 1;
const TARGET_LINK_OPTION = 2;
const LINK_OPTION_LENGTH = 8;
/** Flags of an advertisement (RFC 4861 section 4.4): solicited, override. */
const SOLICITED_OVERRIDE = 0x60000000;

/** ff02::1:ffXX:XXXX of an address (RFC 4291 section 2.7.1). */
export function solicitedNode(address: Address): Address {
  return ipv6(0xff020000, 0, 1, (0xff000000 | (address.w3 & 0xffffff)) >>> 0);
}

/** RFC 2464 section 7: 33:33 and the last four bytes of the group. */
export function ipv6MulticastMac(group: Address): string {
  const bytes = [24, 16, 8, 0].map((shift) => (group.w3 >>> shift) & 0xff);
  return ['33', '33', ...bytes.map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

interface Message {
  readonly type: number;
  readonly flags: number;
  readonly target: Address;
  readonly option: number;
  readonly mac: string;
  readonly src: Address;
  readonly dst: Address;
}

function message(m: Message): Uint8Array {
  const body = new Uint8Array(16 + LINK_OPTION_LENGTH);
  writeAddress(body, 0, m.target);
  setU8(body, 16, m.option);
  setU8(body, 17, 1);
  writeMac(body, 18, m.mac);
  const payload = icmpv6.emit({ type: m.type, code: 0, rest: m.flags }, body);
  setU16(payload, icmpv6.CHECKSUM, 0);
  fillSegment({
    bytes: payload,
    off: 0,
    end: payload.length,
    protocol: Protocol.icmpv6,
    src: m.src,
    dst: m.dst,
  });
  return wireIpv6.emit(
    {
      trafficClass: 0,
      flowLabel: 0,
      nextHeader: Protocol.icmpv6,
      hopLimit: HOP_LIMIT,
      src: m.src,
      dst: m.dst,
    },
    payload,
  );
}

/** The frame that asks, from `device`, who has `target`. */
export function solicitation(device: ImageInterface, from: Address, target: Address): Uint8Array {
  const dst = solicitedNode(target);
  const { mac } = device;
  const type = icmpv6.Icmpv6Type.neighborSolicitation;
  const ip = message({ type, flags: 0, target, option: SOURCE_LINK_OPTION, mac, src: from, dst });
  const header = { destination: ipv6MulticastMac(dst), source: mac, tags: [] };
  return ethernet.emit({ ...header, etherType: EtherType.ipv6 }, ip);
}

/** Take a neighbour discovery message that passed INPUT; other ICMPv6 is left alone (false). */
export function takeNeighborDiscovery(run: Run, passage: Passage): boolean {
  const { packet } = passage;
  const at = packet.l4;
  if (packet.family !== 6 || packet.protocol !== Protocol.icmpv6 || at < 0) return false;
  const type = icmpv6.type(packet.bytes, at);
  const { routerSolicitation, listenerQuery, listenerDone, redirect, listenerReport2 } =
    icmpv6.Icmpv6Type;
  const control = type >= routerSolicitation && type <= redirect;
  const listener = (type >= listenerQuery && type <= listenerDone) || type === listenerReport2;
  if (!control && !listener) return false;
  const whole = packet.end - at >= OPTIONS && packet.bytes.length >= at + OPTIONS;
  const { bytes, l3 } = packet;
  if (whole && wireIpv6.hopLimit(bytes, l3) === HOP_LIMIT) {
    if (type === icmpv6.Icmpv6Type.neighborSolicitation) answer(run, passage);
    if (type === icmpv6.Icmpv6Type.neighborAdvertisement) learn(passage);
  }
  passage.step('input', 'neighbour discovery: taken by the host');
  finish(passage, 'consumed', null);
  return true;
}

function answer(run: Run, passage: Passage): void {
  const { packet, device } = passage;
  const target = readIpv6(packet.bytes, packet.l4 + TARGET);
  if (!device.addresses.some((own) => equalAddress(own.address, target))) return;
  const mac = linkOption(passage, SOURCE_LINK_OPTION) ?? ethernet.source(packet.bytes);
  const ip = message({
    type: icmpv6.Icmpv6Type.neighborAdvertisement,
    flags: SOLICITED_OVERRIDE,
    target,
    option: TARGET_LINK_OPTION,
    mac: device.mac,
    src: target,
    dst: packet.src,
  });
  const header = { destination: mac, source: device.mac, tags: [], etherType: EtherType.ipv6 };
  const frame = ethernet.emit(header, ip);
  run.generate(passage, { kind: 'neighborAdvertisement', attach: false, frame, device });
}

function learn(passage: Passage): void {
  const { packet, device, host } = passage;
  const target = readIpv6(packet.bytes, packet.l4 + TARGET);
  const mac = linkOption(passage, TARGET_LINK_OPTION);
  if (mac !== null) host.learnNeighbor(device, target, mac);
}

function linkOption(passage: Passage, kind: number): string | null {
  const { bytes, l4, end } = passage.packet;
  const last = Math.min(end, bytes.length);
  for (let at = l4 + OPTIONS; at + LINK_OPTION_LENGTH <= last; ) {
    const length = u8(bytes, at + 1) * 8;
    if (length === 0) return null;
    if (u8(bytes, at) === kind) return readMac(bytes, at + 2);
    at += length;
  }
  return null;
}
