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
import { contains } from '../../wire/address.ts';
import * as arp from '../../wire/arp.ts';
import * as ethernet from '../../wire/ethernet.ts';
import { readMac } from '../../wire/mac.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { FrameType } from '../link/frame-type.ts';

export type EbHook = 'BROUTING' | 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

/** The chains of all tables by name: `nat PREROUTING`. */
export interface Ebtables {
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
  readonly arpReply: EbArpReply | null;
  /** Whether a target rewrote the frame. */
  readonly changed: string;
  /** Text of the rule's place that decided (`nat PREROUTING rule 2`), null for the policy. */
  readonly rule: string | null;
}

const PASSED: EbResult = {
  verdict: 'accept',
  frameType: null,
  arpReply: null,
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
  return { find, chain: find };
}

interface Walk {
  frameType: FrameType | null;
  arpReply: EbArpReply | null;
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
  const walk: Walk = { frameType: null, arpReply: null, changed: '' };
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
      if (target.arp && isArp(frame)) {
        arp.setSenderMac(frame.packet.bytes, frame.packet.l3, target.mac);
      }
      walk.changed = `source MAC ${target.mac}`;
      return target.verdict;
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

/** `ebt_arpreply_tg`: only whole Ethernet/IPv4 requests are answered; others go on. */
function answer(
  frame: EbFrame,
  walk: Walk,
  target: { readonly mac: string; readonly verdict: EbVerdict },
): EbVerdict {
  const { bytes, l3 } = frame.packet;
  if (!isArp(frame)) return 'DROP';
  if (arp.operation(bytes, l3) !== arp.ArpOperation.request) return 'CONTINUE';
  walk.arpReply = { mac: target.mac };
  return target.verdict;
}

function isArp(frame: EbFrame): boolean {
  const { packet } = frame;
  return packet.etherType === EtherType.arp && packet.l3 + arp.LENGTH <= packet.bytes.length;
}

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
      return isArp(frame) ? contains(match.net, arp.senderIp(packet.bytes, packet.l3)) : null;
    case 'arpDestination':
      return isArp(frame) ? contains(match.net, arp.targetIp(packet.bytes, packet.l3)) : null;
    case 'ipSource':
      return packet.family === match.net.address.family ? contains(match.net, packet.src) : null;
    case 'ipDestination':
      return packet.family === match.net.address.family ? contains(match.net, packet.dst) : null;
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
