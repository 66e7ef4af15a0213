/**
 * Network address translation: what a connection's packets are to look like on the other side.
 *
 * The first packet decides, once for the source and once for the destination: by a rule
 * (`setupNat`) or, when no rule of the nat table matched, by a null binding that keeps the
 * addresses and changes the port only if the answer could not be told apart. The decision is stored
 * as the reply tuple.
 *
 * Kernel: net/netfilter/nf_nat_core.c `nf_nat_setup_info`, `get_unique_tuple`,
 * `nf_nat_l4proto_unique_tuple`, `nf_nat_alloc_null_binding`, Linux 6.18. Where the kernel draws a
 * random port, the caller's `draw` does. Left out: PPTP, and `--to-ports` with a base port (nft
 * shifts).
 * @module
 */
import type { NatRange } from '../../netfilter/target.ts';
import {
  type Address,
  addToAddress,
  compareAddress,
  equalAddress,
} from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Connection, TcpTracking } from '../connection.ts';
import { after } from '../protocol/tcp-window.ts';
import type { ConntrackTable } from '../table.ts';
import {
  equalTuple,
  invertTuple,
  isIcmpTuple,
  type Tuple,
  tupleHasPorts,
  withDestination,
  withDport,
  withSource,
  withSport,
} from '../tuple.ts';
import { chooseAddress } from './nat-choice.ts';

/** What is changed: the source (postrouting, input) or the destination (prerouting, output). */
export type Manip = 'source' | 'destination';

/** Where a port, or the identifier of a query, may go: `size` numbers from `min` on. */
export interface PortSpan {
  readonly min: number;
  readonly size: number;
  /** Which of the tuple's two numbers it is. */
  readonly at: Manip;
}

/** What choosing needs besides the connection. */
export interface NatContext {
  readonly table: ConntrackTable;
  readonly nowNs: number;
  /**
   * A number of 16 bits for the n-th search of this tuple, n from 0, in this span; the same for the
   * same arguments.
   */
  draw(original: Tuple, search: number, span: PortSpan): number;
  /** The source that this connection is known to have been given; tried before any other. */
  readonly knownSource?: { readonly address: Address; readonly port: number } | undefined;
  /**
   * Every port of a source range is tried, from the lowest, and every address of it: what hands out
   * ports here is no Linux host, which draws a place and gives up after 240 ports.
   */
  readonly wholeRange?: boolean;
}

const MAX_ATTEMPTS = 128;
/** In the last attempts, a finished TCP connection in the way is evicted. */
const HARDER_THRESHOLD = 32;
const MIN_WINDOW = 16;

/** Whether source or destination of the connection has been decided (`nf_nat_initialized`). */
export function isNatDecided(connection: Connection, manip: Manip): boolean {
  return manip === 'source' ? connection.sourceNatDone : connection.destinationNatDone;
}

/**
 * Decide the translation that a rule asks for. A confirmed connection keeps what it has.
 *
 * When nothing in the range is free the last candidate stays, and the packet is dropped when it is
 * to be confirmed (`ctClash`), as in the kernel.
 *
 * @returns false when the source shall have a port of a range in which none is free
 */
export function setupNat(
  connection: Connection,
  range: NatRange,
  manip: Manip,
  context: NatContext,
): boolean {
  if (connection.confirmed || isNatDecided(connection, manip)) return true;
  // What the packet looks like by now is the inverse of what will answer it.
  const current = invertTuple(connection.reply);
  if (current === null) return true;
  const chosen = uniqueTuple(current, range, manip, connection, context);
  if (!equalTuple(chosen, current)) {
    const reply = invertTuple(chosen);
    if (reply !== null) connection.reply = reply;
    if (manip === 'source') connection.sourceNat = true;
    else connection.destinationNat = true;
  }
  if (manip === 'source') connection.sourceNatDone = true;
  else connection.destinationNatDone = true;
  const isRanged = manip === 'source' && range.ports !== undefined;
  return !isRanged || isFree(chosen, connection, context);
}

/** Decide that no rule translates it: addresses stay, a port moves only if it must. */
export function nullBinding(connection: Connection, manip: Manip, context: NatContext): void {
  const address = manip === 'source' ? connection.reply.dst : connection.reply.src;
  const range = {
    low: address,
    high: address,
    random: false,
    randomFully: false,
    persistent: false,
  };
  setupNat(connection, range, manip, context);
}

/**
 * Whether a masqueraded connection now leaves by another device: the kernel drops such a packet and
 * forgets the connection (`nf_nat_oif_changed`).
 */
export function masqueradeMoved(
  connection: Connection,
  direction: 'original' | 'reply',
  outDevice: string,
): boolean {
  const device = connection.masqueradeDevice;
  return direction === 'original' && device !== '' && device !== outDevice;
}

function isFree(tuple: Tuple, own: Connection, context: NatContext): boolean {
  const reply = invertTuple(tuple);
  return reply === null || !context.table.isTaken(reply, own, context.nowNs);
}

function uniqueTuple(
  current: Tuple,
  range: NatRange,
  manip: Manip,
  own: Connection,
  context: NatContext,
): Tuple {
  const anyRandom = range.random || range.randomFully;
  if (manip === 'source' && !anyRandom) {
    if (isInRange(current, range)) {
      if (isFree(current, own, context)) return current;
    } else {
      const mapped = earlierMapping(current, range, own, context);
      if (mapped !== null && isFree(mapped, own, context)) return mapped;
    }
  }
  const tuple = withAddress(current, range, manip);
  const known = manip === 'source' ? knownTuple(tuple, range, context) : null;
  if (known !== null && isFree(known, own, context)) return known;
  if (!anyRandom) {
    const { ports } = range;
    if (ports === undefined) {
      if (isFree(tuple, own, context)) return tuple;
    } else if (
      isPortInRange(tuple, ports, manip) &&
      (ports.low === ports.high || isFree(tuple, own, context))
    ) {
      return tuple;
    }
  }
  return searchPort(tuple, range, manip, own, context);
}

/** The source that this client's packets from this port have elsewhere, if the range has it. */
function earlierMapping(
  current: Tuple,
  range: NatRange,
  own: Connection,
  context: NatContext,
): Tuple | null {
  for (const other of context.table.fromSameSource(current, context.nowNs, own.zone)) {
    const seen = invertTuple(other.reply);
    if (seen === null) continue;
    // The type and code of a query stand in the destination's place, so they come from the packet.
    const mapped = withSource(current, seen.src, seen.sport);
    if (isInRange(mapped, range)) return mapped;
  }
  return null;
}

function isInRange(tuple: Tuple, range: NatRange): boolean {
  if (range.low !== undefined && !isAddressInRange(tuple.src, range.low, range.high)) return false;
  return range.ports === undefined || isPortInRange(tuple, range.ports, 'source');
}

function isAddressInRange(a: Address, low: Address, high: Address = low): boolean {
  return compareAddress(a, low) >= 0 && compareAddress(a, high) <= 0;
}

function isPortInRange(
  tuple: Tuple,
  ports: { readonly low: number; readonly high: number },
  manip: Manip,
): boolean {
  const hasPorts = tupleHasPorts(tuple.protocol) || tuple.protocol === Protocol.gre;
  if (!hasPorts && !isIcmpTuple(tuple)) return true;
  const useSource = manip === 'source' || isIcmpTuple(tuple);
  const port = useSource ? tuple.sport : tuple.dport;
  return port >= ports.low && port <= ports.high;
}

function withAddress(current: Tuple, range: NatRange, manip: Manip): Tuple {
  if (range.low === undefined) return current;
  const high = range.high ?? range.low;
  const address = equalAddress(range.low, high)
    ? range.low
    : chooseAddress(range.low, high, current, range);
  return manip === 'source'
    ? withSource(current, address, current.sport)
    : withDestination(current, address, current.dport);
}

/** Where the port may go, or null when it may not change. */
function portSpan(
  tuple: Tuple,
  range: NatRange,
  manip: Manip,
): { readonly min: number; readonly size: number } | null {
  const { ports } = range;
  const given = ports && {
    min: Math.min(ports.low, ports.high),
    size: Math.abs(ports.high - ports.low) + 1,
  };
  if (isIcmpTuple(tuple)) return given ?? { min: 0, size: 65_536 };
  if (!tupleHasPorts(tuple.protocol)) return null;
  if (given !== undefined) return given;
  if (manip === 'destination') return null;
  // Ports below 512 were once a credential, so they stay among themselves.
  if (tuple.sport < 512) return { min: 1, size: 511 };
  if (tuple.sport < 1024) return { min: 600, size: 424 };
  return { min: 1024, size: 64_512 };
}

function searchPort(
  tuple: Tuple,
  range: NatRange,
  manip: Manip,
  own: Connection,
  context: NatContext,
): Tuple {
  const span = portSpan(tuple, range, manip);
  if (span === null) return tuple;
  const atSource = manip === 'source' || isIcmpTuple(tuple);
  let candidate = tuple;
  if (context.wholeRange === true && manip === 'source') {
    return wholeSearch(tuple, range, span, own, context);
  }
  let attempts = Math.min(span.size, MAX_ATTEMPTS);
  for (let search = 0; ; search++) {
    const at = atSource ? 'source' : 'destination';
    const start = context.draw(own.original, search, { ...span, at }) & 0xffff;
    for (let i = 0; i < attempts; i++) {
      const port = span.min + (((start + i) & 0xffff) % span.size);
      candidate = atSource ? withSport(tuple, port) : withDport(tuple, port);
      if (isFreeOrEvicted(candidate, own, attempts - i, context)) return candidate;
    }
    if (attempts >= span.size || attempts < MIN_WINDOW) return candidate;
    attempts = Math.floor(attempts / 2);
  }
}

/** The first free port of the range's addresses, in order; the last one when all are taken. */
function wholeSearch(
  tuple: Tuple,
  range: NatRange,
  span: { readonly min: number; readonly size: number },
  own: Connection,
  context: NatContext,
): Tuple {
  const last = range.high ?? range.low ?? tuple.src;
  let candidate = tuple;
  for (let src = range.low ?? tuple.src; ; src = addToAddress(src, 1)) {
    for (let i = 0; i < span.size; i++) {
      candidate = withSource(tuple, src, span.min + i);
      if (isFree(candidate, own, context)) return candidate;
    }
    if (compareAddress(src, last) >= 0) return candidate;
  }
}

/** The tuple with the port that somebody saw; null where nobody did, or it is none of these. */
function knownTuple(tuple: Tuple, range: NatRange, { knownSource }: NatContext): Tuple | null {
  if (knownSource === undefined || !equalAddress(knownSource.address, tuple.src)) return null;
  const { port } = knownSource;
  const span = portSpan(tuple, range, 'source');
  if (span === null || port < span.min || port >= span.min + span.size) return null;
  return withSport(tuple, port);
}

/** As `isFree`; near the end a TIME_WAIT connection in the way makes place for newer numbers. */
function isFreeOrEvicted(
  tuple: Tuple,
  own: Connection,
  attemptsLeft: number,
  context: NatContext,
): boolean {
  if (isFree(tuple, own, context)) return true;
  const mine = own.tracking;
  if (attemptsLeft > HARDER_THRESHOLD || mine.kind !== 'tcp' || mine.state !== 'synSent') {
    return false;
  }
  const reply = invertTuple(tuple);
  const found = reply === null ? null : context.table.lookup(reply, context.nowNs, own.zone);
  if (found === null || found.direction === 'original') return false;
  const { tracking } = found.connection;
  if (tracking.kind !== 'tcp' || tracking.state !== 'timeWait') return false;
  if (!after(openerEnd(mine), openerEnd(tracking))) return false;
  context.table.remove(found.connection);
  return true;
}

function openerEnd(tracking: TcpTracking): number {
  return tracking.seen.original.end;
}
