/**
 * IP protocol numbers that the emulator tells apart (IANA "Assigned Internet Protocol Numbers").
 * @module
 */

export const Protocol = {
  hopopts: 0,
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  dccp: 33,
  ipv6: 41,
  routing: 43,
  fragment: 44,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  none: 59,
  dstopts: 60,
  sctp: 132,
  mobility: 135,
  udplite: 136,
} as const;

/** Ethernet types (IEEE registration authority). */
export const EtherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  qinq: 0x88a8,
  qinqOld: 0x9100,
  pppoeSession: 0x8864,
} as const;

const NAMES = new Map<number, string>([
  [Protocol.icmp, 'icmp'],
  [Protocol.igmp, 'igmp'],
  [Protocol.ipip, 'ipencap'],
  [Protocol.tcp, 'tcp'],
  [Protocol.udp, 'udp'],
  [Protocol.dccp, 'dccp'],
  [Protocol.gre, 'gre'],
  [Protocol.esp, 'esp'],
  [Protocol.ah, 'ah'],
  [Protocol.icmpv6, 'ipv6-icmp'],
  [Protocol.sctp, 'sctp'],
  [Protocol.udplite, 'udplite'],
]);

/** The name as /etc/protocols and iptables write it, or the number. */
export function protocolName(protocol: number): string {
  return NAMES.get(protocol) ?? String(protocol);
}

/** The number behind a name (any case; `icmpv6` too) or a decimal; `null` when it is neither. */
export function protocolNumber(text: string): number | null {
  const lower = text.toLowerCase();
  if (lower === 'icmpv6') return Protocol.icmpv6;
  if (lower === 'ipip') return Protocol.ipip;
  for (const [number, name] of NAMES) if (name === lower) return number;
  return /^\d{1,3}$/.test(text) && Number(text) < 256 ? Number(text) : null;
}
