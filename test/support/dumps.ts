/**
 * Dumps of nodes for tests: a few lines stand for what an engineer would have collected.
 * @module
 */
import type { Cluster } from '../../src/cluster/model.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import type { DumpFile } from '../../src/dump/file/dump-file.ts';
import { type DumpNode, readDump } from '../../src/dump/read-dump.ts';
import type { Journey } from '../../src/engine/engine.ts';
import { DUMP_STACK, dumpCluster } from '../../src/lab/dump-world.ts';
import { World } from '../../src/lab/world.ts';
import { address } from './packets.ts';

/** Files by name; names as `wiretrial doctor --collect` gives them, or as people do. */
export type Texts = Readonly<Record<string, string>>;

export function files(texts: Texts, folder = 'dump'): readonly DumpFile[] {
  return Object.entries(texts).map(([name, text]) => ({ path: `${folder}/${name}`, text }));
}

/** What a node without anything special prints for the commands that a test does not care about. */
export const PLAIN: Texts = {
  'ip6tables-save.txt': '',
  'iptables-save.txt': '',
  'ebtables-save.txt': '',
  'ipset-save.txt': '',
  'sysctl.txt': [
    'net.ipv4.ip_forward = 1',
    'net.ipv6.conf.all.forwarding = 1',
    'net.bridge.bridge-nf-call-iptables = 1',
    'net.bridge.bridge-nf-call-ip6tables = 1',
  ].join('\n'),
  'uname.txt': '6.18.0\n',
};

/** A device of `ip addr`: `device(2, 'eth0', '10.1.0.4/16')`. */
export function device(
  index: number,
  name: string,
  addresses: readonly string[],
  more: { readonly master?: string; readonly kind?: string; readonly peer?: string } = {},
): string {
  const { master, kind, peer } = more;
  const mac = name === 'lo' ? '00:00:00:00:00:00' : `02:00:00:00:01:${twoDigits(index)}`;
  const type = name === 'lo' ? 'loopback' : 'ether';
  const flags = name === 'lo' ? 'LOOPBACK,UP' : 'BROADCAST,MULTICAST,UP,LOWER_UP';
  return [
    `${index}: ${name}${peer ? `@${peer}` : ''}: <${flags}> mtu 1500 qdisc noqueue${master ? ` master ${master}` : ''} state UP group default`,
    `    link/${type} ${mac} brd ff:ff:ff:ff:ff:ff`,
    ...(kind ? [`    ${kind} `] : []),
    ...addresses.map((text) => {
      const family = text.includes(':') ? 'inet6' : 'inet';
      return `    ${family} ${text} scope ${name === 'lo' ? 'host' : 'global'} ${name}`;
    }),
  ].join('\n');
}

function twoDigits(n: number): string {
  return n.toString(16).padStart(2, '0');
}

export const LO = device(1, 'lo', ['127.0.0.1/8', '::1/128']);

/** Lines to a file's text. */
export function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}

/** The emulated nodes of these dumps. */
export function dumpWorld(nodes: readonly DumpNode[], given: Cluster | null = null): World {
  const { cluster, network } = dumpCluster(nodes, given);
  return new World({ cluster, policies: [], stack: DUMP_STACK, network, dumped: true });
}

export function oneNode(texts: Texts, given: Cluster | null = null): World {
  return dumpWorld([readDump('node-a', files({ ...PLAIN, ...texts }))], given);
}

/** Send a packet from where its source address is. */
export function send(world: World, packet: Uint8Array, from: string, frame = 0): Journey {
  const place = world.identities.openerOf(address(from));
  return world.engine.inject(world.injectAt(place, packet, { frame, nowNs: frame * 1e9 }));
}

/** The mistakes that reading throws, `FILE:LINE CODE found`; none when it does not throw. */
export function mistakes(read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map(({ file, line, code, found }) => {
      const place = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`} `;
      return `${place}${code}${found === undefined ? '' : ` ${found}`}`;
    });
  }
}
