/**
 * The nat table at its hooks: rules are asked once per connection and end, for its first packet;
 * then the packet is rewritten as its connection says.
 *
 * Truth: net/netfilter/nf_nat_core.c `nf_nat_inet_fn`, nf_nat_proto.c `nf_nat_ipv4_fn`,
 * nf_nat_masquerade.c `nf_nat_masquerade_ipv4`, `nf_nat_masquerade_ipv6` (Linux 6.18).
 * @module
 */
import type { Connection } from '../../conntrack/connection.ts';
import {
  isNatDecided,
  type Manip,
  masqueradeMoved,
  type NatContext,
  nullBinding,
  setupNat,
} from '../../conntrack/nat/nat.ts';
import { manipOfHook, translatePacket } from '../../conntrack/nat/translate.ts';
import { connectionOf } from '../../conntrack/table.ts';
import { type Tuple, tupleKey } from '../../conntrack/tuple.ts';
import type { HookEntry, NftLinkedChain } from '../../image/nft/program.ts';
import type { NatRange } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import { type Address, contains } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Host } from '../host.ts';
import { drop, dropBy, unknown } from '../run.ts';
import { nftDecision, settleNft, walkChain } from './nft-chain.ts';
import { decision, settle } from './settle.ts';
import type { Visit } from './visit.ts';
import { runTable } from './walk.ts';

export type NatHook = 'prerouting' | 'input' | 'output' | 'postrouting';

/** Translate the packet at this hook; false when it ended here. */
export function translate(visit: Visit, hook: NatHook): boolean {
  const { passage, run } = visit;
  const { packet, host } = passage;
  const connection = connectionOf(packet);
  if (connection === null) return true;
  const manip = manipOfHook(hook);
  if (!isRelatedError(visit)) {
    const fresh = packet.ctState === 'new' || packet.ctState === 'related';
    if (fresh && !isNatDecided(connection, manip)) {
      if (!decide(visit, hook, connection, manip)) return false;
    } else if (hook === 'postrouting') {
      const { ctDirection, outDevice } = packet;
      if (masqueradeMoved(connection, ctDirection, outDevice)) {
        run.stateOf(host).connections.remove(connection);
        drop(passage, hook, 'masqueradeMoved', hook);
        return false;
      }
    }
  }
  const fault = translatePacket(packet, manip);
  if (fault === null) return true;
  drop(passage, hook, fault, hook);
  return false;
}

/** ICMP errors follow their connection; no rule is asked for them. */
function isRelatedError({ passage: { packet } }: Visit): boolean {
  const icmp = packet.family === 4 ? Protocol.icmp : Protocol.icmpv6;
  return packet.ctState === 'related' && packet.protocol === icmp;
}

function decide(visit: Visit, hook: NatHook, connection: Connection, manip: Manip): boolean {
  const { passage, ctx, run } = visit;
  const context = natContext(visit);
  // In words only where a rule draws: most connections meet none.
  ctx.draws = run.drawsOf(passage.host, () => drawName(hook, connection.original));
  const asked = askAll(visit, hook, connection, manip, context);
  ctx.draws = undefined;
  if (asked === 'undecided') nullBinding(connection, manip, context);
  return asked !== 'ended';
}

/** The name under which a new connection draws at a hook. */
export function drawName(hook: NatHook, original: Tuple): string {
  return `${hook} ${tupleKey(original)}`;
}

/** The first of them that has something to say of a new connection. */
function askAll(
  visit: Visit,
  hook: NatHook,
  connection: Connection,
  manip: Manip,
  context: NatContext,
): Asked {
  for (const entry of lookups(visit, hook)) {
    const asked = askLookup(visit, entry, connection, manip, context);
    if (asked !== 'undecided') return asked;
  }
  return 'undecided';
}

/** Who is asked, in order: iptables' table, or where there is more, chains of nft too. */
function lookups({ passage }: Visit, hook: NatHook): readonly HookEntry[] {
  const { host, packet } = passage;
  if (host.image.nft === null || packet.family === 0) return ONLY_TABLE;
  return host.image.nft.translations(packet.family, hook);
}

const ONLY_TABLE: readonly HookEntry[] = [
  { kind: 'table', priority: 0, table: 'nat', variant: 'only' },
];

/** What one of them made of a new connection. */
type Asked = 'translated' | 'ended' | 'undecided';

function askLookup(
  visit: Visit,
  entry: HookEntry,
  connection: Connection,
  manip: Manip,
  context: NatContext,
): Asked {
  const { passage, hook, ctx } = visit;
  if (entry.kind === 'nft') return askChain(visit, entry.chain, connection, context);
  const variant = entry.variant === 'legacy' ? entry.variant : undefined;
  const verdict = runTable(ctx, 'nat', hook, passage.packet, variant);
  switch (verdict.kind) {
    case 'snat':
    case 'dnat': {
      if (setupNat(connection, verdict.range, manip, context)) return 'translated';
      // The kernel finds out when it would confirm the connection, and drops it without a word.
      dropBy(passage, 'natPortsExhausted', decision(passage, hook, verdict.rule, verdict.origin));
      return 'ended';
    }
    case 'masquerade':
      return ended(masquerade(visit, connection, verdict.range, context));
    case 'accept':
      return 'undecided';
    default:
      return ended(settle(visit, verdict));
  }
}

function ended(goesOn: boolean): Asked {
  return goesOn ? 'translated' : 'ended';
}

/** A chain of nft; one that translates nothing leaves it to the next. */
function askChain(
  visit: Visit,
  chain: NftLinkedChain,
  connection: Connection,
  context: NatContext,
): Asked {
  const { passage } = visit;
  const verdict = walkChain(visit, chain);
  if (verdict.kind === 'accept') return 'undecided';
  if (verdict.kind !== 'nat') return ended(settleNft(visit, verdict));
  const { choice, rule, origin } = verdict;
  if (choice.kind === 'none') {
    dropBy(passage, 'natExhausted', nftDecision(visit, rule, origin));
    return 'ended';
  }
  if (choice.kind === 'masquerade') {
    return ended(masquerade(visit, connection, choice.range, context));
  }
  if (setupNat(connection, choice.range, choice.kind, context)) return 'translated';
  dropBy(passage, 'natPortsExhausted', nftDecision(visit, rule, origin));
  return 'ended';
}

/** The address is that of the device it leaves by; IPv4 leaves unspecified sources alone. */
function masquerade(
  visit: Visit,
  connection: Connection,
  range: NatRange,
  context: NatContext,
): boolean {
  const { passage } = visit;
  const { src } = connection.original;
  if (src.family === 4 && src.w3 === 0) {
    nullBinding(connection, 'source', context);
    return true;
  }
  const address = masqueradeAddress(visit);
  if (address === null && passage.host.image.gaps.addresses) {
    const by = { host: passage.host.name, stage: visit.hook, hook: visit.hook };
    unknown(passage, by, 'dumpIncomplete');
    return false;
  }
  if (address === null) {
    drop(passage, visit.hook, 'natExhausted', visit.hook);
    return false;
  }
  setupNat(connection, { ...range, low: address, high: address }, 'source', context);
  connection.masqueradeDevice = passage.packet.outDevice;
  return true;
}

/** `inet_select_addr`: the out-device's address in the next hop's subnet, else its first. */
function masqueradeAddress({ passage }: Visit): Address | null {
  const { host, packet, route } = passage;
  if (packet.family === 6) return masqueradeAddress6(host, packet);
  const towards = route?.via ?? packet.dst;
  const device = host.device(packet.outDevice);
  const own = (device?.addresses ?? []).filter(
    (a) => a.address.family === packet.family && a.scope === 'global',
  );
  const near = own.find((a) => contains({ address: a.address, length: a.length }, towards));
  if (own.length > 0) return (near ?? own[0])?.address ?? null;
  for (const other of host.image.interfaces.values()) {
    const found = other.addresses.find((a) => a.address.family === 4 && a.scope === 'global');
    if (found !== undefined) return found.address;
  }
  return null;
}

/** `ipv6_dev_get_saddr`: an address of the out-device, else one of another. */
function masqueradeAddress6(host: Host, packet: Packet): Address | null {
  const { fib, interfaces } = host.image;
  const devices = [...interfaces.values()].filter((device) => device.kind !== 'loopback');
  for (const name of [packet.outDevice, ...devices.map((device) => device.name)]) {
    const found = fib.sourceOn(name, packet.dst);
    if (found !== null) return found;
  }
  return null;
}

function natContext({ run, passage }: Visit): NatContext {
  const { host } = passage;
  return {
    table: run.stateOf(host).connections,
    nowNs: run.nowNs,
    draw: (original, search, span) =>
      run.drawn?.(host.name, original, search, span) ??
      hash16(`${run.seed} ${host.name} ${search} ${tupleKey(original)}`),
    wholeRange: host.image.role === 'fabric',
    knownSource: run.knownSource,
  };
}

/** FNV-1a, folded to 16 bits: what stands for the kernel's random numbers. */
function hash16(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return ((hash >>> 16) ^ hash) & 0xffff;
}
