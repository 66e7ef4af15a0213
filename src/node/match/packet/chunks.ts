/**
 * What xt_sctp and xt_dccp ask beyond ports: chunk types and flags, packet types, an option.
 *
 * Source: net/netfilter/xt_sctp.c `match_packet`, xt_dccp.c `dccp_find_option`, `__dccp_hdr_len`
 * (Linux 6.18).
 * @module
 */
import type { ChunkTypes } from '../../../netfilter/further-match.ts';
import type { Match } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import { u8, u16 } from '../../../wire/bytes.ts';
import { type Answer, answer } from '../answer.ts';
import { matchPorts, transportHeader, unreadable } from './transport.ts';

type MatchOf<K extends Match['kind']> = Extract<Match, { kind: K }>;

const SCTP_HEADER = 12;
const CHUNK_HEADER = 4;

export function matchSctp(match: MatchOf<'sctp'>, packet: Packet): Answer {
  const byPorts = matchPorts(match, packet, SCTP_HEADER);
  if (byPorts !== 'hit' || match.chunks === undefined) return byPorts;
  const at = transportHeader(packet, SCTP_HEADER);
  if (typeof at !== 'number') return unreadable(at);
  const found = chunksHold(match.chunks.value, packet, at + SCTP_HEADER);
  return typeof found === 'string' ? found : answer(found !== match.chunks.negate);
}

/** The kernel takes the first chunk for granted, so a packet without any is dropped. */
function chunksHold(
  { mode, chunks }: ChunkTypes,
  packet: Packet,
  start: number,
): boolean | 'hotdrop' | 'cut' {
  const missing = new Set(chunks.map((chunk) => chunk.type));
  let at = start;
  do {
    if (at + CHUNK_HEADER > packet.end) return 'hotdrop';
    if (at + CHUNK_HEADER > packet.bytes.length) return 'cut';
    const type = u8(packet.bytes, at);
    const flags = u8(packet.bytes, at + 1);
    const length = u16(packet.bytes, at + 2);
    if (length === 0) return 'hotdrop';
    const wanted = chunks.find((chunk) => chunk.type === type);
    const mask = wanted?.flags?.mask ?? 0;
    const holds = wanted !== undefined && (flags & mask) === (wanted.flags?.set ?? 0);
    if (mode === 'any' && holds) return true;
    if (mode === 'only' && !holds) return false;
    if (holds) missing.delete(type);
    at += (length + 3) & ~3;
  } while (at < packet.end);
  return mode === 'all' ? missing.size === 0 : mode === 'only';
}

const DCCP_HEADER = 12;
const DCCP_EXTENSION = 4;
const DCCP_TYPE = 8;
const DCCP_DATA_OFFSET = 4;
/** Bytes after the header, by type from REQUEST on; what is not known counts as a response. */
const DCCP_TYPE_LENGTH = [4, 12, 0, 8, 8, 8, 8, 12, 8, 8] as const;
const DCCP_OTHER_LENGTH = 12;

export function matchDccp(match: MatchOf<'dccp'>, packet: Packet): Answer {
  const byPorts = matchPorts(match, packet, DCCP_HEADER);
  if (byPorts !== 'hit') return byPorts;
  const at = transportHeader(packet, DCCP_HEADER);
  if (typeof at !== 'number') return unreadable(at);
  const type = (u8(packet.bytes, at + DCCP_TYPE) >>> 1) & 0x0f;
  const { types, option } = match;
  if (types && types.value.includes(type) === types.negate) return 'miss';
  if (option === undefined) return 'hit';
  const found = dccpOption(option.value, packet, at, type);
  return typeof found === 'string' ? found : answer(found !== option.negate);
}

function dccpOption(
  option: number,
  packet: Packet,
  at: number,
  type: number,
): boolean | 'hotdrop' | 'cut' {
  const extended = (u8(packet.bytes, at + DCCP_TYPE) & 1) === 1;
  const fixed =
    DCCP_HEADER + (extended ? DCCP_EXTENSION : 0) + (DCCP_TYPE_LENGTH[type] ?? DCCP_OTHER_LENGTH);
  const length = u8(packet.bytes, at + DCCP_DATA_OFFSET) * 4;
  if (length < fixed) return 'hotdrop';
  if (length === fixed) return false;
  const end = at + length;
  if (end > packet.end) return 'hotdrop';
  if (end > packet.bytes.length) return 'cut';
  for (let i = at + fixed; i < end; ) {
    const kind = u8(packet.bytes, i);
    if (kind === option) return true;
    i += kind < 2 || i + 1 >= end ? 1 : u8(packet.bytes, i + 1) || 1;
  }
  return false;
}
