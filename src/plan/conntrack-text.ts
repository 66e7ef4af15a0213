/**
 * Connections as `conntrack -L` (with and without `-o extended`) and /proc/net/nf_conntrack list
 * them, one a line:
 *
 *   ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=80 …
 *   [family]   protocol   [timeout] [state]  … the original tuple …
 *     … [UNREPLIED] src=10.0.0.9 dst=10.0.0.1 sport=80 dport=1000 [ASSURED] mark=0 zone=1 use=1
 *     … the reply tuple …                                         … what else is known
 *
 * Source: libnetfilter_conntrack 1.0.9, src/conntrack/snprintf_default.c; net/netfilter/
 * nf_conntrack_standalone.c `ct_seq_show`, Linux 6.18. Use counts, identifiers, security contexts
 * and time stamps say nothing of packets and are read over. Refused: connections that a flow table
 * has taken over (their packets pass no hook), those with a helper (it rewrites payload and expects
 * further connections) and DCCP with ports (tracked until Linux 6.15).
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import {
  LISTED_SCTP_STATES,
  LISTED_TCP_STATES,
  type ListedConnection,
  type ListedTraffic,
  type ListedTuple,
} from '../netfilter/listed-connection.ts';
import { type Address, formatAddress, parseAddress } from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import type { Plan } from './model.ts';

/** Words of a tuple, and how many of them say something of which protocol. */
const TUPLE_KEYS: ReadonlySet<string> = new Set([
  ...['src', 'dst', 'sport', 'dport', 'type', 'code', 'id', 'srckey', 'dstkey'],
  ...['packets', 'bytes', 'zone-orig', 'zone-reply'],
]);
/** Words behind the tuples. */
const COMMON_KEYS: ReadonlySet<string> = new Set(['mark', 'zone', 'helper', 'labels']);
/** Words that decide nothing. */
const IDLE_KEYS: ReadonlySet<string> = new Set([
  ...['use', 'secctx', 'secmark', 'delta-time', 'timeout', 'stream_timeout'],
]);

const PORTS: ReadonlySet<number> = new Set([
  ...[Protocol.tcp, Protocol.udp, Protocol.udplite, Protocol.sctp],
]);

interface Fields {
  /** Words of the original and of the reply tuple. */
  readonly tuples: Map<string, string>[];
  readonly common: Map<string, string>;
  readonly flags: Set<string>;
}

/** What is wrong with a line, thrown within this file only. */
class LineFault extends Error {
  readonly accepted: string | undefined;

  constructor(message: string, accepted?: string) {
    super(message);
    this.accepted = accepted;
  }
}

/**
 * Read a list. It is taken while connections come and go, and can show one twice, or one and what
 * took its place: of lines that share a tuple the last counts.
 *
 * @throws UserError with every line that is none
 */
export function parseConnections(text: string, file: string): readonly ListedConnection[] {
  const faults: Diagnostic[] = [];
  const found = new Set<ListedConnection>();
  const owners = new Map<string, ListedConnection>();
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || /^conntrack v[\d.]+ \(/.test(line)) return;
    try {
      const one = parseConnection(line);
      for (const tuple of [key(one, 'original'), key(one, 'reply')]) {
        const before = owners.get(tuple);
        if (before) found.delete(before);
        owners.set(tuple, one);
      }
      found.add(one);
    } catch (fault) {
      if (!(fault instanceof LineFault)) throw fault;
      const accepted = fault.accepted === undefined ? {} : { accepted: fault.accepted };
      const shown = line.length > 240 ? `${line.slice(0, 240)} …` : line;
      const place = { file, line: index + 1 };
      const { message } = fault;
      faults.push({ code: 'PLAN_CONNTRACK', ...place, message, found: shown, ...accepted });
    }
  });
  if (faults.length > 0) throw new UserError(faults);
  return [...found];
}

/** The tuple and its zone, as text. */
function key({ zone, ...one }: ListedConnection, way: 'original' | 'reply'): string {
  const inZone = zone !== undefined && (zone.direction === 'both' || zone.direction === way);
  return `${inZone ? zone.id : 0} ${one[way].protocol} ${tupleText(one[way])}`;
}

function parseConnection(line: string): ListedConnection {
  // Time stamps have blanks in them.
  const words = line.replace(/\[(start|stop)=[^\]]*\]/g, '').split(/\s+/);
  const family = words[0] === 'ipv4' ? 4 : words[0] === 'ipv6' ? 6 : null;
  if (family !== null) words.splice(0, 2);
  const [, number = '', ...rest] = words;
  if (!/^\d{1,3}$/.test(number) || Number(number) > 255) {
    throw new LineFault(
      'not a line of conntrack -L',
      '[FAMILY n] PROTOCOL n SECONDS [STATE] src=…',
    );
  }
  const protocol = Number(number);
  const firstField = rest.findIndex((word) => word.includes('='));
  const head = rest.slice(0, Math.max(0, firstField));
  const fields = readFields(rest.slice(Math.max(0, firstField)));
  refuse(fields, protocol);
  const { timeoutS, state } = readHead(head, protocol);
  const [original, reply] = fields.tuples.map((words) => readTuple(words, protocol));
  if (original === undefined || reply === undefined || fields.tuples.length !== 2) {
    throw new LineFault('a connection has two tuples, the original and the reply');
  }
  const families = [original.src, original.dst, reply.src, reply.dst].map((a) => a.family);
  if (new Set([...families, family ?? original.src.family]).size !== 1) {
    throw new LineFault('addresses of two families');
  }
  // Every list says so behind all else but an identifier; what does not was cut.
  if (!fields.common.has('use')) throw new LineFault('the line ends before its use count');
  const zone = readZone(fields);
  const traffic = readTraffic(fields);
  return {
    original,
    reply,
    state,
    timeoutS,
    seenReply: !fields.flags.has('UNREPLIED'),
    assured: fields.flags.has('ASSURED'),
    mark: numberOf(fields.common, 'mark', 0xffffffff) ?? 0,
    ...(zone === undefined ? {} : { zone }),
    ...(traffic === undefined ? {} : { traffic }),
  };
}

function readFields(words: readonly string[]): Fields {
  const fields: Fields = { tuples: [], common: new Map(), flags: new Set() };
  for (const word of words) {
    const flag = /^\[([A-Z_]+)\]$/.exec(word)?.[1];
    if (flag !== undefined) {
      fields.flags.add(flag);
      continue;
    }
    const [, name = '', value = ''] = /^([a-z_-]+)=(.*)$/.exec(word) ?? [];
    if (name === 'src') fields.tuples.push(new Map());
    const isTuple = TUPLE_KEYS.has(name) && !isIdentifier(name, fields);
    const into = isTuple ? fields.tuples.at(-1) : fields.common;
    const isKnown = isTuple || COMMON_KEYS.has(name) || IDLE_KEYS.has(name) || name === 'id';
    if (!isKnown || into === undefined) throw new LineFault(`not known in a connection: ${word}`);
    if (into.has(name)) throw new LineFault(`twice in one connection: ${word}`);
    into.set(name, value);
  }
  return fields;
}

/** `-o id` puts the entry's own number behind all else; ICMP's stands in its tuple. */
function isIdentifier(name: string, { tuples, common }: Fields): boolean {
  const last = tuples.at(-1);
  return name === 'id' && (common.size > 0 || !last?.has('type') || last.has('id'));
}

const FLAGS: ReadonlySet<string> = new Set(['UNREPLIED', 'ASSURED']);

function refuse({ flags, common, tuples }: Fields, protocol: number): void {
  const flag = [...flags].find((name) => !FLAGS.has(name));
  if (flag === 'OFFLOAD' || flag === 'HW_OFFLOAD') {
    throw new LineFault('connections of a flow table are not emulated');
  }
  if (flag !== undefined) throw new LineFault(`not known in a connection: [${flag}]`);
  if (common.has('helper')) throw new LineFault('connections with a helper are not emulated');
  const ports = tuples.some((words) => (words.get('sport') ?? '0') !== '0');
  if (protocol === Protocol.dccp && ports) {
    throw new LineFault('DCCP has no tracker since Linux 6.16 and is not emulated');
  }
}

function readHead(
  words: readonly string[],
  protocol: number,
): { readonly timeoutS: number; readonly state: string } {
  const [timeout = '', state = '', ...more] = words;
  const states = protocol === Protocol.tcp ? LISTED_TCP_STATES : LISTED_SCTP_STATES;
  const hasState = protocol === Protocol.tcp || protocol === Protocol.sctp;
  if (!/^\d{1,10}$/.test(timeout)) throw new LineFault('no timeout in whole seconds');
  const isKnown = hasState ? states.has(state) : state === '' || protocol === Protocol.dccp;
  if (!isKnown || more.length > 0) {
    const accepted = hasState ? [...states].join(', ') : 'no state';
    throw new LineFault('a state that its protocol does not have', accepted);
  }
  return { timeoutS: Number(timeout), state: hasState ? state : '' };
}

function readTuple(words: ReadonlyMap<string, string>, protocol: number): ListedTuple {
  const src = addressOf(words, 'src');
  const dst = addressOf(words, 'dst');
  const isIcmp = protocol === (src.family === 4 ? Protocol.icmp : Protocol.icmpv6);
  if (isIcmp) {
    const type = needed(words, 'type', 255) * 256 + needed(words, 'code', 255);
    return { protocol, src, dst, sport: needed(words, 'id', 0xffff), dport: type };
  }
  if (protocol === Protocol.gre) {
    const sport = needed(words, 'srckey', 0xffff);
    return { protocol, src, dst, sport, dport: needed(words, 'dstkey', 0xffff) };
  }
  if (!PORTS.has(protocol)) return { protocol, src, dst, sport: 0, dport: 0 };
  const sport = needed(words, 'sport', 0xffff);
  return { protocol, src, dst, sport, dport: needed(words, 'dport', 0xffff) };
}

function addressOf(words: ReadonlyMap<string, string>, name: string): Address {
  const address = parseAddress(words.get(name) ?? '');
  if (address === null) throw new LineFault(`${name} is no address`);
  return address;
}

function needed(words: ReadonlyMap<string, string>, name: string, most: number): number {
  const value = numberOf(words, name, most);
  if (value === undefined) throw new LineFault(`a tuple of this protocol has ${name}`);
  return value;
}

function numberOf(
  words: ReadonlyMap<string, string>,
  name: string,
  most: number,
): number | undefined {
  const text = words.get(name);
  if (text === undefined) return undefined;
  const value = /^(\d{1,16}|0x[0-9a-f]{1,8})$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= most)) throw new LineFault(`${name} is no number up to ${most}`);
  return value;
}

function readZone({ tuples, common }: Fields): ListedConnection['zone'] {
  const [original, reply] = tuples;
  const both = numberOf(common, 'zone', 0xffff);
  const orig = original && numberOf(original, 'zone-orig', 0xffff);
  const back = reply && numberOf(reply, 'zone-reply', 0xffff);
  const said = [both, orig, back].filter((id) => id !== undefined && id !== 0);
  if (said.length > 1) throw new LineFault('a connection in two zones');
  if (both) return { id: both, direction: 'both' };
  if (orig) return { id: orig, direction: 'original' };
  return back ? { id: back, direction: 'reply' } : undefined;
}

function readTraffic({ tuples }: Fields): ListedConnection['traffic'] {
  const [original, reply] = tuples.map((words): ListedTraffic | undefined => {
    const packets = numberOf(words, 'packets', Number.MAX_SAFE_INTEGER);
    const bytes = numberOf(words, 'bytes', Number.MAX_SAFE_INTEGER);
    return packets === undefined || bytes === undefined ? undefined : { packets, bytes };
  });
  return original && reply ? { original, reply } : undefined;
}

/** The plan's connections as `conntrack -L -o extended` prints them. */
export function printConnections(plan: Plan): string {
  return (plan.connections ?? []).map((one) => `${formatListed(one)}\n`).join('');
}

/** Names as libnetfilter_conntrack has them. */
const NAMES = new Map<number, string>([
  [Protocol.tcp, 'tcp'],
  [Protocol.udp, 'udp'],
  [Protocol.udplite, 'udplite'],
  [Protocol.sctp, 'sctp'],
  [Protocol.icmp, 'icmp'],
  [Protocol.icmpv6, 'icmpv6'],
  [Protocol.gre, 'gre'],
  [Protocol.dccp, 'dccp'],
]);

/** One line of `conntrack -L -o extended`; nobody else uses the entry. */
export function formatListed(one: ListedConnection): string {
  const { original, reply, zone, traffic } = one;
  const { protocol } = original;
  const name = (NAMES.get(protocol) ?? 'unknown').padEnd(8);
  const family = original.src.family === 4 ? 'ipv4     2' : 'ipv6     10';
  const inZone = (direction: string, word: string) =>
    zone?.direction === direction ? [`${word}=${zone.id}`] : [];
  const counted = (way: 'original' | 'reply') =>
    traffic ? [`packets=${traffic[way].packets} bytes=${traffic[way].bytes}`] : [];
  return [
    `${family} ${name} ${protocol} ${one.timeoutS}`,
    ...(one.state === '' ? [] : [one.state]),
    tupleText(original),
    ...inZone('original', 'zone-orig'),
    ...counted('original'),
    ...(one.seenReply ? [] : ['[UNREPLIED]']),
    tupleText(reply),
    ...inZone('reply', 'zone-reply'),
    ...counted('reply'),
    ...(one.assured ? ['[ASSURED]'] : []),
    `mark=${one.mark}`,
    ...inZone('both', 'zone'),
    'use=1',
  ].join(' ');
}

function tupleText({ protocol, src, dst, sport, dport }: ListedTuple): string {
  const ends = `src=${formatAddress(src)} dst=${formatAddress(dst)}`;
  const isIcmp = protocol === (src.family === 4 ? Protocol.icmp : Protocol.icmpv6);
  if (isIcmp) return `${ends} type=${dport >>> 8} code=${dport & 0xff} id=${sport}`;
  const hex = (n: number) => `0x${n.toString(16)}`;
  if (protocol === Protocol.gre) return `${ends} srckey=${hex(sport)} dstkey=${hex(dport)}`;
  const ports = PORTS.has(protocol) || protocol === Protocol.dccp;
  return ports ? `${ends} sport=${sport} dport=${dport}` : ends;
}
