/**
 * What one step of an nft rule looks at in a packet, beside what every key of the decision table
 * holds anyway: the counterpart of rule-facts.ts.
 *
 * Constants of nft's rules cut no classes, so addresses and ports count exactly. What changes while
 * packets pass (limits, quotas, sets with timeouts or that rules change, counts and times of
 * connections, draws), lengths, and bytes that no key holds make the packet's path one that can not
 * be remembered.
 * @module
 */
import type { NftLoad, NftOperation, NftSource, PayloadLoad } from '../../../image/nft/program.ts';
import type { Packet } from '../../../packet/packet.ts';
import { Protocol } from '../../../wire/protocol.ts';
import { By } from '../layout.ts';
import { OPAQUE } from './rule-facts.ts';

const ADDRESSES = By.source | By.destination;
const PORTS = By.sourcePort | By.destinationPort;
/** `IPS_ASSURED`: of the bits of `ct status`, the one that no key tells. */
const ASSURED = 4n;

/** What decides how a packet's bytes are read. */
export type Seen = Pick<Packet, 'family' | 'protocol'>;

/** `By` bits that the operation depends on, or `OPAQUE`. */
export function operationLooksAt(operation: NftOperation, packet: Seen): number {
  switch (operation.kind) {
    case 'test': {
      const { loads, tests } = operation;
      const isHarmless = tests.every((test) => test.kind === 'any' && (test.bits & ASSURED) === 0n);
      const asked = isHarmless ? loads.filter((load) => !isStatus(load)) : loads;
      return loadsLookAt(asked, packet);
    }
    case 'lookup':
    case 'vmap':
      return operation.set.isSteady ? loadsLookAt(operation.loads, packet) : OPAQUE;
    case 'mark':
      return operation.of === 'packet' ? sourceLooksAt(operation.source, packet) : OPAQUE;
    case 'verdict':
    case 'counter':
    case 'notrack':
    case 'nothing':
      return 0;
    case 'limit':
    case 'quota':
    case 'write':
    case 'nat':
    case 'masquerade':
    case 'redirect':
    case 'reject':
    case 'update':
      return OPAQUE;
  }
}

function isStatus(load: NftLoad): boolean {
  return load.kind === 'ct' && load.key === 'status';
}

function sourceLooksAt(source: NftSource, packet: Seen): number {
  if (source.kind === 'constant') return 0;
  if (source.kind === 'mapped' && !source.set.isSteady) return OPAQUE;
  return loadsLookAt(source.loads, packet);
}

function loadsLookAt(loads: readonly NftLoad[], packet: Seen): number {
  return loads.reduce((bits, load) => bits | loadLooksAt(load, packet), 0);
}

function loadLooksAt(load: NftLoad, packet: Seen): number {
  switch (load.kind) {
    case 'meta':
      // Devices follow from where the packet enters and its way, its mark from the rules it met.
      return load.key === 'length' ? OPAQUE : 0;
    case 'ct':
      return connectionLooksAt(load.key);
    case 'payload':
      return load.base === 'nh' ? networkLooksAt(load, packet) : transportLooksAt(load, packet);
    case 'fib':
      return ADDRESSES;
    case 'numgen':
      return OPAQUE;
    case 'jhash':
      return loadsLookAt(load.of, packet);
    case 'bits':
      return loadLooksAt(load.left, packet);
  }
}

function connectionLooksAt(key: Extract<NftLoad, { kind: 'ct' }>['key']): number {
  switch (key) {
    case 'state':
    case 'mark':
    case 'direction':
    case 'zone':
    case 'protocol':
    case 'l3proto':
      return 0;
    case 'saddr':
    case 'daddr':
      return ADDRESSES;
    case 'proto-src':
    case 'proto-dst':
      return PORTS;
    default:
      return OPAQUE;
  }
}

/** Bits of a header, from its first on, and what asking for any of them depends on. */
type Field = readonly [from: number, to: number, bits: number];

/** Version, header length and type of service; protocol; addresses (RFC 791). */
const IPV4: readonly Field[] = [
  [0, 16, 0],
  [72, 80, 0],
  [96, 128, By.source],
  [128, 160, By.destination],
];
/** Version and traffic class; next header; addresses (RFC 8200). */
const IPV6: readonly Field[] = [
  [0, 12, 0],
  [48, 56, 0],
  [64, 192, By.source],
  [192, 320, By.destination],
];
/** Ports; flags. */
const TCP: readonly Field[] = [
  [0, 16, By.sourcePort],
  [16, 32, By.destinationPort],
  [104, 112, By.flags],
];
const UDP: readonly Field[] = TCP.slice(0, 2);
/** Type and code: only echo without code takes the fast path, told by direction. */
const ICMP: readonly Field[] = [[0, 16, 0]];

function networkLooksAt(load: PayloadLoad, { family }: Seen): number {
  return fieldsLookAt(load, family === 6 ? IPV6 : IPV4);
}

function transportLooksAt(load: PayloadLoad, { protocol }: Seen): number {
  if (protocol === Protocol.tcp) return fieldsLookAt(load, TCP);
  if (protocol === Protocol.udp) return fieldsLookAt(load, UDP);
  const isIcmp = protocol === Protocol.icmp || protocol === Protocol.icmpv6;
  return isIcmp ? fieldsLookAt(load, ICMP) : OPAQUE;
}

function fieldsLookAt({ offset, length, shift, bits }: PayloadLoad, fields: readonly Field[]) {
  const to = (offset + length) * 8 - shift;
  const from = to - bits;
  let at = from;
  let facts = 0;
  for (const [start, end, by] of fields) {
    if (at === to || at < start || at >= end) continue;
    facts |= by;
    at = Math.min(to, end);
  }
  return at === to ? facts : OPAQUE;
}
