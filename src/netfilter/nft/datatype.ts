/**
 * Types of what nft compares: how wide a value is, and in which words it is written.
 *
 * Every value is an unsigned number in network order, an interface's name too (sixteen bytes,
 * filled with zeros), so that equality, ranges and prefixes are one for all. The kernel keeps
 * some in host order and turns them round where order matters (`nft_byteorder`); that never shows.
 *
 * Source: nftables 1.0.6 src/datatype.c, src/meta.c, src/ct.c, src/proto.c, src/fib.c.
 * @module
 */

/** A type's name as `type` in a set declaration has it, and its width. */
export interface NftType {
  readonly name: NftTypeName;
  readonly bits: number;
}

const WIDTHS = {
  ipv4_addr: 32,
  ipv6_addr: 128,
  inet_proto: 8,
  inet_service: 16,
  mark: 32,
  ct_state: 32,
  ct_status: 32,
  ct_dir: 8,
  iface_index: 32,
  ifname: 128,
  iface_type: 16,
  icmp_type: 8,
  icmp_code: 8,
  icmpv6_type: 8,
  icmpv6_code: 8,
  icmpx_code: 8,
  tcp_flag: 8,
  dscp: 6,
  ecn: 2,
  ether_type: 16,
  nf_proto: 8,
  pkt_type: 8,
  fib_addrtype: 32,
  uid: 32,
  gid: 32,
  time: 64,
  boolean: 1,
  integer: 32,
} as const;

export type NftTypeName = keyof typeof WIDTHS;

/** The type of this name; null when it is not one that is emulated. */
export function typeNamed(name: string): NftType | null {
  return Object.hasOwn(WIDTHS, name) ? nftType(name as NftTypeName) : null;
}

export function nftType(name: NftTypeName): NftType {
  return { name, bits: WIDTHS[name] };
}

export function integer(bits: number): NftType {
  return { name: 'integer', bits };
}

/** Values are sets of bits: `a,b` has some of them, `a | b` both. */
export function isBitmask({ name }: NftType): boolean {
  return name === 'ct_state' || name === 'ct_status' || name === 'tcp_flag';
}

/** The bits that a value of the type may have. */
export function allOnes(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}

const NAME_BYTES = 16;

/** An interface's name as a value. */
export function nameValue(name: string): bigint {
  let value = 0n;
  for (let i = 0; i < NAME_BYTES; i++) {
    value = (value << 8n) | BigInt(i < name.length ? name.charCodeAt(i) & 0xff : 0);
  }
  return value;
}

/** The name that a value stands for, up to its first zero. */
export function valueName(value: bigint): string {
  let name = '';
  for (let i = NAME_BYTES - 1; i >= 0; i--) {
    const code = Number((value >> BigInt(8 * i)) & 0xffn);
    if (code === 0) break;
    name += String.fromCharCode(code);
  }
  return name;
}
