/**
 * Next hop → MAC. Neighbours start warm: what the plan lists is known, and what it does not list is
 * asked for at once, by an ARP request or a neighbour solicitation that the emulated hosts answer;
 * no packet ever waits. These questions are outside of every packet's account.
 *
 * Truth: net/core/neighbour.c, net/ipv4/arp.c `arp_solicit`, net/ipv6/ndisc.c `ndisc_solicit`.
 * @module
 */
import type { ImageInterface } from '../../image/image.ts';
import { type Address, ANY4, ANY6, contains, equalAddress } from '../../wire/address/address.ts';
import { assumedMac } from '../../wire/address/assumed-mac.ts';
import { BROADCAST_MAC, ipv4MulticastMac, ZERO_MAC } from '../../wire/address/mac.ts';
import * as arp from '../../wire/header/arp.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { Host } from '../host.ts';
import { isIpv4Multicast, isIpv6Multicast } from '../ip/route-input.ts';
import type { Passage } from '../passage.ts';
import type { Run } from '../run.ts';
import { ipv6MulticastMac, solicitation } from './neighbor-discovery.ts';

export interface NextHop {
  readonly device: ImageInterface;
  readonly address: Address;
}

/** The MAC to send to, or null when nobody answers for the next hop. */
export function nextHopMac(run: Run, passage: Passage, hop: NextHop): string | null {
  const { host, packet } = passage;
  if (host.image.neighbor(hop.device.name, hop.address) === null) {
    // Who answers is not in the image; of a gateway it is the same for all that go by it.
    if (equalAddress(hop.address, packet.dst)) host.counters.observer?.exact('destination');
  }
  const known = host.neighborMac(hop.device, hop.address);
  if (known === 'failed') return null;
  if (known !== null) return known;
  host.awaitNeighbor(hop.device, hop.address);
  run.resolveNeighbor(host, question(host, hop), hop.device);
  const learned = host.neighborMac(hop.device, hop.address);
  if (learned !== null) return learned === 'failed' ? null : learned;
  return run.isAnswered(host) ? assumedMac(hop.address) : null;
}

/**
 * Where a group or broadcast address goes without asking; null for addresses that need a
 * neighbour.
 */
export function groupMac(address: Address): string | null {
  if (address.family === 4) {
    if (address.w3 === 0xffffffff) return BROADCAST_MAC;
    return isIpv4Multicast(address) ? ipv4MulticastMac(address.w3) : null;
  }
  return isIpv6Multicast(address) ? ipv6MulticastMac(address) : null;
}

function question(host: Host, hop: NextHop): Uint8Array {
  const own = ownAddress(hop);
  if (hop.address.family === 6) return solicitation(hop.device, own ?? ANY6, hop.address);
  const request = arp.emit({
    operation: arp.ArpOperation.request,
    senderMac: hop.device.mac,
    senderIp: own ?? anyAddress(host, 4) ?? ANY4,
    targetMac: ZERO_MAC,
    targetIp: hop.address,
  });
  const header = {
    destination: BROADCAST_MAC,
    source: hop.device.mac,
    tags: [],
    etherType: EtherType.arp,
  };
  return ethernet.emit(header, request);
}

/** An address of the device, best of the next hop's subnet (`inet_select_addr`). */
function ownAddress(hop: NextHop): Address | null {
  const own = hop.device.addresses.filter((a) => a.address.family === hop.address.family);
  const near = own.find((a) => contains({ address: a.address, length: a.length }, hop.address));
  return (near ?? own[0])?.address ?? null;
}

/** Devices without an address of their own ask in the name of another (`inet_select_addr`). */
function anyAddress(host: Host, family: 4 | 6): Address | null {
  for (const device of host.image.interfaces.values()) {
    if (device.kind === 'loopback') continue;
    const own = device.addresses.find((a) => a.address.family === family);
    if (own !== undefined) return own.address;
  }
  return null;
}
