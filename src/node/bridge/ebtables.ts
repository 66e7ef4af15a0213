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
import type { EbVerdict } from '../../netfilter/ebtables.ts';
import type { Packet } from '../../packet/packet.ts';
import { type Address, contains, type Family, readIpv4 } from '../../wire/address/address.ts';
import { u8 } from '../../wire/bytes.ts';
import * as arp from '../../wire/header/arp.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { FrameType } from '../link/frame-type.ts';
import type { EbHook, LinkedEbChain, LinkedEbMatch, LinkedEbRule } from './linked-ebtables.ts';

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

/** A result while it comes about. */
interface Walk extends EbResult {
  verdict: EbResult['verdict'];
  frameType: FrameType | null;
  arpReplies: readonly EbArpReply[];
  changed: string;
  rule: string | null;
}

const NO_REPLIES: readonly EbArpReply[] = [];

/** Run a built-in chain over the frame. */
export function runEbtables(chain: LinkedEbChain, frame: EbFrame): EbResult {
  const walk: Walk = {
    verdict: 'accept',
    frameType: null,
    arpReplies: NO_REPLIES,
    changed: '',
    rule: null,
  };
  if (walkChain(chain, frame, walk) === 'DROP') walk.verdict = 'drop';
  return walk;
}

/** What a chain came to, by the rule that `walk` then names. */
function walkChain(chain: LinkedEbChain, frame: EbFrame, walk: Walk): EbVerdict {
  for (const rule of chain.rules) {
    if (!allHold(rule.matches, frame)) continue;
    const verdict = act(rule, frame, walk);
    if (verdict === 'RETURN') break;
    if (verdict === 'CONTINUE') continue;
    if (verdict !== 'JUMP') {
      walk.rule = rule.place;
      return verdict;
    }
    if (rule.chain === null) continue;
    const inner = walkChain(rule.chain, frame, walk);
    if (inner !== 'RETURN' && inner !== 'CONTINUE') return inner;
  }
  walk.rule = null;
  return chain.policy;
}

function act(rule: LinkedEbRule, frame: EbFrame, walk: Walk): EbVerdict | 'JUMP' {
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
  walk.arpReplies = [...walk.arpReplies, { mac: target.mac }];
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

function allHold(matches: readonly LinkedEbMatch[], frame: EbFrame): boolean {
  for (const match of matches) if (!holds(match, frame)) return false;
  return true;
}

function holds(match: LinkedEbMatch, frame: EbFrame): boolean {
  const held = test(match, frame);
  return held !== null && held !== match.negate;
}

/** Whether the match holds without its `!`; null when the frame has no such field at all. */
function test(match: LinkedEbMatch, frame: EbFrame): boolean | null {
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
      return isMacUnder(packet.bytes, SOURCE_MAC, match);
    case 'destination':
      return isMacUnder(packet.bytes, DESTINATION_MAC, match);
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

const DESTINATION_MAC = 0;
const SOURCE_MAC = 6;

/** Whether the six bytes at `off` are the MAC where its mask has ones. */
function isMacUnder(
  b: Uint8Array,
  off: number,
  { value, mask }: { readonly value: Uint8Array; readonly mask: Uint8Array },
): boolean {
  for (let i = 0; i < MAC_LENGTH; i++) {
    if (((u8(b, off + i) ^ u8(value, i)) & u8(mask, i)) !== 0) return false;
  }
  return true;
}
