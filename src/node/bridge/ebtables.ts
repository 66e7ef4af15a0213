/**
 * The ebtables walk: one frame through one built-in chain of a bridge table, and what its targets
 * do to the frame.
 *
 * Truth: net/bridge/netfilter/ebtables.c `ebt_do_table`, `ebt_basic_match`; ebt_arp.c, ebt_ip.c,
 * ebt_ip6.c, ebt_snat.c, ebt_dnat.c, ebt_redirect.c, ebt_arpreply.c (Linux 6.18).
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { ImageInterface } from '../../image/image.ts';
import type { EbChain, EbMatch, EbRule, EbTable, EbVerdict } from '../../netfilter/ebtables.ts';
import type { Packet } from '../../packet/packet.ts';
import { type Address, contains, type Family, readIpv4 } from '../../wire/address.ts';
import * as arp from '../../wire/arp.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { readMac } from '../../wire/mac.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { FrameType } from '../link/frame-type.ts';

export type EbHook = 'BROUTING' | 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

/** The chains of all tables by name: `nat PREROUTING`. */
export interface Ebtables {
  /** What is asked in OUTPUT, in order. */
  readonly output: readonly ('nat' | 'filter')[];
  chain(table: 'nat' | 'filter' | 'broute', hook: EbHook): EbChain | null;
  readonly find: (table: string, name: string) => EbChain | null;
}

/** What the walk needs to know beside the frame's bytes. */
export interface EbFrame {
  readonly packet: Packet;
  readonly in: ImageInterface | null;
  readonly out: ImageInterface | null;
  readonly bridge: ImageInterface;
  readonly hook: EbHook;
}

/** An ARP answer that a rule asks for (`ebt_arpreply`). */
export interface EbArpReply {
  readonly mac: string;
}

export interface EbResult {
  readonly verdict: 'accept' | 'drop';
  /** The new `pkt_type` when a target set one. */
  readonly frameType: FrameType | null;
  /** In the order of their rules: each is sent. */
  readonly arpReplies: readonly EbArpReply[];
  /** Whether a target rewrote the frame. */
  readonly changed: string;
  /** Text of the rule's place that decided (`nat PREROUTING rule 2`), null for the policy. */
  readonly rule: string | null;
}

const PASSED: EbResult = {
  verdict: 'accept',
  frameType: null,
  arpReplies: [],
  changed: '',
  rule: null,
};

/** Index a host's ebtables. */
export function compileEbtables(tables: readonly EbTable[]): Ebtables {
  const chains = new Map<string, EbChain>();
  for (const table of tables) {
    for (const chain of table.chains) chains.set(`${table.name} ${chain.name}`, chain);
  }
  const find = (table: string, name: string) => chains.get(`${table} ${name}`) ?? null;
  // ebtables-nft hangs filter OUTPUT at priority -200 (`NF_BR_PRI_FILTER_BRIDGED`), nat at 100.
  const isNft = tables.some(({ name, backend }) => name === 'filter' && backend === 'nft');
  return { find, chain: find, output: isNft ? ['filter', 'nat'] : ['nat', 'filter'] };
}

interface Walk {
  frameType: FrameType | null;
  readonly arpReplies: EbArpReply[];
  changed: string;
}

type RuleEnd = { readonly verdict: EbVerdict; readonly rule: string | null };

/** Run one table's chain over the frame; a table without rules accepts. */
export function runEbtables(
  ebtables: Ebtables,
  table: 'nat' | 'filter' | 'broute',
  frame: EbFrame,
): EbResult {
  const chain = ebtables.chain(table, frame.hook);
  if (chain === null) return PASSED;
  const walk: Walk = { frameType: null, arpReplies: [], changed: '' };
  const end = walkChain(ebtables, { table, chain }, frame, walk);
  const verdict = end.verdict === 'DROP' ? 'drop' : 'accept';
  return { ...walk, verdict, rule: end.rule };
}

function walkChain(
  ebtables: Ebtables,
  at: { readonly table: string; readonly chain: EbChain },
  frame: EbFrame,
  walk: Walk,
): RuleEnd {
  let index = 0;
  for (const rule of at.chain.rules) {
    index += 1;
    if (!rule.matches.every((match) => holds(match, frame))) continue;
    const place = `${at.table} ${at.chain.name} rule ${index}`;
    const verdict = act(rule, frame, walk);
    if (verdict === 'RETURN') break;
    if (verdict === 'CONTINUE') continue;
    if (verdict !== 'JUMP') return { verdict, rule: place };
    const name = rule.target.kind === 'jump' ? rule.target.chain : '';
    const next = ebtables.find(at.table, name);
    if (next === null) continue;
    const inner = walkChain(ebtables, { table: at.table, chain: next }, frame, walk);
    if (inner.verdict !== 'RETURN' && inner.verdict !== 'CONTINUE') return inner;
  }
  return { verdict: at.chain.policy, rule: null };
}

function act(rule: EbRule, frame: EbFrame, walk: Walk): EbVerdict | 'JUMP' {
  const { target } = rule;
  switch (target.kind) {
    case 'accept':
      return 'ACCEPT';
    case 'drop':
      return 'DROP';
    case 'continue':
      return 'CONTINUE';
    case 'return':
      return 'RETURN';
    case 'jump':
      return 'JUMP';
    case 'snat':
      ethernet.setSource(frame.packet.bytes, target.mac);
      walk.changed = `source MAC ${target.mac}`;
      return target.arp && !setSender(frame, target.mac) ? 'DROP' : target.verdict;
    case 'dnat':
      setDestination(frame, walk, target.mac);
      return target.verdict;
    case 'redirect':
      redirect(frame, walk);
      return target.verdict;
    case 'arpreply':
      return answer(frame, walk, target);
    default:
      return unreachable(target);
  }
}

/** `ebt_dnat_tg`: the frame's type is judged anew by its new destination. */
function setDestination(frame: EbFrame, walk: Walk, mac: string): void {
  ethernet.setDestination(frame.packet.bytes, mac);
  walk.changed = `destination MAC ${mac}`;
  if (mac === 'ff:ff:ff:ff:ff:ff') walk.frameType = 'broadcast';
  else if (Number.parseInt(mac.slice(1, 2), 16) & 1) walk.frameType = 'multicast';
  else if (frame.hook === 'PREROUTING') {
    walk.frameType = mac === frame.bridge.mac ? 'host' : 'otherHost';
  } else if (frame.hook === 'BROUTING') {
    walk.frameType = mac === frame.in?.mac ? 'host' : 'otherHost';
  }
}

/** `ebt_redirect_tg`: to the bridge itself, or in BROUTING to the port. */
function redirect(frame: EbFrame, walk: Walk): void {
  const to = frame.hook === 'BROUTING' ? frame.in : frame.bridge;
  if (to === null) return;
  ethernet.setDestination(frame.packet.bytes, to.mac);
  walk.frameType = 'host';
  walk.changed = `destination MAC ${to.mac} (redirect)`;
}

/** `ebt_snat_tg` for ARP; false when the frame ends before the sender's MAC does. */
function setSender(frame: EbFrame, mac: string): boolean {
  const { bytes, l3, etherType } = frame.packet;
  if (etherType !== EtherType.arp) return true;
  if (!reaches(frame, arp.FIXED_LENGTH)) return false;
  if (arp.hardwareLength(bytes, l3) !== MAC_LENGTH) return true;
  if (!reaches(frame, arp.FIXED_LENGTH + MAC_LENGTH)) return false;
  arp.setSenderMac(bytes, l3, mac);
  return true;
}

/** `ebt_arpreply_tg`: Ethernet/IPv4 requests are answered; others go on, those cut short do not. */
function answer(
  frame: EbFrame,
  walk: Walk,
  target: { readonly mac: string; readonly verdict: EbVerdict },
): EbVerdict {
  const { bytes, l3 } = frame.packet;
  if (!reaches(frame, arp.FIXED_LENGTH)) return 'DROP';
  const isRequest = arp.operation(bytes, l3) === arp.ArpOperation.request;
  if (!isRequest || arp.hardwareLength(bytes, l3) !== MAC_LENGTH || !arp.isAboutIpv4(bytes, l3)) {
    return 'CONTINUE';
  }
  if (!reaches(frame, arp.LENGTH)) return 'DROP';
  walk.arpReplies.push({ mac: target.mac });
  return target.verdict;
}

const MAC_LENGTH = 6;

/** Whether this many bytes of the network header are there (`skb_header_pointer`). */
function reaches({ packet }: EbFrame, length: number): boolean {
  return packet.l3 + length <= packet.bytes.length;
}

function isArp(frame: EbFrame): boolean {
  return frame.packet.etherType === EtherType.arp && reaches(frame, arp.FIXED_LENGTH);
}

/** An address of an IP header that is there, whether or not a host would take it (`ebt_ip_mt`). */
function ipEnd(frame: EbFrame, family: Family, isSource: boolean): Address | null {
  const { bytes, l3, etherType } = frame.packet;
  if (family === 4) {
    if (etherType !== EtherType.ipv4 || !reaches(frame, ipv4.MIN_HEADER_LENGTH)) return null;
    return isSource ? ipv4.src(bytes, l3) : ipv4.dst(bytes, l3);
  }
  if (etherType !== EtherType.ipv6 || !reaches(frame, ipv6.HEADER_LENGTH)) return null;
  return isSource ? ipv6.src(bytes, l3) : ipv6.dst(bytes, l3);
}

/** Both IPv4 addresses of an ARP packet, whatever it calls hardware (`ebt_arp_mt`), or null. */
function arpAddresses(
  frame: EbFrame,
): { readonly sender: Address; readonly target: Address } | null {
  const { bytes, l3 } = frame.packet;
  if (!isArp(frame) || !arp.isAboutIpv4(bytes, l3)) return null;
  const hardware = arp.hardwareLength(bytes, l3);
  const sender = arp.FIXED_LENGTH + hardware;
  const target = sender + IPV4_LENGTH + hardware;
  if (!reaches(frame, target + IPV4_LENGTH)) return null;
  return { sender: readIpv4(bytes, l3 + sender), target: readIpv4(bytes, l3 + target) };
}

const IPV4_LENGTH = 4;

function holds(match: EbMatch, frame: EbFrame): boolean {
  const held = test(match, frame);
  return held !== null && held !== match.negate;
}

/** Whether the match holds without its `!`; null when the frame has no such field at all. */
function test(match: EbMatch, frame: EbFrame): boolean | null {
  const { packet } = frame;
  switch (match.kind) {
    case 'protocol': {
      const tagged = packet.vlanTags.length > 0;
      return match.etherType === (tagged ? EtherType.vlan : packet.etherType);
    }
    case 'inInterface':
      return named(match.name, frame.in?.name ?? '');
    case 'outInterface':
      return named(match.name, frame.out?.name ?? '');
    case 'logicalIn':
      return named(match.name, frame.in === null ? '' : frame.bridge.name);
    case 'logicalOut':
      return named(match.name, frame.out === null ? '' : frame.bridge.name);
    case 'source':
      return sameMac(readMac(packet.bytes, 6), match);
    case 'destination':
      return sameMac(readMac(packet.bytes, 0), match);
    case 'arpOperation':
      return isArp(frame) ? arp.operation(packet.bytes, packet.l3) === match.operation : null;
    case 'arpSource':
    case 'arpDestination': {
      const ends = arpAddresses(frame);
      if (ends === null) return null;
      return contains(match.net, match.kind === 'arpSource' ? ends.sender : ends.target);
    }
    case 'ipSource':
    case 'ipDestination': {
      const end = ipEnd(frame, match.net.address.family, match.kind === 'ipSource');
      return end === null ? null : contains(match.net, end);
    }
    default:
      return unreachable(match);
  }
}

/**
 * `ebt_dev_check`: `+` at the end stands for any tail; a hook without that device never matches.
 */
function named(pattern: string, name: string): boolean {
  if (name === '') return false;
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

function sameMac(mac: string, match: { readonly mac: string; readonly mask: string }): boolean {
  if (match.mask === 'ff:ff:ff:ff:ff:ff') return mac === match.mac;
  const [a, b, mask] = [mac, match.mac, match.mask].map((text) =>
    text.split(':').map((byte) => Number.parseInt(byte, 16)),
  );
  return (mask ?? []).every((bits, i) => (((a?.[i] ?? 0) ^ (b?.[i] ?? 0)) & bits) === 0);
}
