/**
 * ARP for IPv4 over Ethernet (RFC 826).
 *
 *   0      2      4    5    6      8            14        18           24        28
 *   +------+------+----+----+------+------------+---------+------------+---------+
 *   | htype| ptype|hlen|plen|  op  | sender MAC |sender IP| target MAC |target IP|
 *   +------+------+----+----+------+------------+---------+------------+---------+
 * @module
 */
import { type Address, readIpv4, writeAddress } from '../address/address.ts';
import { readMac, writeMac } from '../address/mac.ts';
import { setU8, setU16, u8, u16 } from '../bytes.ts';
import type { HeaderFault } from '../drop-reason.ts';
import { EtherType } from '../protocol.ts';

export const LENGTH = 28;
/** The part whose layout does not depend on what is resolved. */
export const FIXED_LENGTH = 8;
const HARDWARE_TYPE = 0;
const PROTOCOL_TYPE = 2;
const HARDWARE_LENGTH = 4;
const PROTOCOL_LENGTH = 5;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;
const HARDWARE_ETHERNET = 1;

export const ArpOperation = { request: 1, reply: 2 } as const;

export interface Arp {
  readonly operation: number;
  readonly senderMac: string;
  readonly senderIp: Address;
  readonly targetMac: string;
  readonly targetIp: Address;
}

/**
 * Check for a whole Ethernet/IPv4 ARP packet; what `arp_rcv` and `arp_process` would not answer
 * fails.
 */
export function check(b: Uint8Array, off: number, end: number): HeaderFault | null {
  if (end - off < LENGTH) return 'arpMalformed';
  if (b.length - off < LENGTH) return 'headerCut';
  const whole =
    u16(b, off + HARDWARE_TYPE) === HARDWARE_ETHERNET &&
    u16(b, off + PROTOCOL_TYPE) === EtherType.ipv4 &&
    u8(b, off + HARDWARE_LENGTH) === 6 &&
    u8(b, off + PROTOCOL_LENGTH) === 4;
  return whole ? null : 'arpMalformed';
}

/** Bytes of a hardware address. */
export function hardwareLength(b: Uint8Array, off: number): number {
  return u8(b, off + HARDWARE_LENGTH);
}

/** Whether the protocol's addresses are those of IPv4. */
export function isAboutIpv4(b: Uint8Array, off: number): boolean {
  return u16(b, off + PROTOCOL_TYPE) === EtherType.ipv4 && u8(b, off + PROTOCOL_LENGTH) === 4;
}

export function operation(b: Uint8Array, off: number): number {
  return u16(b, off + OPERATION);
}

export function senderMac(b: Uint8Array, off: number): string {
  return readMac(b, off + SENDER_MAC);
}

export function senderIp(b: Uint8Array, off: number): Address {
  return readIpv4(b, off + SENDER_IP);
}

export function targetMac(b: Uint8Array, off: number): string {
  return readMac(b, off + TARGET_MAC);
}

export function targetIp(b: Uint8Array, off: number): Address {
  return readIpv4(b, off + TARGET_IP);
}

export function setSenderMac(b: Uint8Array, off: number, mac: string): void {
  writeMac(b, off + SENDER_MAC, mac);
}

/** Read a checked packet as a value. */
export function parse(b: Uint8Array, off: number): Arp {
  return {
    operation: operation(b, off),
    senderMac: senderMac(b, off),
    senderIp: senderIp(b, off),
    targetMac: targetMac(b, off),
    targetIp: targetIp(b, off),
  };
}

/** Make the 28 bytes of an ARP packet; Ethernet padding is not added. */
export function emit(arp: Arp): Uint8Array {
  const b = new Uint8Array(LENGTH);
  setU16(b, HARDWARE_TYPE, HARDWARE_ETHERNET);
  setU16(b, PROTOCOL_TYPE, EtherType.ipv4);
  setU8(b, HARDWARE_LENGTH, 6);
  setU8(b, PROTOCOL_LENGTH, 4);
  setU16(b, OPERATION, arp.operation);
  writeMac(b, SENDER_MAC, arp.senderMac);
  writeAddress(b, SENDER_IP, arp.senderIp);
  writeMac(b, TARGET_MAC, arp.targetMac);
  writeAddress(b, TARGET_IP, arp.targetIp);
  return b;
}
