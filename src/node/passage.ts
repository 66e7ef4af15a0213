/**
 * One packet inside one host: the packet, and the bits of `struct sk_buff` that only the path needs
 * (`pkt_type`, `nf_bridge_info`, `IPCB`), with the trail that is being written for it.
 *
 * A stage takes a passage and names the stage that goes on with it, or null when the packet has
 * ended or was handed to another host.
 * @module
 */

import type { ImageInterface } from '../image/image.ts';
import type { RouteResult } from '../image/route/fib.ts';
import type { Packet } from '../packet/packet.ts';
import { clonePacket } from '../packet/parse.ts';
import type { Address } from '../wire/address/address.ts';
import { headerLength } from '../wire/header/tcp.ts';
import { Protocol } from '../wire/protocol.ts';
import type { Host } from './host.ts';
import type { FrameType } from './link/frame-type.ts';
import { Trail } from './trail.ts';

/** What br_netfilter remembers of a bridged IP packet (`struct nf_bridge_info`). */
export interface BridgeNetfilter {
  /** Destination before prerouting: was the packet translated there? */
  readonly destination: Address;
  /** Prerouting ran on the bridge; the IP layer must not run it again (`ip_sabotage_in`). */
  preroutingSkipped: boolean;
}

/** IPv4 options as they were read on the way in (`struct ip_options`); offsets from the header. */
export interface IpOptions {
  /** -1 when there is none. */
  readonly recordRoute: number;
  readonly timestamp: number;
  /** CIPSO. */
  readonly security: number;
  readonly sourceRoute: boolean;
  /** A slot waits for the address of the way out. */
  readonly routeNeedsAddress?: boolean;
  readonly timeNeedsAddress?: boolean;
  readonly needsTime?: boolean;
  /** The header's checksum is out of date. */
  readonly changed: boolean;
}

export type Stage =
  | 'linkInput'
  | 'bridgeInput'
  | 'bridgeForward'
  | 'bridgeLocalInput'
  | 'bridgeOutput'
  | 'protocolInput'
  | 'arpInput'
  | 'ipInput'
  | 'ipForward'
  | 'ipLocal'
  | 'localSend'
  | 'ipOutput'
  | 'virtualOutput'
  | 'postrouting'
  | 'neighborOutput'
  | 'transmit';

export class Passage {
  readonly host: Host;
  /** Replaced when fragments become one packet. */
  packet: Packet;
  readonly trail: Trail;
  /** `skb->dev`: the device that the packet is at. */
  device: ImageInterface;
  frameType: FrameType = 'host';
  /** The bridge port it came in by and the one it leaves by, while it is bridged. */
  bridgePortIn: ImageInterface | null = null;
  bridgePortOut: ImageInterface | null = null;
  /** ebtables called it to the IP stack of its port (`br_netfilter_broute`). */
  brouted = false;
  bridgeNetfilter: BridgeNetfilter | null = null;
  /** Where it goes (`skb_dst`); null before routing. */
  route: RouteResult | null = null;
  /** Largest original fragment, when the packet was reassembled on this host; else 0. */
  fragmentMaxSize = 0;
  /** Length of the largest segment of an offload aggregate, from its IP header on; else 0. */
  segmentSize = 0;
  /** Payload bytes of each segment of an aggregate as the sender said; 0 when it did not. */
  payloadPerSegment = 0;
  /** Of an IPv4 packet that was routed in; null where nobody read any. */
  options: IpOptions | null = null;
  /** Links crossed so far. */
  hops = 0;
  /** Made or sent by this host itself. */
  local = false;
  /** Source and destination MAC of the link header to build. */
  nextHopMac = '';

  constructor(host: Host, packet: Packet, trail: Trail, device: ImageInterface) {
    this.host = host;
    this.packet = packet;
    this.trail = trail;
    this.device = device;
  }

  /** A copy on its own branch of the trail (`skb_clone` and the copy on write that follows). */
  branch(packet: Packet = clonePacket(this.packet)): Passage {
    const copy = new Passage(this.host, packet, new Trail(this.trail), this.device);
    copy.frameType = this.frameType;
    copy.bridgePortIn = this.bridgePortIn;
    copy.bridgePortOut = this.bridgePortOut;
    copy.bridgeNetfilter = this.bridgeNetfilter === null ? null : { ...this.bridgeNetfilter };
    copy.route = this.route;
    copy.fragmentMaxSize = this.fragmentMaxSize;
    copy.segmentSize = this.segmentSize;
    copy.options = this.options;
    copy.hops = this.hops;
    copy.local = this.local;
    copy.nextHopMac = this.nextHopMac;
    return copy;
  }

  step(stage: string, fact: string): void {
    this.trail.step(this.host.name, stage, fact);
  }

  /**
   * Is this TCP packet an aggregate of segments that a device will cut up, or has put together
   * (GSO, GRO)? Anything larger than the MTU of the device it is at can be nothing else.
   */
  judgeAggregate(device: ImageInterface): void {
    const { packet } = this;
    if (this.segmentSize > 0 || packet.protocol !== Protocol.tcp || packet.l4 < 0) return;
    if (this.payloadPerSegment > 0) {
      const headers = packet.l4 - packet.l3 + headerLength(packet.bytes, packet.l4);
      const size = headers + this.payloadPerSegment;
      if (size < this.ipLength) this.segmentSize = size;
    } else if (this.ipLength > device.mtu) {
      this.segmentSize = device.mtu;
    }
  }

  /** Length of the IP packet on the wire (`skb->len` at the hooks). */
  get ipLength(): number {
    return this.packet.end - this.packet.l3;
  }
}
