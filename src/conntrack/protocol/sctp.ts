/**
 * Tracking of SCTP associations: chunks, verification tags, multihoming heartbeats.
 *
 * Kernel: net/netfilter/nf_conntrack_proto_sctp.c `nf_conntrack_sctp_packet`, `sctp_new`,
 * `do_basic_checks`, Linux 6.18. Sections are those of RFC 9260.
 * @module
 */
import { verifySegment } from '../../packet/transport-checksum.ts';
import { u8, u32 } from '../../wire/bytes.ts';
import * as sctp from '../../wire/header/sctp.ts';
import { SctpChunk } from '../../wire/header/sctp.ts';
import { type Connection, opposite, refresh, type SctpTracking } from '../connection.ts';
import { nextSctpState } from './sctp-states.ts';
import type { TrackedSegment, TrackVerdict } from './segment.ts';
import type { ConntrackSettings } from './timeouts.ts';

const INIT_CHUNK_LENGTH = 20;
/** The T bit: the tag is the peer's (section 8.5.1). */
const FLAG_T = 1;

/** The tag of a side whose opening was not seen: its next packet tells it. */
export const UNKNOWN_TAG = -1;

interface ChunkPlace {
  readonly at: number;
  readonly type: number;
}

/** Chunks with a rule of their own for the tag (section 8.5.1); all others must carry ours. */
const OWN_TAG_RULE: ReadonlySet<number> = new Set([
  SctpChunk.init,
  SctpChunk.shutdownComplete,
  SctpChunk.cookieEcho,
  SctpChunk.abort,
  SctpChunk.shutdownAck,
  SctpChunk.heartbeat,
  SctpChunk.heartbeatAck,
]);

/** Track one packet. A new connection gets its tracking state here. */
export function trackSctp(
  connection: Connection,
  s: TrackedSegment,
  settings: ConntrackSettings,
): TrackVerdict {
  const fault = sctp.check(s.bytes, s.off, s.end);
  if (fault === 'headerCut') return 'headerCut';
  if (fault !== null) return 'invalid';
  if (s.verifyChecksum && verifySegment(s) !== 'right') return 'invalid';
  const chunks = readChunks(s);
  if (chunks === 'headerCut' || chunks === null) return chunks ?? 'invalid';
  const types = new Set(chunks.map((chunk) => chunk.type));
  if (!connection.confirmed) {
    const tracking = openAssociation(s, chunks, types);
    if (tracking === null) return 'invalid';
    connection.tracking = tracking;
  }
  const { tracking } = connection;
  if (tracking.kind !== 'sctp') return 'invalid';
  if (tracking.tag[s.direction] === UNKNOWN_TAG) tracking.tag[s.direction] = tagOf(s);
  const needsOwnTag = ![...types].some((type) => OWN_TAG_RULE.has(type));
  if (needsOwnTag && tagOf(s) !== tracking.tag[s.direction]) return 'invalid';
  return walkChunks(connection, tracking, s, chunks, settings);
}

function tagOf(s: TrackedSegment): number {
  return sctp.tag(s.bytes, s.off);
}

/**
 * The chunks, if their order is one that SCTP allows: COOKIE_ECHO and COOKIE_ACK come first, INIT,
 * INIT_ACK and SHUTDOWN_COMPLETE come alone. Null when not, or when there is none.
 */
function readChunks(s: TrackedSegment): readonly ChunkPlace[] | 'headerCut' | null {
  const chunks: ChunkPlace[] = [];
  let alone = false;
  let at = s.off + sctp.HEADER_LENGTH;
  while (at + sctp.CHUNK_HEADER_LENGTH <= s.end) {
    if (at + sctp.CHUNK_HEADER_LENGTH > s.bytes.length) return 'headerCut';
    const type = u8(s.bytes, at);
    const length = (u8(s.bytes, at + 2) << 8) | u8(s.bytes, at + 3);
    alone ||=
      type === SctpChunk.init || type === SctpChunk.initAck || type === SctpChunk.shutdownComplete;
    const mustBeFirst = alone || type === SctpChunk.cookieEcho || type === SctpChunk.cookieAck;
    if ((mustBeFirst && chunks.length > 0) || length === 0) return null;
    chunks.push({ at, type });
    at += (length + 3) & ~3;
  }
  return chunks.length === 0 ? null : chunks;
}

/** The initiate tag of an INIT or INIT_ACK chunk. */
function initTag(s: TrackedSegment, at: number): number | 'headerCut' | null {
  if (at + INIT_CHUNK_LENGTH > s.end) return null;
  if (at + INIT_CHUNK_LENGTH > s.bytes.length) return 'headerCut';
  return u32(s.bytes, at + sctp.CHUNK_HEADER_LENGTH);
}

function openAssociation(
  s: TrackedSegment,
  chunks: readonly ChunkPlace[],
  types: ReadonlySet<number>,
): SctpTracking | null {
  // Section 8.4: out of the blue, these are discarded.
  if (
    types.has(SctpChunk.abort) ||
    types.has(SctpChunk.shutdownComplete) ||
    types.has(SctpChunk.cookieAck)
  ) {
    return null;
  }
  const tracking: SctpTracking = {
    kind: 'sctp',
    state: 'none',
    tag: { original: 0, reply: 0 },
    init: { original: false, reply: false },
    heartbeatTagFailed: false,
    lastDirection: 'original',
  };
  for (const { at, type } of chunks) {
    const next = nextSctpState('original', type, 'none');
    if (next === 'none' || next === 'invalid') return null;
    if (type === SctpChunk.init) {
      const tag = initTag(s, at);
      if (tagOf(s) !== 0 || typeof tag !== 'number') return null;
      tracking.tag.reply = tag;
    } else if (type === SctpChunk.heartbeat) {
      tracking.tag.original = tagOf(s);
    } else if (type === SctpChunk.shutdownAck) {
      // Section 8.4 (5): out of the blue, it is answered with its own tag.
      tracking.tag.reply = tagOf(s);
    }
  }
  return tracking;
}

function walkChunks(
  connection: Connection,
  tracking: SctpTracking,
  s: TrackedSegment,
  chunks: readonly ChunkPlace[],
  settings: ConntrackSettings,
): TrackVerdict {
  const hasData = chunks.some((chunk) => chunk.type === SctpChunk.data);
  let keepTimeout = false;
  let latest: SctpTracking['state'] = 'none';
  for (const chunk of chunks) {
    const tagVerdict = checkTag(tracking, s, chunk, hasData || keepTimeout);
    if (tagVerdict === 'invalid') return 'invalid';
    if (tagVerdict === 'skip') {
      keepTimeout = true;
      continue;
    }
    const old = tracking.state;
    const next = nextSctpState(s.direction, chunk.type, old);
    if (next === 'invalid') return 'invalid';
    const noted = noteInit(tracking, s, chunk);
    if (noted !== 'accept') return noted;
    // A client that reuses its port must not keep an old entry alive.
    if (chunk.type === SctpChunk.init && next === 'closed' && old === 'closed') {
      keepTimeout ||= connection.confirmed;
    }
    tracking.state = next;
    latest = next;
    if (old !== next && next === 'established') connection.assured = true;
  }
  if (keepTimeout) return 'accept';
  // The kernel's timeout of a packet without a state change of its own is that of CLOSED.
  const timeoutS = latest === 'none' ? settings.sctp.closed : settings.sctp[latest];
  refresh(connection, timeoutS, s.nowNs);
  return 'accept';
}

/** Section 8.5.1, and heartbeats of further paths; `skip`: the chunk says nothing more. */
function checkTag(
  tracking: SctpTracking,
  s: TrackedSegment,
  chunk: ChunkPlace,
  strict: boolean,
): 'accept' | 'skip' | 'invalid' {
  const tag = tagOf(s);
  const own = tracking.tag[s.direction];
  const peer = tracking.tag[opposite(s.direction)];
  switch (chunk.type) {
    case SctpChunk.init:
      return tag === 0 ? 'accept' : 'invalid';
    case SctpChunk.abort:
    case SctpChunk.shutdownComplete: {
      const turned = (u8(s.bytes, chunk.at + 1) & FLAG_T) !== 0;
      return tag === (turned ? peer : own) ? 'accept' : 'invalid';
    }
    case SctpChunk.cookieEcho:
      return tag === own ? 'accept' : 'invalid';
    case SctpChunk.cookieAck:
      tracking.init.original = false;
      tracking.init.reply = false;
      return 'accept';
    case SctpChunk.heartbeat:
    case SctpChunk.heartbeatAck:
      return checkHeartbeat(tracking, s, chunk, strict);
    default:
      return 'accept';
  }
}

function checkHeartbeat(
  tracking: SctpTracking,
  s: TrackedSegment,
  chunk: ChunkPlace,
  strict: boolean,
): 'accept' | 'skip' | 'invalid' {
  const tag = tagOf(s);
  const own = tracking.tag[s.direction];
  if (own === 0) {
    tracking.tag[s.direction] = tag;
    return 'accept';
  }
  if (tag === own) {
    tracking.heartbeatTagFailed = false;
    return 'accept';
  }
  if (strict) return 'invalid';
  if (chunk.type === SctpChunk.heartbeat) {
    tracking.heartbeatTagFailed = true;
    tracking.lastDirection = s.direction;
    return 'skip';
  }
  if (!tracking.heartbeatTagFailed || tracking.lastDirection === s.direction) return 'invalid';
  tracking.heartbeatTagFailed = false;
  tracking.tag[s.direction] = tag;
  tracking.tag[opposite(s.direction)] = 0;
  return 'accept';
}

/** An INIT or INIT_ACK names the tag that the other side shall send. */
function noteInit(tracking: SctpTracking, s: TrackedSegment, chunk: ChunkPlace): TrackVerdict {
  const isInit = chunk.type === SctpChunk.init;
  if (!isInit && chunk.type !== SctpChunk.initAck) return 'accept';
  const announced = initTag(s, chunk.at);
  if (announced === 'headerCut') return 'headerCut';
  if (announced === null) return 'invalid';
  const way = s.direction;
  const back = opposite(way);
  const known = tracking.tag[back];
  if (isInit) {
    if (tracking.init[way] && tracking.init[back]) tracking.init[back] = false;
    tracking.init[way] = true;
  } else {
    if (!tracking.init[back] && known !== 0 && known !== announced) return 'invalid';
    const collision = tracking.init[way] && tracking.init[back];
    if (collision && known !== announced) return 'invalid';
  }
  tracking.tag[back] = announced;
  return 'accept';
}
