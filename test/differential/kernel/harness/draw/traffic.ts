/**
 * Frames for a place, drawn one by one while an engine runs: fresh packets of few flows, answers to what
 * came out (so that translated connections live on), errors about it, fragments, and every kind of
 * nonsense.
 * @module
 */
import type { Family } from '../../../../../src/wire/address/address.ts';
import * as ethernet from '../../../../../src/wire/header/ethernet.ts';
import { SctpChunk } from '../../../../../src/wire/header/sctp.ts';
import { TcpFlag } from '../../../../../src/wire/header/tcp.ts';
import { EtherType } from '../../../../../src/wire/protocol.ts';
import {
  icmpEcho,
  icmpMessage,
  type PacketBuilder,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';
import type { Out } from '../ask-engine.ts';
import type { Shot } from '../trial.ts';
import { answerTo, errorAbout } from './answer.ts';
import { arpOrNd, malformed, offloaded, strange } from './odd-frames.ts';
import { withOptions } from './options.ts';
import type { Place, Station } from './places.ts';
import { PORTS } from './words.ts';

/** How many of the latest frames that came out may still be answered. */
const REMEMBERED = 12;

export interface TrafficShape {
  readonly families: readonly Family[];
}

export class Traffic {
  readonly #draw: Draw;
  readonly #place: Place;
  readonly #shape: TrafficShape;
  readonly #outs: Out[] = [];
  readonly #queue: Shot[] = [];
  #last: Shot | null = null;
  #id = 1;

  constructor(draw: Draw, place: Place, shape: TrafficShape) {
    this.#draw = draw;
    this.#place = place;
    this.#shape = shape;
  }

  /** What came out because of the last shot. */
  heard(outs: readonly Out[]): void {
    this.#outs.push(...outs.filter(({ frame }) => isUnicastIp(frame)));
    while (this.#outs.length > REMEMBERED) this.#outs.shift();
  }

  next(): Shot {
    for (;;) {
      const shot = this.#queue.shift() ?? this.#drawn();
      if (!this.#fits(shot)) continue;
      this.#last = shot;
      return shot;
    }
  }

  /** A veth takes nothing that is longer than its far end's MTU (`is_skb_forwardable`). */
  #fits(shot: Shot): boolean {
    if (shot.kind === 'wait') return true;
    const device = this.#place.plan.interfaces.find(({ name }) => name === shot.device);
    return shot.frame.length <= (device?.mtu ?? 0) + ethernet.HEADER_LENGTH;
  }

  #drawn(): Shot {
    const draw = this.#draw;
    const roll = draw.below(100);
    const out = this.#outs.length === 0 ? null : draw.of(this.#outs.slice(-6));
    if (out !== null && roll < 42) return this.#shot(out.device, answerTo(draw, out));
    if (out !== null && roll < 49)
      return this.#shot(out.device, errorAbout(draw, this.#place, out));
    if (roll < 55) return this.#fragments();
    if (roll < 58 && this.#last !== null) return this.#last;
    const { station, builder, macs } = this.#fresh();
    if (roll < 62) return this.#shot(station.device, malformed(draw, builder.frame(macs)));
    if (roll < 65) return this.#shot(station.device, arpOrNd(draw, this.#place, station));
    if (roll < 69) {
      const frame = strange(draw, this.#place, { station, builder, macs });
      return this.#shot(station.device, frame);
    }
    if (roll < 75) return this.#shot(station.device, withOptions(draw, builder.frame(macs)));
    if (roll < 78) return offloaded(station.device, builder, macs);
    return this.#shot(station.device, builder.frame(macs));
  }

  #shot(device: string, frame: Uint8Array): Shot {
    return { kind: 'frame', device, frame };
  }

  /** Some station's packet to somebody. */
  #fresh(): { station: Station; builder: PacketBuilder; macs: { srcMac: string; dstMac: string } } {
    const draw = this.#draw;
    const { stations, own, services } = this.#place;
    const family = draw.of(this.#shape.families);
    const station = draw.of(stations);
    const others = stations.filter((other) => other !== station);
    const other = others.length === 0 ? station : draw.of(others);
    const roll = draw.below(100);
    const refused = family === 4 ? ['10.66.0.9', '10.67.0.9', '10.68.0.9', '192.0.2.1'] : [];
    const refused6 = family === 6 ? ['fd00:66::9', 'fd00:67::9', 'fd00:68::9'] : [];
    let to = draw.of(other.addresses[family]);
    if (roll >= 75) to = draw.of(services[family]);
    if (roll >= 84) to = draw.of(own[family]);
    if (roll >= 94) to = draw.of([...refused, ...refused6]);
    const from = draw.of(station.addresses[family]);
    const direct = roll < 75 && other.link === station.link && draw.chance(80);
    const isOwn = own[family].includes(to);
    const dstMac = direct ? other.mac : ((isOwn ? station.host : undefined) ?? station.gateway);
    return {
      station,
      builder: this.#packet(family, from, to),
      macs: { srcMac: station.mac, dstMac },
    };
  }

  #packet(family: Family, from: string, to: string): PacketBuilder {
    const draw = this.#draw;
    const sport = draw.of([40000, 40001, 40002, 53]);
    const dport = draw.of(PORTS);
    this.#id += 1;
    const dress = (builder: PacketBuilder) =>
      builder
        .id(this.#id)
        .ttl(draw.of([64, 64, 64, 64, 64, 64, 63, 2, 1, 0]))
        .tos(draw.of([0, 0, 0, 0x10, 0xb8, 0x03]))
        .dontFragment(draw.chance(60));
    const roll = draw.below(100);
    if (roll < 50) return dress(this.#tcp(tcp().from(from, sport).to(to, dport)));
    if (roll < 72) {
      const length = draw.of([0, 1, 20, 40, 100, 1380, 1470, 1500, 2600]);
      const builder = dress(udp().from(from, sport).to(to, dport).payload(length));
      if (draw.chance(4)) return builder.badChecksum();
      return draw.chance(6) && family === 4 ? builder.noChecksum() : builder;
    }
    if (roll < 84) return dress(this.#icmp(family).from(from).to(to));
    if (roll < 93) {
      const chunk = draw.chance(60)
        ? sctpInit(0x10000 + sport)
        : { type: draw.of(Object.values(SctpChunk)), flags: 0, body: new Uint8Array(8) };
      const tag =
        chunk.type === SctpChunk.init && draw.chance(80) ? 0 : draw.of([0, 0x10000 + dport, 7]);
      return dress(sctp().from(from, sport).to(to, dport).tag(tag).chunks(chunk));
    }
    const gre = draw.of([
      [0, 0, 8, 0],
      [0x30, 1, 0x88, 0x0b],
    ]);
    const body = Uint8Array.of(...gre, 0, 4, 0, 9, 0, 0, 0, 1);
    return dress(
      rawIp(draw.of([47, 47, 50, 99]))
        .from(from)
        .to(to)
        .payload(body),
    );
  }

  #tcp(builder: PacketBuilder): PacketBuilder {
    const draw = this.#draw;
    const { syn, ack, fin, rst, psh, urg } = TcpFlag;
    const isn = 1000 + 7000 * draw.below(3);
    if (draw.chance(70)) {
      const options = draw.chance(60) ? Uint8Array.of(2, 4, 5, 180, 4, 2, 1, 3, 3, 7, 1, 1) : null;
      const opening = builder.flags(syn).seq(isn);
      return options === null ? opening : opening.tcpOptions(options);
    }
    const flags = [
      ack,
      syn | ack,
      rst,
      rst | ack,
      fin | ack,
      fin,
      0,
      syn | fin,
      psh | ack | urg,
      0xff,
    ];
    const shaped = builder.flags(draw.of(flags)).seq(isn + draw.below(3));
    const bytes = shaped.payload(draw.of([0, 0, 5, 100, 1380, 1500]));
    return draw.chance(4) ? bytes.badChecksum() : bytes;
  }

  #icmp(family: Family): PacketBuilder {
    const draw = this.#draw;
    if (draw.chance(75)) {
      const v6 = family === 6;
      return icmpEcho(draw.below(4), 1, { v6 }).payload(draw.of([0, 8, 56, 1400, 2000]));
    }
    const types = family === 4 ? [0, 13, 14, 15, 17, 3, 11, 40] : [129, 1, 3, 100, 200, 139];
    return icmpMessage(draw.of(types), draw.below(3), draw.below(4) * 65_536).payload(12);
  }

  /** One packet in pieces: in order, shuffled, overlapping, one missing, one twice. */
  #fragments(): Shot {
    const draw = this.#draw;
    const { station, builder, macs } = this.#fresh();
    const whole = builder.packet();
    const size = draw.of([8, 64, 520, 1200]);
    const header = whole[0]! >>> 4 === 6 ? 40 : 20;
    const length = whole.length - header;
    const pieces: PacketBuilder[] = [];
    for (let at = 0; at < length && pieces.length < 6; at += size) {
      const isLast = at + size >= length;
      // A slip makes neighbours overlap, or leaves a gap.
      const slip = draw.chance(4) ? draw.of([-8, 8]) : 0;
      const offset = Math.max(0, at + slip);
      pieces.push(builder.fragment(offset, !isLast, isLast ? length - offset : size));
    }
    if (draw.chance(15)) pieces.splice(draw.below(pieces.length), 1);
    if (draw.chance(15)) pieces.push(draw.of(pieces.length > 0 ? pieces : [builder]));
    if (draw.chance(50)) {
      for (let i = pieces.length - 1; i > 0; i--) {
        const j = draw.below(i + 1);
        [pieces[i], pieces[j]] = [pieces[j]!, pieces[i]!];
      }
    }
    for (const piece of pieces) {
      this.#queue.push(this.#shot(station.device, piece.frame(macs)));
    }
    return this.#queue.shift() ?? this.#shot(station.device, builder.frame(macs));
  }
}

function isUnicastIp(frame: Uint8Array): boolean {
  const type = ethernet.etherType(frame);
  const isV4 = type === EtherType.ipv4;
  if (!isV4 && type !== EtherType.ipv6) return false;
  const ip = frame.subarray(ethernet.payloadOffset(frame));
  if (ip.length < (isV4 ? 20 : 40)) return false;
  // Nobody answers those who have no address yet, and nobody has no address.
  const ends = isV4 ? [ip.subarray(12, 16), ip.subarray(16, 20)] : [ip.subarray(8, 24)];
  return (frame[0]! & 1) === 0 && ends.every((end) => end.some((byte) => byte !== 0));
}
