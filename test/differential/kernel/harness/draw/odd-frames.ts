/**
 * Frames that are wrong on purpose: broken headers, addresses that can not be, ARP and neighbour
 * discovery, checksums left to the device.
 * @module
 */
import { setU8, setU16, u16 } from '../../../../../src/wire/bytes.ts';
import * as ethernet from '../../../../../src/wire/header/ethernet.ts';
import * as ipv4 from '../../../../../src/wire/header/ipv4.ts';
import { EtherType } from '../../../../../src/wire/protocol.ts';
import { arpRequest, type PacketBuilder } from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';
import type { Shot } from '../trial.ts';
import type { Place, Station } from './places.ts';

interface Macs {
  readonly srcMac: string;
  readonly dstMac: string;
}

/** One thing about the frame is broken. */
export function malformed(draw: Draw, whole: Uint8Array): Uint8Array {
  const l3 = ethernet.HEADER_LENGTH;
  const frame = whole.slice();
  const v4 = ethernet.etherType(frame) === EtherType.ipv4;
  const l4 = l3 + (v4 ? 20 : 40);
  const refill = () => {
    if (v4) ipv4.fillChecksum(frame, l3);
    return frame;
  };
  switch (draw.below(10)) {
    case 0:
      return frame.slice(0, l3 + draw.below(Math.max(1, frame.length - l3)));
    case 1:
      setU8(frame, l3, draw.of([0x44, 0x65, 0x05, 0x64]));
      return refill();
    case 2: {
      const at = v4 ? l3 + 2 : l3 + 4;
      setU16(frame, at, Math.max(0, u16(frame, at) + draw.of([-8, -1, 1, 40, -20])));
      return refill();
    }
    case 3:
      if (v4) setU16(frame, l3 + 10, u16(frame, l3 + 10) ^ 0x5555);
      else setU8(frame, l3, 0x40);
      return frame;
    case 4:
      // The transport header's length fields.
      if (frame.length > l4 + 12) setU8(frame, l4 + 12, draw.of([0x00, 0x40, 0xf0]));
      return frame;
    case 5:
      if (frame.length > l4 + 6) setU16(frame, l4 + 4, draw.of([0, 7, 9, 60_000]));
      return frame;
    case 6: {
      // Bytes behind the packet: padding, which nobody counts.
      const padded = new Uint8Array(frame.length + 9);
      padded.set(frame);
      return padded;
    }
    case 7:
      setU8(frame, l4 + draw.below(Math.max(1, frame.length - l4)), draw.below(256));
      return frame;
    case 8:
      // Fragment bits and offsets that lead nowhere. IPv4 options are left out: hosts do not answer them.
      if (v4) setU16(frame, l3 + 6, draw.of([0x8000, 0x2000, 0x1fff, 0x3fff, 0x6000, 0x0001]));
      return refill();
    default:
      setU8(frame, v4 ? l3 + 9 : l3 + 6, draw.of([4, 41, 59, 253]));
      return refill();
  }
}

/** A packet with an address or a MAC that it should not have. */
export function strange(
  draw: Draw,
  place: Place,
  of: { readonly station: Station; readonly builder: PacketBuilder; readonly macs: Macs },
): Uint8Array {
  const { station, builder, macs } = of;
  const family = builder.packet()[0]! >>> 4 === 6 ? 6 : 4;
  const others = place.stations.filter((other) => other !== station);
  const mac = (dstMac: string) => builder.frame({ ...macs, dstMac });
  const own = draw.of(place.own[family]);
  const broadcasts = ['255.255.255.255', '192.168.0.255', '10.1.0.255'];
  const [loop, group, none] =
    family === 4 ? ['127.0.0.1', '239.1.2.3', '0.0.0.0'] : ['::1', 'ff0e::99', '::'];
  switch (draw.below(13)) {
    case 0:
      return builder.from(loop).frame(macs);
    case 1:
      return builder.to(loop).frame(macs);
    case 2:
      return builder.from(group).frame(macs);
    case 3:
      return builder.to(group).frame(macs);
    case 4:
      return builder.from(none).frame(macs);
    case 5:
      return builder.to(none).frame(macs);
    case 6:
      return builder.from(own).frame(macs);
    case 7:
      return mac('ff:ff:ff:ff:ff:ff');
    case 8:
      return mac(family === 4 ? '01:00:5e:01:02:03' : '33:33:00:00:00:99');
    case 9:
      return mac('02:00:00:00:99:99');
    case 10:
      return builder.frame({ ...macs, vlan: 5 });
    case 11:
      return others.length === 0
        ? mac('02:00:00:00:99:98')
        : builder.from(draw.of(draw.of(others).addresses[family])).frame(macs);
    default:
      return family === 4
        ? builder.to(draw.of(broadcasts)).frame(macs)
        : builder.frame({ ...macs, srcMac: draw.of(others.map((o) => o.mac).concat(macs.srcMac)) });
  }
}

/** An ARP question, about somebody or nobody. */
export function arpOrNd(draw: Draw, place: Place, station: Station): Uint8Array {
  const known = [...place.own[4], ...place.stations.flatMap((other) => other.addresses[4])];
  const senderIp = draw.of([station.addresses[4][0] ?? '0.0.0.0', '0.0.0.0', draw.of(known)]);
  const frame = arpRequest({
    senderMac: station.mac,
    senderIp,
    targetIp: draw.of([...known, '169.254.1.1', '10.1.0.99']),
  });
  if (draw.chance(10)) return frame.slice(0, draw.of([20, 30, 41]));
  // A frame of another type now and then.
  if (draw.chance(15)) setU16(frame, 12, 0x88cc);
  return frame;
}

/** A packet whose checksum the sending device would have filled in. */
export function offloaded(device: string, builder: PacketBuilder, macs: Macs): Shot {
  const packet = builder.packet();
  const v4 = packet[0]! >>> 4 === 4;
  const start = ethernet.HEADER_LENGTH + (v4 ? 20 : 40);
  const protocol = v4 ? packet[9] : packet[6];
  const offset = protocol === 6 ? 16 : 6;
  if (protocol !== 6 && protocol !== 17) {
    return { kind: 'frame', device, frame: builder.frame(macs) };
  }
  const frame = builder.offloaded().frame(macs);
  return { kind: 'frame', device, frame, offload: [start, offset] };
}
