/**
 * Interfaces of a host from what ip and bridge list.
 *
 * Without `-d` ip does not say what drives a device; then a peer makes a veth, and ports make a
 * bridge. Devices of other kinds (VLAN, bond, tunnels) stand as physical ones: what they do to a
 * frame below their own level is not emulated, so a packet that leaves by one has left.
 * @module
 */
import type { Interface, InterfaceAddress, InterfaceKind } from '../plan/model.ts';
import { ipv4, parseAddress } from '../wire/address/address.ts';
import { assumedMac } from '../wire/address/assumed-mac.ts';
import { parseMac, ZERO_MAC } from '../wire/address/mac.ts';
import type { FdbRecord, LinkRecord } from './record/records.ts';

/** Kinds of device that wrap packets into others. */
export const TUNNEL_KINDS: ReadonlySet<string> = new Set([
  ...['vxlan', 'geneve', 'gre', 'gretap', 'ipip', 'sit', 'ip6tnl', 'ip6gre', 'wireguard', 'tun'],
  ...['vti', 'xfrm', 'macsec', 'l2tp'],
]);

/** What several commands say of one device, put together; the first that says something counts. */
export interface Device extends LinkRecord {
  /** bridge(8) lists it as a port. */
  readonly isPort: boolean;
}

/** Join the records of `ip addr`, `ip link` and `bridge link`, in the order of the first. */
export function joinDevices(
  links: readonly LinkRecord[],
  ports: readonly LinkRecord[],
): readonly Device[] {
  const joined = new Map<string, Device>();
  for (const record of links) {
    joined.set(record.name, { isPort: false, ...record, ...joined.get(record.name) });
  }
  for (const record of ports) {
    joined.set(record.name, { ...record, ...joined.get(record.name), isPort: true });
  }
  return [...joined.values()];
}

/** A made-up address for a device of which nobody knows the real one: tunnels have none. */
export function namedMac(name: string): string {
  let word = 0;
  for (let i = 0; i < name.length; i++) word = Math.imul(word, 31) + name.charCodeAt(i);
  return assumedMac(ipv4(word >>> 0));
}

/** Make the interfaces; `fdb` tells bridges from other masters. */
export function interfacesOf(
  devices: readonly Device[],
  fdb: readonly FdbRecord[],
): readonly Interface[] {
  const bridges = bridgeNames(devices, fdb);
  return devices.map((device): Interface => {
    const { name, master, flags } = device;
    const isPort = master !== undefined && bridges.has(master);
    const kind = kindOf(device, bridges);
    return {
      name,
      kind,
      mac: kind === 'loopback' ? ZERO_MAC : (parseMac(device.mac ?? '') ?? namedMac(name)),
      mtu: device.mtu ?? (kind === 'loopback' ? 65_536 : 1500),
      up: flags.includes('UP'),
      addresses: (device.addresses ?? []).flatMap(interfaceAddress),
      ...(isPort ? { master } : {}),
      ...(isPort && device.hairpin ? { hairpin: true } : {}),
      ...(flags.includes('PROMISC') ? { promiscuous: true } : {}),
    };
  });
}

function bridgeNames(devices: readonly Device[], fdb: readonly FdbRecord[]): ReadonlySet<string> {
  const said = devices.filter((d) => d.kind === 'bridge').map((d) => d.name);
  const ports = devices.filter((d) => d.isPort).map((d) => d.master);
  const entries = fdb.map((entry) => entry.master);
  const masters = devices.flatMap((d) => {
    const master = devices.find((m) => m.name === d.master);
    const mayBe = master !== undefined && master.kind === undefined && !isBond(master);
    return mayBe ? [master.name] : [];
  });
  const named = [...said, ...ports, ...entries, ...masters];
  const others = devices.filter((d) => d.kind !== undefined && d.kind !== 'bridge');
  const none = new Set(others.map((d) => d.name));
  return new Set(named.flatMap((name) => (name === undefined || none.has(name) ? [] : [name])));
}

function isBond({ flags, name }: LinkRecord): boolean {
  return flags.includes('MASTER') || name.startsWith('bond');
}

function kindOf(device: Device, bridges: ReadonlySet<string>): InterfaceKind {
  const { name, linkType, kind, peer, flags } = device;
  if (linkType === 'loopback' || name === 'lo') return 'loopback';
  if (bridges.has(name)) return 'bridge';
  if (kind === 'veth' || kind === 'dummy') return kind;
  // Of devices that ask nobody for addresses (IFF_NOARP), tunnels have no broadcast.
  const isDummy = flags.includes('NOARP') && flags.includes('BROADCAST');
  if (kind === undefined && isDummy) return 'dummy';
  // A peer in another namespace is only a number (`eth0@if7`).
  const isPeer = peer === '?' || /^if\d+$/.test(peer ?? '');
  return kind === undefined && isPeer ? 'veth' : 'physical';
}

function interfaceAddress(record: {
  readonly local: string;
  readonly length: number;
  readonly scope: string;
}): InterfaceAddress[] {
  const address = parseAddress(record.local);
  if (address === null) return [];
  const scope = record.scope === 'link' || record.scope === 'host' ? record.scope : 'global';
  return [{ address, length: record.length, scope }];
}
