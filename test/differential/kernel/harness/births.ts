/**
 * Connections that a kernel took into its table, as it tells them at that moment (ctnetlink): with
 * them everything that was drawn for them, also for those that are gone again by the end.
 *
 * A message is a `nlmsghdr`, a `nfgenmsg` and attributes; of these the two tuples are read
 * (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
 * @module
 */
import { formatTuple, isIcmpTuple, type Tuple } from '../../../../src/conntrack/tuple.ts';
import { type Address, readIpv4, readIpv6 } from '../../../../src/wire/address/address.ts';

export interface Birth {
  /** Protocol and original tuple (`birthName`). */
  readonly name: string;
  /** Of answers: where they come from, and where they go. For queries both are the identifier. */
  readonly replySource: number;
  readonly replyDestination: number;
  readonly reply: string;
}

const NEW_CONNECTION = 0x0100;
const HEADERS = 20;
const ATTRIBUTE_HEADER = 4;
const TYPE_MASK = 0x3fff;

/** What a connection is called on both sides. */
export function birthName(original: Tuple): string {
  return `${original.protocol} ${formatTuple(original)}`;
}

/** A connection as either side has it. */
export function birthOf(original: Tuple, reply: Tuple): Birth {
  return {
    name: birthName(original),
    replySource: reply.sport,
    replyDestination: isIcmpTuple(reply) ? reply.sport : reply.dport,
    reply: formatTuple(reply),
  };
}

/** The births that one datagram of the netlink socket tells. */
export function readBirths(hex: string): readonly Birth[] {
  const bytes = Buffer.from(hex, 'hex');
  const births: Birth[] = [];
  for (let at = 0; at + HEADERS <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (bytes.readUInt16LE(at + 4) === NEW_CONNECTION) {
      const [original, reply] = [1, 2].map((kind) =>
        tupleOf(attributes(bytes.subarray(at + HEADERS, at + length)).get(kind)),
      );
      if (original !== undefined && reply !== undefined) births.push(birthOf(original, reply));
    }
    at += Math.max(length, HEADERS);
  }
  return births;
}

/** Attributes by type; each is padded to four bytes. */
function attributes(bytes: Buffer = Buffer.alloc(0)): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    const type = bytes.readUInt16LE(at + 2) & TYPE_MASK;
    found.set(type, bytes.subarray(at + ATTRIBUTE_HEADER, at + length));
    at += Math.max((length + 3) & ~3, ATTRIBUTE_HEADER);
  }
  return found;
}

/** Numbers of `enum ctattr_ip` and `enum ctattr_l4proto`. */
const IP = { src4: 1, dst4: 2, src6: 3, dst6: 4 } as const;
const PORTS = { number: 1, source: 2, destination: 3 } as const;
const QUERY = { 4: { id: 4, type: 5, code: 6 }, 6: { id: 7, type: 8, code: 9 } } as const;

function tupleOf(bytes: Buffer | undefined): Tuple | undefined {
  const parts = attributes(bytes);
  const ip = attributes(parts.get(1));
  const proto = attributes(parts.get(2));
  const src = addressOf(ip.get(IP.src4), ip.get(IP.src6));
  const dst = addressOf(ip.get(IP.dst4), ip.get(IP.dst6));
  if (src === undefined || dst === undefined) return undefined;
  const number = (type: number) => {
    const value = proto.get(type);
    if (value === undefined) return 0;
    return value.length === 1 ? value.readUInt8(0) : value.readUInt16BE(0);
  };
  const query = QUERY[src.family];
  const ends = { protocol: number(PORTS.number), src, dst };
  if (proto.has(query.id)) {
    const kind = number(query.type) * 256 + number(query.code);
    return { ...ends, sport: number(query.id), dport: kind };
  }
  return { ...ends, sport: number(PORTS.source), dport: number(PORTS.destination) };
}

function addressOf(v4: Buffer | undefined, v6: Buffer | undefined): Address | undefined {
  if (v4 !== undefined) return readIpv4(v4, 0);
  return v6 === undefined ? undefined : readIpv6(v6, 0);
}
