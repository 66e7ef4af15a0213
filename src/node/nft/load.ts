/**
 * What nft's expressions read from a packet, its connection, the routing table, or by chance.
 *
 * Source: net/netfilter/nft_meta.c `nft_meta_get_eval`, nft_ct.c `nft_ct_get_eval`, nft_numgen.c,
 * nft_hash.c `nft_jhash_eval`, nft_bitwise.c (Linux 6.18).
 * @module
 */

import { type Connection, NS_PER_S, remainingNs } from '../../conntrack/connection.ts';
import { isAssumedDevice } from '../../image/gaps.ts';
import type { NftLoad } from '../../image/nft/program.ts';
import type { Hook } from '../../netfilter/hook.ts';
import { allOnes, nameValue } from '../../netfilter/nft/datatype.ts';
import type { MetaKey } from '../../netfilter/nft/expression.ts';
import type { Packet } from '../../packet/packet.ts';
import type { Address } from '../../wire/address/address.ts';
import { jhash } from '../../wire/jhash.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { connectionOf, packetStates } from '../match/host/conntrack.ts';
import { isAssumed } from '../match/host/gap.ts';
import { hash31 } from '../match/memory/draws.ts';
import { packetType } from '../match/packet/header.ts';
import { askFib } from './fib.ts';
import type { NftMemory } from './memory.ts';
import { type Loaded, loadPayload, transportPlace } from './payload.ts';

/** One packet in one chain of one hook. */
export interface Reading {
  readonly ctx: WalkContext;
  readonly memory: NftMemory;
  readonly hook: Hook;
  readonly packet: Packet;
}

export function load(reading: Reading, from: NftLoad): Loaded {
  const { ctx, packet } = reading;
  switch (from.kind) {
    case 'meta':
      return loadMeta(reading, from.key);
    case 'ct':
      return loadCt(ctx, from, packet);
    case 'payload':
      return loadPayload(from, packet);
    case 'fib': {
      const asked = from.flags.includes('daddr') ? packet.dst : packet.src;
      const device = from.flags.includes('iif') ? packet.inDevice : '';
      const isOpen = isAssumed(ctx, asked) || isAssumedDevice(device);
      return isOpen ? 'missing' : askFib(ctx, from, packet, reading.hook);
    }
    case 'numgen':
      return BigInt(from.offset) + BigInt(nextNumber(reading, from));
    case 'jhash':
      return loadHash(reading, from);
    case 'bits': {
      const left = load(reading, from.left);
      return typeof left === 'bigint' ? applyBits(from, left) : left;
    }
  }
}

function applyBits(from: Extract<NftLoad, { kind: 'bits' }>, left: bigint): bigint {
  const { operator, right, bits } = from;
  switch (operator) {
    case '&':
      return left & right;
    case '|':
      return left | right;
    case '^':
      return left ^ right;
    case '<<':
      return (left << right) & allOnes(bits);
    case '>>':
      return left >> right;
  }
}

/** Values of `meta nfproto`, `meta protocol` and `meta iiftype`. */
const NFPROTO = { 4: 2n, 6: 10n } as const;
const ETHERTYPE = { 4: 0x0800n, 6: 0x86ddn } as const;
const ARPHRD_ETHER = 1n;
const ARPHRD_LOOPBACK = 772n;
const PACKET_TYPES = { unicast: 0n, broadcast: 1n, multicast: 2n } as const;

function loadMeta({ ctx, packet, hook }: Reading, key: MetaKey): Loaded {
  const family = packet.family === 6 ? 6 : 4;
  switch (key) {
    case 'length':
      return BigInt(packet.end - packet.l3);
    case 'protocol':
      return ETHERTYPE[family];
    case 'nfproto':
      return NFPROTO[family];
    case 'l4proto': {
      const place = transportPlace(packet);
      return typeof place === 'number' ? BigInt(packet.protocol) : place;
    }
    case 'mark':
      return BigInt(packet.mark >>> 0);
    case 'iif':
    case 'iifname':
      return deviceName(packet.inDevice);
    case 'oif':
    case 'oifname':
      return deviceName(packet.outDevice);
    case 'iiftype':
      // Of the device that the packet is at: when it leaves, the one that it leaves by (seen).
      return deviceType(ctx, hook === 'postrouting' ? packet.outDevice : packet.inDevice);
    case 'oiftype':
      return deviceType(ctx, packet.outDevice);
    case 'pkttype':
      return PACKET_TYPES[packetType(ctx, packet)];
    case 'skuid':
    case 'skgid':
      // What is forwarded belongs to no process here; what comes in may, once it is routed.
      return packet.inDevice === '' || hook === 'input' ? 'unanswerable' : 'break';
  }
}

/** No device is an empty name, and the index 0. */
function deviceName(name: string): Loaded {
  if (isAssumedDevice(name)) return 'missing';
  return name === '' ? 0n : nameValue(name);
}

function deviceType(ctx: WalkContext, name: string): Loaded {
  if (name === '') return 'break';
  const isLoopback = ctx.image.interfaces.get(name)?.kind === 'loopback';
  return isLoopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
}

const STATES = {
  INVALID: 1n,
  ESTABLISHED: 2n,
  RELATED: 4n,
  NEW: 8n,
  UNTRACKED: 64n,
  SNAT: 0n,
  DNAT: 0n,
} as const;

type CtLoad = Extract<NftLoad, { kind: 'ct' }>;

function loadCt(ctx: WalkContext, from: CtLoad, packet: Packet): Loaded {
  if (from.key === 'state') {
    let bits = 0n;
    for (const state of packetStates(ctx, packet)) bits |= STATES[state];
    return bits;
  }
  const found = connectionOf(packet);
  if (found === null) return 'break';
  const connection = found as Connection;
  switch (from.key) {
    case 'mark':
      return BigInt(ctx.connections.mark(connection) >>> 0);
    case 'direction':
      return packet.ctDirection === 'reply' ? 1n : 0n;
    case 'status':
      return statusOf(connection);
    case 'expiration':
      // Before it is confirmed its timeout is no point in time yet: long over (`nf_ct_expires`).
      if (!connection.confirmed) return 0n;
      return BigInt(Math.floor(remainingNs(connection, ctx.nowNs) / (NS_PER_S / 1000)));
    case 'zone':
      return zoneOf(connection, from.direction);
    case 'packets':
    case 'bytes':
    case 'avgpkt':
      return trafficOf(connection, from);
    default:
      return loadTuple(connection, from, packet);
  }
}

/** IPS_* (include/uapi/linux/netfilter/nf_conntrack_common.h). */
function statusOf(connection: Connection): bigint {
  const bits: readonly (readonly [boolean, bigint])[] = [
    [connection.seenReply, 2n],
    [connection.assured, 4n],
    [connection.confirmed, 8n],
    [connection.sourceNat, 16n],
    [connection.destinationNat, 32n],
    [connection.sourceNatDone, 128n],
    [connection.destinationNatDone, 256n],
    [connection.dying, 512n],
  ];
  return bits.reduce((all, [isSet, bit]) => (isSet ? all | bit : all), 0n);
}

function zoneOf({ zone }: Connection, direction: CtLoad['direction']): bigint {
  if (zone === null) return 0n;
  const isElsewhere =
    direction !== null && zone.direction !== 'both' && zone.direction !== direction;
  return isElsewhere ? 0n : BigInt(zone.id);
}

/** What the connection counted, by direction or both. */
function trafficOf({ traffic }: Connection, { key, direction }: CtLoad): Loaded {
  if (traffic === null) return 'unanswerable';
  const sides = direction === null ? [traffic.original, traffic.reply] : [traffic[direction]];
  const packets = sides.reduce((sum, side) => sum + side.packets, 0);
  const bytes = sides.reduce((sum, side) => sum + side.bytes, 0);
  if (key === 'packets') return BigInt(packets);
  if (key === 'bytes') return BigInt(bytes);
  return packets === 0 ? 0n : BigInt(Math.floor(bytes / packets));
}

function loadTuple(connection: Connection, from: CtLoad, packet: Packet): Loaded {
  // Without a direction it is the packet's own (`CTINFO2DIR`).
  const direction = from.direction ?? packet.ctDirection;
  const tuple = direction === 'reply' ? connection.reply : connection.original;
  const { family } = tuple.src;
  if (from.family !== null && from.family !== family) return 'break';
  switch (from.key) {
    case 'saddr':
      return addressValue(tuple.src);
    case 'daddr':
      return addressValue(tuple.dst);
    case 'proto-src':
      return BigInt(tuple.sport);
    case 'proto-dst':
      return BigInt(tuple.dport);
    case 'protocol':
      return BigInt(tuple.protocol);
    case 'l3proto':
      return NFPROTO[family];
    default:
      return 'break';
  }
}

/** An address as a number in network order. */
export function addressValue({ family, w0, w1, w2, w3 }: Address): bigint {
  if (family === 4) return BigInt(w3);
  return [w0, w1, w2, w3].reduce((all, word) => (all << 32n) | BigInt(word), 0n);
}

/** A connection's choice where translation is decided, elsewhere the packet's. */
function nextNumber(reading: Reading, from: Extract<NftLoad, { kind: 'numgen' }>): number {
  const { ctx, memory, packet } = reading;
  const { id, modulus } = from;
  if (from.mode === 'inc') {
    const number = ((memory.numbers.get(id) ?? modulus - 1) + 1) % modulus;
    memory.numbers.set(id, number);
    return number;
  }
  if (ctx.draws !== undefined) return ctx.draws.oneOf(from, modulus);
  const drawn = hash31(`${ctx.seed} ${ctx.image.host} nft ${id} ${packet.frame}`);
  return Math.floor((drawn / 2 ** 31) * modulus);
}

/** Of the registers' bytes: each part fills whole words. */
function loadHash(reading: Reading, from: Extract<NftLoad, { kind: 'jhash' }>): Loaded {
  const bytes: number[] = [];
  for (const [i, part] of from.of.entries()) {
    const value = load(reading, part);
    if (typeof value !== 'bigint') return value;
    const size = from.bytes[i] ?? 0;
    for (let at = size - 1; at >= 0; at--) bytes.push(Number((value >> BigInt(8 * at)) & 0xffn));
    // All but a lone part are padded to words.
    while (from.of.length > 1 && bytes.length % 4 !== 0) bytes.push(0);
  }
  const hash = jhash(Uint8Array.from(bytes), from.seed);
  return BigInt(from.offset) + ((BigInt(hash) * BigInt(from.modulus)) >> 32n);
}
