/**
 * ARP received by a host: requests for its own addresses and, with proxy_arp, for addresses that it
 * reaches by another device are answered; replies that were asked for are learned.
 *
 * Truth: net/ipv4/arp.c `arp_rcv`, `arp_process`, `arp_fwd_proxy`, `arp_ignore` (Linux 6.18).
 * Answers that the kernel delays (proxy_delay) are given at once. Not done: arp_filter, pvlan
 * proxies, published entries (`ip neigh add proxy`).
 * @module
 */
import type { ImageInterface } from '../../image/image.ts';
import type { Packet } from '../../packet/packet.ts';
import { contains, formatAddress } from '../../wire/address/address.ts';
import * as arp from '../../wire/header/arp.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { Host } from '../host.ts';
import { routeInput } from '../ip/route-input.ts';
import type { Passage } from '../passage.ts';
import { drop, finish, type Run } from '../run.ts';

/** Take an ARP packet; every one ends here. */
export function arpInput(run: Run, passage: Passage): null {
  const { packet, host, device } = passage;
  if (passage.frameType === 'otherHost') return drop(passage, 'arp', 'otherHost');
  const heard = arp.parse(packet.bytes, packet.l3);
  if (heard.operation === arp.ArpOperation.reply) {
    host.learnNeighbor(device, heard.senderIp, heard.senderMac);
    passage.step('arp', `reply: ${formatAddress(heard.senderIp)} is at ${heard.senderMac}`);
    return finish(passage, 'consumed', null);
  }
  const asked = formatAddress(heard.targetIp);
  if (heard.operation !== arp.ArpOperation.request || !answersFor(host, packet, device, heard)) {
    passage.step('arp', `request for ${asked}: not answered`);
    return finish(passage, 'consumed', null);
  }
  passage.step('arp', `request for ${asked}: answered with ${device.mac}`);
  run.generate(passage, { kind: 'arpReply', attach: false, frame: reply(heard, device), device });
  return finish(passage, 'consumed', null);
}

function reply(heard: arp.Arp, device: ImageInterface): Uint8Array {
  const body = arp.emit({
    operation: arp.ArpOperation.reply,
    senderMac: device.mac,
    senderIp: heard.targetIp,
    targetMac: heard.senderMac,
    targetIp: heard.senderIp,
  });
  const header = {
    destination: heard.senderMac,
    source: device.mac,
    tags: [],
    etherType: EtherType.arp,
  };
  return ethernet.emit(header, body);
}

/** The route decides: a local address, or one that lies behind another device of a proxy. */
function answersFor(host: Host, packet: Packet, device: ImageInterface, heard: arp.Arp): boolean {
  if (heard.senderIp.w3 === 0) {
    return host.image.fib.isLocal(heard.targetIp) && !ignores(host, device, heard);
  }
  const asRouted: Packet = {
    ...packet,
    family: 4,
    src: heard.senderIp,
    dst: heard.targetIp,
    mark: 0,
  };
  const found = routeInput(host, asRouted, device);
  if (found.kind === 'local') return !ignores(host, device, heard);
  if (found.kind !== 'forward' || found.route.device === device.name) return false;
  return host.ipv4(device.name).proxyArp;
}

/** `arp_ignore`: 1 answers only for addresses of the asked device, 2 also wants the same subnet. */
function ignores(
  host: Host,
  device: ImageInterface,
  { targetIp, senderIp }: Pick<arp.Arp, 'targetIp' | 'senderIp'>,
): boolean {
  const mode = host.ipv4(device.name).arpIgnore;
  if (mode === 0) return false;
  if (mode === 8) return true;
  return !device.addresses.some(
    ({ address, length }) =>
      address.family === 4 &&
      address.w3 === targetIp.w3 &&
      (mode === 1 || senderIp.w3 === 0 || contains({ address, length }, senderIp)),
  );
}
