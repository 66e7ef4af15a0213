/**
 * What a walk of the reference engine shows of a packet's connection: the state that the packet
 * found it in, who held it before and who does after, and its names.
 * @module
 */
import type { Connection } from '../../../conntrack/connection.ts';
import { equalTuple, isIcmpTuple, type Tuple, tupleAt } from '../../../conntrack/tuple.ts';
import type { Host } from '../../../node/host.ts';
import { newPacket, parseFrame } from '../../../packet/parse.ts';
import { flags as tcpFlags } from '../../../wire/header/tcp.ts';
import { Protocol } from '../../../wire/protocol.ts';
import type { Execution } from '../../execution.ts';
import { framed } from '../../execution.ts';
import { isReplyOf, isTranslated, type Names, namesOf } from '../connection/connection-names.ts';
import { isSimple } from '../connection/connection-words.ts';
import type { HeldTable } from '../connection/held-table.ts';
import { type HostSets, type Member, memberOf } from '../connection/host-sets.ts';
import { By, FlowState } from '../layout.ts';

const SYN_ONLY = 0x02;
const SYN_RST_ACK = 0x16;

export interface FlowFacts {
  readonly state: FlowState;
  readonly hostSetBefore: number;
  readonly hostSetAfter: number;
  /** On which the packet opened a connection, be it that it was dropped later. */
  readonly hostSetOpened: number;
  /** `By` bits that the tracker looked at. */
  readonly by: number;
  /** The tuples that its opener's packets have on their way; one where nobody translates. */
  readonly names: readonly Tuple[];
  readonly isReply: boolean;
}

type Touched = readonly [Connection, Host];

/** A packet's walk. */
export interface Walked {
  readonly packet: Uint8Array;
  readonly execution: Execution;
  /** Hosts in the order in which it crossed them. */
  readonly crossed: readonly Host[];
  /** Connections that are older have a lower order. */
  readonly before: number;
}

const UNTRANSLATED = { from: 0, to: 0 };

export class FlowReader {
  readonly #sets: HostSets;

  constructor(sets: HostSets) {
    this.#sets = sets;
  }

  /** Null when the packet's path hangs on more of its connection than a decision's key can say. */
  read({ packet, execution, crossed, before }: Walked): FlowFacts | null {
    const ends = readEnds(packet);
    if (ends === null) return null;
    const touched = [...execution.touched] as [Connection, Host][];
    if (!isTrackedOnce(touched, crossed, ends.tuple.src.family)) return null;
    const isOld = ([connection]: Touched) => {
      const order = connection.order;
      return order > 0 && order < before;
    };
    const old = touched.filter(isOld);
    const young = touched.filter((entry) => !isOld(entry));
    // What the nat table makes of a new connection hangs on draws and on who else has a port.
    if (young.some(([connection]) => isSpecial(connection))) return null;
    const made = young.filter(([connection]) => connection.confirmed);
    if (![...old, ...made].every(([connection]) => isSimple(connection))) return null;
    const hostSetOpened = this.#sets.numberOf(young.map(plainMember));
    if (hostSetOpened === null) return null;
    return old.length === 0
      ? this.#opening({ ...ends, touched, made, hostSetOpened })
      : this.#following({ ...ends, old, young, made, hostSetOpened });
  }

  /**
   * Of a walk that opened a translated connection, or would have had it not been dropped: what its
   * hosts made of it. Null where that hangs on more than the packet's facts, its draws, and that
   * nobody has the connection's names.
   */
  readSpecial({ packet, execution, crossed, before }: Walked): FlowFacts | null {
    const ends = readEnds(packet);
    if (ends === null || !ends.isOpener || isIcmpTuple(ends.tuple)) return null;
    const touched = [...execution.touched] as [Connection, Host][];
    if (!isTrackedOnce(touched, crossed, ends.tuple.src.family)) return null;
    const connections = touched.map(([connection]) => connection);
    const isNew = (c: Connection) => {
      const order = c.order;
      return order === 0 || order >= before;
    };
    if (!connections.every((c) => isNew(c) && isUnmarked(c))) return null;
    const made = connections.filter(({ confirmed }) => confirmed);
    if (made.length !== 0 && made.length !== connections.length) return null;
    const found = namesOf(connections);
    const isSent = found !== null && isReplyOf(found.names, ends.tuple) === false;
    if (!isSent || !made.every(isSimple)) return null;
    const members = touched.map(([connection, host], i) =>
      memberOf(hostNumber(host), connection, found.between[i] ?? UNTRANSLATED),
    );
    const hostSetOpened = this.#sets.numberOf(members);
    if (hostSetOpened === null) return null;
    const hostSetAfter = made.length === 0 ? 0 : hostSetOpened;
    const sets = { hostSetBefore: 0, hostSetAfter, hostSetOpened };
    return { state: FlowState.opening, ...sets, by: 0, names: found.names, isReply: false };
  }

  /** Whether the walk opened a connection that is translated or marked. */
  isSpecialOpening({ execution, before }: Pick<Walked, 'execution' | 'before'>): boolean {
    return [...(execution.touched.keys() as Iterable<Connection>)].some(
      (c) => c.confirmed && isSpecial(c) && c.order >= before,
    );
  }

  #opening(flow: {
    readonly tuple: Tuple;
    readonly isOpener: boolean;
    readonly touched: readonly Touched[];
    readonly made: readonly Touched[];
    readonly hostSetOpened: number;
  }): FlowFacts | null {
    const { tuple, isOpener, touched, made, hostSetOpened } = flow;
    if (!isOpener && touched.length > 0) return null;
    const hostSetAfter = this.#sets.numberOf(made.map(plainMember));
    if (hostSetAfter === null) return null;
    const state = isOpener ? FlowState.opening : FlowState.stray;
    const sets = { hostSetBefore: 0, hostSetAfter, hostSetOpened };
    return { state, ...sets, by: 0, names: [tuple], isReply: false };
  }

  #following(flow: {
    readonly tuple: Tuple;
    readonly old: readonly Touched[];
    readonly young: readonly Touched[];
    readonly made: readonly Touched[];
    readonly hostSetOpened: number;
  }): FlowFacts | null {
    const { tuple, old, young, made, hostSetOpened } = flow;
    const found = namesOf(old.map(([connection]) => connection));
    const isReply = found === null ? null : isReplyOf(found.names, tuple);
    if (found === null || isReply === null || made.length > 0) return null;
    if (!areOneWay(old, young, found, isReply)) return null;
    const members = old.map(([connection, host], i) =>
      memberOf(hostNumber(host), connection, found.between[i] ?? UNTRANSLATED),
    );
    const hostSet = this.#sets.numberOf(members);
    const states = new Set(old.map(([connection]) => stateOf(connection, isReply)));
    const [state] = states;
    if (hostSet === null || state === undefined || states.size > 1) return null;
    const sets = { hostSetBefore: hostSet, hostSetAfter: hostSet, hostSetOpened };
    const { names } = found;
    if (young.length === 0) return { state, ...sets, by: 0, names, isReply };
    if (state !== FlowState.unreplied) return null;
    // A host that has no entry judges by the flags alone whether the segment may open one.
    const by = tuple.protocol === Protocol.tcp ? By.flags : 0;
    return { state, ...sets, by, names, isReply };
  }
}

/**
 * Whether the packet met each entry once, and all on its way: as often as it crossed a host that
 * tracks, it touched another entry there.
 */
function isTrackedOnce(
  touched: readonly Touched[],
  crossed: readonly Host[],
  family: 4 | 6,
): boolean {
  const tracking = crossed.filter((host) => host.image.conntrackActive(family));
  if (touched.length !== tracking.length) return false;
  const times = (host: Host) => tracking.filter((other) => other === host).length;
  return touched.every(
    ([, host]) => touched.filter(([, other]) => other === host).length === times(host),
  );
}

/**
 * Whether entries follow each other as the packet met them, each with the name that the one before
 * left it, and new ones begin with a name of the connection, which nobody else can have then.
 */
function areOneWay(
  old: readonly Touched[],
  young: readonly Touched[],
  { names, between }: Names,
  isReply: boolean,
): boolean {
  let at = isReply ? names.length - 1 : 0;
  for (const { from, to } of between) {
    if ((isReply ? to : from) !== at) return false;
    at = isReply ? from : to;
  }
  if (at !== (isReply ? 0 : names.length - 1)) return false;
  const own = ([connection]: Touched) =>
    names.some((name) => equalTuple(name, connection.original));
  return old.length === 0 || young.every(own);
}

/** Whether rules gave the connection something that no fact of its first packet is. */
function isSpecial(c: Connection): boolean {
  return isTranslated(c) || c.mark !== 0 || c.markOrigins !== null;
}

/** Whether rules gave it no mark, and no address that is asked for again when it goes on. */
function isUnmarked(c: Connection): boolean {
  return c.mark === 0 && c.markOrigins === null && c.masqueradeDevice === '';
}

function plainMember([connection, host]: Touched): Member {
  return memberOf(hostNumber(host), connection, UNTRANSLATED);
}

function hostNumber(host: Host): number {
  return (host.state.connections as HeldTable).host;
}

function stateOf(connection: Connection, isReply: boolean): FlowState {
  if (isReply) return FlowState.reply;
  return connection.seenReply ? FlowState.established : FlowState.unreplied;
}

/** The tuple of a plain packet, and whether it is one that opens a connection. */
function readEnds(bytes: Uint8Array): { readonly tuple: Tuple; readonly isOpener: boolean } | null {
  const packet = newPacket({ frame: 0, bytes: framed(bytes) });
  if (parseFrame(packet) !== null || packet.l4 < 0) return null;
  const tuple = tupleAt(packet.bytes, packet.l4, packet.end, packet);
  if (tuple === null || tuple === 'headerCut') return null;
  return { tuple, isOpener: isOpener(packet.bytes, packet.l4, tuple) };
}

function isOpener(b: Uint8Array, l4: number, { protocol, src, dport }: Tuple): boolean {
  if (protocol === Protocol.tcp) return (tcpFlags(b, l4) & SYN_RST_ACK) === SYN_ONLY;
  return protocol === Protocol.udp || dport >>> 8 === (src.family === 4 ? 8 : 128);
}
