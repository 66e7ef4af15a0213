/**
 * Records from the text of `ip addr`, `ip -d link`, `bridge -d link`, `bridge fdb` and `ip neigh`.
 *
 *   2: eth0@if7: <BROADCAST,UP> mtu 1500 … master br0 …       a device …
 *       link/ether 00:0d:3a:01:02:03 brd … promiscuity 1 …    … its address …
 *       veth …                                                … its driver (`-d`) …
 *       bridge_slave state forwarding … hairpin on …          … as a port (`-d`) …
 *       inet 10.1.0.4/16 brd … scope global eth0              … and IP addresses.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { DumpFile } from '../file/dump-file.ts';
import {
  type AddressRecord,
  type FdbRecord,
  type LinkRecord,
  type NeighborRecord,
  type RecordPlace,
  recordFault,
} from './records.ts';

/** Word after a key word (`master br0`); undefined when it is not there. */
export function after(words: readonly string[], key: string): string | undefined {
  const at = words.indexOf(key);
  return at < 0 ? undefined : words[at + 1];
}

type Draft = { -readonly [K in keyof LinkRecord]: LinkRecord[K] } & {
  addresses?: AddressRecord[];
};

/** Words that can begin a driver line; any other single word is a driver's name too. */
const NOT_DRIVERS = /^(altname|vf|alias|RX:|TX:|valid_lft|\d+$)/;

export function textLinks(file: DumpFile, withAddresses: boolean): readonly LinkRecord[] {
  const faults: Diagnostic[] = [];
  const links: Draft[] = [];
  eachLine(file, (line, at) => {
    const head = /^\d+: ([^\s:@]+)(?:@([^\s:]+))?:? <([^>]*)>(.*)$/.exec(line);
    if (head) {
      links.push(headOf(head, at, withAddresses));
      return;
    }
    const link = links.at(-1);
    if (!link || !/^\s/.test(line) || !bodyLine(link, line.trim())) {
      faults.push(recordFault(at, 'not a line of ip or bridge', line));
    }
  });
  if (faults.length > 0) throw new UserError(faults);
  return links;
}

function headOf(m: RegExpExecArray, at: RecordPlace, withAddresses: boolean): Draft {
  const [, name = '', peer, flags = '', rest = ''] = m;
  const words = rest.trim().split(/\s+/);
  const mtu = Number(after(words, 'mtu'));
  const master = after(words, 'master');
  return {
    at,
    name,
    flags: flags.split(','),
    ...(peer === undefined || peer === 'NONE' ? {} : { peer }),
    ...(Number.isInteger(mtu) ? { mtu } : {}),
    ...(master === undefined ? {} : { master }),
    ...(withAddresses ? { addresses: [] } : {}),
  };
}

/** A line of details; false when it is none. */
function bodyLine(link: Draft, line: string): boolean {
  const words = line.split(/\s+/);
  const [first = ''] = words;
  const type = /^link\/(\S+)$/.exec(first)?.[1];
  if (type !== undefined) {
    link.linkType = type;
    if (words[1] !== undefined) link.mac = words[1];
    const promiscuity = Number(after(words, 'promiscuity'));
    if (promiscuity > 0) link.promiscuity = promiscuity;
  } else if (first === 'inet' || first === 'inet6') {
    return addAddress(link, words);
  } else if (first === 'bridge_slave' || first === 'hairpin') {
    link.hairpin = after(words, 'hairpin') === 'on';
  } else if (/^[a-z][\w-]*$/.test(first) && !NOT_DRIVERS.test(first)) {
    link.kind ??= first;
  } else {
    return NOT_DRIVERS.test(first);
  }
  return true;
}

function addAddress(link: Draft, words: readonly string[]): boolean {
  const [family, text = ''] = words;
  const [local = '', length] = text.split('/');
  const bits = family === 'inet' ? 32 : 128;
  const hasPeer = words[2] === 'peer';
  link.addresses?.push({
    local,
    length: hasPeer || length === undefined ? bits : Number(length),
    scope: after(words, 'scope') ?? 'global',
  });
  return local !== '';
}

export function textNeighbors(file: DumpFile): readonly NeighborRecord[] {
  const faults: Diagnostic[] = [];
  const records: NeighborRecord[] = [];
  eachLine(file, (line, at) => {
    const words = line.trim().split(/\s+/);
    const [dst = ''] = words;
    const dev = after(words, 'dev');
    const mac = after(words, 'lladdr');
    const states = words.filter((word) => /^[A-Z]{4,}$/.test(word));
    if (dev === undefined) faults.push(recordFault(at, 'not a line of ip neigh', line));
    else records.push({ at, dst, dev, states, ...(mac === undefined ? {} : { mac }) });
  });
  if (faults.length > 0) throw new UserError(faults);
  return records;
}

export function textFdb(file: DumpFile): readonly FdbRecord[] {
  const faults: Diagnostic[] = [];
  const records: FdbRecord[] = [];
  eachLine(file, (line, at) => {
    const words = line.trim().split(/\s+/);
    const [mac = ''] = words;
    const dev = after(words, 'dev');
    const master = after(words, 'master');
    const state = words.find((word) => word === 'permanent' || word === 'static') ?? '';
    if (dev === undefined) faults.push(recordFault(at, 'not a line of bridge fdb', line));
    else records.push({ at, mac, dev, state, ...(master === undefined ? {} : { master }) });
  });
  if (faults.length > 0) throw new UserError(faults);
  return records;
}

/** Each line that says something, with its place. */
export function eachLine(file: DumpFile, take: (line: string, at: RecordPlace) => void): void {
  file.text.split('\n').forEach((raw, index) => {
    const line = raw.replace(/\s+$/, '');
    if (line === '' || line.startsWith('#')) return;
    take(line, { file: file.path, line: index + 1 });
  });
}
