/**
 * Where an address is when only nodes' dumps tell: the node's own, behind one of its devices, or
 * outside.
 *
 * A route out of a device that is not the uplink leads to somebody behind it; behind a bridge the
 * port is that of the neighbour's MAC in the forwarding table.
 * @module
 */

import type { HostImage, ImageInterface } from '../image/image.ts';
import type { RouteResult } from '../image/route/fib.ts';
import { type Address, ANY4, ANY6, contains, equalAddress } from '../wire/address/address.ts';
import { assumedMac } from '../wire/address/assumed-mac.ts';
import { ZERO_MAC } from '../wire/address/mac.ts';
import type { EntryPoint, Locate, Location } from './entry.ts';

/** A dumped node: its image, and the device that leads to everything outside. */
export interface DumpedHost {
  readonly image: HostImage;
  readonly uplink: string;
}

/** Make the locator of these nodes. */
export function locateAmong(hosts: readonly DumpedHost[]): Locate {
  return (address) => {
    const all = hosts.filter(({ image }) => image.fib.isLocal(address));
    const own = all.length > 1 ? all.filter(({ image }) => isItsOwn(image, address)) : all;
    if (own.length > 1) return { kind: 'ambiguous' };
    const [node] = own;
    if (node) return { kind: 'node', host: node.image.host };
    const found = hosts.map((host) => locationAt(host, address));
    const ends = found.filter((l) => l.kind === 'endpoint');
    if (ends.length > 1) return { kind: 'ambiguous' };
    const [end] = ends;
    if (end) return end;
    return (
      found.find((l) => l.kind === 'missing') ??
      found.find((l) => l.kind === 'nobody') ?? { kind: 'outside' }
    );
  };
}

/** On a dummy device are addresses of virtual servers, which every node has. */
function isItsOwn({ fib, interfaces }: HostImage, address: Address): boolean {
  const { device } = fib.lookup({ destination: address, mark: 0 });
  return interfaces.get(device)?.kind !== 'dummy';
}

const OUTSIDE: Location = { kind: 'outside' };

function locationAt(host: DumpedHost, address: Address): Location {
  const { image, uplink } = host;
  const route = image.fib.lookup({ destination: address, mark: 0 });
  if (route.assumed) return { kind: 'missing' };
  if (route.type !== 'unicast' || route.device === uplink) return OUTSIDE;
  const device = image.interfaces.get(route.device);
  if (device === undefined) return OUTSIDE;
  const port = device.kind === 'bridge' ? portOf(host, device, route.via ?? address) : device.name;
  if (port === uplink) return OUTSIDE;
  if (port === null) return isUplinkBridge(host, device) ? OUTSIDE : { kind: 'nobody' };
  const entry: EntryPoint = {
    as: 'endpoint',
    host: image.host,
    device: port,
    macs: (src, dst) => macs(host, { device, port, src, dst }),
  };
  return { kind: 'endpoint', name: `node/${image.host}/${port}`, entry };
}

function isUplinkBridge({ image, uplink }: DumpedHost, bridge: ImageInterface): boolean {
  return image.interfaces.get(uplink)?.master === bridge.name;
}

/** The port behind which a neighbour is; the only one there is needs no telling. */
function portOf({ image }: DumpedHost, bridge: ImageInterface, address: Address): string | null {
  const neighbor = image.neighbor(bridge.name, address);
  const entry = neighbor ? image.fdb.get(bridge.name)?.get(neighbor.mac) : undefined;
  if (entry && entry.kind !== 'permanent') return entry.port;
  const ports = image.bridges.get(bridge.name)?.ports ?? [];
  return ports.length === 1 ? (ports[0] ?? null) : null;
}

/** Addresses of the frame that somebody behind `port` sends. */
function macs(
  host: DumpedHost,
  at: {
    readonly device: ImageInterface;
    readonly port: string;
    readonly src: Address;
    readonly dst: Address;
  },
): { source: string; destination: string } {
  const { device, src, dst } = at;
  const known = host.image.neighbor(device.name, src);
  const source = known && known.state !== 'failed' ? known.mac : null;
  if (device.kind !== 'bridge') {
    return { source: source ?? ZERO_MAC, destination: device.mac };
  }
  // A bridge takes no frame whose sender is zero (`br_handle_frame`).
  return { source: source ?? assumedMac(src), destination: nextMac(host, device, dst) };
}

/** To whom a port sends a packet for `dst`: to it, when it is on the link, else to the gateway. */
function nextMac(host: DumpedHost, bridge: ImageInterface, dst: Address): string {
  const { image } = host;
  const own = bridge.addresses.filter((a) => a.address.family === dst.family);
  if (own.some((a) => equalAddress(a.address, dst))) return bridge.mac;
  const neighborMac = (address: Address) =>
    image.neighbor(bridge.name, address)?.mac ?? assumedMac(address);
  const isNear = own.some((a) => contains({ address: a.address, length: a.length }, dst));
  if (isNear && (image.neighbor(bridge.name, dst) || !isUplinkBridge(host, bridge))) {
    return neighborMac(dst);
  }
  // Nobody knows the MAC of whom the uplink leads to: the gateway's has the same way there.
  if (!isUplinkBridge(host, bridge)) return bridge.mac;
  const far = dst.family === 4 ? ANY4 : ANY6;
  const way: RouteResult = image.fib.lookup({ destination: far, mark: 0 });
  return way.via === null ? bridge.mac : neighborMac(way.via);
}
