/**
 * Which hosts hold a connection, as one number: sets of hosts with, on each, what its nat table has
 * decided about source and destination, by which of the connection's names it knows it, its mark,
 * and the tracker settings that all of them share.
 * @module
 */

import type { Connection } from '../../../conntrack/connection.ts';
import { TCP_STATES } from '../../../conntrack/protocol/tcp-states.ts';
import type { ConntrackSettings } from '../../../conntrack/protocol/timeouts.ts';
import { Word } from '../layout.ts';
import type { NativeEngine, NativeSizes } from '../native-door.ts';
import type { Between } from './connection-names.ts';

/** One host's entry of a connection, beside what all entries have in common. */
export interface Member extends Between {
  /** Number of the host. */
  readonly host: number;
  readonly sourceDone: boolean;
  readonly destinationDone: boolean;
  readonly sourceNat: boolean;
  readonly destinationNat: boolean;
  readonly masqueradeDevice: string;
  readonly mark: number;
  readonly markOrigins: Connection['markOrigins'];
}

/** The entry that a host has of a connection. */
export function memberOf(host: number, c: Connection, between: Between): Member {
  return {
    from: between.from,
    to: between.to,
    host,
    sourceDone: c.sourceNatDone,
    destinationDone: c.destinationNatDone,
    sourceNat: c.sourceNat,
    destinationNat: c.destinationNat,
    masqueradeDevice: c.masqueradeDevice,
    mark: c.mark,
    markOrigins: c.markOrigins,
  };
}

/**
 * A member as a set has it: by which of the set's two settings it times connections, and how much
 * younger its entry is than the set's first one (below 1: no other connection came in between).
 */
export interface Placed extends Member {
  readonly group: number;
  readonly younger: number;
}

/** No host. */
export const NOBODY = 0;

/** As in native/src/engine/hosts.hh and engine.hh. */
const MAX_HOSTS_IN_SET = 8;
const MAX_SETTINGS = 16;
const MAX_RETRANS = 255;
/** A set's number is 16 bits wide, and the last two mean something else (flow-table.hh). */
const MAX_SETS = 65_534;

/** How many hosts and sets of them the addon has room for. */
type HostRoom = Pick<NativeSizes, 'hosts' | 'hostSets'>;

export class HostSets {
  readonly #native: NativeEngine;
  readonly #words: Float64Array;
  readonly #room: HostRoom;
  readonly #byKey = new Map<string, number>();
  readonly #members: (readonly Placed[])[] = [[]];
  readonly #settings = new Map<string, number>();
  /** What of the settings decides on segments, by number: all but times. */
  readonly #judging: string[] = [];
  readonly #settingsOf = new Map<number, number | null>();

  constructor(native: NativeEngine, words: Float64Array, room: HostRoom) {
    this.#native = native;
    this.#words = words;
    this.#room = room;
  }

  /** A host, before it is in any set. One for which there is no room is in none. */
  addHost(host: number, settings: ConntrackSettings): void {
    if (host >= this.#room.hosts) return;
    this.#native.setHost(host, settings.max);
    this.#settingsOf.set(host, this.#settingsIndex(settings));
  }

  members(set: number): readonly Placed[] {
    return this.#members[set] ?? [];
  }

  /**
   * The number of a set; null for sets that the compiled engine can not stand for: of hosts that
   * judge differently or time connections in more than two ways, too many hosts, or a host twice
   * under the same names.
   */
  numberOf(members: readonly Member[]): number | null {
    if (members.length === 0) return NOBODY;
    const key = members.map(memberKey).sort().join(',');
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const settings = this.#settingsOfAll(members);
    const hosts = members.map(({ host }) => host);
    const places = new Set(members.map(({ host, from, to }) => `${host} ${from} ${to}`));
    const isUsual = members.length <= MAX_HOSTS_IN_SET && places.size === members.length;
    const most = Math.min(MAX_SETS, this.#room.hostSets);
    if (settings === null || !isUsual || this.#members.length >= most) return null;
    const number = this.#members.length;
    const [first = 0, second = first] = settings;
    this.#members.push(
      // Of a host that stands here twice, the entry that packets come to first is the older one.
      members
        .toSorted((a, b) => a.from - b.from || a.to - b.to)
        .map((m, i) => ({
          ...m,
          group: this.#settingsOf.get(m.host) === first ? 0 : 1,
          younger: i / members.length,
        })),
    );
    this.#byKey.set(key, number);
    this.#native.setHostSet(number, first, second, hosts, knownBy(members));
    return number;
  }

  /** The settings that hosts have, at most two that judge alike; else null. */
  #settingsOfAll(members: readonly Member[]): readonly number[] | null {
    const all = new Set(members.map(({ host }) => this.#settingsOf.get(host) ?? null));
    const found = [...all].filter((index) => index !== null);
    if (found.length !== all.size || found.length > 2) return null;
    const [first, second] = found.map((index) => this.#judging[index]);
    return second === undefined || first === second ? found : null;
  }

  /** Null when the addon can not hold these settings, or no more of them. */
  #settingsIndex(settings: ConntrackSettings): number | null {
    if (settings.tcpMaxRetrans > MAX_RETRANS) return null;
    const { max: _max, ...rest } = settings;
    const key = JSON.stringify(rest);
    const known = this.#settings.get(key);
    if (known !== undefined) return known;
    if (this.#settings.size >= MAX_SETTINGS) return null;
    const index = this.#settings.size;
    this.#settings.set(key, index);
    const { tcpLoose, tcpBeLiberal, tcpIgnoreInvalidRst, tcpMaxRetrans, checksum } = settings;
    this.#judging[index] = [
      ...[tcpLoose, tcpBeLiberal, tcpIgnoreInvalidRst, tcpMaxRetrans, checksum],
    ].join(' ');
    const { tcp, udp } = settings;
    const timeouts = TCP_STATES.map((state) => (state === 'none' ? tcp.synSent : tcp[state]));
    const values = [
      ...timeouts,
      tcp.retrans,
      tcp.unack,
      udp.unreplied,
      udp.stream,
      settings.icmpS,
      settings.icmpv6S,
      settings.tcpMaxRetrans,
      settings.tcpLoose ? 1 : 0,
      settings.tcpBeLiberal ? 1 : 0,
      settings.tcpIgnoreInvalidRst ? 1 : 0,
    ];
    this.#words.set(values, Word.settings);
    this.#native.setSettings(index);
    return index;
  }
}

function memberKey(m: Member): string {
  const { sourceDone, destinationDone, sourceNat, destinationNat } = m;
  const bits = [sourceDone, destinationDone, sourceNat, destinationNat].map(Number).join('');
  const known = [...(m.markOrigins ?? [])].map(([bit, origins]) => [bit, origins.list()]);
  const origins = m.markOrigins === null ? '' : JSON.stringify(known);
  return `${m.host} ${m.from}>${m.to} ${bits} ${m.mark} ${m.masqueradeDevice} ${origins}`;
}

/** Of each name, how many entries know the connection by it. */
function knownBy(members: readonly Member[]): readonly number[] {
  const names = 1 + Math.max(...members.map(({ from, to }) => Math.max(from, to)));
  const knows = (name: number) => members.filter(({ from, to }) => from === name || to === name);
  return Array.from({ length: names }, (_, name) => knows(name).length);
}
