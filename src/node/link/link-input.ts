/**
 * A frame arrives at a device: what `__netif_receive_skb_core` (net/core/dev.c) and
 * `eth_type_trans` (net/ethernet/eth.c) do before any protocol sees it.
 *
 * VLAN devices are not part of plans, so a frame tagged with a VLAN number is another host's to
 * whatever is not a bridge port; priority tags (VLAN 0) are as good as none.
 * @module
 */
import type { ImageInterface } from '../../image/image.ts';
import type { Packet } from '../../packet/packet.ts';
import { parseFrame } from '../../packet/parse.ts';
import { BROADCAST_MAC, isGroupMac } from '../../wire/address/mac.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { Passage, Stage } from '../passage.ts';
import { drop, finish, type Run } from '../run.ts';
import type { FrameType } from './frame-type.ts';
import { isMacAt } from './link-header.ts';

const VLAN_NUMBER = 0x0fff;

/** To whom the frame is addressed, as `device` sees it (`eth_type_trans`). */
export function frameType(destination: string, device: ImageInterface): FrameType {
  if (destination === device.mac) return 'host';
  if (destination === BROADCAST_MAC) return 'broadcast';
  return isGroupMac(destination) ? 'multicast' : 'otherHost';
}

/** Take a frame that arrived at `passage.device`. */
export function linkInput(_run: Run, passage: Passage): Stage | null {
  const { packet, device } = passage;
  if (!device.up) return drop(passage, 'link-input', 'noSuchDevice');
  const fault = parseFrame(packet);
  if (fault === 'ethernetTruncated' || fault === 'vlanTruncated') {
    return drop(passage, 'link-input', fault);
  }
  if (packet.bytes.length < ethernet.HEADER_LENGTH) return headerCut(passage);
  passage.frameType = isMacAt(packet.bytes, 0, device.mac)
    ? 'host'
    : frameType(ethernet.destination(packet.bytes), device);
  passage.step('link-input', `${device.name}: ${describe(packet)}`);
  passage.judgeAggregate(device);
  packet.inDevice = device.name;
  if (device.master !== null) {
    packet.physIn = '';
    passage.bridgePortIn = device;
    return 'bridgeInput';
  }
  if (fault !== null) return faulty(passage, fault);
  return 'protocolInput';
}

/**
 * Hand a frame to the protocol its type names; the device is now final (a port's bridge, or
 * itself).
 */
export function protocolInput(_run: Run, passage: Passage): Stage | null {
  const { packet } = passage;
  packet.inDevice = passage.device.name;
  const tag = packet.vlanTags[0];
  if (tag !== undefined && (packet.vlanTags.length > 1 || (tag.tci & VLAN_NUMBER) !== 0)) {
    return drop(passage, 'link-input', 'otherHost');
  }
  if (packet.family !== 0) return 'ipInput';
  const fault = parseFrame(packet);
  if (fault !== null) return faulty(passage, fault);
  if (packet.family !== 0) return 'ipInput';
  if (packet.etherType === EtherType.arp) return 'arpInput';
  return drop(passage, 'link-input', 'unknownEtherType');
}

/** End a packet whose headers can not be read: malformed, or cut by the capture. */
export function faulty(
  passage: Passage,
  fault: Exclude<ReturnType<typeof parseFrame>, null>,
): null {
  if (fault === 'headerCut') return headerCut(passage);
  if (passage.frameType === 'otherHost') return drop(passage, 'link-input', 'otherHost');
  return drop(passage, 'link-input', fault);
}

function headerCut(passage: Passage): null {
  passage.step('link-input', 'the capture cut the frame inside a header');
  passage.trail.decision = { host: passage.host.name, stage: 'link-input' };
  return finish(passage, 'unknown', 'headerCut');
}

function describe(packet: Packet): string {
  const tagged = packet.vlanTags.length > 0 ? 'vlan ' : '';
  if (packet.family === 4) return `${tagged}ipv4`;
  if (packet.family === 6) return `${tagged}ipv6`;
  if (packet.etherType === EtherType.arp) return `${tagged}arp`;
  return `${tagged}ethernet type 0x${packet.etherType.toString(16).padStart(4, '0')}`;
}
