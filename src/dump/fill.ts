/**
 * What a partial dump does not say, filled in the least surprising way and said: each assumption is
 * a warning, and what would be decided by one has no verdict (`Plan.gaps`, `Route.assumed`).
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import {
  type Interface,
  type InterfaceAddress,
  LOCAL_TABLE,
  MAIN_TABLE,
  type PlanGap,
  type Route,
} from '../plan/model.ts';
import {
  ANY4,
  ANY6,
  type Family,
  maskAddress,
  type Prefix,
  parseAddress,
} from '../wire/address/address.ts';
import { ZERO_MAC } from '../wire/address/mac.ts';
import type { Collected } from './collected.ts';
import { namedMac } from './devices.ts';
import type { RouteRecord } from './record/records.ts';

/** The way out of a host of which nobody listed the devices (`image/gaps.ts`). */
export const ASSUMED_UPLINK = 'uplink?';

/** Notes what was assumed for one host. */
export class Assumptions {
  readonly warnings: Diagnostic[] = [];
  readonly gaps = new Set<PlanGap>();
  readonly #host: string;

  constructor(host: string) {
    this.#host = host;
  }

  say(message: string, found?: string): void {
    const object = `node/${this.#host}`;
    const detail = found === undefined ? {} : { found };
    this.warnings.push({ code: 'DUMP_ASSUMED', object, message, ...detail });
  }

  gap(gap: PlanGap, message: string): void {
    this.gaps.add(gap);
    this.say(message);
  }
}

/** lo as every namespace has it. */
export function loopback(): Interface {
  const addresses = (['127.0.0.1', '::1'] as const).flatMap((text): InterfaceAddress[] => {
    const address = parseAddress(text);
    return address ? [{ address, length: text === '::1' ? 128 : 8, scope: 'host' }] : [];
  });
  return { name: 'lo', kind: 'loopback', mac: ZERO_MAC, mtu: 65_536, up: true, addresses };
}

function plainDevice(name: string, kind: Interface['kind']): Interface {
  return { name, kind, mac: namedMac(name), mtu: 1500, up: true, addresses: [] };
}

/** Devices of a dump that lists none: those that its routes, neighbours and bridges name. */
export function devicesByMention(collected: Collected, say: Assumptions): readonly Interface[] {
  const { routes, neighbors, fdb } = collected;
  const named = new Set([
    ...routes.flatMap(({ dev }) => dev ?? []),
    ...neighbors.map(({ dev }) => dev),
    ...fdb.flatMap(({ dev, master }) => (master === undefined ? [] : [master, dev])),
  ]);
  named.delete('lo');
  if (named.size === 0) {
    say.say(
      'no ip addr, ip link and ip route: its devices are not known, and what asks for one is not judged',
    );
    return [loopback(), plainDevice(ASSUMED_UPLINK, 'physical')];
  }
  const message = 'no ip addr and ip link: its devices are those that routes and neighbours name';
  say.say(message, [...named].join(', '));
  const bridges = new Set(fdb.map(({ master }) => master));
  const defaults = new Set(routes.filter(({ dst }) => dst === 'default').map(({ dev }) => dev));
  return [
    loopback(),
    ...[...named].map((name): Interface => {
      if (bridges.has(name)) return plainDevice(name, 'bridge');
      const master = fdb.find((entry) => entry.dev === name)?.master;
      const device = plainDevice(name, defaults.has(name) ? 'physical' : 'veth');
      return master === undefined ? device : { ...device, master };
    }),
  ];
}

/** Addresses that table local, or a route's source, gives away. */
export function addressesByRoute(
  interfaces: readonly Interface[],
  records: readonly RouteRecord[],
): readonly Interface[] {
  return interfaces.map((device) => {
    if (device.addresses.length > 0) return device;
    const found = new Map<string, InterfaceAddress>();
    for (const { type, dst, dev, prefsrc, table } of records) {
      const isLocal = type === 'local' && table === 'local' && !dst.includes('/');
      const text = isLocal ? dst : prefsrc;
      const address = dev === device.name && text !== undefined ? parseAddress(text) : null;
      if (text === undefined || address === null) continue;
      const subnet = records.find((r) => r.dev === dev && r.prefsrc === text && r.scope === 'link');
      const length = Number(/\/(\d+)$/.exec(subnet?.dst ?? '')?.[1] ?? bitsOf(address.family));
      found.set(text, { address, length, scope: 'global' });
    }
    return { ...device, addresses: [...found.values()] };
  });
}

function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** The routes that the kernel makes for addresses, and an assumed one for all else. */
export function routesByAddress(
  interfaces: readonly Interface[],
  family: Family,
  uplink: string,
): readonly Route[] {
  const connected = interfaces.flatMap((device) =>
    device.addresses
      .filter(({ address, length, scope }) => {
        return address.family === family && scope === 'global' && length < bitsOf(family);
      })
      .map(({ address, length }) => {
        return onLink({ address: maskAddress(address, length), length }, device.name);
      }),
  );
  return [...connected, assumedDefault(family, uplink)];
}

function onLink(destination: Prefix, device: string): Route {
  const { family } = destination.address;
  const rest = { table: MAIN_TABLE, metric: 0, device, scope: 'link' } as const;
  return { family, type: 'unicast', destination, ...rest, assumed: true };
}

export function assumedDefault(family: Family, device: string): Route {
  const destination = { address: family === 4 ? ANY4 : ANY6, length: 0 };
  return onLink(destination, device);
}

/**
 * Routes of a host whose addresses nobody listed: its own address may lie in any subnet that it is
 * on, so these say nothing sure, but where the route names it as source; a single address and what
 * is behind a gateway are another's.
 */
export function doubtSubnets(routes: readonly Route[]): readonly Route[] {
  return routes.map((route): Route => {
    const { destination, via, source, type, table } = route;
    const isSubnet =
      via === undefined && source === undefined && destination.length < bitsOf(route.family);
    const isOwn = isSubnet && type === 'unicast' && table !== LOCAL_TABLE;
    return isOwn ? { ...route, assumed: true } : route;
  });
}
